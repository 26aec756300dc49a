//! Recoveries, plans and decisions as they are answered.

use salvor_core::{
    Evidence, Plan, SagaKind, Verdict,
    saga::{Ending, Outcome, Part, Parts, Setback},
};
use salvor_proto::{
    convert::{RecordedDecision, decision, part},
    recovery::v1 as pb,
    time::timestamp,
};

use crate::{
    folded::{Folded, Standing, StepTaken},
    journal::{Header, Stored, StoredDecision},
    words,
};

/// A recovery, whole. `is_default`: whether the default pointer names its record, read back.
pub fn recovery(stored: &Stored, folded: &Folded, is_default: bool) -> pb::Recovery {
    let header = &stored.header;
    let (state, done) = state(&folded.standing);
    pb::Recovery {
        name: header.name.to_string(),
        sandbox: header.target().to_string(),
        saga: saga(header.saga()).into(),
        saga_version: i32::try_from(header.plan.saga_version).unwrap_or(i32::MAX),
        plan_digest: header.plan.digest.to_string(),
        state: state.into(),
        phase: folded.phase.to_owned(),
        done,
        result: result(header, &folded.standing, is_default),
        failure: failure(header, &folded.standing),
        steps: folded.steps.iter().map(step).collect(),
        create_time: Some(timestamp(header.created_ms)),
        update_time: Some(timestamp(
            stored.events.last().map_or(header.created_ms, |row| row.at_ms),
        )),
        trace_id: trace_id(header),
        request_id: header.request_id.clone().unwrap_or_default(),
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
        steps: steps(plan.saga).iter().map(|&name| name.to_owned()).collect(),
        losses: plan.losses().iter().map(|loss| loss.in_words().to_owned()).collect(),
        unchecked: unchecked(plan.saga).iter().map(|&what| what.to_owned()).collect(),
        next_step: match first {
            Some(denial) => words::next_step(plan.saga, denial, evidence),
            None => allowed_step(plan),
        },
        plan_time: Some(timestamp(evidence.now.0)),
        record_etag: evidence.record.shown().map_or_else(String::new, |r| r.etag.to_string()),
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

/// A saga on the wire. A rebuild is planned, to be refused with its reasons, and never run by this version.
pub const fn saga(saga: SagaKind) -> pb::Saga {
    match saga {
        SagaKind::StaleRecovery => pb::Saga::StaleRecovery,
        SagaKind::Revive => pb::Saga::Revive,
        SagaKind::Destroy => pb::Saga::Destroy,
        SagaKind::Rebuild => pb::Saga::Rebuild,
    }
}

fn state(standing: &Standing) -> (pb::recovery::State, bool) {
    use pb::recovery::State;
    match standing {
        Standing::Refused => (State::Refused, true),
        Standing::Running => (State::Running, false),
        Standing::Parked(_) => (State::Parked, false),
        Standing::Ended(Ending::RolledBack(_)) => (State::RolledBack, true),
        Standing::Ended(Ending::Done(parts)) => match parts.outcome() {
            Outcome::Succeeded => (State::Succeeded, true),
            Outcome::Degraded => (State::Degraded, true),
            Outcome::Unproven => (State::Unproven, true),
        },
    }
}

fn result(header: &Header, standing: &Standing, is_default: bool) -> Option<pb::RecoveryResult> {
    let Standing::Ended(Ending::Done(parts)) = standing else { return None };
    Some(pb::RecoveryResult {
        live_id: parts.live_id.as_ref().map_or_else(String::new, ToString::to_string),
        data: Some(part(&parts.data, data_sentence(header.saga(), &parts.data))),
        config: Some(part(
            &parts.config,
            said(&parts.config, "the spec in force is the recorded one"),
        )),
        policy: Some(part(&parts.policy, said(&parts.policy, "the recorded policy is in force"))),
        providers: Some(part(
            &parts.providers,
            said(&parts.providers, "the recorded providers are attached"),
        )),
        posture: Some(part(
            &parts.posture,
            said(&parts.posture, "locked: sealed paths are read-only and unchanged"),
        )),
        summary: summary(header, parts),
        is_default,
    })
}

/// A part that does not apply says so; the others say what was seen.
const fn said(part: &Part, seen: &'static str) -> &'static str {
    match part {
        Part::NotApplicable => "nothing recorded to hold it against",
        Part::Proven
        | Part::Kept
        | Part::Gone
        | Part::Lost
        | Part::Pending(_)
        | Part::Unproven(_) => seen,
    }
}

const fn data_sentence(saga: SagaKind, part: &Part) -> &'static str {
    match (saga, part) {
        (SagaKind::Destroy, _) => "destroyed on request",
        (_, Part::Kept) => "the workspace is the one from before: a start keeps it",
        (_, Part::Lost) => {
            "workspace not recovered: no snapshot holds it, although the record declares roots to keep"
        }
        _ => "workspace not recovered: no snapshot holds it",
    }
}

fn summary(header: &Header, parts: &Parts) -> String {
    let target = header.target();
    let live = parts.live_id.as_ref().map_or("", |id| id.as_str());
    let what = match header.saga() {
        SagaKind::StaleRecovery => format!(
            "stale recovery: {target} was recreated from its record and is live as {live}; {}",
            data_sentence(SagaKind::StaleRecovery, &parts.data)
        ),
        SagaKind::Revive => format!("{target} was started and is live as {live}"),
        SagaKind::Destroy => format!("{target} is gone from its gateway; a tombstone stands"),
        SagaKind::Rebuild => format!("{target} was rebuilt"),
    };
    match parts.outcome() {
        Outcome::Succeeded => what,
        Outcome::Degraded => format!("{what}; part of it is owed"),
        Outcome::Unproven => format!("{what}; not all of it could be proven"),
    }
}

fn failure(header: &Header, standing: &Standing) -> Option<pb::Failure> {
    let target = header.target();
    match standing {
        Standing::Running | Standing::Ended(Ending::Done(_)) => None,
        Standing::Refused => {
            let shown = plan(&header.plan, &header.evidence);
            let denials: Vec<pb::Decision> = shown
                .decisions
                .into_iter()
                .filter(|d| d.result() == pb::decision::Result::Refuse)
                .collect();
            let first = denials.first();
            Some(pb::Failure {
                reason: first.map_or_else(String::new, |d| d.reason.clone()),
                message: first.map_or_else(String::new, |d| d.message.clone()),
                next_step: shown.next_step,
                denials,
            })
        }
        Standing::Parked(why) => Some(pb::Failure {
            reason: why.reason().to_owned(),
            message: format!("{} waits: {why}", header.name),
            next_step: format!("salvor recoveries retry {}", header.name),
            denials: Vec::new(),
        }),
        Standing::Ended(Ending::RolledBack(setback)) => Some(pb::Failure {
            reason: setback.reason().to_owned(),
            message: format!("{setback}. The record of {target} is as it was before"),
            next_step: after_setback(setback, &target.to_string()),
            denials: Vec::new(),
        }),
    }
}

fn after_setback(setback: &Setback, target: &str) -> String {
    match setback {
        Setback::Refused(_) | Setback::NeverReady(_) => {
            format!("salvor recover {target}  # after what the gateway complains of was mended")
        }
        Setback::Stranger(_) => format!("salvor verdict {target}"),
        Setback::Returned | Setback::RecordChanged => format!("salvor status {target}"),
        Setback::Cancelled => format!("salvor recover {target}"),
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

fn trace_id(header: &Header) -> String {
    let parent = header.traceparent.as_deref().unwrap_or_default();
    parent.split('-').nth(1).unwrap_or_default().to_owned()
}

/// What a saga does when nothing goes wrong, in order.
const fn steps(saga: SagaKind) -> &'static [&'static str] {
    match saga {
        SagaKind::StaleRecovery => &[
            "claim",
            "create",
            "await_ready",
            "prove_policy",
            "prove_posture",
            "prove_readiness",
            "commit",
        ],
        SagaKind::Revive => &[
            "claim",
            "start",
            "await_ready",
            "prove_policy",
            "prove_posture",
            "prove_readiness",
            "commit",
        ],
        SagaKind::Destroy => &["claim", "delete", "bury"],
        SagaKind::Rebuild => &[],
    }
}

/// What the gateway does not let anyone check beforehand.
const fn unchecked(saga: SagaKind) -> &'static [&'static str] {
    match saga {
        SagaKind::StaleRecovery | SagaKind::Rebuild => &[
            "whether the gateway can still pull the image: it says so only after a create",
            "whether the gateway has room for one more sandbox: it has no call that tells",
        ],
        SagaKind::Revive | SagaKind::Destroy => &[],
    }
}

fn allowed_step(plan: &Plan) -> String {
    let (target, digest) = (&plan.target, &plan.digest);
    match plan.saga {
        SagaKind::Destroy if plan.losses().is_empty() => format!("salvor destroy {target}"),
        SagaKind::Destroy => format!("salvor destroy {target} --accept-data-loss {digest}"),
        SagaKind::StaleRecovery | SagaKind::Revive | SagaKind::Rebuild => {
            format!("salvor recover {target}")
        }
    }
}
