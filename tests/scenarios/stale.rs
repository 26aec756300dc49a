//! T01, T07: a sandbox that is provably gone comes back from its record, or the record stays as it was.

use salvor_devgateway::{Dialect, Effect, Fault};
use salvor_proto::{
    recovery::v1::{self as pb, part::Outcome, recovery::State},
    registry::v1 as registry,
};
use salvor_runtime::telemetry::test_exporter;
use salvor_testkit::{Fleet, Options, wait::PATIENCE};
use tonic::Code;

use crate::{
    given::{
        adopted, adopted_as, adoption, fleet_on, lab, lose, lost, lost_as, mutations, on, output,
        policy_in_force, recorded, steps, succeeded, verdict,
    },
    support::{AUTO, REBUILD, reason, seed},
};

/// The reporter's whole path: status, connect, recover, connect.
async fn status_connect_recover_connect(dialect: Dialect) {
    let fleet = fleet_on(dialect).await;
    let request = pb::AdoptSandboxRequest { claim_default: true, ..adoption("coder") };
    let (name, old_id) = lost_as(&fleet, "coder", request).await;
    let before = recorded(&fleet, &name).await;

    let status = verdict(&fleet, &name, pb::Verdict::Lost).await;
    assert_eq!(status.next_step, format!("salvor recover {name}"));
    let connect = || async {
        let request = pb::ConnectSandboxRequest { name: name.clone() };
        fleet.recovery.clone().connect_sandbox(request).await.unwrap().into_inner()
    };
    let told = connect().await;
    assert!(!told.live && told.command.is_empty() && told.live_id.is_empty(), "{told:#?}");
    assert!(told.guidance.contains(&format!("salvor recover {name}")), "{}", told.guidance);
    assert_eq!(mutations(&fleet), [""; 0], "reads have no effects");
    assert_eq!(recorded(&fleet, &name).await, before);

    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    let live_id = recovery.result.unwrap().live_id;
    assert_ne!(live_id, old_id);

    assert_eq!(fleet.status(&name).await.unwrap().verdict(), pb::Verdict::Live);
    let live = connect().await;
    assert!(live.live, "{live:#?}");
    assert_eq!(live.live_id, live_id);
    assert_eq!(live.gateway_endpoint, lab(&fleet).control.uri());
    assert!(lab(&fleet).control.live("coder"));
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    fleet.stop().await;
}

#[tokio::test]
async fn t01_status_connect_recover_ends_with_a_live_sandbox_on_0_0() {
    status_connect_recover_connect(Dialect::V0_0).await;
}

#[tokio::test]
async fn t01_status_connect_recover_ends_with_a_live_sandbox_on_0_1() {
    status_connect_recover_connect(Dialect::V0_1).await;
}

/// Everything that the record holds is on the new sandbox, and nothing else of the record changed.
async fn recreated_exactly_as_recorded(dialect: Dialect) {
    let fleet = fleet_on(dialect).await;
    let request = pb::AdoptSandboxRequest { claim_default: true, ..adoption("coder") };
    let (name, old_id) = adopted_as(&fleet, "coder", request).await;
    let before = recorded(&fleet, &name).await;
    let policy = policy_in_force(&fleet, "coder", &old_id).await;
    assert_eq!(policy.entries.len(), 2, "{policy:#?}");
    lose(&fleet, "coder").await;

    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    let live_id = recovery.result.clone().unwrap().live_id;
    let view = lab(&fleet).control.sandbox("coder").unwrap();
    assert_eq!(view.id, live_id);
    assert_eq!(view.labels, seed().labels);
    let mut annotations = view.annotations.clone();
    annotations.retain(|key, _| !key.starts_with("salvor.dev/"));
    assert_eq!(annotations, seed().annotations);
    let again = policy_in_force(&fleet, "coder", &live_id).await;
    assert_eq!((&again.policy_hash, &again.entries), (&policy.policy_hash, &policy.entries));
    let token = output(&fleet, "coder", &live_id, &["printenv", "AGENT_TOKEN"]).await;
    assert_eq!(token.trim(), "s3cret-value");

    let stamped = |value: &str| view.annotations.values().any(|held| held == value);
    assert!(stamped(&recovery.name) && stamped(&recovery.plan_digest), "{:?}", view.annotations);
    let create = lab(&fleet).control.mutating_calls()[0].create.clone().unwrap();
    assert_eq!(!create.request_id.is_empty(), dialect == Dialect::V0_1);

    let mut after = recorded(&fleet, &name).await;
    assert!(after.is_default);
    assert_eq!(after.live_id, live_id);
    after.live_id.clone_from(&before.live_id);
    assert_eq!(after, before, "only the live id is another");
    fleet.stop().await;
}

#[tokio::test]
async fn t01_everything_recorded_is_on_the_new_sandbox_on_0_0() {
    recreated_exactly_as_recorded(Dialect::V0_0).await;
}

