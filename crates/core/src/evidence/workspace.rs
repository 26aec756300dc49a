//! What is known of a sandbox's files besides the sandbox itself, and what a request says of them.

use serde::{Deserialize, Serialize};

use super::Record;
use crate::{
    Timestamp,
    id::{ComputeId, LiveId, SandboxPath, SnapshotName},
    name::{RecordName, Sandbox},
};

/// What a request says besides its path.
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that a request says or not")]
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Use this snapshot and no other.
    pub snapshot: Option<SnapshotName>,
    /// Let it be another sandbox's.
    pub other_sandbox: bool,
    /// Of that one and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RecordName>,
    /// How to put it back.
    pub mode: RestoreMode,
    /// Only these paths; empty: all.
    pub paths: Vec<SandboxPath>,
    /// Directories to cover instead of the record's.
    pub roots: Vec<SandboxPath>,
    /// Which way to read, if it matters to the caller.
    pub channel: Option<Channel>,
    /// Read every file again.
    pub full: bool,
    /// What to make another sandbox for, and how to call it.
    pub copy: Option<CopyTo>,
    /// What to keep, instead of what the record says.
    pub retention: Option<Retention>,
    /// Also give back the space that nothing needs.
    pub reclaim: bool,
    /// A start was tried just before, and did not bring the sandbox back. Said by a recovery that goes on, never by a caller.
    #[serde(default)]
    pub start_tried: bool,
    /// Take these snapshots away, and no others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delete: Vec<SnapshotName>,
    /// Also those that the workspace would be brought back from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_last: bool,
}

/// Another sandbox, made from a record and a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyTo {
    /// Its name, on the same gateway, in the same workspace.
    pub sandbox: Sandbox,
    /// False: a drill; it is taken away again.
    pub keep: bool,
}

/// A way to a workspace's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Channel {
    /// The gateway's exec.
    Exec,
    /// The host's container runtime.
    Runtime,
}

/// How a snapshot is put back.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum RestoreMode {
    /// The roots hold exactly what the snapshot holds.
    #[default]
    Replace,
    /// Only what does not exist is written.
    SkipExisting,
    /// Only the declared config files, by key ownership.
    MergeConfig,
}

/// Which snapshots stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// So many of the newest.
    pub last: u32,
    /// The newest of each of so many hours.
    pub hourly: u32,
    /// The newest of each of so many days.
    pub daily: u32,
    /// The newest of each of so many weeks.
    pub weekly: u32,
}

/// A snapshot in the repository of the owner gateway's adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its exact name.
    pub name: SnapshotName,
    /// Whose workspace it is.
    pub of: RecordName,
    /// Of which incarnation.
    pub live_id: LiveId,
    /// Whether it may be selected at all.
    pub complete: bool,
    /// When it began to be read.
    pub begun: Timestamp,
    /// Declared roots that were read to their end.
    pub covered: Vec<SandboxPath>,
    /// Patterns whose files were left out of it.
    #[serde(default)]
    pub excludes: Vec<String>,
    /// Of the record's sealed files those that it holds with the content that is sealed. Looked at only where it is to be
    /// written into a locked sandbox.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub as_sealed: Vec<SandboxPath>,
    /// Regular files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A snapshot that is to be deleted by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doomed {
    /// As the repository holds it.
    pub snapshot: Snapshot,
    /// Whether it is the newest complete one of its sandbox, of whichever incarnation.
    pub newest: bool,
    /// Whether an open recovery rests on it.
    pub in_use: bool,
}

/// A container that bears the recorded incarnation's label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compute {
    /// The runtime's id.
    pub id: ComputeId,
    /// Whether something may be at work in it.
    pub running: bool,
}

// === impl Snapshot ===

impl Snapshot {
    /// Whether its content is this sandbox's: it was taken of the recorded incarnation, or it is the one that the record
    /// itself names, because the incarnation was restored from it, or part of that is still owed. A name alone proves nothing.
    pub fn is_of(&self, target: &RecordName, record: &Record) -> bool {
        self.of == *target
            && (record.live_id.as_ref() == Some(&self.live_id) || record.names(&self.name))
    }

    /// Whether everything that a recovery of the record puts back was read to its end.
    pub fn covers(&self, record: &Record) -> bool {
        self.lacks(record).is_none()
    }

    /// Whether it holds everything that a snapshot by the record's rules would hold. One that was taken when more was left out
    /// is better than nothing, and no reason to delete.
    pub fn stands_for(&self, record: &Record) -> bool {
        self.covers(record)
            && self.excludes.iter().all(|pattern| record.snapshot_excludes.contains(pattern))
    }

    /// The sealed files that writing it, or only these paths of it, can touch.
    pub fn touches<'s>(
        &self,
        sealed: impl Iterator<Item = &'s SandboxPath>,
        only: &[SandboxPath],
    ) -> impl Iterator<Item = &'s SandboxPath> {
        let within = |path: &SandboxPath, of: &[SandboxPath]| of.iter().any(|dir| path.is_in(dir));
        sealed.filter(move |path| {
            within(path, &self.covered) && (only.is_empty() || within(path, only))
        })
    }

    /// The first directory of the record's that was not read to its end, neither itself nor with one above it.
    pub fn lacks(&self, record: &Record) -> Option<SandboxPath> {
        record.roots().into_iter().find(|root| !self.covered.iter().any(|read| root.is_in(read)))
    }
}
