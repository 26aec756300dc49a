//! Going through a snapshot's directories, in tree order.
//!
//! Invariants: a directory's bytes have the hash that its parent names, and its entries have names that cannot lead out of
//! it; one that cannot be read is an item of its own and ends nothing else. In memory are the directories from the top down to
//! the one in hand, whole, as restic's format has them. All of this blocks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustic_core::repofile::{BlobType, Node, Tree};
use rustic_core::{BlobId, TreeId};
use sha2::{Digest as _, Sha256};

use super::backend::lowered;
use super::repository::Indexed;
use super::{StoreError, node};

/// Deeper than this is nobody's workspace; paths end at 4096 bytes.
const MAX_DEPTH: usize = 2048;

/// What there is at a path, or why it cannot be known. A directory comes before what is in it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) node: Result<Node, StoreError>,
}

/// Goes through a tree. Which directories are entered is decided by `enter`.
pub(super) struct Walk<F> {
    index: Arc<Indexed>,
    enter: F,
    stack: Vec<Level>,
    /// The directory that was just answered.
    next: Option<(PathBuf, TreeId)>,
}

struct Level {
    path: PathBuf,
    nodes: std::vec::IntoIter<Node>,
}

// === impl Walk ===

impl<F: FnMut(&Path, &Node) -> bool> Walk<F> {
    /// Begins at a snapshot's top directory, `/`.
    pub(super) fn new(index: Arc<Indexed>, top: TreeId, enter: F) -> Self {
        Self { index, enter, stack: Vec::new(), next: Some((PathBuf::from("/"), top)) }
    }

    fn descend(&mut self, path: &Path, id: TreeId) -> Result<(), StoreError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(StoreError::Damaged { what: "directories are nested too deep".to_owned() });
        }
        let nodes = directory(&self.index, id)?.into_iter();
        self.stack.push(Level { path: path.to_owned(), nodes });
        Ok(())
    }
}

impl<F: FnMut(&Path, &Node) -> bool> Iterator for Walk<F> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if let Some((path, id)) = self.next.take()
            && let Err(error) = self.descend(&path, id)
        {
            return Some(Found { path, node: Err(error) });
        }
        loop {
            let level = self.stack.last_mut()?;
            let Some(found) = level.nodes.next() else {
                self.stack.pop();
                continue;
            };
            // Checked when the directory was read.
            let path = level.path.join(found.name());
            if found.is_dir() && (self.enter)(&path, &found) {
                let Some(id) = found.subtree else {
                    let what = format!("{} has no content", path.display());
                    return Some(Found { path, node: Err(StoreError::Damaged { what }) });
                };
                self.next = Some((path.clone(), id));
            }
            return Some(Found { path, node: Ok(found) });
        }
    }
}

/// The entries of one directory, in the order of their names' bytes.
pub(super) fn directory(index: &Indexed, id: TreeId) -> Result<Vec<Node>, StoreError> {
    let bytes = blob(index, &BlobId::from(id), BlobType::Tree)?;
    let tree: Tree = serde_json::from_slice(&bytes).map_err(|error| StoreError::Damaged {
        what: format!("directory {} cannot be decoded: {error}", id.to_hex().as_str()),
    })?;
    for found in &tree.nodes {
        node::name(found)?;
    }
    if !tree.nodes.is_sorted_by(|a, b| a.name() < b.name()) {
        let what = format!("directory {} is not in order", id.to_hex().as_str());
        return Err(StoreError::Damaged { what });
    }
    Ok(tree.nodes)
}

/// A piece of content, decrypted, and compared with the hash that it is known by.
pub(super) fn blob(
    index: &Indexed,
    id: &BlobId,
    tpe: BlobType,
) -> Result<bytes::Bytes, StoreError> {
    let hex = id.to_hex();
    let found = match tpe {
        BlobType::Tree => index.get_index_entry(&TreeId::from(*id)).is_ok(),
        BlobType::Data => index.get_index_entry(&rustic_core::DataId::from(*id)).is_ok(),
    };
    if !found {
        let what = format!("{tpe} {} is in no pack that is there", hex.as_str());
        return Err(StoreError::Missing { what });
    }
    let bytes = index.get_blob_cached(id, tpe).map_err(|error| lowered(&error))?;
    if hex::encode(Sha256::digest(&bytes)) != hex.as_str() {
        let what = format!("{tpe} {} is not what it was", hex.as_str());
        return Err(StoreError::Damaged { what });
    }
    Ok(bytes)
}
