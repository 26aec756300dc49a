//! Recoveries, plans and decisions as they are answered.

mod outcome;
mod retirement;
mod steps;

use salvor_core::{
    Evidence, Plan, SagaKind, Verdict,
    evidence::Channel,
    saga::{Ending, Outcome},
};
use salvor_proto::{
    convert::{RecordedDecision, decision},
    recovery::v1 as pb,
    time::{duration, timestamp},
};

pub use retirement::retirement;

use crate::{
    folded::{Folded, Standing, StepTaken},
    journal::{Found, StoredDecision},
    words,
};

/// A recovery, as far as this version can read it. `is_default`: whether the default pointer names its record, read back.
pub fn recovery(found: &Found, folded: &Folded, is_default: bool) -> pb::Recovery {
    let (state, done) = state(&folded.standing);
    let (saga, version, digest) = match &found.header {
        Ok(header) => {
            let plan = &header.plan;
            (saga(plan.saga), plan.saga_version, Some(&plan.digest))
        }
        Err(illegible) => (
            pb::Saga::Unspecified,
            illegible.saga_version.unwrap_or_default(),
            illegible.digest.as_ref(),
        ),
    };
    let header = found.header.as_deref().ok();
    pb::Recovery {
        name: found.name.to_string(),
        sandbox: found.target.to_string(),
        saga: saga.into(),
        saga_version: i32::try_from(version).unwrap_or(i32::MAX),
        plan_digest: digest.map_or_else(String::new, ToString::to_string),
        state: state.into(),
        phase: folded.phase.to_owned(),
        done,
        result: header.and_then(|header| outcome::result(header, folded, is_default)),
        failure: outcome::failure(found, &folded.standing),
        steps: folded.steps.iter().map(step).collect(),
        create_time: Some(timestamp(found.created_ms)),
        update_time: Some(timestamp(found.events.last().map_or(found.created_ms, |row| row.at_ms))),
        trace_id: trace_id(found.traceparent.as_deref()),
        request_id: found.request_id.clone().unwrap_or_default(),
        progress: None,
        etag: found.revision(),
        retirement: match &folded.standing {
            Standing::Retiring(retirement) | Standing::Retired(retirement) => {
                Some(self::retirement(found, retirement))
            }
            _ => None,
        },
    }
}

/// A plan, allowed or not.
pub fn plan(plan: &Plan, evidence: &Evidence) -> pb::Plan {
    let decisions = plan.decisions.iter().map(|decided| {
        decision(&RecordedDecision {
            name: String::new(),
            saga: plan.saga,
            decision: decided,
            evidence,
            phase: "plan",
            span_id: String::new(),
        })
    });
    let first = plan.decisions.iter().find_map(|decided| decided.denial.as_ref());
    pb::Plan {
        sandbox: plan.target.to_string(),
        digest: plan.digest.to_string(),
        saga: saga(plan.saga).into(),
        verdict: verdict(plan.verdict).into(),
        allowed: plan.allowed(),
        decisions: decisions.collect(),
        steps: steps::steps(plan).collect(),
        losses: plan.losses().iter().map(ToString::to_string).collect(),
        unchecked: steps::unchecked(plan.saga).iter().map(|&what| what.to_owned()).collect(),
        next_step: match first {
            Some(denial) => words::next_step(plan.saga, denial, evidence),
            None => allowed_step(plan, evidence),
        },
        plan_time: Some(timestamp(evidence.now.0)),
        record_etag: evidence.record.shown().map_or_else(String::new, |r| r.etag.to_string()),
        source: Some(source(plan, evidence)),
    }
}

/// Where the workspace's content will come from.
fn source(plan: &Plan, evidence: &Evidence) -> pb::WorkspaceSource {
    use pb::workspace_source::Kind;
    let inputs = &plan.inputs;
    let restores = matches!(
        plan.saga,
        SagaKind::StaleRecovery | SagaKind::Rebuild | SagaKind::Restore | SagaKind::Copy
    );
    let kind = match (&inputs.restore, inputs.capture) {
        (Some(_), _) if restores => Kind::Snapshot,
        (_, Some(Channel::Exec)) => Kind::Exec,
        (_, Some(Channel::Runtime)) => Kind::Runtime,
        _ if restores => Kind::None,
        _ => Kind::Unspecified,
    };
    let chosen = inputs.restore.as_ref().filter(|_| kind == Kind::Snapshot);
    let newest = evidence.snapshot.shown().and_then(Option::as_ref);
    pb::WorkspaceSource {
        kind: kind.into(),
        snapshot: chosen.map_or_else(String::new, |chosen| chosen.saved.name.to_string()),
        snapshot_time: chosen.map(|chosen| timestamp(chosen.saved.begun.0)),
        covered: inputs.roots.iter().map(ToString::to_string).collect(),
        excluded: match kind {
            Kind::Exec | Kind::Runtime => evidence
                .record
                .shown()
                .map_or_else(Vec::new, |record| record.snapshot_excludes.clone()),
            Kind::Unspecified | Kind::Snapshot | Kind::None => Vec::new(),
        },
        at_risk: newest.map(|found| duration(found.begun.age(evidence.now))),
    }
}

