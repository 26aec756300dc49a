//! The clocks of a world.

use std::time::Duration;

use mad_turmoil::time::SimClocksGuard;
use salvor_runtime::{Clock, Timestamp};

/// The time of day in the world, whoever asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WorldClock;

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let elapsed = turmoil::sim_elapsed().unwrap_or(Duration::ZERO);
        Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
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
