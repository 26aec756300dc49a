//! Taking away snapshots that no rule keeps, or by name: the step of a prune, and the last one of a snapshot.

use std::collections::BTreeSet;

use salvor_core::{
    EffectKind,
    evidence::Asked,
    id::SnapshotName,
    name::RecordName,
    saga::{
        Cause, ParkReason, Saga,
        prune::{Event, Kept, MAX_ATTEMPTS, Prune, Pruned, State, Step},
    },
};
use salvor_proto::{Error, convert, gateway::v1 as pb, registry::v1 as registry};
use salvor_runtime::database::at_once;
use tokio::time::sleep;

use super::{note::note_deleted, watch, workspace::unless_stopping};
use crate::{
    journal::Journal,
    ports::{Ended, Pruning},
    runner::{Perform, Performed, Run, events},
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
        let attempts = if let State::Pruning { attempts } = state { *attempts } else { 1 };
        if attempts > 1 {
            sleep(super::pause(attempts)).await;
        }
        let done = if run.header.plan.inputs.asked.delete.is_empty() {
            by_rule::<Self>(run, "prune").await?
        } else {
            by_name(run).await?
        };
        let before = events::<Self>(&run.rows())?;
        let doubted = before.iter().any(|event| matches!(event, Event::Doubtful(_)));
        Ok(outcome(done, attempts, doubted))
    }
}

/// What a try comes to. The last one gives up what was certainly not done; what may have been done waits until it can be found
/// out, by doing it again.
fn outcome(done: Done, attempts: u32, doubted: bool) -> Performed<Event> {
    let last = attempts >= MAX_ATTEMPTS;
    match done {
        Done::Pruned(pruned) => Performed::Event(Event::Pruned(pruned)),
        Done::Doubtful(cause) if last => Performed::Wait(ParkReason::KeepsFailing(cause)),
        Done::Refused(cause) if last && doubted && cause.may_pass() => {
            Performed::Wait(ParkReason::KeepsFailing(cause))
        }
        Done::Refused(cause) => Performed::Event(Event::Refused(cause)),
        Done::Doubtful(cause) => Performed::Event(Event::Doubtful(cause)),
        Done::Interrupted => Performed::Interrupted,
    }
}

/// Takes away what neither the rules, nor the record, nor an open recovery keep.
pub(super) async fn by_rule<S: Saga>(run: &Run, step: &str) -> Result<Done, Error> {
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Done::Refused(Cause::AdapterFailed));
    };
    let asked = &run.header.plan.inputs.asked;
    let record = run.world.registry.sandbox(run.target()).await?;
    let permit = run.permit(run.target(), EffectKind::DeleteSnapshot)?;
    let request_id = run.request_id(step, run.attempts::<S>(step) + 1);
    let pruning = pruning(&run.journal, run.target(), (asked, &record), request_id).await?;
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

/// Takes away exactly those that were asked for. What is not there any more is taken for taken away: a try before may have done
/// it. What the guards have seen may have changed since the plan, so it is looked at once more.
async fn by_name(run: &Run) -> Result<Done, Error> {
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Done::Refused(Cause::AdapterFailed));
    };
    let asked = &run.header.plan.inputs.asked;
    let record = run.world.registry.sandbox(run.target()).await?;
    let open = at_once(run.journal.snapshots_in_use(run.target(), Some(run.name()))).await?;
    let named: Vec<String> = named_by(&record).filter(|_| !asked.allow_last).collect();
    let stays = |name: &SnapshotName| open.contains(name) || named.contains(&name.0);
    if asked.delete.iter().any(stays) {
        return Ok(Done::Refused(Cause::SnapshotInUse));
    }
    let (mut gone, mut stopped) = (Vec::new(), None);
    for name in &asked.delete {
        let permit = run.permit(run.target(), EffectKind::DeleteSnapshot)?;
        let work = adapter.delete_snapshot(permit, name, asked.allow_last);
        match unless_stopping(run, work).await {
            Some(Ended::With(())) => gone.push(name.clone()),
            Some(Ended::Refused(cause, why)) => {
                tracing::warn!(recovery = %run.name(), why, "a snapshot was not deleted");
                stopped = Some(Done::Refused(cause));
            }
            Some(Ended::Lost(cause)) => {
                // It may be gone, too: nothing is to rest on it.
                gone.push(name.clone());
                stopped = Some(Done::Doubtful(cause));
            }
            None => stopped = Some(Done::Interrupted),
        }
        if stopped.is_some() {
            break;
        }
    }
    // Whatever comes of the rest, the record names none that is no more.
    note_deleted(run, &gone).await?;
    let deleted_count = count(gone.len());
    Ok(stopped.unwrap_or(Done::Pruned(Pruned {
        deleted_count,
        deleted: gone,
        ..Pruned::default()
    })))
}