/// The answer when there is nothing to do.
pub fn nothing_to_do(evidence: &Evidence) -> pb::Plan {
    pb::Plan {
        sandbox: evidence.target.to_string(),
        verdict: verdict(Verdict::Live).into(),
        allowed: true,
        next_step: words::after_verdict(Verdict::Live, evidence),
        plan_time: Some(timestamp(evidence.now.0)),
        record_etag: evidence.record.shown().map_or_else(String::new, |r| r.etag.to_string()),
        ..pb::Plan::default()
    }
}

/// A kept decision.
pub fn stored_decision(stored: &StoredDecision) -> pb::Decision {
    decision(&RecordedDecision {
        name: format!("{}/decisions/{}", stored.recovery, stored.decision.guard),
        saga: stored.header.saga(),
        decision: &stored.decision,
        evidence: &stored.header.evidence,
        phase: &stored.phase,
        span_id: stored.span_id.clone(),
    })
}

/// A verdict on the wire.
pub const fn verdict(verdict: Verdict) -> pb::Verdict {
    match verdict {
        Verdict::Live => pb::Verdict::Live,
        Verdict::Revivable => pb::Verdict::Revivable,
        Verdict::Lost => pb::Verdict::Lost,
        Verdict::Hold => pb::Verdict::Hold,
        Verdict::Failed => pb::Verdict::Failed,
        Verdict::Foreign => pb::Verdict::Foreign,
        Verdict::Unknown => pb::Verdict::Unknown,
        Verdict::Destroyed => pb::Verdict::Destroyed,
        Verdict::Recovering => pb::Verdict::Recovering,
    }
}

/// A saga on the wire.
pub const fn saga(saga: SagaKind) -> pb::Saga {
    match saga {
        SagaKind::StaleRecovery => pb::Saga::StaleRecovery,
        SagaKind::Revive => pb::Saga::Revive,
        SagaKind::Destroy => pb::Saga::Destroy,
        SagaKind::Rebuild => pb::Saga::Rebuild,
        SagaKind::Snapshot => pb::Saga::Snapshot,
        SagaKind::Restore => pb::Saga::Restore,
        SagaKind::Copy => pb::Saga::Copy,
        SagaKind::Prune => pb::Saga::Prune,
    }
}

fn state(standing: &Standing) -> (pb::recovery::State, bool) {
    use pb::recovery::State;
    match standing {
        Standing::Refused => (State::Refused, true),
        Standing::Running | Standing::Retiring(_) => (State::Running, false),
        Standing::Parked(_) => (State::Parked, false),
        Standing::Stranded(_) => (State::Stranded, false),
        Standing::Retired(_) => (State::Retired, true),
        Standing::Ended(Ending::RolledBack(_)) => (State::RolledBack, true),
        Standing::Ended(Ending::Done(parts)) => match parts.outcome() {
            Outcome::Succeeded => (State::Succeeded, true),
            Outcome::Degraded => (State::Degraded, true),
            Outcome::Unproven => (State::Unproven, true),
        },
    }
}

fn step(step: &StepTaken) -> pb::StepRecord {
    pb::StepRecord {
        step: step.step.to_owned(),
        attempt: i32::try_from(step.attempt).unwrap_or(i32::MAX),
        outcome: step.outcome.to_owned(),
        detail: step.detail.clone(),
        time: Some(timestamp(step.at_ms)),
    }
}

fn trace_id(traceparent: Option<&str>) -> String {
    let parent = traceparent.unwrap_or_default();
    parent.split('-').nth(1).unwrap_or_default().to_owned()
}

fn allowed_step(plan: &Plan, evidence: &Evidence) -> String {
    let again = words::again(plan.saga, evidence);
    let gives_up = match plan.saga {
        SagaKind::Destroy => !plan.losses().is_empty(),
        SagaKind::Rebuild => plan.inputs.loses_workspace(),
        SagaKind::StaleRecovery
        | SagaKind::Revive
        | SagaKind::Snapshot
        | SagaKind::Prune
        | SagaKind::Restore
        | SagaKind::Copy => false,
    };
    if gives_up { format!("{again} --accept-data-loss {}", plan.digest) } else { again }
}