#[tokio::test]
async fn t01_everything_recorded_is_on_the_new_sandbox_on_0_1() {
    recreated_exactly_as_recorded(Dialect::V0_1).await;
}

/// One refused try, looked for and found not to have been done, then one without an id.
#[tokio::test]
async fn t01_a_gateway_without_room_for_request_ids_gets_its_sandbox_back() {
    let fleet = fleet_on(Dialect::V0_1).await;
    let (name, _) = lost(&fleet, "coder").await;
    lab(&fleet).control.set_max_admissions(0);
    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["CreateSandbox", "CreateSandbox"]);
    lose(&fleet, "coder").await;
    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["CreateSandbox"], "it is remembered");
    assert!(lab(&fleet).control.live("coder"));
    fleet.stop().await;
}

#[tokio::test]
async fn t01_the_result_says_part_by_part_what_was_observed() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(recovery.saga(), pb::Saga::StaleRecovery);
    assert_eq!(
        steps(&recovery),
        [
            ("claim", "claimed"),
            ("create", "created"),
            ("await_ready", "ready"),
            ("prove_policy", "proven"),
            ("prove_posture", "not_applicable"),
            ("prove_readiness", "not_applicable"),
            ("commit", "committed"),
        ]
    );
    let result = recovery.result.unwrap();
    assert!(result.summary.contains("stale recovery"), "{}", result.summary);
    assert!(result.summary.contains("workspace not recovered"), "{}", result.summary);
    assert!(!result.summary.contains("no data lost"), "{}", result.summary);
    assert_eq!(result.data.unwrap().outcome(), Outcome::Lost);
    assert_eq!(result.config.unwrap().outcome(), Outcome::Proven);
    assert_eq!(result.policy.unwrap().outcome(), Outcome::Proven);
    assert_eq!(result.providers.unwrap().outcome(), Outcome::Proven);
    assert_eq!(result.posture.unwrap().outcome(), Outcome::Unspecified);
    assert!(!result.is_default, "nobody asked for the default pointer");
    fleet.stop().await;
}

#[tokio::test]
async fn t01_a_workspace_that_was_worth_keeping_is_missed() {
    let fleet = Fleet::lab().await.unwrap();
    let rules = registry::SnapshotRules { roots: vec!["/sandbox".into()], ..Default::default() };
    let request = pb::AdoptSandboxRequest { snapshot_rules: Some(rules), ..adoption("coder") };
    let (name, _) = lost_as(&fleet, "coder", request).await;
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Degraded, "{recovery:#?}");
    let data = recovery.result.unwrap().data.unwrap();
    assert_eq!(data.outcome(), Outcome::Lost);
    assert!(data.message.contains("roots"), "{}", data.message);
    fleet.stop().await;
}

#[tokio::test]
async fn t01_every_guard_of_the_path_is_kept_as_a_decision_of_the_recovery() {
    let _spans = test_exporter();
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    let guards = fleet.recovery.clone().list_guards(pb::ListGuardsRequest {}).await.unwrap();
    let guards = guards.into_inner().guards;
    let table: Vec<_> =
        guards.iter().filter(|g| g.saga() == pb::Saga::StaleRecovery).map(|g| &g.id).collect();
    assert!(table.len() >= 10, "{table:?}");
    let decisions = fleet.decisions(&recovery.name).await.unwrap();
    let decided: Vec<_> = decisions.iter().map(|decision| &decision.guard).collect();
    assert_eq!(decided, table);
    for decision in &decisions {
        assert_eq!(decision.result(), pb::decision::Result::Allow, "{decision:#?}");
        assert!(decision.name.starts_with(&recovery.name), "{decision:#?}");
        assert!(!decision.evidence.is_empty(), "{decision:#?}");
        assert!(!decision.span_id.is_empty(), "{decision:#?}");
    }
    assert_eq!(fleet.decisions(&name).await.unwrap(), decisions);
    assert_eq!(recovery.trace_id.len(), 32, "{recovery:#?}");
    assert_ne!(recovery.trace_id, "0".repeat(32));
    fleet.stop().await;
}

#[tokio::test]
async fn t01_a_live_sandbox_needs_nothing() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, id) = adopted(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let answer = fleet.ask(&name, AUTO).await.unwrap();
    assert!(answer.recovery.is_none(), "{answer:#?}");
    let refused = fleet.ask(&name, REBUILD).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "NO_COMPLETE_SNAPSHOT");
    assert_eq!(mutations(&fleet), [""; 0]);
    assert_eq!(lab(&fleet).control.sandbox("coder").unwrap().id, id);
    assert_eq!(recorded(&fleet, &name).await, before);
    fleet.stop().await;
}

