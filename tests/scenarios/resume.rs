//! T17, T18: interrupted at any point, a recovery goes on under its own name; parked, it resumes; asked to, it goes back.

use std::time::Duration;

use salvor_devgateway::{Call, Dialect, Effect, Fault, Restart};
use salvor_proto::{
    recovery::v1::{self as pb, recovery::State},
    registry::v1::sandbox,
};
use salvor_testkit::{Fleet, Options, wait::PATIENCE, wait::until};
use tonic::Code;

use crate::{
    given::{
        adopted, lab, lost, mutations, next_step, on, reaches, recorded, recovery, steps, stopped,
        succeeded, verdict,
    },
    support::{AUTO, REBUILD, reason},
};

/// The adapter gives up on an unanswered mutation soon.
fn impatient(dialect: Dialect) -> Options {
    Options { mutation_timeout: Duration::from_secs(2), ..on(dialect) }
}

pub(crate) async fn cancel(fleet: &Fleet, name: &str) -> Result<pb::Recovery, tonic::Status> {
    let request = pb::CancelRecoveryRequest { name: name.to_owned() };
    let answer = fleet.recovery.clone().cancel_recovery(request).await?;
    Ok(answer.into_inner().recovery.unwrap())
}

pub(crate) async fn retry(fleet: &Fleet, name: &str) -> Result<pb::Recovery, tonic::Status> {
    let request = pb::RetryRecoveryRequest { name: name.to_owned() };
    let answer = fleet.recovery.clone().retry_recovery(request).await?;
    Ok(answer.into_inner().recovery.unwrap())
}

/// Waits until the gateway has got a call of this method since the log was cleared.
async fn got(fleet: &Fleet, method: &'static str) {
    let this = |call: &Call| call.method == method;
    let control = &lab(fleet).control;
    assert!(control.wait_for_call(this, PATIENCE).await.is_some(), "no {method}");
}

/// The create took effect, and nobody was told: it is adopted by its stamp.
async fn unanswered_create(dialect: Dialect, effect: Effect) {
    let fleet = Fleet::start(impatient(dialect)).await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    lab(&fleet).control.fault(Fault::on("CreateSandbox", effect).times(1));
    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert!(steps(&recovery).contains(&("create", "doubtful")), "{recovery:#?}");
    assert!(steps(&recovery).contains(&("resolve_create", "adopted")), "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["CreateSandbox"], "one create in all");
    let live = lab(&fleet).control.sandbox("coder").unwrap().id;
    assert_eq!(recovery.result.unwrap().live_id, live);
    assert_eq!(recorded(&fleet, &name).await.live_id, live);
    fleet.stop().await;
}

#[tokio::test]
async fn t18_a_lost_reply_to_the_create_is_adopted_by_its_stamp_on_0_0() {
    unanswered_create(Dialect::V0_0, Effect::LoseReply).await;
}

#[tokio::test]
async fn t18_a_lost_reply_to_the_create_is_adopted_by_its_stamp_on_0_1() {
    unanswered_create(Dialect::V0_1, Effect::LoseReply).await;
}

#[tokio::test]
async fn t18_a_create_that_never_answers_is_adopted_by_its_stamp() {
    unanswered_create(Dialect::V0_0, Effect::HangAfter).await;
}

#[tokio::test]
async fn t18_a_create_that_never_arrived_is_made_once_in_the_end() {
    let fleet = Fleet::start(impatient(Dialect::V0_0)).await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    lab(&fleet).control.fault(Fault::on("CreateSandbox", Effect::Drop).times(1));
    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert!(steps(&recovery).contains(&("resolve_create", "not_created")), "{recovery:#?}");
    assert_eq!(succeeded(&fleet, "CreateSandbox"), 1);
    assert_eq!(lab(&fleet).control.sandboxes().len(), 1);
    fleet.stop().await;
}

#[tokio::test]
async fn t18_a_stranger_that_takes_the_name_while_the_create_is_in_doubt_is_not_touched() {
    let fleet = Fleet::start(impatient(Dialect::V0_0)).await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::Drop).times(1));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    got(&fleet, "CreateSandbox").await;
    // Somebody else's create gets through meanwhile.
    let stranger = lab(&fleet).user.create("coder", &crate::support::seed()).await.unwrap();
    let ended = fleet.wait(&open.name).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    let failure = ended.failure.unwrap();
    assert_eq!(failure.reason, "NAME_TAKEN_BY_STRANGER");
    assert!(failure.message.contains(&stranger), "{}", failure.message);
    assert_eq!(control.sandbox("coder").unwrap().id, stranger);
    assert_eq!(mutations(&fleet), ["CreateSandbox", "CreateSandbox"], "ours, and the stranger's");
    assert_eq!(recorded(&fleet, &name).await, before);
    assert_eq!(verdict(&fleet, &name, pb::Verdict::Foreign).await.open_recovery, "");
    fleet.stop().await;
}

