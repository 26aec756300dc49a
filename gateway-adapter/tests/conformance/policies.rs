//! Setting a policy until it is loaded, and what a recreate needs of providers.

use std::collections::BTreeMap;
use std::time::Duration;

use salvor_devgateway::{Dialect, Effect as FaultEffect, Fault};
use salvor_openshell_wire::{v0_0, v0_1};
use salvor_proto::gateway::v1::check_providers_response::provider_view::State;
use salvor_proto::gateway::v1::effect::{Cause, Outcome};
use salvor_proto::gateway::v1::get_effective_policy_response::Result as Policy;
use salvor_proto::gateway::v1::*;
use salvor_proto::registry::v1 as record;
use salvor_proto::time;
use tonic::Code;

use crate::target::{BOTH, GATEWAY, Target, is, policy};

fn application(target: &Target, live_id: &str, names: &[&str]) -> ApplyPolicyRequest {
    ApplyPolicyRequest {
        sandbox: target.sandbox("coder"),
        permit: target.permit("apply_policy", "coder", 1),
        live_id: live_id.into(),
        policy: Some(record::Policy {
            dialect: target.dialect.into(),
            content: policy(names),
            ..Default::default()
        }),
    }
}

/// A sandbox with a policy of its own, ready.
async fn ready(target: &mut Target) -> String {
    let mut request = target.creation("coder", 1);
    request.policy = application(target, "", &["api"]).policy;
    let (effect, id) = target.create_as(request).await.unwrap();
    is(&effect, Outcome::Applied, Cause::Unspecified);
    target.wait_phase("coder", Phase::Ready).await;
    id
}

#[tokio::test]
async fn an_applied_policy_is_loaded_and_read_back() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let id = ready(&mut target).await;
        let request = application(&target, &id, &["api", "web"]);
        let applied = target.bench.client.apply_policy(request).await.unwrap().into_inner();
        is(&applied.effect.unwrap(), Outcome::Applied, Cause::Unspecified);
        let answer = target.policy("coder", &id).await;
        assert!(answer.loaded && !answer.global);
        let Some(Policy::Policy(read)) = answer.result else { panic!("unreadable") };
        assert_eq!(read.policy_hash, applied.policy_hash);
        assert_eq!(read.content, policy(&["api", "web"]));
        assert_eq!(read.dialect(), target.dialect);
    }
}

#[tokio::test]
async fn rules_of_providers_are_never_sent() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let mut request = target.creation("coder", 1);
        request.policy = application(&target, "", &["_provider_work", "api"]).policy;
        let (effect, id) = target.create_as(request).await.unwrap();
        is(&effect, Outcome::Applied, Cause::Unspecified);
        target.wait_phase("coder", Phase::Ready).await;
        let read = async |target: &mut Target| match target.policy("coder", &id).await.result {
            Some(Policy::Policy(read)) => read.content,
            other => panic!("{other:?}"),
        };
        assert_eq!(read(&mut target).await, policy(&["api"]));
        let request = application(&target, &id, &["_provider_work", "api", "web"]);
        let applied = target.bench.client.apply_policy(request).await.unwrap().into_inner();
        is(&applied.effect.unwrap(), Outcome::Applied, Cause::Unspecified);
        assert_eq!(read(&mut target).await, policy(&["api", "web"]));
    }
}

#[tokio::test]
async fn a_policy_that_is_not_surely_in_force_is_not_called_applied() {
    for dialect in BOTH {
        let quick = |config: &mut salvor_gateway_adapter::Config| {
            config.limits.settle = Duration::from_millis(200);
            config.limits.mutation = Duration::from_secs(3);
        };
        let mut target = Target::dev_with(dialect, |_| (), quick).await;
        let id = ready(&mut target).await;
        let control = target.control();
        let apply = async |target: &mut Target, id: &str, names: &[&str]| {
            let request = application(target, id, names);
            let answer = target.bench.client.apply_policy(request).await.unwrap().into_inner();
            answer.effect.unwrap()
        };
        let foreign = uuid::Uuid::new_v4().to_string();
        let effect = apply(&mut target, &foreign, &["web"]).await;
        is(&effect, Outcome::NotApplied, Cause::OtherIncarnation);
        control.fault(Fault::fail("UpdateConfig", Code::InvalidArgument, "no").times(1));
        let effect = apply(&mut target, &id, &["web"]).await;
        is(&effect, Outcome::NotApplied, Cause::Invalid);
        control.fault(Fault::fail("GetSandboxPolicyStatus", Code::Unavailable, "down"));
        let effect = apply(&mut target, &id, &["web"]).await;
        is(&effect, Outcome::MaybeApplied, Cause::NotSettled);
        control.clear_faults();
        control.fault(Fault::on("UpdateConfig", FaultEffect::LoseReply));
        let effect = apply(&mut target, &id, &["api", "web"]).await;
        is(&effect, Outcome::MaybeApplied, Cause::GatewayFailed);
    }
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_is_unknown() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        let id = ready(&mut target).await;
        target.control().fault(Fault::fail("GetSandboxConfig", Code::Internal, "broken"));
        let answer = target.policy("coder", &id).await;
        let Some(Policy::Unknown(unknown)) = answer.result else { panic!("{answer:?}") };
        assert_eq!(unknown.reason(), UnknownReason::Internal);
        let material = target.observe_all("coder", true).await.material.unwrap();
        assert!(material.spec.is_some() && material.policy.is_none());
        assert_eq!(material.policy_unknown.unwrap().reason(), UnknownReason::Internal);
    }
}

