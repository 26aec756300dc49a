//! What is open and not at work here, as far as is known: what the sweep looks at. The journal is the truth of it; this spares
//! asking for all of it again and again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use salvor_core::id::RecoveryName;
use tokio::time::Instant;

/// Open recoveries, each with the time before which there is nothing to do about it here.
#[derive(Debug, Default)]
pub(super) struct Open(Mutex<BTreeMap<RecoveryName, Option<Instant>>>);

// === impl Open ===

impl Open {
    /// It left the runner here: due at once.
    pub(super) fn left(&self, name: &RecoveryName) {
        self.lock().insert(name.clone(), None);
    }

    pub(super) fn remove(&self, name: &RecoveryName) {
        self.lock().remove(name);
    }

    /// Somebody else has it until then, at least.
    pub(super) fn held_until(&self, name: &RecoveryName, until: Instant) {
        self.lock().insert(name.clone(), Some(until));
    }

    /// Takes `open` for all there is.
    pub(super) fn settle(&self, open: BTreeSet<RecoveryName>) {
        let mut known = self.lock();
        known.retain(|name, _| open.contains(name));
        for name in open {
            known.entry(name).or_default();
        }
    }

    /// Those that there may be something to do about.
    pub(super) fn due(&self, now: Instant) -> Vec<RecoveryName> {
        let known = self.lock();
        let due = known.iter().filter(|(_, until)| until.is_none_or(|until| until <= now));
        due.map(|(name, _)| name.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RecoveryName, Option<Instant>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