#[tokio::test]
async fn t18_a_stranger_that_has_the_name_when_the_create_arrives_is_not_touched() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::Hold).times(1));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    got(&fleet, "CreateSandbox").await;
    let stranger = lab(&fleet).user.create("coder", &crate::support::seed()).await.unwrap();
    control.clear_faults();
    let ended = fleet.wait(&open.name).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    assert_eq!(ended.failure.unwrap().reason, "NAME_TAKEN_BY_STRANGER");
    assert_eq!(control.sandbox("coder").unwrap().id, stranger);
    assert!(mutations(&fleet).iter().all(|method| method == "CreateSandbox"));
    assert_eq!(recorded(&fleet, &name).await, before);
    fleet.stop().await;
}

/// Ended in an orderly way while `method` is being served, the orchestrator goes on after its restart.
async fn restarted_during(method: &'static str, destroying: bool) -> pb::Recovery {
    let mut fleet = Fleet::lab().await.unwrap();
    let (name, _) = match method {
        "StartSandbox" => stopped(&fleet, "coder").await,
        "DeleteSandbox" => adopted(&fleet, "coder").await,
        _ => lost(&fleet, "coder").await,
    };
    lab(&fleet).control.fault(Fault::on(method, Effect::Delay { millis: 300 }).times(1));
    let open = if destroying {
        let request =
            pb::PlanRecoveryRequest { name: name.clone(), destroy: true, ..Default::default() };
        let plan = fleet.recovery.clone().plan_recovery(request).await.unwrap().into_inner();
        let request = pb::DestroySandboxRequest {
            name: name.clone(),
            accept_data_loss: plan.plan.unwrap().digest,
            ..Default::default()
        };
        let answer = fleet.recovery.clone().destroy_sandbox(request).await.unwrap();
        answer.into_inner().recovery.unwrap()
    } else {
        fleet.ask(&name, AUTO).await.unwrap().recovery.unwrap()
    };
    got(&fleet, method).await;
    fleet.restart_orchestrator().await.unwrap();
    let ended = fleet.wait(&open.name).await.unwrap();
    assert_eq!(ended.name, open.name);
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    assert_eq!(succeeded(&fleet, method), 1);
    assert_eq!(mutations(&fleet), [method]);
    assert_eq!(fleet.status(&name).await.unwrap().open_recovery, "");
    fleet.stop().await;
    ended
}

#[tokio::test]
async fn t17_restarted_during_the_create_it_goes_on_under_its_name() {
    restarted_during("CreateSandbox", false).await;
}

#[tokio::test]
async fn t17_restarted_during_the_start_it_goes_on_under_its_name() {
    restarted_during("StartSandbox", false).await;
}

#[tokio::test]
async fn t17_restarted_during_the_delete_it_goes_on_under_its_name() {
    restarted_during("DeleteSandbox", true).await;
}

