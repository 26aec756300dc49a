//! The steps of a revival.

use salvor_core::{
    EffectKind,
    evidence::{Live, Phase},
    id::LiveId,
    saga::{
        Cause, Effect, Failed, Part, Saga as _,
        proofs::ProofEvent,
        revive::{Event, Revive, State, Step},
    },
};
use salvor_proto::{Error, error::Code, registry::v1 as pb};
use tokio::time::{Instant, sleep};

use super::{
    proofs, record,
    watch::{self, Look, Looked, look_until},
};
use crate::runner::{Perform, Performed, Run};

impl Perform for Revive {
    async fn perform(step: Step, state: &State, run: &Run) -> Result<Performed<Event>, Error> {
        match (step, state) {
            (Step::Claim, _) => {
                let claim = Box::pin(record::claim(run, pb::sandbox::State::Recovering)).await?;
                Ok(Performed::Event(claim.map_or(Event::ClaimLost, |claim| Event::Claimed {
                    etag: claim.etag,
                    entry: claim.entry,
                })))
            }
            (Step::Start, State::Starting { attempts }) => start(run, *attempts).await,
            (Step::ResolveStart, _) => resolve_start(run).await,
            (Step::AwaitReady, _) => await_ready(run).await,
            (Step::Prove(proof), State::Proving { live, proofs, .. }) => {
                let part = proofs::prove(run, proof, (run.target(), live), proofs).await?;
                Ok(part.map_or(Performed::Interrupted, |part| {
                    Performed::Event(Event::Proof(ProofEvent::Established(proof, part)))
                }))
            }
            (Step::Commit, State::Proving { live, proofs, .. }) => {
                let posture = proofs.posture.as_ref().unwrap_or(&Part::NotApplicable);
                record::commit(run, live, posture, None).await?;
                Ok(Performed::Event(Event::Committed))
            }
            (Step::RestoreRecord, _) => {
                record::unmark(run).await?;
                Ok(Performed::Event(Event::RecordRestored))
            }
            (step, state) => Err(Error::internal(format!(
                "step {} in phase {}",
                Revive::name(step),
                Revive::phase(state)
            ))),
        }
    }
}

/// The incarnation that the plan is about. Its guards saw to it that there is one.
pub(super) fn recorded(run: &Run) -> Result<&LiveId, Error> {
    run.header.plan.inputs.live_id.as_ref().ok_or_else(|| {
        Error::new(
            Code::Internal,
            "PLAN_WITHOUT_SANDBOX",
            format!("{}: its plan names no incarnation", run.name()),
        )
    })
}

async fn start(run: &Run, attempt: u32) -> Result<Performed<Event>, Error> {
    if attempt > 1 {
        sleep(super::pause(attempt)).await;
    }
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Performed::Event(Event::StartRefused(Cause::AdapterFailed)));
    };
    let permit = run.permit(run.target(), EffectKind::Start)?;
    let request_id = run.request_id("start", attempt);
    Ok(Performed::Event(match adapter.start(permit, recorded(run)?, request_id).await {
        Effect::Applied(()) => Event::Started,
        // No longer at rest: by the same request, served twice, or by somebody else's. What came of that is looked for.
        Effect::NotApplied(cause @ Cause::WrongPhase) | Effect::MaybeApplied(cause) => {
            Event::StartDoubtful(cause)
        }
        Effect::NotApplied(cause) => Event::StartRefused(cause),
    }))
}

async fn resolve_start(run: &Run) -> Result<Performed<Event>, Error> {
    let recorded = recorded(run)?;
    let settle = run.world.config.limits.absence_settle;
    let timeout = settle + run.world.config.undetermined_timeout;
    let now = || run.world.now();
    let looked = look_until(run, run.target(), timeout, |live, looked_for| match live {
        Live::Present(present) if present.live_id != *recorded => {
            Look::Found(Event::Stranger(present.live_id.clone()))
        }
        Live::Present(present) => match present.phase {
            Phase::Ready | Phase::Starting | Phase::Provisioning => Look::Found(Event::Started),
            // A start whose reply was lost may still be on its way.
            Phase::Stopped | Phase::Error | Phase::Completed if looked_for >= settle => {
                Look::Found(Event::NotStarted)
            }
            Phase::Stopped
            | Phase::Error
            | Phase::Completed
            | Phase::Stopping
            | Phase::Deleting
            | Phase::Unknown => Look::Again,
        },
        Live::Absent { since } if looked_for.min(since.age(now())) >= settle => {
            Look::Found(Event::Gone)
        }
        Live::Absent { .. } => Look::Again,
    });
    Ok(match looked.await? {
        Looked::Found(event) => Performed::Event(event),
        Looked::TimeOver(unknown) => Performed::Wait(watch::in_vain(unknown)),
        Looked::Interrupted => Performed::Interrupted,
    })
}

async fn await_ready(run: &Run) -> Result<Performed<Event>, Error> {
    let recorded = recorded(run)?;
    let settle = run.world.config.limits.absence_settle;
    let now = || run.world.now();
    let mut at_rest = None;
    // A rest that began at the last look still settles.
    let timeout = run.world.config.ready_timeout + settle;
    let looked = look_until(run, run.target(), timeout, |seen, looked_for| match seen {
        Live::Present(present) if present.live_id != *recorded => {
            Look::Found(Event::Stranger(present.live_id.clone()))
        }
        // Somebody has stopped it again: no time makes it ready. One whose start is accepted may say so a moment late.
        Live::Present(present) if present.phase == Phase::Stopped => {
            if at_rest.get_or_insert_with(Instant::now).elapsed() < settle {
                return Look::Again;
            }
            let (reason, exit_code) = (present.phase.as_str().to_owned(), None);
            Look::Found(Event::FailedAgain(Failed { reason, exit_code }))
        }
        Live::Present(present) if present.phase == Phase::Ready => {
            let (spec, providers) = watch::compare(run, &present.spec);
            Look::Found(Event::BecameReady { live: recorded.clone(), spec, providers })
        }
        Live::Present(present) => {
            at_rest = None;
            watch::failed(present)
                .map_or(Look::Again, |failed| Look::Found(Event::FailedAgain(failed)))
        }
        Live::Absent { since } if looked_for.min(since.age(now())) >= settle => {
            Look::Found(Event::Gone)
        }
        Live::Absent { .. } => Look::Again,
    });
    Ok(match looked.await? {
        Looked::Found(event) => Performed::Event(event),
        Looked::TimeOver(unknown) => Performed::Wait(watch::in_vain(unknown)),
        Looked::Interrupted => Performed::Interrupted,
    })
}
