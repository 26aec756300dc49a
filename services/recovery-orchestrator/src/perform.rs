//! What each step of a saga does, and what the sagas share.
//!
//! A step asks other services and turns their answers into one event. It decides nothing: what comes next is the fold's.

mod copy;
mod destroy;
mod note;
mod proofs;
pub(crate) mod prune;
mod rebuild;
pub(crate) mod record;
mod restore;
mod revive;
mod sandbox;
mod snapshot;
mod stale;
mod watch;
mod workspace;

use std::time::Duration;

/// Before the n-th attempt, n from 2: 200 ms, doubling, 5 s at most.
fn pause(attempt: u32) -> Duration {
    let doubled = 100_u64.saturating_mul(1 << attempt.min(10));
    Duration::from_millis(doubled.min(5_000))
}
