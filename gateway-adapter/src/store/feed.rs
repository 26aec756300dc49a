//! What comes from a capture, in the form that the archiver takes.
//!
//! Invariants: files are read in the order given, one after the other, each to its end, whatever the archiver does at once; an
//! entry that is out of order ends the capture; what the archiver would take for unchanged by its own, looser rule is made to
//! differ, by its time of change. In memory are small files, a few at a time.
//!
//! The archiver (rustic_core 0.13) asks for the entry after one before it works on that one. A capture that can only go on once
//! a file is read would wait for ever, so a large file is followed by a filler, which the archiver leaves out.

use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rustic_core::repofile::{Metadata, Node, NodeType};
use rustic_core::{ReadSource, ReadSourceEntry, RusticResult};
use sha2::{Digest as _, Sha256};

use super::ledger::{Given, Held, Ledger, key};
use super::node::{self, Stamp};
use super::{Counts, Item, Parent, StoreError};
use crate::workspace::{Entry, Kind, Reason};

/// Files up to this size are read at once, so that several can be worked on. As many as twice the machine's threads are held.
const SMALL: u64 = 256 << 10;

type Content = Box<dyn Read + Send>;

/// What a capture gives. Can be gone through once.
pub(super) struct Source(Mutex<Option<Feed>>);

/// See the module.
pub(super) struct Feed {
    pub(super) items: Receiver<Item>,
    pub(super) parent: Option<Parent>,
    pub(super) stamp: Stamp,
    pub(super) roots: Vec<PathBuf>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) ending: Arc<Mutex<Option<Result<(), StoreError>>>>,
    pub(super) turn: Arc<Turn>,
    pub(super) last: Last,
    /// The large file that was just given.
    pub(super) filler: Option<PathBuf>,
}

/// The entry before.
#[derive(Debug, Default)]
pub(super) struct Last {
    path: PathBuf,
    directory: bool,
}

/// Whose turn it is to be read: the next file's once it is free.
#[derive(Debug, Default)]
pub(super) struct Turn {
    taken: Mutex<bool>,
    freed: Condvar,
}

/// A file that is read, counted, digested, and noted when it fails.
struct Tracked {
    content: Content,
    entry: Entry,
    place: usize,
    digest: Sha256,
    read: u64,
    ended: bool,
    ledger: Arc<Ledger>,
    turn: Option<Arc<Turn>>,
}

// === impl Source ===

impl Source {
    /// Of one capture.
    pub(super) fn new(feed: Feed) -> Self {
        Self(Mutex::new(Some(feed)))
    }
}

impl ReadSource for Source {
    type Open = Content;
    type Iter = std::iter::Flatten<std::option::IntoIter<Feed>>;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Self::Iter {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take().into_iter().flatten()
    }
}

// === impl Feed ===

impl Feed {
    fn end(&self, how: Result<(), StoreError>) {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(how);
    }

    /// Whether an entry may come now: it is a root, or in the directory before it or in one that is above that.
    fn in_order(&self, entry: &Entry) -> bool {
        let path = &entry.path;
        let Some(parent) = path.parent() else { return false };
        if path.file_name().is_none() || *path <= self.last.path {
            return false;
        }
        let below = |root: &PathBuf| path.starts_with(root) && path != root;
        if !self.roots.iter().any(below) {
            return self.roots.contains(path) && entry.kind == Kind::Directory;
        }
        self.last.path.starts_with(parent) && (self.last.directory || self.last.path != parent)
    }

    fn take(&mut self, item: Item) -> Option<ReadSourceEntry<Content>> {
        match item {
            Item::Entry(entry) => Some(self.plain(entry)),
            Item::Unchanged(entry) => Some(self.unchanged(entry)),
            Item::File(entry, content) => Some(self.file(entry, content)),
            Item::End => None,
        }
    }

    fn plain(&mut self, entry: Entry) -> ReadSourceEntry<Content> {
        let node = self.node(&entry);
        let given = Given { key: key(&entry.path, &node), content: Held::Nothing };
        self.ledger.give(given, |counts| match entry.kind {
            Kind::Directory => counts.directories += 1,
            _ => counts.others += 1,
        });
        ReadSourceEntry { path: entry.path, node, open: None }
    }

    fn unchanged(&mut self, entry: Entry) -> ReadSourceEntry<Content> {
        let node = self.node(&entry);
        let given = Given { key: key(&entry.path, &node), content: Held::Unchanged };
        self.ledger.give(given, |counts| {
            add(counts, &entry);
            counts.files_unchanged += 1;
        });
        let held = self.parent.as_mut().and_then(|parent| parent.content(&entry));
        let content: Content = if let Some(Ok(reader)) = held.map(|content| content.reader(0)) {
            Box::new(reader)
        } else {
            let detail = "it was said to be unchanged, and is not in the parent".to_owned();
            self.ledger.fail(&entry.path, Reason::Unreadable, detail);
            Box::new(io::empty())
        };
        ReadSourceEntry { path: entry.path, node, open: Some(content) }
    }

