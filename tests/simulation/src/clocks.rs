//! The clocks of a world.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mad_turmoil::time::SimClocksGuard;
use salvor_runtime::{Clock, Timestamp};

/// The time of day when a world begins, in milliseconds: far enough from zero for clocks to be set back.
const BEGINNING: u64 = 1_000_000_000_000;

/// The time of day at a host: that of the world, off by what it was set to.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorldClock(Arc<AtomicI64>);

impl WorldClock {
    /// From now on it is so many milliseconds ahead of the world, or behind it.
    pub(crate) fn set(&self, ahead_ms: i64) {
        self.0.store(ahead_ms, Ordering::SeqCst);
    }
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let elapsed = turmoil::sim_elapsed().unwrap_or(Duration::ZERO);
        let now = BEGINNING.saturating_add(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        Timestamp(now.saturating_add_signed(self.0.load(Ordering::SeqCst)))
    }
}

/// From now on the clocks of this process are those of the simulated host at hand.
pub(crate) fn simulate() {
    // The guard's end would be theirs.
    std::mem::forget(SimClocksGuard::init());
}

/// While this lives, the clocks of this process stand still. Two threads that share a runtime, as stores and their callers
/// do, must not find the time through it: its clock has a lock, and waiting for a lock asks for the time.
#[derive(Debug)]
pub(crate) struct Aside(());

impl Aside {
    pub(crate) fn step() -> Self {
        drop(SimClocksGuard::init());
        Self(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        simulate();
    }
}
