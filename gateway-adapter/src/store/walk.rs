//! A snapshot's entries, as they were captured.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustic_core::repofile::Node;
use salvor_proto::gateway::v1 as pb;
use tokio::sync::mpsc::Sender;

use super::content::Content;
use super::feed::covered;
use super::node::{self, Stamp};
use super::repository::Indexed;
use super::snapshots::Found;
use super::{Lease, SnapshotId, StoreError, Stored, tree};

/// What is read: by this index, and while nothing is taken away.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) index: Arc<Indexed>,
    pub(super) lease: Lease,
}

/// What to go through.
#[derive(Debug)]
pub(super) struct Scope {
    roots: Vec<PathBuf>,
    paths: Vec<PathBuf>,
}

// === impl Scope ===

impl Scope {
    /// The roots of a snapshot, and of these only what is at or below `paths`, if there are any.
    pub(super) fn new(found: &Found, paths: Vec<PathBuf>) -> Self {
        Self { roots: roots(&found.manifest), paths }
    }

    fn holds(&self, path: &Path) -> bool {
        covered(&self.roots, path) && (self.paths.is_empty() || covered(&self.paths, path))
    }

    fn leads(&self, path: &Path) -> bool {
        let on_the_way = |to: &[PathBuf]| to.iter().any(|to| to.starts_with(path));
        let towards_root = covered(&self.roots, path) || on_the_way(&self.roots);
        let towards_path =
            self.paths.is_empty() || covered(&self.paths, path) || on_the_way(&self.paths);
        towards_root && towards_path
    }
}

/// The roots that were declared.
pub(super) fn roots(manifest: &pb::Snapshot) -> Vec<PathBuf> {
    let rules = manifest.rules.as_ref();
    rules.map(|rules| rules.roots.iter().map(PathBuf::from).collect()).unwrap_or_default()
}

/// Sends what is in scope, in tree order. Ends with the first error, or when nobody listens any more.
pub(super) fn walk(
    source: &Source,
    found: &Found,
    scope: Scope,
    entries: &Sender<Result<Stored, StoreError>>,
) {
    let stamp = Stamp(found.file.time.timestamp());
    let scope = Arc::new(scope);
    let leads = Arc::clone(&scope);
    let walk = tree::Walk::new(Arc::clone(&source.index), found.file.tree, move |path, _| {
        leads.leads(path)
    });
    for item in walk {
        let failed = item.node.is_err();
        let sent = match item.node {
            Ok(_) if !scope.holds(&item.path) => continue,
            node => node.map(|node| stored(source, &item.path, node, stamp)),
        };
        if entries.blocking_send(sent).is_err() || failed {
            return;
        }
    }
}

/// The content of one file.
pub(super) fn file(
    source: &Source,
    id: &SnapshotId,
    found: &Found,
    path: &Path,
) -> Result<Stored, StoreError> {
    let scope = Scope::new(found, vec![path.to_owned()]);
    let leads = |at: &Path, _: &Node| scope.leads(at) && at != path;
    for item in tree::Walk::new(Arc::clone(&source.index), found.file.tree, leads) {
        let node = item.node?;
        if item.path == path && scope.holds(path) {
            let stamp = Stamp(found.file.time.timestamp());
            return Ok(stored(source, path, node, stamp));
        }
    }
    Err(StoreError::PathNotFound { id: id.clone(), path: path.to_owned() })
}

fn stored(source: &Source, path: &Path, node: Node, stamp: Stamp) -> Stored {
    let entry = node::to_entry(path, &node, stamp);
    let size = node.meta.size;
    let content = node.is_file().then(|| {
        let pieces = node.content.unwrap_or_default();
        Content::new(Arc::clone(&source.index), pieces, size).leased(&source.lease)
    });
    Stored { entry, content }
}

/// A path for people and for the wire: bytes that are no UTF-8 as `\xNN`.
pub(crate) fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text
}
