//! Reading a workspace into the repository, and putting a snapshot back: the steps that the sagas share.

mod rules;

use salvor_core::{
    EffectKind, SagaKind, Why,
    evidence::{Channel, Posture},
    id::{LiveId, SandboxPath, SnapshotName},
    name::RecordName,
    saga::{
        Cause, Narrate as _, ParkReason, Saga,
        capture::{CaptureEvent, Saved},
        refill::{MAX_ATTEMPTS, Merged, Refill, RefillEvent, RefillStep, Unrestored},
        renews,
    },
};
use salvor_proto::{
    Error, convert,
    gateway::v1::{self as pb, effect::Outcome},
    registry::v1 as registry,
};
use tokio::time::sleep;

use super::watch;
use crate::{
    ports::{Adapter, Ended, Filling, Reading, of_repository},
    runner::{Performed, Run, events},
};

/// How many differing items a journal row names.
const NAMED: usize = 100;
/// How many keys of config files it names.
const MAX_KEYS: usize = 10_000;
/// How often a snapshot whose making cannot be followed is asked for before it counts as not made.
const MAX_LOST: u32 = 10;
/// How often the last comparison waits for what keeps it from being made.
const MAX_WAITS: usize = 3;

/// What to read, how, and what follows.
pub(super) struct Take {
    /// Which attempt, from 1.
    pub(super) attempt: u32,
    /// Which way.
    pub(super) channel: Channel,
    /// Write a nonce first.
    pub(super) nonce: bool,
    /// Have it read back whole before anything rests on it.
    pub(super) verify: bool,
}

/// Takes a snapshot of the target's recorded incarnation.
pub(super) async fn take<S: Saga>(run: &Run, take: Take) -> Result<Performed<CaptureEvent>, Error> {
    let tried = run.attempts::<S>("take_snapshot");
    if tried > 0 {
        sleep(super::pause(tried + 1)).await;
    }
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Performed::Event(CaptureEvent::Refused(Cause::AdapterFailed)));
    };
    let inputs = &run.header.plan.inputs;
    let Some(live) = inputs.live_id.clone() else {
        return Ok(Performed::Event(CaptureEvent::Refused(Cause::NotFound)));
    };
    let rules = match to_save(run, &adapter).await? {
        Ok(rules) => rules,
        Err(cause) => return Ok(Performed::Event(CaptureEvent::Refused(cause))),
    };
    let reading = Reading {
        live,
        rules,
        channel: match take.channel {
            // A nonce is written by a command inside.
            Channel::Exec if take.nonce => Some(Channel::Exec),
            // A live sandbox is read the way that its adapter is set to prefer, unless the caller says which.
            Channel::Exec => inputs.asked.channel,
            Channel::Runtime => Some(Channel::Runtime),
        },
        nonce: take.nonce,
        full: inputs.asked.full,
        request_id: request_id::<S>(run, "take_snapshot", take.attempt),
    };
    let permit = run.permit(run.target(), EffectKind::Snapshot)?;
    let work = adapter.take_snapshot(permit, reading, &run.progress);
    let Some(ended) = unless_stopping(run, work).await else { return Ok(Performed::Interrupted) };
    Ok(Performed::Event(match ended {
        // A drill without its nonce could not fail.
        Ended::With(snapshot) if take.nonce && snapshot.nonce.is_none() => {
            CaptureEvent::Refused(Cause::NonceNotWritten)
        }
        Ended::With(snapshot) => taken(&snapshot, take.verify),
        Ended::Refused(cause, why) => {
            tracing::warn!(recovery = %run.name(), why, "no snapshot was taken");
            CaptureEvent::Refused(cause)
        }
        // Nothing rests on it: what it may have left in the repository is kept, and nobody's.
        Ended::Lost(cause) if tried >= MAX_LOST => CaptureEvent::Refused(cause),
        Ended::Lost(cause) => CaptureEvent::Doubtful(cause),
    }))
}

fn taken(snapshot: &pb::Snapshot, verify: bool) -> CaptureEvent {
    if snapshot.state() == pb::snapshot::State::Complete {
        return CaptureEvent::Taken { saved: convert::saved(snapshot), verify };
    }
    let coverage = snapshot.coverage.clone().unwrap_or_default();
    CaptureEvent::Incomplete(convert::gap(&snapshot.name, &coverage.issues, coverage.issue_count))
}

