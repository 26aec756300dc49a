//! Who a gateway is: version, store, signing key, and what happens when one of them is another.

use salvor_devgateway::{Health, Identity, Restart};
use salvor_proto::gateway::v1::effect::{Cause, Outcome};
use salvor_proto::gateway::v1::gateway_view::State;
use salvor_proto::gateway::v1::{GatewayView, UnknownReason};
use salvor_proto::time;

use crate::target::{BOTH, GATEWAY, Target, is};

fn reason(view: GatewayView) -> UnknownReason {
    match view.state.unwrap() {
        State::Unknown(unknown) => unknown.reason(),
        State::Healthy(healthy) => panic!("healthy: {healthy:?}"),
    }
}

#[tokio::test]
async fn an_unknown_version_is_refused_before_any_other_answer_is_believed() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        target.control().set_version("0.2.0");
        target.control().clear_calls();
        assert_eq!(reason(target.probe().await), UnknownReason::VersionUnknown);
        assert_eq!(target.unknown("coder").await.reason(), UnknownReason::VersionUnknown);
        is(&target.create("coder").await.0, Outcome::NotApplied, Cause::WrongGateway);
        let methods = target.control().calls().into_iter().map(|call| call.method);
        assert!(methods.into_iter().all(|method| method == "Health"));
    }
}

#[tokio::test]
async fn a_gateway_that_says_it_is_not_healthy_is_unavailable() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        target.control().set_health(Health::Unhealthy);
        assert_eq!(reason(target.probe().await), UnknownReason::Unavailable);
        assert_eq!(target.unknown("coder").await.reason(), UnknownReason::Unavailable);
    }
}

#[tokio::test]
async fn another_store_is_a_foreign_gateway_and_no_absence() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        target.ready("coder").await;
        let store = target.control().store_id();
        // The first healthy heartbeat pins it.
        let pinned = target
            .bench
            .wait_gateway(GATEWAY, |gateway| gateway.pinned_identity.is_some())
            .await
            .pinned_identity
            .unwrap();
        assert_eq!(pinned.store_id, store);
        wait_pinned(&mut target).await;
        target.restart(Restart::EmptyStore).await;
        assert_ne!(target.control().store_id(), store);
        assert_eq!(reason(target.probe().await), UnknownReason::ForeignGateway);
        let unknown = target.unknown("coder").await;
        assert_eq!(unknown.reason(), UnknownReason::ForeignGateway, "{unknown:?}");
        assert!(unknown.detail.contains(&store), "{}", unknown.detail);
        target.control().clear_calls();
        is(&target.create("coder").await.0, Outcome::NotApplied, Cause::WrongGateway);
        assert!(target.control().mutating_calls().is_empty());
    }
}

#[tokio::test]
async fn a_pinned_signing_key_must_be_shown() {
    for dialect in BOTH {
        let identity = Identity { gateway_id: "lab".into(), kid: "key-1".into() };
        let with_keys = |config: &mut salvor_devgateway::Config| config.identity = Some(identity);
        let mut target = Target::dev_with(dialect, with_keys, |_| ()).await;
        let Some(State::Healthy(healthy)) = target.probe().await.state else { panic!("away") };
        let shown = healthy.identity.unwrap();
        assert_eq!(
            (shown.signing_key_id.as_str(), shown.issuer.as_str()),
            ("key-1", "openshell-gateway:lab")
        );
        let mut other = shown.clone();
        other.signing_key_id = "key-2".into();
        target
            .bench
            .update_gateway(GATEWAY, "pinned_identity", |gateway| {
                gateway.pinned_identity = Some(other);
            })
            .await;
        wait_pinned(&mut target).await;
        assert_eq!(reason(target.probe().await), UnknownReason::ForeignGateway);
    }
}

/// The adapter reads the pin with its next list of gateways.
async fn wait_pinned(target: &mut Target) {
    let pinned = target.bench.gateway(GATEWAY).await.pinned_identity;
    let deadline = tokio::time::Instant::now() + crate::bench::PATIENCE;
    while target.bench.adapter.pinned(GATEWAY) != pinned {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_restart_begins_health_anew_even_if_no_probe_failed() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let Some(State::Healthy(before)) = target.probe().await.state else { panic!("unhealthy") };
        target.control().restart(Restart::Killed).await.unwrap();
        let after = loop {
            // The first answer may be that of the broken connection.
            match target.probe().await.state {
                Some(State::Healthy(healthy)) => break healthy,
                _ => tokio::task::yield_now().await,
            }
        };
        assert_eq!(after.identity, before.identity);
        let began = [&before, &after].map(|view| view.healthy_since.as_ref().map(time::millis));
        assert!(began[0] < began[1], "{began:?}");
    }
}
