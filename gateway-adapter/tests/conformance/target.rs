//! What the suite runs on, and the requests that it makes.

use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use prost::Message;
use salvor_devgateway::{Config as DevConfig, Control, DevGateway, Dialect, Restart, Running};
use salvor_gateway_adapter::Config;
use salvor_openshell_wire::v0_0 as wire;
use salvor_proto::gateway::v1::effect::{Cause, Outcome};
use salvor_proto::gateway::v1::gateway_view::State;
use salvor_proto::gateway::v1::live_view::View;
use salvor_proto::gateway::v1::*;
use salvor_proto::registry::v1 as record;
use salvor_proto::registry::v1::gateway_credentials::Method;
use salvor_proto::registry::v1::{BearerToken, GatewayCredentials, MutualTls};
use tempfile::TempDir;
use tokio::time::Instant;
use tonic::Status;

use crate::bench::{Bench, PATIENCE};

pub(crate) const BOTH: [Dialect; 2] = [Dialect::V0_0, Dialect::V0_1];
pub(crate) const GATEWAY: &str = "gateways/target";
pub(crate) const DIGEST: &str = "0f1e2d";

/// A gateway under test with an adapter before it.
pub(crate) struct Target {
    pub(crate) bench: Bench,
    pub(crate) workspace: String,
    pub(crate) dialect: record::Dialect,
    pub(crate) image: String,
    pub(crate) dev: Option<Running>,
    pub(crate) directory: TempDir,
}

impl Target {
    pub(crate) async fn dev(dialect: Dialect) -> Self {
        Self::dev_with(dialect, |_| (), |_| ()).await
    }

    pub(crate) async fn dev_with(
        dialect: Dialect,
        gateway: impl FnOnce(&mut DevConfig),
        adapter: impl FnOnce(&mut Config),
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = DevConfig {
            data_dir: directory.path().join("data"),
            dialect,
            time_scale: 0.02,
            ..DevConfig::default()
        };
        gateway(&mut config);
        let running = DevGateway::start(config).await.unwrap();
        let mut bench = Bench::start(adapter).await;
        bench.register(GATEWAY, &running.uri(), None).await;
        // So that no background probe stands in a test's call log.
        bench.wait_gateway(GATEWAY, |gateway| gateway.heartbeat.is_some()).await;
        let dialect = match dialect {
            Dialect::V0_0 => record::Dialect::V00,
            Dialect::V0_1 => record::Dialect::V01,
        };
        Self {
            bench,
            workspace: "default".into(),
            dialect,
            image: "lab/agent:1".into(),
            dev: Some(running),
            directory,
        }
    }

    /// The gateway that the environment names, if it names one.
    pub(crate) async fn real() -> Option<Self> {
        let value = |name: &str| env::var(format!("SALVOR_TEST_GATEWAY_{name}")).ok();
        let Some(endpoint) = value("ENDPOINT") else {
            let text = b"skipped: no real gateway (SALVOR_TEST_GATEWAY_ENDPOINT is not set)\n";
            // Straight to the stream: the test harness keeps what the print macros write.
            io::stderr().write_all(text).unwrap();
            return None;
        };
        let mut bench = Bench::start(|config| config.limits.settle = Duration::from_mins(1)).await;
        let credentials = match (value("MTLS_DIR"), value("TOKEN_FILE")) {
            (directory, Some(token)) => {
                let ca = directory.map(|d| format!("{d}/ca.crt")).unwrap_or_default();
                Some(bearer(&token, &ca))
            }
            (Some(directory), None) => Some(mutual(Path::new(&directory))),
            (None, None) => None,
        };
        bench.register(GATEWAY, &endpoint, credentials).await;
        let mut target = Self {
            bench,
            workspace: value("WORKSPACE").unwrap_or_else(|| "default".into()),
            dialect: record::Dialect::Unspecified,
            image: value("IMAGE").unwrap_or_default(),
            dev: None,
            directory: tempfile::tempdir().unwrap(),
        };
        target.dialect = match target.probe().await.state {
            Some(State::Healthy(healthy)) => healthy.dialect(),
            state => panic!("{endpoint} cannot be tested: {state:?}"),
        };
        Some(target)
    }

    pub(crate) fn control(&self) -> Control {
        self.dev.as_ref().unwrap().control()
    }