/// Has all of a snapshot read back from the repository.
pub(super) async fn verify<S: Saga>(
    run: &Run,
    saved: &Saved,
) -> Result<Performed<CaptureEvent>, Error> {
    let attempt = run.attempts::<S>("verify_snapshot") + 1;
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Performed::Wait(ParkReason::KeepsFailing(Cause::AdapterFailed)));
    };
    let request_id = request_id::<S>(run, "verify_snapshot", attempt);
    let work = adapter.verify_snapshot(&saved.name, request_id, &run.progress);
    let Some(ended) = unless_stopping(run, work).await else { return Ok(Performed::Interrupted) };
    Ok(match ended {
        Ended::With(report) if report.intact => Performed::Event(CaptureEvent::Verified),
        Ended::With(pb::VerifyReport { unknown: Some(unknown), .. }) => {
            let cause = of_repository(convert::why(unknown.reason()));
            Performed::Wait(ParkReason::KeepsFailing(cause))
        }
        Ended::With(report) => Performed::Event(CaptureEvent::Damaged(convert::gap(
            saved.name.as_str(),
            &report.problems,
            report.problem_count,
        ))),
        Ended::Refused(Cause::SnapshotUnusable, why) => {
            tracing::error!(recovery = %run.name(), why, "a snapshot that was just taken cannot be used");
            Performed::Event(CaptureEvent::Damaged(convert::gap(saved.name.as_str(), &[], 1)))
        }
        Ended::Refused(cause, _) | Ended::Lost(cause) => {
            Performed::Wait(ParkReason::KeepsFailing(cause))
        }
    })
}

/// Puts a snapshot back, or compares it with what is there. `on`: into which sandbox.
pub(super) async fn refill<S: Saga>(
    run: &Run,
    step: RefillStep,
    (on, live): (&RecordName, &LiveId),
    from: &Saved,
    state: &Refill,
) -> Result<Performed<RefillEvent>, Error> {
    let filling = filling::<S>(run, step, live, from).await?;
    match step {
        RefillStep::Write => write(run, on, filling, state.attempts()).await,
        RefillStep::Compare | RefillStep::CompareAgain => compare(run, on, filling).await,
    }
}

/// Compares once more what the snapshot holds, at the end: an agent that starts may have written over it. What was made since
/// is nobody's loss, and what is sealed is proven by its seal. What cannot be compared for long is said to be unproven.
pub(super) async fn compare_again<S: Saga>(
    run: &Run,
    (on, live): (&RecordName, &LiveId),
    from: &Saved,
) -> Result<Performed<RefillEvent>, Error> {
    let filling = filling::<S>(run, RefillStep::CompareAgain, live, from).await?;
    let compared = compare(run, on, Filling { held_only: true, ..filling }).await?;
    let waits = events::<S>(&run.rows())?
        .iter()
        .rev()
        .take_while(|event| event.step().is_none())
        .filter(|event| event.outcome() == "parked")
        .count();
    Ok(match compared {
        Performed::Event(RefillEvent::Compared { differing, count }) => {
            Performed::Event(changed_since(&run.header.plan.inputs.posture, differing, count))
        }
        Performed::Wait(why) if waits >= MAX_WAITS => {
            Performed::Event(RefillEvent::NotCompared(match why {
                ParkReason::Undetermined(why) => why,
                ParkReason::KeepsFailing(Cause::AdapterFailed) => Why::AdapterUnreachable,
                _ => Why::Unavailable,
            }))
        }
        compared => compared,
    })
}

fn changed_since(posture: &Posture, differing: Vec<Unrestored>, count: u64) -> RefillEvent {
    let sealed = |item: &Unrestored| match posture {
        Posture::Locked { sealed } => sealed.contains_key(&item.path),
        Posture::Unlocked | Posture::NotRecorded => false,
    };
    let (proven, changed): (Vec<_>, Vec<_>) = differing.into_iter().partition(sealed);
    let count = count.saturating_sub(u64::try_from(proven.len()).unwrap_or(u64::MAX));
    let differing = changed.into_iter().map(|item| match item.reason.as_str() {
        "DIFFERS" => Unrestored { reason: "CHANGED_SINCE".to_owned(), ..item },
        _ => item,
    });
    RefillEvent::ComparedAgain { differing: differing.collect(), count }
}

