//! The two sides that a restore and a comparison look at: what a snapshot holds, and what is live.
//!
//! Invariants: both are whole or an error; every entry of the snapshot's lies below a declared root
//! and in directories that the snapshot holds too; what may not be read in the sandbox is said.

use std::collections::HashSet;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use futures::{StreamExt, TryStreamExt, stream};
use salvor_proto::Error;
use salvor_proto::error::Code;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::notes::{Notes, shown};
use super::rules::{Rules, Verdict};
use super::tree::{MAX_ENTRIES, Tree};
use super::{Broken, Channel, Entry, Kind, Note, Reason};
use crate::next_step::NextStep;
use crate::operations::Handle;
use crate::store::{Content, SnapshotId, Store, StoreError};

/// Files of the repository that are read at once.
const READERS: usize = 4;
/// Read of the repository in one piece, in bytes.
pub(crate) const PIECE: usize = 256 << 10;
/// Entries between a channel and here.
const QUEUE: usize = 256;

/// What ended a piece of work before it came to a result.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The repository.
    Store(StoreError),
    /// The sandbox, or its gateway.
    Broken(Broken),
    /// What was asked for cannot be done.
    Refused(Error),
}

/// A snapshot, without its contents.
#[derive(Debug)]
pub(crate) struct Held {
    /// All entries.
    pub tree: Tree,
    /// Of its regular files, by index.
    pub contents: Vec<Option<Content>>,
    /// Of the contents that were read, by index.
    pub digests: Vec<Option<[u8; 32]>>,
}

/// A sandbox's roots, without their contents.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// All entries.
    pub tree: Tree,
    /// By index: what stays as it is, whatever a snapshot holds. Left out by rule, or alive itself.
    pub left: Vec<bool>,
    /// What could not be read.
    pub notes: Notes,
    /// Directories of which it is not known what is in them.
    pub unreadable: HashSet<PathBuf>,
}

// === impl Held ===

impl Held {
    /// Reads the entries of a snapshot.
    ///
    /// # Errors
    /// It cannot be read, or an entry of it may not be written anywhere.
    pub(crate) async fn read(
        store: &Store,
        id: &SnapshotId,
        rules: &Rules,
    ) -> Result<Self, Stopped> {
        let mut walk = store.walk(id, Vec::new());
        let (mut entries, mut contents) = (Vec::new(), Vec::new());
        while let Some(stored) = walk.recv().await {
            let stored = stored?;
            let mut entry = stored.entry;
            (entry.user, entry.group) = (None, None);
            if entries.last().is_some_and(|last: &Entry| last.path >= entry.path) {
                let what = format!("the entries of snapshot {id} are not in order");
                return Err(StoreError::Damaged { what }.into());
            }
            if entries.len() == MAX_ENTRIES {
                return Err(too_many("the snapshot", MAX_ENTRIES).into());
            }
            contents.push(stored.content);
            entries.push(entry);
        }
        let digests = vec![None; entries.len()];
        let held = Self { tree: Tree::new(entries), contents, digests };
        match held.tree.entries().iter().find(|entry| !held.is_inside(&entry.path, &rules.roots)) {
            Some(entry) => Err(leaves_root(&entry.path).into()),
            None => Ok(held),
        }
    }

    /// Below a root, through nothing but directories.
    fn is_inside(&self, path: &Path, roots: &[PathBuf]) -> bool {
        let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
        let rebuilt: PathBuf = path.components().collect();
        if !path.components().all(plain) || rebuilt.as_os_str() != path.as_os_str() {
            return false;
        }
        let Some(root) = roots.iter().find(|root| path.starts_with(root)) else { return false };
        path == root
            || path
                .parent()
                .and_then(|parent| self.tree.get(parent))
                .is_some_and(Entry::is_directory)
    }

