//! Config files: read on both sides, merged, put in place, read again.
//!
//! Invariant: a file whose two sides cannot be made one is left as it is, and that is said.

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use salvor_proto::gateway::v1 as pb;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use crate::merge::{self, Format, Key};
use crate::store::Store;
use crate::workspace::notes::shown;
use crate::workspace::sides::{Held, Live, Stopped, blocking};
use crate::workspace::{Channel, Entry, Kind};

/// The most keys of one file that a report lists; how many more there are is its last line.
const MAX_KEYS: usize = 10_000;
/// What a tar stream of one file has beside it, in bytes: far more than any.
const AROUND: u64 = 1 << 20;
/// Pieces between a channel and here.
const QUEUE: usize = 16;

/// One declared config file.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Absolute.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
    /// The runtime's keys.
    pub owned: Vec<Key>,
}

/// What is to be written in its place.
#[derive(Debug)]
pub(super) struct Merge {
    pub(super) report: pb::MergedConfig,
    /// With the metadata that it gets. `None`: it stays as it is.
    pub(super) write: Option<Placing>,
}

/// A file that is to be put somewhere.
#[derive(Debug)]
pub(super) struct Placing {
    /// Where, and with what metadata.
    pub(super) like: Entry,
    pub(super) content: Bytes,
    /// The digest of what it was merged with; `None`: there was nothing.
    pub(super) was: Option<[u8; 32]>,
}

/// Both sides' content; why not, for people.
pub(crate) async fn sides<C: Channel>(
    (channel, root): (&C, &Path),
    store: &Store,
    (held, live): (&Held, &Live),
    index: usize,
) -> Result<Result<(Vec<u8>, Option<Vec<u8>>), String>, Stopped> {
    let entry = &held.tree.entries()[index];
    let found = live.tree.get(&entry.path);
    if entry.kind != Kind::File {
        return Ok(Err("it is no regular file in the snapshot".into()));
    }
    if found.is_some_and(|found| found.kind != Kind::File) {
        return Ok(Err("it is no regular file in the sandbox".into()));
    }
    if found.is_none() && !live.is_absent(&entry.path) {
        return Ok(Err("it is not known whether the sandbox has it".into()));
    }
    let sizes = [entry.size, found.map_or(0, |found| found.size)];
    if sizes.iter().any(|size| *size > merge::MAX_SIZE) {
        return Ok(Err(format!("it is larger than the {} bytes that are merged", merge::MAX_SIZE)));
    }
    let ours = read(store, held, index).await?;
    let Some(found) = found else { return Ok(Ok((ours, None))) };
    Ok(match fetch(channel, root, &found.path).await? {
        Some(theirs) => Ok((ours, Some(theirs))),
        None => Err("it could not be read in the sandbox".into()),
    })
}

/// Decides what becomes of one file.
pub(super) async fn merge<C: Channel>(
    (channel, root): (&C, &Path),
    store: &Store,
    (held, live): (&Held, &Live),
    (index, config): (usize, &Config),
) -> Result<Merge, Stopped> {
    let path = shown(&config.path);
    let unmerged = |why: String| Merge {
        report: pb::MergedConfig { path: path.clone(), unmerged: why, ..Default::default() },
        write: None,
    };
    let (ours, theirs) = match sides((channel, root), store, (held, live), index).await? {
        Ok(sides) => sides,
        Err(why) => return Ok(unmerged(why)),
    };
    let made = match config.format.merge(&config.owned, &ours, theirs.as_deref()) {
        Ok(made) => made,
        Err(why) => return Ok(unmerged(why.to_string())),
    };
    let mut entry = held.tree.entries()[index].clone();
    if let Some(found) = live.tree.get(&entry.path) {
        (entry.mode, entry.uid, entry.gid) = (found.mode, found.uid, found.gid);
    }
    let same = theirs.as_ref().is_some_and(|theirs| *theirs == made.content);
    let was = theirs.map(|theirs| Sha256::digest(theirs).into());
    let report = pb::MergedConfig {
        path,
        restored_keys: listed(made.restored),
        kept_keys: listed(made.kept),
        unmerged: String::new(),
    };
    let placing = Placing { like: entry, content: made.content.into(), was };
    Ok(Merge { report, write: (!same).then_some(placing) })
}

/// The content of one file of the sandbox's. `None`: it cannot be read, or is larger than a merge takes.
pub(crate) async fn fetch<C: Channel>(
    channel: &C,
    root: &Path,
    path: &Path,
) -> Result<Option<Vec<u8>>, Stopped> {
    let (sender, mut pieces) = mpsc::channel::<Bytes>(QUEUE);
    let gathering = async {
        let mut tar = Vec::new();
        while let Some(piece) = pieces.recv().await {
            if (tar.len() + piece.len()) as u64 > merge::MAX_SIZE + AROUND {
                break;
            }
            tar.extend_from_slice(&piece);
        }
        drop(pieces);
        tar
    };
    let asking = channel.contents(root.to_owned(), vec![path.to_owned()], sender);
    let (notes, tar) = tokio::join!(asking, gathering);
    if !notes?.is_empty() {
        return Ok(None);
    }
    let mut archive = tar::Archive::new(&tar[..]);
    let first = archive.entries().ok().and_then(|mut entries| entries.next());
    let Some(Ok(mut first)) = first else { return Ok(None) };
    let mut content = Vec::new();
    let size = first.size();
    let whole = first.read_to_end(&mut content).is_ok() && content.len() as u64 == size;
    Ok((whole && size <= merge::MAX_SIZE).then_some(content))
}

async fn read(store: &Store, held: &Held, index: usize) -> Result<Vec<u8>, Stopped> {
    let Some(from) = held.contents[index].clone() else { return Ok(Vec::new()) };
    let store = store.clone();
    let reading = move || {
        let reader = store.open(&from)?;
        let mut content = Vec::new();
        reader.take(merge::MAX_SIZE + 1).read_to_end(&mut content)?;
        Ok(content)
    };
    Ok(blocking(reading, &held.tree.entries()[index].path).await?)
}

fn listed(mut keys: Vec<String>) -> Vec<String> {
    if keys.len() > MAX_KEYS {
        let more = keys.len() - MAX_KEYS;
        keys.truncate(MAX_KEYS);
        keys.push(format!("(and {more} more)"));
    }
    keys
}
