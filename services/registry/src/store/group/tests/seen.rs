//! What writes of one group see of each other.

use std::time::Duration;

use futures::future::ready;
use salvor_proto::registry::v1::Gateway;

use super::*;
use crate::record::{Content, Contents, Field, Mask};
use crate::store::{Create, RequestId, Update};

const NAME: &str = "gateways/lab/workspaces/default/sandboxes/a";

/// Lets a write wait that answers the present revision of a record, looked up or not.
fn look(store: &Store, about: About) -> Told {
    store.inner.queue.join(about, |txn| txn.present().boxed()).unwrap()
}

impl Txn {
    async fn present(&mut self) -> Result<i64, Error> {
        let present = self.current(NAME).await?;
        Ok(present.map_or(0, |present| present.revision))
    }

    /// Answers whether more waits to be written than should.
    fn make_large(&mut self, at: usize) -> Result<bool, Error> {
        let sandbox = Sandbox { name: format!("{NAME}{at}"), ..Sandbox::default() };
        let revision = self.next_revision();
        self.put(Version::new(&sandbox, vec![7; 1 << 20]), revision)?;
        Ok(self.unwritten.is_heavy())
    }
}

fn request(id: &str, said: u8) -> RequestId {
    RequestId { id: id.into(), fingerprint: vec![said] }
}

fn create(name: &str, request: Option<RequestId>) -> Create {
    let sandbox = Sandbox { name: name.into(), ..Sandbox::default() };
    let contents = Contents { spec: Content::Absent, policy: Content::Absent };
    let gateway = "gateways/lab".into();
    Create { sandbox, contents, gateway, request, only_check: false, claim_default: false }
}

fn update(present: &Sandbox, live_id: &str, fence_token: i64) -> Update {
    let sandbox = Sandbox { live_id: live_id.into(), ..present.clone() };
    let contents = Contents { spec: Content::Absent, policy: Content::Absent };
    let mask = Mask::new(vec![Field::LiveId]);
    Update { sandbox, contents, mask, fence_token, request: None, only_check: false }
}

async fn with_record() -> (Store, Sandbox, Place, TempDir) {
    let (store, place, directory) = store().await;
    let gateway = Gateway { name: "gateways/lab".into(), ..Gateway::default() };
    store.register(gateway, None).await.unwrap();
    let present = store.create(create(NAME, None)).await.unwrap();
    (store, present, place, directory)
}

#[tokio::test]
async fn versions_of_one_record_supersede_each_other() {
    let (store, _place, _directory) = store().await;
    for names in [&["a", "b", "a", "a", "b"][..], &["b", "a", "c"]] {
        for name in names {
            join(&store, name, End::Keep);
        }
        store.inner.take_turn().await;
    }
    let mut view = store.read().await.unwrap();
    let rows = sqlx::query_as("SELECT sandbox, superseded FROM records ORDER BY revision");
    let rows: Vec<(String, Option<i64>)> = rows.fetch_all(&mut *view).await.unwrap();
    let rows: Vec<_> = rows.iter().map(|(name, by)| (name.as_str(), *by)).collect();
    let first = [("a", Some(3)), ("b", Some(5)), ("a", Some(4)), ("a", Some(7)), ("b", Some(6))];
    assert_eq!(rows, [&first[..], &[("b", None), ("a", None), ("c", None)]].concat());
}

#[tokio::test]
async fn each_sees_what_was_kept_before_it_and_nothing_that_was_undone() {
    use End::{Break, Check, Keep, Refuse};
    let (store, _place, _directory) = store().await;
    let mut looks = vec![look(&store, About::record(NAME))];
    for end in [Refuse, Keep, Check, Break, Refuse, Keep] {
        join(&store, "a", end);
        looks.push(look(&store, About::record(NAME)));
        looks.push(look(&store, About::default()));
    }
    store.inner.take_turn().await;
    let seen: Vec<i64> =
        join_all(looks).await.into_iter().map(|told| told.unwrap().unwrap()).collect();
    assert_eq!(seen, [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2]);
}

