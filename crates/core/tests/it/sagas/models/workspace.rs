//! Reading and writing workspaces on the small world.

use salvor_core::{
    fact::Why,
    id::SnapshotName,
    saga::{
        Cause, Effect, ParkReason,
        capture::{Capture, CaptureEvent, CaptureStep, Gap, Saved},
        refill::{MAX_ATTEMPTS, Refill, RefillEvent, RefillStep, Unrestored},
    },
    time::Timestamp,
};

use crate::sagas::{
    model::look,
    world::{Fault, Shot, World},
};

fn name(id: u32) -> SnapshotName {
    SnapshotName(format!("gateways/lab/snapshots/{id}"))
}

pub(super) fn saved(shot: Shot) -> Saved {
    Saved { name: name(shot.id), begun: Timestamp(shot.id.into()), files: 1, bytes: 1 }
}

pub(super) fn shot(world: &World, snapshot: &SnapshotName) -> Shot {
    let found = world.repo.iter().find(|shot| name(shot.id) == *snapshot);
    *found.expect("what is spoken of is in the repository")
}

fn gap(shot: Shot) -> Gap {
    Gap {
        snapshot: name(shot.id),
        path: Some("/sandbox/db".into()),
        reason: "UNREADABLE".to_owned(),
        count: 1,
    }
}

/// One step of a capture. `files`: what is there to be read, if anything is.
pub(super) fn capture(
    world: &mut World,
    step: CaptureStep,
    state: &Capture,
    files: Option<u32>,
    fault: Fault,
) -> Result<CaptureEvent, ParkReason> {
    match (step, state) {
        (CaptureStep::Take, Capture::Taking { attempts }) => {
            let Some(files) = files else { return Ok(CaptureEvent::Refused(Cause::NotFound)) };
            let request = format!("{}/{attempts}", world.round);
            Ok(match world.snapshot(&request, files, fault) {
                Effect::Applied(shot) if shot.complete => {
                    CaptureEvent::Taken { saved: saved(shot), verify: true }
                }
                Effect::Applied(shot) => CaptureEvent::Incomplete(gap(shot)),
                Effect::NotApplied(cause) => CaptureEvent::Refused(cause),
                Effect::MaybeApplied(cause) => CaptureEvent::Doubtful(cause),
            })
        }
        (CaptureStep::Verify, Capture::Taken(saved)) => {
            look(fault)?;
            match fault {
                Fault::Refuse(cause) | Fault::DoubtYes(cause) | Fault::DoubtNot(cause) => {
                    Err(ParkReason::KeepsFailing(cause))
                }
                Fault::Damage => Ok(CaptureEvent::Damaged(gap(shot(world, &saved.name)))),
                _ => Ok(CaptureEvent::Verified),
            }
        }
        (step, state) => panic!("{step:?} in {state:?}"),
    }
}

/// The comparison at the end.
pub(super) fn compare_again(
    world: &mut World,
    (id, from): (u32, &Saved),
    fault: Fault,
) -> RefillEvent {
    let from = shot(world, &from.name);
    match fault {
        Fault::Blind(why) => RefillEvent::NotCompared(why),
        Fault::Refuse(_) | Fault::DoubtYes(_) | Fault::DoubtNot(_) => {
            RefillEvent::NotCompared(Why::AdapterUnreachable)
        }
        _ => {
            let (differing, count) = differing(world, id, from);
            RefillEvent::ComparedAgain { differing, count }
        }
    }
}

fn differing(world: &mut World, id: u32, from: Shot) -> (Vec<Unrestored>, u64) {
    let same = world.by_id(id).is_some_and(|sandbox| sandbox.files == from.files);
    let item = || Unrestored { path: "/sandbox/db".into(), reason: "DIFFERS".to_owned() };
    ((!same).then(item).into_iter().collect(), u64::from(!same))
}

/// One step of a refill, of one sandbox from one snapshot.
pub(super) fn refill(
    world: &mut World,
    step: RefillStep,
    state: &Refill,
    (id, from): (u32, &Saved),
    fault: Fault,
) -> Result<RefillEvent, ParkReason> {
    let from = shot(world, &from.name);
    if step == RefillStep::Compare {
        look(fault)?;
        if let Fault::Refuse(cause) | Fault::DoubtYes(cause) | Fault::DoubtNot(cause) = fault {
            return Err(ParkReason::KeepsFailing(cause));
        }
        let (differing, count) = differing(world, id, from);
        return Ok(RefillEvent::Compared { differing, count });
    }
    let event = match world.refill(id, from, fault) {
        Effect::Applied(()) if fault == Fault::Gap => {
            RefillEvent::PartlyWritten { failures: 1, merged: vec![] }
        }
        Effect::Applied(()) => RefillEvent::Written { files: 1, bytes: 1, merged: vec![] },
        Effect::NotApplied(cause) => RefillEvent::NotWritten(cause),
        Effect::MaybeApplied(cause) => RefillEvent::Doubtful(cause),
    };
    match event {
        RefillEvent::NotWritten(cause) | RefillEvent::Doubtful(cause)
            if state.attempts() >= MAX_ATTEMPTS || !cause.may_pass() =>
        {
            Err(ParkReason::KeepsFailing(cause))
        }
        event => Ok(event),
    }
}
