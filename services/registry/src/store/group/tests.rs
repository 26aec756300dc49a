use futures::future::join_all;
use salvor_core::name::RecordName;
use salvor_proto::error::{Code, Error as Wire};
use salvor_proto::registry::v1::Sandbox;
use salvor_runtime::SystemClock;
use salvor_testkit::store::Store as Place;
use std::sync::Arc;
use tempfile::TempDir;

use super::*;
use crate::seal::KeyRing;
use crate::store::{Retention, Store, Version, txn};

mod heartbeats;
mod seen;

type Told = oneshot::Receiver<Result<i64, Error>>;

/// A store, on a server if the tests use one, with what a commit fails on.
async fn store() -> (Store, Place, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::new(directory.path(), "group");
    let keys = KeyRing::parse(&"ab".repeat(32)).unwrap();
    let retention = Retention { revisions: 100_000, requests: 10 };
    let clock = Some(Arc::new(SystemClock) as Arc<_>);
    let store = Store::open(place.location(), keys, clock, retention).await.unwrap();
    let debts = "CREATE TABLE debts (id INTEGER PRIMARY KEY, owed INTEGER \
                 REFERENCES debts (id) DEFERRABLE INITIALLY DEFERRED)";
    sqlx::raw_sql(debts).execute(store.inner.database.writer()).await.unwrap();
    (store, place, directory)
}

/// How one write of a test ends.
#[derive(Clone, Copy)]
enum End {
    Keep,
    Check,
    Refuse,
    /// By a statement that the database refuses.
    Break,
    /// The commit is refused.
    Owe,
    /// The transaction ends under it.
    Lose,
    Panic,
}

/// Lets a write wait that makes a record, answers its revision, and ends so.
fn join(store: &Store, sandbox: &str, end: End) -> Told {
    let name = format!("gateways/lab/workspaces/default/sandboxes/{sandbox}");
    store.inner.queue.join(About::record(&name), move |txn| txn.make(name, end).boxed()).unwrap()
}

impl Txn {
    async fn make(&mut self, name: String, end: End) -> Result<i64, Error> {
        let name: RecordName = name.parse().unwrap();
        let sandbox = Sandbox { name: name.to_string(), ..Sandbox::default() };
        let revision = self.next_revision();
        self.put(Version::new(&sandbox, Vec::new()), revision)?;
        let statement = match end {
            End::Keep => return Ok(revision),
            End::Check => {
                self.only_check();
                return Ok(revision);
            }
            End::Refuse => return Err(Error::DefaultUnset),
            End::Panic => panic!("as told"),
            End::Break => "INSERT INTO debts VALUES (1, 1), (1, 1)",
            End::Owe => "INSERT INTO debts VALUES (1, 2)",
            End::Lose => "ROLLBACK",
        };
        sqlx::raw_sql(statement).execute(self.connection().await?).await?;
        match end {
            End::Lose => Err(sqlx::Error::PoolTimedOut.into()),
            _ => Ok(revision),
        }
    }
}

async fn told(told: Told) -> Result<i64, &'static str> {
    match told.await {
        Ok(Ok(revision)) => Ok(revision),
        Ok(Err(Error::Storage { .. })) => Err("storage"),
        Ok(Err(_)) => Err("refused"),
        Err(_) => Err("untold"),
    }
}

/// The names that there are, and the revision.
async fn kept(store: &Store) -> (Vec<String>, i64) {
    let mut view = store.read().await.unwrap();
    let names = sqlx::query_scalar("SELECT sandbox FROM records ORDER BY revision");
    let names = names.fetch_all(&mut *view).await.unwrap();
    (names, txn::position(&mut view).await.unwrap().0)
}

#[tokio::test]
async fn writes_that_wait_are_done_in_order_with_one_commit() {
    let (store, _place, _directory) = store().await;
    let mut changed = store.subscribe();
    let waiting: Vec<_> =
        (0..=TOGETHER).map(|at| join(&store, &format!("s{at:04}"), End::Keep)).collect();
    let together = i64::try_from(TOGETHER).unwrap();
    store.inner.take_turn().await;
    assert_eq!(*changed.borrow_and_update(), together);
    store.inner.take_turn().await;
    for (revision, waiting) in (1..).zip(waiting) {
        assert_eq!(told(waiting).await, Ok(revision));
    }
    let (names, revision) = kept(&store).await;
    assert!(names.is_sorted());
    assert_eq!((names.len(), revision), (TOGETHER + 1, together + 1));
}