    pub(crate) fn sandbox(&self, name: &str) -> Option<SandboxRef> {
        Some(SandboxRef {
            gateway: GATEWAY.into(),
            workspace: self.workspace.clone(),
            sandbox: name.into(),
        })
    }

    pub(crate) fn permit(&self, effect: &str, name: &str, fence_token: i64) -> Option<Permit> {
        Some(Permit {
            recovery: "recoveries/7".into(),
            plan_digest: DIGEST.into(),
            decision_id: "decision".into(),
            fence_token,
            effect: effect.into(),
            sandbox: self.sandbox(name),
        })
    }

    pub(crate) async fn probe(&mut self) -> GatewayView {
        let request = ProbeGatewayRequest { gateway: GATEWAY.into() };
        self.bench.client.probe_gateway(request).await.unwrap().into_inner().view.unwrap()
    }

    /// Restarts the gateway, and waits until the adapter has left its broken connection.
    pub(crate) async fn restart(&mut self, how: Restart) {
        self.control().restart(how).await.unwrap();
        let deadline = Instant::now() + PATIENCE;
        while let Some(State::Unknown(unknown)) = self.probe().await.state {
            if unknown.reason() != UnknownReason::Unavailable {
                return;
            }
            assert!(Instant::now() < deadline, "{unknown:?}");
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn observe(&mut self, name: &str) -> View {
        self.observe_all(name, false).await.live.unwrap().view.unwrap()
    }

    pub(crate) async fn observe_all(
        &mut self,
        name: &str,
        with_material: bool,
    ) -> ObserveSandboxResponse {
        let request = ObserveSandboxRequest { sandbox: self.sandbox(name), with_material };
        self.bench.client.observe_sandbox(request).await.unwrap().into_inner()
    }

    pub(crate) async fn present(&mut self, name: &str) -> Present {
        match self.observe(name).await {
            View::Present(present) => present,
            view => panic!("{name} is not present: {view:?}"),
        }
    }

    pub(crate) async fn unknown(&mut self, name: &str) -> Unknown {
        match self.observe(name).await {
            View::Unknown(unknown) => unknown,
            view => panic!("{name} is not unknown: {view:?}"),
        }
    }

    pub(crate) async fn absent_since(&mut self, name: &str) -> u64 {
        match self.observe(name).await {
            View::Absent(absent) => salvor_proto::time::millis(&absent.since.unwrap()),
            view => panic!("{name} is not absent: {view:?}"),
        }
    }

    /// Looks until the phase is there.
    pub(crate) async fn wait_phase(&mut self, name: &str, phase: Phase) -> Present {
        let deadline = Instant::now() + 6 * PATIENCE;
        loop {
            let view = self.observe(name).await;
            match view {
                View::Present(present) if present.phase() == phase => return present,
                view => assert!(Instant::now() < deadline, "{name}: {view:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn creation(&self, name: &str, fence_token: i64) -> CreateSandboxRequest {
        CreateSandboxRequest {
            sandbox: self.sandbox(name),
            permit: self.permit("create", name, fence_token),
            spec: Some(record::Spec {
                dialect: self.dialect.into(),
                content: spec(&self.image),
                ..Default::default()
            }),
            policy: None,
            labels: BTreeMap::from([("team".into(), "lab".into())]),
            annotations: BTreeMap::from([("note".into(), "kept\nas is".into())]),
            request_id: uuid::Uuid::new_v4().to_string(),
        }
    }

    pub(crate) async fn create(&mut self, name: &str) -> (Effect, String) {
        let request = self.creation(name, 1);
        self.create_as(request).await.unwrap()
    }

    pub(crate) async fn create_as(
        &mut self,
        request: CreateSandboxRequest,
    ) -> Result<(Effect, String), Status> {
        let answer = self.bench.client.create_sandbox(request).await?.into_inner();
        Ok((answer.effect.unwrap(), answer.live_id))
    }

    /// A sandbox that is ready; its id.
    pub(crate) async fn ready(&mut self, name: &str) -> String {
        let (effect, id) = self.create(name).await;
        assert_eq!(effect.outcome(), Outcome::Applied, "{effect:?}");
        let present = self.wait_phase(name, Phase::Ready).await;
        assert_eq!(present.live_id, id);
        id
    }

    pub(crate) async fn delete(
        &mut self,
        name: &str,
        live_id: &str,
        token: i64,
    ) -> Result<Effect, Status> {
        let request = DeleteSandboxRequest {
            sandbox: self.sandbox(name),
            permit: self.permit("delete", name, token),
            live_id: live_id.into(),
            request_id: uuid::Uuid::new_v4().to_string(),
            unchanged_since: String::new(),
        };
        Ok(self.bench.client.delete_sandbox(request).await?.into_inner().effect.unwrap())
    }

    pub(crate) async fn start(&mut self, name: &str, live_id: &str) -> Effect {
        let request = StartSandboxRequest {
            sandbox: self.sandbox(name),
            permit: self.permit("start", name, 1),
            live_id: live_id.into(),
            request_id: uuid::Uuid::new_v4().to_string(),
        };
        self.bench.client.start_sandbox(request).await.unwrap().into_inner().effect.unwrap()
    }

    pub(crate) async fn stop(&mut self, name: &str, live_id: &str) -> Effect {
        let request = StopSandboxRequest {
            sandbox: self.sandbox(name),
            permit: self.permit("stop", name, 1),
            live_id: live_id.into(),
            request_id: uuid::Uuid::new_v4().to_string(),
        };
        self.bench.client.stop_sandbox(request).await.unwrap().into_inner().effect.unwrap()
    }

    /// Runs a command in the sandbox the only way that the adapter offers.
    pub(crate) async fn run(
        &mut self,
        name: &str,
        live_id: &str,
        command: &[&str],
    ) -> ProbeReadinessResponse {
        let request = ProbeReadinessRequest {
            sandbox: self.sandbox(name),
            live_id: live_id.into(),
            probe: Some(record::ReadinessProbe {
                command: command.iter().map(ToString::to_string).collect(),
                timeout: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
            }),
        };
        self.bench.client.probe_readiness(request).await.unwrap().into_inner()
    }

    pub(crate) async fn policy(&mut self, name: &str, live_id: &str) -> GetEffectivePolicyResponse {
        let request = GetEffectivePolicyRequest {
            sandbox: self.sandbox(name),
            live_id: live_id.into(),
            with_content: true,
        };
        self.bench.client.get_effective_policy(request).await.unwrap().into_inner()
    }
}

/// A spec with maps, a secret and a main process that stays.
pub(crate) fn spec(image: &str) -> Vec<u8> {
    wire::SandboxSpec {
        environment: BTreeMap::from([
            ("API_KEY".into(), "hunter2".into()),
            ("MODE".into(), "test".into()),
        ]),
        template: Some(wire::SandboxTemplate { image: image.into(), ..Default::default() }),
        command: vec!["sleep".into(), "infinity".into()],
        ..Default::default()
    }
    .encode_to_vec()
}

/// A policy with one network rule for each name.
pub(crate) fn policy(names: &[&str]) -> Vec<u8> {
    let rule = |name: &&str| {
        let endpoint = wire::NetworkEndpoint {
            host: format!("{name}.example.com"),
            port: 443,
            ..Default::default()
        };
        let binary = wire::NetworkBinary { path: "/usr/bin/curl".into() };
        let rule = wire::NetworkPolicyRule {
            name: (*name).into(),
            endpoints: vec![endpoint],
            binaries: vec![binary],
        };
        ((*name).to_owned(), rule.encode_to_vec())
    };
    wire::SandboxPolicy {
        version: 1,
        network_policies: names.iter().map(rule).collect(),
        ..Default::default()
    }
    .encode_to_vec()
}

pub(crate) fn bearer(token_file: &str, ca_file: &str) -> GatewayCredentials {
    let (token_file, ca_file) = (token_file.to_owned(), ca_file.to_owned());
    GatewayCredentials { method: Some(Method::BearerToken(BearerToken { token_file, ca_file })) }
}

/// The files that a gateway's `generate-certs` and the vendor's own client use.
pub(crate) fn mutual(directory: &Path) -> GatewayCredentials {
    let file = |name: &str| directory.join(name).display().to_string();
    let tls = MutualTls {
        ca_file: file("ca.crt"),
        certificate_file: file("tls.crt"),
        key_file: file("tls.key"),
    };
    GatewayCredentials { method: Some(Method::MutualTls(tls)) }
}

pub(crate) fn is(effect: &Effect, outcome: Outcome, cause: Cause) {
    assert_eq!((effect.outcome(), effect.cause()), (outcome, cause), "{effect:?}");
}
