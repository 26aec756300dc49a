//! What is below a root, from the headers of its archive.
//!
//! The entries are held until the stream ends, up to [`MAX_ENTRIES`], because how many hard links a file has is known only
//! then. Files of one inode get a number of their own, on a device of the root's own: the numbers mean that they are the
//! same file, and nothing else.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tar::EntryType;
use tokio::sync::mpsc;

use super::super::archive::Item;
use super::super::tar::Fault;
use super::{Links, RuntimeChannel, recent};
use crate::workspace::tree::MAX_ENTRIES;
use crate::workspace::{Broken, Entry, Kind, Note, Reason};

/// Entries in tree order, and which of them are one file.
#[derive(Debug, Default)]
struct Collected {
    device: u64,
    entries: Vec<Entry>,
    /// How many names each number has.
    names: HashMap<u64, u64>,
    links: Links,
}

/// Lists a root and sends the entries. See [`crate::workspace::Channel::inventory`].
pub(super) async fn send(
    channel: &RuntimeChannel,
    root: PathBuf,
    entries: mpsc::Sender<Entry>,
) -> Result<Vec<Note>, Broken> {
    let (docker, container) = channel.open().await?;
    let mut tree = match channel.tree(&docker, &root).await? {
        Ok(tree) => tree,
        Err(note) => return Ok(vec![note]),
    };
    let mut collected = Collected { device: device(&root), ..Collected::default() };
    let mut notes = Vec::new();
    while let Some(item) = tree.next().await.map_err(|fault| channel.fault(fault))? {
        if entries.is_closed() {
            return Ok(notes);
        }
        if collected.entries.len() >= MAX_ENTRIES {
            let detail =
                format!("there are more than {MAX_ENTRIES} entries, what is left out included");
            notes.push(Note { path: root.clone(), reason: Reason::TooManyEntries, detail });
            break;
        }
        collected.take(item).map_err(|fault| channel.fault(fault))?;
    }
    // While an archive is open the runtime answers nothing else about the container.
    drop(tree);
    channel.learn(&root, std::mem::take(&mut collected.links));
    if !container.is_still() {
        recent::refine(channel, &docker, &mut collected.entries).await?;
    }
    for entry in collected.finish() {
        if entries.send(entry).await.is_err() {
            break;
        }
    }
    Ok(notes)
}

// === impl Collected ===

impl Collected {
    fn take(&mut self, Item { path, target, member }: Item) -> Result<(), Fault> {
        let mut entry = Entry {
            path,
            kind: kind(member.kind, member.link),
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            user: member.user,
            group: member.group,
            size: member.size,
            modified: member.modified,
            changed: None,
            inode: 0,
            device: self.device,
            links: 1,
        };
        if let Some(target) = target {
            let first = self.first(&target)?;
            (entry.kind, entry.size, entry.inode) = (first.kind.clone(), first.size, first.inode);
            *self.names.entry(entry.inode).or_insert(1) += 1;
            self.links.insert(entry.path.clone(), target);
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The entry that a hard link is the same file as, with a number.
    fn first(&mut self, target: &Path) -> Result<&Entry, Fault> {
        let next = self.names.len() as u64 + 1;
        let found = self.entries.binary_search_by(|entry| entry.path.as_path().cmp(target));
        let first = found.ok().and_then(|index| self.entries.get_mut(index));
        let first = first.ok_or(Fault::Malformed("a hard link to nothing before it"))?;
        if first.inode == 0 {
            first.inode = next;
        }
        Ok(first)
    }

    fn finish(self) -> impl Iterator<Item = Entry> {
        let names = self.names;
        self.entries.into_iter().map(move |mut entry| {
            entry.links = names.get(&entry.inode).copied().unwrap_or(1);
            entry
        })
    }
}

/// A number that no other root has: entries of two roots are never the same file here.
fn device(root: &Path) -> u64 {
    let digest = Sha256::digest(root.as_os_str().as_bytes());
    digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn kind(kind: EntryType, link: Vec<u8>) -> Kind {
    match kind {
        EntryType::Regular | EntryType::Continuous | EntryType::Link => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink(OsString::from_vec(link).into()),
        EntryType::Fifo => Kind::Fifo,
        _ => Kind::Device,
    }
}
