//! The record's part of a recovery: marked, copied, unmarked, brought up to date. Every write is compare-and-swap under the
//! lease, so that doing it again is seen as done. Invariant: a write changes the recovery's own fields and no other, so that
//! what somebody else wrote into the record meanwhile stands.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;
use salvor_core::{
    evidence::{Asked, RestoreMode},
    id::{Fence, LiveId, RecoveryName, SnapshotName},
    name::RecordName,
    plan::Inputs,
    saga::{Part, Pending, capture::Saved},
};
use salvor_proto::{Error, convert, error::Code, registry::v1 as pb, time::timestamp};

use crate::{ports::Registry, runner::Run};

/// As many as the registry takes.
const MAX_PENDING: usize = 100;
/// The fields of a record that say that, and by whom, it is marked.
const MARK: &[&str] = &["state", "recovery"];

/// A marked record: its version, and the copy from before.
pub(super) struct Claim {
    /// After the mark.
    pub(super) etag: String,
    /// From before; base64 of the sealed copy.
    pub(super) entry: String,
}

/// Copies the record and marks it; `None` when it is not the one that the plan was made from, has been destroyed since or made
/// anew, or is another recovery's: of an orchestrator with a journal of its own, which was given the lease while this one was gone.
pub(super) async fn claim(run: &Run, state: pb::sandbox::State) -> Result<Option<Claim>, Error> {
    let Some(mut record) = standing(run).await? else { return Ok(None) };
    if !planned_from(run, &record)?
        || is_replaced(run, &record)
        || is_of_another(&record, run.name())
    {
        return Ok(None);
    }
    if is_marked(&record) {
        record = set_state(run, record, pb::sandbox::State::Active).await?;
    }
    let copy = run.world.registry.snapshot_entry(run.target()).await?;
    if copy.etag != record.etag {
        return Ok(None);
    }
    let marked = set_state(run, record, state).await?;
    Ok(Some(Claim { etag: marked.etag, entry: STANDARD.encode(copy.encode_to_vec()) }))
}

/// Whether the record, which the recovery does not mark, is active and says what the plan will use.
pub(super) async fn is_planned(run: &Run) -> Result<bool, Error> {
    let record = run.world.registry.sandbox(run.target()).await?;
    let stands = record.state() == pb::sandbox::State::Active && !is_replaced(run, &record);
    Ok(stands && planned_from(run, &record)?)
}

/// The record, unless it was destroyed meanwhile: then there is nothing left to write into.
pub(super) async fn standing(run: &Run) -> Result<Option<pb::Sandbox>, Error> {
    let record = run.world.registry.sandbox(run.target()).await?;
    Ok((record.state() != pb::sandbox::State::Destroyed).then_some(record))
}

/// Takes the mark off. A record that bears none was unmarked before a crash, or is a tombstone; another recovery's is left.
pub(super) async fn unmark(run: &Run) -> Result<(), Error> {
    let (registry, fence) = (&run.world.registry, run.fence());
    unmark_held(registry, run.target(), fence, run.name()).await.map(|_| ())
}

/// Takes a recovery's mark off a record whose lease is held. Whether it bore it.
pub(crate) async fn unmark_held(
    registry: &Registry,
    target: &RecordName,
    fence: Fence,
    recovery: &RecoveryName,
) -> Result<bool, Error> {
    let mut record = registry.sandbox(target).await?;
    if !is_marked(&record) || is_of_another(&record, recovery) {
        return Ok(false);
    }
    free(&mut record);
    registry.update(record, MARK, Some(fence)).await?;
    Ok(true)
}

/// The secret bytes that the recovery works with: of the copy that it made when it marked the record, if it did.
pub(super) async fn material(run: &Run) -> Result<pb::OpenSandboxMaterialResponse, Error> {
    let damaged = || {
        let text = format!("{}: the copy of its record in its journal cannot be read", run.name());
        Error::new(Code::DataLoss, "JOURNAL_ROW_UNREADABLE", text)
    };
    let entry = run.rows().iter().find_map(|row| claimed_entry(&row.event));
    let copy = entry.map(|text| {
        let bytes = STANDARD.decode(text).map_err(|_| damaged())?;
        pb::EntrySnapshot::decode(&*bytes).map_err(|_| damaged())
    });
    run.world.registry.material(run.target(), copy.transpose()?, run.fence()).await
}

