//! What a recovery found out about a record's snapshots, written into the record: compare-and-swap under the lease. Of a record
//! that was destroyed meanwhile nothing is written.

use salvor_core::{
    id::SnapshotName,
    saga::{
        Part,
        capture::{NotSaved, Saved},
    },
};
use salvor_proto::{Error, registry::v1 as pb, time::timestamp};

use super::record::{note_complete, note_restored, speaks_of_the_planned, standing};
use crate::runner::Run;

/// What the registry takes of a sentence, in bytes.
const MAX_SAID: usize = 4 << 10;

/// What came of the last try to take a snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tried<'a> {
    /// It is complete.
    Saved(&'a Saved),
    /// It is not.
    NotSaved(&'a NotSaved),
}

/// Writes what came of a try, if there was one, and of a drill, if there was one.
pub(super) async fn note(
    run: &Run,
    tried: Option<Tried<'_>>,
    drill: Option<pb::DrillResult>,
) -> Result<(), Error> {
    let Some(mut record) = standing(run).await? else { return Ok(()) };
    let tried = tried.filter(|_| counts(run, &record));
    if tried.is_none() && drill.is_none() {
        return Ok(());
    }
    let now = timestamp(run.world.now().0);
    if let Some(Tried::Saved(saved)) = tried
        && let Some(live) = &run.header.plan.inputs.live_id
    {
        note_complete(&mut record, saved, live);
    }
    let status = record.snapshot_status.get_or_insert_default();
    if let Some(tried) = tried {
        status.last_attempt_time = Some(now);
        status.last_attempt_problem = match tried {
            Tried::Saved(_) => String::new(),
            Tried::NotSaved(why) => said(&why.to_string()),
        };
    }
    if let Some(drill) = drill {
        status.last_drill = Some(pb::DrillResult { message: said(&drill.message), ..drill });
    }
    run.world.registry.update(record, &["snapshot_status"], Some(run.fence())).await.map(|_| ())
}

/// Writes what a restore into the recorded sandbox leaves to be put back.
pub(super) async fn note_restore(run: &Run, data: &Part) -> Result<(), Error> {
    let inputs = &run.header.plan.inputs;
    let Some(chosen) = &inputs.restore else { return Ok(()) };
    let Some(mut record) = standing(run).await? else { return Ok(()) };
    if !speaks_of_the_planned(run, &record) {
        return Ok(());
    }
    let before = record.snapshot_status.get_or_insert_default().clone();
    note_restored(&mut record, &inputs.asked, &chosen.saved.name, Some(data));
    if record.snapshot_status.as_ref() == Some(&before) {
        return Ok(());
    }
    run.world.registry.update(record, &["snapshot_status"], Some(run.fence())).await.map(|_| ())
}

/// Takes out of the record what it says of snapshots that are no more: nothing is said to be safe in them.
pub(super) async fn note_deleted(run: &Run, deleted: &[SnapshotName]) -> Result<(), Error> {
    let Some(mut record) = standing(run).await? else { return Ok(()) };
    let Some(status) = record.snapshot_status.as_mut() else { return Ok(()) };
    let gone = |name: &String| deleted.iter().any(|one| one.as_str() == name);
    if !gone(&status.last_complete) && !status.pending_restores.iter().any(gone) {
        return Ok(());
    }
    if gone(&status.last_complete) {
        status.last_complete.clear();
        status.last_complete_time = None;
        status.last_complete_bytes = 0;
        status.last_complete_live_id.clear();
    }
    status.pending_restores.retain(|name| !gone(name));
    run.world.registry.update(record, &["snapshot_status"], Some(run.fence())).await.map(|_| ())
}

/// Whether it was a try at what the record declares, of the incarnation that the record speaks of.
fn counts(run: &Run, record: &pb::Sandbox) -> bool {
    let inputs = &run.header.plan.inputs;
    let same = inputs.live_id.as_ref().is_some_and(|live| live.as_str() == record.live_id);
    same && inputs.snapshot_roots.iter().all(|root| inputs.roots.contains(root))
}

/// As much of a sentence as the registry takes.
fn said(text: &str) -> String {
    text[..text.floor_char_boundary(MAX_SAID)].to_owned()
}
