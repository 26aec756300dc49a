//! Containers for one test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker, body_full};
use salvor_core::name::RecordName;
use uuid::Uuid;

use super::super::{Bounds, Runtime, RuntimeChannel, RuntimeSettings};
use super::tree::LocalTree;

const IMAGE: &str = "salvor-test-sandbox:local";
const SOCKET: &str = "/var/run/docker.sock";

/// Docker, and what this test has started in it.
pub(super) struct Lab {
    pub docker: Docker,
    pub runtime: Arc<Runtime>,
    started: Mutex<Vec<String>>,
}

/// How to make a container.
#[derive(Default)]
pub(super) struct Make {
    pub name: Option<String>,
    pub labels: Vec<(&'static str, String)>,
    pub command: Vec<&'static str>,
    pub restart_always: bool,
    pub auto_remove: bool,
}

impl Lab {
    /// `None`, said aloud, where there is no Docker or no image.
    pub(super) async fn open() -> Option<Self> {
        let socket = std::env::var("SALVOR_TEST_DOCKER_SOCKET").unwrap_or_else(|_| SOCKET.into());
        match Self::connect(&socket).await {
            Ok(lab) => Some(lab),
            Err(why) => {
                let required = std::env::var("SALVOR_REQUIRE_DOCKER").is_ok_and(|word| word == "1");
                assert!(!required, "SALVOR_REQUIRE_DOCKER=1, and {why}");
                let text = format!("skipped: {why}\n");
                // Straight to the stream: the test harness keeps what the print macros write.
                std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).unwrap();
                None
            }
        }
    }

    async fn connect(socket: &str) -> Result<Self, String> {
        let docker = Docker::connect_with_unix(socket, 20, API_DEFAULT_VERSION)
            .map_err(|error| format!("there is no Docker at {socket}: {error}"))?;
        let docker = docker
            .negotiate_version()
            .await
            .map_err(|error| format!("Docker at {socket} does not answer: {error}"))?;
        docker
            .inspect_image(IMAGE)
            .await
            .map_err(|_| format!("there is no image {IMAGE}: run .ci/lib/sandbox-image"))?;
        let bounds = Bounds { grace: Duration::from_secs(1), ..Bounds::default() };
        let settings = RuntimeSettings { socket: socket.into(), gateways: Vec::new(), live: false };
        let runtime = Arc::new(Runtime::new(settings, bounds));
        Ok(Self { docker, runtime, started: Mutex::default() })
    }

    /// A container of a sandbox, made and not started.
    pub(super) async fn made(&self, target: &RecordName, live_id: &str) -> String {
        let name = format!("openshell-{}--{}-{live_id}", target.workspace, target.sandbox);
        self.make(Make { name: Some(name), labels: labels(target, live_id), ..Make::default() })
            .await
    }

    /// A container of a sandbox that runs.
    pub(super) async fn running(&self, target: &RecordName, live_id: &str) -> String {
        let id = self.made(target, live_id).await;
        self.start(&id).await;
        id
    }

    pub(super) async fn make(&self, make: Make) -> String {
        let policy = make.restart_always.then_some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::ALWAYS),
            maximum_retry_count: None,
        });
        let command = match make.command.as_slice() {
            [] => vec!["sleep", "infinity"],
            given => given.to_vec(),
        };
        let body = ContainerCreateBody {
            image: Some(IMAGE.into()),
            cmd: Some(command.into_iter().map(Into::into).collect()),
            labels: Some(make.labels.into_iter().map(|(key, value)| (key.into(), value)).collect()),
            host_config: Some(HostConfig {
                network_mode: Some("none".into()),
                restart_policy: policy,
                auto_remove: Some(make.auto_remove),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let name = make.name.unwrap_or_else(|| format!("salvor-test-{}", Uuid::new_v4()));
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let id = self.docker.create_container(Some(options), body).await.unwrap().id;
        self.started.lock().unwrap().push(id.clone());
        id
    }

    pub(super) async fn start(&self, id: &str) {
        let none = None::<bollard::query_parameters::StartContainerOptions>;
        self.docker.start_container(id, none).await.unwrap();
    }

    pub(super) async fn kill(&self, id: &str) {
        let none = None::<bollard::query_parameters::KillContainerOptions>;
        self.docker.kill_container(id, none).await.unwrap();
        self.until_ended(id).await;
    }

    pub(super) async fn until_ended(&self, id: &str) {
        use futures::StreamExt;
        let none = None::<bollard::query_parameters::WaitContainerOptions>;
        // The exit status is an error to this client, and none here.
        let _ = self.docker.wait_container(id, none).next().await;
    }

    /// Puts a tree into a container with the system's tar, and nothing of what is tested.
    pub(super) async fn fill(&self, id: &str, root: &str, tree: &LocalTree) {
        let options = UploadToContainerOptionsBuilder::new().path(root).build();
        let tar = body_full(tree.tar().into());
        self.docker.upload_to_container(id, Some(options), tar).await.unwrap();
    }

    /// What the runtime does with a container that has ended.
    pub(super) async fn restart_policy(&self, id: &str) -> &'static str {
        let none = None::<bollard::query_parameters::InspectContainerOptions>;
        let host = self.docker.inspect_container(id, none).await.unwrap().host_config.unwrap();
        match host.restart_policy.unwrap().name.unwrap() {
            RestartPolicyNameEnum::NO => "no",
            _ => "another",
        }
    }

    pub(super) async fn channel(&self, target: &RecordName, live_id: &str) -> RuntimeChannel {
        RuntimeChannel::find(&self.runtime, target, live_id).await.unwrap().expect("a container")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let started = std::mem::take(&mut *self.started.lock().unwrap());
        let docker = self.docker.clone();
        let removed = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for id in started {
                    let force = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
                    // One that is gone already is as it should be.
                    let _ = docker.remove_container(&id, Some(force)).await;
                }
            });
        });
        removed.join().unwrap();
    }
}

/// A sandbox of this name.
pub(super) fn target(sandbox: &str) -> RecordName {
    format!("gateways/lab/workspaces/default/sandboxes/{sandbox}").parse().unwrap()
}

pub(super) fn fresh_id() -> String {
    Uuid::new_v4().to_string()
}

/// As the gateway labels its containers.
pub(super) fn labels(target: &RecordName, live_id: &str) -> Vec<(&'static str, String)> {
    vec![
        ("openshell.ai/managed-by", "openshell".into()),
        ("openshell.ai/sandbox-id", live_id.into()),
        ("openshell.ai/sandbox-name", target.sandbox.to_string()),
        ("openshell.ai/sandbox-namespace", "openshell".into()),
        ("openshell.ai/sandbox-workspace", target.workspace.to_string()),
    ]
}
