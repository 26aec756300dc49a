//! Everything of one round, given to the store in tree order.
//!
//! Runs on a thread of its own, since both ends may block it: the streams it reads from and the
//! store it gives to. Invariant: each entry of the survey is given, or is among the missing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::stream::{Files, Pieces, content, fill};
use super::survey::Survey;
use crate::operations::Handle;
use crate::store::Item;
use crate::workspace::Entry;

/// Where an entry's content comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It has none.
    Nothing,
    /// The parent.
    Parent,
    /// The stream of its root.
    Stream,
    /// A copy made for it; see [`Copies`].
    Copy,
    /// It cannot be had, or another entry stands for it. It is not given.
    Nowhere,
}

/// Files that are read from a copy: as they are given, and where the copy is.
#[derive(Debug, Default, Clone)]
pub(super) struct Copies {
    /// Where the copies are.
    pub(super) directory: PathBuf,
    /// By the path of the original.
    pub(super) files: HashMap<PathBuf, Copied>,
}

/// One copy.
#[derive(Debug, Clone)]
pub(super) struct Copied {
    /// Its file.
    pub(super) path: PathBuf,
    /// In bytes.
    pub(super) size: u64,
}

/// What is given.
pub(super) struct Round {
    pub(super) survey: Arc<Survey>,
    /// For each root, for each entry.
    pub(super) sources: Vec<Vec<Source>>,
    pub(super) copies: Copies,
    /// For each root.
    pub(super) streams: Vec<mpsc::Receiver<Bytes>>,
    pub(super) copied: mpsc::Receiver<Bytes>,
    pub(super) items: SyncSender<Item>,
    pub(super) handle: Handle,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Produced {
    /// Files that were asked for and did not come, or not as files, by root.
    pub(super) missing: Vec<Vec<PathBuf>>,
    /// Names in a stream that lead out of its root.
    pub(super) strays: Vec<PathBuf>,
    /// Files read from the sandbox.
    pub(super) files_read: u64,
}

/// The store takes no more, or the work was cancelled.
struct Stopped;

/// Gives all of it. Without an end when it was stopped.
pub(super) fn produce(round: Round) -> Produced {
    let mut produced = Produced::default();
    // Whoever stopped it knows why.
    let _ = give(round, &mut produced);
    produced
}

fn give(round: Round, produced: &mut Produced) -> Result<(), Stopped> {
    let Round { survey, sources, copies, streams, copied, items, handle } = round;
    let mut copied = tar::Archive::new(Pieces::new(copied));
    let mut copied = Files::new(&copies.directory, &mut copied).map_err(|_| Stopped)?;
    for ((root, sources), stream) in survey.roots.iter().zip(&sources).zip(streams) {
        produced.missing.push(Vec::new());
        let mut archive = tar::Archive::new(Pieces::new(stream));
        let mut files = Files::new(&root.path, &mut archive).map_err(|_| Stopped)?;
        let mut giver = Giver { items: &items, handle: &handle, produced };
        for (entry, source) in root.entries.iter().zip(sources) {
            giver.entry(entry, *source, &mut files, &copies, &mut copied)?;
        }
        let strays = files.strays();
        produced.strays.extend(strays);
        archive.into_inner().drain();
    }
    items.send(Item::End).map_err(|_| Stopped)
}

struct Giver<'a> {
    items: &'a SyncSender<Item>,
    handle: &'a Handle,
    produced: &'a mut Produced,
}

// === impl Giver ===

impl Giver<'_> {
    fn entry(
        &mut self,
        entry: &Entry,
        source: Source,
        files: &mut Files<'_, Pieces>,
        copies: &Copies,
        others: &mut Files<'_, Pieces>,
    ) -> Result<(), Stopped> {
        if self.handle.is_cancelled() {
            return Err(Stopped);
        }
        match source {
            Source::Nowhere => return Ok(()),
            Source::Nothing => self.give(Item::Entry(entry.clone()))?,
            Source::Parent => {
                self.handle.add_bytes(entry.size);
                self.give(Item::Unchanged(entry.clone()))?;
            }
            Source::Stream => self.file(entry.clone(), &entry.path, files)?,
            Source::Copy => match copies.files.get(&entry.path) {
                Some(copy) => self.file(of_copy(entry, copy.size), &copy.path, others)?,
                None => self.missing(&entry.path),
            },
        }
        self.handle.add_files(1);
        Ok(())
    }

    fn file(
        &mut self,
        entry: Entry,
        path: &Path,
        files: &mut Files<'_, Pieces>,
    ) -> Result<(), Stopped> {
        let found = files.next_if(path).filter(|found| is_file(found));
        let Some(mut found) = found else {
            self.missing(&entry.path);
            return Ok(());
        };
        let (filling, content) = content();
        let original = entry.path.clone();
        self.give(Item::File(entry, Box::new(content)))?;
        match fill(&mut found, &filling, |bytes| self.handle.add_bytes(bytes)) {
            Ok(_) => self.produced.files_read += 1,
            Err(_) => self.missing(&original),
        }
        Ok(())
    }

    fn missing(&mut self, path: &Path) {
        if let Some(missing) = self.produced.missing.last_mut() {
            missing.push(path.to_owned());
        }
    }

    fn give(&self, item: Item) -> Result<(), Stopped> {
        self.items.send(item).map_err(|_| Stopped)
    }
}

/// The original with what is the copy's. It is never taken for unchanged: its content is not what
/// the original's times speak of.
fn of_copy(entry: &Entry, size: u64) -> Entry {
    Entry { size, changed: None, inode: 0, links: 1, ..entry.clone() }
}

fn is_file<R: std::io::Read>(found: &tar::Entry<'_, R>) -> bool {
    let kind = found.header().entry_type();
    kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse()
}
