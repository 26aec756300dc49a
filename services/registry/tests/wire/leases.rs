//! Leases and fencing.

use std::time::Duration;

use salvor_proto::registry::v1::sandbox::State;
use salvor_proto::registry::v1::*;
use salvor_proto::time::timestamp;
use tonic::Code;

use crate::support::*;

fn renew(lease: &Lease) -> RenewLeaseRequest {
    RenewLeaseRequest { sandbox: lease.sandbox.clone(), fence_token: lease.fence_token, ttl: None }
}

fn release(lease: &Lease) -> ReleaseLeaseRequest {
    ReleaseLeaseRequest { sandbox: lease.sandbox.clone(), fence_token: lease.fence_token }
}

#[tokio::test]
async fn one_holder_at_a_time_and_the_others_are_told_who_and_until_when() {
    let mut harness = Harness::start().await;
    let name = harness.create("a").await.name;
    let lease = harness.acquire(&name, "recoveries/1").await.unwrap();
    assert_eq!((lease.fence_token, lease.expire_time), (1, Some(timestamp(START_MS + 30_000))));
    harness.clock.advance(Duration::from_secs(10));
    let received =
        refused(harness.acquire(&name, "recoveries/2").await, Code::Aborted, "LEASE_HELD");
    assert_eq!(received.metadata["holder"], "recoveries/1");
    assert_eq!(received.metadata["expire_time"], "2023-11-14T22:13:50Z");
    assert_eq!(received.retry, Some(Duration::from_secs(20)));
    let other = harness.create("b").await.name;
    // A name may be written to under another one's lease: so tokens rise over all names.
    assert_eq!(harness.acquire(&other, "recoveries/2").await.unwrap().fence_token, 2);
    refused(
        harness.acquire(&record("no"), "recoveries/2").await,
        Code::NotFound,
        "SANDBOX_NOT_FOUND",
    );
}

#[tokio::test]
async fn a_holder_that_asks_again_fences_its_former_self_off() {
    let mut harness = Harness::start().await;
    let name = harness.create("a").await.name;
    let first = harness.acquire(&name, "recoveries/1").await.unwrap();
    let second = harness.acquire(&name, "recoveries/1").await.unwrap();
    assert!(second.fence_token > first.fence_token);
    let received =
        refused(harness.client.renew_lease(renew(&first)).await, Code::Aborted, "LEASE_LOST");
    assert_eq!(received.metadata["given_fence_token"], "1");
    harness.client.release_lease(release(&first)).await.unwrap();
    harness.clock.advance(Duration::from_secs(20));
    let renewed =
        harness.client.renew_lease(renew(&second)).await.unwrap().into_inner().lease.unwrap();
    assert_eq!(renewed.fence_token, second.fence_token);
    assert_eq!(renewed.expire_time, Some(timestamp(START_MS + 50_000)));
}

#[tokio::test]
async fn a_lease_ends_at_its_time_and_not_before() {
    let mut harness = Harness::start().await;
    let name = harness.create("a").await.name;
    let lease = harness.acquire(&name, "recoveries/1").await.unwrap();
    harness.clock.advance(Duration::from_millis(29_999));
    refused(harness.acquire(&name, "recoveries/2").await, Code::Aborted, "LEASE_HELD");
    harness.clock.advance(Duration::from_millis(1));
    refused(harness.client.renew_lease(renew(&lease)).await, Code::Aborted, "LEASE_LOST");
    assert_eq!(harness.acquire(&name, "recoveries/2").await.unwrap().fence_token, 2);
}

