//! What goes on by itself: heartbeats, the list of gateways, and the observer.

use std::net::TcpListener;
use std::time::Duration;

use salvor_devgateway::{Dialect, Restart};
use salvor_gateway_adapter::Config;
use salvor_proto::gateway::v1::gateway_view::State;
use salvor_proto::gateway::v1::*;
use salvor_proto::registry::v1 as record;
use salvor_proto::registry::v1::{
    AcquireLeaseRequest, CreateSandboxRequest as CreateRecord, GetSandboxRequest, Sandbox,
};
use salvor_proto::time;

use crate::target::{BOTH, GATEWAY, Target, policy};

fn lively(config: &mut Config) {
    config.heartbeat_interval = Duration::from_millis(50);
    config.limits.read = Duration::from_secs(3);
}

#[tokio::test]
async fn heartbeats_tell_health_without_gaps_and_pin_the_identity() {
    for dialect in BOTH {
        let mut target = Target::dev_with(dialect, |_| (), lively).await;
        // What is said is answered at once, and the pin a little later, when it is written down.
        let beating = |gateway: &record::Gateway| {
            gateway.pinned_identity.is_some()
                && gateway.heartbeat.as_ref().is_some_and(|beat| beat.healthy)
        };
        let first = target.bench.wait_gateway(GATEWAY, beating).await;
        let (beat, pinned) = (first.heartbeat.unwrap(), first.pinned_identity.unwrap());
        assert_eq!(pinned.store_id, target.control().store_id());
        assert_eq!(beat.adapter_id, "local");
        assert!(beat.adapter_endpoint.starts_with("http://127.0.0.1:"));
        let version = if dialect == Dialect::V0_0 { "0.0.116" } else { "0.1.5" };
        assert_eq!(beat.version, version);
        target.control().down(Restart::Killed).await.unwrap();
        let away = |gateway: &record::Gateway| {
            gateway.heartbeat.as_ref().is_some_and(|beat| !beat.healthy)
        };
        let lost = target.bench.wait_gateway(GATEWAY, away).await.heartbeat.unwrap();
        assert_eq!((lost.reason.as_str(), lost.healthy_since), ("UNAVAILABLE", None));
        target.control().up().await.unwrap();
        let back = target.bench.wait_gateway(GATEWAY, beating).await.heartbeat.unwrap();
        let since = |beat: &record::GatewayHeartbeat| time::millis(&beat.healthy_since.unwrap());
        assert!(since(&back) > since(&beat), "health counts anew");
    }
}

#[tokio::test]
async fn a_gateway_that_never_answers_slows_no_other() {
    let mut target = Target::dev_with(
        Dialect::V0_0,
        |_| (),
        |config| {
            config.heartbeat_interval = Duration::from_millis(50);
            config.limits.read = Duration::from_hours(1);
        },
    )
    .await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    target.bench.register("gateways/a-silent", &endpoint, None).await;
    let mut last = 0;
    for _ in 0..3 {
        let received = |gateway: &record::Gateway| {
            let beat = gateway.heartbeat.as_ref();
            beat.and_then(|beat| beat.receive_time.as_ref()).map_or(0, time::millis)
        };
        let later = target.bench.wait_gateway(GATEWAY, |gateway| received(gateway) > last).await;
        last = received(&later);
    }
}

#[tokio::test]
async fn what_is_known_is_served_while_the_registry_is_away() {
    let mut target = Target::dev(Dialect::V0_0).await;
    target.ready("coder").await;
    target.bench.registry_down.trigger();
    for _ in 0..3 {
        assert!(matches!(target.probe().await.state, Some(State::Healthy(_))));
    }
    target.present("coder").await;
}

