//! Approval and permits: nothing short of the whole table, allowed, leads to one.

use std::borrow::Cow;

use salvor_core::{
    Approved, Decision, Denial, EffectKind, GuardId, Limits, Plan, SagaKind, Verdict,
    check::evaluate,
    guards,
    id::{Fence, RecoveryName},
    permit::NotApproved,
    plan::{Inputs, SAGA_VERSION},
};

use super::good::good;

const EFFECTS: [EffectKind; 5] = [
    EffectKind::Create,
    EffectKind::Delete,
    EffectKind::Start,
    EffectKind::ApplyPolicy,
    EffectKind::ApplyPosture,
];

const APPROVABLE: [SagaKind; 3] = [SagaKind::StaleRecovery, SagaKind::Revive, SagaKind::Destroy];

fn plan(saga: SagaKind) -> Plan {
    let evidence = good(saga);
    let inputs = Inputs::of(&evidence);
    Plan {
        saga_version: SAGA_VERSION,
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
    for saga in APPROVABLE {
        let approved = Approved::new(plan(saga)).unwrap();
        assert_eq!(approved.plan(), &plan(saga));
    }
}

#[test]
fn a_plan_with_any_decision_missing_is_not() {
    for saga in APPROVABLE {
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
    for saga in APPROVABLE {
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
    for saga in APPROVABLE {
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
    for saga in APPROVABLE {
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
            assert_eq!(approved, from == to && from != SagaKind::Rebuild, "{from:?} as {to:?}");
        }
    }
}

/// No evidence pleases a rebuild's table in this version, so nothing can be approved as one.
#[test]
fn a_rebuild_is_never_approved() {
    let expected = NotApproved::Refused("workspace_is_saved".to_owned());
    assert_eq!(Approved::new(plan(SagaKind::Rebuild)).unwrap_err(), expected);
}

/// What each saga may do, from its prose: only a destroy and a stale recovery delete, only a stale recovery creates.
const fn may(saga: SagaKind, effect: EffectKind) -> bool {
    match (saga, effect) {
        (SagaKind::StaleRecovery, EffectKind::Start)
        | (SagaKind::Revive, EffectKind::Create | EffectKind::Delete)
        | (SagaKind::Rebuild, _) => false,
        (SagaKind::Destroy, effect) => matches!(effect, EffectKind::Delete),
        (SagaKind::StaleRecovery | SagaKind::Revive, _) => true,
    }
}

#[test]
fn a_permit_is_for_one_effect_of_that_saga_on_that_sandbox() {
    let recovery = RecoveryName::from("recoveries/r1");
    for saga in APPROVABLE {
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
