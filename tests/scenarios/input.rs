//! Bad input and a bad world around salvor: answered clearly, and nobody else is harmed.

use salvor_devgateway::{Effect, Fault};
use salvor_proto::{
    recovery::v1::{self as pb, recovery::State},
    registry::v1 as registry,
};
use salvor_runtime::database::Location;
use salvor_testkit::{Fleet, Options, mounts, store, wait::PATIENCE};
use sqlx::any::AnyArguments;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    support::{AUTO, REBUILD, reason, seed},
    witness::{Witness, adopted, formed, lost, recovery, verdict, whole},
};

/// An INVALID_ARGUMENT that names this field once, and says what is wrong with it.
fn field(status: &Status, field: &str) {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert_eq!(reason(status), "INVALID_FIELD", "{status:?}");
    let details = status.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, [field], "{status:?}");
    assert!(!violations[0].description.is_empty());
    assert!(status.message().starts_with(field), "{status:?}");
}

#[tokio::test]
async fn t00_a_malformed_name_is_refused_by_every_call_and_named() {
    let fleet = Fleet::lab().await.unwrap();
    let long = Fleet::name("lab", &"x".repeat(300));
    let before = Witness::of(&fleet, &[]).await;
    for name in [
        "",
        "coder",
        "gateways/lab",
        "gateways/lab/workspaces/default/sandboxes/",
        "gateways/lab/workspaces/default/sandboxes/a/b",
        "gateways/lab/workspaces/default/sandboxes/../coder",
        "gateways/lab/workspaces/default/sandboxes/coder\n",
        "gateways/LAB/workspaces/default/sandboxes/coder",
        "gateways/-/workspaces/default/sandboxes/coder",
        "gateways/lab/workspaces/default/sandboxes/c\u{f6}der",
        "recoveries/0193a4c50000",
        &long,
    ] {
        let mut api = fleet.recovery.clone();
        let owned = || name.to_owned();
        field(&fleet.status(name).await.unwrap_err(), "name");
        field(&api.get_verdict(pb::GetVerdictRequest { name: owned() }).await.unwrap_err(), "name");
        field(&fleet.ask(name, AUTO).await.unwrap_err(), "name");
        field(&fleet.adopt(name).await.unwrap_err(), "name");
        field(&fleet.destroy(name).await.unwrap_err(), "name");
        let request = pb::ConnectSandboxRequest { name: owned() };
        field(&api.connect_sandbox(request).await.unwrap_err(), "name");
        field(&fleet.record(name).await.unwrap_err(), "name");
        if !name.starts_with("recoveries/") {
            let request = pb::GetRecoveryRequest { name: owned() };
            field(&api.get_recovery(request).await.unwrap_err(), "name");
            field(&fleet.decisions(name).await.unwrap_err(), "parent");
        }
    }
    before.assert_untouched(&fleet).await;
    fleet.stop().await;
}

#[tokio::test]
async fn t00_what_is_not_there_is_not_found_with_a_next_step() {
    let fleet = Fleet::lab().await.unwrap();
    let name = Fleet::name("lab", "nobody");
    let missing = |status: &Status, reason: &str| formed(status, Code::NotFound, reason);
    missing(&fleet.status(&name).await.unwrap_err(), "SANDBOX_NOT_FOUND");
    missing(&fleet.ask(&name, REBUILD).await.unwrap_err(), "SANDBOX_NOT_FOUND");
    missing(&fleet.destroy(&name).await.unwrap_err(), "SANDBOX_NOT_FOUND");
    let request = pb::GetRecoveryRequest { name: "recoveries/none".into() };
    let status = fleet.recovery.clone().get_recovery(request).await.unwrap_err();
    missing(&status, "RECOVERY_NOT_FOUND");
    fleet.stop().await;
}

