//! T23: a stopped sandbox is started again, and nothing else is touched; one that no start mends is refused truly.

use std::time::Duration;

use salvor_devgateway::{Dialect, Effect, Fault, Phase};
use salvor_proto::{
    recovery::v1::{self as pb, part::Outcome, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::{
    Fleet, Options,
    wait::{PATIENCE, until},
};
use tonic::Code;

use crate::{
    given::{
        adopted, fleet_on, lab, mutations, next_step, on, output, reaches, recorded, steps, stop,
        stopped, succeeded, verdict, write,
    },
    resume::retry,
    support::{AUTO, REBUILD, reason},
};

const MARKER: &str = "/sandbox/marker.txt";

/// Whatever is asked for first, the start comes first: it costs nothing.
async fn revived_with_its_files(dialect: Dialect, path: pb::RecoveryPath) {
    let fleet = fleet_on(dialect).await;
    let (name, id) = adopted(&fleet, "coder").await;
    write(&fleet, "coder", &id, MARKER, "kept").await;
    stop(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let status = fleet.status(&name).await.unwrap();
    assert_eq!(status.verdict(), pb::Verdict::Revivable, "{status:#?}");

    let recovery = fleet.recover(&name, path).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(recovery.saga(), pb::Saga::Revive);
    assert_eq!(mutations(&fleet), ["StartSandbox"]);
    let result = recovery.result.unwrap();
    assert_eq!(result.live_id, id);
    assert_eq!(result.data.unwrap().outcome(), Outcome::Kept);
    assert_eq!(output(&fleet, "coder", &id, &["cat", MARKER]).await, "kept");
    assert_eq!(recorded(&fleet, &name).await, before);
    fleet.stop().await;
}

#[tokio::test]
async fn t23_a_stopped_sandbox_is_started_with_its_files_on_0_0() {
    revived_with_its_files(Dialect::V0_0, AUTO).await;
}

#[tokio::test]
async fn t23_a_stopped_sandbox_is_started_with_its_files_on_0_1() {
    revived_with_its_files(Dialect::V0_1, AUTO).await;
}

#[tokio::test]
async fn t23_a_start_that_is_asked_for_by_name_is_that() {
    revived_with_its_files(Dialect::V0_0, pb::RecoveryPath::Revive).await;
}

#[tokio::test]
async fn t23_a_rebuild_of_a_stopped_sandbox_is_refused_before_its_files_are_touched() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, id) = adopted(&fleet, "coder").await;
    write(&fleet, "coder", &id, MARKER, "kept").await;
    stop(&fleet, "coder").await;
    let refused = fleet.ask(&name, REBUILD).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "NO_COMPLETE_SNAPSHOT");
    assert_eq!(mutations(&fleet), [""; 0]);
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(output(&fleet, "coder", &id, &["cat", MARKER]).await, "kept");
    fleet.stop().await;
}

#[tokio::test]
async fn t23_a_killed_sandbox_is_started_again_where_the_gateway_can() {
    let fleet = fleet_on(Dialect::V0_1).await;
    let (name, id) = adopted(&fleet, "coder").await;
    write(&fleet, "coder", &id, MARKER, "kept").await;
    let control = &lab(&fleet).control;
    control.kill("coder").await.unwrap();
    assert!(control.wait_phase("coder", Phase::Error, PATIENCE).await);
    control.clear_calls();
    assert_eq!(fleet.status(&name).await.unwrap().verdict(), pb::Verdict::Revivable);
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["StartSandbox"]);
    assert_eq!(output(&fleet, "coder", &id, &["cat", MARKER]).await, "kept");
    fleet.stop().await;
}