async fn write(
    run: &Run,
    on: &RecordName,
    filling: Filling,
    attempt: u32,
) -> Result<Performed<RefillEvent>, Error> {
    if attempt > 1 {
        sleep(super::pause(attempt)).await;
    }
    let ended = match watch::adapter(run).await? {
        Ok(adapter) => {
            let permit = run.permit(on, EffectKind::Restore)?;
            let work = adapter.restore_workspace(permit, filling, &run.progress);
            let Some(ended) = unless_stopping(run, work).await else {
                return Ok(Performed::Interrupted);
            };
            ended
        }
        Err(_) => Ended::Refused(Cause::AdapterFailed, String::new()),
    };
    let event = match ended {
        Ended::With(report) => written(&report),
        Ended::Refused(cause, why) => {
            tracing::warn!(recovery = %run.name(), why, "nothing was restored");
            RefillEvent::NotWritten(cause)
        }
        Ended::Lost(cause) => RefillEvent::Doubtful(cause),
    };
    // What fails as a whole, again and again, waits for a person; the snapshot is kept.
    Ok(match event {
        RefillEvent::NotWritten(cause) | RefillEvent::Doubtful(cause)
            if attempt >= MAX_ATTEMPTS || !cause.may_pass() =>
        {
            Performed::Wait(ParkReason::KeepsFailing(cause))
        }
        event => Performed::Event(event),
    })
}

fn written(report: &pb::RestoreReport) -> RefillEvent {
    let effect = report.effect.clone().unwrap_or_default();
    match effect.outcome() {
        Outcome::Applied => {
            let (files, bytes) = (report.files_written, report.bytes_written);
            RefillEvent::Written { files, bytes, merged: merged(report) }
        }
        // What is wrong with single items is found by comparing.
        _ if report.failure_count > 0 => {
            RefillEvent::PartlyWritten { failures: report.failure_count, merged: merged(report) }
        }
        Outcome::NotApplied => RefillEvent::NotWritten(convert::cause(effect.cause())),
        Outcome::MaybeApplied | Outcome::Unspecified => {
            RefillEvent::Doubtful(convert::cause(effect.cause()))
        }
    }
}

/// What became of the config files; of very many keys the first ones, and how many more there are.
fn merged(report: &pb::RestoreReport) -> Vec<Merged> {
    let mut room = MAX_KEYS;
    let mut listed = |keys: &[String]| {
        let mut shown: Vec<String> = keys.iter().take(room).cloned().collect();
        room -= shown.len();
        if shown.len() < keys.len() {
            shown.push(format!("(and {} more)", keys.len() - shown.len()));
        }
        shown
    };
    // What was not restored is what people have to know: it goes first.
    let kept: Vec<_> = report.merged.iter().map(|file| listed(&file.kept_keys)).collect();
    let files = report.merged.iter().zip(kept);
    let files = files.map(|(file, kept)| Merged {
        path: SandboxPath(file.path.clone()),
        restored: listed(&file.restored_keys),
        kept,
        unmerged: (!file.unmerged.is_empty()).then(|| file.unmerged.clone()),
    });
    files.collect()
}

async fn compare(
    run: &Run,
    on: &RecordName,
    filling: Filling,
) -> Result<Performed<RefillEvent>, Error> {
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Performed::Wait(ParkReason::KeepsFailing(Cause::AdapterFailed)));
    };
    let nonce = match sought(run, &adapter, &filling.snapshot).await {
        Ok(nonce) => nonce,
        Err(cause) => return Ok(Performed::Wait(ParkReason::KeepsFailing(cause))),
    };
    let work = adapter.verify_workspace(on, filling, &run.progress);
    let Some(ended) = unless_stopping(run, work).await else { return Ok(Performed::Interrupted) };
    Ok(match ended {
        Ended::With(pb::VerifyReport { unknown: Some(unknown), .. }) => {
            Performed::Wait(ParkReason::Undetermined(convert::why(unknown.reason())))
        }
        Ended::With(report) => Performed::Event(compared(&report, nonce)),
        Ended::Refused(cause, _) | Ended::Lost(cause) => {
            Performed::Wait(ParkReason::KeepsFailing(cause))
        }
    })
}

