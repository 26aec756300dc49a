//! The snapshot on the small world.

use salvor_core::saga::{
    Cause, Ending,
    capture::CaptureEvent,
    prune::Pruned,
    snapshot::{Event, Snapshot, State, Step},
};

use crate::sagas::{
    model::{Model, Performed, faults, write},
    models::workspace,
    world::{Fault, Mark, Owner, Phase, RECORDED, World},
};

pub(in crate::sagas) struct Snapshotting;

impl Model for Snapshotting {
    type S = Snapshot;

    const STEPS: usize = 6;

    fn faults() -> Vec<Fault> {
        faults().into_iter().chain([Fault::Gap]).collect()
    }

    fn worlds() -> Vec<World> {
        vec![World::new(Some(Phase::Ready), true)]
    }

    fn perform(world: &mut World, state: &State, step: Step, fault: Fault) -> Performed<Self> {
        match (step, state) {
            (Step::Capture(step), State::Reading(capture)) => {
                let files = world.by_id(RECORDED).map(|sandbox| sandbox.files);
                let event = workspace::capture(world, step, capture, files, fault)?;
                Ok(Event::Capture(match event {
                    // Nothing is deleted because of it.
                    CaptureEvent::Taken { saved, .. } => {
                        CaptureEvent::Taken { saved, verify: false }
                    }
                    event => event,
                }))
            }
            (Step::Note, state) => {
                write(fault)?;
                world.noted = Some(matches!(state, State::Read(_)));
                Ok(Event::Noted)
            }
            (Step::ThinOut, _) => Ok(match fault {
                Fault::Refuse(cause) | Fault::DoubtYes(cause) | Fault::DoubtNot(cause) => {
                    Event::NotThinned(cause)
                }
                _ => Event::Thinned(Pruned::default()),
            }),
            (step, state) => panic!("{step:?} in {state:?}"),
        }
    }

    /// It only reads.
    fn check_always(world: &World) {
        assert_eq!((world.created, world.deleted.len()), (0, 0), "{world:?}");
        assert_eq!(world.count(Owner::Recorded), 1);
        assert_eq!(world.record.mark, Mark::Active);
    }

    fn check_end(_: &World, after: &World, ending: &Ending) {
        let complete = after.repo.iter().any(|shot| shot.complete);
        match ending {
            Ending::Done(parts) => {
                assert!(complete && after.noted == Some(true), "{after:?}");
                assert_eq!(parts.live_id, None);
            }
            Ending::RolledBack(salvor_core::saga::Setback::NotSaved(_)) => {
                assert_eq!(after.noted, Some(false), "a failure is noted, too");
            }
            Ending::RolledBack(setback) => {
                assert!(!matches!(setback, salvor_core::saga::Setback::Refused(Cause::Invalid)));
                assert_eq!(after.noted, None);
            }
        }
    }
}
