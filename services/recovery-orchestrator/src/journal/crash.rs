//! The end of the process right after a write: for tests of what a crash leaves behind.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// After which append the process ends, and how. Clones count together.
#[derive(Clone)]
pub struct CrashAfter {
    left: Arc<AtomicU64>,
    end: Arc<dyn Fn() + Send + Sync>,
}

impl CrashAfter {
    /// Killed (SIGKILL) after the `appends`-th.
    pub fn killed(appends: u64) -> Self {
        Self::by(appends, || {
            // It cannot be caught: nothing after this line runs.
            let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        })
    }

    /// After the `appends`-th, `end` is called once, before anybody hears of the append.
    pub fn by(appends: u64, end: impl Fn() + Send + Sync + 'static) -> Self {
        Self { left: Arc::new(AtomicU64::new(appends)), end: Arc::new(end) }
    }

    pub(super) fn wrote(&self) {
        let less = |left: u64| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) == Ok(1) {
            (self.end)();
        }
    }
}

impl fmt::Debug for CrashAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CrashAfter").field(&self.left).finish()
    }
}
