//! T21: what is destroyed stays gone; what was not accepted is not destroyed.

use std::time::Duration;

use salvor_devgateway::{Dialect, Effect, Fault, Restart};
use salvor_proto::{
    error::received,
    recovery::v1::{self as pb, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::{Fleet, Options, wait::PATIENCE};
use tonic::{Code, Status};

use crate::{
    given::{
        LAB, adopted, adopted_as, adoption, bury, fleet_on, lab, lost, mutations, next_step,
        reaches, recorded, steps, take_over, verdict, write,
    },
    support::{AUTO, REBUILD, reason, seed},
};

async fn plan(fleet: &Fleet, name: &str) -> pb::Plan {
    let request =
        pb::PlanRecoveryRequest { name: name.to_owned(), destroy: true, ..Default::default() };
    fleet.recovery.clone().plan_recovery(request).await.unwrap().into_inner().plan.unwrap()
}

async fn ask(
    fleet: &Fleet,
    name: &str,
    accept_data_loss: &str,
) -> Result<pb::DestroySandboxResponse, Status> {
    let request = pb::DestroySandboxRequest {
        name: name.to_owned(),
        accept_data_loss: accept_data_loss.to_owned(),
        ..Default::default()
    };
    Ok(fleet.recovery.clone().destroy_sandbox(request).await?.into_inner())
}

async fn listed(fleet: &Fleet, show_deleted: bool) -> Vec<String> {
    let request = registry::ListSandboxesRequest {
        parent: format!("gateways/{LAB}/workspaces/-"),
        show_deleted,
        ..Default::default()
    };
    let page = fleet.registry.clone().list_sandboxes(request).await.unwrap().into_inner();
    page.sandboxes.into_iter().map(|record| record.name).collect()
}

#[tokio::test]
async fn t21_a_destroy_names_its_losses_and_does_nothing_until_they_are_accepted() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, id) = adopted(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let shown = plan(&fleet, &name).await;
    assert!(shown.allowed, "{shown:#?}");
    assert_eq!(shown.saga(), pb::Saga::Destroy);
    assert!(shown.losses.iter().any(|loss| loss.contains("file")), "{:?}", shown.losses);
    assert!(shown.losses.iter().any(|loss| loss.contains("process")), "{:?}", shown.losses);
    assert!(shown.next_step.contains(&shown.digest), "{}", shown.next_step);

    let other = "0".repeat(64);
    for digest in ["", &other] {
        let refused = ask(&fleet, &name, digest).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(reason(&refused), "DATA_LOSS_NOT_ACCEPTED");
        assert_eq!(received(&refused).metadata["plan_digest"], shown.digest);
        assert_eq!(next_step(&refused), format!("salvor plan --destroy {name}"));
    }
    let malformed = ask(&fleet, &name, "yes").await.unwrap_err();
    assert_eq!(malformed.code(), Code::InvalidArgument);
    assert_eq!(mutations(&fleet), [""; 0]);
    assert_eq!(lab(&fleet).control.sandbox("coder").unwrap().id, id);
    assert_eq!(recorded(&fleet, &name).await, before);
    fleet.stop().await;
}

#[tokio::test]
async fn t21_acceptance_of_an_outdated_plan_is_not_acceptance() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, old_id) = adopted(&fleet, "coder").await;
    let outdated = plan(&fleet, &name).await.digest;
    // Replaced on purpose, and taken into the record: the old acceptance was for other files.
    let user = &lab(&fleet).user;
    user.delete("coder").await.unwrap();
    assert!(lab(&fleet).control.wait_absent("coder", PATIENCE).await);
    let id = fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    assert_ne!(id, old_id);
    fleet.adopt_with(pb::AdoptSandboxRequest { rebind: true, ..adoption("coder") }).await.unwrap();
    lab(&fleet).control.clear_calls();
    let refused = ask(&fleet, &name, &outdated).await.unwrap_err();
    assert_eq!(reason(&refused), "DATA_LOSS_NOT_ACCEPTED");
    assert_eq!(mutations(&fleet), [""; 0]);
    assert!(lab(&fleet).control.live("coder"));
    fleet.stop().await;
}

