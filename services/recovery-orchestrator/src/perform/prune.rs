//! Taking away snapshots that no rule keeps: the step of a prune, and the last one of a snapshot.

use salvor_core::{
    EffectKind,
    id::SnapshotName,
    saga::{
        Cause, Saga,
        prune::{Event, Kept, Prune, Pruned, State, Step},
    },
};
use salvor_proto::{Error, convert, gateway::v1 as pb, registry::v1 as registry};
use salvor_runtime::sqlite::at_once;
use tokio::time::sleep;

use super::{watch, workspace::unless_stopping};
use crate::{
    ports::{Ended, Pruning},
    runner::{Perform, Performed, Run},
};

/// How many complete snapshots stay of a sandbox whose record does not say: enough to go back past a change that was noticed
/// late, few enough to be read in a list.
const KEEP_LAST: i32 = 10;
/// How many of them a journal row names.
const NAMED: usize = 100;

/// What it came to.
pub(super) enum Done {
    /// This.
    Pruned(Pruned),
    /// Nothing was taken away.
    Refused(Cause),
    /// Something may have been.
    Doubtful(Cause),
    /// The service is stopping.
    Interrupted,
}

impl Perform for Prune {
    async fn perform(
        Step::Prune: Step,
        state: &State,
        run: &Run,
    ) -> Result<Performed<Event>, Error> {
        if let State::Pruning { attempts } = state
            && *attempts > 1
        {
            sleep(super::pause(*attempts)).await;
        }
        Ok(match by_rule::<Self>(run, "prune").await? {
            Done::Pruned(pruned) => Performed::Event(Event::Pruned(pruned)),
            Done::Refused(cause) => Performed::Event(Event::Refused(cause)),
            Done::Doubtful(cause) => Performed::Event(Event::Doubtful(cause)),
            Done::Interrupted => Performed::Interrupted,
        })
    }
}

/// Takes away what neither the rules nor an open recovery keep.
pub(super) async fn by_rule<S: Saga>(run: &Run, step: &str) -> Result<Done, Error> {
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Done::Refused(Cause::AdapterFailed));
    };
    let asked = &run.header.plan.inputs.asked;
    let record = run.world.registry.sandbox(run.target()).await?;
    let retention = asked.retention.as_ref().map_or_else(|| kept_of(&record), convert::retention);
    let in_use: Vec<String> = at_once(run.journal.snapshots_in_use(run.target()))
        .await?
        .into_iter()
        .map(|name| name.0)
        .collect();
    let permit = run.permit(run.target(), EffectKind::DeleteSnapshot)?;
    let request_id = run.request_id(step, run.attempts::<S>(step) + 1);
    let pruning = Pruning { retention, in_use, reclaim_space: asked.reclaim, request_id };
    let work = adapter.prune(permit, pruning, &run.progress);
    let Some(ended) = unless_stopping(run, work).await else { return Ok(Done::Interrupted) };
    Ok(match ended {
        Ended::With(report) => Done::Pruned(pruned(&report)),
        Ended::Refused(cause, why) => {
            tracing::warn!(recovery = %run.name(), why, "no snapshot was taken away");
            Done::Refused(cause)
        }
        Ended::Lost(cause) => Done::Doubtful(cause),
    })
}

/// What a record says is to be kept.
fn kept_of(record: &registry::Sandbox) -> registry::Retention {
    let rules = record.snapshot_rules.clone().unwrap_or_default();
    let number = if rules.keep_last > 0 { rules.keep_last } else { KEEP_LAST };
    rules
        .retention
        .unwrap_or(registry::Retention { keep_last: number, ..registry::Retention::default() })
}

fn pruned(report: &pb::PruneReport) -> Pruned {
    let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    let deleted = report.deleted.iter().take(NAMED).cloned().map(SnapshotName);
    let kept = report.kept.iter().take(NAMED).map(|kept| Kept {
        snapshot: SnapshotName(kept.name.clone()),
        because: kept.because.clone(),
    });
    Pruned {
        deleted: deleted.collect(),
        deleted_count: count(report.deleted.len()),
        kept: kept.collect(),
        kept_count: count(report.kept.len()),
        bytes_freed: report.bytes_freed,
    }
}
