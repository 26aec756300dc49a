//! A plan's digest: it covers what an execution uses and nothing else, and acceptance of losses is bound to it.

use proptest::prelude::*;
use salvor_core::{
    Denial, Evidence, Limits, Planned, Request, SagaKind, Timestamp,
    evidence::{Live, Phase, Posture},
    id::PlanDigest,
    plan::{Inputs, Loss, plan},
};

use super::{
    generate,
    good::{ago, gateway_of, good, present, present_of, record_of, see},
};

fn digest(evidence: &Evidence) -> PlanDigest {
    Inputs::of(evidence).digest(SagaKind::Destroy, &evidence.target)
}

fn refuses_loss(evidence: &Evidence) -> bool {
    let Planned::Plan(plan) = plan(&Limits::default(), Request::Destroy, evidence) else {
        panic!("a destroy always has a plan");
    };
    plan.decisions.iter().any(|d| d.denial == Some(Denial::DataLossNotAccepted))
}

type Change = (&'static str, fn(&mut Evidence));

/// Everything that an execution uses, changed one at a time.
fn changes() -> Vec<Change> {
    vec![
        ("target", |e| {
            e.target = "gateways/lab/workspaces/default/sandboxes/coder2".parse().unwrap();
        }),
        ("present", |e| see(e, Live::Absent { since: ago(60_000) })),
        ("live_id", |e| record_of(e).live_id = Some("sb-recorded-2".into())),
        ("no live_id", |e| record_of(e).live_id = None),
        ("identity", |e| record_of(e).identity.issuer = None),
        ("spec bytes", |e| record_of(e).spec.as_mut().unwrap().sha256 = "5bed".into()),
        ("spec providers", |e| {
            record_of(e).spec.as_mut().unwrap().summary.providers.pop();
        }),
        ("no spec", |e| record_of(e).spec = None),
        ("policy bytes", |e| record_of(e).policy.as_mut().unwrap().sha256 = "b012".into()),
        ("policy rule", |e| {
            let rules = &mut record_of(e).policy.as_mut().unwrap().rules;
            rules.insert("github".into(), "ab".into());
        }),
        ("removed rule", |e| record_of(e).policy.as_mut().unwrap().removed.clear()),
        ("no policy", |e| record_of(e).policy = None),
        ("posture", |e| record_of(e).posture = Posture::Unlocked),
        ("no posture", |e| record_of(e).posture = Posture::NotRecorded),
        ("readiness", |e| record_of(e).readiness = None),
        ("labels", |e| record_of(e).labels.clear()),
        ("annotations", |e| record_of(e).annotations.clear()),
        ("roots", |e| record_of(e).snapshot_roots.push("/data".into())),
    ]
}

#[test]
fn a_change_of_anything_used_is_another_plan() {
    let before = good(SagaKind::Destroy);
    let mut digests = vec![digest(&before)];
    for (what, change) in changes() {
        let mut after = before.clone();
        change(&mut after);
        let digest = digest(&after);
        assert!(!digests.contains(&digest), "{what} is not covered");
        digests.push(digest);
    }
    let other_saga = Inputs::of(&before).digest(SagaKind::Rebuild, &before.target);
    assert!(!digests.contains(&other_saga), "the saga is not covered");
    assert!(digests.iter().all(|d| d.0.len() == 64 && d.0.bytes().all(|b| b.is_ascii_hexdigit())));
}

/// What was accepted for one plan is not accepted for the plan that the change makes of it.
#[test]
fn acceptance_does_not_outlive_a_change() {
    let before = good(SagaKind::Destroy);
    assert!(!refuses_loss(&before));
    for (what, change) in changes() {
        let mut after = before.clone();
        change(&mut after);
        let nothing_to_lose = matches!(after.live.shown(), Some(Live::Absent { .. }));
        assert_eq!(refuses_loss(&after), !nothing_to_lose, "{what}");
    }
}

#[test]
fn a_destroy_lists_what_it_loses_and_a_recreate_loses_nothing() {
    for (request, saga, losses) in [
        (Request::Destroy, SagaKind::Destroy, vec![Loss::Workspace, Loss::Processes]),
        (Request::Rebuild, SagaKind::Rebuild, vec![Loss::Workspace, Loss::Processes]),
        (Request::Auto, SagaKind::StaleRecovery, vec![]),
        (Request::Revive, SagaKind::Revive, vec![]),
    ] {
        let Planned::Plan(plan) = plan(&Limits::default(), request, &good(saga)) else {
            panic!("there is something to do");
        };
        assert_eq!((plan.saga, plan.losses()), (saga, losses));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Neither time, nor ages, nor verdicts, nor what was accepted before, nor what the record's version is.
    #[test]
    fn the_digest_is_of_the_inputs_alone(
        evidence in generate::evidence(SagaKind::Destroy),
        later in 0..10_000_000_u64,
        healthy_since in 0..10_000_000_u64,
        accepted in proptest::option::of("[a-z0-9]{1,8}"),
        phase in proptest::sample::select(Phase::ALL.to_vec()),
    ) {
        let before = digest(&evidence);
        let mut after = evidence.clone();
        after.now.0 += later;
        after.accepted_loss = accepted.map(PlanDigest);
        if after.gateway.shown().is_some() {
            gateway_of(&mut after).healthy_since = Timestamp(healthy_since);
        }
        if matches!(after.live.shown(), Some(Live::Present(_))) {
            present_of(&mut after).phase = phase;
            present_of(&mut after).instance = None;
        }
        if after.record.shown().is_some() {
            record_of(&mut after).etag = "8-cd".into();
        }
        prop_assert_eq!(before, digest(&after));
    }

    /// Only the very digest is accepted: no prefix, no other case, no longer text.
    #[test]
    fn only_the_exact_digest_is_accepted(at in 0..64_usize, how in 0..4_u8) {
        let mut evidence = good(SagaKind::Destroy);
        let exact = digest(&evidence).0;
        let wrong = match how {
            0 => exact[..at].to_owned(),
            1 => format!("{exact}{}", &exact[at..=at]),
            2 => {
                let (head, tail) = exact.split_at(at);
                let flipped = if tail.starts_with('0') { '1' } else { '0' };
                format!("{head}{flipped}{}", &tail[1..])
            }
            _ => exact.to_ascii_uppercase(),
        };
        prop_assume!(wrong != exact);
        evidence.accepted_loss = Some(PlanDigest(wrong));
        prop_assert!(refuses_loss(&evidence));
        evidence.accepted_loss = Some(PlanDigest(exact));
        prop_assert!(!refuses_loss(&evidence));
    }
}

/// Another present sandbox under the name is no input of the plan: the identity guard refuses it instead.
#[test]
fn a_stranger_is_refused_whatever_was_accepted() {
    let mut evidence = good(SagaKind::Destroy);
    see(&mut evidence, present(Phase::Ready, false));
    present_of(&mut evidence).live_id = "sb-other".into();
    super::good::accept(&mut evidence);
    let Planned::Plan(plan) = plan(&Limits::default(), Request::Destroy, &evidence) else {
        panic!("a destroy always has a plan");
    };
    assert!(!plan.allowed());
}
