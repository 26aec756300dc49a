//! The laws of every saga: fail every step, crash at every record, do every effect twice, undo twice.

use proptest::{collection::vec, prelude::*, sample::select};
use salvor_core::{
    saga::{Cause, Ending, Next, Part, Saga, fold},
    time::Timestamp,
};

use super::{
    model::{Event, Model, Run},
    models::{destroy::Destroying, rebuild::Rebuilding, revive::Reviving, stale::Stale},
    world::{Fault, World},
};

/// Runs a script to its end and holds everything that a saga promises against it.
fn run_and_check<M: Model>(world: &World, script: &[Fault]) -> Run<M> {
    let mut run = Run::<M>::new(world.clone());
    let ending = run.finish(script);
    M::check_end(world, &run.world, &ending);
    record_survives(world, &run.world, &ending, script);
    nothing_happens_after_the_end::<M>(&run.journal);
    run
}

/// Back means back, and no ending changes what the record says beyond its state and its incarnation: only what somebody
/// else edited differs.
fn record_survives(before: &World, after: &World, ending: &Ending, script: &[Fault]) {
    if script.contains(&Fault::Edit) {
        return;
    }
    assert_eq!(before.record.content, after.record.content);
    if matches!(ending, Ending::RolledBack(_)) {
        assert_eq!(before.record, after.record);
    }
}

fn nothing_happens_after_the_end<M: Model>(journal: &[Event<M>]) {
    let state = fold::<M::S>(journal).unwrap();
    assert!(matches!(M::S::next(&state), Next::Finished(_)));
    let park = M::S::parked(salvor_core::saga::ParkReason::RegistryUnavailable);
    for event in journal.iter().chain([&park, &M::S::resumed(), &M::S::cancelled()]) {
        assert!(M::S::apply(state.clone(), event).is_err(), "{event:?} after the end");
    }
}

/// Every moment of a run is one at which the process may die. Each leads to an ending with the same promises; and where
/// nothing but the death goes wrong, to the very same ending.
fn resume_everywhere<M: Model>(before: &World, run: &Run<M>, script: &[Fault]) {
    let state = fold::<M::S>(&run.journal).unwrap();
    let Next::Finished(original) = M::S::next(&state) else { unreachable!() };
    for (written, world) in &run.moments {
        let mut again = Run::<M>::resume(world.clone(), run.journal[..*written].to_vec());
        let ending = again.finish(&[]);
        M::check_end(before, &again.world, &ending);
        record_survives(before, &again.world, &ending, script);
        if script.iter().all(|fault| *fault == Fault::None) {
            let at = format!("from {written} of {:?}", run.journal);
            assert_eq!(whichever(ending), whichever(original.clone()), "{at}");
            assert_eq!(again.world.shape(), run.world.shape(), "{at}");
        }
    }
}

/// An ending, whichever snapshot it was that was put back: a process that is gone may have taken another one.
fn whichever(mut ending: Ending) -> Ending {
    if let Ending::Done(parts) = &mut ending
        && let Part::Restored { snapshot, begun } = &mut parts.data
    {
        (*snapshot, *begun) = ("any".into(), Timestamp(0));
    }
    ending
}

/// No fault, one fault at each step, and two faults at any two steps.
pub(super) fn exhaust<M: Model>() {
    for world in M::worlds() {
        let mut script = vec![Fault::None; M::STEPS];
        let run = run_and_check::<M>(&world, &[]);
        resume_everywhere(&world, &run, &[]);
        for first in 0..M::STEPS {
            for one in M::faults() {
                script[first] = one;
                let run = run_and_check::<M>(&world, &script);
                resume_everywhere(&world, &run, &script);
                for second in first + 1..M::STEPS {
                    for two in M::faults() {
                        script[second] = two;
                        run_and_check::<M>(&world, &script);
                    }
                    script[second] = Fault::None;
                }
            }
            script[first] = Fault::None;
        }
    }
}

#[test]
fn a_stale_recovery_keeps_its_promises_under_any_two_faults() {
    exhaust::<Stale>();
}

#[test]
fn a_rebuild_keeps_its_promises_under_any_two_faults() {
    exhaust::<Rebuilding>();
}

#[test]
fn a_revive_keeps_its_promises_under_any_two_faults() {
    exhaust::<Reviving>();
}

#[test]
fn a_destroy_keeps_its_promises_under_any_two_faults() {
    exhaust::<Destroying<true>>();
    exhaust::<Destroying<false>>();
}

pub(super) fn any_fault() -> impl Strategy<Value = Fault> {
    let refused = select(Cause::ALL.to_vec()).prop_map(Fault::Refuse);
    prop_oneof![4 => Just(Fault::None), 6 => select(Rebuilding::faults()), 2 => refused]
}

/// One script on every world of a saga.
pub(super) fn storm<M: Model>(script: &[Fault]) {
    for world in M::worlds() {
        let run = run_and_check::<M>(&world, script);
        resume_everywhere(&world, &run, script);
        for event in &run.journal {
            let stored = serde_json::to_string(event).unwrap();
            assert_eq!(event, &serde_json::from_str::<Event<M>>(&stored).unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_saga_keeps_its_promises_in_a_storm(script in vec(any_fault(), 0..40)) {
        storm::<Stale>(&script);
        storm::<Reviving>(&script);
        storm::<Rebuilding>(&script);
        storm::<Destroying<true>>(&script);
        storm::<Destroying<false>>(&script);
    }
}

/// Without a fault each saga does what it is for, in as few records as its table has.
#[test]
fn without_a_fault_it_is_done() {
    fn done<M: Model>() {
        for world in M::worlds() {
            let mut run = Run::<M>::new(world);
            assert!(matches!(run.finish(&[]), Ending::Done(_)), "{:?}", run.journal);
        }
    }
    done::<Stale>();
    done::<Reviving>();
    done::<Rebuilding>();
    done::<Destroying<true>>();
    done::<Destroying<false>>();
}

/// A gateway that refuses everything for good is asked three times, and then the recovery goes back.
#[test]
fn a_gateway_that_keeps_failing_is_asked_three_times() {
    fn intents<M: Model>(effect: Cause) -> usize {
        let world = M::worlds().remove(0);
        let mut script = vec![Fault::None];
        script.extend([Fault::Refuse(effect); 6]);
        let mut run = Run::<M>::new(world);
        assert!(matches!(run.finish(&script), Ending::RolledBack(_)), "{:?}", run.journal);
        let intended = |event: &&Event<M>| {
            let text = serde_json::to_string(event).unwrap();
            ["\"CreateIntended\"", "\"StartIntended\"", "\"DeleteIntended\""].contains(&&*text)
        };
        run.journal.iter().filter(intended).count()
    }
    assert_eq!(intents::<Stale>(Cause::GatewayFailed), 3);
    assert_eq!(intents::<Reviving>(Cause::GatewayFailed), 3);
    assert_eq!(intents::<Destroying<true>>(Cause::GatewayFailed), 3);
    assert_eq!(intents::<Stale>(Cause::Invalid), 1);
    assert_eq!(intents::<Reviving>(Cause::Denied), 1);
    assert_eq!(intents::<Destroying<true>>(Cause::WrongGateway), 1);
}
