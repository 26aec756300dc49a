//! Headers of journals from before there were snapshots: they are read, and show what they showed.

use salvor_core::{Evidence, Fact, Plan, SagaKind, Why, evidence::Channel, plan::Inputs};

use super::good::good;

/// As the first version wrote them.
const EVIDENCE: &str = include_str!("old/evidence.json");
const PLAN: &str = include_str!("old/plan.json");

#[test]
fn old_evidence_says_nothing_of_snapshots() {
    let old: Evidence = serde_json::from_str(EVIDENCE).unwrap();
    let why = |fact: &dyn std::fmt::Debug| format!("{fact:?}");
    let not_asked = why(&Fact::<()>::unknown(Why::NotAsked, ""));
    assert_eq!(why(&old.snapshot), not_asked);
    assert_eq!(why(&old.compute), not_asked);
    assert_eq!(why(&old.copy), not_asked);
    let mut expected = good(SagaKind::StaleRecovery);
    expected.asked = old.asked.clone();
    assert_eq!(old.asked, salvor_core::evidence::Asked::default());
    assert_eq!(old.target, expected.target);
    let (Some(was), Some(is)) = (old.record.shown(), expected.record.shown()) else {
        panic!("both know their record");
    };
    assert_eq!((&was.spec, &was.policy, &was.posture), (&is.spec, &is.policy, &is.posture));
    assert_eq!((&was.last_snapshot, &was.snapshot_rules), (&None, &None));
}

/// It is allowed by what was asked then, uses no snapshot, and is of another version: it is shown, and not gone on with.
#[test]
fn an_old_plan_is_read_whole() {
    let old: Plan = serde_json::from_str(PLAN).unwrap();
    assert!(old.allowed());
    assert_eq!((old.saga, old.saga_version), (SagaKind::StaleRecovery, 1));
    assert_ne!(old.saga_version, old.saga.version());
    let Inputs { capture, restore, leftovers, roots, .. } = old.inputs;
    assert_eq!((capture, restore), (None::<Channel>, None));
    assert!(leftovers.is_empty() && roots.is_empty());
    assert_eq!(old.decisions.len(), 12);
}
