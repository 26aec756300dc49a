//! Records are made by adoption, explicitly, from what is live; nothing that is asked for is left out in silence.

use salvor_devgateway::{Dialect, Effect, Fault, Phase, Restart};
use salvor_proto::{
    recovery::v1::{self as pb, recovery::State},
    registry::v1::{self as registry, posture},
};
use salvor_testkit::{
    Fleet, Options,
    wait::{PATIENCE, until},
};
use tonic::Code;

use crate::{
    given::{
        LAB, adopted, adoption, fleet_on, lab, lost, mutations, next_step, on, reaches, recorded,
        stop, stopped, write,
    },
    support::{REBUILD, reason, seed},
};

async fn names(fleet: &Fleet) -> Vec<String> {
    let request = registry::ListSandboxesRequest {
        parent: format!("gateways/{LAB}/workspaces/-"),
        show_deleted: true,
        page_size: 1000,
        ..Default::default()
    };
    let page = fleet.registry.clone().list_sandboxes(request).await.unwrap().into_inner();
    page.sandboxes.into_iter().map(|record| record.name).collect()
}

async fn adopt_all(fleet: &Fleet) -> pb::AdoptGatewayResponse {
    let request =
        pb::AdoptGatewayRequest { gateway: format!("gateways/{LAB}"), workspace: String::new() };
    fleet.recovery.clone().adopt_gateway(request).await.unwrap().into_inner()
}

/// What is captured, and that its secrets are not shown.
async fn captured(dialect: Dialect) {
    let fleet = fleet_on(dialect).await;
    let id = fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    let name = Fleet::name(LAB, "coder");
    lab(&fleet).control.clear_calls();
    let record = fleet.adopt(&name).await.unwrap();
    assert_eq!(record.name, name);
    assert_eq!(record.live_id, id);
    assert_eq!(record.state(), registry::sandbox::State::Active);
    assert_eq!((&record.labels, &record.annotations), (&seed().labels, &seed().annotations));
    let identity = record.gateway_identity.clone().unwrap();
    assert_eq!(identity.store_id, lab(&fleet).control.store_id());
    let spec = record.spec.clone().unwrap();
    assert!(spec.content.is_empty() && spec.openable && spec.size_bytes > 0, "{spec:#?}");
    let summary = spec.summary.unwrap();
    assert_eq!(summary.image, seed().image);
    assert_eq!(summary.environment_names, ["AGENT_TOKEN"]);
    assert_eq!(record.policy.as_ref().unwrap().entries.len(), 2);
    assert_eq!(record.agents[0].kind, "unknown");
    assert!(!format!("{record:?}").contains("s3cret-value"));
    assert_eq!(mutations(&fleet), [""; 0]);
    assert_eq!(fleet.record(&name).await.unwrap(), record);
    fleet.stop().await;
}

#[tokio::test]
async fn t20_adoption_captures_what_is_live_and_shows_no_secret_on_0_0() {
    captured(Dialect::V0_0).await;
}

#[tokio::test]
async fn t20_adoption_captures_what_is_live_and_shows_no_secret_on_0_1() {
    captured(Dialect::V0_1).await;
}

#[tokio::test]
async fn t20_a_dry_adoption_answers_the_record_and_stores_none() {
    let fleet = Fleet::lab().await.unwrap();
    let id = fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    let request = pb::AdoptSandboxRequest { validate_only: true, ..adoption("coder") };
    let shown = fleet.adopt_with(request).await.unwrap();
    assert_eq!(shown.live_id, id);
    assert!(shown.spec.unwrap().content.is_empty(), "a preview holds no secret either");
    assert_eq!(names(&fleet).await, [""; 0]);
    fleet.stop().await;
}

#[tokio::test]
async fn t20_a_second_adoption_is_told_that_there_is_a_record() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let refused = fleet.adopt(&name).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    let request = pb::AdoptSandboxRequest { validate_only: true, ..adoption("coder") };
    assert_eq!(fleet.adopt_with(request).await.unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(recorded(&fleet, &name).await, before);
    fleet.stop().await;
}

