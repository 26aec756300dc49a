//! What was given to a capture, so that it can be compared with what the repository holds.
//!
//! Invariant: whatever was given is in here before the archiver sees it, since that passes over what it cannot read. Per entry 49
//! bytes, and no path.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustic_core::repofile::Node;
use sha2::{Digest as _, Sha256};

use super::{Counts, OnProgress, Step};
use crate::workspace::{Note, Reason};

/// Of the notes that are kept.
pub(super) const MAX_NOTES: usize = 1000;
/// Between two words of progress within a file, in bytes.
const PROGRESS_BYTES: u64 = 1 << 20;

/// The first half of a SHA-256 over an entry's path and metadata.
pub(super) type Key = [u8; 16];

/// One entry that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) key: Key,
    pub(super) content: Held,
}

/// What is known of an entry's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    /// It has none.
    Nothing,
    /// It is the parent's.
    Unchanged,
    /// It has not been read to its end.
    Pending,
    /// Its SHA-256.
    Read([u8; 32]),
}

/// See the module.
pub(super) struct Ledger {
    state: Mutex<State>,
    progress: OnProgress,
}

/// What a ledger holds.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) given: Vec<Given>,
    pub(super) counts: Counts,
    pub(super) failed: Vec<Note>,
    pub(super) failed_count: u64,
    told: u64,
}

// === impl Ledger ===

impl Ledger {
    /// Nothing was given yet.
    pub(super) fn new(progress: OnProgress) -> Self {
        Self { state: Mutex::default(), progress }
    }

    /// An entry comes. Answers its place.
    pub(super) fn give(&self, given: Given, count: impl FnOnce(&mut Counts)) -> usize {
        let mut state = self.state();
        state.given.push(given);
        count(&mut state.counts);
        let place = state.given.len() - 1;
        self.tell(state);
        place
    }

    /// More of an entry's content was read.
    pub(super) fn read(&self, bytes: u64) {
        let mut state = self.state();
        state.counts.bytes_read += bytes;
        if state.counts.bytes_read - state.told >= PROGRESS_BYTES {
            state.told = state.counts.bytes_read;
            self.tell(state);
        }
    }

    /// Its content was read, as far as it goes.
    pub(super) fn done(&self, place: usize, digest: [u8; 32]) {
        if let Some(given) = self.state().given.get_mut(place) {
            given.content = Held::Read(digest);
        }
    }

    /// Something is wrong with an entry.
    pub(super) fn fail(&self, path: &Path, reason: Reason, detail: String) {
        let mut state = self.state();
        state.failed_count += 1;
        if state.failed.len() < MAX_NOTES {
            state.failed.push(Note { path: path.to_owned(), reason, detail });
        }
    }

    /// All of it, once the archiver is done.
    pub(super) fn close(&self) -> State {
        std::mem::take(&mut *self.state())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, state: MutexGuard<'_, State>) {
        let counts = state.counts;
        drop(state);
        let entries = counts.files + counts.directories + counts.others;
        (self.progress)(Step { entries, bytes: counts.bytes_read });
    }
}

/// What an entry is known by: its path and its metadata as stored.
pub(super) fn key(path: &Path, node: &Node) -> Key {
    use std::os::unix::ffi::OsStrExt as _;
    let bare = Node {
        name: node.name.clone(),
        node_type: node.node_type.clone(),
        meta: node.meta.clone(),
        content: None,
        subtree: None,
    };
    let mut hash = Sha256::new();
    hash.update(path.as_os_str().as_bytes());
    hash.update([0]);
    // It was made of plain values, or came from JSON: it has a JSON form.
    hash.update(serde_json::to_vec(&bare).unwrap_or_default());
    let mut key = Key::default();
    key.copy_from_slice(&hash.finalize()[..16]);
    key
}
