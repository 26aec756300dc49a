//! The steps of a destroy.

use salvor_core::{
    EffectKind,
    evidence::{Live, Phase},
    saga::{
        Cause, Effect, Saga as _,
        destroy::{Destroy, Event, State, Step},
    },
};
use salvor_proto::{Error, registry::v1 as pb};
use tokio::time::sleep;

use super::{
    record,
    revive::recorded,
    watch::{self, Look, Looked, look_until},
};
use crate::runner::{Perform, Performed, Run};

impl Perform for Destroy {
    async fn perform(step: Step, state: &State, run: &Run) -> Result<Performed<Event>, Error> {
        match (step, state) {
            (Step::Claim, _) => {
                let claim = record::claim(run, pb::sandbox::State::Destroying).await?;
                Ok(Performed::Event(claim.map_or(Event::ClaimLost, |claim| Event::Claimed {
                    etag: claim.etag,
                    entry: claim.entry,
                    present: run.header.plan.inputs.present,
                })))
            }
            (Step::Delete, State::Deleting { attempts }) => delete(run, *attempts).await,
            (Step::ResolveDelete, _) => resolve_delete(run).await,
            (Step::Bury, _) => {
                record::bury(run).await?;
                Ok(Performed::Event(Event::Buried))
            }
            (Step::RestoreRecord, _) => {
                record::restore(run).await?;
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

async fn delete(run: &Run, attempt: u32) -> Result<Performed<Event>, Error> {
    if attempt > 1 {
        sleep(super::pause(attempt)).await;
    }
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Performed::Event(Event::DeleteRefused(Cause::AdapterFailed)));
    };
    let permit = run.permit(EffectKind::Delete)?;
    let request_id = run.request_id("delete", attempt);
    Ok(Performed::Event(match adapter.delete(permit, recorded(run)?, request_id).await {
        Effect::Applied(()) => Event::Deleted,
        Effect::NotApplied(cause) => Event::DeleteRefused(cause),
        Effect::MaybeApplied(cause) => Event::DeleteDoubtful(cause),
    }))
}

/// The recorded id is what counts: another incarnation under the name means that the recorded one is gone.
async fn resolve_delete(run: &Run) -> Result<Performed<Event>, Error> {
    let recorded = recorded(run)?;
    let settle = run.world.config.limits.absence_settle;
    let timeout = settle + run.world.config.undetermined_timeout;
    let looked = look_until(run, timeout, |live, looked_for| match live {
        Live::Present(present) if present.live_id != *recorded => Look::Found(Event::Deleted),
        Live::Present(present) if present.phase == Phase::Deleting => Look::Again,
        Live::Present(_) if looked_for >= settle => Look::Found(Event::StillThere),
        Live::Absent { .. } if looked_for >= settle => Look::Found(Event::Deleted),
        Live::Present(_) | Live::Absent { .. } => Look::Again,
    });
    Ok(match looked.await? {
        Looked::Found(event) => Performed::Event(event),
        Looked::TimeOver(unknown) => Performed::Wait(watch::in_vain(unknown)),
        Looked::Interrupted => Performed::Interrupted,
    })
}
