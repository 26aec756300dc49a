use std::time::Duration;

use futures::FutureExt;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use salvor_proto::error::{Code, Error as Wire};
use salvor_proto::registry::v1::{
    Gateway, Policy, Posture, Sandbox, SnapshotRules, SnapshotStatus, Spec,
};
use salvor_runtime::{ManualClock, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::record::{Contents, Field, Mask};

mod silent;

const NAME: &str = "gateways/lab/workspaces/default/sandboxes/a";
const UNKNOWN_FIELD: u32 = 900;

async fn open_in(directory: &TempDir) -> Store {
    open_with(directory, Options::default()).await
}

async fn open_with(directory: &TempDir, options: Options) -> Store {
    let keys = KeyRing::parse(&"ab".repeat(32)).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Timestamp(1_000)));
    let file = Location::File(directory.path().join("registry.db"));
    let retention = Retention { revisions: 1_000, requests: 10 };
    Store::open_with(&file, keys, Some(clock), retention, options).await.unwrap()
}

async fn store() -> (Store, TempDir) {
    store_with(Options::default()).await
}

async fn store_with(options: Options) -> (Store, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = open_with(&directory, options).await;
    let gateway = Gateway { name: "gateways/lab".into(), ..Gateway::default() };
    store.register(gateway, None).await.unwrap();
    (store, directory)
}

fn create(content: &[u8]) -> Create {
    let mut sandbox = Sandbox {
        name: NAME.into(),
        spec: Some(Spec { dialect: 1, content: content.to_vec(), ..Spec::default() }),
        policy: Some(Policy { dialect: 1, ..Policy::default() }),
        posture: Some(Posture { mode: 1, ..Posture::default() }),
        snapshot_rules: Some(SnapshotRules {
            roots: vec!["/a".into()],
            ..SnapshotRules::default()
        }),
        ..Sandbox::default()
    };
    let contents = Contents::take(&mut sandbox);
    let gateway = "gateways/lab".into();
    Create { sandbox, contents, gateway, request: None, only_check: false, claim_default: false }
}

fn change(present: &Sandbox, field: Field) -> Update {
    let mut sandbox = present.clone();
    let contents = Contents::take(&mut sandbox);
    let mask = Mask::new(vec![field]);
    Update { sandbox, contents, mask, fence_token: 0, request: None, only_check: false }
}

/// What a newer version might add to a message.
fn unknown() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(UNKNOWN_FIELD, WireType::Varint, &mut bytes);
    encode_varint(7, &mut bytes);
    bytes
}

/// The message of the present row.
async fn stored(store: &Store) -> Vec<u8> {
    let mut view = store.read().await.unwrap();
    row::current(&mut view, NAME).await.unwrap().unwrap().message
}

/// Writes the present row again with fields of a newer version: at the top, and within the two messages about snapshots.
async fn add_unknown_fields(store: &Store) {
    store.write(|txn| txn.add_unknown_fields().boxed()).await.unwrap();
}

impl Txn {
    async fn add_unknown_fields(&mut self) -> Result<(), Error> {
        let mut version = self.current(NAME).await?.unwrap();
        let mut sandbox = Sandbox::decode(version.message.as_slice()).unwrap();
        let rules = sandbox.snapshot_rules.take().unwrap().encode_to_vec();
        let status = SnapshotStatus { last_complete_bytes: 9, ..SnapshotStatus::default() };
        let mut message = sandbox.encode_to_vec();
        for (tag, mut field) in [(17, rules), (23, status.encode_to_vec())] {
            field.extend(unknown());
            encode_key(tag, WireType::LengthDelimited, &mut message);
            encode_varint(field.len() as u64, &mut message);
            message.extend(field);
        }
        message.extend(unknown());
        version.message = message;
        let revision = self.next_revision();
        self.put(version, revision)?;
        Ok(())
    }
}

fn count_unknown(message: &[u8]) -> usize {
    message.windows(unknown().len()).filter(|window| *window == unknown()).count()
}

