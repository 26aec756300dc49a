//! What only one dialect has, and what the wrong dialect makes of it.

use salvor_devgateway::{Dialect, Effect, Fault, Phase};
use salvor_openshell_wire::v0_1 as pb;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::client::{Client, refusal, said, select};
use crate::{Fixture, PATIENCE};

const REQUEST_ID: &str = "5f0c9a0e-6c0e-4d57-9c1c-0d3a5a1d2e3f";

fn create(name: &str, request_id: &str) -> pb::CreateSandboxRequest {
    pb::CreateSandboxRequest {
        name: name.into(),
        spec: Some(Vec::new()),
        workspace_scope: select("default"),
        request_id: request_id.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_request_id_creates_once_even_when_the_reply_was_lost() {
    let mut fixture = Fixture::new(Dialect::V0_1).await;
    let control = fixture.control();
    control.fault(Fault::on("CreateSandbox", Effect::LoseReply).times(1));
    let client = fixture.client.v0_1();
    let lost = client.create_sandbox(create("agent", REQUEST_ID)).await;
    assert_eq!(refusal(lost).0, Code::Unavailable);
    let again = client.create_sandbox(create("agent", REQUEST_ID)).await.unwrap();
    assert_eq!(again.metadata().get("openshell-replayed").unwrap(), "true");
    let id = again.into_inner().sandbox.unwrap().metadata.unwrap().id;
    assert_eq!(control.sandboxes().len(), 1);
    assert_eq!(control.sandbox("agent").unwrap().id, id);

    let other = client.create_sandbox(create("other", REQUEST_ID)).await.unwrap_err();
    let info = other.get_error_details();
    let info = info.error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.domain.as_str()),
        ("REQUEST_ID_PAYLOAD_MISMATCH", "openshell.nvidia.com")
    );
    assert_eq!(
        refusal(client.create_sandbox(create("x", "not-a-uuid")).await).0,
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn a_refused_request_id_can_be_used_again() {
    let mut fixture = Fixture::new(Dialect::V0_1).await;
    fixture.ready("agent").await;
    let client = fixture.client.v0_1();
    let taken = client.create_sandbox(create("agent", REQUEST_ID)).await;
    assert_eq!(refusal(taken).0, Code::AlreadyExists);
    fixture.client.delete("agent").await.unwrap();
    assert!(fixture.control().wait_absent("agent", PATIENCE).await);
    let client = fixture.client.v0_1();
    let created = client.create_sandbox(create("agent", REQUEST_ID)).await.unwrap();
    assert!(created.metadata().get("openshell-replayed").is_none());
}

#[tokio::test]
async fn so_many_request_ids_are_admitted_and_effects_without_one_go_on() {
    let mut fixture = Fixture::new(Dialect::V0_1).await;
    fixture.control().set_max_admissions(1);
    let client = fixture.client.v0_1();
    client.create_sandbox(create("agent", REQUEST_ID)).await.unwrap();
    let other = REQUEST_ID.replace('5', "6");
    assert_eq!(
        refusal(client.create_sandbox(create("more", &other)).await),
        said(Code::ResourceExhausted, "too many admitted requests")
    );
    let again = client.create_sandbox(create("agent", REQUEST_ID)).await.unwrap();
    assert_eq!(again.metadata().get("openshell-replayed").unwrap(), "true");
    client.create_sandbox(create("more", "")).await.unwrap();
}

#[tokio::test]
async fn deletions_name_the_outcome_and_the_id() {
    let mut fixture = Fixture::new(Dialect::V0_1).await;
    let id = fixture.ready("agent").await.id;
    let control = fixture.control();
    let request = pb::DeleteSandboxRequest {
        name: "agent".into(),
        workspace_scope: select("default"),
        ..Default::default()
    };
    let client = fixture.client.v0_1();
    let deleted = client.delete_sandbox(request.clone()).await.unwrap().into_inner();
    assert_eq!(deleted.outcome(), pb::DeletionOutcome::Accepted);
    assert_eq!(deleted.sandbox_id, id);
    assert!(control.wait_absent("agent", PATIENCE).await);
    assert_eq!(
        refusal(client.delete_sandbox(request.clone()).await),
        said(Code::NotFound, "sandbox not found")
    );
    let request = pb::DeleteSandboxRequest { allow_missing: true, ..request };
    let absent = client.delete_sandbox(request).await.unwrap().into_inner();
    assert_eq!(absent.outcome(), pb::DeletionOutcome::AlreadyAbsent);
    let elsewhere = pb::DeleteSandboxRequest {
        name: "agent".into(),
        workspace_scope: select("nowhere"),
        allow_missing: true,
        ..Default::default()
    };
    assert_eq!(refusal(client.delete_sandbox(elsewhere).await).0, Code::NotFound);
}

#[tokio::test]
async fn lists_are_paged_by_tokens() {
    let mut fixture = Fixture::new(Dialect::V0_1).await;
    for index in 0..5 {
        fixture.client.create(&format!("s{index}")).await.unwrap();
    }
    let client = fixture.client.v0_1();
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListSandboxesRequest {
            page_size: 2,
            page_token,
            workspace_scope: select("default"),
            ..Default::default()
        };
        let page = client.list_sandboxes(request).await.unwrap().into_inner();
        assert!(page.sandboxes.len() <= 2);
        names.extend(page.sandboxes.into_iter().map(|row| row.metadata.unwrap().name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["s0", "s1", "s2", "s3", "s4"]);
    for (page_size, page_token) in [(-1, ""), (0, "zz")] {
        let request = pb::ListSandboxesRequest {
            page_size,
            page_token: page_token.into(),
            workspace_scope: select("default"),
            ..Default::default()
        };
        assert_eq!(refusal(client.list_sandboxes(request).await).0, Code::InvalidArgument);
    }
}

#[tokio::test]
async fn a_workspace_must_be_named() {
    let mut fixture = Fixture::new(Dialect::V0_1).await;
    let client = fixture.client.v0_1();
    let request = pb::GetSandboxRequest { name: "agent".into(), workspace_scope: None };
    assert_eq!(
        refusal(client.get_sandbox(request).await),
        said(Code::InvalidArgument, "workspace_scope is required")
    );
}

#[tokio::test]
async fn a_newer_client_at_an_older_gateway_loses_everything_and_creates_strays() {
    let mut fixture = Fixture::new(Dialect::V0_0).await;
    fixture.ready("agent").await;
    let mut newer = Client::connect(&fixture.running.uri(), Dialect::V0_1);
    assert_eq!(
        refusal(newer.get("agent").await),
        said(Code::NotFound, "workspace '\n\u{7}default' not found")
    );
    let stray = newer.v0_1().create_sandbox(create("stray", "")).await.unwrap();
    assert!(stray.into_inner().sandbox.is_some());
    assert!(fixture.control().wait_phase("stray", Phase::Ready, PATIENCE).await);
    assert_eq!(refusal(newer.get("stray").await).0, Code::NotFound);
}

fn watch(until_ready: bool) -> pb::WatchSandboxRequest {
    pb::WatchSandboxRequest {
        sandbox: "agent".into(),
        workspace_scope: select("default"),
        stop_on_terminal: until_ready,
        ..Default::default()
    }
}

/// The phases of every snapshot, until the stream ends without an error.
async fn phases(client: &mut Client, until_ready: bool) -> Vec<i32> {
    use pb::sandbox_stream_event::Payload;
    let mut seen = Vec::new();
    let mut events = client.v0_1().watch_sandbox(watch(until_ready)).await.unwrap().into_inner();
    while let Some(event) = events.message().await.unwrap() {
        assert!(!event.cursor.is_empty());
        match event.payload.unwrap() {
            Payload::Sandbox(row) => seen.push(row.status.unwrap().phase),
            other => panic!("not a snapshot: {other:?}"),
        }
    }
    seen
}

#[tokio::test]
async fn watches_begin_with_a_snapshot_and_end_with_the_sandbox() {
    let mut fixture = Fixture::new(Dialect::V0_1).await;
    fixture.client.create("agent").await.unwrap();
    let seen = phases(&mut fixture.client, true).await;
    assert_eq!(seen.last(), Some(&(Phase::Ready as i32)));
    let mut client = fixture.client.clone();
    let watching = tokio::spawn(async move { phases(&mut client, false).await });
    let control = fixture.control();
    control
        .wait_for_call(|c| c.method == "WatchSandbox" && c.seq > 1 && c.succeeded(), PATIENCE)
        .await;
    fixture.client.delete("agent").await.unwrap();
    let seen = tokio::time::timeout(PATIENCE, watching).await.unwrap().unwrap();
    assert!(!seen.is_empty(), "the stream ended by itself, without an error");

    let stale = pb::WatchSandboxRequest { resume_after_cursor: "0".into(), ..watch(false) };
    fixture.client.create("agent").await.unwrap_or_default();
    fixture.wait_phase("agent", Phase::Ready).await;
    assert_eq!(
        refusal(fixture.client.v0_1().watch_sandbox(stale).await.map(drop)).0,
        Code::OutOfRange
    );
}
