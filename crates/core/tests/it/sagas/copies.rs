//! The laws of snapshots, restores, copies, drills and prunes.

use proptest::{collection::vec, prelude::*};
use salvor_core::saga::{Cause, Ending, Narrate, Outcome, Part, Setback};

use super::{
    laws::{any_fault, exhaust, storm},
    model::{Model, Run},
    models::{copy::Copying, prune::Pruning, restore::Restoring, snapshot::Snapshotting},
    world::Fault,
};

#[test]
fn a_snapshot_keeps_its_promises_under_any_two_faults() {
    exhaust::<Snapshotting>();
}

#[test]
fn a_restore_keeps_its_promises_under_any_two_faults() {
    exhaust::<Restoring>();
}

#[test]
fn a_copy_keeps_its_promises_under_any_two_faults() {
    exhaust::<Copying<true>>();
}

#[test]
fn a_drill_keeps_its_promises_under_any_two_faults() {
    exhaust::<Copying<false>>();
}

#[test]
fn a_prune_keeps_its_promises_under_any_two_faults() {
    exhaust::<Pruning>();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn they_keep_their_promises_in_a_storm(script in vec(any_fault(), 0..40)) {
        storm::<Snapshotting>(&script);
        storm::<Restoring>(&script);
        storm::<Copying<true>>(&script);
        storm::<Copying<false>>(&script);
        storm::<Pruning>(&script);
    }
}

#[test]
fn without_a_fault_each_is_done() {
    fn done<M: Model>() {
        for world in M::worlds() {
            let mut run = Run::<M>::new(world);
            let Ending::Done(parts) = run.finish(&[]) else { panic!("{:?}", run.journal) };
            assert_eq!(parts.outcome(), Outcome::Succeeded, "{parts:?}");
        }
    }
    done::<Snapshotting>();
    done::<Restoring>();
    done::<Copying<true>>();
    done::<Copying<false>>();
    done::<Pruning>();
}

/// A drill that cannot fail is no drill: a restore that never comes out as the snapshot has it is said to be so, and the
/// throw-away sandbox is gone all the same.
#[test]
fn a_drill_whose_restore_is_corrupt_fails() {
    for world in Copying::<false>::worlds() {
        let before_the_fill = 4 + usize::from(world.plan.capture);
        let mut script = vec![Fault::None; before_the_fill];
        // Each write leaves something out, each comparison finds it.
        script.extend([Fault::Gap; 6]);
        let mut run = Run::<Copying<false>>::new(world);
        let Ending::Done(parts) = run.finish(&script) else { panic!("{:?}", run.journal) };
        assert!(matches!(&parts.data, Part::Partly { owed, .. } if !owed.is_empty()), "{parts:?}");
        assert_eq!(parts.outcome(), Outcome::Degraded);
        assert_eq!(run.world.noted, Some(false));
        assert_eq!(run.world.holders, []);
    }
}

/// What was damaged after it was taken is found out before there is a sandbox to put it into.
#[test]
fn a_drill_of_a_damaged_snapshot_fails() {
    for world in Copying::<false>::worlds() {
        let mut script = vec![Fault::None; 1 + usize::from(world.plan.capture)];
        script.push(Fault::Damage);
        let mut run = Run::<Copying<false>>::new(world);
        let ending = run.finish(&script);
        assert!(matches!(ending, Ending::RolledBack(Setback::NotSaved(_))), "{ending:?}");
        assert_eq!((run.world.noted, run.world.created), (Some(false), 0));
    }
}

/// What cannot be written at all does not wait for a person with a throw-away sandbox in hand.
#[test]
fn a_drill_whose_snapshot_cannot_be_used_is_given_up_and_noted() {
    let world = Copying::<false>::worlds().remove(0);
    let mut script = vec![Fault::None; 4];
    script.push(Fault::Refuse(Cause::SnapshotUnusable));
    let mut run = Run::<Copying<false>>::new(world);
    let ending = run.finish(&script);
    assert_eq!(ending, Ending::RolledBack(Setback::Refused(Cause::SnapshotUnusable)));
    assert_eq!((run.world.noted, run.world.holders.len()), (Some(false), 0));
}

/// Back is possible until it is recorded, and leaves nothing.
#[test]
fn a_copy_can_be_cancelled_until_it_is_recorded() {
    let steps = 8;
    for at in 0..steps {
        let mut script = vec![Fault::None; at];
        script.push(Fault::Cancel);
        let mut run = Run::<Copying<true>>::new(Copying::<true>::worlds().remove(0));
        let ending = run.finish(&script);
        let outcomes: Vec<_> = run.journal.iter().map(Narrate::outcome).collect();
        assert_eq!(ending, Ending::RolledBack(Setback::Cancelled), "{outcomes:?}");
        assert_eq!(run.world.holders, []);
    }
}