#[tokio::test]
async fn t17_restarted_while_it_waits_for_ready_it_goes_on_under_its_name() {
    let options = Options { time_scale: 0.5, ..on(Dialect::V0_0) };
    let mut fleet = Fleet::start(options).await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    until("the create's outcome", || async {
        let now = recovery(&fleet, &open.name).await;
        (now.phase == "created").then_some(())
    })
    .await;
    fleet.restart_orchestrator().await.unwrap();
    let ended = fleet.wait(&open.name).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    fleet.stop().await;
}

#[tokio::test]
async fn t17_the_registry_restarted_meanwhile_changes_nothing() {
    let mut fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    lab(&fleet).control.fault(Fault::on("CreateSandbox", Effect::Delay { millis: 300 }).times(1));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    got(&fleet, "CreateSandbox").await;
    fleet.restart_registry().await.unwrap();
    let ended = reaches(&fleet, &open.name, State::Succeeded).await;
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    assert_eq!(recorded(&fleet, &name).await.live_id, ended.result.unwrap().live_id);
    fleet.stop().await;
}

/// Created, and before it has said so the gateway is away, for longer than the recovery looks.
pub(crate) async fn parked(park_retry: Duration) -> (Fleet, String, pb::Recovery) {
    let undetermined_timeout = Duration::from_secs(1);
    let options = Options { park_retry, undetermined_timeout, ..on(Dialect::V0_0) };
    let fleet = Fleet::start(options).await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::HangAfter).times(1));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    until("it is made", || async { control.sandbox("coder").map(drop) }).await;
    control.down(Restart::Killed).await.unwrap();
    let parked = reaches(&fleet, &open.name, State::Parked).await;
    (fleet, name, parked)
}

#[tokio::test]
async fn t18_a_recovery_that_cannot_find_out_is_parked_and_says_why() {
    let (fleet, name, parked) = parked(Duration::from_mins(1)).await;
    assert!(!parked.done);
    let failure = parked.failure.unwrap();
    assert_eq!(failure.reason, "UNDETERMINED");
    assert!(failure.message.contains("cannot be reached"), "{}", failure.message);
    assert_eq!(failure.next_step, format!("salvor recoveries retry {}", parked.name));
    let status = fleet.status(&name).await.unwrap();
    assert_eq!(status.open_recovery, parked.name);
    assert_eq!(status.verdict(), pb::Verdict::Recovering);

    // Resumed in vain, it is parked again.
    retry(&fleet, &parked.name).await.unwrap();
    until("a second park", || async {
        let now = recovery(&fleet, &parked.name).await;
        (now.state() == State::Parked && now.update_time != parked.update_time).then_some(())
    })
    .await;

    let control = lab(&fleet).control.clone();
    control.up().await.unwrap();
    retry(&fleet, &parked.name).await.unwrap();
    let ended = reaches(&fleet, &parked.name, State::Succeeded).await;
    assert_eq!(ended.result.unwrap().live_id, control.sandbox("coder").unwrap().id);
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    let over = retry(&fleet, &parked.name).await.unwrap_err();
    assert_eq!((over.code(), reason(&over).as_str()), (Code::FailedPrecondition, "RECOVERY_ENDED"));
    fleet.stop().await;
}

#[tokio::test]
async fn t18_a_parked_recovery_resumes_by_itself_when_the_gateway_is_back() {
    let (fleet, name, parked) = parked(Duration::from_millis(200)).await;
    lab(&fleet).control.up().await.unwrap();
    let ended = reaches(&fleet, &parked.name, State::Succeeded).await;
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    assert_eq!(recorded(&fleet, &name).await.live_id, ended.result.unwrap().live_id);
    fleet.stop().await;
}

#[tokio::test]
async fn t18_asking_again_goes_on_with_the_recovery_that_is_parked() {
    let (fleet, name, parked) = parked(Duration::from_mins(1)).await;
    lab(&fleet).control.up().await.unwrap();
    let again = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(again.name, parked.name);
    assert_eq!(again.state(), State::Succeeded, "{again:#?}");
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    fleet.stop().await;
}