#[tokio::test]
async fn t20_the_same_adoption_request_makes_one_record() {
    let fleet = Fleet::lab().await.unwrap();
    fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    let request_id = "9a3d2d4e-6f0b-4e53-9f0d-0c1f5b8f9f11".to_owned();
    let request = pb::AdoptSandboxRequest { request_id, ..adoption("coder") };
    let first = fleet.adopt_with(request.clone()).await.unwrap();
    let again = fleet.adopt_with(request.clone()).await.unwrap();
    assert_eq!(first, again);
    let otherwise = pb::AdoptSandboxRequest { claim_default: true, ..request.clone() };
    let refused = fleet.adopt_with(otherwise).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
    let malformed = pb::AdoptSandboxRequest { request_id: "seven".into(), ..request };
    let refused = fleet.adopt_with(malformed).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    fleet.stop().await;
}

#[tokio::test]
async fn t20_a_stopped_sandbox_can_be_adopted_and_revived() {
    let fleet = Fleet::lab().await.unwrap();
    let id = fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    stop(&fleet, "coder").await;
    let name = Fleet::name(LAB, "coder");
    assert_eq!(fleet.adopt(&name).await.unwrap().live_id, id);
    let recovery = fleet.recover(&name, pb::RecoveryPath::Auto).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    fleet.stop().await;
}

#[tokio::test]
async fn t20_what_is_absent_is_not_adopted() {
    let fleet = Fleet::lab().await.unwrap();
    let refused = fleet.adopt(&Fleet::name(LAB, "nothing")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "SANDBOX_ABSENT");
    assert_eq!(names(&fleet).await, [""; 0]);
    fleet.stop().await;
}

#[tokio::test]
async fn t20_what_is_still_coming_up_is_not_adopted_yet() {
    let fleet = Fleet::lab().await.unwrap();
    fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    lab(&fleet).control.disconnect("coder").unwrap();
    let name = Fleet::name(LAB, "coder");
    let refused = fleet.adopt(&name).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "PHASE_NOT_CAPTURABLE");
    assert!(refused.message().contains("PROVISIONING"), "{}", refused.message());
    assert!(next_step(&refused).contains(&format!("salvor adopt {name}")));
    lab(&fleet).control.reconnect("coder").unwrap();
    assert!(lab(&fleet).control.wait_phase("coder", Phase::Ready, PATIENCE).await);
    fleet.adopt(&name).await.unwrap();
    fleet.stop().await;
}

