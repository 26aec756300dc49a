//! The rebuild on the small world.

use salvor_core::{
    id::LiveId,
    saga::{
        Effect, Ending, Failed, ParkReason, Part,
        capture::{Capture, Saved},
        rebuild::{Event, Rebuild, State, Step},
    },
};

use crate::sagas::{
    model::{Model, Performed, faults, look, prove, write},
    models::workspace,
    world::{Fault, Mark, Owner, Phase, RECORDED, World},
};

/// The faults that differ to it alone.
const WORKSPACE: [Fault; 5] =
    [Fault::Gap, Fault::Damage, Fault::Lose, Fault::Write, Fault::Overwrite];

pub(in crate::sagas) struct Rebuilding;

fn live(id: u32) -> LiveId {
    LiveId(id.to_string())
}

fn number(live: &LiveId) -> u32 {
    live.as_str().parse().expect("ids of the small world are numbers")
}

impl Model for Rebuilding {
    type S = Rebuild;

    const STEPS: usize = 14;

    fn faults() -> Vec<Fault> {
        faults().into_iter().chain(WORKSPACE).collect()
    }

    /// Live, and read first; live, and another snapshot wanted; failed, with a snapshot; failed, with nothing, as accepted.
    fn worlds() -> Vec<World> {
        let ready = |unique| World::new(Some(Phase::Ready), unique);
        let failed = || World::new(Some(Phase::Error), true);
        vec![
            ready(true).planned(true, None),
            ready(false).planned(true, Some(4)),
            failed().planned(false, Some(4)),
            failed().planned(false, None),
        ]
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each step")]
    fn perform(world: &mut World, state: &State, step: Step, fault: Fault) -> Performed<Self> {
        match (step, state) {
            (Step::Claim, _) => write(fault).map(|()| claim(world)),
            (Step::Capture(step), State::Saving { capture, .. }) => {
                let files = world.by_id(RECORDED).map(|sandbox| sandbox.files);
                workspace::capture(world, step, capture, files, fault).map(Event::Capture)
            }
            (Step::Capture(step), State::Checking { from, .. }) => {
                let taken = Capture::Taken(from.clone());
                workspace::capture(world, step, &taken, None, fault).map(Event::Capture)
            }
            (Step::Delete, State::Deleting { taken, .. }) => {
                Ok(delete(world, taken.as_ref(), fault))
            }
            (Step::ResolveDelete, _) => {
                look(fault)?;
                let there = world.by_id(RECORDED).is_some();
                Ok(if there { Event::StillThere } else { Event::Deleted })
            }
            (Step::Create, _) => match world.create(fault) {
                Effect::Applied(id) => Ok(Event::Created(live(id))),
                Effect::NotApplied(cause) => Ok(Event::CreateRefused(cause)),
                Effect::MaybeApplied(cause) => Ok(Event::CreateDoubtful(cause)),
            },
            (Step::ResolveCreate, _) => look(fault).and_then(|()| who_has_the_name(world)),
            (Step::AwaitReady, State::Created { live, .. }) => {
                look(fault).and_then(|()| await_ready(world, number(live), fault))
            }
            (Step::RemoveCreated, State::Removing { live, .. }) => {
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
            (Step::Refill(step), State::Filling { fresh, from, refill }) => {
                let id = number(&fresh.live);
                if world.by_id(id).is_none() {
                    return Ok(Event::Vanished);
                }
                workspace::refill(world, step, refill, (id, from), fault).map(Event::Refill)
            }
            (Step::Prove(_), State::Proving { fresh, .. })
                if world.by_id(number(&fresh.live)).is_none() =>
            {
                Ok(Event::Vanished)
            }
            (Step::Refill(_), State::Proving { fresh, source: Some(from), .. }) => {
                let id = number(&fresh.live);
                if world.by_id(id).is_none() {
                    return Ok(Event::Vanished);
                }
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
                Ok(Event::Committed)
            }
            (Step::RestoreRecord, _) => {
                write(fault)?;
                world.restore();
                Ok(Event::RecordRestored)
            }
            (step, state) => panic!("{step:?} in {state:?}"),
        }
    }

    /// No file is lost: what a plan reads first is in the repository, as it was at the very end, when the sandbox goes.
    fn check_always(world: &World) {
        assert!(world.count(Owner::Ours) <= 1, "two of ours: {world:?}");
        for gone in &world.deleted {
            assert_ne!(gone.owner, Owner::Stranger, "somebody else's was deleted: {world:?}");
            let held = world.repo.iter().any(|shot| shot.complete && shot.files == gone.files);
            let read_first = gone.owner == Owner::Recorded && world.plan.capture;
            assert!(!read_first || held, "what was deleted is nowhere: {world:?}");
        }
    }

    fn check_end(before: &World, after: &World, ending: &Ending) {
        assert_eq!(after.record.mark, Mark::Active);
        let recorded_is_gone = after.deleted.iter().any(|s| s.owner == Owner::Recorded);
        match ending {
            Ending::Done(parts) => {
                assert!(
                    recorded_is_gone || after.taken,
                    "done, and nothing was deleted: {after:?}"
                );
                assert_eq!(parts.live_id, Some(live(after.record.live)));
                assert_ne!(after.record.live, RECORDED);
                let Some(ours) = after.owned_by(Owner::Ours) else {
                    assert!(after.lost, "none of ours is live: {after:?}");
                    return;
                };
                assert_eq!(parts.live_id, Some(live(ours.id)));
                assert_eq!(ours.phase, Phase::Ready);
                check_data(after, ours.files, &parts.data);
            }
            Ending::RolledBack(_) => {
                assert!(!recorded_is_gone, "back, and yet deleted: {after:?}");
                assert_eq!((after.created, after.record.live), (0, before.record.live));
            }
        }
    }
}

/// What is said of the files is so: they are those of the snapshot that the plan wants, or of the sandbox as it was last.
fn check_data(after: &World, files: u32, data: &Part) {
    let last = after.deleted.iter().find(|sandbox| sandbox.owner == Owner::Recorded);
    match data {
        Part::Restored { snapshot, .. } => {
            let shot = workspace::shot(after, snapshot);
            assert_eq!(files, shot.files);
            match (after.plan.restore, last) {
                (Some(chosen), _) => assert_eq!(shot, chosen),
                (None, Some(last)) => assert_eq!(files, last.files, "{after:?}"),
                // It vanished by itself, after it had been read.
                (None, None) => assert!(after.taken, "{after:?}"),
            }
        }
        Part::Partly { owed, .. } => assert!(!owed.is_empty()),
        // It could not be compared once more.
        Part::Unproven(_) => {}
        Part::Lost => assert!(!after.plan.capture && after.plan.restore.is_none(), "{after:?}"),
        part => panic!("{part:?}"),
    }
}

/// On condition that what was read is what is there.
fn delete(world: &mut World, taken: Option<&Saved>, fault: Fault) -> Event {
    let effect = match taken {
        Some(taken) => {
            let taken = workspace::shot(world, &taken.name);
            world.delete_unchanged(taken, fault)
        }
        None => world.delete(RECORDED, fault),
    };
    match effect {
        Effect::Applied(()) => Event::Deleted,
        Effect::NotApplied(cause) => Event::DeleteRefused(cause),
        Effect::MaybeApplied(cause) => Event::DeleteDoubtful(cause),
    }
}

fn claim(world: &mut World) -> Event {
    if world.claim() {
        return Event::Claimed {
            etag: "8".to_owned(),
            entry: "sealed".to_owned(),
            capture: world.plan.capture,
            restore: world.plan.restore.map(workspace::saved),
        };
    }
    Event::ClaimLost
}

fn who_has_the_name(world: &World) -> Result<Event, ParkReason> {
    if let Some(ours) = world.owned_by(Owner::Ours) {
        return Ok(Event::Adopted(live(ours.id)));
    }
    if world.holders.is_empty() {
        return Ok(Event::NotCreated);
    }
    Err(ParkReason::NameTaken)
}

fn await_ready(world: &mut World, id: u32, fault: Fault) -> Result<Event, ParkReason> {
    let Some(sandbox) = world.by_id(id) else { return Ok(Event::Vanished) };
    if sandbox.phase == Phase::Error {
        return Ok(Event::NeverReady(Failed { reason: "Boom".to_owned(), exit_code: Some(1) }));
    }
    if fault == Fault::Slow {
        return Err(ParkReason::NotReadyInTime);
    }
    sandbox.phase = Phase::Ready;
    Ok(Event::BecameReady { spec: Part::Proven, providers: Part::Proven })
}
