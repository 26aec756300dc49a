//! Since when every look, without a gap, said that a sandbox is absent.
//!
//! Invariant: an absence is only ever as old as the gateway's present stretch of health, and one
//! look that said anything else forgets it. Bounded; what is forgotten counts anew, which only
//! makes an absence younger.

use std::collections::HashMap;

use super::began::Began;
use crate::vendor::Place;

/// How many absences are remembered per gateway.
const MAX: usize = 16_384;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Absences(HashMap<Place, Entry>);

#[derive(Debug)]
struct Entry {
    since: Began,
    epoch: u64,
}

// === impl Absences ===

impl Absences {
    /// A look that said absent, in the given epoch of the gateway's health. Answers since when.
    pub(super) fn seen(&mut self, place: &Place, epoch: u64, now_ms: u64) -> Began {
        if let Some(entry) = self.0.get(place).filter(|entry| entry.epoch == epoch) {
            return entry.since;
        }
        if self.0.len() >= MAX {
            self.0.retain(|_, entry| entry.epoch == epoch);
        }
        if self.0.len() >= MAX {
            self.0.clear();
        }
        let since = Began::at(now_ms);
        self.0.insert(place.clone(), Entry { since, epoch });
        since
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
        let first = absences.seen(&place("a"), 1, 100);
        assert_eq!(absences.seen(&place("a"), 1, 200), first);
        absences.forget(&place("a"));
        assert_eq!(absences.seen(&place("a"), 1, 300), Began::at(300));
        assert_eq!(absences.seen(&place("a"), 2, 400), Began::at(400));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_never_makes_an_absence_older() {
        let mut absences = Absences::default();
        for index in 0..=MAX {
            absences.seen(&place(&index.to_string()), 1, 100);
        }
        assert!(absences.0.len() <= MAX);
        assert_eq!(absences.seen(&place("0"), 1, 500), Began::at(500));
    }
}
