//! One piece of work at a time in one sandbox.

use tokio::runtime::Handle as Runtime;
use tokio::sync::mpsc;

use super::*;

fn begin<W>(
    operations: &Operations,
    kind: Kind,
    (subject, id): (&str, &str),
    work: impl FnOnce(Handle) -> W,
) -> String
where
    W: Future<Output = Result<Outcome, OperationFailure>> + Send + 'static,
{
    operations.start(kind, subject, id, work).unwrap().name
}

async fn reason(operations: &Operations, name: &str) -> String {
    match operations.wait(name, LONG).await.unwrap().result {
        Some(Outcome::Failure(failure)) => failure.reason,
        other => panic!("{other:?}"),
    }
}

/// A conditional delete brings the agent to rest, too.
#[tokio::test]
async fn a_newer_one_comes_when_the_older_has_left_and_all_of_it_is_undone() {
    comes_after(Kind::Snapshot, Kind::Restore).await;
    comes_after(Kind::Delete, Kind::Snapshot).await;
    comes_after(Kind::Snapshot, Kind::Delete).await;
}

async fn comes_after(old: Kind, new: Kind) {
    let operations = operations(2);
    let (say, mut said) = mpsc::unbounded_channel();
    let (let_go, undoing) = oneshot::channel::<()>();
    let (word, began) = (say.clone(), oneshot::channel());
    let older = begin(&operations, old, ("a", "1"), |handle| async move {
        began.0.send(()).unwrap();
        handle.cancelled().await;
        handle.undo(&Runtime::current(), async move {
            undoing.await.unwrap();
            word.send("undone").unwrap();
        });
        Err(cancelled("a"))
    });
    began.1.await.unwrap();
    let newer = begin(&operations, new, ("a", "2"), |_| async move {
        say.send("begun").unwrap();
        pruned()
    });
    assert_eq!(reason(&operations, &older).await, "CANCELLED");
    // It has ended, and is not undone.
    let waits = operations.wait(&newer, Duration::ZERO).await.unwrap();
    assert_eq!((waits.done, waits.progress.unwrap().stage), (false, "waiting".into()));
    let_go.send(()).unwrap();
    assert!(operations.wait(&newer, LONG).await.unwrap().done);
    assert_eq!((said.recv().await, said.recv().await), (Some("undone"), Some("begun")));
}

/// Work that is undone once it is let go.
fn undone_by(operations: &Operations, let_go: oneshot::Receiver<()>) -> String {
    begin(operations, Kind::Snapshot, ("a", "1"), |handle| async move {
        handle.cancelled().await;
        handle.undo(&Runtime::current(), let_go);
        Err(cancelled("a"))
    })
}

#[tokio::test]
async fn closing_waits_until_all_of_it_is_undone() {
    let operations = operations(1);
    let (let_go, undoing) = oneshot::channel::<()>();
    let work = undone_by(&operations, undoing);
    let mut closing = Box::pin(operations.close());
    assert!(futures::poll!(&mut closing).is_pending());
    assert_eq!(reason(&operations, &work).await, "CANCELLED");
    assert!(futures::poll!(&mut closing).is_pending(), "it has ended, and is not undone");
    let_go.send(()).unwrap();
    tokio::time::timeout(LONG, closing).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn closing_waits_no_longer_than_work_may_clean_up() {
    let operations = operations(1);
    let (_never, undoing) = oneshot::channel::<()>();
    undone_by(&operations, undoing);
    tokio::time::timeout(CLEAN_UP, operations.close()).await.unwrap();
}

#[tokio::test]
async fn one_that_waits_is_cancelled_too_and_never_begins() {
    let operations = operations(1);
    let (let_go, undoing) = oneshot::channel::<()>();
    begin(&operations, Kind::Snapshot, ("a", "1"), |handle| async move {
        handle.cancelled().await;
        undoing.await.unwrap();
        Err(cancelled("a"))
    });
    let waits = begin(&operations, Kind::Snapshot, ("a", "2"), |_| async { panic!("begun") });
    let last = begin(&operations, Kind::Snapshot, ("a", "3"), |_| async { pruned() });
    assert_eq!(reason(&operations, &waits).await, "CANCELLED");
    let_go.send(()).unwrap();
    assert!(operations.wait(&last, LONG).await.unwrap().done);
}

#[tokio::test]
async fn other_sandboxes_and_what_only_looks_are_left_alone() {
    let operations = operations(4);
    let forever = |_: Handle| std::future::pending();
    let older = begin(&operations, Kind::Snapshot, ("a", "1"), forever);
    let other = begin(&operations, Kind::Snapshot, ("b", "2"), |_| async { pruned() });
    let look = begin(&operations, Kind::Compare, ("a", "3"), |_| async { pruned() });
    for name in [other, look] {
        assert!(operations.wait(&name, LONG).await.unwrap().done);
    }
    assert!(!operations.get(&older).unwrap().done);
}
