//! Verdict and path, case by case and whole.

use salvor_core::{
    Evidence, Fact, Limits, Path, Request, SagaKind, Verdict, Why,
    evidence::{Live, Phase, RecordState},
    path::{choose, verdict},
    plan::Inputs,
};

use super::good::{ago, gateway_of, good, present, present_of, record_of, see};

const VERDICTS: [Verdict; 9] = [
    Verdict::Live,
    Verdict::Revivable,
    Verdict::Lost,
    Verdict::Hold,
    Verdict::Failed,
    Verdict::Foreign,
    Verdict::Unknown,
    Verdict::Destroyed,
    Verdict::Recovering,
];

fn judged(evidence: &Evidence) -> Verdict {
    verdict(&Limits::default(), evidence)
}

/// The table of the design, row by verdict: auto, revive, rebuild. All else is what it is called.
const fn paths(verdict: Verdict) -> [Path; 3] {
    use SagaKind::{Rebuild, Revive, StaleRecovery};
    let revive = Path::Run(Revive);
    let stale = Path::Run(StaleRecovery);
    let rebuild = Path::Run(Rebuild);
    match verdict {
        Verdict::Live => [Path::Nothing, revive, rebuild],
        Verdict::Revivable => [revive, revive, rebuild],
        Verdict::Failed => [rebuild, revive, rebuild],
        // All but a loss are refused: the table of a recreate says why.
        Verdict::Lost
        | Verdict::Hold
        | Verdict::Foreign
        | Verdict::Unknown
        | Verdict::Destroyed
        | Verdict::Recovering => [stale, revive, stale],
    }
}

#[test]
fn each_request_has_one_path_for_each_verdict() {
    for verdict in VERDICTS {
        let [auto, revive, rebuild] = paths(verdict);
        assert_eq!(choose(Request::Auto, verdict), auto, "{verdict:?}");
        assert_eq!(choose(Request::Revive, verdict), revive, "{verdict:?}");
        assert_eq!(choose(Request::Rebuild, verdict), rebuild, "{verdict:?}");
        for (request, saga) in [
            (Request::Destroy, SagaKind::Destroy),
            (Request::Snapshot, SagaKind::Snapshot),
            (Request::Restore, SagaKind::Restore),
            (Request::Copy, SagaKind::Copy),
            (Request::Prune, SagaKind::Prune),
        ] {
            assert_eq!(choose(request, verdict), Path::Run(saga), "{verdict:?}");
        }
    }
}

/// A verdict of a present sandbox: the record's state first, then whose it is, then its phase.
fn expected(state: RecordState, ours: bool, phase: Phase, startable: bool) -> Verdict {
    match state {
        RecordState::Destroyed => return Verdict::Destroyed,
        RecordState::Recovering | RecordState::Destroying => return Verdict::Recovering,
        RecordState::Active => {}
    }
    if !ours {
        return Verdict::Foreign;
    }
    match (phase, startable) {
        (Phase::Ready, _) => Verdict::Live,
        (Phase::Stopped | Phase::Error | Phase::Completed, true) => Verdict::Revivable,
        (Phase::Stopped | Phase::Error | Phase::Completed, false) => Verdict::Failed,
        (
            Phase::Provisioning
            | Phase::Deleting
            | Phase::Unknown
            | Phase::Stopping
            | Phase::Starting,
            _,
        ) => Verdict::Hold,
    }
}

const STATES: [RecordState; 4] =
    [RecordState::Active, RecordState::Recovering, RecordState::Destroying, RecordState::Destroyed];

#[test]
fn the_verdict_of_every_present_sandbox() {
    for state in STATES {
        for ours in [true, false] {
            for phase in Phase::ALL {
                for startable in [true, false] {
                    let mut evidence = good(SagaKind::Revive);
                    record_of(&mut evidence).state = state;
                    see(&mut evidence, present(phase, startable));
                    if !ours {
                        present_of(&mut evidence).live_id = "sb-other".into();
                    }
                    let expected = expected(state, ours, phase, startable);
                    assert_eq!(judged(&evidence), expected, "{state:?} {ours} {phase:?}");
                }
            }
        }
    }
}

#[test]
fn an_absence_is_a_loss_only_when_both_windows_are_over() {
    for (absent_ms, healthy_ms, expected) in [
        (5_000, 5_000, Verdict::Lost),
        (4_999, 5_000, Verdict::Hold),
        (5_000, 4_999, Verdict::Hold),
        (0, 0, Verdict::Hold),
    ] {
        let mut evidence = good(SagaKind::StaleRecovery);
        see(&mut evidence, Live::Absent { since: ago(absent_ms) });
        gateway_of(&mut evidence).healthy_since = ago(healthy_ms);
        assert_eq!(judged(&evidence), expected, "{absent_ms} {healthy_ms}");
    }
}

#[test]
fn what_another_gateway_says_is_no_verdict() {
    for saga in SagaKind::ALL {
        let mut evidence = good(saga);
        gateway_of(&mut evidence).identity.store_id = Some("another".to_owned());
        assert_eq!(judged(&evidence), Verdict::Unknown);
    }
}

#[test]
fn nothing_unknown_or_old_has_a_verdict() {
    for saga in SagaKind::ALL {
        for why in Why::ALL {
            let mut record = good(saga);
            record.record = Fact::unknown(why, "test");
            let mut gateway = good(saga);
            gateway.gateway = Fact::unknown(why, "test");
            let mut live = good(saga);
            live.live = Fact::unknown(why, "test");
            for evidence in [record, gateway, live] {
                assert_eq!(judged(&evidence), Verdict::Unknown);
            }
        }
        let mut later = good(saga);
        later.now.0 += 60_000;
        assert_eq!(judged(&later), Verdict::Unknown);
    }
}

/// A look from an hour ago at a live sandbox is no reason to say that there is nothing to do.
#[test]
fn an_old_look_does_not_end_the_matter() {
    let mut evidence = good(SagaKind::Destroy);
    let Fact::Known { at, .. } = &mut evidence.live else { unreachable!() };
    *at = ago(3_600_000);
    let path = choose(Request::Auto, judged(&evidence));
    assert_eq!(path, Path::Run(SagaKind::StaleRecovery));
}

/// Scenario class 5: whatever can be classified, some request is allowed, now or after a wait.
#[test]
fn every_classified_state_has_a_way_on() {
    use super::good::accept;
    use salvor_core::{Decision, check::evaluate, guards};

    for phase in Phase::ALL {
        for startable in [true, false] {
            let mut evidence = good(SagaKind::Destroy);
            see(&mut evidence, present(phase, startable));
            accept(SagaKind::Destroy, &mut evidence);
            let table = guards::table(SagaKind::Destroy);
            let decisions = evaluate(table, &Limits::default(), &evidence);
            assert!(decisions.iter().all(Decision::allows), "{phase:?}: {decisions:?}");
        }
    }
}

/// Without a repository nothing can be saved, so a live sandbox is not read for a rebuild, and would lose its workspace.
#[test]
fn a_rebuild_without_a_repository_saves_nothing() {
    let mut evidence = good(SagaKind::Rebuild);
    see(&mut evidence, present(Phase::Ready, false));
    evidence.snapshot = Fact::known(None, ago(60));
    assert!(!Inputs::of(SagaKind::Rebuild, &evidence).loses_workspace());
    evidence.repository = false;
    assert!(Inputs::of(SagaKind::Rebuild, &evidence).loses_workspace());
}
