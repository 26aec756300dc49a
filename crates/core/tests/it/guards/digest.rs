//! A plan's digest: it covers what an execution uses and nothing else, and acceptance of losses is bound to it.

use proptest::prelude::*;
use salvor_core::{
    Denial, Evidence, Limits, Planned, Request, SagaKind, Timestamp,
    evidence::{Channel, CopyTo, Live, Phase, Posture, RestoreMode, Retention},
    id::PlanDigest,
    plan::{Inputs, Loss, plan},
};

use super::{
    generate,
    good::{
        SNAPSHOT, ago, gateway_of, good, hold, leave, present, present_of, record_of, see,
        snapshot_of,
    },
};

fn digest(evidence: &Evidence) -> PlanDigest {
    of(SagaKind::Destroy, evidence)
}

fn of(saga: SagaKind, evidence: &Evidence) -> PlanDigest {
    Inputs::of(saga, evidence).digest(saga, &evidence.target)
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
    let other_saga =
        Inputs::of(SagaKind::Destroy, &before).digest(SagaKind::Rebuild, &before.target);
    assert!(!digests.contains(&other_saga), "the saga is not covered");
    assert!(digests.iter().all(|d| d.0.len() == 64 && d.0.bytes().all(|b| b.is_ascii_hexdigit())));
}

/// What bears on the workspace, changed one at a time.
fn workspace_changes() -> Vec<Change> {
    vec![
        ("snapshot", |e| snapshot_of(e).name = "gateways/lab/snapshots/0e0e".into()),
        ("when it was read", |e| snapshot_of(e).begun = ago(1)),
        ("how much is in it", |e| snapshot_of(e).files += 1),
        ("whose it is", |e| {
            snapshot_of(e).of = "gateways/lab/workspaces/default/sandboxes/other".parse().unwrap();
        }),
        ("of which incarnation", |e| snapshot_of(e).live_id = "sb-before".into()),
        ("no snapshot", |e| hold(e, None)),
        ("rules", |e| record_of(e).snapshot_rules = Some("0a1f".into())),
        ("roots", |e| record_of(e).snapshot_roots.push("/data".into())),
        ("asked snapshot", |e| e.asked.snapshot = Some(SNAPSHOT.into())),
        ("other sandbox's", |e| e.asked.other_sandbox = true),
        ("mode", |e| e.asked.mode = RestoreMode::SkipExisting),
        ("paths", |e| e.asked.paths.push("/sandbox/db".into())),
        ("asked roots", |e| e.asked.roots.push("/sandbox/src".into())),
        ("channel", |e| e.asked.channel = Some(Channel::Exec)),
        ("full", |e| e.asked.full = true),
        ("copy", |e| {
            e.asked.copy = Some(CopyTo { sandbox: "drill".parse().unwrap(), keep: false });
        }),
        ("kept copy", |e| {
            e.asked.copy = Some(CopyTo { sandbox: "drill".parse().unwrap(), keep: true });
        }),
        ("retention", |e| e.asked.retention = Some(Retention { last: 1, ..Retention::default() })),
        ("reclaim", |e| e.asked.reclaim = true),
        ("start tried", |e| e.asked.start_tried = true),
        ("container", |e| leave(e, false)),
    ]
}

#[test]
fn a_change_of_what_is_put_back_is_another_plan() {
    for saga in [SagaKind::StaleRecovery, SagaKind::Rebuild] {
        let before = good(saga);
        let mut digests = vec![of(saga, &before)];
        for (what, change) in workspace_changes() {
            let mut after = before.clone();
            change(&mut after);
            let digest = of(saga, &after);
            assert!(!digests.contains(&digest), "{what} is not covered in {}", saga.as_str());
            digests.push(digest);
        }
    }
    // Whether a container that is left runs is a matter of how it is stopped; whose it is, of what is stopped.
    let mut stopped = good(SagaKind::StaleRecovery);
    leave(&mut stopped, false);
    let mut running = stopped.clone();
    leave(&mut running, true);
    assert_ne!(of(SagaKind::StaleRecovery, &stopped), of(SagaKind::StaleRecovery, &running));
}

