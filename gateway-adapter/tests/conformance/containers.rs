//! Sandboxes in real containers that the gateway has lost hold of: looked for, read and stopped through the runtime.
//!
//! Without Docker or the image of `.ci/lib/sandbox-image` they say that they are skipped; with `SALVOR_REQUIRE_DOCKER=1` they
//! fail. The development gateway removes its containers when the test ends, in any way.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use salvor_devgateway::{Dialect, DockerDriver, Driver};
use salvor_gateway_adapter::{PasswordSource, RepositoryConfig, RuntimeSettings};
use salvor_proto::gateway::v1::compute::State;
use salvor_proto::gateway::v1::effect::{Cause, Outcome};
use salvor_proto::gateway::v1::operation::Result as Done;
use salvor_proto::gateway::v1::snapshot::State as Completeness;
use salvor_proto::gateway::v1::*;
use salvor_proto::registry::v1::SnapshotRules;
use tempfile::TempDir;

use crate::target::{Target, is};

const IMAGE: &str = "salvor-test-sandbox:local";
const SOCKET: &str = "/var/run/docker.sock";
/// What the tests write into a sandbox.
const FILES: &str = "mkdir -p /sandbox/src && cd /sandbox && head -c 3000000 /dev/urandom >src/noise && \
    ln src/noise src/again && ln -s src/noise soft && printf kept >'an odd\nname' && chmod 600 soft";

/// A ready sandbox with files in a container.
struct Lab {
    target: Target,
    id: String,
    _repository: TempDir,
}

fn missing() -> Option<String> {
    match Command::new("docker").args(["image", "inspect", IMAGE]).output() {
        Ok(ended) if ended.status.success() => None,
        Ok(_) => Some(format!("no image {IMAGE} (run .ci/lib/sandbox-image)")),
        Err(error) => Some(format!("no docker command: {error}")),
    }
}

impl Lab {
    async fn new(live: bool) -> Option<Self> {
        if let Some(why) = missing() {
            let required = std::env::var("SALVOR_REQUIRE_DOCKER").is_ok_and(|word| word == "1");
            assert!(!required, "SALVOR_REQUIRE_DOCKER=1, and {why}");
            let text = format!("skipped: {why}\n");
            // Straight to the stream: the test harness keeps what the print macros write.
            std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).unwrap();
            return None;
        }
        let repository = tempfile::tempdir().unwrap();
        let password = repository.path().join("password");
        fs::write(&password, "a test's").unwrap();
        let kept = RepositoryConfig {
            repository: repository.path().join("repository").display().to_string(),
            options: BTreeMap::new(),
            password: PasswordSource::File(password),
        };
        let driver = DockerDriver { socket: SOCKET.into(), image: IMAGE.into(), keep: false };
        let runtime = RuntimeSettings { socket: SOCKET.into(), gateways: Vec::new(), live };
        let mut target = Target::dev_with(
            Dialect::V0_0,
            |gateway| gateway.driver = Driver::Docker(driver),
            |adapter| {
                adapter.repository = Some(kept);
                adapter.runtime = Some(runtime);
            },
        )
        .await;
        let id = target.ready("coder").await;
        let written = target.run("coder", &id, &["sh", "-c", FILES]).await;
        assert_eq!(
            written.result,
            Some(probe_readiness_response::Result::ExitCode(0)),
            "{written:?}"
        );
        Some(Self { target, id, _repository: repository })
    }

    async fn find(&mut self) -> FindComputeResponse {
        let request =
            FindComputeRequest { sandbox: self.target.sandbox("coder"), live_id: self.id.clone() };
        self.target.bench.client.find_compute(request).await.unwrap().into_inner()
    }

    async fn state(&mut self) -> State {
        let FindComputeResponse { compute, unknown } = self.find().await;
        assert_eq!((compute.len(), unknown), (1, None));
        compute[0].state()
    }

    async fn stop(&mut self) -> Effect {
        let compute = self.find().await.compute.remove(0).id;
        let request = StopComputeRequest {
            sandbox: self.target.sandbox("coder"),
            permit: self.target.permit("stop_compute", "coder", 1),
            live_id: self.id.clone(),
            compute,
        };
        let answer = self.target.bench.client.stop_compute(request).await.unwrap();
        answer.into_inner().effect.unwrap()
    }

    async fn snapshot(&mut self, channel: Channel) -> Done {
        let request = SnapshotWorkspaceRequest {
            sandbox: self.target.sandbox("coder"),
            permit: self.target.permit("snapshot", "coder", 1),
            live_id: self.id.clone(),
            rules: Some(SnapshotRules { roots: vec!["/sandbox".into()], ..Default::default() }),
            channel: channel.into(),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..Default::default()
        };
        let begun = self.target.bench.client.snapshot_workspace(request).await.unwrap();
        let name = begun.into_inner().operation.unwrap().name;
        loop {
            let timeout = Some(prost_types::Duration { seconds: 30, nanos: 0 });
            let request = WaitOperationRequest { name: name.clone(), timeout };
            let answer = self.target.bench.client.wait_operation(request).await.unwrap();
            let operation = answer.into_inner().operation.unwrap();
            if operation.done {
                return operation.result.unwrap();
            }
        }
    }

    /// A snapshot of all the files, read this way.
    async fn complete(&mut self, asked: Channel, read: Channel) {
        let Done::Snapshot(snapshot) = self.snapshot(asked).await else { panic!("no snapshot") };
        let coverage = snapshot.coverage.unwrap();
        assert_eq!(coverage.issues, []);
        assert_eq!(
            (snapshot.state, snapshot.channel),
            (Completeness::Complete.into(), read.into())
        );
        assert!(snapshot.verify_time.is_some());
        assert_eq!((coverage.files, coverage.others, coverage.bytes), (3, 1, 6_000_004));
    }
}

