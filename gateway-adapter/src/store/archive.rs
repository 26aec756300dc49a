//! Writing a capture into the repository, and making it a snapshot that counts.

use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use rustic_core::jiff::Timestamp;
use rustic_core::repofile::SnapshotFile;
use rustic_core::{BackupOptions, SnapshotGroupCriterion};
use salvor_proto::gateway::v1 as pb;
use salvor_proto::time;
use tokio::sync::OwnedRwLockReadGuard;

use super::backend::lowered;
use super::feed::{Feed, Last, Source};
use super::ledger::{Given, Ledger};
use super::node::Stamp;
use super::repository::{Indexed, Opened};
use super::{
    Counts, Draft, Item, OnProgress, Parent, SnapshotId, StoreError, manifest, snapshots, walk,
};
use crate::workspace::Note;

/// What a capture left in the repository, before anyone relies on it. Dropped, it stays as an incomplete snapshot.
pub(crate) struct Archived {
    /// What was given.
    pub counts: Counts,
    /// Files whose content could not be read to its end, or was not as long as listed. The first 1000.
    pub failed: Vec<Note>,
    /// All of them.
    pub failed_count: u64,
    pub(super) given: Vec<Given>,
    pub(super) roots: Vec<PathBuf>,
    pub(super) provisional: SnapshotId,
    pub(super) file: SnapshotFile,
    /// Space is not reclaimed before it is a snapshot that counts.
    pub(super) lease: OwnedRwLockReadGuard<()>,
}

/// What an archive works with.
pub(super) struct Setting {
    pub(super) opened: Opened,
    pub(super) index: Arc<Indexed>,
    pub(super) lease: OwnedRwLockReadGuard<()>,
}

/// Writes what comes over `items`, as a provisional snapshot.
pub(super) fn archive(
    setting: Setting,
    draft: &Draft,
    parent: Option<Parent>,
    items: Receiver<Item>,
    progress: OnProgress,
) -> Result<Archived, StoreError> {
    let stamp = stamp(&draft.manifest, parent.as_ref());
    let file = manifest::provisional(&draft.manifest, stamp.0)?;
    let roots = walk::roots(&draft.manifest);
    if roots.is_empty() {
        return Err(StoreError::Internal("a capture has no roots".to_owned()));
    }
    let options = options(parent.as_ref());
    let earlier =
        parent.as_ref().filter(|parent| parent.superseded).map(|parent| parent.id.clone());
    let ledger = Arc::new(Ledger::new(progress));
    let ending = Arc::new(Mutex::new(None));
    let lease = setting.lease;
    let source = Source::new(Feed {
        items,
        parent,
        stamp,
        roots: roots.clone(),
        ledger: Arc::clone(&ledger),
        ending: Arc::clone(&ending),
        turn: Arc::default(),
        last: Last::default(),
        filler: None,
    });
    let archived = setting.index.archive(&options, &source, file, &roots);
    drop(source);
    if let Some(earlier) = earlier
        && let Err(error) = snapshots::delete(&setting.opened, &earlier)
    {
        tracing::warn!(%error, snapshot = %earlier, "a provisional snapshot is left");
    }
    let file = archived.map_err(|error| lowered(&error))?;
    let provisional = snapshots::own(*file.id)?;
    let ended = ending.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Err(error) = ended.unwrap_or(Err(StoreError::Aborted)) {
        snapshots::delete(&setting.opened, &provisional)?;
        return Err(error);
    }
    let state = ledger.close();
    let stored = file.summary.as_ref().map_or(0, |summary| summary.data_added_packed);
    Ok(Archived {
        counts: Counts { bytes_stored: stored, ..state.counts },
        failed: state.failed,
        failed_count: state.failed_count,
        given: state.given,
        roots,
        provisional,
        file,
        lease,
    })
}

/// Writes the snapshot that counts, and takes the provisional one away.
pub(super) fn seal(
    opened: &Opened,
    archived: &Archived,
    manifest: pb::Snapshot,
) -> Result<pb::Snapshot, StoreError> {
    let file = manifest::sealed(archived.file.clone(), manifest)?;
    let id = snapshots::save(opened, file)?;
    // What was written is what others will read.
    let sealed = snapshots::get(opened, &id)?.manifest;
    if let Err(error) = snapshots::delete(opened, &archived.provisional) {
        tracing::warn!(%error, snapshot = %archived.provisional, "a provisional snapshot is left");
    }
    Ok(sealed)
}

/// The capture's time, unlike its parent's.
fn stamp(manifest: &pb::Snapshot, parent: Option<&Parent>) -> Stamp {
    let begun = manifest.begin_time.as_ref().map_or(0, time::millis);
    let millis = i64::try_from(begun).unwrap_or(i64::MAX);
    let begun = Timestamp::from_millisecond(millis).unwrap_or_default();
    let other = parent.is_none_or(|parent| parent.stamp.0 != begun);
    let later = begun + std::time::Duration::from_nanos(1);
    Stamp(if other { begun } else { later })
}

fn options(parent: Option<&Parent>) -> BackupOptions {
    let mut options = BackupOptions::default();
    options.no_scan = true;
    match parent {
        Some(parent) => {
            // Exactly this one, whatever host and paths it bears.
            options.parent_opts.group_by = Some(SnapshotGroupCriterion::new());
            options.parent_opts.parents = vec![parent.id.to_string()];
            // In rustic_core 0.13 the inode is compared only if it is to be ignored.
            options.parent_opts.ignore_inode = true;
        }
        None => options.parent_opts.force = true,
    }
    options
}

impl fmt::Debug for Archived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archived")
            .field("provisional", &self.provisional)
            .field("counts", &self.counts)
            .field("failed_count", &self.failed_count)
            .finish_non_exhaustive()
    }
}