/// Gone on the gateway, a tombstone in the registry, and it stays so.
async fn destroyed_stays_gone(dialect: Dialect) {
    let mut fleet = fleet_on(dialect).await;
    let (name, _) = adopted(&fleet, "coder").await;
    let (other, other_id) = adopted(&fleet, "other").await;
    let other_before = recorded(&fleet, &other).await;
    let uid = fleet.record(&name).await.unwrap().uid;
    let recovery = fleet.destroy(&name).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["DeleteSandbox"]);
    assert!(lab(&fleet).control.sandbox("coder").is_none());
    let tombstone = fleet.record(&name).await.unwrap();
    assert_eq!(tombstone.state(), registry::sandbox::State::Destroyed);
    assert!(tombstone.delete_time.is_some());

    fleet.restart_registry().await.unwrap();
    fleet.restart_adapter().await.unwrap();
    fleet.restart_orchestrator().await.unwrap();
    lab(&fleet).control.sweep();
    assert_eq!(fleet.status(&name).await.unwrap().verdict(), pb::Verdict::Destroyed);
    assert_eq!(listed(&fleet, false).await, [other.as_str()]);
    assert_eq!(listed(&fleet, true).await.len(), 2);
    let refused = fleet.ask(&name, REBUILD).await.unwrap_err();
    assert!(refused.code() != Code::Ok && refused.code() != Code::Internal, "{refused:?}");
    assert_eq!(mutations(&fleet), ["DeleteSandbox"]);

    assert_eq!(recorded(&fleet, &other).await, other_before);
    assert_eq!(lab(&fleet).control.sandbox("other").unwrap().id, other_id);
    assert!(lab(&fleet).control.live("other"));

    let again = fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    let record = fleet.adopt(&name).await.unwrap();
    assert_ne!(record.uid, uid);
    assert_eq!(record.live_id, again);
    fleet.stop().await;
}

#[tokio::test]
async fn t21_what_is_destroyed_stays_gone_and_frees_its_name_on_0_0() {
    destroyed_stays_gone(Dialect::V0_0).await;
}

#[tokio::test]
async fn t21_what_is_destroyed_stays_gone_and_frees_its_name_on_0_1() {
    destroyed_stays_gone(Dialect::V0_1).await;
}

#[tokio::test]
async fn t21_the_same_name_on_another_gateway_is_not_touched() {
    let gateways = vec![(LAB, Dialect::V0_0), ("far", Dialect::V0_1)];
    let fleet = Fleet::start(Options { gateways, ..Options::default() }).await.unwrap();
    let (name, _) = adopted(&fleet, "coder").await;
    let far_id = fleet.sandbox("far", "coder", &seed()).await.unwrap();
    let far = Fleet::name("far", "coder");
    fleet.adopt(&far).await.unwrap();
    let far_before = recorded(&fleet, &far).await;
    fleet.gateway("far").control.clear_calls();
    fleet.destroy(&name).await.unwrap();
    let control = &fleet.gateway("far").control;
    assert!(control.mutating_calls().is_empty());
    assert_eq!(control.sandbox("coder").unwrap().id, far_id);
    assert_eq!(recorded(&fleet, &far).await, far_before);
    assert_eq!(fleet.status(&far).await.unwrap().verdict(), pb::Verdict::Live);
    fleet.stop().await;
}

#[tokio::test]
async fn t21_an_absent_sandbox_is_destroyed_without_a_call_and_without_a_loss() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let answer = ask(&fleet, &name, "").await.unwrap();
    assert_eq!(answer.plan.unwrap().losses, [""; 0]);
    let recovery = fleet.wait(&answer.recovery.unwrap().name).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(steps(&recovery), [("claim", "claimed"), ("bury", "buried")]);
    assert_eq!(mutations(&fleet), [""; 0]);
    assert_eq!(fleet.status(&name).await.unwrap().verdict(), pb::Verdict::Destroyed);
    fleet.stop().await;
}

#[tokio::test]
async fn t21_nothing_is_destroyed_while_the_gateway_cannot_be_asked() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, id) = adopted(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let digest = plan(&fleet, &name).await.digest;
    let control = lab(&fleet).control.clone();
    control.down(Restart::Killed).await.unwrap();
    let refused = ask(&fleet, &name, &digest).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(!next_step(&refused).is_empty());
    assert_eq!(recorded(&fleet, &name).await, before);
    control.up().await.unwrap();
    assert_eq!(control.sandbox("coder").unwrap().id, id);
    assert_eq!(mutations(&fleet), [""; 0]);
    fleet.stop().await;
}

#[tokio::test]
async fn t21_a_stranger_under_the_name_is_not_destroyed() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let stranger = lab(&fleet).control.replace("coder").await.unwrap();
    lab(&fleet).control.clear_calls();
    let digest = plan(&fleet, &name).await.digest;
    let refused = ask(&fleet, &name, &digest).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "FOREIGN_SANDBOX");
    assert!(refused.message().contains(&stranger), "{}", refused.message());
    assert_eq!(mutations(&fleet), [""; 0]);
    assert_eq!(lab(&fleet).control.sandbox("coder").unwrap().id, stranger);
    assert_eq!(recorded(&fleet, &name).await, before);
    fleet.stop().await;
}

