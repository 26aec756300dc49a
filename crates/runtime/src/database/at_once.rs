//! Store operations that take no time, for simulations.
//!
//! SQLite works on threads of its own. Where time is simulated it would pass while they work, and differently in each run.
//! So a simulation lets every store operation run to its end inside the poll that begins it, on a runtime beside its own.

use std::any::Any;
use std::sync::OnceLock;

/// What a simulation does around store operations.
struct Beside {
    /// Enters a runtime that drives the connections, until what it answers is dropped.
    enter: Box<dyn Fn() -> Box<dyn Any> + Send + Sync>,
    /// Whether the caller's process has ended during the operation.
    ended: Box<dyn Fn() -> bool + Send + Sync>,
}

static BESIDE: OnceLock<Beside> = OnceLock::new();

/// From now on and in this whole process, [`at_once`] blocks its thread until the operation is done, inside of what `enter`
/// enters: a runtime that drives the connections meanwhile, and so not the caller's own. Where `ended` then says that the
/// simulated process has ended by now, the caller never goes on. Said twice, the first counts.
pub fn take_no_time<G: 'static>(
    enter: impl Fn() -> G + Send + Sync + 'static,
    ended: impl Fn() -> bool + Send + Sync + 'static,
) {
    // The first one is as good.
    let _ =
        BESIDE.set(Beside { enter: Box::new(move || Box::new(enter())), ended: Box::new(ended) });
}

/// A store operation, which must wait for nothing but its store, and call itself no other one through here. Dropping the
/// future is dropping the operation.
pub fn at_once<F: Future>(operation: F) -> impl Future<Output = F::Output> {
    // On the heap, so that callers' futures do not hold it twice.
    let operation = Box::pin(operation);
    async move {
        let Some(beside) = BESIDE.get() else { return operation.await };
        let done = {
            let _entered = (beside.enter)();
            futures::executor::block_on(operation)
        };
        if (beside.ended)() {
            std::future::pending::<()>().await;
        }
        done
    }
}
