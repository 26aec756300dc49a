//! The store against real repositories in temporary directories.

mod capture;
mod damage;
mod faults;
mod full;
mod generated;
mod interop;
mod keeping;
mod remembered;
mod round_trip;
mod s3;
mod watched;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use salvor_proto::registry::v1::SnapshotRules;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::workspace::{Entry, Kind, Note};

/// A repository and a workspace, both in a temporary directory.
pub(crate) struct Lab {
    home: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(Reclaim::default())
    }

    pub(crate) fn with(rules: Reclaim) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("password"), "correct horse\n").unwrap();
        fs::create_dir(home.path().join("ws")).unwrap();
        let store = Store::new(config(home.path())).reclaiming(rules);
        Self { home, store }
    }

    /// The same repository, opened anew.
    fn reopened(&self) -> Store {
        Store::new(config(self.home.path())).reclaiming(self.store.rules)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.home.path().join("ws")
    }

    fn repository(&self) -> PathBuf {
        self.home.path().join("repository")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Captures the workspace as it is, compared with `parent` if there is one.
    pub(crate) async fn capture(&self, parent: Option<&SnapshotId>) -> Captured {
        let parent = match parent {
            Some(id) => Some(self.store.parent(id).await.unwrap()),
            None => None,
        };
        let items = items(&self.root(), parent);
        let (parent, items) = spawn_blocking(items).await.unwrap();
        let archived = self.archive(parent, items).await.unwrap();
        self.finish(archived).await
    }

    async fn archive(
        &self,
        parent: Option<Parent>,
        items: Vec<Item>,
    ) -> Result<Archived, StoreError> {
        let draft = Draft { manifest: draft(&self.root()) };
        self.store.archive(draft, parent, sent(items), quiet()).await
    }

    async fn finish(&self, archived: Archived) -> Captured {
        let (archived, notes) = self.store.read_back(archived, quiet()).await.unwrap();
        let (counts, failed) = (archived.counts, archived.failed.clone());
        let complete = notes.is_empty() && archived.failed_count == 0;
        let state = if complete { State::Complete } else { State::Incomplete };
        let manifest = pb::Snapshot {
            state: state.into(),
            request_id: "request".into(),
            coverage: Some(pb::Coverage {
                files: counts.files,
                directories: counts.directories,
                others: counts.others,
                ..pb::Coverage::default()
            }),
            ..draft(&self.root())
        };
        let sealed = self.store.seal(archived, manifest).await.unwrap();
        Captured { id: id_of(&sealed), sealed, counts, failed, notes }
    }

    async fn walked(&self, id: &SnapshotId) -> Vec<Stored> {
        walked(&self.store, id, Vec::new()).await.unwrap()
    }
}

use pb::snapshot::State;

pub(crate) struct Captured {
    pub(crate) id: SnapshotId,
    pub(crate) sealed: pb::Snapshot,
    counts: Counts,
    failed: Vec<Note>,
    notes: Vec<Note>,
}

fn config(home: &Path) -> Config {
    Config {
        repository: home.join("repository").to_str().unwrap().to_owned(),
        options: Default::default(),
        password: PasswordSource::File(home.join("password")),
    }
}

fn draft(root: &Path) -> pb::Snapshot {
    let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    pb::Snapshot {
        identity: Some(pb::SnapshotIdentity {
            sandbox: Some(pb::SandboxRef {
                gateway: "gateways/lab".into(),
                workspace: "default".into(),
                sandbox: "coder".into(),
            }),
            live_id: "live-1".into(),
        }),
        rules: Some(SnapshotRules {
            roots: vec![root.to_str().unwrap().to_owned()],
            ..SnapshotRules::default()
        }),
        begin_time: Some(salvor_proto::time::timestamp(begun.try_into().unwrap())),
        ..pb::Snapshot::default()
    }
}

fn id_of(snapshot: &pb::Snapshot) -> SnapshotId {
    SnapshotName::parse("name", &snapshot.name).unwrap().id
}

fn quiet() -> OnProgress {
    Arc::new(|_| ())
}

