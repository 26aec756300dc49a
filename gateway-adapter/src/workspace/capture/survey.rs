//! What there is below the roots, and whether it is still the same later.
//!
//! Invariant: entries are in tree order and none is left out unsaid. The second look is compared as
//! it comes, so that only one listing is ever held.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use crate::workspace::notes::Notes;
use crate::workspace::rules::{Rules, Verdict};
use crate::workspace::{Broken, Channel, Entry, Kind, Note, Reason};

/// Entries between the channel and whoever takes them in.
const QUEUE: usize = 256;

/// All roots, in tree order.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) roots: Vec<Root>,
    /// What is left out on purpose.
    pub(super) left_out: Notes,
    /// What is amiss.
    pub(super) issues: Notes,
}

/// One root.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) path: PathBuf,
    /// In tree order; empty when it could not be listed.
    pub(super) entries: Vec<Entry>,
    /// Files that the listing said cannot be read.
    pub(super) unreadable: HashSet<PathBuf>,
    /// Whether it was listed to its end, with all that is below it.
    pub(super) whole: bool,
}

/// What a listing came to.
enum Listed {
    /// To its end, with what the channel noted.
    Whole(Vec<Note>),
    /// There was more of it than may be held.
    TooMany,
}

/// What was different when it was looked at again.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) notes: Notes,
}

/// Paths whose changes do not matter: what is copied by other means, and what salvor put there.
#[derive(Debug, Default)]
pub(super) struct Exempt {
    pub(super) paths: HashSet<PathBuf>,
    /// With all that is below it.
    pub(super) directory: Option<PathBuf>,
}

/// Lists all roots, with at most so many entries in all: they are held while the snapshot is taken.
///
/// # Errors
/// None of them could be listed, since the channel does not work.
pub(super) async fn survey<C: Channel>(
    channel: &C,
    rules: &Rules,
    nonce: Option<&Path>,
    at_most: usize,
) -> Result<Survey, Broken> {
    let mut survey = Survey::default();
    let (mut left, mut broken) = (at_most, None);
    for path in &rules.roots {
        let mut root = Root {
            path: path.clone(),
            entries: Vec::new(),
            unreadable: HashSet::new(),
            whole: false,
        };
        match list(channel, rules, nonce, &mut root, left, &mut survey.left_out).await {
            Ok(Listed::Whole(notes)) => survey.take(&mut root, notes),
            Ok(Listed::TooMany) => {
                let detail = format!("there are more than {at_most} entries below the roots");
                let path = path.clone();
                let note = Note { path, reason: Reason::TooManyEntries, detail };
                survey.take(&mut root, vec![note]);
            }
            Err(failed) => {
                survey.issues.note(path, Reason::StreamCut, failed.unknown.detail.clone());
                root.entries.clear();
                broken = Some(failed);
            }
        }
        left = left.saturating_sub(root.entries.len());
        survey.roots.push(root);
    }
    match broken {
        Some(broken) if survey.roots.iter().all(|root| root.entries.is_empty()) => Err(broken),
        _ => Ok(survey),
    }
}

async fn list<C: Channel>(
    channel: &C,
    rules: &Rules,
    nonce: Option<&Path>,
    root: &mut Root,
    at_most: usize,
    left_out: &mut Notes,
) -> Result<Listed, Broken> {
    let (sender, mut receiver) = mpsc::channel(QUEUE);
    let mut sieve = rules.sieve(&root.path);
    let mut too_many = false;
    let taking = async {
        while let Some(entry) = receiver.recv().await {
            match sieve.judge(&entry) {
                Verdict::Leave(_) if nonce == Some(&entry.path) => {}
                Verdict::Leave(note) => {
                    left_out.push(note);
                    continue;
                }
                Verdict::Below => continue,
                Verdict::Keep => {}
            }
            if root.entries.len() >= at_most {
                too_many = true;
                receiver.close();
                return;
            }
            root.entries.push(entry);
        }
    };
    let listing = async {
        let listed = channel.inventory(root.path.clone(), sender).await;
        Ok::<_, Broken>(listed)
    };
    let taken = async {
        taking.await;
        Ok(())
    };
    let (listed, ()) = tokio::try_join!(listing, taken)?;
    if too_many { Ok(Listed::TooMany) } else { listed.map(Listed::Whole) }
}