    /// Reads the contents of these files to their end, and keeps their digests.
    ///
    /// # Errors
    /// One of them is not what was written.
    pub(crate) async fn read_contents(
        &mut self,
        store: &Store,
        indices: &[usize],
        handle: &Handle,
    ) -> Result<(), Stopped> {
        let bytes = indices.iter().map(|index| self.tree.entries()[*index].size).sum();
        handle.begin("verifying the snapshot", indices.len() as u64, bytes);
        let wanted = indices.iter().filter(|index| self.digests[**index].is_none());
        let reading = wanted.map(|index| {
            let entry = &self.tree.entries()[*index];
            let (index, size, path) = (*index, entry.size, entry.path.clone());
            let (content, handle) = (self.contents[index].clone(), handle.clone());
            async move {
                let content = content.ok_or_else(|| wrong_size(&path))?;
                let digest = digest(store, &content, size, &path, handle).await?;
                Ok::<_, StoreError>((index, digest))
            }
        });
        // Collected, so that what it borrows is not needed when the results are kept.
        let reading: Vec<_> = reading.collect();
        let found: Vec<_> = stream::iter(reading).buffer_unordered(READERS).try_collect().await?;
        for (index, digest) in found {
            self.digests[index] = Some(digest);
        }
        Ok(())
    }
}

async fn digest(
    store: &Store,
    content: &Content,
    size: u64,
    path: &Path,
    handle: Handle,
) -> Result<[u8; 32], StoreError> {
    let (store, content) = (store.clone(), content.clone());
    let reading = move || {
        let mut reader = store.open(&content)?;
        let (mut hasher, mut buffer) = (Sha256::new(), vec![0; PIECE]);
        let mut read = 0_u64;
        loop {
            if handle.is_cancelled() {
                return Err(std::io::ErrorKind::Interrupted.into());
            }
            match reader.read(&mut buffer)? {
                0 => break,
                length => {
                    hasher.update(&buffer[..length]);
                    handle.add_bytes(length as u64);
                    read += length as u64;
                }
            }
        }
        handle.add_files(1);
        Ok::<_, std::io::Error>((read, hasher.finalize().into()))
    };
    let (read, digest) = blocking(reading, path).await?;
    if read == size { Ok(digest) } else { Err(wrong_size(path)) }
}

/// Reads the repository off the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    path: &Path,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            let known = error.get_ref().and_then(|inner| inner.downcast_ref::<StoreError>());
            let what = || format!("the content of {} cannot be read: {error}", shown(path));
            Err(known.cloned().unwrap_or_else(|| StoreError::Damaged { what: what() }))
        }
        Err(_) => Err(StoreError::Internal(format!("reading {} ended early", shown(path)))),
    }
}

fn wrong_size(path: &Path) -> StoreError {
    StoreError::Damaged { what: format!("the content of {} is not as long as listed", shown(path)) }
}

// === impl Live ===

impl Live {
    /// Lists the roots. One that is missing is empty.
    ///
    /// # Errors
    /// A listing cannot be relied upon, or there is more than can be held.
    pub(crate) async fn read<C: Channel>(
        channel: &C,
        rules: &Rules,
        handle: &Handle,
    ) -> Result<Self, Stopped> {
        Self::read_some(channel, rules, handle, MAX_ENTRIES).await
    }

    /// [`read`](Self::read), with at most so many entries.
    async fn read_some<C: Channel>(
        channel: &C,
        rules: &Rules,
        handle: &Handle,
        at_most: usize,
    ) -> Result<Self, Stopped> {
        let (mut entries, mut notes) = (Vec::new(), Notes::default());
        for root in &rules.roots {
            let (sender, mut found) = mpsc::channel::<Entry>(QUEUE);
            let before = entries.len();
            let mut sieve = rules.sieve(root);
            // Owns the receiving end: when there are too many, the listing ends early too.
            let gathering = async move {
                let mut gathered = Vec::new();
                while let Some(mut entry) = found.recv().await {
                    (entry.user, entry.group) = (None, None);
                    handle.add_files(1);
                    // It stays with the directory that is left out above it, which is held.
                    if sieve.judge(&entry) == Verdict::Below {
                        continue;
                    }
                    if before + gathered.len() == at_most {
                        return Err(too_many("the sandbox", at_most));
                    }
                    gathered.push(entry);
                }
                Ok(gathered)
            };
            let listing = channel.inventory(root.clone(), sender);
            let (said, gathered) = tokio::join!(listing, gathering);
            entries.extend(gathered?);
            said?.into_iter().for_each(|note| notes.push(note));
        }
        let tree = Tree::new(entries);
        let left = left(&tree, rules);
        let unreadable = notes.iter().map(|note| note.path.clone()).collect();
        Ok(Self { tree, left, notes, unreadable })
    }

    /// Whether it is known that there is nothing at a path.
    pub(crate) fn is_absent(&self, path: &Path) -> bool {
        self.tree.get(path).is_none()
            && self.notes.is_whole()
            && !path
                .ancestors()
                .any(|above| self.unreadable.contains(above) && self.tree.get(above).is_some())
    }