#[tokio::test]
async fn t18_while_the_create_is_in_doubt_there_is_no_way_back_by_request() {
    let (fleet, _, parked) = parked(Duration::from_mins(1)).await;
    let refused = cancel(&fleet, &parked.name).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "PAST_POINT_OF_NO_RETURN");
    assert!(!next_step(&refused).is_empty());
    assert_eq!(recovery(&fleet, &parked.name).await.state(), State::Parked);
    fleet.stop().await;
}

#[tokio::test]
async fn t18_until_it_is_ready_there_is_a_way_back_that_leaves_nothing() {
    let slow = Options {
        time_scale: 1.0,
        ready_timeout: Duration::from_millis(50),
        park_retry: Duration::from_mins(1),
        ..on(Dialect::V0_0)
    };
    let fleet = Fleet::start(slow).await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    let parked = reaches(&fleet, &open.name, State::Parked).await;
    assert_eq!(parked.failure.unwrap().reason, "NOT_READY_IN_TIME");

    cancel(&fleet, &open.name).await.unwrap();
    let ended = reaches(&fleet, &open.name, State::RolledBack).await;
    assert_eq!(ended.failure.unwrap().reason, "CANCELLED");
    let control = lab(&fleet).control.clone();
    assert!(control.wait_absent("coder", PATIENCE).await, "what was created is left");
    assert_eq!(mutations(&fleet), ["CreateSandbox", "DeleteSandbox"]);
    assert_eq!(recorded(&fleet, &name).await.state(), sandbox::State::Active);
    fleet.stop().await;
}

#[tokio::test]
async fn t08_cancelled_before_the_create_the_record_is_as_it_was() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    // Between two attempts: the first is known not to have been applied.
    let control = lab(&fleet).control.clone();
    control.fault(Fault::fail("CreateSandbox", Code::ResourceExhausted, "slow down"));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    got(&fleet, "CreateSandbox").await;
    // Whether it was caught before, between or after its attempts: it goes back.
    let asked = cancel(&fleet, &open.name).await;
    let ended = fleet.wait(&open.name).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{asked:?} {ended:#?}");
    assert_eq!(succeeded(&fleet, "CreateSandbox"), 0);
    assert_eq!(recorded(&fleet, &name).await, before);
    let over = cancel(&fleet, &open.name).await.unwrap_err();
    assert_eq!(over.code(), Code::FailedPrecondition);
    control.clear_faults();
    let again = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(again.state(), State::Succeeded, "{again:#?}");
    fleet.stop().await;
}

#[tokio::test]
async fn t17_a_watch_shows_what_changes_and_ends() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::Hold));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    let request = pb::WatchRecoveryRequest { name: open.name.clone() };
    let mut stream = fleet.recovery.clone().watch_recovery(request).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while let Some(answer) = stream.message().await.unwrap() {
        seen.push(answer.recovery.unwrap());
        // It gets no further than the create before that was seen here.
        if seen.last().unwrap().phase == "creating" {
            control.clear_faults();
        }
    }
    let last = seen.last().unwrap();
    assert_eq!(last.state(), State::Succeeded, "{last:#?}");
    assert!(last.done && last.result.is_some());
    assert!(seen[..seen.len() - 1].iter().all(|earlier| !earlier.done));
    assert!(seen.windows(2).all(|pair| pair[0].steps.len() <= pair[1].steps.len()));
    assert!(seen.iter().any(|earlier| earlier.phase == "creating"), "{seen:#?}");
    assert_eq!(*last, recovery(&fleet, &open.name).await);

    let request = pb::WatchRecoveryRequest { name: "recoveries/nothing".into() };
    let unknown = fleet.recovery.clone().watch_recovery(request).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    fleet.stop().await;
}