/// Looks again and says what is different. A look that fails says that nothing is known.
pub(super) async fn compare<C: Channel>(
    channel: &C,
    rules: &Rules,
    before: &Survey,
    exempt: &Exempt,
) -> Changes {
    let mut changes = Changes::default();
    for root in before.roots.iter().filter(|root| !root.entries.is_empty()) {
        let (sender, mut receiver) = mpsc::channel::<Entry>(QUEUE);
        let mut sieve = rules.sieve(&root.path);
        let mut seen = vec![false; root.entries.len()];
        let comparing = async {
            while let Some(now) = receiver.recv().await {
                if let Some(at) = root.position(&now.path) {
                    if let Some(seen) = seen.get_mut(at) {
                        *seen = true;
                    }
                    if !exempt.has(&now.path)
                        && let Some(what) = root.entries.get(at).and_then(|old| differs(old, &now))
                    {
                        let detail = format!("its {what} changed while it was read");
                        changes.notes.note(&now.path, Reason::ChangedWhileReading, detail);
                    }
                } else if sieve.judge(&now) == Verdict::Keep && !exempt.has(&now.path) {
                    let detail = "it appeared while its root was read";
                    changes.notes.note(&now.path, Reason::Vanished, detail);
                }
            }
        };
        let (listed, ()) = tokio::join!(channel.inventory(root.path.clone(), sender), comparing);
        match listed {
            // What may not be read now and could be before shows in what was read.
            Ok(notes) => {
                let out = notes.into_iter().filter(|note| note.reason == Reason::LeavesRoot);
                changes.notes.extend(out);
            }
            Err(broken) => {
                changes.notes.note(&root.path, Reason::StreamCut, broken.unknown.detail);
                continue;
            }
        }
        let gone = root.entries.iter().zip(&seen).filter(|(_, seen)| !**seen);
        for (entry, _) in gone.filter(|(entry, _)| !exempt.has(&entry.path)) {
            let detail = "it vanished while its root was read";
            changes.notes.note(&entry.path, Reason::Vanished, detail);
        }
    }
    changes
}

/// What is different in two looks at one entry. The times of a directory change with each entry
/// that comes and goes; what counts is which entries there are.
fn differs(before: &Entry, now: &Entry) -> Option<&'static str> {
    let directory = before.kind == Kind::Directory;
    if before.kind != now.kind {
        Some("type")
    } else if before.size != now.size {
        Some("size")
    } else if (before.inode, before.device) != (now.inode, now.device) {
        Some("inode")
    } else if (before.mode, before.uid, before.gid) != (now.mode, now.uid, now.gid) {
        Some("owner or mode")
    } else if !directory && before.modified != now.modified {
        Some("time of modification")
    } else if !directory && before.changed != now.changed {
        Some("time of change")
    } else {
        None
    }
}

// === impl Survey ===

impl Survey {
    /// Takes what the channel noted of a root: of what is left out anyway it does not matter.
    fn take(&mut self, root: &mut Root, notes: Vec<Note>) {
        root.entries.sort_unstable_by(|one, other| one.path.cmp(&other.path));
        root.whole = true;
        for note in notes {
            let of_root = note.path == root.path || note.reason == Reason::LeavesRoot;
            if !of_root && root.position(&note.path).is_none() {
                continue;
            }
            root.whole = false;
            if note.reason == Reason::Unreadable {
                root.unreadable.insert(note.path.clone());
            }
            self.issues.push(note);
        }
        let starts = root.entries.first().is_some_and(|entry| entry.path == root.path);
        if !starts && self.issues.iter().all(|note| note.path != root.path) {
            self.issues.note(&root.path, Reason::RootMissing, "the root was not listed");
        }
        root.whole &= starts;
    }

    /// All entries, and the bytes of the regular files among them.
    pub(super) fn totals(&self) -> (u64, u64) {
        let entries = || self.roots.iter().flat_map(|root| &root.entries);
        (entries().count() as u64, entries().map(|entry| entry.size).sum())
    }
}

// === impl Root ===

impl Root {
    /// Where an entry is.
    pub(super) fn position(&self, path: &Path) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.path.as_path().cmp(path)).ok()
    }
}

// === impl Exempt ===

impl Exempt {
    fn has(&self, path: &Path) -> bool {
        self.paths.contains(path)
            || self.directory.as_ref().is_some_and(|directory| path.starts_with(directory))
    }
}

#[cfg(test)]
mod tests;
