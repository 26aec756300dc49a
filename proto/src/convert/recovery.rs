//! Decisions and results, outward.

use salvor_core::{
    Decision, Evidence, Fact, FactName, SagaKind, Timestamp, guards, saga::Part, time::Readable,
};

use crate::{
    recovery::v1 as pb,
    time::{duration, timestamp},
};

/// A decision with where and when it was made.
#[derive(Debug, Clone)]
pub struct RecordedDecision<'a> {
    /// `recoveries/{recovery}/decisions/{decision}`, or empty.
    pub name: String,
    /// The saga whose table it belongs to.
    pub saga: SagaKind,
    /// The verdict.
    pub decision: &'a Decision,
    /// What it rests on.
    pub evidence: &'a Evidence,
    /// `plan`, or a step.
    pub phase: &'a str,
    /// Hex, or empty.
    pub span_id: String,
}

/// A decision as it is shown.
pub fn decision(recorded: &RecordedDecision<'_>) -> pb::Decision {
    let RecordedDecision { name, saga, decision, evidence, phase, span_id } = recorded;
    let denial = decision.denial.as_ref();
    let row = guards::table(*saga).iter().find(|row| row.id == decision.guard.0);
    let facts = row.map_or(&[][..], |row| row.facts);
    pb::Decision {
        name: name.clone(),
        guard: decision.guard.to_string(),
        claim: decision.claim.to_string(),
        result: if denial.is_none() {
            pb::decision::Result::Allow.into()
        } else {
            pb::decision::Result::Refuse.into()
        },
        reason: denial.map_or("", |denial| denial.reason()).to_owned(),
        message: denial.map(ToString::to_string).unwrap_or_default(),
        decide_time: Some(timestamp(evidence.now.0)),
        evidence: facts.iter().map(|fact| self::fact(*fact, evidence)).collect(),
        phase: (*phase).to_owned(),
        retry_delay: denial.and_then(salvor_core::Denial::retry_after).map(duration),
        span_id: span_id.clone(),
    }
}

fn fact(name: FactName, evidence: &Evidence) -> pb::Fact {
    let now = evidence.now;
    match name {
        FactName::Record => text(name, &evidence.record, now, |record| {
            let id = record.live_id.as_ref().map_or("none", |id| id.as_str());
            format!("{}, live id {id}, etag {}", record.state.in_words(), record.etag)
        }),
        FactName::OwnerGateway => text(name, &evidence.gateway, now, |gateway| {
            let healthy = Readable(gateway.healthy_since.age(now));
            let store = gateway.identity.store_id.as_deref().unwrap_or("not shown");
            format!(
                "{} version {}, store {store}, healthy for {healthy}",
                evidence.target.owner(),
                gateway.version
            )
        }),
        FactName::LiveView => text(name, &evidence.live, now, |live| match live {
            salvor_core::evidence::Live::Absent { since } => {
                format!("absent, seen for {}", Readable(since.age(now)))
            }
            salvor_core::evidence::Live::Present(present) => {
                let reason = present.reason.as_ref().map_or("", |reason| reason.as_str());
                format!("present, {} {} {reason}", present.live_id, present.phase.as_str())
                    .trim_end()
                    .to_owned()
            }
        }),
        FactName::Providers => text(name, &evidence.providers, now, |providers| {
            let names: Vec<&str> = providers.iter().map(|p| p.name.as_str()).collect();
            if names.is_empty() { "none needed".to_owned() } else { names.join(", ") }
        }),
        FactName::Snapshot => text(name, &evidence.snapshot, now, |found| {
            found.as_ref().map_or_else(
                || "no complete one".to_owned(),
                |found| {
                    let word = if found.complete { "complete" } else { "not complete" };
                    format!("{}, {word}, {} old", found.name, Readable(found.begun.age(now)))
                },
            )
        }),
        FactName::Compute => text(name, &evidence.compute, now, |found| {
            let names: Vec<&str> = found.iter().map(|compute| compute.id.as_str()).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        }),
        FactName::CopyName => text(name, &evidence.copy, now, |found| match found {
            Some(live) => format!("taken by {live}"),
            None => "free".to_owned(),
        }),
    }
}

fn text<T>(
    name: FactName,
    fact: &Fact<T>,
    now: Timestamp,
    show: impl FnOnce(&T) -> String,
) -> pb::Fact {
    let mut shown = pb::Fact { name: name.as_str().to_owned(), ..pb::Fact::default() };
    match fact {
        Fact::Known { value, at } => {
            shown.value = show(value);
            shown.age = Some(duration(at.age(now)));
        }
        Fact::Unknown { why, detail } if detail.is_empty() => {
            why.sentence().clone_into(&mut shown.unknown);
        }
        Fact::Unknown { why, detail } => shown.unknown = format!("{}: {detail}", why.sentence()),
    }
    shown
}

/// One part of a result as it is shown. `said` is the sentence for the case that all is well.
pub fn part(part: &Part, said: &str) -> pb::Part {
    use pb::part::Outcome;
    let outcome = match part {
        Part::Proven | Part::Restored { .. } => Outcome::Proven,
        Part::Kept => Outcome::Kept,
        Part::NotApplicable => Outcome::Unspecified,
        Part::Gone | Part::Lost => Outcome::Lost,
        Part::Pending(_) | Part::Partly { .. } => Outcome::Pending,
        Part::Unproven(_) => Outcome::Unproven,
    };
    let detail = part.detail();
    let message = if detail.is_empty() { said.to_owned() } else { detail };
    pb::Part { outcome: outcome.into(), message }
}