#[tokio::test]
async fn t17_a_watch_of_a_parked_recovery_ends_too() {
    let (fleet, _, parked) = parked(Duration::from_mins(1)).await;
    let request = pb::WatchRecoveryRequest { name: parked.name.clone() };
    let mut stream = fleet.recovery.clone().watch_recovery(request).await.unwrap().into_inner();
    let shown = stream.message().await.unwrap().unwrap().recovery.unwrap();
    assert_eq!(shown, parked);
    assert!(stream.message().await.unwrap().is_none());
    fleet.stop().await;
}

/// The gateway denied a sandbox that it had: the create finds the recorded one under the name.
#[tokio::test]
async fn t18_the_recorded_sandbox_that_returns_is_kept_and_no_second_one_made() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, id) = adopted(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let control = lab(&fleet).control.clone();
    let missing = Fault::fail("GetSandbox", Code::NotFound, "sandbox not found");
    control.fault(missing.for_sandbox("coder"));
    control.fault(Fault::on("ListSandboxes", Effect::OmitFromList).for_sandbox("coder"));
    control.fault(Fault::on("CreateSandbox", Effect::Hold));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    got(&fleet, "CreateSandbox").await;
    control.clear_faults();
    let ended = fleet.wait(&open.name).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    let failure = ended.failure.unwrap();
    assert_eq!(failure.reason, "SANDBOX_RETURNED");
    assert_eq!(failure.next_step, format!("salvor status {name}"));
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    assert_eq!(succeeded(&fleet, "CreateSandbox"), 0);
    assert_eq!(control.sandbox("coder").unwrap().id, id);
    assert_eq!(recorded(&fleet, &name).await, before);
    assert_eq!(verdict(&fleet, &name, pb::Verdict::Live).await.open_recovery, "");
    fleet.stop().await;
}

#[tokio::test]
async fn t17_an_adapter_that_vanishes_during_the_create_leaves_one_sandbox() {
    let mut fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    lab(&fleet).control.fault(Fault::on("CreateSandbox", Effect::HangAfter).times(1));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    let control = lab(&fleet).control.clone();
    assert!(control.wait("coder", |view| view.is_some(), PATIENCE).await.1);
    fleet.restart_adapter().await.unwrap();
    let ended = reaches(&fleet, &open.name, State::Succeeded).await;
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    assert_eq!(ended.result.unwrap().live_id, control.sandbox("coder").unwrap().id);
    assert_eq!(control.sandboxes().len(), 1);
    fleet.stop().await;
}

#[tokio::test]
async fn t18_what_is_not_ready_in_time_is_parked_and_goes_on_once_it_is() {
    let ready_timeout = Duration::from_millis(100);
    let options = Options { time_scale: 0.5, ready_timeout, ..on(Dialect::V0_0) };
    let fleet = Fleet::start(options).await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let parked = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(parked.state(), State::Parked, "{parked:#?}");
    assert_eq!(parked.failure.unwrap().reason, "NOT_READY_IN_TIME");
    let ended = reaches(&fleet, &parked.name, State::Succeeded).await;
    assert_eq!(mutations(&fleet), ["CreateSandbox"], "it was waited for, not made again");
    assert!(ended.done);
    fleet.stop().await;
}

#[tokio::test]
async fn t21_a_destroy_does_not_take_a_record_from_a_parked_recovery() {
    let (fleet, name, parked) = parked(Duration::from_mins(1)).await;
    lab(&fleet).control.up().await.unwrap();
    let request = pb::DestroySandboxRequest { name: name.clone(), ..Default::default() };
    let refused = fleet.recovery.clone().destroy_sandbox(request).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "RECOVERY_OPEN"));
    assert_eq!(next_step(&refused), format!("salvor recoveries retry {}", parked.name));
    // The step that was named works, and then the destroy does.
    retry(&fleet, &parked.name).await.unwrap();
    reaches(&fleet, &parked.name, State::Succeeded).await;
    assert_eq!(fleet.destroy(&name).await.unwrap().state(), State::Succeeded);
    fleet.stop().await;
}
