//! Snapshot files: reading, listing, writing and deleting them. All of this blocks.

use std::sync::{Arc, Mutex, PoisonError};

use rustic_core::repofile::{SnapshotFile, SnapshotId as ResticId};
use rustic_core::{FileType, Id, OpenStatus, Repository, WriteBackend};
use salvor_proto::gateway::v1 as pb;
use salvor_proto::time;

use super::backend::{Recorder, lowered};
use super::parallel::{self, Wanted};
use super::repository::Opened;
use super::{Listing, SnapshotId, StoreError, manifest};

/// One snapshot: as restic has it, and its manifest.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) file: SnapshotFile,
    pub(super) manifest: pb::Snapshot,
}

/// All of them. Those that were listed before are not read again.
pub(super) fn list(opened: &Opened) -> Result<Listing, StoreError> {
    let (snapshots, unread) = opened.summaries.known(opened.storage.files(FileType::Snapshot)?);
    let repository = opened.repository()?;
    let listing = Mutex::new(Ok(Listing { snapshots, foreign: 0, unreadable: Vec::new() }));
    // Each is a file of its own: to be read from far away, perhaps.
    let alone = |_: &_| u64::MAX;
    parallel::each(unread.into_iter(), &Wanted::default(), alone, |on_disk| {
        let (read, tagged) = match file(&repository, on_disk.0) {
            Ok((own, file)) => (manifest::read(&own, &file), manifest::tagged(&own, &file)),
            Err(error) => (Err(error), None),
        };
        let mut listing = listing.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(found) = &mut *listing else { return };
        match read {
            Ok(manifest) => found.snapshots.push(opened.summaries.keep(on_disk, manifest)),
            // Deleted since it was listed.
            Err(StoreError::NotFound(_)) => {}
            Err(StoreError::Foreign { .. }) => {
                found.foreign += 1;
                found.unreadable.extend(tagged);
            }
            Err(error) => *listing = Err(error),
        }
    });
    let mut listing = listing.into_inner().unwrap_or_else(PoisonError::into_inner)?;
    for list in [&mut listing.snapshots, &mut listing.unreadable] {
        list.sort_by_cached_key(|snapshot| {
            let begun = snapshot.begin_time.as_ref().map(|time| (time.seconds, time.nanos));
            std::cmp::Reverse((begun, snapshot.name.clone()))
        });
    }
    Ok(listing)
}

/// One of them, by its exact id.
pub(super) fn get(opened: &Opened, id: &SnapshotId) -> Result<Found, StoreError> {
    read(&opened.repository()?, restic(id)?)
}

/// Writes one, and answers the id that it got.
pub(super) fn save(opened: &Opened, file: SnapshotFile) -> Result<SnapshotId, StoreError> {
    let recorder = Arc::new(Recorder::new(Arc::clone(&opened.storage)));
    let repository = opened.on(Arc::clone(&recorder) as Arc<dyn WriteBackend>)?;
    repository.save_snapshots(vec![file]).map_err(|error| lowered(&error))?;
    let id = recorder
        .only()
        .ok_or_else(|| StoreError::Internal("a snapshot was written and has no id".to_owned()))?;
    own(id)
}

/// Deletes one. What only it needs stays until space is reclaimed.
pub(super) fn delete(opened: &Opened, id: &SnapshotId) -> Result<(), StoreError> {
    let deleted = opened.repository()?.delete_snapshots(&[ResticId::from(restic(id)?)]);
    deleted.map_err(|error| match lowered(&error) {
        StoreError::Missing { .. } => StoreError::NotFound(id.clone()),
        error => error,
    })
}

/// When its reading began, in milliseconds since the epoch.
pub(super) fn begun(manifest: &pb::Snapshot) -> u64 {
    manifest.begin_time.as_ref().map_or(0, time::millis)
}

fn read(repository: &Repository<OpenStatus>, id: Id) -> Result<Found, StoreError> {
    let (own, file) = file(repository, id)?;
    let manifest = manifest::read(&own, &file)?;
    Ok(Found { file, manifest })
}

fn file(
    repository: &Repository<OpenStatus>,
    id: Id,
) -> Result<(SnapshotId, SnapshotFile), StoreError> {
    let own = own(id)?;
    let file: SnapshotFile =
        repository.get_file(&ResticId::from(id)).map_err(|error| match lowered(&error) {
            StoreError::Missing { .. } => StoreError::NotFound(own.clone()),
            StoreError::Damaged { what } => StoreError::Foreign { id: own.clone(), detail: what },
            error => error,
        })?;
    Ok((own, file))
}

fn restic(id: &SnapshotId) -> Result<Id, StoreError> {
    id.as_str().parse().map_err(|_| StoreError::NotFound(id.clone()))
}

/// Restic's id as ours.
pub(super) fn own(id: Id) -> Result<SnapshotId, StoreError> {
    id.to_hex().as_str().parse().map_err(|_| StoreError::Internal(format!("{id} is no id")))
}
