use salvor_proto::error::Violation;
use salvor_proto::gateway::v1 as gateway;
use salvor_proto::recovery::v1 as recovery;
use salvor_proto::registry::v1 as registry;
use salvor_proto::time::timestamp;

use super::*;
use crate::exit::Exit;

const NOW: u64 = 1_000_000_000;
const NAME: &str = "gateways/lab/workspaces/default/sandboxes/coder";

fn look() -> Look {
    Look::plain(NOW)
}

fn ago(seconds: u64) -> prost_types::Timestamp {
    timestamp(NOW - seconds * 1000)
}

fn record() -> registry::Sandbox {
    let summary = registry::SpecSummary { image: "img:1".into(), ..Default::default() };
    registry::Sandbox {
        name: NAME.into(),
        state: registry::sandbox::State::Active.into(),
        live_id: "id-1".into(),
        is_default: true,
        create_time: Some(ago(300)),
        update_time: Some(ago(40)),
        agents: vec![registry::Agent { kind: "claude-code".into(), version: "2.1".into() }],
        spec: Some(registry::Spec { summary: Some(summary), ..Default::default() }),
        policy: Some(registry::Policy {
            policy_hash: "0123456789abcdef".into(),
            ..Default::default()
        }),
        posture: Some(registry::Posture {
            mode: registry::posture::Mode::Locked.into(),
            proof: registry::posture::Proof::Pending.into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn decisions() -> Vec<recovery::Decision> {
    let fact = recovery::Fact {
        name: "live_view".into(),
        value: "absent, seen for 1s".into(),
        age: Some(prost_types::Duration { seconds: 0, nanos: 4_000_000 }),
        ..Default::default()
    };
    vec![
        recovery::Decision {
            guard: "sandbox_is_absent".into(),
            claim: "the owner gateway says that it does not exist".into(),
            result: recovery::decision::Result::Allow.into(),
            evidence: vec![fact.clone()],
            ..Default::default()
        },
        recovery::Decision {
            guard: "absence_has_settled".into(),
            result: recovery::decision::Result::Refuse.into(),
            reason: "ABSENCE_TOO_RECENT".into(),
            message: "absence was seen for 1s; 5s are needed".into(),
            evidence: vec![fact],
            ..Default::default()
        },
    ]
}

#[test]
fn a_lost_sandbox_shows_record_owner_live_view_verdict_and_next_step() {
    let healthy = gateway::gateway_view::Healthy {
        version: "0.0.116".into(),
        dialect: registry::Dialect::V00.into(),
        healthy_since: Some(ago(3_600)),
        round_trip: Some(prost_types::Duration { seconds: 0, nanos: 3_000_000 }),
        ..Default::default()
    };
    let status = recovery::SandboxStatus {
        record: Some(record()),
        gateway: Some(gateway::GatewayView {
            gateway: "gateways/lab".into(),
            state: Some(gateway::gateway_view::State::Healthy(healthy)),
            ..Default::default()
        }),
        live: Some(gateway::LiveView {
            view: Some(gateway::live_view::View::Absent(gateway::Absent { since: Some(ago(7)) })),
            observe_time: Some(ago(0)),
        }),
        verdict: recovery::Verdict::Lost.into(),
        explanation: "gateways/lab says that the sandbox does not exist".into(),
        next_step: format!("salvor recover {NAME}"),
        open_recovery: String::new(),
        data_at_risk: None,
    };
    let expected = "\
sandbox    gateways/lab/workspaces/default/sandboxes/coder
record     ACTIVE, img:1, policy 0123456789ab, locked, pending, default, live id id-1, changed 40s ago
owner      lab, healthy, version 0.0.116 (wire 0.0), for 60m, answered in 3ms
live       absent, at every look for 7.0s
verdict    LOST
because    gateways/lab says that the sandbox does not exist
next: salvor recover gateways/lab/workspaces/default/sandboxes/coder
";
    assert_eq!(status::status(&status, look()), expected);
}

#[test]
fn what_is_unknown_is_never_shown_as_lost() {
    let unknown = gateway::Unknown {
        reason: gateway::UnknownReason::Unauthenticated.into(),
        detail: "GetSandbox: token expired".into(),
    };
    let live = gateway::LiveView {
        view: Some(gateway::live_view::View::Unknown(unknown)),
        observe_time: Some(ago(0)),
    };
    let text = status::live(Some(&live), look());
    assert_eq!(text, "unknown, UNAUTHENTICATED: GetSandbox: token expired");
    assert_eq!(status::live(None, look()), "not asked");
}

#[test]
fn decisions_line_up_and_refusals_give_their_reason() {
    let expected = "  ✓ sandbox_is_absent    the owner gateway says that it does not exist
  ✗ absence_has_settled  ABSENCE_TOO_RECENT: absence was seen for 1s; 5s are needed
";
    assert_eq!(decision::lines(&decisions(), look()), expected);
    let expected = format!("{expected}      live_view: absent, seen for 1s (4ms old)\n");
    assert_eq!(decision::lines_with_evidence(&decisions(), look()), expected);
    assert_eq!(
        decision::evidence(&decisions(), look()),
        "  live_view: absent, seen for 1s (4ms old)\n",
        "a fact that two guards looked at is shown once"
    );
}

#[test]
fn a_refused_plan_shows_every_reason_and_loss() {
    let plan = recovery::Plan {
        sandbox: NAME.into(),
        digest: "d1".into(),
        saga: recovery::Saga::StaleRecovery.into(),
        verdict: recovery::Verdict::Hold.into(),
        decisions: decisions(),
        steps: vec!["create".into()],
        losses: vec!["the files of the workspace".into()],
        next_step: "wait 4s".into(),
        ..Default::default()
    };
    let expected = "\
sandbox    gateways/lab/workspaces/default/sandboxes/coder
verdict    HOLD
path       stale_recovery
result     refused
digest     d1
decisions
  ✓ sandbox_is_absent    the owner gateway says that it does not exist
  ✗ absence_has_settled  ABSENCE_TOO_RECENT: absence was seen for 1s; 5s are needed
steps
  - create
losses
  - the files of the workspace
next: wait 4s
";
    assert_eq!(plan::plan(&plan, look()), expected);
}

#[test]
fn a_plan_says_where_the_content_comes_from() {
    let source = recovery::WorkspaceSource {
        kind: recovery::workspace_source::Kind::Snapshot.into(),
        snapshot: "gateways/lab/snapshots/ab".into(),
        snapshot_time: Some(ago(17 * 60)),
        covered: vec!["/sandbox".into(), "/data".into()],
        excluded: vec!["*.log".into()],
        at_risk: Some(prost_types::Duration { seconds: 17 * 60, nanos: 0 }),
    };
    let plan = recovery::Plan {
        sandbox: NAME.into(),
        saga: recovery::Saga::Rebuild.into(),
        verdict: recovery::Verdict::Live.into(),
        allowed: true,
        source: Some(source.clone()),
        ..Default::default()
    };
    let expected = "\
sandbox    gateways/lab/workspaces/default/sandboxes/coder
verdict    LIVE
path       rebuild
result     allowed
content    a snapshot that was taken before
snapshot   gateways/lab/snapshots/ab, read 17m ago
covered    /sandbox, /data
excluded   *.log
at risk    17m
";
    assert_eq!(plan::plan(&plan, look()), expected);
    let nowhere = recovery::WorkspaceSource {
        kind: recovery::workspace_source::Kind::None.into(),
        ..Default::default()
    };
    let text = plan::plan(&recovery::Plan { source: Some(nowhere), ..plan }, look());
    assert!(
        text.contains(
            "content    nowhere: it would come back without its files\nat risk    all of it"
        ),
        "{text}"
    );
}

#[test]
fn a_finished_recovery_names_its_snapshots_and_what_was_kept() {
    let result = recovery::RecoveryResult {
        snapshot_taken: "gateways/lab/snapshots/aa".into(),
        snapshot_restored: "gateways/lab/snapshots/bb".into(),
        snapshot_restored_time: Some(ago(180)),
        copy: "gateways/lab/workspaces/default/sandboxes/other".into(),
        kept_compute: vec!["c0ffee".into()],
        merged: vec![
            gateway::MergedConfig {
                path: "/a.json".into(),
                restored_keys: vec!["theme".into()],
                kept_keys: vec!["auth.token".into(), "session".into()],
                ..Default::default()
            },
            gateway::MergedConfig {
                path: "/b.toml".into(),
                unmerged: "the sandbox's file cannot be read".into(),
                ..Default::default()
            },
        ],
        ..Default::default()
    };
    let recovery = recovery::Recovery {
        state: recovery::recovery::State::Succeeded.into(),
        done: true,
        result: Some(result),
        ..Default::default()
    };
    let expected = "\
outcome    SUCCEEDED
taken      gateways/lab/snapshots/aa
copy       gateways/lab/workspaces/default/sandboxes/other
restored   gateways/lab/snapshots/bb, read 3m ago
merged     /a.json: 1 keys restored; not restored, the runtime's: auth.token, session
merged     /b.toml: left as it is: the sandbox's file cannot be read
kept       container c0ffee, stopped and not removed
";
    assert_eq!(super::recovery::end(&recovery, look()), expected);
}

#[test]
fn a_finished_recovery_shows_its_parts() {
    let part = |outcome: recovery::part::Outcome, message: &str| {
        Some(recovery::Part { outcome: outcome.into(), message: message.into() })
    };
    let recovery = recovery::Recovery {
        name: "recoveries/r1".into(),
        sandbox: NAME.into(),
        state: recovery::recovery::State::Degraded.into(),
        saga: recovery::Saga::StaleRecovery.into(),
        plan_digest: "d1".into(),
        done: true,
        trace_id: "abc".into(),
        steps: vec![recovery::StepRecord {
            step: "create".into(),
            attempt: 2,
            outcome: "created".into(),
            detail: "id-2".into(),
            time: Some(ago(1)),
        }],
        result: Some(recovery::RecoveryResult {
            live_id: "id-2".into(),
            data: part(recovery::part::Outcome::Lost, "no snapshot was recorded"),
            policy: part(recovery::part::Outcome::Proven, "as recorded"),
            posture: part(recovery::part::Outcome::Unspecified, ""),
            summary: "recreated".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let expected = "\
recovery   recoveries/r1
sandbox    gateways/lab/workspaces/default/sandboxes/coder
path       stale_recovery
plan       d1
steps
  • create                created (attempt 2)  id-2
outcome    DEGRADED
data       lost  no snapshot was recorded
policy     proven  as recorded
live id    id-2
summary    recreated
trace      abc
";
    assert_eq!(super::recovery::whole(&recovery, look()), expected);
}

#[test]
fn records_line_up_and_the_default_is_starred() {
    let other = registry::Sandbox {
        name: "gateways/l/workspaces/w/sandboxes/x".into(),
        state: registry::sandbox::State::Destroyed.into(),
        snapshot_status: Some(registry::SnapshotStatus {
            last_complete_time: Some(ago(17 * 60)),
            ..Default::default()
        }),
        ..Default::default()
    };
    let expected = "\
SANDBOX              STATE      POSTURE          AGENT            IMAGE  SNAPSHOT  AGE  CHANGED
lab/default/coder *  ACTIVE     locked, pending  claude-code@2.1  img:1  -         5m   40s
l/w/x                DESTROYED  -                -                -      17m       -    -
";
    assert_eq!(record::list(&[record(), other], look()), expected);
    let rules = registry::SnapshotRules { roots: vec!["/a".into()], ..Default::default() };
    let declared = registry::Sandbox { snapshot_rules: Some(rules), ..record() };
    assert!(record::list(&[declared], look()).contains("img:1  none"));
    assert!(record::list(&[], look()).contains("salvor adopt"));
}

#[test]
fn a_failure_names_guards_and_what_to_run() {
    let mut failure = Failure::new(Exit::Refused, "SANDBOX_PRESENT", "recovery of x was refused")
        .next("salvor connect x");
    failure.violations.push(Violation {
        guard: "sandbox_is_absent".into(),
        subject: "x".into(),
        description: "SANDBOX_PRESENT: it is there".into(),
    });
    let expected = "\
error: recovery of x was refused [SANDBOX_PRESENT]
  ✗ sandbox_is_absent  SANDBOX_PRESENT: it is there
next: salvor connect x
";
    assert_eq!(super::failure(&failure, look()), expected);
}

#[test]
fn text_from_elsewhere_cannot_steer_the_terminal() {
    let present = gateway::Present {
        phase: gateway::Phase::Error.into(),
        message: "\u{1b}[2Jgone\u{7}".into(),
        ..Default::default()
    };
    let live = gateway::LiveView {
        view: Some(gateway::live_view::View::Present(present)),
        observe_time: None,
    };
    let text = status::live(Some(&live), look());
    assert!(text.contains("gone") && !text.contains(char::is_control), "{text:?}");
}

#[test]
fn colour_is_there_only_when_asked_for() {
    let colored = Look { color: true, now: NOW };
    assert_eq!(colored.paint(Tone::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
    assert_eq!(look().paint(Tone::Bad, "x"), "x");
    assert!(record::list(&[record()], colored).contains('\u{1b}'));
    assert!(!record::list(&[record()], look()).contains('\u{1b}'));
}