#[tokio::test]
async fn tokens_rise_past_release_destroy_reuse_and_restart() {
    let mut harness = Harness::start().await;
    let created = harness.create("a").await;
    let mut last = 0;
    let mut next = |lease: &Lease| {
        assert_eq!(lease.fence_token, last + 1);
        last = lease.fence_token;
    };
    let lease = harness.acquire(&created.name, "recoveries/1").await.unwrap();
    next(&lease);
    harness.client.release_lease(release(&lease)).await.unwrap();
    harness.client.release_lease(release(&lease)).await.unwrap();
    let lease = harness.acquire(&created.name, "recoveries/2").await.unwrap();
    next(&lease);
    let delete = DeleteSandboxRequest {
        name: created.name.clone(),
        etag: created.etag,
        fence_token: lease.fence_token,
        ..Default::default()
    };
    harness.client.delete_sandbox(delete).await.unwrap();
    next(&harness.acquire(&created.name, "recoveries/2").await.unwrap());
    harness.create("a").await;
    next(&harness.acquire(&created.name, "recoveries/2").await.unwrap());
    let mut harness = harness.restart(|_| {}).await;
    next(&harness.acquire(&created.name, "recoveries/2").await.unwrap());
}

#[tokio::test]
async fn while_a_lease_is_held_only_its_token_writes() {
    let mut harness = Harness::start().await;
    let created = harness.create("a").await;
    let snapshot = SnapshotEntryRequest { name: created.name.clone() };
    let snapshot = harness.client.snapshot_entry(snapshot).await.unwrap().into_inner().snapshot;
    let old = harness.acquire(&created.name, "recoveries/1").await.unwrap();
    let lease = harness.acquire(&created.name, "recoveries/1").await.unwrap();
    for (given, shown) in [(0, "none"), (old.fence_token, "1"), (lease.fence_token + 1, "3")] {
        let mut change = update(&created, &["live_id"]);
        change.fence_token = given;
        let received =
            refused(harness.client.update_sandbox(change).await, Code::Aborted, "FENCED");
        assert_eq!(received.metadata["given_fence_token"], given.to_string());
        assert_eq!(received.metadata["current_fence_token"], "2");
        assert!(
            received.message.contains("token 2, not ") && received.message.contains(shown),
            "{}",
            received.message
        );
        let delete = DeleteSandboxRequest {
            name: created.name.clone(),
            etag: created.etag.clone(),
            fence_token: given,
            ..Default::default()
        };
        refused(harness.client.delete_sandbox(delete).await, Code::Aborted, "FENCED");
        let etag = created.etag.clone();
        let restore = RestoreEntryRequest { snapshot: snapshot.clone(), etag, fence_token: given };
        refused(harness.client.restore_entry(restore).await, Code::Aborted, "FENCED");
    }
    assert_eq!(harness.get(&created.name).await.unwrap(), created);
    let mut change = update(&created, &["live_id"]);
    change.fence_token = lease.fence_token;
    harness.client.update_sandbox(change).await.unwrap();
}

#[tokio::test]
async fn a_state_changes_with_a_fence_token_only() {
    let mut harness = Harness::start().await;
    let created = harness.create("a").await;
    let recovering = Sandbox { state: State::Recovering.into(), ..created.clone() };
    let change = update(&recovering, &["state"]);
    refused(
        harness.client.update_sandbox(change.clone()).await,
        Code::FailedPrecondition,
        "FENCE_TOKEN_REQUIRED",
    );
    let lost = UpdateSandboxRequest { fence_token: 7, ..change.clone() };
    refused(harness.client.update_sandbox(lost).await, Code::Aborted, "LEASE_LOST");
    let lease = harness.acquire(&created.name, "recoveries/1").await.unwrap();
    let held = UpdateSandboxRequest { fence_token: lease.fence_token, ..change };
    let after = harness.client.update_sandbox(held).await.sandbox();
    assert_eq!((after.state(), after.generation), (State::Recovering, created.generation));
    for (state, field) in [(0, "sandbox.state"), (4, "sandbox.state"), (99, "sandbox.state")] {
        let mut change = update(&Sandbox { state, ..after.clone() }, &["state"]);
        change.fence_token = lease.fence_token;
        refused_field(harness.client.update_sandbox(change).await, field);
    }
    harness.clock.advance(Duration::from_mins(1));
    let mut late = update(&Sandbox { state: State::Active.into(), ..after }, &["state"]);
    late.fence_token = lease.fence_token;
    refused(harness.client.update_sandbox(late).await, Code::Aborted, "LEASE_LOST");
}

