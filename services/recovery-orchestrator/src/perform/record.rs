//! The record's part of a recovery: marked, copied, put back, brought up to date. Every write is compare-and-swap under the
//! lease, so that doing it again is seen as done.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;
use salvor_core::{
    id::LiveId,
    plan::Inputs,
    saga::{Part, capture::Saved},
};
use salvor_proto::{Error, convert, error::Code, registry::v1 as pb, time::timestamp};

use crate::runner::Run;

/// A marked record: its version, and the copy from before.
pub(super) struct Claim {
    /// After the mark.
    pub(super) etag: String,
    /// From before; base64 of the sealed copy.
    pub(super) entry: String,
}

/// Copies the record and marks it; `None` when it is not the one that the plan was made from.
///
/// A record that is marked already was marked by this recovery before a crash, or by one that is void: the lease is ours.
pub(super) async fn claim(run: &Run, state: pb::sandbox::State) -> Result<Option<Claim>, Error> {
    let registry = &run.world.registry;
    let mut record = registry.sandbox(run.target()).await?;
    if !planned_from(run, &record)? {
        return Ok(None);
    }
    if matches!(record.state(), pb::sandbox::State::Recovering | pb::sandbox::State::Destroying) {
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

/// Puts the copied record back.
pub(super) async fn restore(run: &Run) -> Result<(), Error> {
    let damaged = |what: &str| {
        Error::new(
            Code::DataLoss,
            "JOURNAL_ROW_UNREADABLE",
            format!("{}: the copy of its record {what}; the record stays marked", run.name()),
        )
    };
    let entry = run.rows().iter().find_map(|row| claimed_entry(&row.event));
    let bytes = entry.and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes.ok_or_else(|| damaged("is not in its journal"))?;
    let copy = pb::EntrySnapshot::decode(&*bytes).map_err(|_| damaged("cannot be read"))?;
    let present = run.world.registry.sandbox(run.target()).await?;
    run.world.registry.restore_entry(copy, &present.etag, run.fence()).await
}

/// Marks the record active again, speaking of `live`, with what its posture came to, and with the snapshot whose content it
/// has now, if it was made from one: what a recovery right after this one would put back.
pub(super) async fn commit(
    run: &Run,
    live: &LiveId,
    posture: &Part,
    restored: Option<&Saved>,
) -> Result<(), Error> {
    let mut record = run.world.registry.sandbox(run.target()).await?;
    let done = record.state() == pb::sandbox::State::Active && record.live_id == live.as_str();
    if done {
        return Ok(());
    }
    live.as_str().clone_into(&mut record.live_id);
    record.set_state(pb::sandbox::State::Active);
    let mut fields = vec!["live_id", "state"];
    if let Some(stored) = record.posture.as_mut()
        && prove(stored, posture, run.world.now().0)
    {
        fields.push("posture");
    }
    if let Some(saved) = restored {
        let (_, of) = run.header.plan.inputs.identity_of(&saved.name, run.target());
        note_complete(&mut record, saved, &of);
        fields.push("snapshot_status");
    }
    run.world.registry.update(record, &fields, Some(run.fence())).await.map(|_| ())
}

/// Writes into the record how the proof of its obligation went, if it was looked at.
pub(super) async fn note_posture(run: &Run, part: Option<&Part>) -> Result<(), Error> {
    let mut record = run.world.registry.sandbox(run.target()).await?;
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
    let Inputs { live_id, present: _, identity, spec, policy, .. } = &run.header.plan.inputs;
    let digest =
        |spec: &Option<salvor_core::evidence::Spec>| spec.as_ref().map(|s| s.sha256.clone());
    let hash = |p: &Option<salvor_core::evidence::Policy>| p.as_ref().map(|p| p.sha256.clone());
    Ok(now.live_id == *live_id
        && now.identity == *identity
        && digest(&now.spec) == digest(spec)
        && hash(&now.policy) == hash(policy))
}

fn claimed_entry(event: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(event).ok()?;
    Some(value.get("Claimed")?.get("entry")?.as_str()?.to_owned())
}
