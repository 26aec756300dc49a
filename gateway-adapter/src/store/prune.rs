//! Taking snapshots away, and the space that no snapshot needs any more.
//!
//! Invariants: what a rule keeps is never touched; packs are only marked at first, and go later ([`Reclaim`]), so that another
//! process, whose index is from before, still finds them; within this process reclaiming and whatever reads or captures
//! exclude each other. restic's own locks are not taken: do not run `restic prune` beside an adapter.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustic_core::jiff::Span;
use rustic_core::{FileType, LimitOption, PruneOptions};
use salvor_proto::gateway::v1 as pb;
use salvor_proto::registry::v1::Retention;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tokio::time::{Instant, sleep};

use super::backend::lowered;
use super::repository::Opened;
use super::retention::{Held, Verdict, verdicts};
use super::{Reclaim, SnapshotName, StoreError, snapshots};

/// How long reclaiming waits for captures and readers to end.
const PATIENCE: Duration = Duration::from_mins(10);
/// Between two looks. Queueing would hold up new captures behind a long one.
const LOOK: Duration = Duration::from_millis(500);

/// What to take away.
#[derive(Debug, Clone)]
pub(crate) struct Prune {
    /// Whose snapshots.
    pub sandbox: pb::SandboxRef,
    /// What to keep.
    pub rules: Retention,
    /// Names of those that stay in any case.
    pub in_use: Vec<String>,
    /// What a snapshot has to cover to count among those that the sandbox would be brought back from.
    pub roots: Vec<String>,
    /// Delete nothing.
    pub validate_only: bool,
    /// In milliseconds since the epoch.
    pub now: u64,
}

/// Takes away the snapshots that nothing keeps.
pub(super) fn prune(opened: &Opened, prune: &Prune) -> Result<pb::PruneReport, StoreError> {
    let listing = snapshots::list(opened)?;
    let ours = listing.snapshots.iter().filter(|snapshot| {
        let identity = snapshot.identity.as_ref();
        identity.and_then(|identity| identity.sandbox.as_ref()) == Some(&prune.sandbox)
    });
    let held = ours.map(|snapshot| Held {
        name: snapshot.name.clone(),
        begun: snapshots::begun(snapshot),
        complete: snapshot.state() == pb::snapshot::State::Complete,
        whole: covers(snapshot, &prune.roots),
        in_use: prune.in_use.contains(&snapshot.name),
    });
    let mut report = pb::PruneReport::default();
    for Verdict { name, mut because } in verdicts(held.collect(), &prune.rules, prune.now) {
        if because.is_empty() {
            match delete(opened, &name, prune.validate_only) {
                Ok(()) => {
                    report.deleted.push(name);
                    continue;
                }
                // It is there still; the others are not held up by it.
                Err(error) => because.push(format!("it could not be deleted: {error}")),
            }
        }
        report.kept.push(pb::prune_report::KeptSnapshot { name, because });
    }
    Ok(report)
}

/// Whether each of these directories was read to its end, itself or with one above it.
fn covers(snapshot: &pb::Snapshot, roots: &[String]) -> bool {
    let read = snapshot.coverage.as_ref().map_or(&[][..], |coverage| &coverage.covered_roots);
    roots.iter().all(|root| read.iter().any(|above| Path::new(root).starts_with(above)))
}

fn delete(opened: &Opened, name: &str, validate_only: bool) -> Result<(), StoreError> {
    if validate_only {
        return Ok(());
    }
    let name = SnapshotName::parse("name", name)
        .map_err(|error| StoreError::Internal(error.to_string()))?;
    match snapshots::delete(opened, &name.id) {
        // Somebody else was faster.
        Err(StoreError::NotFound(_)) => Ok(()),
        deleted => deleted,
    }
}

/// Keeps captures and readers out. Waits for those that run, and lets new ones begin meanwhile.
pub(super) async fn alone(
    reclaim: &Arc<RwLock<()>>,
) -> Result<OwnedRwLockWriteGuard<()>, StoreError> {
    let begun = Instant::now();
    loop {
        if let Ok(alone) = Arc::clone(reclaim).try_write_owned() {
            return Ok(alone);
        }
        if begun.elapsed() >= PATIENCE {
            return Err(StoreError::Busy);
        }
        sleep(LOOK).await;
    }
}

/// Marks what no snapshot needs, takes away what was marked long enough before, and answers by how many bytes the repository
/// shrank.
pub(super) fn reclaim(opened: &Opened, rules: Reclaim) -> Result<u64, StoreError> {
    let before = size(opened)?;
    let repository = opened.repository()?;
    let mut options = PruneOptions::default();
    options.keep_pack = span(rules.keep_pack)?;
    options.keep_delete = span(rules.keep_delete)?;
    options.instant_delete = rules.keep_delete.is_zero();
    // Whoever asks wants the space; as little as the default allows would leave most packs that are needed in part.
    options.max_repack = LimitOption::Unlimited;
    let plan = repository.prune_plan(&options).map_err(|error| lowered(&error))?;
    repository.prune(&options, plan).map_err(|error| lowered(&error))?;
    Ok(before.saturating_sub(size(opened)?))
}

fn span(duration: Duration) -> Result<Span, StoreError> {
    let too_long = |_| StoreError::Internal(format!("{duration:?} is too long to keep packs for"));
    Span::try_from(duration).map_err(too_long)
}

fn size(opened: &Opened) -> Result<u64, StoreError> {
    let mut sum = 0;
    for tpe in [FileType::Pack, FileType::Index] {
        let files = opened.storage.files(tpe)?;
        sum += files.iter().map(|(_, size)| u64::from(*size)).sum::<u64>();
    }
    Ok(sum)
}
