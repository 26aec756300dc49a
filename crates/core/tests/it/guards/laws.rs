//! Laws over evidence of every kind.

use proptest::{prelude::*, sample::select};
use salvor_core::{
    Check, Decision, Denial, Evidence, FactName, Limits, Planned, Request, SagaKind,
    check::evaluate, guards, plan::plan,
};

use super::{
    generate,
    restated::holds,
    unknowns::{FACTS, age, forget},
};

fn allows(saga: SagaKind, evidence: &Evidence) -> bool {
    evaluate(guards::table(saga), &Limits::default(), evidence).iter().all(Decision::allows)
}

fn decide(row: &Check<Evidence>, evidence: &Evidence) -> Option<Denial> {
    (row.decide)(&Limits::default(), evidence).err()
}

fn saga_and_evidence() -> impl Strategy<Value = (SagaKind, Evidence)> {
    generate::saga().prop_flat_map(|saga| (Just(saga), generate::evidence(saga)))
}

const REQUESTS: [Request; 8] = [
    Request::Auto,
    Request::Revive,
    Request::Rebuild,
    Request::Destroy,
    Request::Snapshot,
    Request::Restore,
    Request::Copy,
    Request::Prune,
];

fn fact_name() -> impl Strategy<Value = FactName> {
    select(FACTS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, ..ProptestConfig::default() })]

    /// Knowing less, or having looked longer ago, never turns a no into a yes: neither of a row nor of a table.
    #[test]
    fn ignorance_never_helps(
        (saga, evidence) in saga_and_evidence(),
        fact in fact_name(),
        how in proptest::option::of(generate::why()),
        by_ms in 0..1_000_000_u64,
    ) {
        let mut less = evidence.clone();
        match how {
            Some(why) => forget(&mut less, fact, why),
            None => age(&mut less, fact, by_ms),
        }
        for row in guards::table(saga) {
            if let Some(denial) = decide(row, &evidence) {
                prop_assert!(decide(row, &less).is_some(), "{} forgot {denial:?}", row.id);
            }
        }
        prop_assert!(allows(saga, &evidence) || !allows(saga, &less));
    }

    /// A row refuses whenever a fact that it names is missing, and does not see one that it does not name.
    #[test]
    fn a_row_rests_on_the_facts_it_names(
        (saga, evidence) in saga_and_evidence(),
        fact in fact_name(),
        why in generate::why(),
    ) {
        let mut less = evidence.clone();
        forget(&mut less, fact, why);
        for row in guards::table(saga) {
            if row.id == "sandbox_can_be_read" && fact == FactName::Compute {
                // What is read through the gateway is read whatever the runtime says; `unknowns` has the rest.
            } else if row.facts.contains(&fact) {
                prop_assert!(decide(row, &less).is_some(), "{} does without {fact:?}", row.id);
            } else if row.id != "losses_are_accepted" {
                prop_assert_eq!(decide(row, &less), decide(row, &evidence), "{}", row.id);
            }
        }
    }

    /// The claims of an allowed plan are true when said in other words, and what is refused fails one of them.
    #[test]
    fn a_table_allows_exactly_what_the_design_claims((saga, evidence) in saga_and_evidence()) {
        prop_assert_eq!(allows(saga, &evidence), holds(saga, &evidence));
    }

    /// Rows do not see each other.
    #[test]
    fn the_order_of_rows_does_not_matter(
        (saga, evidence, table) in saga_and_evidence().prop_flat_map(|(saga, evidence)| {
            let table = Just(guards::table(saga).to_vec()).prop_shuffle();
            (Just(saga), Just(evidence), table)
        })
    ) {
        let mut straight = evaluate(guards::table(saga), &Limits::default(), &evidence);
        let mut shuffled = evaluate(&table, &Limits::default(), &evidence);
        straight.sort_by(|a, b| a.guard.cmp(&b.guard));
        shuffled.sort_by(|a, b| a.guard.cmp(&b.guard));
        prop_assert_eq!(straight, shuffled);
    }

    /// Whatever is asked for, a plan holds one decision per row, allows only what the design claims, and survives storage.
    #[test]
    fn every_plan_is_whole(
        (_, evidence) in saga_and_evidence(),
        request in select(REQUESTS.to_vec()),
    ) {
        let limits = Limits::default();
        prop_assert_eq!(plan(&limits, request, &evidence), plan(&limits, request, &evidence));
        if let Planned::Plan(plan) = plan(&limits, request, &evidence) {
            let rows: Vec<_> = guards::table(plan.saga).iter().map(|row| row.id).collect();
            let decided: Vec<_> = plan.decisions.iter().map(|d| d.guard.0.as_ref()).collect();
            prop_assert_eq!(rows, decided);
            prop_assert_eq!(plan.saga_version, plan.saga.version());
            prop_assert_eq!(plan.allowed(), holds(plan.saga, &evidence));
            let stored = serde_json::to_string(&plan).unwrap();
            prop_assert_eq!(*plan, serde_json::from_str(&stored).unwrap());
        } else {
            prop_assert_eq!(request, Request::Auto);
        }
        let stored = serde_json::to_string(&evidence).unwrap();
        prop_assert_eq!(&evidence, &serde_json::from_str(&stored).unwrap());
    }

    /// What may pass by waiting does: with all facts fresh and a settling plan, a minute later it is allowed.
    #[test]
    fn a_settling_plan_is_allowed_once_settled((saga, mut evidence) in saga_and_evidence()) {
        let decisions = evaluate(guards::table(saga), &Limits::default(), &evidence);
        let only_time = |d: &Denial| {
            matches!(d, Denial::GatewayWarming { .. } | Denial::AbsenceTooRecent { .. })
        };
        let denials: Vec<_> = decisions.iter().filter_map(|d| d.denial.as_ref()).collect();
        if denials.is_empty() || !denials.into_iter().all(only_time) {
            return Ok(());
        }
        let long = 60_000 + 200_000;
        evidence.now.0 += long;
        later(&mut evidence, long);
        let expires = evidence.providers.shown().is_some_and(|all| {
            all.iter().any(|p| matches!(
                p.state,
                salvor_core::evidence::ProviderState::Existing { expires: Some(_) }
            ))
        });
        prop_assert!(expires || allows(saga, &evidence));
    }
}

/// Every fact looked at again that much later, with the same answer.
fn later(evidence: &mut Evidence, by_ms: u64) {
    fn set<T>(fact: &mut salvor_core::Fact<T>, by_ms: u64) {
        if let salvor_core::Fact::Known { at, .. } = fact {
            at.0 += by_ms;
        }
    }
    set(&mut evidence.record, by_ms);
    set(&mut evidence.gateway, by_ms);
    set(&mut evidence.live, by_ms);
    set(&mut evidence.providers, by_ms);
    set(&mut evidence.snapshot, by_ms);
    set(&mut evidence.compute, by_ms);
    set(&mut evidence.copy, by_ms);
}

/// Laws about allowed plans say nothing if none is allowed.
#[test]
fn the_generator_makes_both_kinds() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    for saga in SagaKind::ALL {
        let mut runner = TestRunner::deterministic();
        let made = |_| generate::evidence(saga).new_tree(&mut runner).unwrap().current();
        let allowed = (0..500).map(made).filter(|evidence| allows(saga, evidence)).count();
        assert!((25..475).contains(&allowed), "{allowed} of 500 for {}", saga.as_str());
    }
}
