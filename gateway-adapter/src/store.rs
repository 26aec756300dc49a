//! Snapshots, kept in an ordinary restic repository (version 2, compressed) on local disk or behind OpenDAL.
//!
//! Invariants: a snapshot's manifest is in the snapshot, under the repository's authenticated encryption, and nowhere else;
//! what was altered is an error that names it, never an answer; a snapshot is complete only if [`Store::seal`] wrote it so,
//! and all that came before it reads as incomplete. Nothing is held whole: not a file, not a tree, not a list of paths.
//! Deliberately absent: knowledge of sandboxes and gateways, and any choice of a snapshot.

mod archive;
mod backend;
mod config;
mod content;
mod diff;
mod error;
mod feed;
mod id;
mod ledger;
mod manifest;
mod memory;
mod node;
mod packs;
mod parallel;
mod parent;
mod prune;
mod read_back;
mod repository;
mod retention;
mod snapshots;
mod summaries;
mod tree;
mod verify;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use salvor_proto::gateway::v1 as pb;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, mpsc as channel};
use tokio::task::spawn_blocking;

pub(crate) use archive::Archived;
pub use config::{Config, PasswordSource, Reclaim};
pub(crate) use content::{Content, Reader};
pub(crate) use diff::Page;
pub(crate) use error::StoreError;
pub(crate) use id::{SnapshotId, SnapshotName};
pub(crate) use parent::Parent;
pub(crate) use prune::Prune;
pub(crate) use walk::shown;

use crate::workspace::{Entry, Reason};
use archive::Setting;
use memory::Memory;
use parallel::Wanted;
use repository::Place;
use walk::Source;

/// Entries of a walk that wait to be taken.
const WALK_BUFFER: usize = 64;

/// The repository. Cheap to clone; opened at its first use, and kept open.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    place: Arc<Place>,
    /// Read by captures and readers, which rely on what they found in the repository; written while space is reclaimed.
    reclaim: Arc<RwLock<()>>,
    rules: Reclaim,
}

/// While it is there no space is reclaimed.
pub(crate) type Lease = Arc<OwnedRwLockReadGuard<()>>;

/// What is in the repository.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Newest first, complete and incomplete, without the notes of their coverage.
    pub snapshots: Vec<pb::Snapshot>,
    /// Those that are no snapshots of salvor's, or whose manifest cannot be read.
    pub foreign: u64,
    /// Of those the ones whose tags say whose they are, newest first: name, sandbox and time.
    pub unreadable: Vec<pb::Snapshot>,
}

/// What a capture says of itself before it begins.
#[derive(Debug)]
pub(crate) struct Draft {
    /// Identity, rules, channel, `request_id`, `recovery` and `begin_time`. The rest is filled in by [`Store::seal`]'s caller.
    pub manifest: pb::Snapshot,
}

/// What a capture gives, in tree order: a root before all that is below it, parents before their children, siblings by the
/// bytes of their names (the order of [`PathBuf`]'s components).
pub(crate) enum Item {
    /// A directory, symbolic link, fifo or socket.
    Entry(Entry),
    /// A regular file whose content is the parent's: [`Parent::unchanged`] said so.
    Unchanged(Entry),
    /// A regular file and its content. It is read to its end before the next file's is begun. An error keeps what was read
    /// till then, and is noted in [`Archived::failed`]. See [`ReadFailed`].
    File(Entry, Box<dyn std::io::Read + Send>),
    /// Everything was given. Without it nothing is kept.
    End,
}

/// How far a piece of work is, in all since its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Step {
    /// Entries.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
}

/// Told now and then how far a piece of work is. Must return soon.
pub(crate) type OnProgress = Arc<dyn Fn(Step) + Send + Sync>;

/// An error with a reason, for [`Item::File`]'s content: `io::Error::other(ReadFailed { .. })`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct ReadFailed {
    /// What is noted of the file.
    pub reason: Reason,
    /// For people, without secrets.
    pub detail: String,
}

/// What was given to a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Regular files, hard links counted each.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links, fifos and sockets.
    pub others: u64,
    /// Of the files' contents, unchanged ones included.
    pub bytes: u64,
    /// Read this time.
    pub bytes_read: u64,
    /// Files that were not read.
    pub files_unchanged: u64,
    /// What the repository grew by.
    pub bytes_stored: u64,
}

/// One entry of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    /// As it was captured.
    pub entry: Entry,
    /// Of a regular file.
    pub content: Option<Content>,
}

// === impl Store ===

impl Store {
    /// A store that is opened at its first use, and remembers nothing.
    #[cfg(any(test, feature = "measure"))]
    pub(crate) fn new(config: Config) -> Self {
        Self::remembering(config, None)
    }

    /// One that remembers in `directory` which repository it has used, and makes none in its place.
    pub(crate) fn remembering(config: Config, directory: Option<PathBuf>) -> Self {
        let place = Arc::new(Place::new(config, Memory::kept_in(directory)));
        Self { place, reclaim: Arc::default(), rules: Reclaim::default() }
    }

