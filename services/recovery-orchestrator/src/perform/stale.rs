//! The steps of a stale recovery.

use salvor_core::{
    EffectKind,
    evidence::{Live, Phase, Present},
    id::LiveId,
    saga::{
        Cause, Effect, ParkReason, Part, Saga as _,
        proofs::ProofEvent,
        stale::{Event, StaleRecovery, State, Step},
    },
};
use salvor_proto::{Error, registry::v1 as pb};
use tokio::time::sleep;

use super::{
    proofs, record,
    watch::{self, Look, Looked, look_until},
};
use crate::runner::{Perform, Performed, Run};

/// How often a delete of what was created is tried before a person is asked.
const MAX_REMOVALS: u32 = 5;

impl Perform for StaleRecovery {
    async fn perform(step: Step, state: &State, run: &Run) -> Result<Performed<Event>, Error> {
        match (step, state) {
            (Step::Claim, _) => claim(run).await,
            (Step::Create, State::Creating { attempts }) => create(run, *attempts).await,
            (Step::ResolveCreate, _) => resolve_create(run).await,
            (Step::AwaitReady, State::Created(live)) => await_ready(run, live).await,
            (Step::Prove(proof), State::Proving { live, proofs, .. }) => {
                let part = proofs::prove(run, proof, live, proofs).await?;
                Ok(part.map_or(Performed::Interrupted, |part| {
                    Performed::Event(Event::Proof(ProofEvent::Established(proof, part)))
                }))
            }
            (Step::Commit, State::Proving { live, proofs, .. }) => {
                let posture = proofs.posture.as_ref().unwrap_or(&Part::NotApplicable);
                record::commit(run, live, posture).await?;
                let roots = &run.header.plan.inputs.snapshot_roots;
                let data = if roots.is_empty() { Part::Gone } else { Part::Lost };
                Ok(Performed::Event(Event::Committed { data }))
            }
            (Step::RemoveCreated, State::Removing { live, .. }) => remove(run, live).await,
            (Step::ResolveRemove, State::Removing { live, .. }) => resolve_remove(run, live).await,
            (Step::RestoreRecord, _) => {
                record::restore(run).await?;
                Ok(Performed::Event(Event::RecordRestored))
            }
            (step, state) => Err(Error::internal(format!(
                "step {} in phase {}",
                StaleRecovery::name(step),
                StaleRecovery::phase(state)
            ))),
        }
    }
}

async fn claim(run: &Run) -> Result<Performed<Event>, Error> {
    let claim = record::claim(run, pb::sandbox::State::Recovering).await?;
    Ok(Performed::Event(
        claim.map_or(Event::ClaimLost, |claim| Event::Claimed {
            etag: claim.etag,
            entry: claim.entry,
        }),
    ))
}

async fn create(run: &Run, attempt: u32) -> Result<Performed<Event>, Error> {
    if attempt > 1 {
        sleep(super::pause(attempt)).await;
    }
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Performed::Event(Event::CreateRefused(Cause::AdapterFailed)));
    };
    let Ok(material) = run.world.registry.material(run.target(), run.fence()).await else {
        return Ok(Performed::Event(Event::CreateRefused(Cause::MaterialUnavailable)));
    };
    let inputs = &run.header.plan.inputs;
    let planned = inputs.spec.as_ref().map(|spec| spec.sha256.as_str());
    if material.spec.as_ref().map(|spec| spec.sha256.as_str()) != planned {
        return Ok(Performed::Event(Event::CreateRefused(Cause::Invalid)));
    }
    let permit = run.permit(EffectKind::Create)?;
    let (labels, annotations) = (inputs.labels.clone(), inputs.annotations.clone());
    let request_id = run.request_id("create", attempt);
    let effect = adapter.create(permit, material, labels, annotations, request_id).await;
    Ok(Performed::Event(match effect {
        Effect::Applied(live) => Event::Created(live),
        Effect::NotApplied(cause) => Event::CreateRefused(cause),
        Effect::MaybeApplied(cause) => Event::CreateDoubtful(cause),
    }))
}

