//! What adapters are asked about workspaces, snapshots and containers.

use std::time::Duration;

use salvor_core::{
    Fact, Permit,
    evidence::{Channel, Compute, Live, RestoreMode},
    id::{ComputeId, LiveId, SnapshotName},
    name::RecordName,
    saga::{Cause, Effect},
};
use salvor_proto::{
    convert, error::received, gateway::v1 as pb, registry::v1 as registry, time::duration,
};
use tokio::sync::watch;
use tonic::{Code, Status};

use super::{
    adapter::{Adapter, permit, reference, why},
    causes,
};

/// How long one call waits for an operation before it is asked again.
const WAIT: Duration = Duration::from_millis(500);
/// How often an operation that does not answer is asked again before it is given up. It goes on at the adapter.
const MISSED: u32 = 5;

/// How far a step is that takes long; for showing only.
pub type Progress = watch::Sender<Option<pb::Progress>>;

/// Reading a workspace.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Of which incarnation.
    pub live: LiveId,
    /// What to cover, and what to run around it.
    pub rules: registry::SnapshotRules,
    /// Which way; `None`: whichever the adapter is set to prefer.
    pub channel: Option<Channel>,
    /// Write a nonce first.
    pub nonce: bool,
    /// Also what is unchanged.
    pub full: bool,
    /// The same id is the same snapshot.
    pub request_id: String,
}

/// Writing a workspace, or comparing one.
#[derive(Debug, Clone)]
pub struct Filling {
    /// Which incarnation is written to.
    pub live: LiveId,
    /// What is put back.
    pub snapshot: SnapshotName,
    /// Whose it must be.
    pub of: (RecordName, LiveId),
    /// How.
    pub mode: RestoreMode,
    /// Config files that are merged.
    pub config_files: Vec<registry::ConfigFile>,
    /// Only these.
    pub paths: Vec<String>,
    /// What is there besides the snapshot's own is not looked for; for a comparison.
    pub held_only: bool,
    /// The same id is the same operation.
    pub request_id: String,
}

/// Taking snapshots away.
#[derive(Debug, Clone)]
pub struct Pruning {
    /// What stays.
    pub retention: registry::Retention,
    /// What stays in any case: exact names.
    pub in_use: Vec<String>,
    /// What a snapshot covers that the sandbox would be brought back from.
    pub roots: Vec<String>,
    /// Also give back the space that nothing needs.
    pub reclaim_space: bool,
    /// The same id is the same operation.
    pub request_id: String,
}

/// What a piece of work that takes long came to.
#[derive(Debug)]
pub enum Ended<T> {
    /// This.
    With(T),
    /// The adapter refused it; nothing was done.
    Refused(Cause, String),
    /// Nobody knows: the adapter went away, or did not answer.
    Lost(Cause),
}

impl Adapter {
    /// What the host's container runtime holds of an incarnation.
    pub async fn compute(&self, name: &RecordName, live: &LiveId) -> Fact<Vec<Compute>> {
        let request =
            pb::FindComputeRequest { sandbox: Some(reference(name)), live_id: live.to_string() };
        match self.client().find_compute(request).await {
            Ok(answer) => convert::compute_fact(&answer.into_inner(), self.now()),
            Err(status) => Fact::unknown(why(&status), status.message()),
        }
    }

    /// Which incarnation has a name; for a copy.
    pub async fn bearer(&self, name: &RecordName) -> Fact<Option<LiveId>> {
        match self.observe(name, false).await.live {
            Fact::Known { value: Live::Present(present), at } => {
                Fact::known(Some(present.live_id), at)
            }
            Fact::Known { value: Live::Absent { .. }, at } => Fact::known(None, at),
            Fact::Unknown { why, detail } => Fact::Unknown { why, detail },
        }
    }

    /// Stops a container, and keeps it.
    pub async fn stop_compute(
        &self,
        permit: Permit,
        live: &LiveId,
        compute: &ComputeId,
    ) -> Effect<()> {
        let request = pb::StopComputeRequest {
            sandbox: Some(reference(permit.target())),
            permit: Some(self::permit(&permit)),
            live_id: live.to_string(),
            compute: compute.to_string(),
        };
        match self.client().stop_compute(request).await {
            Ok(answer) => convert::effect(answer.into_inner().effect.as_ref(), ()),
            Err(status) => causes::of_status(&status),
        }
    }

