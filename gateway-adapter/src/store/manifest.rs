//! A snapshot's manifest, readable in the `description` of restic's snapshot.
//!
//! Invariants: what bears no manifest of salvor's is nobody's but its maker's; a provisional snapshot reads as incomplete and
//! bears no request's id, whatever its manifest says; the commands of hooks are in none, and of older ones none is answered.

use prost::Message as _;
use rustic_core::StringList;
use rustic_core::jiff::{Timestamp, tz::TimeZone};
use rustic_core::repofile::SnapshotFile;
use salvor_proto::gateway::v1 as pb;
use salvor_proto::json;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{SnapshotId, StoreError};
use crate::workspace::Reason;

/// The version of the envelope. A newer one is not read.
const VERSION: u32 = 1;
/// Of `left_out` and of `issues` each.
const MAX_NOTES: usize = 1000;
/// Of the notes' texts of each of the two, in bytes: each list reads all manifests.
const MAX_NOTE_BYTES: usize = 256 << 10;
/// Marks snapshots of salvor's, for people.
const TAG: &str = "salvor";
/// Marks what an unfinished capture leaves.
const PROVISIONAL: &str = "salvor-provisional";

#[derive(Serialize, Deserialize)]
struct Envelope {
    salvor_manifest: u32,
    snapshot: serde_json::Value,
}

/// What restic shows of a snapshot that is being captured.
pub(super) fn provisional(
    manifest: &pb::Snapshot,
    time: Timestamp,
) -> Result<SnapshotFile, StoreError> {
    let mut file = SnapshotFile {
        time: time.to_zoned(TimeZone::UTC),
        program_version: concat!("salvor ", env!("CARGO_PKG_VERSION")).to_owned(),
        username: TAG.to_owned(),
        ..SnapshotFile::default()
    };
    let interrupted = pb::PathNote {
        path: "/".to_owned(),
        reason: Reason::StreamCut.as_str().to_owned(),
        detail: "the capture has not ended, or was interrupted".to_owned(),
    };
    let manifest = pb::Snapshot {
        state: pb::snapshot::State::Incomplete.into(),
        request_id: String::new(),
        coverage: Some(pb::Coverage {
            issues: vec![interrupted],
            issue_count: 1,
            ..pb::Coverage::default()
        }),
        ..manifest.clone()
    };
    write(&mut file, manifest, true)?;
    Ok(file)
}

/// Makes the snapshot that counts of a provisional one.
pub(super) fn sealed(
    mut file: SnapshotFile,
    manifest: pb::Snapshot,
) -> Result<SnapshotFile, StoreError> {
    write(&mut file, manifest, false)?;
    Ok(file)
}

/// Reads a manifest; `id` is the snapshot's.
pub(super) fn read(id: &SnapshotId, file: &SnapshotFile) -> Result<pb::Snapshot, StoreError> {
    let foreign = |detail: &str| StoreError::Foreign { id: id.clone(), detail: detail.to_owned() };
    let text = file.description.as_deref().ok_or_else(|| foreign("it bears no manifest"))?;
    let envelope: Envelope =
        serde_json::from_str(text).map_err(|_| foreign("it bears no manifest"))?;
    if envelope.salvor_manifest != VERSION {
        return Err(foreign("its manifest is of another version of salvor's"));
    }
    let mut manifest: pb::Snapshot =
        json::from_json(envelope.snapshot).map_err(|error| foreign(&error.to_string()))?;
    let sandbox = manifest.identity.as_ref().and_then(|identity| identity.sandbox.as_ref());
    let gateway = sandbox.map(|sandbox| sandbox.gateway.as_str()).unwrap_or_default();
    if !gateway.starts_with("gateways/") {
        return Err(foreign("its manifest names no gateway"));
    }
    manifest.name = format!("{gateway}/snapshots/{id}");
    hide_hooks(&mut manifest);
    if file.tags.contains(PROVISIONAL) || manifest.state() != pb::snapshot::State::Complete {
        manifest.set_state(pb::snapshot::State::Incomplete);
    }
    Ok(manifest)
}

/// What the tags of a snapshot say whose manifest cannot be read: its name, whose it is, and when it was begun. `None`: it is
/// not of salvor's making.
pub(super) fn tagged(id: &SnapshotId, file: &SnapshotFile) -> Option<pb::Snapshot> {
    let tags = file.tags.to_string();
    let of = tags.split(',').find_map(|tag| tag.strip_prefix("sandbox="))?;
    let (workspace, sandbox) = of.split_once('/').filter(|_| file.tags.contains(TAG))?;
    let gateway = format!("gateways/{}", file.hostname);
    let begun = u64::try_from(file.time.timestamp().as_millisecond()).unwrap_or(0);
    Some(pb::Snapshot {
        name: format!("{gateway}/snapshots/{id}"),
        identity: Some(pb::SnapshotIdentity {
            sandbox: Some(pb::SandboxRef {
                gateway,
                workspace: workspace.to_owned(),
                sandbox: sandbox.to_owned(),
            }),
            live_id: String::new(),
        }),
        begin_time: Some(salvor_proto::time::timestamp(begun)),
        ..pb::Snapshot::default()
    })
}

fn write(
    file: &mut SnapshotFile,
    mut manifest: pb::Snapshot,
    provisional: bool,
) -> Result<(), StoreError> {
    manifest.name.clear();
    hide_hooks(&mut manifest);
    if let Some(coverage) = &mut manifest.coverage {
        bound(&mut coverage.left_out);
        bound(&mut coverage.issues);
    }
    let sandbox = manifest.identity.as_ref().and_then(|identity| identity.sandbox.clone());
    let sandbox = sandbox.unwrap_or_default();
    sandbox.gateway.trim_start_matches("gateways/").clone_into(&mut file.hostname);
    file.tags = StringList::default();
    file.tags.add(TAG.to_owned());
    file.tags.add(format!("sandbox={}/{}", sandbox.workspace, sandbox.sandbox));
    let state = match manifest.state() {
        pb::snapshot::State::Complete => "complete",
        _ => "incomplete",
    };
    file.tags.add(state.to_owned());
    if provisional {
        file.tags.add(PROVISIONAL.to_owned());
    }
    let internal = |error: &dyn std::error::Error| StoreError::Internal(error.to_string());
    let snapshot = json::to_json(&manifest).map_err(|error| internal(&error))?;
    let envelope = Envelope { salvor_manifest: VERSION, snapshot };
    file.description = Some(serde_json::to_string(&envelope).map_err(|error| internal(&error))?);
    Ok(())
}

/// Whoever may read a snapshot need not see the arguments of commands: a digest tells whether they were others.
fn hide_hooks(manifest: &mut pb::Snapshot) {
    if let Some(hooks) = manifest.rules.as_mut().and_then(|rules| rules.quiesce.take()) {
        manifest.hooks_digest = hex::encode(Sha256::digest(hooks.encode_to_vec()));
    }
}

fn bound(notes: &mut Vec<pb::PathNote>) {
    notes.truncate(MAX_NOTES);
    let mut left = MAX_NOTE_BYTES;
    let fits = notes.iter().take_while(|note| {
        let bytes = note.path.len() + note.reason.len() + note.detail.len();
        left.checked_sub(bytes).inspect(|rest| left = *rest).is_some()
    });
    let fits = fits.count();
    notes.truncate(fits);
}

#[cfg(test)]
mod tests;
