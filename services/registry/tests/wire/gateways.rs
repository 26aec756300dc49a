//! Gateways and their heartbeats.

use std::time::Duration;

use salvor_proto::registry::v1::gateway_credentials::Method;
use salvor_proto::registry::v1::*;
use salvor_proto::time::timestamp;
use tonic::{Code, Status};

use crate::support::*;

const LAB: &str = "gateways/lab";

#[expect(clippy::unnecessary_wraps, reason = "as the messages have it")]
fn identity(store_id: &str) -> Option<GatewayIdentity> {
    Some(GatewayIdentity { store_id: store_id.into(), ..Default::default() })
}

fn said(healthy: bool, store_id: &str) -> HeartbeatGatewayRequest {
    let heartbeat = GatewayHeartbeat {
        adapter_id: "adapter-1".into(),
        adapter_endpoint: "http://127.0.0.1:7303".into(),
        healthy,
        version: "0.0.116".into(),
        identity: identity(store_id),
        ..Default::default()
    };
    HeartbeatGatewayRequest { name: LAB.into(), heartbeat: Some(heartbeat) }
}

impl Harness {
    async fn gateway(&mut self, name: &str) -> Gateway {
        let request = GetGatewayRequest { name: name.into() };
        self.client.get_gateway(request).await.unwrap().into_inner().gateway.unwrap()
    }

    async fn hear(&mut self, request: HeartbeatGatewayRequest) -> Result<Gateway, Status> {
        self.client
            .heartbeat_gateway(request)
            .await
            .map(|response| response.into_inner().gateway.unwrap())
    }

    async fn change(&mut self, gateway: &Gateway, paths: &[&str]) -> Result<Gateway, Status> {
        let request =
            UpdateGatewayRequest { gateway: Some(gateway.clone()), update_mask: mask(paths) };
        self.client
            .update_gateway(request)
            .await
            .map(|response| response.into_inner().gateway.unwrap())
    }
}

