//! What is not known, or was seen too long ago, is refused by every row that rests on it and by no other.

use salvor_core::{
    Check, Denial, Evidence, Fact, FactName, Limits, Planned, Request, SagaKind, Verdict, Why,
    guards, plan::plan,
};

use super::good::{ago, good};

pub(super) const FACTS: [FactName; 7] = [
    FactName::Record,
    FactName::OwnerGateway,
    FactName::LiveView,
    FactName::Providers,
    FactName::Snapshot,
    FactName::Compute,
    FactName::CopyName,
];

/// A fact taken away.
pub(super) fn forget(evidence: &mut Evidence, fact: FactName, why: Why) {
    match fact {
        FactName::Record => evidence.record = Fact::unknown(why, "test"),
        FactName::OwnerGateway => evidence.gateway = Fact::unknown(why, "test"),
        FactName::LiveView => evidence.live = Fact::unknown(why, "test"),
        FactName::Providers => evidence.providers = Fact::unknown(why, "test"),
        FactName::Snapshot => evidence.snapshot = Fact::unknown(why, "test"),
        FactName::Compute => evidence.compute = Fact::unknown(why, "test"),
        FactName::CopyName => evidence.copy = Fact::unknown(why, "test"),
    }
}

/// A fact made one millisecond older than it may be, or older.
pub(super) fn age(evidence: &mut Evidence, fact: FactName, by_ms: u64) {
    fn set<T>(fact: &mut Fact<T>, to: salvor_core::Timestamp) {
        if let Fact::Known { at, .. } = fact {
            *at = to;
        }
    }
    let to = ago(30_001 + by_ms);
    match fact {
        FactName::Record => set(&mut evidence.record, to),
        FactName::OwnerGateway => set(&mut evidence.gateway, to),
        FactName::LiveView => set(&mut evidence.live, to),
        FactName::Providers => set(&mut evidence.providers, to),
        FactName::Snapshot => set(&mut evidence.snapshot, to),
        FactName::Compute => set(&mut evidence.compute, to),
        FactName::CopyName => set(&mut evidence.copy, to),
    }
}

fn decide(row: &Check<Evidence>, evidence: &Evidence) -> Option<Denial> {
    (row.decide)(&Limits::default(), evidence).err()
}

#[test]
fn an_unknown_fact_is_the_denial_of_each_row_that_rests_on_it() {
    for saga in SagaKind::ALL {
        for fact in FACTS {
            for why in Why::ALL {
                let mut evidence = good(saga);
                forget(&mut evidence, fact, why);
                for row in guards::table(saga) {
                    let expected = if row.facts.contains(&fact) {
                        Some(Denial::Unknown { fact, why })
                    } else {
                        decide(row, &good(saga))
                    };
                    assert_eq!(decide(row, &evidence), expected, "{} {fact:?}", row.id);
                }
            }
        }
    }
}

#[test]
fn an_old_fact_is_the_denial_of_each_row_that_rests_on_it() {
    for saga in SagaKind::ALL {
        for fact in FACTS {
            let mut evidence = good(saga);
            age(&mut evidence, fact, 0);
            for row in guards::table(saga) {
                let old = matches!(
                    decide(row, &evidence),
                    Some(Denial::EvidenceTooOld { fact: named, age, .. })
                        if named == fact && age.as_millis() == 30_001
                );
                assert_eq!(old, row.facts.contains(&fact), "{} {fact:?}", row.id);
            }
        }
    }
}

#[test]
fn a_fact_as_old_as_it_may_be_is_believed() {
    let mut evidence = good(SagaKind::StaleRecovery);
    let Fact::Known { at, .. } = &mut evidence.live else { unreachable!() };
    *at = ago(30_000);
    let Planned::Plan(plan) = plan(&Limits::default(), Request::Auto, &evidence) else {
        panic!("there is something to do");
    };
    assert!(plan.allowed(), "{:?}", plan.decisions);
}

/// T03: a rebuild of what cannot be seen names the cause, whatever it is, and makes no plan that could run.
#[test]
fn t03_what_cannot_be_seen_is_refused_with_its_cause() {
    for fact in [FactName::OwnerGateway, FactName::LiveView] {
        for why in Why::ALL {
            let mut evidence = good(SagaKind::StaleRecovery);
            forget(&mut evidence, fact, why);
            for request in [Request::Auto, Request::Rebuild, Request::Revive, Request::Destroy] {
                let Planned::Plan(plan) = plan(&Limits::default(), request, &evidence) else {
                    panic!("nothing to do is a claim about a sandbox that was not seen");
                };
                assert_eq!(plan.verdict, Verdict::Unknown);
                assert!(!plan.allowed() && !plan.is_settling());
                let cause = Denial::Unknown { fact, why };
                assert!(plan.decisions.iter().any(|d| d.denial.as_ref() == Some(&cause)));
            }
        }
    }
}