/// What a prune of a record's snapshots keeps, and which names it never touches: those that open recoveries rest on, the one that
/// the record's incarnation was made from or last saved in, and those of which something is still to be put back.
pub(crate) async fn pruning(
    journal: &Journal,
    target: &RecordName,
    (asked, record): (&Asked, &registry::Sandbox),
    request_id: String,
) -> Result<Pruning, Error> {
    let open = at_once(journal.snapshots_in_use(target, None)).await?;
    let mut in_use: BTreeSet<String> = open.into_iter().map(|name| name.0).collect();
    in_use.extend(named_by(record));
    let roots = convert::record(record)?.roots();
    Ok(Pruning {
        roots: roots.into_iter().map(|root| root.0).collect(),
        retention: asked.retention.as_ref().map_or_else(|| kept_of(record), convert::retention),
        in_use: in_use.into_iter().collect(),
        reclaim_space: asked.reclaim,
        request_id,
    })
}

/// The snapshots that a record names as what its workspace is made of.
fn named_by(record: &registry::Sandbox) -> impl Iterator<Item = String> {
    let status = record.snapshot_status.clone().unwrap_or_default();
    let last = Some(status.last_complete).filter(|name| !name.is_empty());
    last.into_iter().chain(status.pending_restores)
}

/// What a record says is to be kept.
fn kept_of(record: &registry::Sandbox) -> registry::Retention {
    let rules = record.snapshot_rules.clone().unwrap_or_default();
    let number = if rules.keep_last > 0 { rules.keep_last } else { KEEP_LAST };
    rules
        .retention
        .unwrap_or(registry::Retention { keep_last: number, ..registry::Retention::default() })
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn pruned(report: &pb::PruneReport) -> Pruned {
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

#[cfg(test)]
mod tests {
    use super::*;

    const AWAY: Cause = Cause::AdapterFailed;

    fn came_to(done: Done, attempts: u32, doubted: bool) -> String {
        match outcome(done, attempts, doubted) {
            Performed::Event(event) => format!("{event:?}"),
            Performed::Wait(why) => format!("waits: {why:?}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_may_have_been_taken_away_is_not_said_to_be_there() {
        assert_eq!(came_to(Done::Doubtful(AWAY), 2, true), "Doubtful(AdapterFailed)");
        assert_eq!(came_to(Done::Refused(AWAY), 2, true), "Refused(AdapterFailed)");
        let waits = "waits: KeepsFailing(AdapterFailed)";
        assert_eq!(came_to(Done::Doubtful(AWAY), MAX_ATTEMPTS, false), waits);
        assert_eq!(came_to(Done::Refused(AWAY), MAX_ATTEMPTS, true), waits);
    }

    #[test]
    fn what_was_certainly_not_done_is_refused_in_the_end() {
        let refused = "Refused(AdapterFailed)";
        assert_eq!(came_to(Done::Refused(AWAY), MAX_ATTEMPTS, false), refused);
        // No time mends that one.
        let in_use = Done::Refused(Cause::SnapshotInUse);
        assert_eq!(came_to(in_use, MAX_ATTEMPTS, true), "Refused(SnapshotInUse)");
    }
}