/// What a failed sandbox would lose was accepted for the plan in which nothing holds it, and for no other.
#[test]
fn a_rebuild_may_lose_only_what_was_accepted() {
    let allowed = |evidence: &Evidence| match plan(&Limits::default(), Request::Rebuild, evidence) {
        Planned::Plan(plan) => (plan.allowed(), plan.losses()),
        Planned::NothingToDo => panic!("a rebuild was asked for"),
    };
    let mut evidence = good(SagaKind::Rebuild);
    hold(&mut evidence, None);
    let all = with_the_rest(vec![Loss::Workspace("/sandbox".into())]);
    assert_eq!(allowed(&evidence), (false, all.clone()));
    super::good::accept(SagaKind::Rebuild, &mut evidence);
    assert_eq!(allowed(&evidence), (true, all));
    record_of(&mut evidence).posture = Posture::Unlocked;
    assert!(!allowed(&evidence).0, "another plan");

    let read = with_the_rest(vec![Loss::WhileDeleting]);
    let mut live = good(SagaKind::Rebuild);
    see(&mut live, present(Phase::Ready, false));
    assert_eq!(allowed(&live), (true, read.clone()), "it is read first");
    let mut container = good(SagaKind::Rebuild);
    hold(&mut container, None);
    leave(&mut container, false);
    assert_eq!(allowed(&container), (true, read), "its container is read first");
}

/// The roots of a recovery are the record's; only a snapshot may be asked to cover others.
#[test]
fn only_a_snapshot_covers_what_it_is_asked_to() {
    for saga in SagaKind::ALL {
        let mut evidence = good(saga);
        evidence.asked.roots = vec!["/sandbox/src".into()];
        let expected = if saga == SagaKind::Snapshot { "/sandbox/src" } else { "/sandbox" };
        assert_eq!(Inputs::of(saga, &evidence).roots, vec![expected.into()], "{saga:?}");
    }
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

/// What goes with every sandbox that is taken away, whatever is saved of it.
fn with_the_rest(files: Vec<Loss>) -> Vec<Loss> {
    let rest = [Loss::OutsideRoots(vec!["/sandbox".into()]), Loss::LeftOutByRule, Loss::Processes];
    files.into_iter().chain(rest).collect()
}

/// One for each root that nothing holds, and one for what the record's own patterns leave out.
#[test]
fn losses_are_named_one_by_one() {
    let mut evidence = good(SagaKind::Rebuild);
    hold(&mut evidence, None);
    record_of(&mut evidence).snapshot_roots = vec!["/sandbox".into(), "/data".into()];
    record_of(&mut evidence).snapshot_excludes = vec!["*.tmp".to_owned(), "cache/".to_owned()];
    let inputs = Inputs::of(SagaKind::Rebuild, &evidence);
    assert!(inputs.loses_workspace());
    let said: Vec<String> = inputs.losses().iter().map(ToString::to_string).collect();
    let [sandbox, data, outside, excluded, by_rule, processes] = &said[..] else {
        panic!("{said:?}");
    };
    assert!(sandbox.contains("below /sandbox:") && data.contains("below /data:"), "{said:?}");
    assert!(outside.contains("not below /sandbox, /data"), "{said:?}");
    assert!(excluded.ends_with("*.tmp, cache/") && by_rule.contains("credentials"), "{said:?}");
    assert!(processes.contains("processes"), "{said:?}");

    let before = of(SagaKind::Rebuild, &evidence);
    record_of(&mut evidence).snapshot_excludes.pop();
    assert_ne!(of(SagaKind::Rebuild, &evidence), before, "what is left out is another plan's");
}

#[test]
fn a_destroy_lists_what_it_loses_and_a_recreate_loses_nothing() {
    let since = Loss::SinceSnapshot { name: SNAPSHOT.into() };
    let all = Loss::Workspace("/sandbox".into());
    for (request, saga, losses) in [
        (Request::Destroy, SagaKind::Destroy, with_the_rest(vec![all])),
        (Request::Rebuild, SagaKind::Rebuild, with_the_rest(vec![since])),
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
    super::good::accept(SagaKind::Destroy, &mut evidence);
    let Planned::Plan(plan) = plan(&Limits::default(), Request::Destroy, &evidence) else {
        panic!("a destroy always has a plan");
    };
    assert!(!plan.allowed());
}
