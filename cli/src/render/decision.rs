//! Decisions: one line a guard, refusals with their reason.

use salvor_proto::recovery::v1::list_guards_response::Guard;
use salvor_proto::recovery::v1::{Decision, Fact, decision};

use super::{Look, Tone, clean, table, time, words};

/// One line: `✓ guard  claim`, or `✗ guard  REASON: sentence`.
pub(crate) fn line(decision: &Decision, width: usize, look: Look) -> String {
    let guard = format!("{:width$}", decision.guard);
    match decision.result() {
        decision::Result::Allow => {
            let claim = look.paint(Tone::Dim, &clean(&decision.claim));
            format!("  {} {guard}  {claim}\n", look.paint(Tone::Good, "✓"))
        }
        decision::Result::Refuse | decision::Result::Unspecified => format!(
            "  {} {guard}  {}: {}\n",
            look.paint(Tone::Bad, "✗"),
            look.paint(Tone::Bad, &decision.reason),
            clean(&decision.message)
        ),
    }
}

/// All lines, aligned.
pub(crate) fn lines(decisions: &[Decision], look: Look) -> String {
    let width = width(decisions);
    decisions.iter().map(|decision| line(decision, width, look)).collect()
}

/// All lines, and below each refusal what it rests on.
pub(crate) fn lines_with_evidence(decisions: &[Decision], look: Look) -> String {
    let width = width(decisions);
    let mut text = String::new();
    for decision in decisions {
        text.push_str(&line(decision, width, look));
        if decision.result() == decision::Result::Refuse {
            text.extend(
                decision
                    .evidence
                    .iter()
                    .map(|fact| format!("      {}\n", look.paint(Tone::Dim, &self::fact(fact)))),
            );
        }
    }
    text
}

/// Each fact that any of them looked at, once.
pub(crate) fn evidence(decisions: &[Decision], look: Look) -> String {
    let mut seen: Vec<&str> = Vec::new();
    let mut text = String::new();
    for fact in decisions.iter().flat_map(|decision| &decision.evidence) {
        if !seen.contains(&fact.name.as_str()) {
            seen.push(&fact.name);
            text.extend([format!("  {}\n", look.paint(Tone::Plain, &self::fact(fact)))]);
        }
    }
    text
}

/// Kept decisions, oldest first, under the phase in which they were made.
pub(crate) fn kept(decisions: &[Decision], look: Look) -> String {
    if decisions.is_empty() {
        return format!("{}\n", look.paint(Tone::Dim, "no decisions are kept"));
    }
    let width = width(decisions);
    let mut text = String::new();
    let mut group = None;
    for decision in decisions {
        let of = decision.name.split("/decisions/").next().unwrap_or_default();
        if group != Some((of, decision.phase.as_str())) {
            let when = look.ago(decision.decide_time.as_ref());
            let title = format!("{of}, {}, {when}", decision.phase);
            text.extend([format!("{}\n", look.paint(Tone::Strong, &title))]);
            group = Some((of, &decision.phase));
        }
        text.push_str(&line(decision, width, look));
    }
    text
}

/// The guards there are, per path.
pub(crate) fn guards(guards: &[Guard], look: Look) -> String {
    let mut text = String::new();
    let mut saga = None;
    let mut rows = Vec::new();
    let header = ["GUARD", "CLAIM", "REFUSES WITH"];
    let mut flush = |saga: Option<_>, rows: &mut Vec<_>| {
        if let Some(saga) = saga {
            text.extend([format!("{}\n", look.paint(Tone::Strong, words::saga(saga)))]);
            text.push_str(&table(&header, std::mem::take(rows), "none", look));
            text.push('\n');
        }
    };
    for guard in guards {
        if saga != Some(guard.saga()) {
            flush(saga, &mut rows);
            saga = Some(guard.saga());
        }
        rows.push(vec![
            (Tone::Plain, guard.id.clone()),
            (Tone::Plain, guard.claim.clone()),
            (Tone::Dim, guard.reasons.join(" ")),
        ]);
    }
    flush(saga, &mut rows);
    text
}

fn fact(fact: &Fact) -> String {
    if fact.unknown.is_empty() {
        format!("{}: {} ({} old)", fact.name, clean(&fact.value), time::lasting(fact.age.as_ref()))
    } else {
        format!("{}: not known: {}", fact.name, clean(&fact.unknown))
    }
}

fn width(decisions: &[Decision]) -> usize {
    decisions.iter().map(|decision| decision.guard.len()).max().unwrap_or(0)
}