/// Refused with what the gateway says, by every path, and with a step that works.
async fn not_startable(dialect: Dialect, gateway_reason: &str) {
    let fleet = fleet_on(dialect).await;
    let (name, id) = adopted(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let control = &lab(&fleet).control;
    control.fail("coder", gateway_reason, "it failed").await.unwrap();
    assert!(control.wait_phase("coder", Phase::Error, PATIENCE).await);
    control.clear_calls();
    let status = fleet.status(&name).await.unwrap();
    assert_eq!(status.verdict(), pb::Verdict::Failed, "{status:#?}");
    assert!(status.explanation.contains(gateway_reason), "{}", status.explanation);

    let refused = fleet.ask(&name, pb::RecoveryPath::Revive).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "NOT_STARTABLE");
    assert!(refused.message().contains(gateway_reason), "{}", refused.message());
    for path in [AUTO, REBUILD] {
        let refused = fleet.ask(&name, path).await.unwrap_err();
        assert_eq!(reason(&refused), "NO_COMPLETE_SNAPSHOT");
        let step = format!("salvor plan --path rebuild {name}");
        assert!(next_step(&refused).starts_with(&step), "{refused:?}");
    }
    assert_eq!(mutations(&fleet), [""; 0]);
    assert_eq!(control.sandbox("coder").unwrap().id, id);
    assert_eq!(recorded(&fleet, &name).await, before);
    // The step that was named works in this state, and says what it takes to go on.
    let request =
        pb::PlanRecoveryRequest { name: name.clone(), path: REBUILD.into(), ..Default::default() };
    let plan = fleet.recovery.clone().plan_recovery(request).await.unwrap().into_inner();
    let plan = plan.plan.unwrap();
    assert!(plan.losses.iter().any(|loss| loss.contains("every file below /sandbox")), "{plan:#?}");
    let request = pb::RecoverSandboxRequest {
        name: name.clone(),
        path: REBUILD.into(),
        accept_data_loss: plan.digest,
        ..Default::default()
    };
    let accepted = fleet.recovery.clone().recover_sandbox(request).await.unwrap().into_inner();
    let rebuilt = fleet.wait(&accepted.recovery.unwrap().name).await.unwrap();
    assert_eq!(rebuilt.state(), State::Degraded, "{rebuilt:#?}");
    assert_eq!(rebuilt.result.unwrap().data.unwrap().outcome(), Outcome::Lost);
    fleet.stop().await;
}

#[tokio::test]
async fn t23_an_error_that_no_start_mends_is_refused_with_its_reason_on_0_0() {
    not_startable(Dialect::V0_0, "ContainerExited").await;
}

#[tokio::test]
async fn t23_an_error_that_no_start_mends_is_refused_with_its_reason_on_0_1() {
    not_startable(Dialect::V0_1, "MainProcessExited").await;
}

#[tokio::test]
async fn t23_a_refused_start_leaves_the_record_as_it_was() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = stopped(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::fail("StartSandbox", Code::FailedPrecondition, "no capacity"));
    let recovery = fleet.recover(&name, pb::RecoveryPath::Revive).await.unwrap();
    assert_eq!(recovery.state(), State::RolledBack, "{recovery:#?}");
    let failure = recovery.failure.unwrap();
    assert_eq!(failure.reason, "EFFECT_REFUSED");
    let again = format!("salvor recover --path revive {name}  # ");
    assert!(failure.next_step.starts_with(&again), "{failure:#?}");
    assert!(mutations(&fleet).iter().all(|method| method == "StartSandbox"));
    assert_eq!(recorded(&fleet, &name).await, before);
    control.clear_faults();
    let retried = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(retried.state(), State::Succeeded, "{retried:#?}");
    fleet.stop().await;
}

/// The start took effect and nobody was told.
async fn doubtful_start(effect: Effect) {
    let fleet = Fleet::lab().await.unwrap();
    let (name, id) = stopped(&fleet, "coder").await;
    lab(&fleet).control.fault(Fault::on("StartSandbox", effect).times(1));
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["StartSandbox"], "it was found out by looking");
    assert!(steps(&recovery).contains(&("start", "doubtful")), "{recovery:#?}");
    assert_eq!(lab(&fleet).control.sandbox("coder").unwrap().id, id);
    fleet.stop().await;
}