#[tokio::test]
async fn a_killed_sandbox_is_read_from_its_container() {
    let Some(mut lab) = Lab::new(false).await else { return };
    lab.complete(Channel::Unspecified, Channel::Exec).await;
    lab.target.control().kill("coder").await.unwrap();
    lab.target.wait_phase("coder", Phase::Error).await;
    assert_eq!(lab.state().await, State::Exited);
    for asked in [Channel::Runtime, Channel::Unspecified] {
        lab.complete(asked, Channel::Runtime).await;
    }
    let Done::Failure(failure) = lab.snapshot(Channel::Exec).await else { panic!("it was read") };
    assert!(failure.message.contains("nothing can be run in it"), "{failure:?}");
}

#[tokio::test]
async fn a_paused_sandbox_is_read_as_it_stands() {
    let Some(mut lab) = Lab::new(false).await else { return };
    lab.target.control().pause("coder").await.unwrap();
    lab.target.wait_phase("coder", Phase::Error).await;
    assert_eq!(lab.state().await, State::Paused);
    lab.complete(Channel::Unspecified, Channel::Runtime).await;
    assert_eq!(lab.state().await, State::Paused);
}

#[tokio::test]
async fn a_container_whose_row_is_lost_is_stopped_read_and_kept() {
    let Some(mut lab) = Lab::new(false).await else { return };
    lab.target.control().orphan("coder").unwrap();
    lab.target.absent_since("coder").await;
    assert_eq!(lab.state().await, State::Running);
    is(&lab.stop().await, Outcome::Applied, Cause::Unspecified);
    assert_eq!(lab.state().await, State::Exited);
    lab.complete(Channel::Runtime, Channel::Runtime).await;
    // Another incarnation of the name changes nothing about it.
    let other = lab.target.ready("coder").await;
    assert_ne!(other, lab.id);
    lab.complete(Channel::Runtime, Channel::Runtime).await;
    assert_eq!(lab.state().await, State::Exited);
}

#[tokio::test]
async fn a_live_one_is_read_the_way_that_is_set() {
    let Some(mut lab) = Lab::new(true).await else { return };
    lab.complete(Channel::Unspecified, Channel::Runtime).await;
    lab.complete(Channel::Exec, Channel::Exec).await;
    assert_eq!(lab.target.present("coder").await.phase(), Phase::Ready);
}

#[tokio::test]
async fn without_a_container_there_is_nothing_to_read() {
    let Some(mut lab) = Lab::new(false).await else { return };
    lab.target.control().lose("coder").await.unwrap();
    assert_eq!(lab.find().await, FindComputeResponse::default());
    let Done::Failure(failure) = lab.snapshot(Channel::Runtime).await else {
        panic!("it was read")
    };
    assert_eq!(failure.reason, "CONTAINER_NOT_FOUND");
    assert!(failure.message.contains(&lab.id), "{failure:?}");
}

#[tokio::test]
async fn an_adapter_without_a_runtime_knows_nothing_of_containers() {
    let mut target = Target::dev(Dialect::V0_0).await;
    let id = target.ready("coder").await;
    let sandbox = target.sandbox("coder");
    let request = FindComputeRequest { sandbox: sandbox.clone(), live_id: id.clone() };
    let found = target.bench.client.find_compute(request).await.unwrap().into_inner();
    assert_eq!(found.compute, []);
    assert_eq!(found.unknown.unwrap().reason(), UnknownReason::NotRegistered);
    let request = StopComputeRequest {
        sandbox,
        permit: target.permit("stop_compute", "coder", 1),
        live_id: id,
        compute: "0".repeat(64),
    };
    let refused = target.bench.client.stop_compute(request).await.unwrap_err();
    assert!(refused.message().contains("no container runtime"), "{refused:?}");
}
