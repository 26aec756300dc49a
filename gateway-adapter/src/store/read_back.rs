//! Comparing what the repository holds with what was given to it.
//!
//! Invariant: a capture without notes here has each entry in its tree that was given, with that metadata and no other entry, each
//! newly read file reads back to the digest of what came from the sandbox, and each unchanged one is all there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustic_core::BlobId;
use rustic_core::repofile::{BlobType, Node};
use sha2::{Digest as _, Sha256};

use super::content::Content;
use super::feed::covered;
use super::ledger::{Given, Held, Key, MAX_NOTES, key};
use super::parallel::{self, Wanted};
use super::repository::Indexed;
use super::{Archived, OnProgress, Step, tree};
use crate::workspace::{Note, Reason};

/// See the module. `index` is newer than the capture.
pub(super) fn read_back(
    index: &Arc<Indexed>,
    archived: &Archived,
    progress: &OnProgress,
    wanted: &Wanted,
) -> Vec<Note> {
    let comparison = Comparison::new(index, archived);
    let (entries, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let notes = Mutex::new(Vec::new());
    let note = |path: &Path, detail: String| {
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < MAX_NOTES {
            let reason = Reason::ReadBackDiffers;
            notes.push(Note { path: path.to_owned(), reason, detail });
        }
    };
    parallel::each(comparison, wanted, Job::weight, |job| {
        let found = match &job.task {
            Task::Read(content, digest) => compare(index, content, *digest, &bytes),
            Task::Whole(content) if content.is_whole() => Ok(()),
            Task::Whole(_) => Err("it is unchanged, and not all of it is there".to_owned()),
            Task::Nothing => Ok(()),
            Task::Wrong(detail) => Err(detail.clone()),
        };
        if let Err(detail) = found {
            note(&job.path, detail);
        }
        let entries = entries.fetch_add(1, Ordering::Relaxed) + 1;
        progress(Step { entries, bytes: bytes.load(Ordering::Relaxed) });
    });
    notes.into_inner().unwrap_or_else(PoisonError::into_inner)
}

struct Job {
    path: PathBuf,
    task: Task,
}

enum Task {
    Read(Content, [u8; 32]),
    Whole(Content),
    Nothing,
    Wrong(String),
}

impl Job {
    /// In bytes that are read.
    fn weight(&self) -> u64 {
        match &self.task {
            Task::Read(content, _) => content.size(),
            Task::Whole(_) | Task::Nothing | Task::Wrong(_) => 0,
        }
    }
}

/// Goes through the tree and through what was given, side by side.
struct Comparison<'a> {
    walk: Box<dyn Iterator<Item = tree::Found>>,
    index: &'a Arc<Indexed>,
    archived: &'a Archived,
    next: usize,
    missing: usize,
    /// Made when the two first differ.
    places: Option<HashMap<Key, usize>>,
    ended: bool,
}

// === impl Comparison ===

impl<'a> Comparison<'a> {
    fn new(index: &'a Arc<Indexed>, archived: &'a Archived) -> Self {
        let walk = tree::Walk::new(Arc::clone(index), archived.file.tree, |_, _| true);
        let walk = Box::new(walk);
        Self { walk, index, archived, next: 0, missing: 0, places: None, ended: false }
    }

    /// What was given under this key, and not before the last one asked for.
    fn given(&mut self, key: Key) -> Option<Given> {
        let given = &self.archived.given;
        let at = match given.get(self.next) {
            Some(next) if next.key == key => self.next,
            _ => {
                let places = self.places.get_or_insert_with(|| {
                    given.iter().enumerate().map(|(at, given)| (given.key, at)).collect()
                });
                places.get(&key).copied().filter(|at| *at >= self.next)?
            }
        };
        self.missing += at - self.next;
        self.next = at + 1;
        given.get(at).copied()
    }

    fn task(&mut self, path: &Path, node: &Node) -> Task {
        let Some(given) = self.given(key(path, node)) else {
            return Task::Wrong("it is not as it was given".to_owned());
        };
        let content = || {
            let pieces = node.content.clone().unwrap_or_default();
            Content::new(Arc::clone(self.index), pieces, node.meta.size)
        };
        match given.content {
            Held::Nothing => Task::Nothing,
            Held::Unchanged => Task::Whole(content()),
            Held::Read(digest) => Task::Read(content(), digest),
            Held::Pending => Task::Wrong("it was not read to its end".to_owned()),
        }
    }

    fn last(&mut self) -> Option<Job> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let missing = self.missing + (self.archived.given.len() - self.next);
        let path = self.archived.roots.first().cloned().unwrap_or_default();
        let task = Task::Wrong(format!("{missing} entries that were given are not in it"));
        (missing > 0).then_some(Job { path, task })
    }
}

impl Iterator for Comparison<'_> {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        loop {
            let Some(found) = self.walk.next() else { return self.last() };
            let path = found.path;
            let node = match found.node {
                Ok(node) => node,
                Err(error) => return Some(Job { path, task: Task::Wrong(error.to_string()) }),
            };
            let roots = &self.archived.roots;
            if covered(roots, &path) {
                let task = self.task(&path, &node);
                return Some(Job { path, task });
            }
            // What leads to a root was made up by the archiver.
            if !roots.iter().any(|root| root.starts_with(&path)) {
                let task = Task::Wrong("nobody gave it".to_owned());
                return Some(Job { path, task });
            }
        }
    }
}

/// One piece is in memory at once.
fn compare(
    index: &Indexed,
    content: &Content,
    expected: [u8; 32],
    bytes: &AtomicU64,
) -> Result<(), String> {
    let mut digest = Sha256::new();
    for piece in content.pieces() {
        let read = tree::blob(index, &BlobId::from(*piece), BlobType::Data);
        let read = read.map_err(|error| error.to_string())?;
        digest.update(&read);
        bytes.fetch_add(read.len() as u64, Ordering::Relaxed);
    }
    let found: [u8; 32] = digest.finalize().into();
    if found == expected { Ok(()) } else { Err("its content reads back differently".to_owned()) }
}