fn sent(items: Vec<Item>) -> mpsc::Receiver<Item> {
    let (sender, receiver) = mpsc::sync_channel(8);
    std::thread::spawn(move || {
        for item in items {
            if sender.send(item).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Everything below a directory, as a capture gives it, with the end.
fn items(
    root: &Path,
    mut parent: Option<Parent>,
) -> impl FnOnce() -> (Option<Parent>, Vec<Item>) + Send + 'static {
    let root = root.to_owned();
    move || {
        let mut items = Vec::new();
        for path in paths(&root) {
            let entry = entry(&path);
            items.push(match entry.kind {
                Kind::File if parent.as_mut().is_some_and(|parent| parent.unchanged(&entry)) => {
                    Item::Unchanged(entry)
                }
                Kind::File => Item::File(entry, Box::new(Lazy(path, None))),
                _ => Item::Entry(entry),
            });
        }
        items.push(Item::End);
        (parent, items)
    }
}

/// A file that is opened when it is read.
struct Lazy(PathBuf, Option<fs::File>);

impl std::io::Read for Lazy {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.1.is_none() {
            self.1 = Some(fs::File::open(&self.0)?);
        }
        self.1.as_mut().unwrap().read(buffer)
    }
}

/// A directory and all that is below it, in tree order.
fn paths(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_owned()];
    if fs::symlink_metadata(root).unwrap().is_dir() {
        for entry in fs::read_dir(root).unwrap() {
            found.extend(paths(&entry.unwrap().path()));
        }
    }
    found.sort();
    found
}

fn entry(path: &Path) -> Entry {
    let metadata = fs::symlink_metadata(path).unwrap();
    let kind = metadata.file_type();
    let time = |seconds: i64, nanos: i64| {
        let nanos = Duration::from_nanos(nanos.try_into().unwrap());
        let seconds_off = Duration::from_secs(seconds.unsigned_abs());
        let whole = if seconds < 0 { UNIX_EPOCH - seconds_off } else { UNIX_EPOCH + seconds_off };
        whole + nanos
    };
    Entry {
        path: path.to_owned(),
        kind: if kind.is_dir() {
            Kind::Directory
        } else if kind.is_symlink() {
            Kind::Symlink(fs::read_link(path).unwrap())
        } else if kind.is_fifo() {
            Kind::Fifo
        } else if kind.is_socket() {
            Kind::Socket
        } else {
            Kind::File
        },
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        user: Some("agent".into()),
        group: None,
        size: if kind.is_file() { metadata.size() } else { 0 },
        modified: time(metadata.mtime(), metadata.mtime_nsec()),
        changed: Some(time(metadata.ctime(), metadata.ctime_nsec())),
        inode: metadata.ino(),
        device: metadata.dev(),
        links: metadata.nlink(),
    }
}

async fn walked(
    store: &Store,
    id: &SnapshotId,
    paths: Vec<PathBuf>,
) -> Result<Vec<Stored>, StoreError> {
    let mut receiver = store.walk(id, paths);
    let mut found = Vec::new();
    while let Some(stored) = receiver.recv().await {
        found.push(stored?);
    }
    Ok(found)
}

fn content(stored: &Stored) -> Vec<u8> {
    let mut bytes = Vec::new();
    stored.content.as_ref().unwrap().reader(0).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// All that a snapshot holds is what is on disk.
fn assert_same(stored: &[Stored], root: &Path) {
    let expected: Vec<Entry> = paths(root).iter().map(|path| entry(path)).collect();
    let found: Vec<Entry> = stored.iter().map(|stored| stored.entry.clone()).collect();
    assert_eq!(found, expected);
    for stored in stored.iter().filter(|stored| stored.entry.kind == Kind::File) {
        let expected = fs::read(&stored.entry.path).unwrap();
        let found = content(stored);
        // Without printing megabytes.
        assert_eq!(found.len(), expected.len(), "{}", stored.entry.path.display());
        assert_eq!(Sha256::digest(found), Sha256::digest(expected), "{:?}", stored.entry.path);
    }
}

/// Bytes that neither compress nor repeat.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}
