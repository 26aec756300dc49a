//! Approval and permits: nothing short of the whole table, allowed, leads to one.

use std::borrow::Cow;

use salvor_core::{
    Approved, Decision, Denial, EffectKind, GuardId, Limits, Plan, SagaKind, Verdict,
    check::evaluate,
    evidence::CopyTo,
    guards,
    id::{Fence, RecoveryName},
    permit::NotApproved,
    plan::Inputs,
};

use super::good::good;

const EFFECTS: [EffectKind; 9] = [
    EffectKind::Create,
    EffectKind::Delete,
    EffectKind::Start,
    EffectKind::ApplyPolicy,
    EffectKind::ApplyPosture,
    EffectKind::Snapshot,
    EffectKind::Restore,
    EffectKind::DeleteSnapshot,
    EffectKind::StopCompute,
];

fn plan(saga: SagaKind) -> Plan {
    let evidence = good(saga);
    let inputs = Inputs::of(saga, &evidence);
    Plan {
        saga_version: saga.version(),
        saga,
        target: evidence.target.clone(),
        verdict: Verdict::Lost,
        digest: inputs.digest(saga, &evidence.target),
        inputs,
        decisions: evaluate(guards::table(saga), &Limits::default(), &evidence),
    }
}

#[test]
fn a_whole_and_allowed_plan_is_approved() {
    for saga in SagaKind::ALL {
        let approved = Approved::new(plan(saga)).unwrap();
        assert_eq!(approved.plan(), &plan(saga));
    }
}

#[test]
fn a_plan_with_any_decision_missing_is_not() {
    for saga in SagaKind::ALL {
        for index in 0..guards::table(saga).len() {
            let mut plan = plan(saga);
            plan.decisions.remove(index);
            let missing = guards::table(saga)[index].id;
            assert_eq!(Approved::new(plan).unwrap_err(), NotApproved::Missing(missing));
        }
        let mut none = plan(saga);
        none.decisions.clear();
        assert!(Approved::new(none).is_err());
    }
}

#[test]
fn a_plan_with_any_decision_refused_is_not() {
    for saga in SagaKind::ALL {
        for index in 0..guards::table(saga).len() {
            let mut plan = plan(saga);
            plan.decisions[index].denial = Some(Denial::SandboxAbsent);
            assert!(!plan.allowed());
            let refused = guards::table(saga)[index].id.to_owned();
            assert_eq!(Approved::new(plan).unwrap_err(), NotApproved::Refused(refused));
        }
    }
}

#[test]
fn a_plan_with_decisions_renamed_or_out_of_order_is_not() {
    for saga in SagaKind::ALL {
        let rows = guards::table(saga).len();
        for index in 0..rows {
            let mut renamed = plan(saga);
            renamed.decisions[index].guard.0.to_mut().push('_');
            assert!(Approved::new(renamed).is_err());
            for other in 0..index {
                let mut reordered = plan(saga);
                reordered.decisions.swap(index, other);
                assert!(Approved::new(reordered).is_err());
            }
        }
    }
}

/// A newer build may have had a row more; its refusal counts although this build's table does not know it.
#[test]
fn a_refusal_beyond_the_table_counts() {
    let extra = |denial| Decision {
        guard: GuardId(Cow::Borrowed("moon_is_full")),
        claim: Cow::Borrowed("the moon is full"),
        denial,
    };
    for saga in SagaKind::ALL {
        let mut allowed = plan(saga);
        allowed.decisions.push(extra(None));
        assert!(Approved::new(allowed).is_ok());
        let mut refused = plan(saga);
        refused.decisions.push(extra(Some(Denial::SandboxAbsent)));
        let name = "moon_is_full".to_owned();
        assert_eq!(Approved::new(refused).unwrap_err(), NotApproved::Refused(name));
    }
}