/// The race that no client of a gateway can close: its delete is by name. It is told, not hidden.
#[tokio::test]
async fn t21_a_stranger_that_comes_between_look_and_delete_is_told_of() {
    for dialect in [Dialect::V0_0, Dialect::V0_1] {
        let fleet = fleet_on(dialect).await;
        let (name, id) = adopted(&fleet, "coder").await;
        let control = &lab(&fleet).control;
        control.set_deletion_linger(Duration::from_hours(1));
        control.fault(Fault::on("DeleteSandbox", Effect::ReplaceFirst).times(1));
        let recovery = fleet.destroy(&name).await.unwrap();
        assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
        assert_ne!(control.sandbox("coder").unwrap().id, id);
        let told = recovery.steps.iter().find(|step| step.outcome == "doubtful").unwrap();
        let told = (told.step.as_str(), told.detail.as_str());
        assert_eq!(told, ("delete", "another incarnation has the name"));
        assert_eq!(mutations(&fleet), ["DeleteSandbox"], "the stranger is not deleted again");
        fleet.stop().await;
    }
}

/// The delete took effect and nobody was told.
#[tokio::test]
async fn t21_a_lost_reply_to_the_delete_is_resolved_by_looking() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted(&fleet, "coder").await;
    lab(&fleet).control.fault(Fault::on("DeleteSandbox", Effect::LoseReply).times(1));
    let recovery = fleet.destroy(&name).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["DeleteSandbox"]);
    assert!(steps(&recovery).contains(&("delete", "doubtful")), "{recovery:#?}");
    assert!(lab(&fleet).control.sandbox("coder").is_none());
    fleet.stop().await;
}

#[tokio::test]
async fn t21_a_delete_that_never_arrived_is_asked_for_again() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted(&fleet, "coder").await;
    let lost = Fault::fail("DeleteSandbox", Code::Unavailable, "connection reset").times(1);
    lab(&fleet).control.fault(lost);
    let recovery = fleet.destroy(&name).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["DeleteSandbox", "DeleteSandbox"]);
    assert!(lab(&fleet).control.sandbox("coder").is_none());
    fleet.stop().await;
}

#[tokio::test]
async fn t21_a_delete_that_the_gateway_denies_leaves_everything_as_it_was() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, id) = adopted(&fleet, "coder").await;
    write(&fleet, "coder", &id, "/sandbox/marker.txt", "kept").await;
    let before = recorded(&fleet, &name).await;
    lab(&fleet).control.fault(Fault::fail("DeleteSandbox", Code::PermissionDenied, "no"));
    let recovery = fleet.destroy(&name).await.unwrap();
    assert_eq!(recovery.state(), State::RolledBack, "{recovery:#?}");
    assert_eq!(recorded(&fleet, &name).await, before);
    assert!(lab(&fleet).control.live("coder"));
    fleet.stop().await;
}

#[tokio::test]
async fn t21_destroying_the_default_leaves_no_default_behind() {
    let fleet = Fleet::lab().await.unwrap();
    let request = pb::AdoptSandboxRequest { claim_default: true, ..adoption("coder") };
    let (name, _) = adopted_as(&fleet, "coder", request).await;
    fleet.destroy(&name).await.unwrap();
    let default =
        fleet.registry.clone().get_default_sandbox(registry::GetDefaultSandboxRequest {}).await;
    let named = default.is_ok_and(|answer| answer.into_inner().sandbox.is_some());
    assert!(!named, "a tombstone is nobody's default");
    let refused = fleet.ask(&name, AUTO).await.unwrap_err();
    assert_ne!(refused.code(), Code::Internal, "{refused:?}");
    fleet.stop().await;
}

/// Room for one recovery, which is held in its create.
async fn behind_another() -> (Fleet, pb::Recovery) {
    let options = Options { max_running: 1, ..Options::default() };
    let fleet = Fleet::start(options).await.unwrap();
    let (first, _) = lost(&fleet, "first").await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::Hold).for_sandbox("first"));
    let first = fleet.ask(&first, REBUILD).await.unwrap().recovery.unwrap();
    let held = |call: &salvor_devgateway::Call| call.create.is_some();
    assert!(control.wait_for_call(held, PATIENCE).await.is_some());
    (fleet, first)
}

