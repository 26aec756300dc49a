//! Several registries on one server: whichever is asked, they are one registry.

use std::collections::BTreeSet;

use salvor_proto::registry::v1::watch_sandboxes_response::Event;
use salvor_proto::registry::v1::*;
use salvor_registry::{Config, KeySource, Registry};
use salvor_testkit::store::skipped_without_a_server;
use salvor_testkit::wait::until;
use tonic::Code;

use crate::support::*;

/// Three, on one store; `None` where there is no server.
async fn three() -> Option<(Harness, [Replica; 2])> {
    if skipped_without_a_server("replicas share a server") {
        return None;
    }
    let harness = Harness::start().await;
    let others = [harness.beside().await, harness.beside().await];
    Some((harness, others))
}

fn creation(name: &str) -> CreateSandboxRequest {
    CreateSandboxRequest { sandbox: Some(sandbox(name)), ..Default::default() }
}

#[tokio::test]
async fn what_one_has_answered_every_other_one_shows() {
    let Some((mut harness, [mut other, third])) = three().await else { return };
    let created = harness.create("a").await;
    let get = GetSandboxRequest { name: created.name.clone(), show_deleted: true };
    assert_eq!(other.client.get_sandbox(get.clone()).await.sandbox(), created);
    let mut changed = created.clone();
    changed.live_id = "another".into();
    let changed = other.client.update_sandbox(update(&changed, &["live_id"])).await.sandbox();
    assert_eq!(harness.get(&created.name).await.unwrap(), changed);
    // An etag that is out of date is so everywhere.
    refused(
        harness.client.update_sandbox(update(&created, &["live_id"])).await,
        Code::Aborted,
        "ETAG_MISMATCH",
    );
    third.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_lease_is_one_over_all_of_them_and_its_token_rises_for_ever() {
    let Some((mut harness, [mut other, _third])) = three().await else { return };
    let record = harness.create("a").await;
    let acquire = |holder: &str| AcquireLeaseRequest {
        sandbox: record.name.clone(),
        holder: holder.into(),
        ttl: None,
    };
    let mut last = 0;
    for round in 0..10 {
        let lease = harness.client.acquire_lease(acquire("one")).await.unwrap().into_inner();
        let first = lease.lease.unwrap().fence_token;
        let held = other.client.acquire_lease(acquire("another")).await;
        assert_eq!(refused(held, Code::Aborted, "LEASE_HELD").metadata["holder"], "one");
        let release = ReleaseLeaseRequest { sandbox: record.name.clone(), fence_token: first };
        other.client.release_lease(release).await.unwrap();
        assert!(first > last, "round {round}: {first} after {last}");
        last = first;
    }
}

/// Written through all three at once, seen through one.
#[tokio::test]
async fn a_watch_on_any_of_them_shows_every_change_in_order_and_once() {
    const EACH: usize = 20;
    let Some((mut harness, [other, third])) = three().await else { return };
    let start = harness.list().await.revision;
    let request = WatchSandboxesRequest { start_revision: start, ..Default::default() };
    let mut watching = third.client.clone();
    let mut stream = watching.watch_sandboxes(request).await.unwrap().into_inner();
    let clients = [harness.client.clone(), other.client.clone(), third.client.clone()];
    let writers = clients.into_iter().enumerate().map(|(writer, mut client)| async move {
        for index in 0..EACH {
            let name = format!("w{writer}-{index}");
            client.create_sandbox(creation(&name)).await.unwrap();
        }
    });
    let writing = tokio::spawn(async move {
        let writers: Vec<_> = writers.map(tokio::spawn).collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
    let mut seen = Vec::new();
    let mut last = start;
    while seen.len() < 3 * EACH {
        let response = stream.message().await.unwrap().unwrap();
        if let Some(Event::Changed(sandbox)) = response.event {
            assert!(response.revision > last, "{} after {last}", response.revision);
            last = response.revision;
            seen.push(sandbox);
        }
    }
    writing.await.unwrap();
    let listed = harness.list().await;
    assert_eq!(listed.revision, last);
    let names = |sandboxes: &[Sandbox]| -> BTreeSet<(String, String)> {
        sandboxes.iter().map(|sandbox| (sandbox.name.clone(), sandbox.etag.clone())).collect()
    };
    assert_eq!(names(&listed.sandboxes), names(&seen), "a watch replayed is the list");
}

#[tokio::test]
async fn a_request_that_is_sent_again_to_another_one_is_answered_as_the_first_time() {
    let Some((mut harness, [mut other, _third])) = three().await else { return };
    let request_id = "0191f0f0-0000-7000-8000-000000000001".to_owned();
    let request = CreateSandboxRequest { request_id, ..creation("a") };
    let first = harness.client.create_sandbox(request.clone()).await.sandbox();
    assert_eq!(other.client.create_sandbox(request).await.sandbox(), first);
    assert_eq!(harness.list().await.sandboxes.len(), 1);
}

#[tokio::test]
async fn what_an_adapter_tells_one_is_known_to_the_others() {
    let Some((mut harness, [mut other, _third])) = three().await else { return };
    let heartbeat = GatewayHeartbeat {
        adapter_id: "adapter".into(),
        adapter_endpoint: "http://127.0.0.1:7302".into(),
        healthy: true,
        ..Default::default()
    };
    let request =
        HeartbeatGatewayRequest { name: "gateways/lab".into(), heartbeat: Some(heartbeat) };
    harness.client.heartbeat_gateway(request).await.unwrap();
    let get = GetGatewayRequest { name: "gateways/lab".into() };
    let known = other.client.get_gateway(get).await.unwrap().into_inner().gateway.unwrap();
    assert_eq!(known.heartbeat.unwrap().adapter_endpoint, "http://127.0.0.1:7302");
}

/// Leases run by the server's clock, whatever the replicas' hosts say.
#[tokio::test]
async fn leases_run_by_the_clock_of_the_server() {
    if skipped_without_a_server("replicas share a server's clock") {
        return;
    }
    let mut harness = Harness::start_with(|config| config.clock = None).await;
    let record = harness.create("a").await;
    let lease = harness.acquire(&record.name, "holder").await.unwrap();
    let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let database = harness.database().await;
    let now: i64 = sqlx::query_scalar(now).fetch_one(&database).await.unwrap();
    let ends = i64::try_from(salvor_proto::time::millis(&lease.expire_time.unwrap())).unwrap();
    assert!((now..now + 60_000).contains(&ends), "{ends} is soon after {now}");
}

#[tokio::test]
async fn keys_that_each_would_make_for_itself_are_refused() {
    if skipped_without_a_server("replicas share keys") {
        return;
    }
    let harness = Harness::start().await;
    let path = harness.directory.path().join("seal.key");
    let keys = KeySource::File { path: path.clone(), create: true };
    let config = Config { keys, ..harness.config.clone() };
    let error = Registry::open(&config).await.unwrap_err().to_string();
    assert!(error.contains("--seal-key-file") && error.contains("Nothing was opened"), "{error}");
    assert!(!path.exists());
}

/// The server goes away and comes back. What is asked for meanwhile is refused as such and can be sent again; reads, leases and
/// watches go on by themselves.
#[tokio::test]
async fn a_server_that_is_gone_is_said_to_be_and_all_goes_on_when_it_is_back() {
    if skipped_without_a_server("a server can go away") {
        return;
    }
    let (mut harness, way) = Harness::start_by_a_way().await;
    let record = harness.create("a").await;
    let request = WatchSandboxesRequest { start_revision: record.revision, ..Default::default() };
    let mut stream = harness.client.watch_sandboxes(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    way.cut();
    let request_id = "0191f0f0-0000-7000-8000-000000000002".to_owned();
    let request = CreateSandboxRequest { request_id, ..creation("b") };
    let away = harness.client.create_sandbox(request.clone()).await;
    let away = refused(away, Code::Unavailable, "STORAGE_AWAY");
    assert!(away.retry.is_some() && away.message.contains("is not known"), "{away:?}");
    refused(harness.get(&record.name).await, Code::Unavailable, "STORAGE_AWAY");
    way.mend();
    let created = until("it is back", || {
        let (mut client, request) = (harness.client.clone(), request.clone());
        async move { client.create_sandbox(request).await.ok() }
    })
    .await;
    let created = created.into_inner().sandbox.unwrap();
    assert_eq!(harness.client.create_sandbox(request).await.sandbox(), created, "made once");
    assert_eq!(harness.list().await.sandboxes.len(), 2);
    let request = WatchSandboxesRequest { start_revision: record.revision, ..Default::default() };
    let mut stream = harness.client.watch_sandboxes(request).await.unwrap().into_inner();
    loop {
        let Some(Event::Changed(shown)) = stream.message().await.unwrap().unwrap().event else {
            continue;
        };
        assert_eq!(shown, created);
        break;
    }
    // Words of change come again, too: a further change is shown without a look of the watch's own.
    let third = harness.create("c").await;
    loop {
        let Some(Event::Changed(shown)) = stream.message().await.unwrap().unwrap().event else {
            continue;
        };
        assert_eq!(shown, third);
        break;
    }
}
