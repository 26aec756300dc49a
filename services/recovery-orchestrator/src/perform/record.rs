//! The record's part of a recovery: marked, copied, unmarked, brought up to date. Every write is compare-and-swap under the
//! lease, so that doing it again is seen as done. Invariant: a write changes the recovery's own fields and no other, so that
//! what somebody else wrote into the record meanwhile stands.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;
use salvor_core::{
    evidence::{Asked, RestoreMode},
    id::{Fence, LiveId, SnapshotName},
    name::RecordName,
    plan::Inputs,
    saga::{Part, Pending, capture::Saved},
};
use salvor_proto::{Error, convert, error::Code, registry::v1 as pb, time::timestamp};

use crate::{ports::Registry, runner::Run};

/// As many as the registry takes.
const MAX_PENDING: usize = 100;

/// A marked record: its version, and the copy from before.
pub(super) struct Claim {
    /// After the mark.
    pub(super) etag: String,
    /// From before; base64 of the sealed copy.
    pub(super) entry: String,
}

/// Copies the record and marks it; `None` when it is not the one that the plan was made from, or has been destroyed since.
///
/// A record that is marked already was marked by this recovery before a crash, or by one that is void: the lease is ours.
pub(super) async fn claim(run: &Run, state: pb::sandbox::State) -> Result<Option<Claim>, Error> {
    let registry = &run.world.registry;
    let Some(mut record) = standing(run).await? else { return Ok(None) };
    if !planned_from(run, &record)? {
        return Ok(None);
    }
    if is_marked(&record) {
        record = set_state(run, record, pb::sandbox::State::Active).await?;
    }
    let copy = registry.snapshot_entry(run.target()).await?;
    if copy.etag != record.etag {
        return Ok(None);
    }
    let marked = set_state(run, record, state).await?;
    Ok(Some(Claim { etag: marked.etag, entry: STANDARD.encode(copy.encode_to_vec()) }))
}

/// Whether the record, which the recovery does not mark, is active and says what the plan will use.
pub(super) async fn is_planned(run: &Run) -> Result<bool, Error> {
    let record = run.world.registry.sandbox(run.target()).await?;
    Ok(record.state() == pb::sandbox::State::Active && planned_from(run, &record)?)
}

/// The record, unless it was destroyed meanwhile: then there is nothing left to write into.
pub(super) async fn standing(run: &Run) -> Result<Option<pb::Sandbox>, Error> {
    let record = run.world.registry.sandbox(run.target()).await?;
    Ok((record.state() != pb::sandbox::State::Destroyed).then_some(record))
}

/// Takes the mark off. A record that bears none was unmarked before a crash, or is a tombstone.
pub(super) async fn unmark(run: &Run) -> Result<(), Error> {
    unmark_held(&run.world.registry, run.target(), run.fence()).await.map(|_| ())
}

/// Takes the mark off a record whose lease is held. Whether it bore one.
pub(crate) async fn unmark_held(
    registry: &Registry,
    target: &RecordName,
    fence: Fence,
) -> Result<bool, Error> {
    let mut record = registry.sandbox(target).await?;
    if !is_marked(&record) {
        return Ok(false);
    }
    record.set_state(pb::sandbox::State::Active);
    registry.update(record, &["state"], Some(fence)).await?;
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
pub(super) async fn commit(
    run: &Run,
    live: &LiveId,
    posture: &Part,
    restored: Option<(&Saved, Option<&Part>)>,
) -> Result<(), Error> {
    let mut record = run.world.registry.sandbox(run.target()).await?;
    let done = record.state() == pb::sandbox::State::Active && record.live_id == live.as_str();
    if done {
        return Ok(());
    }
    live.as_str().clone_into(&mut record.live_id);
    record.set_state(pb::sandbox::State::Active);
    let mut fields = vec!["live_id", "state"];
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
    let (Some(part), Some(stored)) = (part, record.posture.as_mut()) else { return Ok(()) };
    if !prove(stored, part, run.world.now().0) {
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

/// Turns the record into a tombstone.
pub(super) async fn bury(run: &Run) -> Result<(), Error> {
    let record = run.world.registry.sandbox(run.target()).await?;
    if record.state() == pb::sandbox::State::Destroyed {
        return Ok(());
    }
    run.world.registry.bury(run.target(), &record.etag, run.fence()).await
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

async fn set_state(
    run: &Run,
    mut record: pb::Sandbox,
    state: pb::sandbox::State,
) -> Result<pb::Sandbox, Error> {
    record.set_state(state);
    run.world.registry.update(record, &["state"], Some(run.fence())).await
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