#[tokio::test]
async fn what_a_newer_version_wrote_survives_update_snapshot_and_restore() {
    let (store, _directory) = store().await;
    store.create(create(b"spec")).await.unwrap();
    add_unknown_fields(&store).await;
    assert_eq!(count_unknown(&stored(&store).await), 3);
    let mut present = store.get(NAME, false).await.unwrap();
    present.live_id = "new".into();
    let present = store.update(change(&present, Field::LiveId)).await.unwrap();
    assert_eq!(count_unknown(&stored(&store).await), 3);
    let snapshot = store.snapshot(NAME).await.unwrap();
    let mut changed = present.clone();
    changed.snapshot_rules = None;
    let changed = store.update(change(&changed, Field::SnapshotRules)).await.unwrap();
    assert_eq!(count_unknown(&stored(&store).await), 2, "a masked field is replaced as a whole");
    let restore =
        Restore { snapshot, gateway: "gateways/lab".into(), etag: changed.etag, fence_token: 0 };
    let (restored, _) = store.restore(restore).await.unwrap();
    assert_eq!(count_unknown(&stored(&store).await), 3);
    assert_eq!(
        (restored.live_id.as_str(), restored.snapshot_rules, restored.snapshot_status),
        ("new", present.snapshot_rules, present.snapshot_status)
    );
}

#[tokio::test]
async fn a_full_disk_refuses_writes_changes_nothing_and_heals_when_there_is_room() {
    let (store, _directory) = store().await;
    let present = store.create(create(b"small")).await.unwrap();
    let writer = store.inner.database.writer();
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(writer).await.unwrap();
    let limit = format!("PRAGMA max_page_count = {pages}");
    sqlx::raw_sql(AssertSqlSafe(limit)).execute(writer).await.unwrap();
    let big = vec![7; 1 << 20];
    let mut grown = present.clone();
    grown.spec.as_mut().unwrap().content = big;
    let error = Wire::from(store.update(change(&grown, Field::Spec)).await.unwrap_err());
    assert_eq!((error.code(), error.reason()), (Code::Exhausted, "STORAGE_FULL"));
    assert_eq!(store.get(NAME, false).await.unwrap(), present);
    let lease = store.acquire_lease(NAME.into(), "h".into(), Duration::from_secs(1)).await.unwrap();
    let (spec, _) = store.open_material(NAME, lease.fence_token).await.unwrap();
    assert_eq!(spec.unwrap().content, b"small");
    let mut update = change(&grown, Field::Spec);
    update.fence_token = lease.fence_token;
    assert_eq!(store.update(update).await.unwrap().spec.unwrap().size_bytes, 1 << 20);
}

#[tokio::test]
async fn a_database_held_by_another_process_is_busy_and_says_when_to_come_back() {
    let busy_timeout = Duration::from_millis(20);
    let (store, _directory) = store_with(Options { busy_timeout, ..Options::default() }).await;
    let path = format!("sqlite://{}", store.inner.database.location());
    let other = sqlx::SqlitePool::connect(&path).await.unwrap();
    let held = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = Wire::from(store.create(create(b"x")).await.unwrap_err());
    assert_eq!((error.code(), error.reason()), (Code::Unavailable, "STORAGE_BUSY"));
    let details = salvor_proto::error::received(&error.into());
    assert!(details.retry.is_some());
    held.rollback().await.unwrap();
    store.create(create(b"x")).await.unwrap();
}

#[tokio::test]
async fn a_damaged_database_is_data_loss() {
    let (store, directory) = store().await;
    store.create(create(b"x")).await.unwrap();
    store.close().await;
    let path = directory.path().join("registry.db");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let store = open_in(&directory).await;
    let error = Wire::from(store.get(NAME, false).await.unwrap_err());
    assert_eq!((error.code(), error.reason()), (Code::DataLoss, "STORAGE_CORRUPT"));
    let error = Wire::from(store.create(create(b"x")).await.unwrap_err());
    assert_eq!(error.code(), Code::DataLoss);
}