/// The recovery goes back, the record says what it said, and a retry succeeds once create works.
async fn failed_create_is_undone(fault: Fault, attempts: usize) {
    let fleet = Fleet::lab().await.unwrap();
    let request = pb::AdoptSandboxRequest { claim_default: true, ..adoption("coder") };
    let (name, _) = lost_as(&fleet, "coder", request).await;
    let before = recorded(&fleet, &name).await;
    let control = lab(&fleet).control.clone();
    control.fault(fault);
    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(recovery.state(), State::RolledBack, "{recovery:#?}");
    assert!(recovery.done && recovery.result.is_none());
    let failure = recovery.failure.unwrap();
    assert_eq!(failure.reason, "EFFECT_REFUSED");
    assert!(failure.message.contains("as it was before"), "{}", failure.message);
    assert!(failure.next_step.contains(&format!("salvor recover {name}")), "{failure:#?}");
    assert_eq!(mutations(&fleet), vec!["CreateSandbox"; attempts]);
    let after = recorded(&fleet, &name).await;
    assert!(after.is_default);
    assert_eq!(after, before);
    assert_eq!(verdict(&fleet, &name, pb::Verdict::Lost).await.open_recovery, "");

    control.clear_faults();
    let retried = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(retried.state(), State::Succeeded, "{retried:#?}");
    assert!(retried.result.unwrap().is_default);
    assert!(control.live("coder"));
    assert_eq!(succeeded(&fleet, "CreateSandbox"), 1);
    fleet.stop().await;
}

#[tokio::test]
async fn t07_a_create_that_the_gateway_finds_invalid_is_not_repeated() {
    let fault = Fault::fail("CreateSandbox", Code::InvalidArgument, "template.image is no image");
    failed_create_is_undone(fault, 1).await;
}

#[tokio::test]
async fn t07_a_create_that_keeps_failing_inside_the_gateway_is_undone() {
    // INTERNAL may hide a create that took effect, so each attempt is looked for before the next.
    let fault = Fault::fail("CreateSandbox", Code::Internal, "create sandbox failed: no daemon");
    failed_create_is_undone(fault, 3).await;
}

#[tokio::test]
async fn t07_a_create_that_fails_once_is_asked_for_again() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let fault = Fault::fail("CreateSandbox", Code::Internal, "create sandbox failed").times(1);
    lab(&fleet).control.fault(fault);
    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["CreateSandbox", "CreateSandbox"]);
    assert_eq!(succeeded(&fleet, "CreateSandbox"), 1);
    fleet.stop().await;
}

/// As soon as the gateway has a sandbox of this name it fails, as with an image that cannot be pulled.
fn fails_when_created(fleet: &Fleet) -> tokio::task::JoinHandle<()> {
    let control = lab(fleet).control.clone();
    tokio::spawn(async move {
        assert!(control.wait("coder", |view| view.is_some(), PATIENCE).await.1);
        control.fail("coder", "ImagePullFailed", "the image could not be pulled").await.unwrap();
    })
}

/// Create answers OK and the sandbox fails afterwards.
async fn what_never_became_ready_is_taken_away(dialect: Dialect, on_delete: Option<Effect>) {
    // Slow enough that it fails before it would have been ready.
    let fleet = Fleet::start(Options { time_scale: 0.2, ..on(dialect) }).await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let control = lab(&fleet).control.clone();
    if let Some(effect) = on_delete {
        control.fault(Fault::on("DeleteSandbox", effect).times(1));
    }
    let fails = fails_when_created(&fleet);
    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    fails.await.unwrap();
    assert_eq!(recovery.state(), State::RolledBack, "{recovery:#?}");
    let failure = recovery.failure.unwrap();
    assert_eq!(failure.reason, "NEVER_READY");
    assert!(failure.message.contains("ImagePullFailed"), "{}", failure.message);
    assert!(failure.next_step.contains(&format!("salvor recover {name}")), "{failure:#?}");
    assert_eq!(mutations(&fleet), ["CreateSandbox", "DeleteSandbox"]);
    assert!(control.sandbox("coder").is_none(), "what was created is gone again");
    assert_eq!(recorded(&fleet, &name).await, before);

    let retried = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(retried.state(), State::Succeeded, "{retried:#?}");
    fleet.stop().await;
}

#[tokio::test]
async fn t07_what_failed_before_it_was_ready_is_taken_away_again_on_0_0() {
    what_never_became_ready_is_taken_away(Dialect::V0_0, None).await;
}

#[tokio::test]
async fn t07_what_failed_before_it_was_ready_is_taken_away_again_on_0_1() {
    what_never_became_ready_is_taken_away(Dialect::V0_1, None).await;
}

#[tokio::test]
async fn t07_a_lost_reply_to_taking_it_away_is_resolved_by_looking() {
    what_never_became_ready_is_taken_away(Dialect::V0_0, Some(Effect::LoseReply)).await;
}
