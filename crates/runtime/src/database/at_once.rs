//! Store operations that take no time, for simulations.
//!
//! SQLite works on threads of its own. Where time is simulated it would pass while they work, and differently in each run.
//! So a simulation lets every store operation run to its end inside the poll that begins it, on a runtime beside its own.

use std::any::Any;
use std::sync::OnceLock;

/// Enters a runtime that drives the connections, until what it answers is dropped.
type Enter = Box<dyn Fn() -> Box<dyn Any> + Send + Sync>;

static BESIDE: OnceLock<Enter> = OnceLock::new();

/// From now on and in this whole process, [`at_once`] blocks its thread until the operation is done, inside of what `enter`
/// enters: a runtime that drives the connections meanwhile, and so not the caller's own. Said twice, the first counts.
pub fn take_no_time<G: 'static>(enter: impl Fn() -> G + Send + Sync + 'static) {
    // The first one is as good.
    let _ = BESIDE.set(Box::new(move || Box::new(enter())));
}

/// A store operation, which must wait for nothing but its store, and call itself no other one through here. Dropping the
/// future is dropping the operation.
pub fn at_once<F: Future>(operation: F) -> impl Future<Output = F::Output> {
    // On the heap, so that callers' futures do not hold it twice.
    let operation = Box::pin(operation);
    async move {
        match BESIDE.get() {
            None => operation.await,
            Some(enter) => {
                let _entered = enter();
                futures::executor::block_on(operation)
            }
        }
    }
}
