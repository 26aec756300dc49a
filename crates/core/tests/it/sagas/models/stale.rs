//! The stale recovery on the small world.

use salvor_core::{
    id::LiveId,
    saga::{
        Cause, Effect, Ending, Failed, ParkReason, Part, Pending,
        capture::Capture,
        stale::{Event, StaleRecovery, State, Step},
    },
};

use crate::sagas::{
    model::{Model, Performed, faults, look, prove, write},
    models::workspace,
    world::{Fault, Mark, Owner, Phase, World},
};

pub(in crate::sagas) struct Stale;

fn live(id: u32) -> LiveId {
    LiveId(id.to_string())
}

fn number(live: &LiveId) -> u32 {
    live.as_str().parse().expect("ids of the small world are numbers")
}

impl Model for Stale {
    type S = StaleRecovery;

    const STEPS: usize = 13;

    fn faults() -> Vec<Fault> {
        faults().into_iter().chain([Fault::Gap, Fault::Damage, Fault::Overwrite]).collect()
    }

    /// Nothing is known of the files; a snapshot holds them; a container does too, running or not, to be read or not.
    fn worlds() -> Vec<World> {
        let lost = |unique| World::new(None, unique);
        vec![
            lost(true),
            lost(false),
            lost(true).planned(false, Some(4)),
            lost(true).planned(true, None).left(true),
            lost(false).planned(true, Some(4)).left(false),
            lost(true).planned(false, Some(4)).left(true),
        ]
    }

    #[expect(clippy::too_many_lines, reason = "a table: an arm for each step")]
    fn perform(world: &mut World, state: &State, step: Step, fault: Fault) -> Performed<Self> {
        match (step, state) {
            (Step::Claim, _) => write(fault).map(|()| claim(world)),
            (Step::Create, _) => Ok(match world.create(fault) {
                Effect::Applied(id) => Event::Created(live(id)),
                Effect::NotApplied(cause) => Event::CreateRefused(cause),
                Effect::MaybeApplied(cause) => Event::CreateDoubtful(cause),
            }),
            (Step::ResolveCreate, _) => look(fault).map(|()| who_has_the_name(world)),
            (Step::AwaitReady, State::Created { live, .. }) => {
                look(fault).and_then(|()| await_ready(world, number(live), fault))
            }
            (Step::StopLeftover, _) => Ok(match world.stop_container(fault) {
                Effect::Applied(()) => Event::Stopped,
                Effect::NotApplied(cause) => Event::StopRefused(cause),
                Effect::MaybeApplied(cause) => Event::StopDoubtful(cause),
            }),
            (Step::Capture(step), State::Salvaging { capture, .. }) => {
                let container = world.container.expect("there is something to read");
                assert!(!container.running, "it is read while it runs");
                let event = workspace::capture(world, step, capture, Some(container.files), fault);
                event.map(Event::Capture)
            }
            (Step::Capture(step), State::Checking { from, .. }) => {
                let taken = Capture::Taken(from.clone());
                workspace::capture(world, step, &taken, None, fault).map(Event::Capture)
            }
            (Step::Refill(step), State::Filling { fresh, from, refill, .. }) => {
                let id = number(&fresh.live);
                if world.by_id(id).is_none() {
                    return Ok(Event::Vanished);
                }
                workspace::refill(world, step, refill, (id, from), fault).map(Event::Refill)
            }
            (Step::Refill(_), State::Proving { fresh, content, .. }) => {
                let id = number(&fresh.live);
                if world.by_id(id).is_none() {
                    return Ok(Event::Vanished);
                }
                let from = content.restore.as_ref().expect("it was put back");
                Ok(Event::Refill(workspace::compare_again(world, (id, from), fault)))
            }
            (Step::Prove(proof), _) => {
                if fault == Fault::Overwrite {
                    world.write(Owner::Ours);
                }
                Ok(Event::Proof(prove(proof, fault)))
            }
            (Step::Commit, State::Proving { fresh, .. }) => {
                write(fault)?;
                world.commit(number(&fresh.live));
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
        let running = world.container.is_some_and(|container| container.running);
        assert!(!running || world.created == 0, "two of it run: {world:?}");
    }

    fn check_end(before: &World, after: &World, ending: &Ending) {
        match ending {
            Ending::Done(parts) => {
                let Some(ours) = after.owned_by(Owner::Ours) else {
                    assert!(after.lost, "none of ours is live: {after:?}");
                    return;
                };
                assert_eq!(ours.phase, Phase::Ready);
                assert_eq!(parts.live_id, Some(live(ours.id)));
                assert_eq!((after.record.mark, after.record.live), (Mark::Active, ours.id));
                check_data(after, ours.files, &parts.data);
            }
            Ending::RolledBack(_) => {
                assert_eq!(after.count(Owner::Ours), 0, "one of ours is left: {after:?}");
                assert_eq!(after.record.mark, Mark::Active);
                assert_eq!(after.record.live, before.record.live);
            }
        }
    }
}

/// What is said of the files is so: the container's where it was to be read and could be, the plan's snapshot otherwise.
fn check_data(after: &World, files: u32, data: &Part) {
    let held = after.container.filter(|_| after.plan.capture).map(|container| container.files);
    match data {
        Part::Restored { snapshot, .. } => {
            let shot = workspace::shot(after, snapshot);
            assert_eq!(files, shot.files);
            assert!(held.is_none_or(|held| held == files), "older than the container: {after:?}");
        }
        Part::Partly { owed, .. } => assert!(!owed.is_empty()),
        Part::Pending(owed) => {
            let unread =
                owed.iter().find(|item| matches!(item, Pending::NotSalvaged { .. })).is_some();
            assert!(!unread || held.is_some(), "nothing was to be read: {after:?}");
        }
        Part::Unproven(_) => {}
        Part::Gone => assert!(held.is_none() && after.plan.restore.is_none(), "{after:?}"),
        part => panic!("{part:?}"),
    }
}

fn claim(world: &mut World) -> Event {
    if world.claim() {
        return Event::Claimed {
            etag: "8".to_owned(),
            entry: "sealed".to_owned(),
            leftover: world.container.map(|_| "c-1".into()).into_iter().collect(),
            salvage: world.plan.capture,
            restore: world.plan.restore.map(workspace::saved),
        };
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
