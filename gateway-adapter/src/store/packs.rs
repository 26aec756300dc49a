//! Packs as wholes.
//!
//! A pack ends with a list of what is in it, for the case that the index is lost. No piece of any snapshot is there, so whoever
//! reads all pieces does not notice that the list was altered.

use rustic_core::repofile::{BlobType, IndexFile, IndexId};
use rustic_core::{BlobId, FileType, Id};

use super::repository::{Indexed, Opened};
use super::{StoreError, tree};

/// Reads a pack and compares it with its hash, which is its name. If it is another one, but all pieces in it are what they
/// were, it is the list that was altered. An altered piece is for the snapshots to notice that it is part of.
///
/// # Errors
/// The list was altered, or the pack cannot be read.
pub(super) fn check_list(opened: &Opened, index: &Indexed, pack: &Id) -> Result<(), StoreError> {
    match opened.storage.read(FileType::Pack, pack) {
        Ok(_) => return Ok(()),
        Err(StoreError::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    let pieces = pieces(opened, pack)?;
    if pieces.iter().all(|(id, tpe)| tree::blob(index, id, *tpe).is_ok()) {
        let what = format!("the list at the end of pack {} was altered", pack.to_hex().as_str());
        return Err(StoreError::Damaged { what });
    }
    Ok(())
}

/// What is in a pack, as the index has it.
fn pieces(opened: &Opened, pack: &Id) -> Result<Vec<(BlobId, BlobType)>, StoreError> {
    let repository = opened.repository()?;
    for (id, _) in opened.storage.files(FileType::Index)? {
        // One that cannot be read was left out of the index, too.
        let Ok(file) = repository.get_file::<IndexFile>(&IndexId::from(id)) else { continue };
        if let Some(found) = file.packs.iter().find(|found| *found.id == *pack) {
            return Ok(found.blobs.iter().map(|blob| (blob.id, blob.tpe)).collect());
        }
    }
    let what = format!("no index file knows pack {} any more", pack.to_hex().as_str());
    Err(StoreError::Missing { what })
}
