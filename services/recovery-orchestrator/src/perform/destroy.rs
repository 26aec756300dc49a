//! The steps of a destroy.

use salvor_core::{
    evidence::Live,
    saga::{
        Effect, ParkReason, Saga as _,
        destroy::{Destroy, Event, State, Step},
    },
};
use salvor_proto::{Error, registry::v1 as pb};

use super::{
    record,
    revive::recorded,
    sandbox::{self, Taken},
    watch,
};
use crate::runner::{Perform, Performed, Run};

impl Perform for Destroy {
    async fn perform(step: Step, state: &State, run: &Run) -> Result<Performed<Event>, Error> {
        match (step, state) {
            (Step::Claim, _) => Box::pin(claim(run)).await,
            (Step::Delete, State::Deleting { attempts }) => delete(run, *attempts).await,
            (Step::ResolveDelete, _) => {
                let looked = sandbox::resolve_delete(run, run.target(), recorded(run)?).await?;
                Ok(looked.performed(|taken| match taken {
                    Taken::Gone => Event::Deleted,
                    Taken::StillThere => Event::StillThere,
                }))
            }
            (Step::Bury, _) => {
                record::bury(run).await?;
                Ok(Performed::Event(Event::Buried))
            }
            (Step::RestoreRecord, _) => {
                record::unmark(run).await?;
                Ok(Performed::Event(Event::RecordRestored))
            }
            (step, state) => Err(Error::internal(format!(
                "step {} in phase {}",
                Destroy::name(step),
                Destroy::phase(state)
            ))),
        }
    }
}

/// What was gone when the plan was made, and is there again, was never accepted as a loss: it is not buried alive. Nor is what
/// cannot be looked for now: there is time until it can.
async fn claim(run: &Run) -> Result<Performed<Event>, Error> {
    let present = run.header.plan.inputs.present;
    if !present && let Some(recorded) = &run.header.plan.inputs.live_id {
        match watch::seen(run, run.target()).await? {
            Err(cause) => return Ok(Performed::Wait(ParkReason::KeepsFailing(cause))),
            Ok(Live::Present(back)) if back.live_id == *recorded => {
                record::unmark(run).await?;
                return Ok(Performed::Event(Event::ClaimLost));
            }
            Ok(_) => {}
        }
    }
    let claim = record::claim(run, pb::sandbox::State::Destroying).await?;
    Ok(Performed::Event(claim.map_or(Event::ClaimLost, |claim| Event::Claimed {
        etag: claim.etag,
        entry: claim.entry,
        present,
    })))
}

async fn delete(run: &Run, attempt: u32) -> Result<Performed<Event>, Error> {
    let effect = sandbox::delete(run, run.target(), recorded(run)?, "delete", attempt).await?;
    Ok(Performed::Event(match effect {
        Effect::Applied(()) => Event::Deleted,
        Effect::NotApplied(cause) => Event::DeleteRefused(cause),
        Effect::MaybeApplied(cause) => Event::DeleteDoubtful(cause),
    }))
}
