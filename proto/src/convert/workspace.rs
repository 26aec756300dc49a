//! Snapshots and containers.

use salvor_core::{
    Fact, Timestamp,
    evidence::{Channel, Compute, RestoreMode, Retention, Snapshot},
    id::{ComputeId, LiveId, SandboxPath, SnapshotName},
    name::{GatewayName, RecordName},
    saga::capture::{Gap, Saved},
};

use super::{observation::unknown_fact, record::text};
use crate::{gateway::v1 as pb, registry::v1 as registry, time::millis};

/// A snapshot as evidence; `None` when it does not say whose it is: then it is nobody's.
pub fn snapshot(snapshot: &pb::Snapshot) -> Option<Snapshot> {
    let identity = snapshot.identity.as_ref()?;
    let coverage = snapshot.coverage.clone().unwrap_or_default();
    Some(Snapshot {
        name: SnapshotName(snapshot.name.clone()),
        of: sandbox(identity.sandbox.as_ref()?)?,
        live_id: LiveId(identity.live_id.clone()),
        complete: snapshot.state() == pb::snapshot::State::Complete,
        begun: Timestamp(snapshot.begin_time.as_ref().map_or(0, millis)),
        covered: coverage.covered_roots.into_iter().map(SandboxPath).collect(),
        excludes: snapshot.rules.as_ref().map_or_else(Vec::new, |rules| rules.excludes.clone()),
        as_sealed: Vec::new(),
        files: coverage.files,
        bytes: coverage.bytes,
    })
}

/// A complete snapshot as a recovery keeps it.
pub fn saved(snapshot: &pb::Snapshot) -> Saved {
    let coverage = snapshot.coverage.as_ref();
    Saved {
        name: SnapshotName(snapshot.name.clone()),
        begun: Timestamp(snapshot.begin_time.as_ref().map_or(0, millis)),
        files: coverage.map_or(0, |coverage| coverage.files),
        bytes: coverage.map_or(0, |coverage| coverage.bytes),
    }
}

/// The first of what is wrong with a snapshot.
pub fn gap(snapshot: &str, notes: &[pb::PathNote], count: u64) -> Gap {
    let first = notes.first();
    Gap {
        snapshot: SnapshotName(snapshot.to_owned()),
        path: first.and_then(|note| text(&note.path)).map(SandboxPath),
        reason: first.map_or_else(|| "UNREADABLE".to_owned(), |note| note.reason.clone()),
        count,
    }
}

/// What the container runtime holds. An adapter that was given no runtime knows of nothing, and says so as such.
pub fn compute_fact(found: &pb::FindComputeResponse, received: Timestamp) -> Fact<Vec<Compute>> {
    match &found.unknown {
        Some(unknown) if unknown.reason() == pb::UnknownReason::NotRegistered => {
            Fact::known(Vec::new(), received)
        }
        Some(unknown) => unknown_fact(unknown),
        None => Fact::known(found.compute.iter().map(compute).collect(), received),
    }
}

fn compute(compute: &pb::Compute) -> Compute {
    use pb::compute::State;
    let running = match compute.state() {
        State::Created | State::Exited | State::Dead => false,
        State::Unspecified | State::Running | State::Paused | State::Restarting => true,
    };
    Compute { id: ComputeId(compute.id.clone()), running }
}

fn sandbox(sandbox: &pb::SandboxRef) -> Option<RecordName> {
    let gateway: GatewayName = sandbox.gateway.parse().ok()?;
    Some(RecordName {
        gateway: gateway.0,
        workspace: sandbox.workspace.parse().ok()?,
        sandbox: sandbox.sandbox.parse().ok()?,
    })
}

/// A channel on the wire.
pub const fn channel(channel: Channel) -> pb::Channel {
    match channel {
        Channel::Exec => pb::Channel::Exec,
        Channel::Runtime => pb::Channel::Runtime,
    }
}

/// A restore mode on the wire.
pub const fn mode(mode: RestoreMode) -> pb::RestoreMode {
    match mode {
        RestoreMode::Replace => pb::RestoreMode::Replace,
        RestoreMode::SkipExisting => pb::RestoreMode::SkipExisting,
        RestoreMode::MergeConfig => pb::RestoreMode::MergeConfig,
    }
}

/// What to keep, on the wire.
pub fn retention(retention: &Retention) -> registry::Retention {
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    registry::Retention {
        keep_last: number(retention.last),
        keep_hourly: number(retention.hourly),
        keep_daily: number(retention.daily),
        keep_weekly: number(retention.weekly),
    }
}