async fn create_provider(target: &Target, dialect: Dialect, name: &str, expire_ms: u64) {
    let uri = target.control().uri();
    let credentials = BTreeMap::from([("KEY".to_owned(), "hunter2".to_owned())]);
    match dialect {
        Dialect::V0_0 => {
            let mut client = v0_0::open_shell_client::OpenShellClient::connect(uri).await.unwrap();
            let expires = BTreeMap::from([("KEY".to_owned(), i64::try_from(expire_ms).unwrap())]);
            let metadata = v0_0::ObjectMeta { name: name.into(), ..Default::default() };
            let provider = v0_0::Provider {
                metadata: Some(metadata),
                r#type: "generic".into(),
                credentials,
                credential_expires_at_ms: if expire_ms > 0 { expires } else { BTreeMap::new() },
                ..Default::default()
            };
            let workspace = "default".into();
            let request = v0_0::CreateProviderRequest { provider: Some(provider), workspace };
            client.create_provider(request).await.unwrap();
        }
        Dialect::V0_1 => {
            let mut client = v0_1::open_shell_client::OpenShellClient::connect(uri).await.unwrap();
            let expires = BTreeMap::from([("KEY".to_owned(), time::timestamp(expire_ms))]);
            let metadata = v0_1::ObjectMeta { name: name.into(), ..Default::default() };
            let provider = v0_1::Provider {
                metadata: Some(metadata),
                r#type: "generic".into(),
                credentials,
                credential_expiration_times: if expire_ms > 0 { expires } else { BTreeMap::new() },
                ..Default::default()
            };
            let selection = v0_1::workspace_selector::Selection::Workspace("default".into());
            let request = v0_1::CreateProviderRequest {
                provider: Some(provider),
                workspace_scope: Some(v0_1::WorkspaceSelector { selection: Some(selection) }),
                ..Default::default()
            };
            client.create_provider(request).await.unwrap();
        }
    }
}

#[tokio::test]
async fn providers_exist_expire_are_missing_or_unknown() {
    for dialect in BOTH {
        let mut target = Target::dev(dialect).await;
        create_provider(&target, dialect, "plain", 0).await;
        create_provider(&target, dialect, "short", 1_900_000_000_000).await;
        let request = CheckProvidersRequest {
            gateway: GATEWAY.into(),
            workspace: "default".into(),
            providers: vec!["plain".into(), "gone".into(), "short".into()],
        };
        let answer = target.bench.client.check_providers(request.clone()).await.unwrap();
        let mut views = answer.into_inner().providers.into_iter();
        let mut next = || views.next().unwrap();
        assert!(
            matches!(next().state, Some(State::Existing(found)) if found.expire_time.is_none())
        );
        assert!(matches!(next().state, Some(State::Missing(_))));
        let Some(State::Existing(short)) = next().state else { panic!("missing") };
        assert_eq!(time::millis(&short.expire_time.unwrap()), 1_900_000_000_000);
        let elsewhere = CheckProvidersRequest { workspace: "nowhere".into(), ..request.clone() };
        let answer = target.bench.client.check_providers(elsewhere).await.unwrap().into_inner();
        for view in answer.providers {
            let Some(State::Unknown(unknown)) = view.state else { panic!("{view:?}") };
            assert_eq!(unknown.reason(), UnknownReason::WorkspaceMissing);
        }
        target.control().fault(Fault::fail("GetProvider", Code::PermissionDenied, "no"));
        let answer = target.bench.client.check_providers(request).await.unwrap().into_inner();
        assert_eq!(answer.providers.len(), 3);
        assert!(answer.providers.iter().all(|view| matches!(view.state, Some(State::Unknown(_)))));
    }
}
