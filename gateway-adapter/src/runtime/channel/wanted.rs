//! Some files of one root, each with its content, in one pass over the root's archive.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tar::EntryType;

use super::super::archive::{Item, Tree};
use super::super::tar::Member;
use super::super::trouble::Kind;
use super::spool::{Kept, Spool};
use super::{Links, RuntimeChannel};
use crate::workspace::{Broken, Note, Reason};

/// The wanted files, in tree order.
pub(super) struct Wanted<'a> {
    channel: &'a RuntimeChannel,
    tree: Tree,
    files: std::iter::Peekable<std::vec::IntoIter<PathBuf>>,
    /// Files whose content a wanted hard link needs later.
    needed: HashSet<PathBuf>,
    spool: Spool,
    /// What could not be read.
    pub(super) notes: Vec<Note>,
}

/// One of them.
pub(super) struct Found {
    /// Absolute.
    pub(super) path: PathBuf,
    /// Its header.
    pub(super) member: Member,
    /// Of its content, in bytes.
    pub(super) size: u64,
    source: Source,
}

/// Where a content comes from.
enum Source {
    Tree,
    /// From the tree, and kept for a later name.
    Both,
    Spool(Kept),
}

// === impl Wanted ===

impl<'a> Wanted<'a> {
    /// These files of a tree, whose hard links are known.
    pub(super) fn new(
        channel: &'a RuntimeChannel,
        tree: Tree,
        files: Vec<PathBuf>,
        links: &Arc<Links>,
    ) -> Self {
        let needed = files.iter().filter_map(|file| links.get(file)).cloned().collect();
        let files = files.into_iter().peekable();
        Self { channel, tree, files, needed, spool: Spool::default(), notes: Vec::new() }
    }

    /// The next wanted file. Those that the tree does not have are noted on the way.
    pub(super) async fn next(&mut self) -> Result<Option<Found>, Broken> {
        while self.files.peek().is_some() {
            let item = self.tree.next().await.map_err(|fault| self.channel.fault(fault))?;
            let Some(item) = item else { break };
            while let Some(gone) = self.files.next_if(|file| *file < item.path) {
                self.notes.push(vanished(gone));
            }
            let wanted = self.files.next_if_eq(&item.path).is_some();
            if let Some(found) = self.open(item, wanted).await? {
                return Ok(Some(found));
            }
        }
        self.notes.extend(self.files.by_ref().map(vanished));
        Ok(None)
    }

    async fn open(&mut self, item: Item, wanted: bool) -> Result<Option<Found>, Broken> {
        let Item { path, target, member } = item;
        let size = member.size;
        match (member.kind, target) {
            (EntryType::Regular | EntryType::Continuous, _) if self.needed.contains(&path) => {
                self.spool.begin(path.clone());
                let mut found = Found { path, member, size, source: Source::Both };
                if wanted {
                    return Ok(Some(found));
                }
                while self.piece(&mut found).await?.is_some() {}
            }
            _ if !wanted => {}
            (EntryType::Regular | EntryType::Continuous, _) => {
                return Ok(Some(Found { path, member, size, source: Source::Tree }));
            }
            (EntryType::Link, Some(target)) => match self.spool.find(&target) {
                Some(kept) => {
                    let (size, source) = (kept.left, Source::Spool(kept));
                    return Ok(Some(Found { path, member, size, source }));
                }
                None => self.notes.push(changed(path, "it was linked with another file meanwhile")),
            },
            _ => self.notes.push(changed(path, "it is no regular file any more")),
        }
        Ok(None)
    }

    /// The next piece of a file's content. One file is read to its end before the next is asked for.
    pub(super) async fn piece(&mut self, found: &mut Found) -> Result<Option<Bytes>, Broken> {
        let held = |error: io::Error| {
            let text = format!("a hard link's content cannot be held on this host: {error}");
            Broken::from(self.channel.runtime().trouble(Kind::Failed, text))
        };
        if let Source::Spool(kept) = &mut found.source {
            return self.spool.read(kept).await.map_err(held);
        }
        let piece = self.tree.piece().await.map_err(|fault| self.channel.fault(fault))?;
        if let (Source::Both, Some(piece)) = (&found.source, &piece) {
            self.spool.write(&found.path, piece).await.map_err(held)?;
        }
        Ok(piece)
    }
}

/// A file that was asked for and is not there.
pub(super) fn vanished(path: PathBuf) -> Note {
    Note { path, reason: Reason::Vanished, detail: "the container does not have it".to_owned() }
}

fn changed(path: PathBuf, detail: &str) -> Note {
    Note { path, reason: Reason::ChangedWhileReading, detail: detail.to_owned() }
}

// === impl Found ===

impl Found {
    /// Its name relative to `root`.
    pub(super) fn name(&self, root: &Path) -> Vec<u8> {
        use std::os::unix::ffi::OsStrExt;
        self.path.strip_prefix(root).unwrap_or(&self.path).as_os_str().as_bytes().to_vec()
    }
}
