//! What snapshots say of themselves, kept between lists.
//!
//! Invariants: a snapshot file never changes, since its name is its content's hash, so what was read of one holds for as long as
//! the file is there; what could not be read is read again each time. Deliberately absent: the notes of a coverage, which may
//! be half a megabyte of one snapshot.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustic_core::Id;
use salvor_proto::gateway::v1 as pb;

/// See the module. Files are known by name and size.
#[derive(Debug, Default)]
pub(super) struct Summaries(Mutex<HashMap<(Id, u32), pb::Snapshot>>);

// === impl Summaries ===

impl Summaries {
    /// Forgets what is not among these files. Answers those that were read, and which are to be read.
    pub(super) fn known(&self, files: Vec<(Id, u32)>) -> (Vec<pb::Snapshot>, Vec<(Id, u32)>) {
        let mut kept = self.lock();
        let mut before = std::mem::take(&mut *kept);
        let (mut known, mut unread) = (Vec::new(), Vec::new());
        for file in files {
            match before.remove(&file) {
                Some(snapshot) => {
                    known.push(snapshot.clone());
                    kept.insert(file, snapshot);
                }
                None => unread.push(file),
            }
        }
        (known, unread)
    }

    /// Keeps what was read of a file, but for its notes, and answers that.
    pub(super) fn keep(&self, file: (Id, u32), mut snapshot: pb::Snapshot) -> pb::Snapshot {
        if let Some(coverage) = &mut snapshot.coverage {
            (coverage.left_out, coverage.issues) = (Vec::new(), Vec::new());
        }
        self.lock().insert(file, snapshot.clone());
        snapshot
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Id, u32), pb::Snapshot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