#[tokio::test]
async fn leases_count_from_the_write_on_that_gives_or_ends_them() {
    let (store, present, _place, _directory) = with_record().await;
    let ttl = Duration::from_mins(1);
    let (given, fenced, held, released, lost, late) = tokio::join!(
        store.acquire_lease(NAME.into(), "h".into(), ttl),
        store.update(update(&present, "without", 0)),
        store.update(update(&present, "with", 1)),
        store.release_lease(NAME.into(), 1),
        store.update(update(&present, "after", 1)),
        store.update(update(&present, "late", 0)),
    );
    assert_eq!(given.unwrap().fence_token, 1);
    assert!(matches!(fenced, Err(Error::Fenced { current: 1, .. })));
    released.unwrap();
    assert!(matches!(lost, Err(Error::LeaseLost { given: 1, .. })));
    assert!(matches!(late, Err(Error::EtagMismatch { .. })));
    let kept = store.get(NAME, false).await.unwrap();
    assert_eq!((kept.live_id.as_str(), held.unwrap()), ("with", kept.clone()));
}

#[tokio::test]
async fn a_request_that_comes_again_in_its_own_group_is_done_once() {
    let (store, present, _place, _directory) = with_record().await;
    let (other, id) =
        (NAME.replace("sandboxes/a", "sandboxes/b"), "00000000-0000-4000-8000-000000000001");
    let (refused, first, again, misused) = tokio::join!(
        store.create(create(NAME, Some(request(id, 1)))),
        store.create(create(&other, Some(request(id, 2)))),
        store.create(create(&other, Some(request(id, 2)))),
        store.create(create(&other, Some(request(id, 3)))),
    );
    assert!(matches!(refused, Err(Error::SandboxExists { .. })));
    let first = first.unwrap();
    assert_eq!(first.revision, present.revision + 1);
    assert_eq!(again.unwrap(), first);
    assert!(matches!(misused, Err(Error::RequestIdReused { .. })));
    assert_eq!(store.create(create(&other, Some(request(id, 2)))).await.unwrap(), first);
}

#[tokio::test]
async fn the_newest_answers_are_remembered_whatever_a_group_adds() {
    let (store, present, _place, _directory) = with_record().await;
    let id = |at: usize| format!("00000000-0000-4000-8000-{at:012}");
    let name = |at: usize| present.name.replace("sandboxes/a", &format!("sandboxes/s{at}"));
    let creates = (0..25).map(|at| store.create(create(&name(at), Some(request(&id(at), 1)))));
    assert!(join_all(creates).await.iter().all(Result::is_ok));
    let mut view = store.read().await.unwrap();
    let kept = sqlx::query_scalar("SELECT id FROM requests ORDER BY sequence");
    let kept: Vec<String> = kept.fetch_all(&mut *view).await.unwrap();
    assert_eq!(kept, (15..25).map(id).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_cannot_be_looked_up_fails_those_that_ask_for_it() {
    let (store, present, _place, _directory) = with_record().await;
    let drop = sqlx::raw_sql("DROP TABLE requests").execute(store.inner.database.writer());
    drop.await.unwrap();
    let asking = Update { request: Some(request("id", 1)), ..update(&present, "asking", 0) };
    let (before, asking, after) = tokio::join!(
        store.update(update(&present, "before", 0)),
        store.update(asking),
        store.update(update(&present, "after", 0)),
    );
    assert!(matches!(asking, Err(Error::Storage { .. })));
    assert!(matches!(after, Err(Error::EtagMismatch { .. })));
    assert_eq!(store.get(NAME, false).await.unwrap(), before.unwrap());
}

#[tokio::test]
async fn large_rows_do_not_wait_for_the_end() {
    let (store, _place, _directory) = store().await;
    let heavy = (0..12).map(|at| store.write(move |txn| ready(txn.make_large(at)).boxed()));
    let heavy: Vec<bool> = join_all(heavy).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(heavy.iter().filter(|heavy| **heavy).count(), 2);
    assert_eq!(kept(&store).await.1, 12);
}