/// What a drill has to find besides what the snapshot says of itself. A snapshot that was taken for this drill was to bear one: if
/// it bears none, there is nothing that could be found.
async fn sought(
    run: &Run,
    adapter: &Adapter,
    snapshot: &SnapshotName,
) -> Result<Option<pb::Nonce>, Cause> {
    let inputs = &run.header.plan.inputs;
    if inputs.asked.copy.as_ref().is_none_or(|copy| copy.keep) {
        return Ok(None);
    }
    let borne = adapter.nonce(snapshot).await?;
    let never_written = || {
        let root = inputs.roots.first().map_or("", |root| root.as_str());
        pb::Nonce { path: format!("{root}/.salvor-nonce"), ..pb::Nonce::default() }
    };
    Ok(borne.or_else(|| inputs.capture.map(|_| never_written())))
}

/// A nonce that was sought must have been found: that nobody says so is no proof of it.
fn compared(report: &pb::VerifyReport, sought: Option<pb::Nonce>) -> RefillEvent {
    let item = |note: &pb::PathNote| Unrestored {
        path: SandboxPath(note.path.clone()),
        reason: note.reason.clone(),
    };
    let missing = sought.filter(|_| report.nonce_found != Some(true)).map(|nonce| Unrestored {
        path: SandboxPath(nonce.path),
        reason: "NONCE_MISSING".to_owned(),
    });
    let mut count = if report.intact { 0 } else { report.problem_count.max(1) };
    count += u64::from(missing.is_some());
    let others = report.problems.iter().map(item);
    let differing: Vec<Unrestored> = missing.into_iter().chain(others).take(NAMED).collect();
    RefillEvent::Compared { differing, count }
}

/// What to write, and how. Rules that changed since the plan do not count any more: a snapshot is taken by the rules that it
/// was planned with or not at all, and whoever has begun to write, or deleted before, can only go forward.
async fn filling<S: Saga>(
    run: &Run,
    step: RefillStep,
    live: &LiveId,
    from: &Saved,
) -> Result<Filling, Error> {
    let inputs = &run.header.plan.inputs;
    let record = run.world.registry.sandbox(run.target()).await?;
    let attempt = run.attempts::<S>(step.as_str()) + 1;
    Ok(Filling {
        live: live.clone(),
        snapshot: from.name.clone(),
        of: inputs.identity_of(&from.name, run.target()),
        mode: inputs.asked.mode,
        config_files: record.config_files,
        paths: inputs.asked.paths.iter().map(ToString::to_string).collect(),
        held_only: false,
        request_id: request_id::<S>(run, step.as_str(), attempt),
    })
}

/// What is read, by the rules as the plan fixed them; before a restore, also all that it may replace. A cause when that is not
/// known, or the record says something else by now.
async fn to_save(
    run: &Run,
    adapter: &Adapter,
) -> Result<Result<registry::SnapshotRules, Cause>, Error> {
    let inputs = &run.header.plan.inputs;
    let record = run.world.registry.sandbox(run.target()).await?;
    if convert::snapshot_rules(&record) != inputs.rules {
        return Ok(Err(Cause::RulesChanged));
    }
    let mut rules = record.snapshot_rules.unwrap_or_default();
    rules.roots = inputs.roots.iter().map(ToString::to_string).collect();
    let written = inputs.restore.as_ref().filter(|_| run.header.saga() == SagaKind::Restore);
    let Some(chosen) = written else { return Ok(Ok(rules)) };
    Ok(adapter.manifest(&chosen.saved.name).await.and_then(|manifest| {
        let written = manifest.rules.ok_or(Cause::SnapshotUnusable)?;
        Ok(rules::both(rules, &written))
    }))
}

/// The id of a request: the same as long as it asks for the same thing at the same time.
fn request_id<S: Saga>(run: &Run, step: &str, attempt: u32) -> String {
    let rounds = events::<S>(&run.rows())
        .map_or(0, |events| events.iter().filter(|event| renews(*event)).count());
    run.request_id(&format!("{step}/{rounds}"), attempt)
}

/// The work's end, or `None` when the service is stopping first: the adapter goes on, and whoever resumes asks again.
pub(super) async fn unless_stopping<T>(
    run: &Run,
    work: impl Future<Output = T> + Send,
) -> Option<T> {
    tokio::select! {
        biased;
        ended = work => Some(ended),
        () = run.stopping.cancelled() => None,
    }
}

#[cfg(test)]
mod tests;