/// Marks the record active again, speaking of `live`, with what its posture came to, and with the snapshot whose content it
/// has now, if it was made from one, and how that went: what a recovery right after this one would put back.
///
/// Only this takes the recovery's mark off, so a record without it was brought up to date before a crash. What has become of it
/// since stands.
pub(super) async fn commit(
    run: &Run,
    live: &LiveId,
    posture: &Part,
    restored: Option<(&Saved, Option<&Part>)>,
) -> Result<(), Error> {
    let mut record = run.world.registry.sandbox(run.target()).await?;
    let active = record.state() == pb::sandbox::State::Active;
    let before = run.header.plan.inputs.live_id.as_ref().map_or("", LiveId::as_str);
    let done = active && (record.live_id == live.as_str() || record.live_id != before);
    if done || is_of_another(&record, run.name()) || is_replaced(run, &record) {
        return Ok(());
    }
    live.as_str().clone_into(&mut record.live_id);
    free(&mut record);
    let mut fields = vec!["live_id"];
    fields.extend(MARK);
    // What was proven is what was planned: of another obligation nothing is known.
    if let Some(stored) = record.posture.as_mut()
        && convert::posture(stored) == run.header.plan.inputs.posture
        && prove(stored, posture, run.world.now().0)
    {
        fields.push("posture");
    }
    if let Some((saved, data)) = restored {
        let inputs = &run.header.plan.inputs;
        let (_, of) = inputs.identity_of(&saved.name, run.target());
        note_complete(&mut record, saved, &of);
        note_restored(&mut record, &inputs.asked, &saved.name, data);
        fields.push("snapshot_status");
    }
    run.world.registry.update(record, &fields, Some(run.fence())).await.map(|_| ())
}

/// Writes into the record how the proof of its obligation went, if it was looked at.
pub(super) async fn note_posture(run: &Run, part: Option<&Part>) -> Result<(), Error> {
    let Some(mut record) = standing(run).await? else { return Ok(()) };
    // It was looked at in the sandbox, and for the obligation, that the plan is about.
    let inputs = &run.header.plan.inputs;
    if !speaks_of_the_planned(run, &record) {
        return Ok(());
    }
    let (Some(part), Some(stored)) = (part, record.posture.as_mut()) else { return Ok(()) };
    if convert::posture(stored) != inputs.posture || !prove(stored, part, run.world.now().0) {
        return Ok(());
    }
    run.world.registry.update(record, &["posture"], Some(run.fence())).await.map(|_| ())
}

/// Writes into the record which complete snapshot stands for its workspace.
pub(super) fn note_complete(record: &mut pb::Sandbox, saved: &Saved, of: &LiveId) {
    let status = record.snapshot_status.get_or_insert_default();
    status.last_complete = saved.name.to_string();
    status.last_complete_time = Some(timestamp(saved.begun.0));
    status.last_complete_bytes = saved.bytes;
    status.last_complete_live_id = of.to_string();
}

/// Writes into the record of which snapshots something is still to be put back, so that they are kept. Of one that came back
/// whole nothing is; of none, if a caller had chosen that one by name.
pub(super) fn note_restored(
    record: &mut pb::Sandbox,
    asked: &Asked,
    from: &SnapshotName,
    data: Option<&Part>,
) {
    let pending = &mut record.snapshot_status.get_or_insert_default().pending_restores;
    let whole = asked.paths.is_empty() && asked.mode == RestoreMode::Replace;
    match data {
        Some(Part::Restored { .. }) if whole && asked.snapshot.is_some() => pending.clear(),
        Some(Part::Restored { .. }) if whole => pending.retain(|name| name != from.as_str()),
        Some(Part::Partly { owed, .. } | Part::Pending(owed))
            if owed.iter().any(is_of_a_file)
                && pending.len() < MAX_PENDING
                && !pending.iter().any(|name| name == from.as_str()) =>
        {
            pending.push(from.to_string());
        }
        _ => {}
    }
}

