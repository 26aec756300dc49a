//! The steps of a snapshot.

use salvor_core::{
    evidence::Channel,
    saga::{
        Saga as _,
        capture::{Capture, CaptureStep},
        snapshot::{Event, Snapshot, State, Step},
    },
};
use salvor_proto::Error;

use super::{
    note::{Tried, note},
    prune::{self, Done},
    workspace::{self, Take},
};
use crate::runner::{Perform, Performed, Run};

impl Perform for Snapshot {
    async fn perform(step: Step, state: &State, run: &Run) -> Result<Performed<Event>, Error> {
        match (step, state) {
            (
                Step::Capture(CaptureStep::Take),
                State::Reading(Capture::Taking { attempts: attempt }),
            ) => {
                let channel = run.header.plan.inputs.capture.unwrap_or(Channel::Exec);
                // It is complete only if it was read back; nothing is deleted because of it.
                let take = Take { attempt: *attempt, channel, nonce: false, verify: false };
                Ok(workspace::take::<Self>(run, take).await?.map(Event::Capture))
            }
            (Step::Capture(CaptureStep::Verify), State::Reading(Capture::Taken(saved))) => {
                Ok(workspace::verify::<Self>(run, saved).await?.map(Event::Capture))
            }
            (Step::Note, State::Read(saved)) => {
                note(run, Some(Tried::Saved(saved)), None).await?;
                Ok(Performed::Event(Event::Noted))
            }
            (Step::Note, State::Unread(why)) => {
                note(run, Some(Tried::NotSaved(why)), None).await?;
                Ok(Performed::Event(Event::Noted))
            }
            (Step::ThinOut, State::Thinning) => {
                Ok(match prune::by_rule::<Self>(run, "thin_out").await? {
                    Done::Pruned(pruned) => Performed::Event(Event::Thinned(pruned)),
                    Done::Refused(cause) | Done::Doubtful(cause) => {
                        Performed::Event(Event::NotThinned(cause))
                    }
                    Done::Interrupted => Performed::Interrupted,
                })
            }
            (step, state) => Err(Error::internal(format!(
                "step {} in phase {}",
                Self::name(step),
                Self::phase(state)
            ))),
        }
    }
}
