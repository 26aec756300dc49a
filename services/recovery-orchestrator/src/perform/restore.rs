//! The steps of a restore.

use salvor_core::{
    evidence::{Channel, Posture},
    saga::{
        Part, Saga as _,
        capture::{Capture, CaptureStep},
        proofs::ProofEvent,
        restore::{Event, Restore, State, Step},
    },
};
use salvor_proto::Error;

use super::{
    note::{Tried, note, note_restore},
    proofs, record,
    revive::recorded,
    watch,
    workspace::{self, Take},
};
use crate::runner::{Perform, Performed, Run};

impl Perform for Restore {
    async fn perform(step: Step, state: &State, run: &Run) -> Result<Performed<Event>, Error> {
        let on = run.target();
        match (step, state) {
            (Step::Begin, _) => begin(run).await,
            (
                Step::Capture(CaptureStep::Take),
                State::Saving { capture: Capture::Taking { attempts: attempt }, .. },
            ) => {
                let channel = run.header.plan.inputs.capture.unwrap_or(Channel::Exec);
                let take = Take { attempt: *attempt, channel, nonce: false, verify: true };
                Ok(workspace::take::<Self>(run, take).await?.map(Event::Capture))
            }
            (
                Step::Capture(CaptureStep::Verify),
                State::Saving { capture: Capture::Taken(saved), .. },
            ) => Ok(workspace::verify::<Self>(run, saved).await?.map(Event::Capture)),
            (Step::Refill(step), State::Filling { refill, into, .. }) => {
                if watch::is_gone(run, on, &into.live).await? {
                    return Ok(Performed::Event(Event::Vanished));
                }
                let at = (on, &into.live);
                let filled = workspace::refill::<Self>(run, step, at, &into.from, refill).await?;
                Ok(filled.map(Event::Refill))
            }
            (Step::Prove(proof), State::Settled { live, proofs, .. }) => {
                if watch::is_gone(run, on, live).await? {
                    return Ok(Performed::Event(Event::Vanished));
                }
                let part = proofs::prove(run, proof, (on, live), proofs).await?;
                Ok(part.map_or(Performed::Interrupted, |part| {
                    Performed::Event(Event::Proof(ProofEvent::Established(proof, part)))
                }))
            }
            (Step::Note, State::Settled { saved, proofs, data, .. }) => {
                // While part of it is owed the record goes on to name what holds it: trying again stays possible.
                let whole = !matches!(data, Part::Partly { .. });
                let tried = saved.as_ref().filter(|_| whole).map(Tried::Saved);
                note(run, tried, None).await?;
                note_restore(run, data).await?;
                record::note_posture(run, proofs.posture.as_ref()).await?;
                Ok(Performed::Event(Event::Noted))
            }
            (Step::Note, State::Unsaved(why)) => {
                note(run, Some(Tried::NotSaved(why)), None).await?;
                Ok(Performed::Event(Event::Noted))
            }
            (step, state) => Err(Error::internal(format!(
                "step {} in phase {}",
                Self::name(step),
                Self::phase(state)
            ))),
        }
    }
}

async fn begin(run: &Run) -> Result<Performed<Event>, Error> {
    if !record::is_planned(run).await? {
        return Ok(Performed::Event(Event::RecordChanged));
    }
    let inputs = &run.header.plan.inputs;
    let Some(chosen) = &inputs.restore else {
        return Err(Error::internal("a restore was allowed without a snapshot"));
    };
    Ok(Performed::Event(Event::Begun {
        live: recorded(run)?.clone(),
        from: chosen.saved.clone(),
        capture: inputs.capture.is_some(),
        locked: matches!(inputs.posture, Posture::Locked { .. }),
    }))
}
