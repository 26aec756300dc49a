//! Recoveries: their steps as they are journaled, and what they came to.

use salvor_proto::gateway::v1::MergedConfig;
use salvor_proto::recovery::v1::recovery::State;
use salvor_proto::recovery::v1::{Part, Recovery, RecoveryResult, StepRecord};

use super::{Look, Tone, clean, decision, next, retirement, short, status::field, table, words};
use crate::next_step::NextStep;

/// Recoveries, a row each.
pub(crate) fn list(recoveries: &[Recovery], look: Look) -> String {
    let rows = recoveries.iter().map(|recovery| {
        let (tone, state) = words::recovery_state(recovery.state());
        vec![
            (Tone::Plain, short(&recovery.name)),
            (Tone::Plain, short(&recovery.sandbox)),
            (Tone::Plain, words::saga(recovery.saga()).to_owned()),
            (tone, state.to_owned()),
            (Tone::Dim, recovery.phase.clone()),
            (Tone::Plain, look.age(recovery.create_time.as_ref())),
            (Tone::Plain, look.age(recovery.update_time.as_ref())),
        ]
    });
    let header = ["RECOVERY", "SANDBOX", "PATH", "STATE", "PHASE", "AGE", "CHANGED"];
    table(&header, rows.collect(), "no recoveries", look)
}

/// One recovery, with its steps.
pub(crate) fn whole(recovery: &Recovery, look: Look) -> String {
    let mut text = field("recovery", &look.paint(Tone::Strong, &recovery.name), look);
    text.push_str(&field("sandbox", &recovery.sandbox, look));
    text.push_str(&field("path", words::saga(recovery.saga()), look));
    text.push_str(&field("plan", &recovery.plan_digest, look));
    // What `recoveries retire` compares.
    if matches!(recovery.state(), State::Stranded | State::Parked) {
        text.push_str(&field("etag", &recovery.etag, look));
    }
    if !recovery.steps.is_empty() {
        text.push_str("steps\n");
        text.extend(recovery.steps.iter().map(|record| step(record, look)));
    }
    text.push_str(&end(recovery, look));
    text
}

/// One step: `• create  created  detail`.
pub(crate) fn step(record: &StepRecord, look: Look) -> String {
    let again =
        if record.attempt > 1 { format!(" (attempt {})", record.attempt) } else { String::new() };
    let detail = look.paint(Tone::Dim, &clean(&record.detail));
    let line = format!("  • {:<20}  {}{again}  {detail}", record.step, record.outcome);
    format!("{}\n", line.trim_end())
}

/// What it came to: state, parts, or why not; and what to run next.
pub(crate) fn end(recovery: &Recovery, look: Look) -> String {
    let (tone, state) = words::recovery_state(recovery.state());
    let phase = if recovery.done { String::new() } else { format!(" ({})", recovery.phase) };
    let mut text = field("outcome", &format!("{}{phase}", look.paint(tone, state)), look);
    if let Some(result) = &recovery.result {
        text.push_str(&self::result(result, look));
    }
    if let Some(retirement) = &recovery.retirement {
        text.push_str(&retirement::seen(retirement, look));
    }
    if !recovery.trace_id.is_empty() {
        text.push_str(&field("trace", &recovery.trace_id, look));
    }
    if recovery.state() == State::Running {
        text.push_str(&next(&NextStep::Wait.of(&recovery.name), look));
    }
    if let Some(failure) = &recovery.failure {
        let why = format!("{}: {}", look.paint(tone, &failure.reason), clean(&failure.message));
        text.push_str(&field("because", &why, look));
        text.push_str(&decision::lines(&failure.denials, look));
        if !failure.next_step.is_empty() {
            text.push_str(&next(&failure.next_step, look));
        }
    }
    text
}

fn result(result: &RecoveryResult, look: Look) -> String {
    let parts = [
        ("data", &result.data),
        ("config", &result.config),
        ("policy", &result.policy),
        ("providers", &result.providers),
        ("posture", &result.posture),
    ];
    let mut text = String::new();
    text.extend(
        parts.into_iter().filter_map(|(name, part)| self::part(name, part.as_ref()?, look)),
    );
    if !result.live_id.is_empty() {
        text.push_str(&field("live id", &result.live_id, look));
    }
    if result.is_default {
        text.push_str(&field("default", "yes", look));
    }
    for (label, value) in [("taken", &result.snapshot_taken), ("copy", &result.copy)] {
        if !value.is_empty() {
            text.push_str(&field(label, &clean(value), look));
        }
    }
    if !result.snapshot_restored.is_empty() {
        let read = look.ago(result.snapshot_restored_time.as_ref());
        let said = format!("{}, read {read}", clean(&result.snapshot_restored));
        text.push_str(&field("restored", &said, look));
    }
    text.extend(result.merged.iter().map(|file| merged(file, look)));
    for container in &result.kept_compute {
        let said = format!("container {}, stopped and not removed", clean(container));
        text.push_str(&field("kept", &said, look));
    }
    if !result.summary.is_empty() {
        text.push_str(&field("summary", &clean(&result.summary), look));
    }
    text
}

/// One config file: whether it was merged, and every key that was not restored.
fn merged(file: &MergedConfig, look: Look) -> String {
    let what = if !file.unmerged.is_empty() {
        format!("left as it is: {}", file.unmerged)
    } else if file.kept_keys.is_empty() {
        format!("{} keys restored, none left out", file.restored_keys.len())
    } else {
        let kept = file.kept_keys.join(", ");
        format!("{} keys restored; not restored, the runtime's: {kept}", file.restored_keys.len())
    };
    field("merged", &clean(&format!("{}: {what}", file.path)), look)
}

fn part(name: &str, part: &Part, look: Look) -> Option<String> {
    let (tone, word) = words::outcome(part.outcome())?;
    let said = clean(&part.message);
    let value = if said == word { String::new() } else { format!("  {said}") };
    Some(field(name, &format!("{}{value}", look.paint(tone, word)), look))
}
