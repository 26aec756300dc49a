//! An adapter as a process, and the requests that are made of it.

use std::{
    ops::{Deref, DerefMut},
    path::Path,
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use prost::Message as _;
use salvor_openshell_wire::v0_0 as wire;
use salvor_proto::{
    error::received,
    gateway::v1::{
        Channel, CreateSandboxRequest, DeleteSandboxRequest, Effect, ObserveSandboxRequest, Permit,
        SandboxRef, SnapshotWorkspaceRequest,
        gateway_adapter_service_client::GatewayAdapterServiceClient, live_view::View,
    },
    registry::v1 as record,
    time::duration,
};
use salvor_runtime::{
    TracedChannel,
    channel::{Endpoint, connect_lazy},
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tonic::Status;

use crate::scene::GATEWAY;

/// Longer than anything here takes; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running adapter. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    client: Client,
}

/// Asks it.
#[derive(Clone)]
pub(crate) struct Client {
    url: String,
    adapter: GatewayAdapterServiceClient<TracedChannel>,
}

impl Process {
    /// Starts one, and waits until it listens.
    pub(crate) async fn start(id: &str, registry: &str, data: &Path, lease: Duration) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_salvor-gateway-adapter"))
            .env_clear()
            .args(["--listen", "127.0.0.1:0", "--log", "info", "--log-format", "json"])
            .args(["--adapter-id", id, "--registry", registry])
            .args(["--heartbeat-ms", "100", "--refresh-ms", "100", "--observe-ms", "0"])
            .args(["--serving-ms", &lease.as_millis().to_string(), "--data-dir"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listens = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("it ended before it listened");
                if let Some((_, rest)) = line.split_once("\"address\":\"") {
                    return rest.split('"').next().unwrap().to_owned();
                }
            }
        };
        let url = format!("http://{}", timeout(PATIENCE, listens).await.expect("it listens"));
        // The pipe must not fill up.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let channel = connect_lazy(&Endpoint::new(url.clone())).unwrap();
        let adapter = GatewayAdapterServiceClient::new(channel);
        Self { child, client: Client { url, adapter } }
    }

    pub(crate) fn clone_client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        signal::kill(Pid::from_raw(id), signal).unwrap();
    }

    /// SIGKILL.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// In an orderly way.
    pub(crate) async fn end(self) {
        self.signal(Signal::SIGTERM);
        self.ended().await;
    }

    /// Waits for an end in an orderly way.
    pub(crate) async fn ended(mut self) {
        let ended = timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
        assert!(ended.success(), "{ended}");
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What a delete under this token is refused with once it is something else.
    pub(crate) async fn until_not(
        client: &mut Client,
        reason: &str,
        id: &str,
        token: i64,
    ) -> Status {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let refused = client.delete("coder", id, token).await.unwrap_err();
            if received(&refused).reason.as_deref() != Some(reason) {
                return refused;
            }
            assert!(Instant::now() < deadline, "{refused}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Deref for Process {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Process {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Client {
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn create(
        &mut self,
        name: &str,
        token: i64,
    ) -> Result<(Effect, String), Status> {
        let spec = wire::SandboxSpec {
            template: Some(wire::SandboxTemplate {
                image: "lab/agent:1".into(),
                ..Default::default()
            }),
            command: vec!["sleep".into(), "infinity".into()],
            ..Default::default()
        };
        let request = CreateSandboxRequest {
            sandbox: Some(reference(name)),
            permit: Some(permit("create", name, token)),
            spec: Some(record::Spec {
                dialect: record::Dialect::V00.into(),
                content: spec.encode_to_vec(),
                ..Default::default()
            }),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..Default::default()
        };
        let answer = self.adapter.create_sandbox(request).await?.into_inner();
        Ok((answer.effect.unwrap(), answer.live_id))
    }

    /// Asks for it until the gateway is this adapter's.
    pub(crate) async fn create_once_it_may(&mut self, name: &str, token: i64) -> (Effect, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.create(name, token).await {
                Ok(made) => return made,
                Err(refused) => {
                    let reason = received(&refused).reason.unwrap_or_default();
                    assert_eq!(reason, "GATEWAY_SERVED_ELSEWHERE", "{refused}");
                    assert!(Instant::now() < deadline, "{refused}");
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn delete(
        &mut self,
        name: &str,
        live_id: &str,
        token: i64,
    ) -> Result<Effect, Status> {
        let request = DeleteSandboxRequest {
            sandbox: Some(reference(name)),
            permit: Some(permit("delete", name, token)),
            live_id: live_id.into(),
            request_id: uuid::Uuid::new_v4().to_string(),
            unchanged_since: String::new(),
        };
        Ok(self.adapter.delete_sandbox(request).await?.into_inner().effect.unwrap())
    }

    /// Begins to take a snapshot of `/sandbox/work` between two commands.
    pub(crate) async fn capture(
        &mut self,
        name: &str,
        live_id: &str,
        token: i64,
        (before, after): (&str, &str),
    ) {
        let sh = |command: &str| ["/bin/sh", "-c", command].map(str::to_owned).to_vec();
        let timeout = Some(duration(PATIENCE));
        let hooks = record::QuiesceHooks { before: sh(before), after: sh(after), timeout };
        let rules = record::SnapshotRules {
            roots: vec!["/sandbox/work".into()],
            quiesce: Some(hooks),
            ..Default::default()
        };
        let request = SnapshotWorkspaceRequest {
            sandbox: Some(reference(name)),
            permit: Some(permit("snapshot", name, token)),
            live_id: live_id.into(),
            rules: Some(rules),
            channel: Channel::Exec.into(),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..Default::default()
        };
        self.adapter.snapshot_workspace(request).await.unwrap();
    }

    /// The id of what the gateway has under this name.
    pub(crate) async fn observed(&mut self, name: &str) -> String {
        let request =
            ObserveSandboxRequest { sandbox: Some(reference(name)), with_material: false };
        let answer = self.adapter.observe_sandbox(request).await.unwrap().into_inner();
        match answer.live.unwrap().view.unwrap() {
            View::Present(present) => present.live_id,
            view => unreachable!("{name}: {view:?}"),
        }
    }
}

fn reference(name: &str) -> SandboxRef {
    SandboxRef { gateway: GATEWAY.into(), workspace: "default".into(), sandbox: name.into() }
}

fn permit(effect: &str, name: &str, fence_token: i64) -> Permit {
    Permit {
        recovery: "recoveries/7".into(),
        plan_digest: "0f1e2d".into(),
        decision_id: "decision".into(),
        fence_token,
        effect: effect.into(),
        sandbox: Some(reference(name)),
    }
}
