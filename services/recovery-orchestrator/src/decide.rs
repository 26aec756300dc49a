//! The one place that decides: it narrates every verdict as a span, keeps plan and decisions in the journal, in one
//! transaction, and hands out the approval from which permits come.

use salvor_core::{
    Approved, Decision, Evidence, Plan, SagaKind, guards,
    id::{PlanDigest, RecoveryName},
};
use salvor_proto::Error;
use salvor_runtime::database::at_once;
use salvor_runtime::telemetry::{attr, current_traceparent, traceparent_of};
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{
    collect::Seen,
    journal::{Header, Journal},
    words,
};

/// Keeps a plan and its decisions, and approves it if every guard allowed it.
///
/// # Errors
/// A refusal, with one violation per denial, whose decisions are kept all the same; or the journal cannot be written, and
/// nothing is kept.
pub async fn decide(
    journal: &Journal,
    name: RecoveryName,
    request_id: Option<String>,
    plan: Plan,
    evidence: Evidence,
) -> Result<(Header, Approved), Error> {
    let spans = narrate(&plan, &evidence, Some(&name));
    let header = Header {
        name,
        request_id,
        plan,
        created_ms: evidence.now.0,
        evidence,
        traceparent: current_traceparent(),
    };
    at_once(journal.accept(&header, &spans)).await?;
    match Approved::new(header.plan.clone()) {
        Ok(approved) => Ok((header, approved)),
        Err(_) => Err(words::refusal(&header.plan, &header.evidence, Some(&header.name))),
    }
}

/// Shows every decision of a plan as a span, below the current one. Answers their ids, in order.
pub fn narrate(plan: &Plan, evidence: &Evidence, recovery: Option<&RecoveryName>) -> Vec<String> {
    let show = |decision: &Decision| span(plan.saga, &plan.digest, decision, evidence, recovery);
    plan.decisions.iter().map(|decision| span_id(&show(decision))).collect()
}

fn span(
    saga: SagaKind,
    digest: &PlanDigest,
    decision: &Decision,
    evidence: &Evidence,
    recovery: Option<&RecoveryName>,
) -> Span {
    let span = info_span!("guard", otel.name = format!("guard {}", decision.guard));
    let row = guards::table(saga).iter().find(|row| row.id == decision.guard.0);
    let facts = row.map_or(&[][..], |row| row.facts);
    let age = Seen::age(evidence, facts);
    span.set_attribute(attr::GUARD_ID, decision.guard.to_string());
    span.set_attribute(attr::GUARD_RESULT, if decision.allows() { "allow" } else { "refuse" });
    span.set_attribute(attr::GUARD_PHASE, "plan");
    span.set_attribute(attr::EVIDENCE_SOURCE, words::sources(facts, &evidence.target));
    span.set_attribute(attr::EVIDENCE_AGE_MS, i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    span.set_attribute(attr::SANDBOX_NAME, evidence.target.to_string());
    span.set_attribute(attr::GATEWAY_NAME, evidence.target.owner().to_string());
    span.set_attribute(attr::WORKSPACE, evidence.target.workspace.to_string());
    span.set_attribute(attr::RECOVERY_SAGA, saga.as_str());
    span.set_attribute(attr::PLAN_DIGEST, digest.to_string());
    if let Some(denial) = &decision.denial {
        span.set_attribute(attr::GUARD_REASON, denial.reason());
    }
    if let Some(recovery) = recovery {
        span.set_attribute(attr::RECOVERY_ID, recovery.to_string());
        span.set_attribute(attr::DECISION_ID, format!("{recovery}/decisions/{}", decision.guard));
    }
    span
}

/// The span's own id, hex; empty without a tracer.
fn span_id(span: &Span) -> String {
    let parent = traceparent_of(span).unwrap_or_default();
    parent.split('-').nth(2).unwrap_or_default().to_owned()
}