    fn file(&mut self, entry: Entry, content: Content) -> ReadSourceEntry<Content> {
        let mut node = self.node(&entry);
        let resembles = self.parent.as_mut().is_some_and(|p| p.resembles(&entry.path, &node));
        if resembles {
            node.meta.ctime = Some(self.stamp.0);
        }
        let given = Given { key: key(&entry.path, &node), content: Held::Pending };
        let place = self.ledger.give(given, |counts| add(counts, &entry));
        let path = entry.path.clone();
        let tracked = Tracked::new(content, entry, place, Arc::clone(&self.ledger));
        let (content, is_large) = tracked.in_turn(&self.turn);
        self.filler = is_large.then(|| path.clone());
        ReadSourceEntry { path, node, open: Some(content) }
    }

    fn node(&self, entry: &Entry) -> Node {
        let (node, storable) = node::from_entry(entry, self.stamp);
        if storable.is_err() {
            let detail = "its time of modification is beyond what can be stored".to_owned();
            self.ledger.fail(&entry.path, Reason::Differs, detail);
        }
        node
    }
}

impl Iterator for Feed {
    type Item = RusticResult<ReadSourceEntry<Content>>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(path) = self.filler.take() {
            return Some(Ok(filler(path)));
        }
        self.turn.wait();
        if self.ending.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return None;
        }
        let Ok(item) = self.items.recv() else {
            self.end(Err(StoreError::Aborted));
            return None;
        };
        let entry = match &item {
            Item::Entry(entry) | Item::Unchanged(entry) | Item::File(entry, _) => entry,
            Item::End => {
                self.end(Ok(()));
                return None;
            }
        };
        let is_file = entry.kind == Kind::File;
        if !self.in_order(entry) || is_file == matches!(item, Item::Entry(_)) {
            self.end(Err(StoreError::OutOfOrder { path: entry.path.clone() }));
            return None;
        }
        self.last = Last { path: entry.path.clone(), directory: entry.kind == Kind::Directory };
        self.take(item).map(Ok)
    }
}

/// A file without content right after this one: the archiver passes over it. No name has a zero byte, so it is nobody's, and
/// sorts before any other.
fn filler(path: PathBuf) -> ReadSourceEntry<Content> {
    let mut path = path.into_os_string();
    path.push("\0");
    let path = PathBuf::from(path);
    let name = path.file_name().unwrap_or_default();
    let node = Node::new_node(name, NodeType::File, Metadata::default());
    ReadSourceEntry { node, path, open: None }
}

fn add(counts: &mut Counts, entry: &Entry) {
    counts.files += 1;
    counts.bytes += entry.size;
}

// === impl Turn ===

impl Turn {
    fn wait(&self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken {
            taken = self.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn set(&self, now: bool) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.freed.notify_all();
    }
}

// === impl Tracked ===

impl Tracked {
    fn new(content: Content, entry: Entry, place: usize, ledger: Arc<Ledger>) -> Self {
        let digest = Sha256::new();
        Self { content, entry, place, digest, read: 0, ended: false, ledger, turn: None }
    }

    /// Reads a small file now; makes the next one wait for a large one. Answers whether it is one.
    fn in_turn(mut self, turn: &Arc<Turn>) -> (Content, bool) {
        let mut begin = Vec::new();
        if self.entry.size <= SMALL {
            // Its errors are noted, and end it.
            let _ = self.by_ref().take(SMALL + 1).read_to_end(&mut begin);
            if self.ended {
                return (Box::new(Cursor::new(begin)), false);
            }
        }
        turn.set(true);
        self.turn = Some(Arc::clone(turn));
        (Box::new(Cursor::new(begin).chain(self)), true)
    }

    fn end(&mut self) {
        if self.ended {
            return;
        }
        self.ended = true;
        let digest = std::mem::take(&mut self.digest).finalize();
        self.ledger.done(self.place, digest.into());
        if self.read != self.entry.size {
            let detail = format!("{} bytes were listed, {} read", self.entry.size, self.read);
            self.fail(Reason::ChangedWhileReading, detail);
        }
    }

    fn fail(&self, reason: Reason, detail: String) {
        self.ledger.fail(&self.entry.path, reason, detail);
    }
}

impl Read for Tracked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended || buffer.is_empty() {
            return Ok(0);
        }
        let read = loop {
            match self.content.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Ok(0) => {
                self.end();
                Ok(0)
            }
            Ok(length) => {
                self.digest.update(&buffer[..length]);
                self.read += length as u64;
                self.ledger.read(length as u64);
                Ok(length)
            }
            // The archiver would leave the file out. What was read of it is kept, and this said.
            Err(error) => {
                self.fail(reason(&error), error.to_string());
                self.read = self.entry.size;
                self.end();
                Ok(0)
            }
        }
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        if !self.ended {
            self.fail(Reason::Unreadable, "it was not read to its end".to_owned());
        }
        if let Some(turn) = &self.turn {
            turn.set(false);
        }
    }
}

/// The reason that a capture chose, or what the kind of the error says.
fn reason(error: &io::Error) -> Reason {
    use io::ErrorKind as Kind;
    let chosen = error.get_ref().and_then(|error| error.downcast_ref::<super::ReadFailed>());
    chosen.map_or_else(
        || match error.kind() {
            Kind::UnexpectedEof | Kind::BrokenPipe | Kind::ConnectionReset => Reason::StreamCut,
            Kind::TimedOut => Reason::TimedOut,
            Kind::NotFound => Reason::Vanished,
            _ => Reason::Unreadable,
        },
        |failed| failed.reason,
    )
}

/// Whether a path is at or below one of these.
pub(super) fn covered(roots: &[PathBuf], path: &Path) -> bool {
    roots.iter().any(|root| path.starts_with(root))
}
