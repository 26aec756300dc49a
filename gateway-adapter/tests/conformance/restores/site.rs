//! A sandbox with snapshots, and what is asked of it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use salvor_devgateway::Dialect;
use salvor_gateway_adapter::{Config, PasswordSource, RepositoryConfig};
use salvor_proto::gateway::v1::effect::Outcome;
use salvor_proto::gateway::v1::operation::Result as Ended;
use salvor_proto::gateway::v1::snapshot::State;
use salvor_proto::gateway::v1::*;
use salvor_proto::registry::v1::SnapshotRules;
use tempfile::TempDir;
use tonic::Status;

use crate::target::Target;

/// A ready sandbox with a repository for its snapshots. The root that is declared is `/sandbox/work`.
pub(super) struct Site {
    pub(super) target: Target,
    pub(super) id: String,
    pub(super) root: PathBuf,
    pub(super) repository: TempDir,
}

impl Site {
    pub(super) async fn new(dialect: Dialect) -> Self {
        Self::on(dialect, tempfile::tempdir().unwrap()).await
    }

    /// With a repository that may have snapshots already, and an adapter that has read none of it.
    pub(super) async fn on(dialect: Dialect, repository: TempDir) -> Self {
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
        let root = target.control().sandbox("coder").unwrap().root.join("work");
        fs::create_dir(&root).unwrap();
        Self { target, id, root, repository }
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(super) fn read(&self, name: impl AsRef<Path>) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(super) async fn wait(&mut self, begun: Option<Operation>) -> Ended {
        let name = begun.unwrap().name;
        let timeout = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let request = WaitOperationRequest { name, timeout };
        let answer = self.target.bench.client.wait_operation(request).await.unwrap();
        answer.into_inner().operation.unwrap().result.unwrap()
    }

    pub(super) async fn take_with(&mut self, with_nonce: bool, excludes: &[&str]) -> Snapshot {
        let request = SnapshotWorkspaceRequest {
            sandbox: self.target.sandbox("coder"),
            permit: self.target.permit("snapshot", "coder", 1),
            live_id: self.id.clone(),
            rules: Some(SnapshotRules {
                roots: vec!["/sandbox/work".into()],
                excludes: excludes.iter().map(ToString::to_string).collect(),
                ..Default::default()
            }),
            channel: Channel::Exec.into(),
            request_id: uuid(),
            with_nonce,
            ..Default::default()
        };
        let begun = self.target.bench.client.snapshot_workspace(request).await.unwrap();
        let Ended::Snapshot(snapshot) = self.wait(begun.into_inner().operation).await else {
            panic!("no snapshot")
        };
        assert_eq!(snapshot.state(), State::Complete, "{snapshot:?}");
        snapshot
    }

    pub(super) async fn take(&mut self) -> Snapshot {
        self.take_with(false, &[]).await
    }

    pub(super) fn restoring(&self, snapshot: &Snapshot) -> RestoreWorkspaceRequest {
        RestoreWorkspaceRequest {
            sandbox: self.target.sandbox("coder"),
            permit: self.target.permit("restore", "coder", 1),
            live_id: self.id.clone(),
            snapshot: snapshot.name.clone(),
            expected_identity: snapshot.identity.clone(),
            request_id: uuid(),
            ..Default::default()
        }
    }

    pub(super) async fn begin(
        &mut self,
        request: RestoreWorkspaceRequest,
    ) -> Result<Option<Operation>, Status> {
        let answer = self.target.bench.client.restore_workspace(request).await?;
        Ok(answer.into_inner().operation)
    }

    pub(super) async fn run(&mut self, request: RestoreWorkspaceRequest) -> Ended {
        let begun = self.begin(request).await.unwrap();
        self.wait(begun).await
    }

    pub(super) async fn report(&mut self, request: RestoreWorkspaceRequest) -> RestoreReport {
        match self.run(request).await {
            Ended::Restore(report) => report,
            other => panic!("no report: {other:?}"),
        }
    }

    pub(super) async fn restore(&mut self, snapshot: &Snapshot) -> RestoreReport {
        let request = self.restoring(snapshot);
        self.report(request).await
    }

    pub(super) async fn verify_as(&mut self, like: RestoreWorkspaceRequest) -> VerifyReport {
        let request = VerifyWorkspaceRequest {
            sandbox: like.sandbox,
            live_id: like.live_id,
            snapshot: like.snapshot,
            expected_identity: like.expected_identity,
            config_files: like.config_files,
            mode: like.mode,
            paths: like.paths,
            request_id: uuid(),
            held_only: false,
        };
        let begun = self.target.bench.client.verify_workspace(request).await.unwrap();
        match self.wait(begun.into_inner().operation).await {
            Ended::Verification(report) => report,
            other => panic!("no report: {other:?}"),
        }
    }

    pub(super) async fn verify(&mut self, snapshot: &Snapshot) -> VerifyReport {
        let like = self.restoring(snapshot);
        self.verify_as(like).await
    }
}

pub(super) fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

pub(super) fn all_applied(report: &RestoreReport) {
    let effect = report.effect.as_ref().unwrap();
    assert_eq!(effect.outcome(), Outcome::Applied, "{report:?}");
    assert_eq!(report.failure_count, 0, "{report:?}");
}

/// Everything that a tree says of itself, by relative path.
pub(super) type Seen = BTreeMap<PathBuf, (u32, u32, u32, i64, i64, Vec<u8>)>;

pub(super) fn seen(root: &Path) -> Seen {
    let mut seen = Seen::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let meta = path.symlink_metadata().unwrap();
        let content = if meta.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().as_bytes().to_vec()
        } else if meta.is_file() {
            fs::read(&path).unwrap()
        } else {
            if meta.is_dir() {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            Vec::new()
        };
        let time = if path == root { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) };
        let facts = (meta.mode(), meta.uid(), meta.gid(), time.0, time.1, content);
        seen.insert(path.strip_prefix(root).unwrap().to_owned(), facts);
    }
    seen
}

pub(super) fn wipe(root: &Path) {
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }
}