#[tokio::test]
async fn t23_a_lost_reply_to_the_start_is_resolved_by_looking() {
    doubtful_start(Effect::LoseReply).await;
}

#[tokio::test]
async fn t23_a_start_that_never_arrived_is_asked_for_again() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = stopped(&fleet, "coder").await;
    let lost = Fault::fail("StartSandbox", Code::Unavailable, "connection reset").times(1);
    lab(&fleet).control.fault(lost);
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["StartSandbox", "StartSandbox"]);
    assert_eq!(succeeded(&fleet, "StartSandbox"), 1);
    fleet.stop().await;
}

#[tokio::test]
async fn t23_a_sandbox_that_fails_again_after_its_start_is_left_as_it_is() {
    let fleet = Fleet::start(Options { time_scale: 0.2, ..on(Dialect::V0_0) }).await.unwrap();
    let (name, id) = stopped(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let control = lab(&fleet).control.clone();
    let failing = control.clone();
    let fails = tokio::spawn(async move {
        let begun = |view: Option<&salvor_devgateway::SandboxView>| {
            view.is_some_and(|view| view.phase != Phase::Stopped)
        };
        assert!(failing.wait("coder", begun, PATIENCE).await.1);
        failing.fail("coder", "ContainerExited", "it exited at once").await.unwrap();
    });
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    fails.await.unwrap();
    assert_eq!(recovery.state(), State::RolledBack, "{recovery:#?}");
    let failure = recovery.failure.unwrap();
    assert_eq!(failure.reason, "NEVER_READY");
    assert!(failure.message.contains("ContainerExited"), "{}", failure.message);
    assert_eq!(mutations(&fleet), ["StartSandbox"], "nothing was deleted");
    assert_eq!(control.sandbox("coder").unwrap().id, id);
    assert_eq!(recorded(&fleet, &name).await, before);
    assert_eq!(verdict(&fleet, &name, pb::Verdict::Failed).await.open_recovery, "");
    fleet.stop().await;
}

#[tokio::test]
async fn t23_reviving_an_absent_sandbox_is_refused_and_says_what_works() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = crate::given::lost(&fleet, "coder").await;
    let refused = fleet.ask(&name, pb::RecoveryPath::Revive).await.unwrap_err();
    assert_eq!(reason(&refused), "SANDBOX_ABSENT");
    assert_eq!(next_step(&refused), format!("salvor recover {name}"));
    assert_eq!(mutations(&fleet), [""; 0]);
    fleet.stop().await;
}

/// Somebody stops it again before the recovery has seen it ready: no time makes it ready, and it is left as it is.
#[tokio::test]
async fn t23_a_sandbox_that_is_stopped_again_after_its_start_is_not_waited_for() {
    let options = Options {
        time_scale: 1.0,
        ready_timeout: Duration::from_millis(50),
        park_retry: Duration::from_mins(1),
        ..on(Dialect::V0_0)
    };
    let fleet = Fleet::start(options).await.unwrap();
    let (name, id) = stopped(&fleet, "coder").await;
    let open = fleet.ask(&name, pb::RecoveryPath::Revive).await.unwrap().recovery.unwrap();
    let parked = reaches(&fleet, &open.name, State::Parked).await;
    assert_eq!(parked.failure.unwrap().reason, "NOT_READY_IN_TIME");
    let control = lab(&fleet).control.clone();
    assert!(control.wait_phase("coder", Phase::Ready, PATIENCE).await);
    stop(&fleet, "coder").await;
    let ended = until("its end", || async {
        retry(&fleet, &open.name).await.ok();
        let now = fleet.wait(&open.name).await.unwrap();
        now.done.then_some(now)
    })
    .await;
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    assert_eq!(ended.failure.unwrap().reason, "NEVER_READY");
    assert_eq!(control.sandbox("coder").unwrap().id, id);
    assert_eq!(recorded(&fleet, &name).await.state(), registry::sandbox::State::Active);
    fleet.stop().await;
}