    /// Takes a snapshot, to its end. Dropping the future leaves the adapter at it; the same request id finds it again.
    pub async fn take_snapshot(
        &self,
        permit: Permit,
        reading: Reading,
        progress: &Progress,
    ) -> Ended<pb::Snapshot> {
        let request = pb::SnapshotWorkspaceRequest {
            sandbox: Some(reference(permit.target())),
            permit: Some(self::permit(&permit)),
            live_id: reading.live.to_string(),
            rules: Some(reading.rules),
            channel: reading.channel.map_or(pb::Channel::Unspecified, convert::channel).into(),
            request_id: reading.request_id,
            with_nonce: reading.nonce,
            full: reading.full,
        };
        let begun = self.client().snapshot_workspace(request).await;
        let begun = begun.map(|answer| answer.into_inner().operation);
        self.finished(begun, progress, |result| match result {
            pb::operation::Result::Snapshot(snapshot) => Some(snapshot),
            _ => None,
        })
        .await
    }

    /// Deletes one incarnation if its workspace is what a snapshot of it holds, and waits until it is gone.
    pub async fn delete_unchanged(
        &self,
        permit: Permit,
        live: &LiveId,
        since: &SnapshotName,
        request_id: String,
        progress: &Progress,
    ) -> Effect<()> {
        let request = pb::DeleteSandboxRequest {
            sandbox: Some(reference(permit.target())),
            permit: Some(self::permit(&permit)),
            live_id: live.to_string(),
            request_id,
            unchanged_since: since.to_string(),
        };
        let begun = self.client().delete_sandbox(request).await;
        let begun = begun.map(|answer| answer.into_inner().operation);
        let ended = self.finished(begun, progress, |result| match result {
            pb::operation::Result::Deletion(effect) => Some(effect),
            _ => None,
        });
        match ended.await {
            Ended::With(effect) => {
                if !effect.detail.is_empty() {
                    tracing::warn!(sandbox = %permit.target(), detail = effect.detail, "not deleted");
                }
                convert::effect(Some(&effect), ())
            }
            Ended::Refused(cause, why) => {
                tracing::warn!(sandbox = %permit.target(), why, "nothing was deleted");
                Effect::NotApplied(cause)
            }
            Ended::Lost(cause) => Effect::MaybeApplied(cause),
        }
    }

    /// Reads all of a snapshot back from the repository.
    pub async fn verify_snapshot(
        &self,
        snapshot: &SnapshotName,
        request_id: String,
        progress: &Progress,
    ) -> Ended<pb::VerifyReport> {
        let request = pb::VerifySnapshotRequest { snapshot: snapshot.to_string(), request_id };
        let begun = self.client().verify_snapshot(request).await;
        let begun = begun.map(|answer| answer.into_inner().operation);
        self.finished(begun, progress, verification).await
    }

    /// Writes a snapshot into a sandbox.
    pub async fn restore_workspace(
        &self,
        permit: Permit,
        filling: Filling,
        progress: &Progress,
    ) -> Ended<pb::RestoreReport> {
        let request = pb::RestoreWorkspaceRequest {
            sandbox: Some(reference(permit.target())),
            permit: Some(self::permit(&permit)),
            live_id: filling.live.to_string(),
            snapshot: filling.snapshot.to_string(),
            expected_identity: Some(identity(&filling.of)),
            mode: convert::mode(filling.mode).into(),
            config_files: filling.config_files,
            paths: filling.paths,
            request_id: filling.request_id,
        };
        let begun = self.client().restore_workspace(request).await;
        let begun = begun.map(|answer| answer.into_inner().operation);
        self.finished(begun, progress, |result| match result {
            pb::operation::Result::Restore(report) => Some(report),
            _ => None,
        })
        .await
    }

    /// Compares a sandbox with a snapshot.
    pub async fn verify_workspace(
        &self,
        on: &RecordName,
        filling: Filling,
        progress: &Progress,
    ) -> Ended<pb::VerifyReport> {
        let request = pb::VerifyWorkspaceRequest {
            sandbox: Some(reference(on)),
            live_id: filling.live.to_string(),
            snapshot: filling.snapshot.to_string(),
            expected_identity: Some(identity(&filling.of)),
            config_files: filling.config_files,
            mode: convert::mode(filling.mode).into(),
            paths: filling.paths,
            request_id: filling.request_id,
            held_only: filling.held_only,
        };
        let begun = self.client().verify_workspace(request).await;
        let begun = begun.map(|answer| answer.into_inner().operation);
        self.finished(begun, progress, verification).await
    }

