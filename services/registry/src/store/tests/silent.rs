//! A server that goes silent under the store: what is sent to it vanishes, and a new connection finds one that answers.

use salvor_proto::registry::v1::GatewayHeartbeat;
use salvor_testkit::cut::Way;
use salvor_testkit::store::{Store as Place, skipped_without_a_server, somebody_waits_for};
use salvor_testkit::wait::{PATIENCE, until};
use tokio::time::timeout;

use super::*;

/// By a way, with one gateway. It gives up sooner than in earnest.
async fn by_a_way() -> Option<(Store, Way, Place)> {
    if skipped_without_a_server("a server can go silent") {
        return None;
    }
    let place = Place::new(std::path::Path::new("."), "silent");
    let (location, way) = place.beyond_a_way().await.unwrap();
    let keys = KeyRing::parse(&"ab".repeat(32)).unwrap();
    let retention = Retention { revisions: 1_000, requests: 10 };
    let answer_timeout = Duration::from_secs(5);
    let options = Options { answer_timeout, busy_timeout: PATIENCE, ..Options::default() };
    let store = Store::open_with(&location, keys, None, retention, options).await.unwrap();
    let gateway = Gateway { name: "gateways/lab".into(), ..Gateway::default() };
    store.register(gateway, None).await.unwrap();
    Some((store, way, place))
}

async fn in_time<T>(asked: impl Future<Output = T>) -> T {
    timeout(PATIENCE, asked).await.expect("an answer, or that there is none")
}

#[track_caller]
fn is_away<T>(answer: Result<T, Error>) {
    let error = Wire::from(answer.err().expect("nothing answers"));
    assert_eq!((error.code(), error.reason()), (Code::Unavailable, "STORAGE_AWAY"));
}

/// The server has the commit in hand, and makes it. Nobody hears of that.
#[tokio::test]
async fn a_commit_that_a_silent_server_swallows_is_away_and_writes_and_reads_go_on() {
    let Some((store, way, place)) = by_a_way().await else { return };
    let beside = place.open().await;
    let mut holder = beside.begin().await.unwrap();
    sqlx::raw_sql("SELECT 1 FROM meta FOR UPDATE").execute(&mut *holder).await.unwrap();
    let creating = store.clone();
    let creating = tokio::spawn(async move { creating.create(create(b"x")).await });
    somebody_waits_for(&mut holder, &beside).await;
    way.swallow();
    holder.commit().await.unwrap();
    is_away(in_time(creating).await.unwrap());
    let made = until("what was committed", || async { store.get(NAME, false).await.ok() }).await;
    let lease = store.acquire_lease(NAME.into(), "h".into(), Duration::from_secs(30));
    let lease = in_time(lease).await.unwrap();
    let said = GatewayHeartbeat { adapter_id: "a".into(), ..GatewayHeartbeat::default() };
    in_time(store.heartbeat("gateways/lab".into(), said)).await.unwrap();
    let mut update = change(&made, Field::LiveId);
    update.fence_token = lease.fence_token;
    in_time(store.update(update)).await.unwrap();
    in_time(store.close()).await;
}

/// As many as there are connections that read, twice.
#[tokio::test]
async fn reads_that_a_silent_server_swallows_use_no_connections_up() {
    let Some((store, way, _place)) = by_a_way().await else { return };
    let present = store.create(create(b"x")).await.unwrap();
    for asked in [true, false] {
        let views = (0..Options::default().readers).map(|_| store.read());
        let views = in_time(futures::future::try_join_all(views)).await.unwrap();
        way.swallow();
        let reads = views.into_iter().map(async |mut view| {
            if asked {
                is_away(row::current(&mut view, NAME).await);
            }
        });
        in_time(futures::future::join_all(reads)).await;
        assert_eq!(in_time(store.get(NAME, false)).await.unwrap(), present);
    }
    in_time(store.close()).await;
}