#[tokio::test]
async fn t00_a_page_that_was_never_given_out_is_refused() {
    let fleet = Fleet::lab().await.unwrap();
    let (mut api, mut records) = (fleet.recovery.clone(), fleet.registry.clone());
    for page_token in ["garbage", "!!!", "eHg", "LTE"].map(str::to_owned) {
        let request =
            pb::ListRecoveriesRequest { page_token: page_token.clone(), ..Default::default() };
        field(&api.list_recoveries(request).await.unwrap_err(), "page_token");
        let request =
            registry::ListSandboxesRequest { page_token: page_token.clone(), ..Default::default() };
        field(&records.list_sandboxes(request).await.unwrap_err(), "page_token");
        let request = registry::ListGatewaysRequest { page_token, page_size: 0 };
        field(&records.list_gateways(request).await.unwrap_err(), "page_token");
    }
    for page_size in [-1, 1001, i32::MAX, i32::MIN] {
        let request = pb::ListRecoveriesRequest { page_size, ..Default::default() };
        field(&api.list_recoveries(request).await.unwrap_err(), "page_size");
        let parent = Fleet::name("lab", "coder");
        let request = pb::ListDecisionsRequest { parent, page_size, ..Default::default() };
        field(&api.list_decisions(request).await.unwrap_err(), "page_size");
        let request = registry::ListSandboxesRequest { page_size, ..Default::default() };
        field(&records.list_sandboxes(request).await.unwrap_err(), "page_size");
    }
    fleet.stop().await;
}

#[tokio::test]
async fn t00_an_unknown_path_digest_id_or_wait_is_refused_and_nothing_begins() {
    let fleet = Fleet::lab().await.unwrap();
    let name = lost(&fleet, "lab", "coder", &seed()).await;
    let before = Witness::of(&fleet, &[&name]).await;
    let api = fleet.recovery.clone();
    let good = || pb::RecoverSandboxRequest { name: name.clone(), ..Default::default() };
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    for (bad, request) in [
        ("path", pb::RecoverSandboxRequest { path: 99, ..good() }),
        ("path", pb::RecoverSandboxRequest { path: -1, ..good() }),
        ("request_id", pb::RecoverSandboxRequest { request_id: "again".into(), ..good() }),
        ("plan_digest", pb::RecoverSandboxRequest { plan_digest: "abc".into(), ..good() }),
        ("settle_timeout", pb::RecoverSandboxRequest { settle_timeout: seconds(-1), ..good() }),
        ("settle_timeout", pb::RecoverSandboxRequest { settle_timeout: seconds(61), ..good() }),
        (
            "settle_timeout",
            pb::RecoverSandboxRequest { settle_timeout: seconds(i64::MAX), ..good() },
        ),
    ] {
        field(&api.clone().recover_sandbox(request).await.unwrap_err(), bad);
    }
    let request = pb::PlanRecoveryRequest { name: name.clone(), path: 99, ..Default::default() };
    field(&api.clone().plan_recovery(request).await.unwrap_err(), "path");
    // A plan that is well formed, and not the one there is.
    let request = pb::RecoverSandboxRequest { plan_digest: "ab".repeat(32), ..good() };
    let status = api.clone().recover_sandbox(request).await.unwrap_err();
    formed(&status, Code::Aborted, "PLAN_CHANGED");
    before.assert_untouched(&fleet).await;
    fleet.stop().await;
}

#[tokio::test]
async fn t00_a_stale_or_missing_etag_writes_nothing() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted(&fleet, "lab", "coder", &seed()).await;
    let before = Witness::of(&fleet, &[&name]).await;
    let record = fleet.record(&name).await.unwrap();
    let update = |etag: &str, path: &str| registry::UpdateSandboxRequest {
        sandbox: Some(registry::Sandbox { etag: etag.to_owned(), ..record.clone() }),
        update_mask: Some(prost_types::FieldMask { paths: vec![path.to_owned()] }),
        ..Default::default()
    };
    let mut records = fleet.registry.clone();
    let status = records.update_sandbox(update("another", "labels")).await.unwrap_err();
    formed(&status, Code::Aborted, "ETAG_MISMATCH");
    let status = records.update_sandbox(update("", "labels")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let status = records.update_sandbox(update(&record.etag, "no_such_field")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    before.assert_untouched(&fleet).await;
    fleet.stop().await;
}

#[tokio::test]
async fn t00_a_message_over_four_mebibytes_is_refused_and_the_next_one_served() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted(&fleet, "lab", "coder", &seed()).await;
    let before = Witness::of(&fleet, &[&name]).await;
    let status = fleet.status(&"x".repeat(5 << 20)).await.unwrap_err();
    assert!(matches!(status.code(), Code::ResourceExhausted | Code::OutOfRange), "{status:?}");
    let sandbox = registry::Sandbox { name: "x".repeat(80 << 20), ..Default::default() };
    let request = registry::CreateSandboxRequest { sandbox: Some(sandbox), ..Default::default() };
    let status = fleet.registry.clone().create_sandbox(request).await.unwrap_err();
    assert_ne!(status.code(), Code::Ok);
    assert_eq!(verdict(&fleet, &name).await.verdict(), pb::Verdict::Live);
    before.assert_untouched(&fleet).await;
    fleet.stop().await;
}