/// The decisions of one saga do not approve another.
#[test]
fn a_plan_relabelled_as_another_saga_is_not_approved() {
    for from in SagaKind::ALL {
        for to in SagaKind::ALL {
            let mut plan = plan(from);
            plan.saga = to;
            let approved = Approved::new(plan).is_ok();
            assert_eq!(approved, from == to, "{from:?} as {to:?}");
        }
    }
}

/// What each saga may do to its target, from its prose.
const fn may(saga: SagaKind, effect: EffectKind) -> bool {
    use EffectKind::{
        ApplyPolicy, ApplyPosture, Delete, DeleteSnapshot, Restore, Snapshot, Start, StopCompute,
    };
    match saga {
        // Whatever recreates, and the one that stops what the gateway has lost.
        SagaKind::StaleRecovery => !matches!(effect, Start | DeleteSnapshot),
        SagaKind::Rebuild => !matches!(effect, Start | DeleteSnapshot | StopCompute),
        SagaKind::Revive => matches!(effect, Start | ApplyPolicy | ApplyPosture),
        SagaKind::Destroy => matches!(effect, Delete),
        // It thins out what no rule keeps.
        SagaKind::Snapshot => matches!(effect, Snapshot | DeleteSnapshot),
        SagaKind::Restore => {
            matches!(effect, Snapshot | Restore | ApplyPolicy | ApplyPosture)
        }
        SagaKind::Copy => matches!(effect, Snapshot),
        SagaKind::Prune => matches!(effect, DeleteSnapshot),
    }
}

#[test]
fn a_permit_is_for_one_effect_of_that_saga_on_that_sandbox() {
    let recovery = RecoveryName::from("recoveries/r1");
    for saga in SagaKind::ALL {
        let plan = plan(saga);
        let approved = Approved::new(plan.clone()).unwrap();
        for effect in EFFECTS {
            let permit = approved.permit(&recovery, Fence(7), effect);
            assert_eq!(permit.is_some(), may(saga, effect), "{saga:?} {effect:?}");
            let Some(permit) = permit else { continue };
            assert_eq!(permit.effect(), effect);
            assert_eq!(permit.fence(), Fence(7));
            assert_eq!(permit.recovery(), &recovery);
            assert_eq!(permit.plan(), &plan.digest);
            assert_eq!(permit.target(), &plan.target);
        }
    }
}

/// A copy and nothing else is made, filled and taken away; the target's own permits never reach it, nor its the target.
#[test]
fn a_permit_on_a_copy_is_for_the_copy_that_the_plan_names() {
    let recovery = RecoveryName::from("recoveries/r1");
    for saga in SagaKind::ALL {
        let mut plan = plan(saga);
        let copy = CopyTo { sandbox: "coder-copy".parse().unwrap(), keep: true };
        plan.inputs.asked.copy = Some(copy);
        let approved = Approved::new(plan.clone()).unwrap();
        for effect in EFFECTS {
            let permit = approved.permit_on_copy(&recovery, Fence(7), effect);
            let made = matches!(
                effect,
                EffectKind::Create
                    | EffectKind::Delete
                    | EffectKind::Restore
                    | EffectKind::ApplyPolicy
                    | EffectKind::ApplyPosture
            );
            assert_eq!(permit.is_some(), saga == SagaKind::Copy && made, "{saga:?} {effect:?}");
            let Some(permit) = permit else { continue };
            let name = "gateways/lab/workspaces/default/sandboxes/coder-copy";
            assert_eq!(permit.target().to_string(), name);
            assert_ne!(permit.target(), &plan.target);
            assert_eq!((permit.effect(), permit.fence()), (effect, Fence(7)));
            assert_eq!((permit.recovery(), permit.plan()), (&recovery, &plan.digest));
        }
        plan.inputs.asked.copy = None;
        let approved = Approved::new(plan).unwrap();
        for effect in EFFECTS {
            assert!(approved.permit_on_copy(&recovery, Fence(7), effect).is_none());
        }
    }
}
