//! The steps of a stale recovery.

use salvor_core::{
    EffectKind,
    evidence::Channel,
    id::LiveId,
    saga::{
        Cause, Effect, ParkReason, Part, Saga as _,
        capture::{Capture, CaptureStep},
        proofs::ProofEvent,
        stale::{Event, StaleRecovery, State, Step},
    },
};
use salvor_proto::{Error, registry::v1 as pb};
use tokio::time::sleep;

use super::{
    proofs, record,
    revive::recorded,
    sandbox::{self, Bearer, Readied, Taken},
    watch,
    workspace::{self, Take},
};
use crate::runner::{Perform, Performed, Run};

/// How often a delete of what was created is tried before a person is asked.
const MAX_REMOVALS: u32 = 5;

impl Perform for StaleRecovery {
    #[expect(clippy::too_many_lines, reason = "a table: one arm per step")]
    async fn perform(step: Step, state: &State, run: &Run) -> Result<Performed<Event>, Error> {
        let on = run.target();
        match (step, state) {
            (Step::Claim, _) => Box::pin(claim(run)).await,
            (Step::StopLeftover, _) => stop_leftover(run).await,
            (Step::Capture(CaptureStep::Take), State::Salvaging { capture, .. }) => {
                take(run, capture).await
            }
            (
                Step::Capture(CaptureStep::Verify),
                State::Salvaging { capture: Capture::Taken(saved), .. }
                | State::Checking { from: saved, .. },
            ) => Ok(workspace::verify::<Self>(run, saved).await?.map(Event::Capture)),
            (Step::Create, State::Creating { attempts, .. }) => {
                let effect = sandbox::create(run, on, *attempts).await?;
                Ok(Performed::Event(match effect {
                    Effect::Applied(live) => Event::Created(live),
                    Effect::NotApplied(cause) => Event::CreateRefused(cause),
                    Effect::MaybeApplied(cause) => Event::CreateDoubtful(cause),
                }))
            }
            (Step::ResolveCreate, _) => {
                let looked = sandbox::resolve_create(run, on).await?;
                Ok(looked.performed(|bearer| match bearer {
                    Bearer::Ours(live) => Event::Adopted(live),
                    Bearer::Recorded => Event::Returned,
                    Bearer::Stranger(live) => Event::Stranger(live),
                    Bearer::Nobody => Event::NotCreated,
                }))
            }
            (Step::AwaitReady, State::Created { live, .. }) => {
                let looked = sandbox::await_ready(run, on, live).await?;
                Ok(looked.performed(|readied| match readied {
                    Readied::Ready { spec, providers } => Event::BecameReady { spec, providers },
                    Readied::Failed(failed) => Event::NeverReady(failed),
                    Readied::Gone => Event::Vanished,
                    Readied::Stranger(live) => Event::Stranger(live),
                }))
            }
            (Step::Refill(step), State::Filling { fresh, from, refill, .. }) => {
                if watch::is_gone(run, on, &fresh.live).await? {
                    return Ok(Performed::Event(Event::Vanished));
                }
                let at = (on, &fresh.live);
                Ok(workspace::refill::<Self>(run, step, at, from, refill).await?.map(Event::Refill))
            }
            (Step::Refill(_), State::Proving { fresh, content, .. }) => {
                if watch::is_gone(run, on, &fresh.live).await? {
                    return Ok(Performed::Event(Event::Vanished));
                }
                let Some(from) = &content.restore else {
                    return Err(Error::internal("nothing was put back that could be compared"));
                };
                let at = (on, &fresh.live);
                Ok(workspace::compare_again::<Self>(run, at, from).await?.map(Event::Refill))
            }
            (Step::Prove(proof), State::Proving { fresh, proofs, .. }) => {
                let part = proofs::prove(run, proof, (on, &fresh.live), proofs).await?;
                Ok(part.map_or(Performed::Interrupted, |part| {
                    Performed::Event(Event::Proof(ProofEvent::Established(proof, part)))
                }))
            }
            (Step::Commit, State::Proving { fresh, content, data, proofs, .. }) => {
                let posture = proofs.posture.as_ref().unwrap_or(&Part::NotApplicable);
                let restored = content.restore.as_ref().map(|saved| (saved, data.as_ref()));
                record::commit(run, &fresh.live, posture, restored).await?;
                let roots = &run.header.plan.inputs.snapshot_roots;
                let data = if roots.is_empty() { Part::Gone } else { Part::Lost };
                Ok(Performed::Event(Event::Committed { data }))
            }
            (Step::RemoveCreated, State::Removing { live, .. }) => remove(run, live).await,
            (Step::ResolveRemove, State::Removing { live, .. }) => {
                let looked = sandbox::resolve_delete(run, on, live).await?;
                Ok(looked.performed(|taken| match taken {
                    Taken::Gone => Event::Removed,
                    Taken::StillThere => Event::StillThere,
                }))
            }
            (Step::RestoreRecord, _) => {
                record::unmark(run).await?;
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
    let inputs = &run.header.plan.inputs;
    let claim = Box::pin(record::claim(run, pb::sandbox::State::Recovering)).await?;
    Ok(Performed::Event(claim.map_or(Event::ClaimLost, |claim| Event::Claimed {
        etag: claim.etag,
        entry: claim.entry,
        leftover: inputs.leftovers.iter().map(|compute| compute.id.clone()).collect(),
        salvage: inputs.capture.is_some(),
        restore: inputs.restore.as_ref().map(|chosen| chosen.saved.clone()),
    })))
}

/// Stops whatever the gateway has lost, so that no second copy of the agent runs beside it. Nothing is removed. One at rest is
/// stopped, too: it may have been started since, and a restart policy would start it again when its host boots.
async fn stop_leftover(run: &Run) -> Result<Performed<Event>, Error> {
    let inputs = &run.header.plan.inputs;
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Performed::Wait(ParkReason::KeepsFailing(Cause::AdapterFailed)));
    };
    for compute in &inputs.leftovers {
        let permit = run.permit(run.target(), EffectKind::StopCompute)?;
        let effect = adapter.stop_compute(permit, recorded(run)?, &compute.id).await;
        match effect {
            // One that is not there any more does not run.
            Effect::Applied(()) | Effect::NotApplied(Cause::NotFound) => {}
            Effect::NotApplied(cause) => {
                return Ok(Performed::Event(Event::StopRefused(cause)));
            }
            Effect::MaybeApplied(cause) => {
                let tries = run.attempts::<StaleRecovery>("stop_leftover") + 1;
                if tries.is_multiple_of(MAX_REMOVALS) {
                    return Ok(Performed::Wait(ParkReason::KeepsFailing(cause)));
                }
                sleep(super::pause(tries)).await;
                return Ok(Performed::Event(Event::StopDoubtful(cause)));
            }
        }
    }
    Ok(Performed::Event(Event::Stopped))
}

async fn take(run: &Run, capture: &Capture) -> Result<Performed<Event>, Error> {
    let Capture::Taking { attempts } = capture else {
        return Err(Error::internal("a snapshot is taken without its intent"));
    };
    // A container without the gateway is read by the runtime; the plan says so or has no leftovers.
    let take = Take { attempt: *attempts, channel: Channel::Runtime, nonce: false, verify: true };
    Ok(workspace::take::<StaleRecovery>(run, take).await?.map(Event::Capture))
}

/// Takes away what this recovery created and never was live. Its id is the permit's only target.
async fn remove(run: &Run, live: &LiveId) -> Result<Performed<Event>, Error> {
    let tries = run.attempts::<StaleRecovery>("remove_created") + 1;
    let effect = sandbox::delete(run, run.target(), live, "remove_created", tries).await?;
    Ok(match effect {
        Effect::Applied(()) => Performed::Event(Event::Removed),
        Effect::NotApplied(cause) if tries > MAX_REMOVALS => {
            Performed::Wait(ParkReason::KeepsFailing(cause))
        }
        Effect::NotApplied(cause) | Effect::MaybeApplied(cause) => {
            Performed::Event(Event::RemoveDoubtful(cause))
        }
    })
}