#[tokio::test]
async fn t20_what_cannot_be_determined_is_not_adopted() {
    let gateways = vec![(LAB, Dialect::V0_0), ("far", Dialect::V0_0)];
    let fleet = Fleet::start(Options { gateways, ..Options::default() }).await.unwrap();
    fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    fleet.sandbox("far", "coder", &seed()).await.unwrap();
    let control = lab(&fleet).control.clone();
    control.down(Restart::Killed).await.unwrap();
    let refused = fleet.adopt(&Fleet::name(LAB, "coder")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(!next_step(&refused).is_empty());
    control.up().await.unwrap();
    for fault in [
        Fault::on("GetSandbox", Effect::OmitSpec),
        Fault::fail("GetSandbox", Code::PermissionDenied, "no"),
        Fault::fail("GetSandbox", Code::Internal, "broken"),
    ] {
        control.fault(fault.clone());
        let refused = fleet.adopt(&Fleet::name(LAB, "coder")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{fault:?}: {refused:?}");
        control.clear_faults();
    }
    let unknown = fleet.adopt(&Fleet::name("elsewhere", "coder")).await.unwrap_err();
    assert_eq!(reason(&unknown), "GATEWAY_NOT_REGISTERED", "{unknown:?}");
    assert_eq!(names(&fleet).await, [""; 0]);
    fleet.stop().await;
}

/// Its sandbox was replaced on purpose; the record is to speak of the present one.
#[tokio::test]
async fn t20_a_rebind_takes_the_present_incarnation_and_keeps_the_rest() {
    let fleet = Fleet::lab().await.unwrap();
    let probe = registry::ReadinessProbe { command: vec!["true".into()], ..Default::default() };
    let agents = vec![registry::Agent { kind: "claude-code".into(), version: "2".into() }];
    let request = pb::AdoptSandboxRequest {
        readiness_probe: Some(probe.clone()),
        agents: agents.clone(),
        claim_default: true,
        ..adoption("coder")
    };
    let (name, old_id) = crate::given::adopted_as(&fleet, "coder", request).await;
    let before = recorded(&fleet, &name).await;
    let stranger = lab(&fleet).control.replace("coder").await.unwrap();
    assert!(lab(&fleet).control.wait_phase("coder", Phase::Ready, PATIENCE).await);
    let status = fleet.status(&name).await.unwrap();
    assert_eq!(status.verdict(), pb::Verdict::Foreign);
    assert!(status.next_step.contains(&format!("salvor adopt --rebind {name}")));

    let rebind = pb::AdoptSandboxRequest { rebind: true, ..adoption("coder") };
    let dry = pb::AdoptSandboxRequest { validate_only: true, ..rebind.clone() };
    let shown = fleet.adopt_with(dry).await.unwrap();
    assert_eq!(shown.live_id, stranger);
    assert_eq!(recorded(&fleet, &name).await, before, "a dry run stores nothing");
    assert_eq!(before.live_id, old_id);

    let record = fleet.adopt_with(rebind).await.unwrap();
    assert_eq!(record.live_id, stranger);
    assert_eq!((&record.uid, &record.agents), (&before.uid, &agents));
    assert_eq!(record.readiness_probe, Some(probe));
    assert!(record.is_default);
    assert_eq!(fleet.status(&name).await.unwrap().verdict(), pb::Verdict::Live);
    fleet.stop().await;
}

#[tokio::test]
async fn t20_a_rebind_takes_what_it_was_asked_to_change() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted(&fleet, "coder").await;
    let probe = registry::ReadinessProbe { command: vec!["true".into()], ..Default::default() };
    let rules = registry::SnapshotRules { roots: vec!["/sandbox".into()], ..Default::default() };
    let request = pb::AdoptSandboxRequest {
        rebind: true,
        readiness_probe: Some(probe.clone()),
        snapshot_rules: Some(rules.clone()),
        automatic_recovery: registry::AutomaticRecovery::ReviveOnly.into(),
        ..adoption("coder")
    };
    fleet.adopt_with(request).await.unwrap();
    let after = recorded(&fleet, &name).await;
    assert_eq!(after.readiness_probe, Some(probe));
    assert_eq!(after.snapshot_rules, Some(rules));
    assert_eq!(after.automatic_recovery(), registry::AutomaticRecovery::ReviveOnly);
    fleet.stop().await;
}

#[tokio::test]
async fn t20_the_proof_of_a_lock_is_not_handed_to_another_incarnation() {
    let fleet = Fleet::lab().await.unwrap();
    let id = fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    write(&fleet, "coder", &id, "/sandbox/rules.md", "text").await;
    let seal_paths = vec!["/sandbox/rules.md".to_owned()];
    fleet.adopt_with(pb::AdoptSandboxRequest { seal_paths, ..adoption("coder") }).await.unwrap();
    lab(&fleet).control.replace("coder").await.unwrap();
    assert!(lab(&fleet).control.wait_phase("coder", Phase::Ready, PATIENCE).await);
    let rebind = pb::AdoptSandboxRequest { rebind: true, ..adoption("coder") };
    let kept = fleet.adopt_with(rebind).await.unwrap().posture.unwrap();
    assert_eq!(kept.mode(), posture::Mode::Locked, "the obligation stays");
    assert_eq!(kept.proof(), posture::Proof::Pending, "{kept:#?}");
    fleet.stop().await;
}

#[tokio::test]
async fn t20_a_rebind_without_a_record_makes_none() {
    let fleet = Fleet::lab().await.unwrap();
    fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    let rebind = pb::AdoptSandboxRequest { rebind: true, ..adoption("coder") };
    let refused = fleet.adopt_with(rebind).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
    assert_eq!(names(&fleet).await, [""; 0]);
    fleet.stop().await;
}

#[tokio::test]
async fn t20_a_rebind_does_not_take_a_record_from_a_parked_recovery() {
    let undetermined_timeout = std::time::Duration::from_millis(300);
    let park_retry = std::time::Duration::from_mins(1);
    let options = Options { undetermined_timeout, park_retry, ..on(Dialect::V0_0) };
    let fleet = Fleet::start(options).await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::HangAfter).times(1));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    until("it is made", || async { control.sandbox("coder").map(drop) }).await;
    control.down(Restart::Killed).await.unwrap();
    reaches(&fleet, &open.name, State::Parked).await;
    let before = recorded(&fleet, &name).await;
    control.up().await.unwrap();
    assert!(control.wait_phase("coder", Phase::Ready, PATIENCE).await);
    let rebind = pb::AdoptSandboxRequest { rebind: true, ..adoption("coder") };
    let refused = fleet.adopt_with(rebind).await.unwrap_err();
    assert_eq!(reason(&refused), "RECORD_NOT_ACTIVE", "{refused:?}");
    assert_eq!(recorded(&fleet, &name).await, before);
    fleet.stop().await;
}

