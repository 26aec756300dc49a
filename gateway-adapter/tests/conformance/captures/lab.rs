//! A sandbox to capture, and the words of these tests.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use salvor_devgateway::Dialect;
use salvor_gateway_adapter::{Config, PasswordSource, RepositoryConfig};
use salvor_proto::gateway::v1::operation::Result as Outcome;
use salvor_proto::gateway::v1::snapshot::State;
use salvor_proto::gateway::v1::*;
use salvor_proto::registry::v1::SnapshotRules;
use tempfile::TempDir;
use tonic::Status;

use crate::bench::PATIENCE;
use crate::target::{GATEWAY, Target};

/// A ready sandbox, and a repository for its snapshots.
pub(crate) struct Lab {
    pub(crate) target: Target,
    pub(crate) id: String,
    /// What the sandbox calls `/sandbox`.
    pub(crate) root: PathBuf,
    tools: TempDir,
    _repository: TempDir,
}

impl Lab {
    pub(crate) async fn new(dialect: Dialect) -> Self {
        let repository = tempfile::tempdir().unwrap();
        let password = repository.path().join("password");
        fs::write(&password, "a test's").unwrap();
        let settings = RepositoryConfig {
            repository: repository.path().join("repository").display().to_string(),
            options: BTreeMap::new(),
            password: PasswordSource::File(password),
        };
        let adapter = |config: &mut Config| config.repository = Some(settings);
        let mut target = Target::dev_with(dialect, |_| (), adapter).await;
        let id = target.ready("coder").await;
        let root = target.control().sandbox("coder").unwrap().root;
        let tools = tempfile::tempdir().unwrap();
        // So that a tool can be run as somebody else.
        for directory in [tools.path(), target.directory.path()] {
            fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
        }
        Self { target, id, root, tools, _repository: repository }
    }

    /// Runs `script` in the place of a program whenever the sandbox runs it; `$real` is the program.
    /// The login shell that makes it so is a talkative one.
    pub(crate) fn tool(&self, name: &str, script: &str) {
        let path = self.tools.path().join(name);
        fs::write(&path, format!("#!/bin/sh\nreal=/usr/bin/{name}\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        let tools = self.tools.path().display();
        let profile = format!("echo welcome; echo to you >&2; PATH={tools}:$PATH");
        fs::write(self.root.join(".bash_profile"), profile).unwrap();
    }

    /// Runs `script` right before files are read, each time.
    pub(crate) fn before_reading(&self, script: &str) {
        let script = format!("case \"$*\" in *-T*) {script};; esac\nexec $real \"$@\"");
        self.tool("tar", &script);
    }

    /// The content of a file of a snapshot.
    pub(crate) async fn read(&mut self, snapshot: &Snapshot, path: &str) -> Vec<u8> {
        let request = ReadSnapshotFileRequest {
            snapshot: snapshot.name.clone(),
            path: path.to_owned(),
            ..ReadSnapshotFileRequest::default()
        };
        let answer = self.target.bench.client.read_snapshot_file(request).await.unwrap();
        let (mut pieces, mut content) = (answer.into_inner(), Vec::new());
        while let Some(piece) = pieces.message().await.unwrap() {
            content.extend(piece.content);
        }
        content
    }

    /// Waits until there is such a file in the workspace.
    pub(crate) async fn wait_file(&self, name: &str) {
        let path = self.root.join(name);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !path.exists() {
            assert!(tokio::time::Instant::now() < deadline, "there is no {name}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Every snapshot of the repository.
    pub(crate) async fn snapshots(&mut self) -> Vec<Snapshot> {
        let request = ListSnapshotsRequest {
            gateway: GATEWAY.into(),
            with_incomplete: true,
            ..ListSnapshotsRequest::default()
        };
        let answer = self.target.bench.client.list_snapshots(request).await.unwrap().into_inner();
        assert_eq!((answer.unknown, answer.foreign_count), (None, 0));
        answer.snapshots
    }

    pub(crate) fn request(&self, rules: SnapshotRules) -> SnapshotWorkspaceRequest {
        SnapshotWorkspaceRequest {
            sandbox: self.target.sandbox("coder"),
            permit: self.target.permit("snapshot", "coder", 1),
            live_id: self.id.clone(),
            rules: Some(rules),
            channel: Channel::Exec.into(),
            request_id: uuid::Uuid::new_v4().to_string(),
            ..SnapshotWorkspaceRequest::default()
        }
    }

    pub(crate) async fn begin(
        &mut self,
        request: SnapshotWorkspaceRequest,
    ) -> Result<Operation, Status> {
        let answer = self.target.bench.client.snapshot_workspace(request).await?;
        Ok(answer.into_inner().operation.unwrap())
    }

    pub(crate) async fn wait(&mut self, name: &str) -> Operation {
        loop {
            let request = WaitOperationRequest {
                name: name.to_owned(),
                timeout: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
            };
            let answer = self.target.bench.client.wait_operation(request).await.unwrap();
            let operation = answer.into_inner().operation.unwrap();
            if operation.done {
                return operation;
            }
        }
    }

    pub(crate) async fn run(&mut self, request: SnapshotWorkspaceRequest) -> Outcome {
        let begun = self.begin(request).await.unwrap();
        self.wait(&begun.name).await.result.unwrap()
    }

    pub(crate) async fn take(&mut self, rules: SnapshotRules) -> Snapshot {
        let request = self.request(rules);
        taken(self.run(request).await)
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

pub(crate) fn taken(outcome: Outcome) -> Snapshot {
    match outcome {
        Outcome::Snapshot(snapshot) => snapshot,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn failed(outcome: Outcome) -> OperationFailure {
    match outcome {
        Outcome::Failure(failure) => failure,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn rules(roots: &[&str]) -> SnapshotRules {
    let roots = roots.iter().map(ToString::to_string).collect();
    SnapshotRules { roots, ..SnapshotRules::default() }
}

pub(crate) fn coverage(snapshot: &Snapshot) -> &Coverage {
    snapshot.coverage.as_ref().unwrap()
}

pub(crate) fn notes(notes: &[PathNote]) -> Vec<(&str, &str)> {
    notes.iter().map(|note| (note.path.as_str(), note.reason.as_str())).collect()
}

pub(crate) fn issues(snapshot: &Snapshot) -> Vec<(&str, &str)> {
    let issues = notes(&coverage(snapshot).issues);
    assert_eq!(snapshot.state() == State::Complete, issues.is_empty(), "{snapshot:?}");
    issues
}

pub(crate) fn complete(snapshot: &Snapshot) {
    assert_eq!(issues(snapshot), []);
    assert!(snapshot.verify_time.is_some());
}