#[tokio::test]
async fn what_fails_or_only_checks_leaves_nothing_and_harms_no_other() {
    use End::{Break, Check, Keep, Refuse};
    let (store, _place, _directory) = store().await;
    let ends = [Refuse, Keep, Break, Check, Check, Keep, Refuse];
    let waiting: Vec<_> =
        ends.iter().enumerate().map(|(at, end)| join(&store, &format!("s{at}"), *end)).collect();
    store.inner.take_turn().await;
    let told = join_all(waiting.into_iter().map(told)).await;
    let went = [Err("refused"), Ok(1), Err("storage"), Ok(2), Ok(2), Ok(2), Err("refused")];
    assert_eq!(told, went);
    assert_eq!(kept(&store).await, (vec!["s1".into(), "s5".into()], 2));
}

#[tokio::test]
async fn alone_it_is_the_same() {
    let (store, _place, _directory) = store().await;
    for (end, went) in [
        (End::Refuse, Err("refused")),
        (End::Check, Ok(1)),
        (End::Break, Err("storage")),
        (End::Owe, Err("storage")),
        (End::Lose, Err("storage")),
        (End::Keep, Ok(1)),
    ] {
        let waiting = join(&store, "a", end);
        store.inner.take_turn().await;
        assert_eq!(told(waiting).await, went);
    }
    assert_eq!(kept(&store).await, (vec!["a".into()], 1));
}

#[tokio::test]
async fn a_commit_that_fails_fails_all_of_it_and_whatever_was_seen_in_it() {
    let (store, _place, _directory) = store().await;
    let ends = [End::Keep, End::Owe, End::Refuse, End::Keep];
    let waiting: Vec<_> =
        ends.iter().enumerate().map(|(at, end)| join(&store, &format!("s{at}"), *end)).collect();
    store.inner.take_turn().await;
    assert_eq!(join_all(waiting.into_iter().map(told)).await, [Err("storage"); 4]);
    assert_eq!(kept(&store).await, (vec![], 0));
    assert!(!store.subscribe().has_changed().unwrap());
}

#[tokio::test]
async fn what_had_not_begun_in_a_lost_transaction_goes_on_in_another() {
    let (store, _place, _directory) = store().await;
    let ends = [End::Keep, End::Lose, End::Keep, End::Lose, End::Keep];
    let waiting: Vec<_> =
        ends.iter().enumerate().map(|(at, end)| join(&store, &format!("s{at}"), *end)).collect();
    store.inner.take_turn().await;
    let told = join_all(waiting.into_iter().map(told)).await;
    let lost = Err("storage");
    assert_eq!(told, [lost, lost, lost, lost, Ok(1)]);
    assert_eq!(kept(&store).await, (vec!["s4".into()], 1));
}

#[tokio::test]
async fn one_that_panics_takes_its_group_along_and_no_more() {
    let (store, _place, _directory) = store().await;
    let group = [join(&store, "a", End::Keep), join(&store, "b", End::Panic)];
    let turn = store.clone();
    assert!(tokio::spawn(async move { turn.inner.take_turn().await }).await.is_err());
    assert_eq!(join_all(group.into_iter().map(told)).await, [Err("untold"); 2]);
    let after = join(&store, "c", End::Keep);
    store.inner.take_turn().await;
    assert_eq!(told(after).await, Ok(1));
    assert_eq!(kept(&store).await, (vec!["c".into()], 1));
}

#[tokio::test]
async fn one_too_many_is_refused_and_says_when_to_come_back() {
    let (store, _place, _directory) = store().await;
    let waiting: Vec<_> = (0..WAITING).map(|_| join(&store, "a", End::Refuse)).collect();
    let refused = store.write(|txn| txn.make(String::new(), End::Keep).boxed()).await;
    let error = Wire::from(refused.unwrap_err());
    assert_eq!((error.code(), error.reason()), (Code::Unavailable, "STORAGE_BUSY"));
    assert!(salvor_proto::error::received(&error.into()).retry.is_some());
    for _ in 0..WAITING / TOGETHER {
        store.inner.take_turn().await;
    }
    for waiting in waiting {
        assert_eq!(told(waiting).await, Err("refused"));
    }
    store.write(|txn| async { Ok(txn.next_revision()) }.boxed()).await.unwrap();
}
