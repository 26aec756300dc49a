//! The prune on the small world.

use salvor_core::saga::{
    Ending,
    prune::{Event, Prune, Pruned, State, Step},
};

use crate::sagas::{
    model::{Model, Performed},
    world::{Fault, Phase, World},
};

pub(in crate::sagas) struct Pruning;

impl Model for Pruning {
    type S = Prune;

    const STEPS: usize = 4;

    fn worlds() -> Vec<World> {
        vec![World::new(Some(Phase::Ready), true), World::new(None, true)]
    }

    fn perform(world: &mut World, _: &State, Step::Prune: Step, fault: Fault) -> Performed<Self> {
        Ok(match fault {
            Fault::Refuse(cause) => Event::Refused(cause),
            Fault::DoubtNot(cause) => Event::Doubtful(cause),
            Fault::DoubtYes(cause) => {
                world.noted = Some(true);
                Event::Doubtful(cause)
            }
            _ => {
                world.noted = Some(true);
                Event::Pruned(Pruned::default())
            }
        })
    }

    fn check_always(world: &World) {
        assert_eq!((world.created, world.deleted.len()), (0, 0), "{world:?}");
    }

    fn check_end(_: &World, after: &World, ending: &Ending) {
        if let Ending::Done(_) = ending {
            assert_eq!(after.noted, Some(true), "it is said to be done");
        }
    }
}