#[tokio::test]
async fn a_view_that_sqlite_ended_by_itself_leaves_no_stale_reader_behind() {
    let (store, _directory) = store().await;
    let mut present = store.create(create(b"x")).await.unwrap();
    for index in 0..20 {
        let mut view = store.read().await.unwrap();
        row::current(&mut view, NAME).await.unwrap();
        sqlx::raw_sql("ROLLBACK").execute(&mut *view).await.unwrap();
        drop(view);
        present.live_id = index.to_string();
        present = store.update(change(&present, Field::LiveId)).await.unwrap();
        assert_eq!(store.get(NAME, false).await.unwrap(), present);
    }
}

#[tokio::test]
async fn readers_that_go_away_at_any_point_leave_nothing_behind() {
    let (store, _directory) = store().await;
    let present = store.create(create(b"x")).await.unwrap();
    for polls in 0..400 {
        let mut reading = Box::pin(store.get(NAME, false));
        for _ in 0..polls % 40 {
            if futures::poll!(&mut reading).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(reading);
        assert_eq!(store.get(NAME, false).await.unwrap(), present, "{polls}");
    }
}

#[tokio::test]
async fn lists_walk_an_index_and_sort_nothing() {
    let (store, _directory) = store().await;
    let mut view = store.read().await.unwrap();
    for (index, tail) in [
        (
            "records_by_sandbox",
            "WHERE r.sandbox = $5 AND r.name > $1 AND r.name < $8 ORDER BY r.name",
        ),
        ("records_by_name", "WHERE r.name > $1 AND r.name < $8 ORDER BY r.name"),
        ("PRIMARY KEY", "WHERE r.revision > $1 ORDER BY r.revision"),
    ] {
        let statement = format!("EXPLAIN QUERY PLAN {}{tail}", row::versions!(""));
        let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(&mut *view).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| Row::get(row, 3)).collect();
        assert!(plan[0].contains(index), "{plan:?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
    }
}

#[tokio::test]
async fn superseding_walks_an_index() {
    let (store, _directory) = store().await;
    let mut view = store.read().await.unwrap();
    let statement = format!("EXPLAIN QUERY PLAN {}", unwritten::superseding(2));
    let explain = sqlx::query(AssertSqlSafe(statement)).bind("a").bind(1).bind("b").bind(2);
    let rows = explain.fetch_all(&mut *view).await.unwrap();
    let plan: Vec<String> = rows.iter().map(|row| Row::get(row, 3)).collect();
    assert!(
        plan.iter().any(|step| step.contains("records USING INDEX records_current")),
        "{plan:?}"
    );
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_interrupt_its_write() {
    let (store, _directory) = store().await;
    let mut changed = store.subscribe();
    changed.borrow_and_update();
    let calling = store.clone();
    let call = tokio::spawn(async move { calling.create(create(b"x")).await });
    tokio::task::yield_now().await;
    call.abort();
    let _ = call.await;
    // It was polled once, so the write has begun.
    tokio::time::timeout(Duration::from_secs(30), changed.changed()).await.unwrap().unwrap();
    store.get(NAME, false).await.unwrap();
}

#[tokio::test]
async fn heartbeats_are_written_down_when_they_say_something_new() {
    use salvor_proto::registry::v1::GatewayHeartbeat;
    let (store, _directory) = store().await;
    let count = || async {
        let row = sqlx::query_scalar::<_, Option<Vec<u8>>>("SELECT heartbeat FROM gateways")
            .fetch_one(store.inner.database.readers())
            .await;
        let bytes = row.unwrap();
        bytes.map(|bytes| GatewayHeartbeat::decode(bytes.as_slice()).unwrap())
    };
    let said = |healthy| GatewayHeartbeat {
        adapter_id: "a".into(),
        healthy,
        ..GatewayHeartbeat::default()
    };
    store.heartbeat("gateways/lab".into(), said(false)).await.unwrap();
    let first = count().await.unwrap();
    let revision = store.list(&Query::default(), "", None, 1).await.unwrap().revision;
    store.heartbeat("gateways/lab".into(), said(false)).await.unwrap();
    assert_eq!(count().await.unwrap(), first);
    store.heartbeat("gateways/lab".into(), said(true)).await.unwrap();
    assert!(count().await.unwrap().healthy);
    assert_eq!(store.list(&Query::default(), "", None, 1).await.unwrap().revision, revision);
}
