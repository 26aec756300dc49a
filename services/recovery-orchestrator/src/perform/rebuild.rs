//! The steps of a rebuild.

use salvor_core::{
    evidence::{Channel, Live, Phase},
    id::LiveId,
    saga::{
        Cause, Effect, ParkReason, Part, Saga as _,
        capture::{Capture, CaptureStep, Saved},
        proofs::ProofEvent,
        rebuild::{Event, Fresh, Rebuild, State, Step},
    },
};
use salvor_proto::{Error, registry::v1 as pb};

use super::{
    proofs, record,
    revive::recorded,
    sandbox::{self, Bearer, Readied, Taken},
    watch::{self, Looked},
    workspace::{self, Take},
};
use crate::runner::{Perform, Performed, Run};

/// How often a create or a removal is tried before a person is asked.
const MAX_TRIES: u32 = 3;

impl Perform for Rebuild {
    #[expect(clippy::too_many_lines, reason = "a table: one arm per step")]
    async fn perform(step: Step, state: &State, run: &Run) -> Result<Performed<Event>, Error> {
        let on = run.target();
        match (step, state) {
            (Step::Claim, _) => Box::pin(claim(run)).await,
            (Step::Capture(CaptureStep::Take), State::Saving { capture, .. }) => {
                take(run, capture).await
            }
            (
                Step::Capture(CaptureStep::Verify),
                State::Saving { capture: Capture::Taken(saved), .. }
                | State::Checking { from: saved, .. },
            ) => Ok(workspace::verify::<Self>(run, saved).await?.map(Event::Capture)),
            (Step::Delete, State::Deleting { attempts, taken, .. }) => {
                delete(run, *attempts, taken.as_ref()).await
            }
            (Step::ResolveDelete, _) => {
                let looked = sandbox::resolve_delete(run, on, recorded(run)?).await?;
                Ok(looked.performed(|taken| match taken {
                    Taken::Gone => Event::Deleted,
                    Taken::StillThere => Event::StillThere,
                }))
            }
            (Step::Create, State::Creating { .. }) => create(run).await,
            (Step::ResolveCreate, State::Creating { attempts, .. }) => {
                resolve_create(run, *attempts).await
            }
            (Step::AwaitReady, State::Created { live, .. }) => await_ready(run, live).await,
            (Step::RemoveCreated, State::Removing { live, .. }) => remove(run, live).await,
            (Step::ResolveRemove, State::Removing { live, .. }) => {
                let looked = sandbox::resolve_delete(run, on, live).await?;
                Ok(looked.performed(|taken| match taken {
                    Taken::Gone => Event::Removed,
                    Taken::StillThere => Event::StillThere,
                }))
            }
            (Step::Refill(step), State::Filling { fresh, from, refill }) => {
                if watch::is_gone(run, on, &fresh.live).await? {
                    return Ok(Performed::Event(Event::Vanished));
                }
                let at = (on, &fresh.live);
                Ok(workspace::refill::<Self>(run, step, at, from, refill).await?.map(Event::Refill))
            }
            (Step::Refill(_), State::Proving { fresh, source: Some(from), .. }) => {
                if watch::is_gone(run, on, &fresh.live).await? {
                    return Ok(Performed::Event(Event::Vanished));
                }
                let at = (on, &fresh.live);
                Ok(workspace::compare_again::<Self>(run, at, from).await?.map(Event::Refill))
            }
            (Step::Prove(proof), State::Proving { fresh: Fresh { live, .. }, proofs, .. }) => {
                if watch::is_gone(run, on, live).await? {
                    return Ok(Performed::Event(Event::Vanished));
                }
                let part = proofs::prove(run, proof, (on, live), proofs).await?;
                Ok(part.map_or(Performed::Interrupted, |part| {
                    Performed::Event(Event::Proof(ProofEvent::Established(proof, part)))
                }))
            }
            (Step::Commit, State::Proving { fresh, source, data, proofs, .. }) => {
                let posture = proofs.posture.as_ref().unwrap_or(&Part::NotApplicable);
                let restored = source.as_ref().map(|saved| (saved, Some(data)));
                record::commit(run, &fresh.live, posture, restored).await?;
                Ok(Performed::Event(Event::Committed))
            }
            (Step::RestoreRecord, _) => {
                record::unmark(run).await?;
                Ok(Performed::Event(Event::RecordRestored))
            }
            (step, state) => Err(Error::internal(format!(
                "step {} in phase {}",
                Self::name(step),
                Self::phase(state)
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
        capture: inputs.capture.is_some(),
        restore: inputs.restore.as_ref().map(|chosen| chosen.saved.clone()),
    })))
}

async fn take(run: &Run, capture: &Capture) -> Result<Performed<Event>, Error> {
    let Capture::Taking { attempts } = capture else {
        return Err(Error::internal("a snapshot is taken without its intent"));
    };
    let channel = run.header.plan.inputs.capture.unwrap_or(Channel::Exec);
    let take = Take { attempt: *attempts, channel, nonce: false, verify: true };
    Ok(workspace::take::<Rebuild>(run, take).await?.map(Event::Capture))
}

/// What was saved was saved by this very process: the fold voids a snapshot from before a restart (scenario T16). What was
/// written since is found by the comparison that the delete begins with.
async fn delete(run: &Run, attempt: u32, taken: Option<&Saved>) -> Result<Performed<Event>, Error> {
    let live = recorded(run)?;
    let effect = match taken {
        Some(taken) => sandbox::delete_unchanged(run, live, &taken.name, attempt).await?,
        None => match at_rest(run, live).await? {
            Ok(()) => sandbox::delete(run, run.target(), live, "delete", attempt).await?,
            Err(cause) => Effect::NotApplied(cause),
        },
    };
    Ok(Performed::Event(match effect {
        Effect::Applied(()) => Event::Deleted,
        Effect::NotApplied(cause) => Event::DeleteRefused(cause),
        Effect::MaybeApplied(cause) => Event::DeleteDoubtful(cause),
    }))
}

/// What could not be read when this was planned may be at work by now: then it has files that nothing holds. What cannot be seen
/// is not taken for still at rest.
async fn at_rest(run: &Run, live: &LiveId) -> Result<Result<(), Cause>, Error> {
    let planned = match run.header.evidence.live.shown() {
        Some(Live::Present(present)) => Some(present.phase),
        Some(Live::Absent { .. }) | None => None,
    };
    Ok(match watch::seen(run, run.target()).await? {
        Ok(Live::Present(now)) if now.live_id != *live || Some(now.phase) == planned => Ok(()),
        Ok(Live::Present(now)) if now.phase == Phase::Ready => Err(Cause::WorkspaceChanged),
        Ok(Live::Present(now)) if now.phase.in_motion() => Err(Cause::WrongPhase),
        Ok(Live::Present(_) | Live::Absent { .. }) => Ok(()),
        Err(cause) => Err(cause),
    })
}

/// There is no way back: what keeps failing waits for a person, and goes on from here.
async fn create(run: &Run) -> Result<Performed<Event>, Error> {
    // Over the whole journal: one that became ready and vanished later was created, too, and an id is never used twice.
    let attempt = run.attempts::<Rebuild>("create") + 1;
    Ok(match sandbox::create(run, run.target(), attempt).await? {
        Effect::Applied(live) => Performed::Event(Event::Created(live)),
        Effect::NotApplied(cause)
            if cause != Cause::AlreadyExists
                && (attempt.is_multiple_of(MAX_TRIES) || !cause.may_pass()) =>
        {
            Performed::Both(Event::CreateRefused(cause), ParkReason::KeepsFailing(cause))
        }
        Effect::NotApplied(cause) => Performed::Event(Event::CreateRefused(cause)),
        Effect::MaybeApplied(cause) => Performed::Event(Event::CreateDoubtful(cause)),
    })
}

/// What is created again and again and never becomes ready waits, too.
async fn await_ready(run: &Run, live: &LiveId) -> Result<Performed<Event>, Error> {
    let waits = run.attempts::<Rebuild>("create").is_multiple_of(MAX_TRIES);
    let event = match sandbox::await_ready(run, run.target(), live).await? {
        Looked::Found(Readied::Ready { spec, providers }) => {
            return Ok(Performed::Event(Event::BecameReady { spec, providers }));
        }
        Looked::Found(Readied::Failed(failed)) => Event::NeverReady(failed),
        Looked::Found(Readied::Gone | Readied::Stranger(_)) => Event::Vanished,
        Looked::TimeOver(unknown) => return Ok(Performed::Wait(watch::in_vain(unknown))),
        Looked::Interrupted => return Ok(Performed::Interrupted),
    };
    Ok(if waits {
        Performed::Both(event, ParkReason::NotReadyInTime)
    } else {
        Performed::Event(event)
    })
}

async fn resolve_create(run: &Run, attempt: u32) -> Result<Performed<Event>, Error> {
    let looked = sandbox::resolve_create(run, run.target()).await?;
    Ok(match looked {
        Looked::Found(Bearer::Stranger(_) | Bearer::Recorded) => {
            Performed::Wait(ParkReason::NameTaken)
        }
        Looked::Found(Bearer::Nobody) if attempt.is_multiple_of(MAX_TRIES) => {
            Performed::Both(Event::NotCreated, ParkReason::KeepsFailing(Cause::GatewayFailed))
        }
        looked => looked.performed(|bearer| match bearer {
            Bearer::Ours(live) => Event::Adopted(live),
            Bearer::Nobody | Bearer::Stranger(_) | Bearer::Recorded => Event::NotCreated,
        }),
    })
}

async fn remove(run: &Run, live: &LiveId) -> Result<Performed<Event>, Error> {
    let tries = run.attempts::<Rebuild>("remove_created") + 1;
    let effect = sandbox::delete(run, run.target(), live, "remove_created", tries).await?;
    Ok(match effect {
        Effect::Applied(()) => Performed::Event(Event::Removed),
        Effect::NotApplied(cause) if tries.is_multiple_of(MAX_TRIES) => {
            Performed::Wait(ParkReason::KeepsFailing(cause))
        }
        Effect::NotApplied(cause) | Effect::MaybeApplied(cause) => {
            Performed::Event(Event::RemoveDoubtful(cause))
        }
    })
}
