//! The restore on the small world.

use salvor_core::saga::{
    Ending, ParkReason, Part,
    refill::RefillStep,
    restore::{Event, Restore, State, Step},
};

use crate::sagas::{
    model::{Model, Performed, faults, prove, write},
    models::workspace,
    world::{Fault, Mark, Owner, Phase, RECORDED, World},
};

pub(in crate::sagas) struct Restoring;

/// What is in the snapshot that is restored.
const WANTED: u32 = 4;

impl Model for Restoring {
    type S = Restore;

    const STEPS: usize = 9;

    fn faults() -> Vec<Fault> {
        faults().into_iter().chain([Fault::Gap, Fault::Damage]).collect()
    }

    /// What is there may be overwritten; or the mode lets nothing be.
    fn worlds() -> Vec<World> {
        let live = || World::new(Some(Phase::Ready), true);
        vec![live().planned(true, Some(WANTED)), live().planned(false, Some(WANTED))]
    }

    fn perform(world: &mut World, state: &State, step: Step, fault: Fault) -> Performed<Self> {
        match (step, state) {
            (Step::Begin, _) => write(fault).map(|()| begin(world)),
            (Step::Capture(step), State::Saving { capture, .. }) => {
                let files = world.by_id(RECORDED).map(|sandbox| sandbox.files);
                workspace::capture(world, step, capture, files, fault).map(Event::Capture)
            }
            (Step::Refill(step), State::Filling { refill, into, .. }) => {
                if world.by_id(RECORDED).is_none() {
                    return Ok(Event::Vanished);
                }
                let saved = world.repo.iter().any(|shot| shot.complete && shot.id > 0);
                assert!(saved || !world.plan.capture, "written before it was saved: {world:?}");
                assert!(step == RefillStep::Write || refill.attempts() > 0);
                let at = (RECORDED, &into.from);
                workspace::refill(world, step, refill, at, fault).map(Event::Refill)
            }
            (Step::Prove(proof), State::Settled { .. }) => {
                if world.by_id(RECORDED).is_none() {
                    return Ok(Event::Vanished);
                }
                Ok(Event::Proof(prove(proof, fault)))
            }
            (Step::Note, state) => {
                write(fault)?;
                world.noted = Some(matches!(state, State::Settled { .. }));
                Ok(Event::Noted)
            }
            (step, state) => panic!("{step:?} in {state:?}"),
        }
    }

    fn check_always(world: &World) {
        assert_eq!((world.created, world.deleted.len()), (0, 0), "{world:?}");
        assert_eq!(world.record.mark, Mark::Active);
    }

    fn check_end(_: &World, after: &World, ending: &Ending) {
        let there = after.owned_by(Owner::Recorded);
        match ending {
            Ending::Done(parts) => {
                assert_eq!(parts.live_id, Some("1".into()));
                assert_eq!(after.noted, Some(true));
                match &parts.data {
                    Part::Restored { snapshot, .. } => {
                        let shot = workspace::shot(after, snapshot);
                        assert_eq!((shot.files, shot.id), (WANTED, 0));
                    }
                    Part::Partly { owed, .. } => assert!(!owed.is_empty()),
                    part => panic!("{part:?}"),
                }
            }
            Ending::RolledBack(_) => {
                assert!(there.is_none_or(|s| s.files != WANTED), "it was written to: {after:?}");
            }
        }
    }
}

fn begin(world: &World) -> Event {
    if !world.is_planned() {
        return Event::RecordChanged;
    }
    let from = world.plan.restore.expect("there is something to restore");
    // Locked where nothing is read first: the proofs differ to one world only.
    let (capture, locked) = (world.plan.capture, !world.plan.capture);
    Event::Begun { live: "1".into(), from: workspace::saved(from), capture, locked }
}

/// What a look that fails says, for the models of this kind.
pub(super) const fn given_up(why: ParkReason) -> Option<salvor_core::saga::Cause> {
    match why {
        ParkReason::KeepsFailing(cause) => Some(cause),
        _ => None,
    }
}
