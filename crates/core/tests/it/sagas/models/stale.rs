//! The stale recovery on the small world.

use salvor_core::{
    id::LiveId,
    saga::{
        Effect, Ending, Failed, ParkReason, Part,
        stale::{Event, StaleRecovery, State, Step},
    },
};

use crate::sagas::{
    model::{Model, Performed, look, prove, write},
    world::{Fault, Mark, Owner, Phase, World},
};
use salvor_core::saga::Cause;

pub(in crate::sagas) struct Stale;

fn live(id: u32) -> LiveId {
    LiveId(id.to_string())
}

fn number(live: &LiveId) -> u32 {
    live.as_str().parse().expect("ids of the small world are numbers")
}

impl Model for Stale {
    type S = StaleRecovery;

    fn worlds() -> Vec<World> {
        [true, false].map(|unique| World::new(None, unique)).into()
    }

    fn perform(world: &mut World, state: &State, step: Step, fault: Fault) -> Performed<Self> {
        match (step, state) {
            (Step::Claim, _) => write(fault).map(|()| claim(world)),
            (Step::Create, _) => Ok(match world.create(fault) {
                Effect::Applied(id) => Event::Created(live(id)),
                Effect::NotApplied(cause) => Event::CreateRefused(cause),
                Effect::MaybeApplied(cause) => Event::CreateDoubtful(cause),
            }),
            (Step::ResolveCreate, _) => look(fault).map(|()| who_has_the_name(world)),
            (Step::AwaitReady, State::Created(id)) => {
                look(fault).and_then(|()| await_ready(world, number(id), fault))
            }
            (Step::Prove(proof), _) => Ok(Event::Proof(prove(proof, fault))),
            (Step::Commit, State::Proving { live, .. }) => {
                write(fault)?;
                world.commit(number(live));
                Ok(Event::Committed { data: Part::Gone })
            }
            (Step::RemoveCreated, State::Removing { live, .. }) => {
                Ok(match world.delete(number(live), fault) {
                    Effect::Applied(()) => Event::Removed,
                    Effect::NotApplied(cause @ (Cause::NotFound | Cause::OtherIncarnation))
                    | Effect::MaybeApplied(cause) => Event::RemoveDoubtful(cause),
                    Effect::NotApplied(_) => Event::StillThere,
                })
            }
            (Step::ResolveRemove, State::Removing { live, .. }) => {
                look(fault)?;
                let there = world.by_id(number(live)).is_some();
                Ok(if there { Event::StillThere } else { Event::Removed })
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
        assert!(world.count(Owner::Ours) <= 1, "two of ours: {world:?}");
        let ours_alone = world.deleted.iter().all(|s| s.owner == Owner::Ours);
        assert!(ours_alone, "something else was deleted: {world:?}");
    }

    fn check_end(before: &World, after: &World, ending: &Ending) {
        match ending {
            Ending::Done(parts) => {
                let ours = after.owned_by(Owner::Ours).expect("one of ours is live");
                assert_eq!(ours.phase, Phase::Ready);
                assert_eq!(parts.live_id, Some(live(ours.id)));
                assert_eq!((after.record.mark, after.record.live), (Mark::Active, ours.id));
            }
            Ending::RolledBack(_) => {
                assert_eq!(after.count(Owner::Ours), 0, "one of ours is left: {after:?}");
                assert_eq!(after.record.mark, Mark::Active);
                assert_eq!(after.record.live, before.record.live);
            }
        }
    }
}

fn claim(world: &mut World) -> Event {
    if world.claim() {
        return Event::Claimed { etag: "8".to_owned(), entry: "sealed".to_owned() };
    }
    Event::ClaimLost
}

fn who_has_the_name(world: &World) -> Event {
    if let Some(ours) = world.owned_by(Owner::Ours) {
        return Event::Adopted(live(ours.id));
    }
    if world.owned_by(Owner::Recorded).is_some() {
        return Event::Returned;
    }
    match world.owned_by(Owner::Stranger) {
        Some(stranger) => Event::Stranger(live(stranger.id)),
        None => Event::NotCreated,
    }
}

fn await_ready(world: &mut World, id: u32, fault: Fault) -> Result<Event, ParkReason> {
    let stranger = world.owned_by(Owner::Stranger);
    let Some(sandbox) = world.by_id(id) else {
        return Ok(stranger.map_or(Event::Vanished, |s| Event::Stranger(live(s.id))));
    };
    if sandbox.phase == Phase::Error {
        return Ok(Event::NeverReady(Failed { reason: "Boom".to_owned(), exit_code: Some(1) }));
    }
    if fault == Fault::Slow {
        return Err(ParkReason::NotReadyInTime);
    }
    sandbox.phase = Phase::Ready;
    Ok(Event::BecameReady { spec: Part::Proven, providers: Part::Proven })
}