    /// Whether something below a path stays as it is.
    pub(crate) fn is_guarded(&self, path: &Path) -> bool {
        self.tree.below(path).any(|index| self.left[index])
    }
}

/// What is left out by rule, and what is alive: a socket belongs to whoever listens on it.
fn left(tree: &Tree, rules: &Rules) -> Vec<bool> {
    let mut left = vec![false; tree.entries().len()];
    for root in &rules.roots {
        let mut sieve = rules.sieve(root);
        let begin = tree.index(root).unwrap_or_else(|| tree.below(root).start);
        let range = begin..tree.below(root).end;
        for (left, entry) in left[range.clone()].iter_mut().zip(&tree.entries()[range]) {
            let verdict = sieve.judge(entry);
            *left = entry.kind == Kind::Socket || verdict != Verdict::Keep;
        }
    }
    left
}

// === impl Entry ===

impl Entry {
    /// Whether it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

// === impl Stopped ===

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Broken> for Stopped {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

fn too_many(side: &str, at_most: usize) -> Error {
    let reason = Reason::TooManyEntries.as_str();
    let text = format!(
        "{side} has more than the {at_most} entries that are compared at once. Nothing was written, and \
         nothing taken away"
    );
    Error::new(Code::Exhausted, reason, text).next_step(NextStep::FewerPaths.alone())
}

fn leaves_root(path: &Path) -> Error {
    let text = format!(
        "the snapshot holds {}, which is not below its declared roots, or is in something that is no \
         directory there. Nothing was written",
        shown(path)
    );
    Error::new(Code::Refused, Reason::LeavesRoot.as_str(), text)
        .next_step(NextStep::ChooseSnapshot.alone())
}

/// For a note of this module's users.
pub(crate) fn note(path: &Path, reason: Reason, detail: impl Into<String>) -> Note {
    Note { path: path.to_owned(), reason, detail: detail.into() }
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Broken(broken) => broken.fmt(f),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::many::{Many, rules};
    use crate::workspace::tree::sample;

    #[tokio::test]
    async fn more_of_a_sandbox_than_can_be_held_is_refused_and_what_is_left_out_does_not_count() {
        let (rules, handle) = (rules(&["/one", "/two"]), Handle::new(Default::default()));
        // Each root has itself, its files, and a directory that is left out, with as many again in it.
        let live = Live::read_some(&Many(20), &rules, &handle, 44).await.unwrap();
        assert_eq!(live.tree.entries().len(), 44);
        assert!(live.is_guarded(Path::new("/one")) && live.is_absent(Path::new("/one/other")));
        assert_eq!(live.left.iter().filter(|left| **left).count(), 2);
        for at_most in [43, 22, 5] {
            let stopped = Live::read_some(&Many(20), &rules, &handle, at_most).await.unwrap_err();
            let Stopped::Refused(error) = stopped else { panic!("{stopped}") };
            assert_eq!(error.reason(), "TOO_MANY_ENTRIES");
            let said = format!("more than the {at_most} entries that are compared at once");
            assert!(error.message().contains(&said), "{error}");
        }
    }

    fn inside(path: &str) -> bool {
        let held = ["/r", "/r/d", "/r/d/f", "/r/l"].map(|path| match path {
            "/r/l" => sample(path, Kind::Symlink("/etc".into())),
            "/r/d/f" => sample(path, Kind::File),
            _ => sample(path, Kind::Directory),
        });
        let tree = Tree::new(held.into());
        let (contents, digests) = (vec![None; 4], vec![None; 4]);
        Held { tree, contents, digests }.is_inside(Path::new(path), &["/r".into()])
    }

    #[test]
    fn an_entry_that_leaves_its_root_is_found() {
        for path in ["/r", "/r/x", "/r/d/f", "/r/d/..x"] {
            assert!(inside(path), "{path}");
        }
        for path in [
            "/etc/passwd",
            "/",
            "/rr",
            "r/x",
            "/r/../etc",
            "/r/d/../../etc",
            "/r/./x",
            "//r/x",
            "/r//x",
            "/r/x/",
            "/r/l/passwd",
            "/r/d/f/x",
            "/r/none/x",
            "",
        ] {
            assert!(!inside(path), "{path}");
        }
    }
}