/// Whose is the name? An absence counts once it was seen for the settle window after the doubt.
async fn resolve_create(run: &Run) -> Result<Performed<Event>, Error> {
    let settle = run.world.config.limits.absence_settle;
    let timeout = settle + run.world.config.undetermined_timeout;
    let looked = look_until(run, timeout, |live, looked_for| match live {
        Live::Present(present) => Look::Found(whose(run, present)),
        Live::Absent { .. } if looked_for >= settle => Look::Found(Event::NotCreated),
        Live::Absent { .. } => Look::Again,
    });
    Ok(match looked.await? {
        Looked::Found(event) => Performed::Event(event),
        Looked::TimeOver(unknown) => Performed::Wait(watch::in_vain(unknown)),
        Looked::Interrupted => Performed::Interrupted,
    })
}

fn whose(run: &Run, present: &Present) -> Event {
    let ours = present
        .stamp
        .as_ref()
        .is_some_and(|stamp| stamp.recovery == *run.name() && stamp.plan == run.header.plan.digest);
    if ours {
        return Event::Adopted(present.live_id.clone());
    }
    if run.header.plan.inputs.live_id.as_ref() == Some(&present.live_id) {
        return Event::Returned;
    }
    Event::Stranger(present.live_id.clone())
}

async fn await_ready(run: &Run, live: &LiveId) -> Result<Performed<Event>, Error> {
    let settle = run.world.config.limits.absence_settle;
    let now = || run.world.now();
    let looked = look_until(run, run.world.config.ready_timeout, |seen, _| match seen {
        Live::Present(present) if present.live_id != *live => {
            Look::Found(Event::Stranger(present.live_id.clone()))
        }
        Live::Present(present) if present.phase == Phase::Ready => {
            let (spec, providers) = watch::compare(run, &present.spec);
            Look::Found(Event::BecameReady { spec, providers })
        }
        Live::Present(present) => watch::failed(present)
            .map_or(Look::Again, |failed| Look::Found(Event::NeverReady(failed))),
        Live::Absent { since } if since.age(now()) >= settle => Look::Found(Event::Vanished),
        Live::Absent { .. } => Look::Again,
    });
    Ok(match looked.await? {
        Looked::Found(event) => Performed::Event(event),
        Looked::TimeOver(unknown) => Performed::Wait(watch::in_vain(unknown)),
        Looked::Interrupted => Performed::Interrupted,
    })
}

/// Takes away what this recovery created and never was live. Its id is the permit's only target.
async fn remove(run: &Run, live: &LiveId) -> Result<Performed<Event>, Error> {
    let attempts = run.attempts::<StaleRecovery>("remove_created");
    if attempts > 0 {
        sleep(super::pause(attempts)).await;
    }
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Performed::Event(Event::RemoveDoubtful(Cause::AdapterFailed)));
    };
    let permit = run.permit(EffectKind::Delete)?;
    let request_id = run.request_id("remove_created", attempts);
    Ok(match adapter.delete(permit, live, request_id).await {
        Effect::Applied(()) => Performed::Event(Event::Removed),
        Effect::NotApplied(cause) if attempts >= MAX_REMOVALS => {
            Performed::Wait(ParkReason::KeepsFailing(cause))
        }
        Effect::NotApplied(cause) | Effect::MaybeApplied(cause) => {
            Performed::Event(Event::RemoveDoubtful(cause))
        }
    })
}

async fn resolve_remove(run: &Run, live: &LiveId) -> Result<Performed<Event>, Error> {
    let settle = run.world.config.limits.absence_settle;
    let timeout = settle + run.world.config.undetermined_timeout;
    let looked = look_until(run, timeout, |seen, looked_for| match seen {
        Live::Present(present) if present.live_id != *live => Look::Found(Event::Removed),
        Live::Present(present) if present.phase == Phase::Deleting => Look::Again,
        Live::Present(_) => Look::Found(Event::StillThere),
        Live::Absent { .. } if looked_for >= settle => Look::Found(Event::Removed),
        Live::Absent { .. } => Look::Again,
    });
    Ok(match looked.await? {
        Looked::Found(event) => Performed::Event(event),
        Looked::TimeOver(unknown) => Performed::Wait(watch::in_vain(unknown)),
        Looked::Interrupted => Performed::Interrupted,
    })
}
