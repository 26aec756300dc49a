//! Since when every look, without a gap, said that a sandbox is absent.
//!
//! Invariant: an absence is only ever as old as the gateway's present stretch of health, and one
//! look that said anything else forgets it. Bounded; what is forgotten counts anew, which only
//! makes an absence younger. So does what a suspended host does to its monotonic clock; the wall
//! clock does nothing to it.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::vendor::Place;

/// How many absences are remembered per gateway.
const MAX: usize = 16_384;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Absences(HashMap<Place, Entry>);

#[derive(Debug)]
struct Entry {
    since: Instant,
    epoch: u64,
}

// === impl Absences ===

impl Absences {
    /// A look that said absent, in the given epoch of the gateway's health. Answers for how long every
    /// look has.
    pub(super) fn seen(&mut self, place: &Place, epoch: u64) -> Duration {
        let now = Instant::now();
        if let Some(entry) = self.0.get(place).filter(|entry| entry.epoch == epoch) {
            return now.duration_since(entry.since);
        }
        if self.0.len() >= MAX {
            self.0.retain(|_, entry| entry.epoch == epoch);
        }
        if self.0.len() >= MAX {
            self.0.clear();
        }
        self.0.insert(place.clone(), Entry { since: now, epoch });
        Duration::ZERO
    }

    /// A look that said anything else.
    pub(super) fn forget(&mut self, place: &Place) {
        self.0.remove(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(sandbox: &str) -> Place {
        Place { workspace: "default".into(), sandbox: sandbox.into() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_absence_keeps_its_beginning_until_something_else_is_seen() {
        let mut absences = Absences::default();
        let second = Duration::from_secs(1);
        assert_eq!(absences.seen(&place("a"), 1), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(absences.seen(&place("a"), 1), second);
        absences.forget(&place("a"));
        assert_eq!(absences.seen(&place("a"), 1), Duration::ZERO);
        tokio::time::advance(second).await;
        assert_eq!(absences.seen(&place("a"), 2), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_never_makes_an_absence_older() {
        let mut absences = Absences::default();
        for index in 0..=MAX {
            absences.seen(&place(&index.to_string()), 1);
        }
        assert!(absences.0.len() <= MAX);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(absences.seen(&place("0"), 1), Duration::ZERO);
    }
}
