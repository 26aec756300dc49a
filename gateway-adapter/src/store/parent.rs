//! The snapshot that a capture is compared with.
//!
//! Invariants: only a complete snapshot of salvor's is one; "unchanged" is said only of a file whose path, type, size, times
//! and inode are all known and all equal, and whose content is all there. What cannot be read of it has changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustic_core::TreeId;
use rustic_core::jiff::Timestamp;
use rustic_core::repofile::Node;
use tokio::sync::OwnedRwLockReadGuard;

use super::content::Content;
use super::node::Stamp;
use super::repository::Indexed;
use super::snapshots::Found;
use super::{SnapshotId, tree};
use crate::workspace::{Entry, Kind};

/// A snapshot whose unchanged files need not be read again. Best asked in tree order. Blocks now and then, for a directory:
/// not for use inside a task.
#[derive(Debug)]
pub(crate) struct Parent {
    pub(super) id: SnapshotId,
    pub(super) index: Arc<Indexed>,
    /// Its own time: stands for times of change that were not known.
    pub(super) stamp: Stamp,
    /// Space is not reclaimed while a capture relies on it.
    pub(super) lease: Option<OwnedRwLockReadGuard<()>>,
    /// It is an earlier try of the same capture: taken away once the capture is archived.
    pub(super) superseded: bool,
    cursor: Cursor,
}

/// Finds nodes by path, a directory at a time.
#[derive(Debug)]
struct Cursor {
    top: TreeId,
    levels: Vec<(PathBuf, Vec<Node>)>,
}

// === impl Parent ===

impl Parent {
    /// Of a snapshot that was found to be complete.
    pub(super) fn new(
        id: SnapshotId,
        found: &Found,
        index: Arc<Indexed>,
        lease: OwnedRwLockReadGuard<()>,
    ) -> Self {
        let stamp = Stamp(found.file.time.timestamp());
        let lease = Some(lease);
        Self {
            id,
            index,
            stamp,
            lease,
            superseded: false,
            cursor: Cursor { top: found.file.tree, levels: Vec::new() },
        }
    }

    /// Whether this regular file is in the parent with the same path, type, size, times and inode, and all of its content is
    /// in the repository. Never for one whose inode or time of change is not known.
    pub(crate) fn unchanged(&mut self, entry: &Entry) -> bool {
        self.content(entry).is_some()
    }

    /// The content of an unchanged file.
    pub(super) fn content(&mut self, entry: &Entry) -> Option<Content> {
        let changed = entry.changed?;
        if entry.kind != Kind::File || entry.inode == 0 {
            return None;
        }
        let stamp = self.stamp;
        let node = self.cursor.find(&self.index, &entry.path)?;
        let meta = &node.meta;
        let same = node.is_file()
            && meta.size == entry.size
            && meta.inode == entry.inode
            && is(meta.mtime, entry.modified)
            && is(meta.ctime, changed)
            && meta.ctime != Some(stamp.0);
        let pieces = node.content.clone().filter(|_| same)?;
        let content = Content::new(Arc::clone(&self.index), pieces, entry.size);
        content.is_whole().then_some(content)
    }

    /// Whether rustic would take this node for the parent's, and not read it. It does not compare what is not known.
    pub(super) fn resembles(&mut self, path: &Path, node: &Node) -> bool {
        let Some(found) = self.cursor.find(&self.index, path) else { return false };
        let (before, now) = (&found.meta, &node.meta);
        let alike = |a, b| a == 0 || b == 0 || a == b;
        found.node_type == node.node_type
            && before.size == now.size
            && before.mtime == now.mtime
            && before.ctime.zip(now.ctime).is_none_or(|(before, now)| before == now)
            && alike(before.inode, now.inode)
    }
}

// === impl Cursor ===

impl Cursor {
    fn find(&mut self, index: &Indexed, path: &Path) -> Option<&Node> {
        let directory = path.parent()?;
        while self.levels.last().is_some_and(|(level, _)| !directory.starts_with(level)) {
            self.levels.pop();
        }
        if self.levels.is_empty() {
            self.levels.push((PathBuf::from("/"), tree::directory(index, self.top).ok()?));
        }
        while self.levels.last().is_some_and(|(level, _)| level != directory) {
            let (level, nodes) = self.levels.last()?;
            let name = directory.strip_prefix(level).ok()?.components().next()?;
            let below = level.join(name);
            let id = named(nodes, name.as_os_str())?.subtree?;
            self.levels.push((below, tree::directory(index, id).ok()?));
        }
        named(&self.levels.last()?.1, path.file_name()?)
    }
}

/// The nodes of a directory are in the order of their names.
fn named<'n>(nodes: &'n [Node], name: &std::ffi::OsStr) -> Option<&'n Node> {
    let at = nodes.binary_search_by(|node| (*node.name()).cmp(name)).ok()?;
    nodes.get(at)
}

fn is(stored: Option<Timestamp>, time: SystemTime) -> bool {
    Timestamp::try_from(time).is_ok_and(|time| stored == Some(time))
}
