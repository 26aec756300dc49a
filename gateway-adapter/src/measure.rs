//! The snapshot store on a directory of this host, for benchmarks: no sandbox and no gateway between the two.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use salvor_proto::gateway::v1 as pb;
use salvor_proto::registry::v1::SnapshotRules;
use salvor_proto::time;
use tokio::task::spawn_blocking;

use crate::store::{
    Archived, Config, Draft, Item, OnProgress, SnapshotId, SnapshotName, Store, StoreError,
};
use crate::workspace::{Entry, Kind};

/// Entries that wait, as many as in a capture from a sandbox.
const WAITING: usize = 64;

/// A repository, and the directory that is captured into it.
#[derive(Debug)]
pub struct Measured {
    store: Store,
    root: PathBuf,
}

// === impl Measured ===

impl Measured {
    /// Nothing is touched yet.
    pub fn new(config: Config, root: &Path) -> Self {
        Self { store: Store::new(config), root: root.to_owned() }
    }

    /// Captures the directory, reads it back and seals it; answers the snapshot's name, and how long reading it back took.
    /// What is unchanged since `parent` is not read.
    ///
    /// # Errors
    /// What failed, for people.
    pub async fn capture(&self, parent: Option<&str>) -> Result<(String, Duration), String> {
        let archived = self.archive(parent).await?;
        let begun = Instant::now();
        let (archived, notes) =
            self.store.read_back(archived, quiet()).await.map_err(|error| said(&error))?;
        if let Some(note) = notes.first().or(archived.failed.first()) {
            return Err(format!("{}: {}", note.path.display(), note.detail));
        }
        let reading_back = begun.elapsed();
        let manifest =
            pb::Snapshot { state: pb::snapshot::State::Complete.into(), ..self.manifest() };
        let sealed = self.store.seal(archived, manifest).await;
        Ok((sealed.map_err(|error| said(&error))?.name, reading_back))
    }

    /// Reads all files of a snapshot; answers how many bytes.
    ///
    /// # Errors
    /// What failed, for people.
    pub async fn read(&self, name: &str) -> Result<u64, String> {
        let mut walk = self.store.walk(&id(name)?, Vec::new());
        let reading = spawn_blocking(move || {
            let mut bytes = 0;
            while let Some(stored) = walk.blocking_recv() {
                let stored = stored.map_err(|error| said(&error))?;
                if let Some(content) = stored.content {
                    let mut reader = content.reader(0).map_err(|error| said(&error))?;
                    let read = io::copy(&mut reader, &mut io::sink());
                    bytes += read.map_err(|error| error.to_string())?;
                }
            }
            Ok(bytes)
        });
        reading.await.map_err(|error| error.to_string())?
    }

    async fn archive(&self, parent: Option<&str>) -> Result<Archived, String> {
        let (sender, items) = sync_channel(WAITING);
        let asked = match parent {
            Some(name) => Some(self.store.parent(&id(name)?).await.map_err(|e| said(&e))?),
            None => None,
        };
        // One parent decides, the other one is archived with: each goes through the tree once.
        let decides = match parent {
            Some(name) => Some(self.store.parent(&id(name)?).await.map_err(|e| said(&e))?),
            None => None,
        };
        let root = self.root.clone();
        let giving = spawn_blocking(move || {
            let mut decides = decides;
            let given = give(&root, &sender, &mut |entry| {
                decides.as_mut().is_some_and(|parent| parent.unchanged(entry))
            });
            // Nobody listens after an error of the archive's, which says more.
            let _ = given.as_ref().map(|()| sender.send(Item::End));
            given
        });
        let draft = Draft { manifest: self.manifest() };
        let archived = self.store.archive(draft, asked, items, quiet()).await;
        let given = giving.await.map_err(|error| error.to_string())?;
        let archived = archived.map_err(|error| said(&error))?;
        given.map_err(|error| error.to_string())?;
        Ok(archived)
    }

    fn manifest(&self) -> pb::Snapshot {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let sandbox = pb::SandboxRef {
            gateway: "gateways/bench".to_owned(),
            workspace: "default".to_owned(),
            sandbox: "bench".to_owned(),
        };
        pb::Snapshot {
            identity: Some(pb::SnapshotIdentity {
                sandbox: Some(sandbox),
                live_id: "bench".to_owned(),
            }),
            rules: Some(SnapshotRules {
                roots: vec![self.root.display().to_string()],
                ..SnapshotRules::default()
            }),
            begin_time: Some(time::timestamp(u64::try_from(now.as_millis()).unwrap_or(0))),
            ..pb::Snapshot::default()
        }
    }
}

fn quiet() -> OnProgress {
    Arc::new(|_| ())
}

fn said(error: &StoreError) -> String {
    error.to_string()
}

fn id(name: &str) -> Result<SnapshotId, String> {
    Ok(SnapshotName::parse("name", name).map_err(|error| error.to_string())?.id)
}

/// Gives a path and all that is below it, in tree order. Of links and special files nothing: the trees have none.
fn give(
    path: &Path,
    items: &SyncSender<Item>,
    unchanged: &mut dyn FnMut(&Entry) -> bool,
) -> io::Result<()> {
    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    let entry = entry(path)?;
    if entry.kind == Kind::File {
        let item = if unchanged(&entry) {
            Item::Unchanged(entry)
        } else {
            let content: Box<dyn Read + Send> = Box::new(File::open(path)?);
            Item::File(entry, content)
        };
        return items.send(item).map_err(gone);
    }
    items.send(Item::Entry(entry)).map_err(gone)?;
    let inside: io::Result<Vec<PathBuf>> =
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect();
    let mut inside = inside?;
    inside.sort();
    inside.iter().try_for_each(|path| give(path, items, unchanged))
}

fn entry(path: &Path) -> io::Result<Entry> {
    let metadata = fs::symlink_metadata(path)?;
    let nanos = u64::try_from(metadata.ctime_nsec()).unwrap_or(0);
    let seconds = u64::try_from(metadata.ctime()).unwrap_or(0);
    let changed = Duration::from_secs(seconds) + Duration::from_nanos(nanos);
    Ok(Entry {
        path: path.to_owned(),
        kind: if metadata.is_dir() { Kind::Directory } else { Kind::File },
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        user: None,
        group: None,
        size: if metadata.is_dir() { 0 } else { metadata.len() },
        modified: metadata.modified()?,
        changed: Some(UNIX_EPOCH + changed),
        inode: metadata.ino(),
        device: metadata.dev(),
        links: metadata.nlink(),
    })
}