/// The adapter vanishes while the gateway keeps it waiting, in the middle of a request that decides.
#[tokio::test]
async fn t00_an_adapter_that_vanishes_in_mid_call_proves_nothing() {
    let mut fleet = Fleet::lab().await.unwrap();
    let name = lost(&fleet, "lab", "coder", &seed()).await;
    let control = fleet.gateway("lab").control.clone();
    let before = Witness::of(&fleet, &[&name]).await;
    control.fault(Fault::on("GetSandbox", Effect::Drop));
    let mut api = fleet.recovery.clone();
    let request = pb::RecoverSandboxRequest {
        name: name.clone(),
        path: REBUILD.into(),
        ..Default::default()
    };
    let asked = tokio::spawn(async move { api.recover_sandbox(request).await });
    let hangs = control.wait_for_call(|call| call.method == "GetSandbox", PATIENCE).await;
    assert!(hangs.is_some());
    fleet.kill_adapter().await;
    let status = asked.await.unwrap().unwrap_err();
    // Whichever of the two is noticed first.
    let why = reason(&status);
    assert!(matches!(&*why, "ADAPTER_UNREACHABLE" | "GATEWAY_DEADLINE_EXCEEDED"), "{status:?}");
    whole(&fleet, &name, &status, Code::Unavailable, &why).await;
    before.assert_untouched(&fleet).await;

    control.clear_faults();
    fleet.restart_adapter().await.unwrap();
    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    fleet.stop().await;
}

/// Writes over one row, past the service.
async fn overwrite(at: &Location, update: sqlx::query::Query<'_, sqlx::Any, AnyArguments>) {
    let beside = store::open(at).await;
    assert_eq!(update.execute(&beside).await.unwrap().rows_affected(), 1);
}

/// Journal rows that are no JSON, and those that are not even text, which a server does not keep.
const NO_JSON: [&str; 2] = [
    "UPDATE recoveries SET plan = '{' WHERE name = $1",
    "UPDATE journal SET event = '\"Nonsense\"' WHERE seq = 1 AND recovery = $1",
];
const NO_TEXT: [&str; 2] = [
    "UPDATE recoveries SET evidence = CAST(x'7bff' AS TEXT) WHERE name = $1",
    "UPDATE journal SET event = CAST(x'22ff22' AS TEXT) WHERE seq = 1 AND recovery = $1",
];