const fn is_of_a_file(owed: &Pending) -> bool {
    matches!(owed, Pending::NotRestored { .. } | Pending::MoreNotRestored { .. })
}

/// Turns the record into a tombstone. One that has taken its place since was made after it was buried, before a crash.
pub(super) async fn bury(run: &Run) -> Result<(), Error> {
    let record = run.world.registry.sandbox(run.target()).await?;
    if record.state() == pb::sandbox::State::Destroyed || is_replaced(run, &record) {
        return Ok(());
    }
    run.world.registry.bury(run.target(), &record.etag, run.fence()).await
}

/// Whether the record speaks of the incarnation that the plan is about.
pub(super) fn speaks_of_the_planned(run: &Run, record: &pb::Sandbox) -> bool {
    run.header.plan.inputs.live_id.as_ref().map_or("", LiveId::as_str) == record.live_id
}

/// Whether it is not the record that the plan was made from, but a later one of its name.
fn is_replaced(run: &Run, record: &pb::Sandbox) -> bool {
    let planned = run.header.evidence.record.shown().and_then(|record| record.uid.as_ref());
    planned.is_some_and(|uid| !record.uid.is_empty() && uid.as_str() != record.uid)
}

/// Writes into the obligation how its proof went. False when there is nothing to say.
pub(crate) fn prove(stored: &mut pb::Posture, part: &Part, now_ms: u64) -> bool {
    let proof = match part {
        Part::Proven => pb::posture::Proof::Proven,
        Part::Pending(_) | Part::Unproven(_) => pb::posture::Proof::Pending,
        Part::NotApplicable
        | Part::Kept
        | Part::Restored { .. }
        | Part::Partly { .. }
        | Part::Gone
        | Part::Lost => return false,
    };
    stored.set_proof(proof);
    stored.proof_time = Some(timestamp(now_ms));
    stored.pending = match part {
        Part::Pending(items) => items.iter().map(ToString::to_string).collect(),
        Part::Unproven(why) => vec![why.sentence().to_owned()],
        Part::Proven
        | Part::NotApplicable
        | Part::Kept
        | Part::Restored { .. }
        | Part::Partly { .. }
        | Part::Gone
        | Part::Lost => Vec::new(),
    };
    true
}

fn is_marked(record: &pb::Sandbox) -> bool {
    matches!(record.state(), pb::sandbox::State::Recovering | pb::sandbox::State::Destroying)
}

/// Whether it is marked by another recovery. Of a mark without a name, which an older version made, whoever has the lease counts.
fn is_of_another(record: &pb::Sandbox, recovery: &RecoveryName) -> bool {
    is_marked(record) && !record.recovery.is_empty() && record.recovery != recovery.as_str()
}

async fn set_state(
    run: &Run,
    mut record: pb::Sandbox,
    state: pb::sandbox::State,
) -> Result<pb::Sandbox, Error> {
    free(&mut record);
    if state != pb::sandbox::State::Active {
        record.set_state(state);
        run.name().as_str().clone_into(&mut record.recovery);
    }
    run.world.registry.update(record, MARK, Some(run.fence())).await
}

fn free(record: &mut pb::Sandbox) {
    record.set_state(pb::sandbox::State::Active);
    record.recovery.clear();
}

/// Whether the record says what the plan will use.
fn planned_from(run: &Run, record: &pb::Sandbox) -> Result<bool, Error> {
    let now = convert::record(record)?;
    let Inputs { live_id, identity, spec, policy, posture, .. } = &run.header.plan.inputs;
    let digest =
        |spec: &Option<salvor_core::evidence::Spec>| spec.as_ref().map(|s| s.sha256.clone());
    let hash = |p: &Option<salvor_core::evidence::Policy>| p.as_ref().map(|p| p.sha256.clone());
    Ok(now.live_id == *live_id
        && now.identity == *identity
        && now.posture == *posture
        && digest(&now.spec) == digest(spec)
        && hash(&now.policy) == hash(policy))
}

fn claimed_entry(event: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(event).ok()?;
    Some(value.get("Claimed")?.get("entry")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests;
