//! The copy on the small world. What bears a name there bears the copy's; the source is only ever read.

use salvor_core::{
    id::LiveId,
    saga::{
        Cause, Effect, Ending, Failed, ParkReason, Part, Setback,
        copy::{Copy, Event, Finding, State, Step},
    },
};

use crate::sagas::{
    model::{Model, Performed, faults, look, prove, write},
    models::{restore::given_up, workspace},
    world::{Fault, Mark, Owner, Phase, World},
};

/// One that is kept, or a drill.
pub(in crate::sagas) struct Copying<const KEEP: bool>;

/// What is in the source.
const SOURCE: u32 = 5;

fn live(id: u32) -> LiveId {
    LiveId(id.to_string())
}

fn number(live: &LiveId) -> u32 {
    live.as_str().parse().expect("ids of the small world are numbers")
}

impl<const KEEP: bool> Model for Copying<KEEP> {
    type S = Copy;

    const STEPS: usize = 11;

    fn faults() -> Vec<Fault> {
        faults().into_iter().chain([Fault::Gap, Fault::Damage, Fault::Lose]).collect()
    }

    /// From a snapshot by name; or from what is read first.
    fn worlds() -> Vec<World> {
        let free = |unique| World::new(None, unique);
        let mut worlds =
            vec![free(true).planned(false, Some(4)), free(false).planned(false, Some(4))];
        if !KEEP {
            worlds.push(free(true).planned(true, None));
        }
        worlds
    }

    fn perform(world: &mut World, state: &State, step: Step, fault: Fault) -> Performed<Self> {
        match (step, state) {
            (Step::Begin, _) => write(fault).map(|()| begin(world, KEEP)),
            (Step::Capture(step), State::Saving { capture, .. }) => {
                workspace::capture(world, step, capture, Some(SOURCE), fault).map(Event::Capture)
            }
            (Step::Create, _) => Ok(match world.create(fault) {
                Effect::Applied(id) => Event::Created(live(id)),
                Effect::NotApplied(cause) => Event::CreateRefused(cause),
                Effect::MaybeApplied(cause) => Event::CreateDoubtful(cause),
            }),
            (Step::ResolveCreate, _) => look(fault).map(|()| who_has_the_name(world)),
            (Step::AwaitReady, State::Created { live, .. }) => {
                look(fault).and_then(|()| await_ready(world, number(live), fault))
            }
            (Step::Refill(step), State::Filling { fresh, from, refill, .. }) => {
                let id = number(&fresh.live);
                if world.by_id(id).is_none() {
                    return Ok(Event::Vanished);
                }
                let filled = workspace::refill(world, step, refill, (id, from), fault);
                filled.map(Event::Refill).or_else(|why| given_up(why).map(Event::GaveUp).ok_or(why))
            }
            (Step::Prove(proof), _) => Ok(Event::Proof(prove(proof, fault))),
            (Step::Register, State::Registering { fresh, .. }) => {
                register(world, number(&fresh.live), fault)
            }
            (Step::Remove, State::Removing { live, .. }) => {
                Ok(match world.delete(number(live), fault) {
                    Effect::Applied(()) => Event::Removed,
                    Effect::NotApplied(cause) | Effect::MaybeApplied(cause) => {
                        Event::RemoveDoubtful(cause)
                    }
                })
            }
            (Step::ResolveRemove, State::Removing { live, .. }) => {
                look(fault)?;
                let there = world.by_id(number(live)).is_some();
                Ok(if there { Event::StillThere } else { Event::Removed })
            }
            (Step::Note, State::Noting(finding)) => {
                write(fault)?;
                let restored = |data: &Part| matches!(data, Part::Restored { .. });
                world.noted = Some(match finding {
                    Finding::Compared { data, .. } => restored(data),
                    Finding::Failed(_) => false,
                });
                Ok(Event::Noted)
            }
            (step, state) => panic!("{step:?} in {state:?}"),
        }
    }

    fn check_always(world: &World) {
        assert!(world.count(Owner::Ours) <= 1, "two of ours: {world:?}");
        let ours_alone = world.deleted.iter().all(|s| s.owner == Owner::Ours);
        assert!(ours_alone, "something else was deleted: {world:?}");
        let gone = |id: u32| world.deleted.iter().any(|s| s.id == id);
        assert!(!world.registered.is_some_and(gone), "a recorded one was deleted: {world:?}");
        assert!(KEEP || world.registered.is_none(), "a drill was recorded: {world:?}");
        assert_eq!(world.record.mark, Mark::Active, "the source is held");
    }

    fn check_end(_: &World, after: &World, ending: &Ending) {
        if KEEP { check_kept(after, ending) } else { check_drill(after, ending) }
    }
}

fn check_kept(after: &World, ending: &Ending) {
    assert_eq!(after.noted, None, "a copy is no drill");
    match ending {
        Ending::Done(parts) => {
            let ours = after.owned_by(Owner::Ours);
            assert!(ours.is_some() || after.lost, "none of ours is live: {after:?}");
            assert_eq!(parts.live_id, after.registered.map(live));
            if let (Some(ours), Part::Restored { snapshot, .. }) = (ours, &parts.data) {
                assert_eq!(ours.files, workspace::shot(after, snapshot).files);
            }
        }
        Ending::RolledBack(_) => {
            assert_eq!(after.count(Owner::Ours), 0, "one of ours is left: {after:?}");
        }
    }
}

fn check_drill(after: &World, ending: &Ending) {
    assert_eq!(after.count(Owner::Ours), 0, "one of ours is left: {after:?}");
    let expected = match ending {
        Ending::Done(parts) => {
            assert_eq!(parts.live_id, None);
            Some(matches!(parts.data, Part::Restored { .. }))
        }
        Ending::RolledBack(Setback::Cancelled | Setback::RecordChanged) => None,
        Ending::RolledBack(_) => Some(false),
    };
    assert_eq!(after.noted, expected, "{ending:?}");
}

fn begin(world: &World, keep: bool) -> Event {
    if !world.is_planned() {
        return Event::RecordChanged;
    }
    Event::Begun { keep, from: world.plan.restore.map(workspace::saved) }
}

fn who_has_the_name(world: &World) -> Event {
    if let Some(ours) = world.owned_by(Owner::Ours) {
        return Event::Adopted(live(ours.id));
    }
    match world.holders.first() {
        Some(stranger) => Event::Stranger(live(stranger.id)),
        None => Event::NotCreated,
    }
}

fn await_ready(world: &mut World, id: u32, fault: Fault) -> Result<Event, ParkReason> {
    let other = world.holders.first().map(|other| other.id);
    let Some(sandbox) = world.by_id(id) else {
        return Ok(other.map_or(Event::Vanished, |other| Event::Stranger(live(other))));
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

/// By whoever adopts it, or by somebody else under its name: then it is given up.
fn register(world: &mut World, id: u32, fault: Fault) -> Result<Event, ParkReason> {
    write(fault)?;
    if world.registered == Some(id) {
        return Ok(Event::Registered);
    }
    if world.by_id(id).is_none() {
        return Ok(Event::Vanished);
    }
    if let Fault::Refuse(Cause::AlreadyExists) = fault
        && world.registered.is_none()
    {
        return Ok(Event::GaveUp(Cause::AlreadyExists));
    }
    world.registered = Some(id);
    Ok(Event::Registered)
}
