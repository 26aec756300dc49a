//! The destroy on the small world.

use salvor_core::saga::{
    Effect, Ending,
    destroy::{Destroy, Event, State, Step},
};

use crate::sagas::{
    model::{Model, Performed, look, write},
    world::{Fault, Mark, Owner, Phase, RECORDED, World},
};

/// A destroy of a sandbox that the plan found present, or absent.
pub(in crate::sagas) struct Destroying<const PRESENT: bool>;

impl<const PRESENT: bool> Model for Destroying<PRESENT> {
    type S = Destroy;

    fn worlds() -> Vec<World> {
        if PRESENT {
            return [Phase::Ready, Phase::Error].map(|p| World::new(Some(p), true)).into();
        }
        vec![World::new(None, true)]
    }

    fn perform(world: &mut World, state: &State, step: Step, fault: Fault) -> Performed<Self> {
        match (step, state) {
            (Step::Claim, _) => {
                write(fault)?;
                let (etag, entry) = ("8".to_owned(), "sealed".to_owned());
                let claimed = Event::Claimed { etag, entry, present: PRESENT };
                Ok(if world.claim() { claimed } else { Event::ClaimLost })
            }
            (Step::Delete, State::Deleting { .. }) => Ok(match world.delete(RECORDED, fault) {
                Effect::Applied(()) => Event::Deleted,
                Effect::NotApplied(cause) => Event::DeleteRefused(cause),
                Effect::MaybeApplied(cause) => Event::DeleteDoubtful(cause),
            }),
            (Step::ResolveDelete, _) => {
                look(fault)?;
                let there = world.by_id(RECORDED).is_some();
                Ok(if there { Event::StillThere } else { Event::Deleted })
            }
            (Step::Bury, _) => {
                write(fault)?;
                world.bury();
                Ok(Event::Buried)
            }
            (Step::RestoreRecord, _) => {
                write(fault)?;
                world.restore();
                Ok(Event::RecordRestored)
            }
            (step, state) => panic!("{step:?} in {state:?}"),
        }
    }

    fn check_always(world: &World) {
        assert_eq!(world.created, 0);
        assert!(world.deleted.len() <= 1);
        let recorded_alone = world.deleted.iter().all(|s| s.owner == Owner::Recorded);
        assert!(recorded_alone, "something else was deleted: {world:?}");
        assert!(PRESENT || world.deleted.is_empty(), "the plan had found nothing to delete");
    }

    fn check_end(before: &World, after: &World, ending: &Ending) {
        assert_eq!(after.record.live, before.record.live);
        match ending {
            Ending::Done(parts) => {
                assert_eq!(parts.live_id, None);
                assert_eq!(after.record.mark, Mark::Tombstone);
                // An absence that the plan had proven is not looked at again; what returns later is another matter.
                assert!(!PRESENT || after.owned_by(Owner::Recorded).is_none());
            }
            Ending::RolledBack(_) => {
                assert_eq!(after.record.mark, Mark::Active);
                assert!(after.deleted.is_empty(), "back, and yet deleted: {after:?}");
            }
        }
    }
}