/// Thirty in all states: each is adopted, known already, or named with its reason.
#[tokio::test]
async fn t20_adopting_a_gateway_accounts_for_every_sandbox_on_it() {
    let fleet = Fleet::lab().await.unwrap();
    let control = lab(&fleet).control.clone();
    let all: Vec<String> = (0..30).map(|n| format!("agent-{n:02}")).collect();
    let seed = seed();
    let created = all.iter().map(|name| fleet.sandbox(LAB, name, &seed));
    futures::future::try_join_all(created).await.unwrap();
    adopted(&fleet, "known").await;
    stopped(&fleet, "known-stopped").await;
    stop(&fleet, "agent-00").await;
    control.disconnect("agent-01").unwrap();
    control.kill("agent-02").await.unwrap();
    assert!(control.wait_phase("agent-02", Phase::Error, PATIENCE).await);
    control.clear_calls();

    let answer = adopt_all(&fleet).await;
    let mut made: Vec<_> = answer.adopted.iter().map(|record| record.name.clone()).collect();
    made.sort();
    let expected: Vec<_> = all
        .iter()
        .filter(|name| !["agent-01", "agent-02"].contains(&name.as_str()))
        .map(|name| Fleet::name(LAB, name))
        .collect();
    assert_eq!(made, expected);
    let mut known = answer.already_recorded.clone();
    known.sort();
    assert_eq!(known, [Fleet::name(LAB, "known"), Fleet::name(LAB, "known-stopped")]);
    let mut left: Vec<_> =
        answer.not_adopted.iter().map(|left| (left.name.as_str(), left.reason.as_str())).collect();
    left.sort_unstable();
    let (first, second) = (Fleet::name(LAB, "agent-01"), Fleet::name(LAB, "agent-02"));
    assert_eq!(
        left,
        [(first.as_str(), "PHASE_NOT_CAPTURABLE"), (second.as_str(), "PHASE_NOT_CAPTURABLE")]
    );
    assert_eq!(mutations(&fleet), [""; 0]);
    let again = adopt_all(&fleet).await;
    assert_eq!((again.adopted.len(), again.already_recorded.len()), (0, 30));
    fleet.stop().await;
}

#[tokio::test]
async fn t20_adopting_a_gateway_that_cannot_be_asked_is_no_empty_answer() {
    let fleet = Fleet::lab().await.unwrap();
    let request =
        pb::AdoptGatewayRequest { gateway: format!("gateways/{LAB}"), workspace: String::new() };
    let control = lab(&fleet).control.clone();
    control.fault(Fault::fail("ListSandboxes", Code::Internal, "broken"));
    let refused = fleet.recovery.clone().adopt_gateway(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    control.clear_faults();
    control.down(Restart::Killed).await.unwrap();
    let refused = fleet.recovery.clone().adopt_gateway(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    fleet.stop().await;
}

/// What was captured would take the place of what the record has come to say meanwhile: of another incarnation, perhaps.
#[tokio::test]
async fn t20_a_rebind_takes_the_place_of_no_version_that_it_has_not_seen() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted(&fleet, "coder").await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("GetSandbox", Effect::Hold));
    let rebind = fleet.adopt_with(pb::AdoptSandboxRequest { rebind: true, ..adoption("coder") });
    let meanwhile = async {
        let looks = control.wait_for_call(|call| call.method == "GetSandbox", PATIENCE).await;
        assert!(looks.is_some());
        let mut record = fleet.record(&name).await.unwrap();
        record.labels.insert("owner".into(), "somebody".into());
        let request = registry::UpdateSandboxRequest {
            sandbox: Some(record),
            update_mask: Some(prost_types::FieldMask { paths: vec!["labels".into()] }),
            ..Default::default()
        };
        fleet.registry.clone().update_sandbox(request).await.unwrap();
        control.clear_faults();
    };
    let (rebound, ()) = tokio::join!(rebind, meanwhile);
    let refused = rebound.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::Aborted, "ETAG_MISMATCH"));
    assert_eq!(recorded(&fleet, &name).await.labels["owner"], "somebody");
    fleet.stop().await;
}
