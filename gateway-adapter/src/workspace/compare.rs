//! How a sandbox's entries differ from a snapshot's.
//!
//! Invariant: an entry is [`State::Same`] only if it was seen to be, its content by SHA-256 of both
//! sides. Sockets are never compared: nothing listens on one that was put back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::sides::{Held, Live, Stopped};
use super::{Channel, Kind, Note, difference};
use crate::operations::Handle;

/// Digests between a channel and here.
const QUEUE: usize = 256;

/// How an entry of the snapshot's is found in the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// As the snapshot has it, as far as it was looked at.
    Same,
    /// There is nothing.
    Absent,
    /// Otherwise, and how.
    Different(String),
    /// It is not known, and why.
    Unknown(String),
}

/// Compares all but contents, by the index of the snapshot's entries.
pub(crate) fn metadata(held: &Held, live: &Live, roots: &[PathBuf]) -> Vec<State> {
    let (ours, theirs) = (held.tree.leaders(), live.tree.leaders());
    let compared = held.tree.entries().iter().map(|entry| {
        let path = entry.path.as_path();
        if matches!(entry.kind, Kind::Socket | Kind::Device) {
            return State::Same;
        }
        let Some(found) = live.tree.get(path) else {
            return if live.is_absent(path) {
                State::Absent
            } else {
                State::Unknown("is in a directory that cannot be read".into())
            };
        };
        let is_root = roots.iter().any(|root| root == path);
        if let Some(difference) = difference::of(entry, found, is_root) {
            return State::Different(difference);
        }
        if leader(&ours, path, roots) == leader(&theirs, path, roots) {
            State::Same
        } else {
            State::Different("is another name of another file".into())
        }
    });
    compared.collect()
}

/// The first name of a file below one root: links between roots are files of their own.
fn leader<'a>(
    leaders: &HashMap<&'a Path, &'a Path>,
    path: &'a Path,
    roots: &[PathBuf],
) -> &'a Path {
    let first = leaders.get(path).copied().unwrap_or(path);
    let root = |path: &Path| roots.iter().position(|root| path.starts_with(root));
    if root(first) == root(path) { first } else { path }
}

/// Compares the contents of these files, which are the same in all else and whose digests the
/// snapshot's side has. Answers how many bytes were looked at.
///
/// # Errors
/// The channel does not work.
pub(crate) async fn contents<C: Channel>(
    channel: &C,
    held: &Held,
    roots: &[PathBuf],
    indices: &[usize],
    states: &mut [State],
    handle: &Handle,
) -> Result<u64, Stopped> {
    let entries = held.tree.entries();
    let files = indices
        .iter()
        .filter(|index| entries[**index].kind == Kind::File && states[**index] == State::Same);
    let files: Vec<usize> = files.copied().collect();
    let bytes = files.iter().map(|index| entries[*index].size).sum();
    handle.begin("comparing contents", files.len() as u64, bytes);
    for root in roots {
        let below = files.iter().filter(|index| entries[**index].path.starts_with(root));
        let below: Vec<usize> = below.copied().collect();
        if below.is_empty() {
            continue;
        }
        let paths = below.iter().map(|index| entries[*index].path.clone()).collect();
        let (found, notes) = digests(channel, root, paths, |path| {
            let index = held.tree.index(path);
            handle.add_bytes(index.map_or(0, |index| entries[index].size));
            handle.add_files(1);
        })
        .await?;
        let why: HashMap<PathBuf, Note> =
            notes.into_iter().map(|note| (note.path.clone(), note)).collect();
        for index in below {
            let path = &entries[index].path;
            states[index] = match (found.get(path), &held.digests[index]) {
                (Some(found), Some(wanted)) if found == wanted => State::Same,
                (Some(_), _) => State::Different("has another content".into()),
                (None, _) => State::Unknown(
                    why.get(path).map_or("could not be read".into(), |note| note.detail.clone()),
                ),
            };
        }
    }
    Ok(bytes)
}

/// The digests of some files of one root.
pub(crate) async fn digests<C: Channel>(
    channel: &C,
    root: &Path,
    files: Vec<PathBuf>,
    each: impl Fn(&Path),
) -> Result<(HashMap<PathBuf, [u8; 32]>, Vec<Note>), Stopped> {
    let (sender, mut found) = mpsc::channel::<(PathBuf, [u8; 32])>(QUEUE);
    let gathering = async {
        let mut digests = HashMap::new();
        while let Some((path, digest)) = found.recv().await {
            each(&path);
            digests.insert(path, digest);
        }
        digests
    };
    let asking = channel.digests(root.to_owned(), files, sender);
    let (notes, digests) = tokio::join!(asking, gathering);
    Ok((digests, notes?))
}
