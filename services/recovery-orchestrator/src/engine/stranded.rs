//! What is open and cannot be gone on with here: each is told once, with what to do, and all are counted.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use opentelemetry::{global, metrics::Gauge};
use salvor_core::id::RecoveryName;
use tracing::warn;

use crate::obstacle::Obstacle;

/// Those that this process has come upon.
#[derive(Debug)]
pub(super) struct Stranded {
    names: Mutex<BTreeSet<RecoveryName>>,
    count: Gauge<u64>,
}

impl Default for Stranded {
    fn default() -> Self {
        let count = global::meter("salvor")
            .u64_gauge("salvor.recovery.stranded")
            .with_unit("{recovery}")
            .with_description("Open recoveries that this version cannot go on with")
            .build();
        count.record(0, &[]);
        Self { names: Mutex::default(), count }
    }
}

impl Stranded {
    /// Tells of one.
    pub(super) fn note(&self, name: &RecoveryName, obstacle: &Obstacle) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.insert(name.clone()) {
            warn!(
                recovery = %name,
                reason = obstacle.reason(),
                next_step = obstacle.next_step(name),
                "an open recovery is left as it is: {obstacle}"
            );
            self.tell(names.len());
        }
    }

    /// It is not stranded any more.
    pub(super) fn forget(&self, name: &RecoveryName) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.remove(name) {
            self.tell(names.len());
        }
    }

    /// Those that are not open any more are not stranded either: others may have retired them, or gone on with them.
    pub(super) fn keep_only(&self, open: &BTreeSet<RecoveryName>) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let before = names.len();
        names.retain(|name| open.contains(name));
        if names.len() != before {
            self.tell(names.len());
        }
    }

    fn tell(&self, count: usize) {
        self.count.record(count as u64, &[]);
    }
}
