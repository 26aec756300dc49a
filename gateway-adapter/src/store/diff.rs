//! What is different between two snapshots, in tree order.
//!
//! Invariant: directories that are the same by hash are not read. Content is compared by the hashes of its pieces, which one
//! repository cuts in one way. Times of change, inodes and link counts are the file system's affair and no difference.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustic_core::TreeId;
use rustic_core::repofile::Node;
use salvor_proto::gateway::v1::diff_snapshots_response::{Change, Kind};

use super::repository::Indexed;
use super::{StoreError, tree, walk};

/// A page of differences.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// In tree order.
    pub changes: Vec<Change>,
    /// Where the next page goes on, if there is one.
    pub next: Option<PathBuf>,
}

/// Which page.
#[derive(Debug)]
pub(super) struct From {
    /// Differences at and before this path were on the pages before.
    pub(super) after: Option<PathBuf>,
    /// At least 1.
    pub(super) size: usize,
}

/// The differences from one tree to another.
pub(super) fn page(
    index: &Arc<Indexed>,
    base: TreeId,
    other: TreeId,
    from: From,
) -> Result<Page, StoreError> {
    let mut comparison = Comparison { index, from, page: Page::default(), last: PathBuf::new() };
    if base != other {
        comparison.directories(Path::new("/"), Some(base), Some(other))?;
    }
    Ok(comparison.page)
}

struct Comparison<'a> {
    index: &'a Arc<Indexed>,
    from: From,
    page: Page,
    /// Of the last change on the page.
    last: PathBuf,
}

// === impl Comparison ===

impl Comparison<'_> {
    fn full(&self) -> bool {
        self.page.next.is_some()
    }

    fn directories(
        &mut self,
        path: &Path,
        base: Option<TreeId>,
        other: Option<TreeId>,
    ) -> Result<(), StoreError> {
        let read = |id: Option<TreeId>| match id {
            Some(id) => tree::directory(self.index, id),
            None => Ok(Vec::new()),
        };
        let mut base = read(base)?.into_iter().peekable();
        let mut other = read(other)?.into_iter().peekable();
        while !self.full() {
            let order = match (base.peek(), other.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(base), Some(other)) => base.name().cmp(&other.name()),
            };
            let before = if order.is_le() { base.next() } else { None };
            let after = if order.is_ge() { other.next() } else { None };
            self.entries(path, before.as_ref(), after.as_ref())?;
        }
        Ok(())
    }

    fn entries(
        &mut self,
        directory: &Path,
        base: Option<&Node>,
        other: Option<&Node>,
    ) -> Result<(), StoreError> {
        let name: OsString =
            base.or(other).map(|node| node.name().into_owned()).unwrap_or_default();
        let path = directory.join(name);
        let after = self.from.after.as_ref();
        // All of it was on the pages before.
        if after.is_some_and(|after| path < *after && !after.starts_with(&path)) {
            return Ok(());
        }
        let is_new = after.is_none_or(|after| path > *after);
        if let Some(kind) = difference(base, other).filter(|_| is_new) {
            self.add(&path, kind, base, other);
        }
        let subtree = |node: Option<&Node>| node.and_then(|node| node.subtree);
        let (below, beyond) = (subtree(base), subtree(other));
        if below != beyond && !self.full() {
            self.directories(&path, below, beyond)?;
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, kind: Kind, base: Option<&Node>, other: Option<&Node>) {
        if self.page.changes.len() >= self.from.size {
            self.page.next = Some(self.last.clone());
            return;
        }
        let size = |node: Option<&Node>| node.map_or(0, |node| node.meta.size);
        path.clone_into(&mut self.last);
        self.page.changes.push(Change {
            path: walk::shown(path),
            kind: kind.into(),
            base_size: size(base),
            other_size: size(other),
        });
    }
}

fn difference(base: Option<&Node>, other: Option<&Node>) -> Option<Kind> {
    let (base, other) = match (base, other) {
        (None, None) => return None,
        (None, Some(_)) => return Some(Kind::Added),
        (Some(_), None) => return Some(Kind::Removed),
        (Some(base), Some(other)) => (base, other),
    };
    if std::mem::discriminant(&base.node_type) != std::mem::discriminant(&other.node_type) {
        return Some(Kind::Type);
    }
    if base.node_type != other.node_type || base.content != other.content {
        return Some(Kind::Content);
    }
    let kept = |node: &Node| {
        let meta = &node.meta;
        (meta.mode, meta.mtime, meta.uid, meta.gid, meta.user.clone(), meta.group.clone())
    };
    (kept(base) != kept(other)).then_some(Kind::Metadata)
}