    /// The same, with these rules for what no snapshot needs any more.
    #[must_use]
    pub(crate) fn reclaiming(self, rules: Reclaim) -> Self {
        Self { rules, ..self }
    }

    /// All snapshots.
    ///
    /// # Errors
    /// The repository cannot be read: nothing is known of what is in it.
    pub(crate) async fn list(&self) -> Result<Listing, StoreError> {
        self.blocking(|place| snapshots::list(&place.open()?)).await
    }

    /// One snapshot's manifest.
    ///
    /// # Errors
    /// As said.
    pub(crate) async fn get(&self, id: &SnapshotId) -> Result<pb::Snapshot, StoreError> {
        let id = id.clone();
        self.blocking(move |place| Ok(snapshots::get(&place.open()?, &id)?.manifest)).await
    }

    /// A complete snapshot to be compared with. While it is there no space is reclaimed.
    ///
    /// # Errors
    /// It cannot be used; capture everything then.
    pub(crate) async fn parent(&self, id: &SnapshotId) -> Result<Parent, StoreError> {
        let lease = Arc::clone(&self.reclaim).read_owned().await;
        let id = id.clone();
        self.blocking(move |place| {
            let found = snapshots::get(&place.open()?, &id)?;
            if found.manifest.state() != pb::snapshot::State::Complete {
                let detail = "it is incomplete, and nothing is compared with it".to_owned();
                return Err(StoreError::Foreign { id, detail });
            }
            Ok(Parent::new(id, &found, place.reindexed()?, lease))
        })
        .await
    }

    /// Writes what comes over `items`, as an incomplete snapshot. Dropped, it goes on until `items` ends.
    ///
    /// # Errors
    /// Nothing of it was kept.
    pub(crate) async fn archive(
        &self,
        draft: Draft,
        mut parent: Option<Parent>,
        items: mpsc::Receiver<Item>,
        progress: OnProgress,
    ) -> Result<Archived, StoreError> {
        // Asking twice would wait for whoever wants to reclaim space, and that for the parent's.
        let lease = match parent.as_mut().and_then(|parent| parent.lease.take()) {
            Some(lease) => lease,
            None => Arc::clone(&self.reclaim).read_owned().await,
        };
        self.blocking(move |place| {
            let index = match &parent {
                Some(parent) => Arc::clone(&parent.index),
                None => place.reindexed()?,
            };
            let setting = Setting { opened: place.open()?, index, lease };
            archive::archive(setting, &draft, parent, items, progress)
        })
        .await
    }

    /// Reads back what was archived, and compares it with what was given: each entry's metadata, each newly read content.
    /// What differs is noted, at most 1000 times. Dropped, it ends soon.
    ///
    /// # Errors
    /// It could not be read at all.
    pub(crate) async fn read_back(
        &self,
        archived: Archived,
        progress: OnProgress,
    ) -> Result<(Archived, Vec<crate::workspace::Note>), StoreError> {
        let wanted = Wanted::default();
        let _waiting = wanted.waiting();
        self.blocking(move |place| {
            let index = place.reindexed()?;
            let notes = read_back::read_back(&index, &archived, &progress, &wanted);
            Ok((archived, notes))
        })
        .await
    }

    /// What was archived, as the parent of another try that takes its place.
    ///
    /// # Errors
    /// It cannot be read; it stays as an incomplete snapshot.
    pub(crate) async fn again(&self, archived: Archived) -> Result<Parent, StoreError> {
        self.blocking(move |place| {
            let found = snapshots::get(&place.open()?, &archived.provisional)?;
            let id = archived.provisional.clone();
            let mut parent = Parent::new(id, &found, place.reindexed()?, archived.lease);
            parent.superseded = true;
            Ok(parent)
        })
        .await
    }

    /// Writes the snapshot that counts, with this manifest (its `state` is the caller's word), and takes the provisional one
    /// away. Answers the manifest as it is read back, with its name.
    ///
    /// # Errors
    /// The capture is kept as an incomplete snapshot.
    pub(crate) async fn seal(
        &self,
        archived: Archived,
        manifest: pb::Snapshot,
    ) -> Result<pb::Snapshot, StoreError> {
        self.blocking(move |place| archive::seal(&place.open()?, &archived, manifest)).await
    }