    /// Takes snapshots away by rule.
    pub async fn prune(
        &self,
        permit: Permit,
        pruning: Pruning,
        progress: &Progress,
    ) -> Ended<pb::PruneReport> {
        let leave = Some(self::permit(&permit));
        let request =
            pb::PruneSnapshotsRequest { permit: leave, ..prune_request(permit.target(), pruning) };
        self.pruned(request, progress).await
    }

    /// What a prune would take away, and what it would keep and why. Deletes nothing, so it needs no permit.
    pub async fn would_prune(&self, name: &RecordName, pruning: Pruning) -> Ended<pb::PruneReport> {
        let request =
            pb::PruneSnapshotsRequest { validate_only: true, ..prune_request(name, pruning) };
        self.pruned(request, &Progress::new(None)).await
    }

    /// Takes one snapshot away by name; one that is not there is gone already.
    pub async fn delete_snapshot(
        &self,
        permit: Permit,
        snapshot: &SnapshotName,
        allow_last: bool,
    ) -> Ended<()> {
        let request = pb::DeleteSnapshotRequest {
            name: snapshot.to_string(),
            permit: Some(self::permit(&permit)),
            allow_last,
        };
        match self.client().delete_snapshot(request).await {
            Ok(_) => Ended::With(()),
            Err(status) if is_salvors(&status, Code::NotFound) => Ended::With(()),
            Err(status) => refused(&status),
        }
    }

    async fn pruned(
        &self,
        request: pb::PruneSnapshotsRequest,
        progress: &Progress,
    ) -> Ended<pb::PruneReport> {
        let begun = self.client().prune_snapshots(request).await;
        let begun = begun.map(|answer| answer.into_inner().operation);
        self.finished(begun, progress, |result| match result {
            pb::operation::Result::Prune(report) => Some(report),
            _ => None,
        })
        .await
    }

    /// Follows an operation to its end.
    async fn finished<T>(
        &self,
        begun: Result<Option<pb::Operation>, Status>,
        progress: &Progress,
        expected: impl FnOnce(pb::operation::Result) -> Option<T> + Send,
    ) -> Ended<T> {
        let mut operation = match begun {
            Ok(Some(operation)) => operation,
            Ok(None) => return Ended::Lost(Cause::AdapterFailed),
            Err(status) => return refused(&status),
        };
        let mut missed = 0;
        while !operation.done {
            progress.send_replace(operation.progress.clone());
            let request = pb::WaitOperationRequest {
                name: operation.name.clone(),
                timeout: Some(duration(WAIT)),
            };
            match self.client().wait_operation(request).await.map(tonic::Response::into_inner) {
                Ok(pb::WaitOperationResponse { operation: Some(now) }) => {
                    (operation, missed) = (now, 0);
                }
                Err(status) if is_salvors(&status, Code::NotFound) => break,
                Ok(_) | Err(_) => {
                    missed += 1;
                    if missed > MISSED {
                        break;
                    }
                    tokio::time::sleep(WAIT).await;
                }
            }
        }
        progress.send_replace(None);
        match operation.result {
            Some(pb::operation::Result::Failure(failure)) => {
                Ended::Refused(causes::of_failure(&failure.reason), failure.message)
            }
            Some(result) => expected(result).map_or(Ended::Lost(Cause::AdapterFailed), Ended::With),
            None => Ended::Lost(Cause::AdapterFailed),
        }
    }
}

fn prune_request(of: &RecordName, pruning: Pruning) -> pb::PruneSnapshotsRequest {
    let Pruning { retention, in_use, roots, reclaim_space, request_id } = pruning;
    pb::PruneSnapshotsRequest {
        sandbox: Some(reference(of)),
        permit: None,
        retention: Some(retention),
        in_use,
        roots,
        reclaim_space,
        validate_only: false,
        request_id,
    }
}

fn verification(result: pb::operation::Result) -> Option<pb::VerifyReport> {
    match result {
        pb::operation::Result::Verification(report) => Some(report),
        _ => None,
    }
}

fn identity((name, live): &(RecordName, LiveId)) -> pb::SnapshotIdentity {
    pb::SnapshotIdentity { sandbox: Some(reference(name)), live_id: live.to_string() }
}

fn refused<T>(status: &Status) -> Ended<T> {
    match causes::of_status::<()>(status) {
        Effect::NotApplied(cause) => Ended::Refused(cause, status.message().to_owned()),
        Effect::Applied(()) => Ended::Lost(Cause::AdapterFailed),
        Effect::MaybeApplied(cause) => Ended::Lost(cause),
    }
}

pub(super) fn is_salvors(status: &Status, code: Code) -> bool {
    status.code() == code && received(status).reason.is_some()
}
