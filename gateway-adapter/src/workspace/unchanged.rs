//! Whether a workspace still is what a snapshot holds, right before its sandbox is deleted.
//!
//! As cheap as a listing: by path, type, owner, mode, size, times and inode, as far as both sides know
//! them. Only a database that SQLite copied for the snapshot is copied again and compared by its
//! content, since its times are not those of what is in the snapshot. Invariants: what cannot be looked
//! at has changed; the agent is brought to rest before the look, and let go again unless the sandbox is
//! gone.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use salvor_proto::Error;

use super::notes::Notes;
use super::quiesce::Rest;
use super::sides::{Held, Live, Stopped};
use super::{Channel, Entry, ExecChannel, Kind, Note, Reason, compare, difference, sqlite};
use crate::operations::Handle;
use crate::store::{SnapshotId, Store};
use crate::workspace::rules::Rules;

/// What a look needs.
pub(crate) struct Look<C> {
    /// How the listing comes.
    pub channel: C,
    /// For hooks and databases; none when nothing can be run in the sandbox.
    pub exec: Option<ExecChannel>,
    /// Where the snapshot is.
    pub store: Store,
    /// It.
    pub id: SnapshotId,
    /// Its own.
    pub rules: Arc<Rules>,
    /// Whether it was read through the gateway's exec, so that a file without an inode is a copy.
    pub by_exec: bool,
    /// Where to tell how far it is.
    pub handle: Handle,
}

/// Whether something may be done in the sandbox still.
pub(crate) type Leave<'a> = dyn Fn() -> Result<(), Error> + Sync + 'a;

/// What a look found.
#[expect(clippy::large_enum_variant, reason = "one at a time, as a look ends")]
pub(crate) enum Found {
    /// All is as it was, and the agent is at rest where there are hooks.
    Unchanged(AtRest),
    /// Something was written: the first of it, and how much it is.
    Changed(Note, u64),
    /// The agent could not be brought to rest.
    NotAtRest(Note),
}

/// See [`Found::Unchanged`]. Dropped, the agent is let go.
pub(crate) struct AtRest(Option<Rest>);

// === impl AtRest ===

impl AtRest {
    /// The sandbox stays: its agent is let go.
    pub(crate) async fn goes_on(self) {
        if let Some(rest) = self.0 {
            rest.end().await;
        }
    }

    /// The sandbox is gone, and its agent with it.
    pub(crate) fn forget(self) {
        if let Some(rest) = self.0 {
            rest.forget();
        }
    }
}

// === impl Look ===

impl<C: Channel> Look<C> {
    /// Brings the agent to rest, and looks. `leave` is asked for right before anything is done in the sandbox.
    ///
    /// # Errors
    /// Nothing can be said: the snapshot cannot be read, the sandbox cannot be listed, or leave is not given any more.
    pub(crate) async fn look(self, leave: &Leave<'_>) -> Result<Found, Stopped> {
        self.handle.stage("reading the snapshot");
        let mut held = Held::read(&self.store, &self.id, &self.rules).await?;
        let mut rest = None;
        if let Some(exec) = &self.exec {
            self.handle.stage("quiescing");
            leave()?;
            let (rules, handle) = (Arc::clone(&self.rules), self.handle.clone());
            let (begun, issues) = Rest::begin(exec.clone(), rules, handle).await;
            if let Some(note) = issues.iter().next() {
                begun.end().await;
                return Ok(Found::NotAtRest(note.clone()));
            }
            rest = Some(begun);
        }
        self.handle.begin("looking for changes", 0, 0);
        let mut live = Live::read(&self.channel, &self.rules, &self.handle).await?;
        let mut changes = Notes::default();
        let mut apart = HashSet::new();
        if let Some(rest) = &mut rest {
            let copied = self.copied(&held, &live);
            if !copied.is_empty() {
                leave()?;
                apart = self.databases(&mut held, &copied, rest, &mut changes).await?;
                let before = live;
                live = Live::read(&self.channel, &self.rules, &self.handle).await?;
                meanwhile(&before, &live, &apart, &mut changes);
            }
        }
        let own = rest.iter().flat_map(|rest| &rest.begun.copies).cloned().collect::<Vec<_>>();
        changes.extend(compare_all(&held, &live, |path| {
            apart.contains(path) || own.iter().any(|directory| path.starts_with(directory))
        }));
        let Some(first) = changes.iter().next() else {
            return Ok(Found::Unchanged(AtRest(rest)));
        };
        AtRest(rest).goes_on().await;
        Ok(Found::Changed(first.clone(), changes.count()))
    }