/// A parked recovery holds no lease, and still owes what it was planned with.
#[tokio::test]
async fn what_a_parked_recovery_goes_by_is_its_own_and_the_rest_is_the_owners() {
    let mut harness = Harness::start().await;
    let created = harness.create("a").await;
    let request = SnapshotEntryRequest { name: created.name.clone() };
    let copy = harness.client.snapshot_entry(request).await.unwrap().into_inner().snapshot;
    for state in [State::Recovering, State::Destroying] {
        let lease = harness.acquire(&created.name, "recoveries/1").await.unwrap();
        let present = harness.get(&created.name).await.unwrap();
        let mut mark = update(&Sandbox { state: state.into(), ..present }, &["state"]);
        mark.fence_token = lease.fence_token;
        let marked = harness.client.update_sandbox(mark).await.sandbox();
        harness.client.release_lease(release(&lease)).await.unwrap();
        let mut change = marked.clone();
        change.posture = None;
        for field in ["live_id", "gateway_identity", "spec", "policy", "posture"] {
            let answer = harness.client.update_sandbox(update(&change, &[field, "labels"])).await;
            let said = refused(answer, Code::FailedPrecondition, "RECORD_NOT_ACTIVE");
            let step = said.next_step.unwrap();
            assert!(
                step.starts_with("salvor recoveries list --open --sandbox gateways/lab"),
                "{step}"
            );
        }
        let (name, etag) = (created.name.clone(), marked.etag.clone());
        let delete = DeleteSandboxRequest { name, etag: etag.clone(), ..Default::default() };
        let answer = harness.client.delete_sandbox(delete).await;
        refused(answer, Code::FailedPrecondition, "RECORD_NOT_ACTIVE");
        let restore = RestoreEntryRequest { snapshot: copy.clone(), etag, fence_token: 0 };
        let answer = harness.client.restore_entry(restore).await;
        refused(answer, Code::FailedPrecondition, "RECORD_NOT_ACTIVE");
        assert_eq!(harness.get(&created.name).await.unwrap(), marked);

        let mut labelled = marked.clone();
        labelled.labels.insert("owner".into(), state.as_str_name().into());
        harness.client.update_sandbox(update(&labelled, &["labels"])).await.unwrap();
        let lease = harness.acquire(&created.name, "recoveries/2").await.unwrap();
        let mut held = harness.get(&created.name).await.unwrap();
        assert_eq!(held.labels, labelled.labels);
        held.live_id = format!("of {}", state.as_str_name());
        let mut held = update(&held, &["live_id"]);
        held.fence_token = lease.fence_token;
        harness.client.update_sandbox(held).await.unwrap();
        harness.client.release_lease(release(&lease)).await.unwrap();
    }
}

#[tokio::test]
async fn lease_input_is_checked() {
    let mut harness = Harness::start().await;
    let name = harness.create("a").await.name;
    let good = AcquireLeaseRequest { sandbox: name.clone(), holder: "h".into(), ttl: None };
    let ttl = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    for (request, field) in [
        (AcquireLeaseRequest { sandbox: "x".into(), ..good.clone() }, "sandbox"),
        (AcquireLeaseRequest { holder: String::new(), ..good.clone() }, "holder"),
        (AcquireLeaseRequest { holder: "h".repeat(257), ..good.clone() }, "holder"),
        (AcquireLeaseRequest { ttl: ttl(0), ..good.clone() }, "ttl"),
        (AcquireLeaseRequest { ttl: ttl(601), ..good.clone() }, "ttl"),
        (AcquireLeaseRequest { ttl: ttl(-5), ..good.clone() }, "ttl"),
    ] {
        refused_field(harness.client.acquire_lease(request).await, field);
    }
    for seconds in [1, 600] {
        harness
            .client
            .acquire_lease(AcquireLeaseRequest { ttl: ttl(seconds), ..good.clone() })
            .await
            .unwrap();
    }
    let without = RenewLeaseRequest { sandbox: name.clone(), ..Default::default() };
    refused_field(harness.client.renew_lease(without).await, "fence_token");
    let without = ReleaseLeaseRequest { sandbox: name, ..Default::default() };
    refused_field(harness.client.release_lease(without).await, "fence_token");
}