    /// The entries of a snapshot, in tree order: those at and below `paths`, or all. Ends early when the receiver is gone. An
    /// error is the last thing sent. While any of it is there no space is reclaimed.
    pub(crate) fn walk(
        &self,
        id: &SnapshotId,
        paths: Vec<PathBuf>,
    ) -> channel::Receiver<Result<Stored, StoreError>> {
        let (sender, receiver) = channel::channel(WALK_BUFFER);
        let (place, id, lease) = (Arc::clone(&self.place), id.clone(), self.lease());
        tokio::spawn(async move {
            let lease = lease.await;
            spawn_blocking(move || {
                let begun = || {
                    let found = snapshots::get(&place.open()?, &id)?;
                    Ok((found, Source { index: place.indexed()?, lease }))
                };
                match begun() {
                    Ok((found, source)) => {
                        let scope = walk::Scope::new(&found, paths);
                        walk::walk(&source, &found, scope, &sender);
                    }
                    // Without a receiver nobody wants to know.
                    Err(error) => drop(sender.blocking_send(Err(error))),
                }
            });
        });
        receiver
    }

    /// Opens a file's content, from its beginning.
    ///
    /// # Errors
    /// Not all of it is there.
    #[expect(clippy::unused_self, reason = "content is the store's")]
    pub(crate) fn open(&self, content: &Content) -> Result<Reader, StoreError> {
        content.reader(0)
    }

    /// One entry of a snapshot.
    ///
    /// # Errors
    /// There is none at that path below the snapshot's roots.
    pub(crate) async fn entry(&self, id: &SnapshotId, path: &Path) -> Result<Stored, StoreError> {
        let (id, path) = (id.clone(), path.to_owned());
        let lease = self.lease().await;
        self.blocking(move |place| {
            let found = snapshots::get(&place.open()?, &id)?;
            let source = Source { index: place.indexed()?, lease };
            walk::file(&source, &id, &found, &path)
        })
        .await
    }

    /// Reads all of a snapshot, and compares each piece, and each pack that it is in, with its hash. Dropped, it ends soon.
    ///
    /// # Errors
    /// There is no such snapshot, or the repository cannot be read at all.
    pub(crate) async fn verify(
        &self,
        id: &SnapshotId,
        progress: OnProgress,
    ) -> Result<pb::VerifyReport, StoreError> {
        let id = id.clone();
        let wanted = Wanted::default();
        let _waiting = wanted.waiting();
        let lease = self.lease().await;
        self.blocking(move |place| {
            let opened = place.open()?;
            let found = snapshots::get(&opened, &id)?;
            let report = verify::verify((&opened, &place.reindexed()?), &found, &progress, &wanted);
            drop(lease);
            Ok(report)
        })
        .await
    }

    /// What is different between two snapshots, in tree order; `after` is where the page before ended.
    ///
    /// # Errors
    /// One of them is not there, or a directory of theirs cannot be read.
    pub(crate) async fn diff(
        &self,
        base: &SnapshotId,
        other: &SnapshotId,
        after: Option<PathBuf>,
        size: usize,
    ) -> Result<Page, StoreError> {
        let (base, other) = (base.clone(), other.clone());
        let lease = self.lease().await;
        self.blocking(move |place| {
            let opened = place.open()?;
            let base = snapshots::get(&opened, &base)?.file.tree;
            let other = snapshots::get(&opened, &other)?.file.tree;
            let page = diff::page(&place.indexed()?, base, other, diff::From { after, size });
            drop(lease);
            page
        })
        .await
    }

    /// Deletes one snapshot. What only it needs stays until space is reclaimed.
    ///
    /// # Errors
    /// It is not there, or could not be deleted.
    pub(crate) async fn delete(&self, id: &SnapshotId) -> Result<(), StoreError> {
        let id = id.clone();
        self.blocking(move |place| snapshots::delete(&place.open()?, &id)).await
    }

    /// Deletes the snapshots that no rule keeps.
    ///
    /// # Errors
    /// The repository cannot be read: nothing was deleted.
    pub(crate) async fn prune(&self, prune: Prune) -> Result<pb::PruneReport, StoreError> {
        self.blocking(move |place| prune::prune(&place.open()?, &prune)).await
    }

    /// Takes away what no snapshot needs any more: the first time it is marked, and when asked again after [`Reclaim::keep_delete`]
    /// it goes. Answers by how many bytes the repository shrank. Waits some minutes for captures and readers to end.
    ///
    /// # Errors
    /// [`StoreError::Busy`], or what is wrong with the repository; nothing that a snapshot needs was touched.
    pub(crate) async fn reclaim(&self) -> Result<u64, StoreError> {
        let alone = prune::alone(&self.reclaim).await?;
        let rules = self.rules;
        self.blocking(move |place| {
            let freed = prune::reclaim(&place.open()?, rules);
            drop(alone);
            freed
        })
        .await
    }

    fn lease(&self) -> impl Future<Output = Lease> + Send + 'static {
        let reclaim = Arc::clone(&self.reclaim);
        async move { Arc::new(reclaim.read_owned().await) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Place) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = Arc::clone(&self.place);
        let done = spawn_blocking(move || work(&place)).await;
        done.unwrap_or_else(|error| Err(StoreError::Internal(error.to_string())))
    }
}

#[cfg(test)]
pub(crate) mod tests;