#[tokio::test]
async fn gateways_are_registered_read_changed_listed_and_forgotten() {
    let mut harness = Harness::start().await;
    let lab = harness.gateway(LAB).await;
    assert_eq!((lab.revision, lab.create_time), (1, Some(timestamp(START_MS))));
    refused(
        harness.client.register_gateway(register(LAB)).await,
        Code::AlreadyExists,
        "GATEWAY_EXISTS",
    );
    let wanted =
        Gateway { endpoint: "http://10.0.0.7:8080".into(), adapter_id: "x".into(), ..lab.clone() };
    let changed = harness.change(&wanted, &["endpoint"]).await.unwrap();
    assert_eq!(
        (changed.endpoint.as_str(), changed.adapter_id.as_str()),
        ("http://10.0.0.7:8080", "")
    );
    assert!(changed.revision > lab.revision && changed.etag != lab.etag);
    let received =
        refused(harness.change(&wanted, &["endpoint"]).await, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(
        (&received.metadata["given_etag"], &received.metadata["current_etag"]),
        (&lab.etag, &changed.etag)
    );
    let mut shown = Vec::new();
    let mut request = ListGatewaysRequest { page_size: 1, ..Default::default() };
    loop {
        let page = harness.client.list_gateways(request.clone()).await.unwrap().into_inner();
        shown.extend(page.gateways.into_iter().map(|gateway| gateway.name));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(shown, ["gateways/edge", LAB]);
    let delete = |etag: &str| DeleteGatewayRequest { name: LAB.into(), etag: etag.into() };
    refused(harness.client.delete_gateway(delete(&lab.etag)).await, Code::Aborted, "ETAG_MISMATCH");
    harness.client.delete_gateway(delete(&changed.etag)).await.unwrap();
    let gone = harness.client.get_gateway(GetGatewayRequest { name: LAB.into() }).await;
    refused(gone, Code::NotFound, "GATEWAY_NOT_FOUND");
    refused(harness.change(&wanted, &["endpoint"]).await, Code::NotFound, "GATEWAY_NOT_FOUND");
    refused(harness.hear(said(true, "s")).await, Code::NotFound, "GATEWAY_NOT_FOUND");
}

#[tokio::test]
async fn a_gateway_that_owns_live_records_is_kept() {
    let mut harness = Harness::start().await;
    for name in ["a", "b", "c", "d", "e", "f"] {
        harness.create(name).await;
    }
    let etag = harness.gateway(LAB).await.etag;
    let delete = DeleteGatewayRequest { name: LAB.into(), etag };
    let received = refused(
        harness.client.delete_gateway(delete.clone()).await,
        Code::FailedPrecondition,
        "GATEWAY_IN_USE",
    );
    assert_eq!(received.metadata["count"], "6");
    let named: Vec<&str> = received.metadata["records"].split(',').collect();
    assert!(named.len() == 5 && named[0] == record("a") && received.message.contains(&record("a")));
    for sandbox in harness.list().await.sandboxes {
        let delete =
            DeleteSandboxRequest { name: sandbox.name, etag: sandbox.etag, ..Default::default() };
        harness.client.delete_sandbox(delete).await.unwrap();
    }
    harness.client.delete_gateway(delete).await.unwrap();
}

#[tokio::test]
async fn the_first_healthy_heartbeat_pins_the_identity_for_good() {
    let mut harness = Harness::start().await;
    let before = harness.gateway(LAB).await;
    assert_eq!(harness.hear(said(false, "s1")).await.unwrap().pinned_identity, None);
    let mut anonymous = said(true, "");
    anonymous.heartbeat.as_mut().unwrap().identity = None;
    assert_eq!(harness.hear(anonymous).await.unwrap().pinned_identity, None);
    assert_eq!(harness.hear(said(true, "s1")).await.unwrap().pinned_identity, identity("s1"));
    let heard = harness.hear(said(true, "s2")).await.unwrap();
    assert_eq!(heard.pinned_identity, identity("s1"));
    assert_eq!(
        heard.heartbeat.as_ref().unwrap().identity,
        identity("s2"),
        "what was said is shown as it was said"
    );
    assert_eq!((&heard.etag, heard.revision), (&before.etag, before.revision));
    let mut harness = harness.restart(|_| {}).await;
    let kept = harness.gateway(LAB).await;
    assert_eq!(
        (&kept.pinned_identity, &kept.heartbeat),
        (&heard.pinned_identity, &heard.heartbeat)
    );
    let mut wanted = kept;
    wanted.pinned_identity = identity("s2");
    let repinned = harness.change(&wanted, &["pinned_identity"]).await.unwrap();
    assert_eq!(repinned.pinned_identity, identity("s2"));
    assert_eq!(harness.hear(said(true, "s1")).await.unwrap().pinned_identity, identity("s2"));
}

#[tokio::test]
async fn a_heartbeat_is_stamped_by_the_registry_and_counts_as_no_change() {
    let mut harness = Harness::start().await;
    let revision = harness.list().await.revision;
    harness.clock.advance(Duration::from_secs(5));
    let mut request = said(true, "s1");
    request.heartbeat.as_mut().unwrap().receive_time = Some(timestamp(1));
    harness.hear(request).await.unwrap();
    let heartbeat = harness.gateway(LAB).await.heartbeat.unwrap();
    assert_eq!(heartbeat.receive_time, Some(timestamp(START_MS + 5_000)));
    harness.clock.advance(Duration::from_secs(5));
    harness.hear(said(true, "s1")).await.unwrap();
    let heartbeat = harness.gateway(LAB).await.heartbeat.unwrap();
    assert_eq!(heartbeat.receive_time, Some(timestamp(START_MS + 10_000)));
    assert_eq!(harness.list().await.revision, revision);
}

#[tokio::test]
async fn an_assigned_gateway_listens_to_its_own_adapter() {
    let mut harness = Harness::start().await;
    let lab = harness.gateway(LAB).await;
    let wanted = Gateway { adapter_id: "adapter-2".into(), ..lab };
    harness.change(&wanted, &["adapter_id"]).await.unwrap();
    let received = refused(
        harness.hear(said(true, "s1")).await,
        Code::FailedPrecondition,
        "GATEWAY_ASSIGNED_ELSEWHERE",
    );
    assert_eq!(received.metadata["adapter_id"], "adapter-2");
    assert_eq!(harness.gateway(LAB).await.heartbeat, None);
}

#[tokio::test]
async fn gateway_input_is_checked() {
    let mut harness = Harness::start().await;
    for endpoint in [
        "",
        "lab:8080",
        "ftp://lab:1",
        "https://",
        "http://lab/path",
        "http://lab?q=1",
        "http://lab#f",
        "http://la b",
    ] {
        let mut request = register("gateways/new");
        request.gateway.as_mut().unwrap().endpoint = endpoint.into();
        refused_field(harness.client.register_gateway(request).await, "gateway.endpoint");
    }
    let mut request = register("gateways/new");
    request.gateway.as_mut().unwrap().endpoint = "https://user:hunter2@lab:8080".into();
    refused_field(harness.client.register_gateway(request).await, "gateway.endpoint");
    for name in ["", "lab", "gateways/", "gateways/Lab", "gateways/a/b"] {
        refused_field(harness.client.register_gateway(register(name)).await, "gateway.name");
    }
    let mut request = register("gateways/new");
    let tls = MutualTls {
        ca_file: "/ca.pem".into(),
        certificate_file: "/c.pem".into(),
        key_file: String::new(),
    };
    let method = Some(Method::MutualTls(tls));
    request.gateway.as_mut().unwrap().credentials = Some(GatewayCredentials { method });
    refused_field(
        harness.client.register_gateway(request).await,
        "gateway.credentials.mutual_tls.key_file",
    );
    refused_field(
        harness.client.register_gateway(RegisterGatewayRequest::default()).await,
        "gateway",
    );
    let lab = harness.gateway(LAB).await;
    for paths in [&[][..], &["name"], &["heartbeat"], &["*"], &["etag"]] {
        refused_field(harness.change(&lab, paths).await, "update_mask");
    }
    let without = Gateway { etag: String::new(), ..lab };
    refused_field(harness.change(&without, &["endpoint"]).await, "gateway.etag");
    refused_field(
        harness.hear(HeartbeatGatewayRequest { name: LAB.into(), heartbeat: None }).await,
        "heartbeat",
    );
    let nobody = GatewayHeartbeat::default();
    let request = HeartbeatGatewayRequest { name: LAB.into(), heartbeat: Some(nobody) };
    refused_field(harness.hear(request).await, "heartbeat.adapter_id");
    for page_size in [-1, 1001] {
        let request = ListGatewaysRequest { page_size, ..Default::default() };
        refused_field(harness.client.list_gateways(request).await, "page_size");
    }
}