/// Each of several recoveries is damaged in one row: it is said to be, and everything else goes on, the same record included.
#[tokio::test]
async fn t00_a_damaged_journal_row_harms_only_itself() {
    let fleet = Fleet::lab().await.unwrap();
    let control = &fleet.gateway("lab").control;
    let mut recoveries = Vec::new();
    let journal = fleet.journal();
    let no_text = if journal.is_shared() { &[][..] } else { &NO_TEXT[..] };
    let damages = [&NO_JSON[..], no_text].concat();
    for at in 0..=damages.len() {
        let name = lost(&fleet, "lab", &format!("s{at}"), &seed()).await;
        recoveries.push((name.clone(), fleet.recover(&name, REBUILD).await.unwrap().name));
    }
    let (whole, unharmed) = recoveries.pop().unwrap();
    for ((_, damaged), sql) in recoveries.iter().zip(damages) {
        overwrite(journal, sqlx::query(sql).bind(damaged)).await;
        let request = pb::GetRecoveryRequest { name: damaged.clone() };
        let status = fleet.recovery.clone().get_recovery(request).await.unwrap_err();
        assert_eq!(status.code(), Code::DataLoss, "{status:?}");
        assert_eq!(reason(&status), "JOURNAL_ROW_UNREADABLE");
    }
    assert_eq!(recovery(&fleet, &unharmed).await.state(), State::Succeeded);
    assert!(!fleet.decisions(&whole).await.unwrap().is_empty());
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListRecoveriesRequest { page_size: 1, page_token, ..Default::default() };
        let page = fleet.recovery.clone().list_recoveries(request).await.unwrap().into_inner();
        listed.extend(page.recoveries.into_iter().map(|recovery| recovery.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert!(listed.contains(&unharmed), "{listed:?}");

    // The record whose history is damaged can be recovered again, and shows what is still legible.
    let name = &recoveries[0].0;
    crate::witness::lose(control, "s0").await;
    let again = fleet.recover(name, REBUILD).await.unwrap();
    assert_eq!(again.state(), State::Succeeded, "{again:#?}");
    let request = pb::ListRecoveriesRequest { page_size: 1, ..Default::default() };
    let page = fleet.recovery.clone().list_recoveries(request).await.unwrap().into_inner();
    assert_eq!(page.recoveries[0].name, again.name);
    let kept = fleet.decisions(name).await.unwrap();
    assert!(kept.iter().any(|decision| decision.name.starts_with(&again.name)), "{kept:#?}");
    fleet.stop().await;
}

#[tokio::test]
async fn t00_a_damaged_record_harms_only_itself() {
    let fleet = Fleet::lab().await.unwrap();
    let damaged = lost(&fleet, "lab", "damaged", &seed()).await;
    let sound = lost(&fleet, "lab", "sound", &seed()).await;
    let sql = "UPDATE records SET message = $2 WHERE name = $1 AND superseded IS NULL";
    let no_message: &[u8] = &[0x00, 0xff];
    overwrite(fleet.records(), sqlx::query(sql).bind(&damaged).bind(no_message)).await;
    fleet.gateway("lab").control.clear_calls();

    for status in [
        fleet.status(&damaged).await.unwrap_err(),
        fleet.ask(&damaged, REBUILD).await.unwrap_err(),
        fleet.destroy(&damaged).await.unwrap_err(),
    ] {
        let said = formed(&status, Code::DataLoss, "RECORD_UNREADABLE");
        assert!(said.message.contains(&damaged), "{said:?}");
    }
    assert!(fleet.gateway("lab").control.mutating_calls().is_empty());
    let recovery = fleet.recover(&sound, REBUILD).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    let request = registry::ListSandboxesRequest::default();
    let listed = fleet.registry.clone().list_sandboxes(request).await.unwrap().into_inner();
    assert!(listed.sandboxes.iter().any(|record| record.name == sound), "{listed:#?}");
    fleet.stop().await;
}

/// The disk under the journal fills up before a recovery, and in the middle of one. The test runs itself again in a mount
/// namespace of its own, so that the disk is a small file system that nobody else sees.
#[tokio::test]
async fn t00_a_full_disk_under_the_journal_begins_nothing_and_loses_nothing() {
    if store::skipped_on_a_server("the disk under a file") {
        return;
    }
    if mounts::inside("input::t00_a_full_disk_under_the_journal_begins_nothing_and_loses_nothing") {
        full_disk().await;
    }
}

async fn full_disk() {
    let mut fleet =
        Fleet::start(Options { orchestrator: false, ..Options::default() }).await.unwrap();
    let disk = fleet.dir().join("orchestrator");
    std::fs::create_dir(&disk).unwrap();
    mounts::small(&disk, 1);
    fleet.restart_orchestrator().await.unwrap();
    let name = lost(&fleet, "lab", "coder", &seed()).await;
    let control = fleet.gateway("lab").control.clone();
    let ballast = disk.join("ballast");

    mounts::fill(&ballast);
    let before = Witness::of(&fleet, &[&name]).await;
    let status = fleet.ask(&name, REBUILD).await.unwrap_err();
    let said = formed(&status, Code::ResourceExhausted, "STORAGE_FULL");
    assert!(said.message.contains("nothing was begun"), "{said:?}");
    before.assert_untouched(&fleet).await;
    std::fs::remove_file(&ballast).unwrap();

    // The create is on its way when the disk fills: its outcome cannot be written, and the recovery goes on later.
    control.fault(Fault::on("CreateSandbox", Effect::Hold).times(1));
    let accepted = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    let create = |call: &salvor_devgateway::Call| call.method == "CreateSandbox";
    assert!(control.wait_for_call(create, PATIENCE).await.is_some());
    mounts::fill(&ballast);
    control.clear_faults();
    assert!(control.wait_phase("coder", salvor_devgateway::Phase::Ready, PATIENCE).await);
    std::fs::remove_file(&ballast).unwrap();
    let recovery = fleet.wait(&accepted.name).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    let mutating = control.mutating_calls();
    assert_eq!(mutating.len(), 1, "{mutating:?}");
    fleet.stop().await;
}