    /// The databases that the snapshot has as SQLite copied them, by index. Where no file of it has an
    /// inode, a log that it does not hold tells them.
    fn copied(&self, held: &Held, live: &Live) -> Vec<usize> {
        let lives = |path: &Path| live.tree.get(path).is_some();
        let logged = |path: &Path| {
            sqlite::beside(path).iter().any(|log| lives(log) && held.tree.get(log).is_none())
        };
        let entries = held.tree.entries().iter().enumerate();
        let copied = entries.filter(|(_, entry)| {
            entry.inode == 0
                && entry.changed.is_none()
                && sqlite::may_be_database(entry, lives)
                && (self.by_exec || logged(&entry.path))
        });
        copied.map(|(index, _)| index).collect()
    }

    /// Compares databases by what a fresh copy of each holds. Answers what is settled by that: they,
    /// and what SQLite puts beside them.
    async fn databases(
        &self,
        held: &mut Held,
        copied: &[usize],
        rest: &mut Rest,
        changes: &mut Notes,
    ) -> Result<HashSet<PathBuf>, Stopped> {
        let Some(exec) = &self.exec else { return Ok(HashSet::new()) };
        held.read_contents(&self.store, copied, &self.handle).await?;
        let directory = sqlite::make_directory(exec).await?;
        rest.begun.copies.push(directory.clone());
        let mut settled = HashSet::new();
        for (at, root) in self.rules.roots.iter().enumerate() {
            let below = copied.iter().map(|index| (index, &held.tree.entries()[*index].path));
            let below: Vec<_> = below.filter(|(_, path)| path.starts_with(root)).collect();
            if below.is_empty() {
                continue;
            }
            let names: Vec<PathBuf> = below.iter().map(|(_, path)| (*path).clone()).collect();
            let made = sqlite::copy(exec, &directory, (at, root), &names).await?;
            let files = made.iter().map(|(_, copy, _)| copy.clone()).collect();
            let (digests, _) = compare::digests(exec, &directory, files, |_| ()).await?;
            for (index, path) in below {
                let copy = made.iter().find(|(original, ..)| original == path);
                let digest = copy.and_then(|(_, copy, _)| digests.get(copy));
                if digest.is_none() || digest != held.digests[*index].as_ref() {
                    changes.note(path, Reason::Differs, "the database was written to since");
                }
                settled.extend(sqlite::beside(path));
                settled.insert(path.clone());
            }
        }
        Ok(settled)
    }
}

/// What was written to databases while they were copied. Their shared memory is nobody's content, and SQLite sets the owner
/// of a log anew when it opens it, which is another time of change and no write.
fn meanwhile(before: &Live, now: &Live, databases: &HashSet<PathBuf>, changes: &mut Notes) {
    let counts = |path: &&PathBuf| !path.as_os_str().as_encoded_bytes().ends_with(b"-shm");
    for path in databases.iter().filter(counts) {
        let same = match (before.tree.get(path), now.tree.get(path)) {
            (Some(one), Some(two)) => difference::of(one, two, false).is_none(),
            (None, None) => true,
            _ => false,
        };
        if !same {
            changes.note(path, Reason::Differs, "was written to while it was compared");
        }
    }
}

/// All that differs, but for what is settled already.
fn compare_all(held: &Held, live: &Live, settled: impl Fn(&Path) -> bool) -> Vec<Note> {
    let note = |path: &Path, detail: String| Note {
        path: path.to_owned(),
        reason: Reason::Differs,
        detail,
    };
    let stored = held.tree.entries().iter();
    // Nothing is kept in a socket, and one belongs to whoever listens on it.
    let stored = stored.filter(|entry| entry.kind != Kind::Socket && !settled(&entry.path));
    let changed = stored.filter_map(|entry| match live.tree.get(&entry.path) {
        None => Some(note(&entry.path, "is not there any more".into())),
        Some(now) => differs(entry, now).map(|how| note(&entry.path, how)),
    });
    let entries = live.tree.entries().iter().zip(&live.left);
    let made = entries.filter(|(entry, left)| {
        !**left && held.tree.get(&entry.path).is_none() && !settled(&entry.path)
    });
    let made = made.map(|(entry, _)| note(&entry.path, "was made since".into()));
    changed.chain(made).chain(live.notes.iter().cloned()).collect()
}

/// As far as both know. The times of a directory change with each entry that comes and goes; what
/// counts is which entries there are.
fn differs(stored: &Entry, now: &Entry) -> Option<String> {
    let directory = stored.kind == Kind::Directory;
    if let Some(difference) = difference::of(stored, now, directory) {
        return Some(difference);
    }
    if stored.inode != 0 && now.inode != 0 && stored.inode != now.inode {
        return Some("is another file of the same name".into());
    }
    let changed = stored.changed.zip(now.changed).is_some_and(|(then, now)| then != now);
    (changed && !directory).then(|| "has another time of change".into())
}

#[cfg(test)]
mod tests;
