use salvor_proto::gateway::v1::{OperationFailure, PruneReport};
use salvor_runtime::SystemClock;
use tokio::sync::oneshot;

use super::*;

mod inside;

const ID: &str = "7d444840-9dc0-11d1-b245-5ffdce74fad2";
const NAME: &str = "operations/7d444840-9dc0-11d1-b245-5ffdce74fad2";
const LONG: Duration = Duration::from_mins(1);

fn operations(max: usize) -> Operations {
    Operations::new(Arc::new(SystemClock), max)
}

#[expect(clippy::unnecessary_wraps, reason = "what work answers")]
fn pruned() -> Result<Outcome, OperationFailure> {
    Ok(Outcome::Prune(PruneReport::default()))
}

#[tokio::test]
async fn a_request_begins_once_and_is_waited_for() {
    let operations = operations(2);
    let (end, ended) = oneshot::channel::<()>();
    let begun = operations
        .start(Kind::Prune, "a", ID, |handle| async move {
            handle.begin("pruning", 3, 0);
            handle.add_files(2);
            ended.await.unwrap();
            pruned()
        })
        .unwrap();
    assert_eq!((begun.name.as_str(), begun.done), (NAME, false));
    let again = operations.start(Kind::Prune, "a", ID, |_| async { panic!("twice") }).unwrap();
    assert_eq!(again.create_time, begun.create_time);
    let waited = operations.wait(NAME, Duration::ZERO).await.unwrap();
    assert!(!waited.done);
    end.send(()).unwrap();
    let done = operations.wait(NAME, LONG).await.unwrap();
    assert!(done.done && done.end_time.is_some());
    assert_eq!(done.result, Some(Outcome::Prune(PruneReport::default())));
    assert_eq!(done.progress.unwrap().files_done, 2);
    assert!(operations.start(Kind::Prune, "a", ID, |_| async { pruned() }).unwrap().done);
    assert_eq!((operations.list(false).len(), operations.list(true).len()), (1, 0));
}

#[tokio::test]
async fn another_use_of_an_id_and_more_than_fit_are_refused() {
    let operations = operations(1);
    let forever = |_: Handle| std::future::pending();
    operations.start(Kind::Prune, "a", ID, forever).unwrap();
    for (kind, subject) in [(Kind::Verify, "a"), (Kind::Prune, "b")] {
        let error = operations.start(kind, subject, ID, forever).unwrap_err();
        assert_eq!(error.reason(), "REQUEST_ID_REUSED");
    }
    let error = operations.start(Kind::Prune, "a", "other", forever).unwrap_err();
    assert_eq!((error.reason(), error.code()), ("OPERATIONS_FULL", Code::Exhausted));
    for (name, reason) in [("x", "INVALID_FIELD"), ("operations/x", "OPERATION_NOT_FOUND")] {
        assert_eq!(operations.get(name).unwrap_err().reason(), reason);
    }
}

#[tokio::test]
async fn a_cancel_is_heard_and_a_panic_is_an_end() {
    let operations = operations(2);
    operations
        .start(Kind::Restore, "a", ID, |handle| async move {
            handle.cancelled().await;
            Err(cancelled("a"))
        })
        .unwrap();
    operations.cancel(NAME).unwrap();
    let done = operations.wait(NAME, LONG).await.unwrap();
    let Some(Outcome::Failure(failure)) = done.result else { panic!("{done:?}") };
    assert_eq!(failure.reason, "CANCELLED");
    assert!(!failure.next_step.is_empty());
    operations.start(Kind::Restore, "a", "p", |_| async { panic!("a defect") }).unwrap();
    let done = operations.wait("operations/p", LONG).await.unwrap();
    let Some(Outcome::Failure(failure)) = done.result else { panic!("{done:?}") };
    assert_eq!(failure.reason, "INTERNAL");
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_hear_a_cancel_is_dropped() {
    let operations = operations(1);
    operations.start(Kind::Restore, "a", ID, |_| std::future::pending()).unwrap();
    operations.cancel(NAME).unwrap();
    assert!(operations.wait(NAME, LONG).await.unwrap().done);
}

#[tokio::test]
async fn closing_ends_all_and_takes_no_more() {
    let operations = operations(1);
    operations
        .start(Kind::Restore, "a", ID, |handle| async move {
            handle.cancelled().await;
            pruned()
        })
        .unwrap();
    operations.close().await;
    assert!(operations.get(NAME).unwrap().done);
    let error = operations.start(Kind::Prune, "a", "x", |_| async { pruned() }).unwrap_err();
    assert_eq!(error.reason(), "SERVER_DRAINING");
}

#[tokio::test]
async fn the_oldest_ended_ones_are_forgotten() {
    let operations = operations(2);
    operations.start(Kind::Prune, "open", ID, |_| std::future::pending()).unwrap();
    for n in 0..=MAX_KEPT {
        operations.start(Kind::Prune, "a", &n.to_string(), |_| async { pruned() }).unwrap();
        operations.wait(&format!("operations/{n}"), LONG).await.unwrap();
    }
    assert_eq!(operations.list(false).len(), MAX_KEPT);
    assert!(operations.get(NAME).is_ok(), "what runs is never forgotten");
    assert!(operations.get("operations/0").is_err());
    assert_eq!(operations.list(false)[0].name, format!("operations/{MAX_KEPT}"));
}