/// A destroy of a sandbox that is gone, as far as can be seen: it waits for its turn.
async fn of_one_that_is_hidden(fleet: &Fleet) -> (String, String, pb::Recovery) {
    let (name, id) = adopted(fleet, "coder").await;
    let control = &lab(fleet).control;
    let missing = Fault::fail("GetSandbox", Code::NotFound, "sandbox not found");
    control.fault(missing.for_sandbox("coder"));
    control.fault(Fault::on("ListSandboxes", Effect::OmitFromList).for_sandbox("coder"));
    verdict(fleet, &name, pb::Verdict::Lost).await;
    let digest = plan(fleet, &name).await.digest;
    let waits = ask(fleet, &name, &digest).await.unwrap().recovery.unwrap();
    (name, id, waits)
}

/// It was gone when its losses were accepted, and none were. It is back before the destroy's turn comes.
#[tokio::test]
async fn t21_what_is_back_before_its_record_is_buried_is_kept() {
    let (fleet, first) = behind_another().await;
    let (name, id, waits) = of_one_that_is_hidden(&fleet).await;
    let control = lab(&fleet).control.clone();
    control.clear_faults();
    let ended = fleet.wait(&waits.name).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    assert_eq!(ended.failure.unwrap().reason, "RECORD_CHANGED");
    assert_eq!(control.sandbox("coder").unwrap().id, id);
    assert_eq!(recorded(&fleet, &name).await.state(), registry::sandbox::State::Active);
    assert_eq!(fleet.wait(&first.name).await.unwrap().state(), State::Succeeded);
    fleet.stop().await;
}

/// Nor is one buried whose gateway cannot be asked when its turn comes: that it was gone before says nothing of now.
#[tokio::test]
async fn t21_what_cannot_be_looked_for_is_not_buried() {
    let (fleet, _) = behind_another().await;
    let (name, id, waits) = of_one_that_is_hidden(&fleet).await;
    let control = lab(&fleet).control.clone();
    control.down(Restart::Killed).await.unwrap();
    let parked = reaches(&fleet, &waits.name, State::Parked).await;
    assert_eq!(parked.failure.unwrap().reason, "KEEPS_FAILING");
    assert_eq!(recorded(&fleet, &name).await.state(), registry::sandbox::State::Active);
    control.clear_faults();
    control.up().await.unwrap();
    let ended = reaches(&fleet, &waits.name, State::RolledBack).await;
    assert_eq!(ended.failure.unwrap().reason, "RECORD_CHANGED");
    assert_eq!(control.sandbox("coder").unwrap().id, id);
    fleet.stop().await;
}

/// A record was made anew under the name while the destroy of the old one had not heard that it is buried.
#[tokio::test]
async fn t21_a_record_that_took_the_place_of_a_buried_one_is_not_buried() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted(&fleet, "coder").await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("DeleteSandbox", Effect::Hold));
    let digest = plan(&fleet, &name).await.digest;
    let open = ask(&fleet, &name, &digest).await.unwrap().recovery.unwrap();
    let deleting = |call: &salvor_devgateway::Call| call.method == "DeleteSandbox";
    assert!(control.wait_for_call(deleting, PATIENCE).await.is_some());
    let fence_token = take_over(&fleet, &name).await;
    bury(&fleet, &name, fence_token).await;
    let anew = fleet.adopt(&name).await.unwrap();
    control.clear_faults();
    let ended = fleet.wait(&open.name).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    let stands = fleet.record(&name).await.unwrap();
    assert_eq!((stands.uid.as_str(), stands.state()), (&*anew.uid, anew.state()));
    fleet.stop().await;
}

/// The same, before the destroy had begun: the record that was made anew never had its plan.
#[tokio::test]
async fn t21_a_record_made_anew_before_a_destroy_began_keeps_its_sandbox() {
    let (fleet, first) = behind_another().await;
    let (name, id) = adopted(&fleet, "coder").await;
    let control = lab(&fleet).control.clone();
    let digest = plan(&fleet, &name).await.digest;
    let waits = ask(&fleet, &name, &digest).await.unwrap().recovery.unwrap();
    let fence_token = take_over(&fleet, &name).await;
    bury(&fleet, &name, fence_token).await;
    let anew = fleet.adopt(&name).await.unwrap();

    control.clear_faults();
    let ended = fleet.wait(&waits.name).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    assert_eq!(ended.failure.unwrap().reason, "RECORD_CHANGED");
    assert_eq!(control.sandbox("coder").unwrap().id, id);
    let stands = fleet.record(&name).await.unwrap();
    assert_eq!((&stands.uid, stands.state()), (&anew.uid, registry::sandbox::State::Active));
    assert_eq!(fleet.wait(&first.name).await.unwrap().state(), State::Succeeded);
    fleet.stop().await;
}