#[tokio::test]
async fn gateways_of_other_adapters_are_not_served() {
    let mut target = Target::dev(Dialect::V0_0).await;
    target
        .bench
        .update_gateway(GATEWAY, "adapter_id", |gateway| gateway.adapter_id = "other".into())
        .await;
    let deadline = tokio::time::Instant::now() + crate::bench::PATIENCE;
    loop {
        match target.probe().await.state.unwrap() {
            State::Unknown(unknown) => {
                assert_eq!(unknown.reason(), UnknownReason::NotRegistered);
                return;
            }
            State::Healthy(_) => assert!(tokio::time::Instant::now() < deadline),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const RECORD: &str = "gateways/target/workspaces/default/sandboxes/coder";

/// A record of the live sandbox as it is now.
async fn adopt(target: &mut Target, live_id: &str) -> Sandbox {
    let material = target.observe_all("coder", true).await.material.unwrap();
    let sandbox = Sandbox {
        name: RECORD.into(),
        live_id: live_id.into(),
        spec: material.spec,
        policy: material.policy,
        ..Default::default()
    };
    let request = CreateRecord { sandbox: Some(sandbox), ..Default::default() };
    let answer = target.bench.registry.create_sandbox(request).await.unwrap();
    answer.into_inner().sandbox.unwrap()
}

async fn record(target: &mut Target) -> Sandbox {
    let request = GetSandboxRequest { name: RECORD.into(), show_deleted: false };
    target.bench.registry.get_sandbox(request).await.unwrap().into_inner().sandbox.unwrap()
}

async fn set_policy(target: &mut Target, live_id: &str, names: &[&str]) {
    let request = ApplyPolicyRequest {
        sandbox: target.sandbox("coder"),
        permit: target.permit("apply_policy", "coder", 1),
        live_id: live_id.into(),
        policy: Some(record::Policy {
            dialect: target.dialect.into(),
            content: policy(names),
            ..Default::default()
        }),
    };
    let effect = target.bench.client.apply_policy(request).await.unwrap().into_inner().effect;
    assert_eq!(effect.unwrap().outcome(), effect::Outcome::Applied);
}

async fn with_policy(target: &mut Target, names: &[&str]) -> String {
    let mut request = target.creation("coder", 1);
    request.policy = Some(record::Policy {
        dialect: target.dialect.into(),
        content: policy(names),
        ..Default::default()
    });
    let (_, id) = target.create_as(request).await.unwrap();
    target.wait_phase("coder", Phase::Ready).await;
    id
}

#[tokio::test]
async fn a_changed_policy_flows_into_the_record_with_what_was_removed() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let id = with_policy(&mut target, &["api", "web"]).await;
        let before = adopt(&mut target, &id).await;
        let round = target.bench.adapter.observe_now().await;
        assert_eq!((round.compared, round.updated), (1, 0), "nothing has changed");
        assert_eq!(record(&mut target).await.etag, before.etag);
        set_policy(&mut target, &id, &["web", "new"]).await;
        let round = target.bench.adapter.observe_now().await;
        assert_eq!((round.compared, round.updated), (1, 1));
        let recorded = record(&mut target).await.policy.unwrap();
        let names: Vec<&str> = recorded.entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!((names, &recorded.removed[..]), (vec!["new", "web"], &["api".to_owned()][..]));
        let live = target.policy("coder", &id).await;
        let Some(get_effective_policy_response::Result::Policy(live)) = live.result else {
            panic!("unreadable")
        };
        assert_eq!(recorded.policy_hash, live.policy_hash);
        set_policy(&mut target, &id, &["api", "web"]).await;
        target.bench.adapter.observe_now().await;
        assert_eq!(record(&mut target).await.policy.unwrap().removed, ["new"]);
        assert_eq!(target.bench.adapter.observe_now().await.updated, 0, "it comes to rest");
    }
}

#[tokio::test]
async fn nothing_is_written_of_another_incarnation_another_phase_or_an_absence() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let id = with_policy(&mut target, &["api"]).await;
        let before = adopt(&mut target, &id).await;
        target.control().kill("coder").await.unwrap();
        target.wait_phase("coder", Phase::Error).await;
        assert_eq!(target.bench.adapter.observe_now().await.compared, 0);
        target.control().replace("coder").await.unwrap();
        assert_eq!(target.bench.adapter.observe_now().await.compared, 0);
        target.control().orphan("coder").unwrap();
        assert_eq!(target.bench.adapter.observe_now().await.compared, 0);
        assert_eq!(record(&mut target).await, before);
    }
}

#[tokio::test]
async fn a_held_lease_leaves_the_change_for_a_later_round() {
    let mut target = Target::dev(Dialect::V0_0).await;
    let id = with_policy(&mut target, &["api"]).await;
    let before = adopt(&mut target, &id).await;
    set_policy(&mut target, &id, &["web"]).await;
    let lease = AcquireLeaseRequest { sandbox: RECORD.into(), holder: "t".into(), ttl: None };
    let lease =
        target.bench.registry.acquire_lease(lease).await.unwrap().into_inner().lease.unwrap();
    let round = target.bench.adapter.observe_now().await;
    assert_eq!((round.updated, round.left), (0, 1));
    assert_eq!(record(&mut target).await.policy, before.policy);
    let release =
        record::ReleaseLeaseRequest { sandbox: RECORD.into(), fence_token: lease.fence_token };
    target.bench.registry.release_lease(release).await.unwrap();
    assert_eq!(target.bench.adapter.observe_now().await.updated, 1);
}
