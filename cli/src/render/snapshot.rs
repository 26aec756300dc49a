//! Snapshots, what they cover, how they differ; and the rules by which they are made.

use salvor_proto::gateway::v1::diff_snapshots_response::{Change, Kind};
use salvor_proto::gateway::v1::{Coverage, PathNote, PruneReport, Snapshot, VerifyReport};
use salvor_proto::registry::v1::{
    Retention, Sandbox, SnapshotRules as Rules, SnapshotStatus as Known,
};
use salvor_proto::time::{millis, plain};

use super::progress::{bytes, count};
use super::status::{digest, field};
use super::{Look, Tone, clean, next, short, table, time, words};
use crate::next_step::NextStep;

/// What a list is to show beside what it always shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed {
    /// Whose it is.
    pub(crate) with_sandbox: bool,
    /// Why it is not complete.
    pub(crate) with_issue: bool,
    /// Whole ids.
    pub(crate) wide: bool,
}

/// Snapshots, a row each.
pub(crate) fn list(snapshots: &[Snapshot], listed: Listed, look: Look) -> String {
    let mut header =
        vec!["SNAPSHOT", "STATE", "AGE", "FILES", "SIZE", "READ", "CHANNEL", "VERIFIED"];
    if listed.with_sandbox {
        header.push("SANDBOX");
    }
    if listed.with_issue {
        header.push("ISSUE");
    }
    let rows = snapshots.iter().map(|snapshot| {
        let coverage = snapshot.coverage.clone().unwrap_or_default();
        let (tone, state) = words::snapshot_state(snapshot.state());
        let id = if listed.wide { id(&snapshot.name) } else { digest(id(&snapshot.name)) };
        let mut row = vec![
            (Tone::Plain, id.to_owned()),
            (tone, state.to_owned()),
            (Tone::Plain, look.age(snapshot.begin_time.as_ref())),
            (Tone::Plain, count(coverage.files)),
            (Tone::Plain, bytes(coverage.bytes)),
            (Tone::Plain, bytes(coverage.bytes_read)),
            (Tone::Plain, words::channel(snapshot.channel()).to_owned()),
            (Tone::Plain, look.ago(snapshot.verify_time.as_ref())),
        ];
        if listed.with_sandbox {
            row.push((Tone::Plain, short(&sandbox(snapshot))));
        }
        if listed.with_issue {
            row.push((Tone::Dim, first_issue(&coverage)));
        }
        row
    });
    table(&header, rows.collect(), "no snapshots; take one: salvor snapshot create NAME", look)
}

/// What a prune would take away, and what it would keep and why; a row each.
pub(crate) fn pruned(report: &PruneReport, look: Look) -> String {
    let row = |tone, word: &str, name: &str, why: String| {
        vec![(tone, word.to_owned()), (Tone::Plain, id(name).to_owned()), (Tone::Dim, why)]
    };
    let gone = report.deleted.iter();
    let gone = gone.map(|name| row(Tone::Warn, "would go", name, "no rule keeps it".to_owned()));
    let kept = report.kept.iter();
    let kept =
        kept.map(|kept| row(Tone::Good, "stays", &kept.name, clean(&kept.because.join(", "))));
    table(&["", "SNAPSHOT", "WHY"], gone.chain(kept).collect(), "no snapshots", look)
}

/// One snapshot.
pub(crate) fn whole(snapshot: &Snapshot, look: Look) -> String {
    let identity = snapshot.identity.clone().unwrap_or_default();
    let (tone, state) = words::snapshot_state(snapshot.state());
    let mut text = field("snapshot", &look.paint(Tone::Strong, &snapshot.name), look);
    text.push_str(&field("sandbox", &sandbox(snapshot), look));
    text.push_str(&field("live id", &clean(&identity.live_id), look));
    text.push_str(&field("state", &look.paint(tone, state), look));
    text.push_str(&field("read", &read(snapshot, look), look));
    text.push_str(&field("verified", &look.ago(snapshot.verify_time.as_ref()), look));
    for (label, value) in [("parent", &snapshot.parent), ("recovery", &snapshot.recovery)] {
        if !value.is_empty() {
            text.push_str(&field(label, value, look));
        }
    }
    if let Some(nonce) = &snapshot.nonce {
        text.push_str(&field("nonce", &clean(&nonce.path), look));
    }
    if let Some(rules) = &snapshot.rules {
        text.push_str(&asked(rules, look));
    }
    if let Some(coverage) = &snapshot.coverage {
        text.push_str(&self::coverage(coverage, look));
    }
    text
}

/// What became of reading a snapshot back.
pub(crate) fn verified(snapshot: &str, report: &VerifyReport, look: Look) -> String {
    let mut text = field("snapshot", &look.paint(Tone::Strong, snapshot), look);
    let (tone, said) = match (&report.unknown, report.intact) {
        (Some(unknown), _) => (
            Tone::Warn,
            format!("unknown, {}: {}", words::unknown(unknown.reason()), clean(&unknown.detail)),
        ),
        (None, true) => (Tone::Good, "intact".to_owned()),
        (None, false) => (Tone::Bad, "damaged".to_owned()),
    };
    text.push_str(&field("result", &look.paint(tone, &said), look));
    let amount = format!("{} files, {}", count(report.files), bytes(report.bytes));
    text.push_str(&field("looked at", &amount, look));
    text.push_str(&notes("problems", &report.problems, report.problem_count, Tone::Bad, look));
    text
}

/// Differences, a line each.
pub(crate) fn diff(changes: &[Change], look: Look) -> String {
    if changes.is_empty() {
        return format!("{}\n", look.paint(Tone::Dim, "no difference"));
    }
    let line = |change: &Change| {
        let (mark, tone, sizes) = match change.kind() {
            Kind::Added => ("+", Tone::Good, bytes(change.other_size)),
            Kind::Removed => ("-", Tone::Bad, bytes(change.base_size)),
            Kind::Content => ("M", Tone::Warn, both(change)),
            Kind::Metadata => ("m", Tone::Dim, "mode, owner or time".to_owned()),
            Kind::Type => ("T", Tone::Warn, "another type of entry".to_owned()),
            Kind::Unspecified => ("?", Tone::Warn, both(change)),
        };
        format!(
            "{} {}  {}\n",
            look.paint(tone, mark),
            clean(&change.path),
            look.paint(Tone::Dim, &sizes)
        )
    };
    changes.iter().map(line).collect()
}

/// The rules of a record.
pub(crate) fn rules(record: &Sandbox, look: Look) -> String {
    let mut text = field("sandbox", &look.paint(Tone::Strong, &record.name), look);
    let Some(rules) = &record.snapshot_rules else {
        text.push_str(&field("rules", "none: it has no snapshots", look));
        text.push_str(&next(&NextStep::DeclareRoot.of(&record.name), look));
        text.push_str(&config_files(record, look));
        return text;
    };
    text.push_str(&asked(rules, look));
    let interval = rules.interval.as_ref();
    let interval = interval.map_or("on request only".to_owned(), |interval| {
        format!("every {}", time::span(plain(interval)))
    });
    text.push_str(&field("taken", &interval, look));
    text.push_str(&field("kept", &kept(rules), look));
    if let Some(hooks) = &rules.quiesce {
        for (label, command) in [("before", &hooks.before), ("after", &hooks.after)] {
            if !command.is_empty() {
                text.push_str(&field(label, &clean(&command.join(" ")), look));
            }
        }
    }
    text.push_str(&config_files(record, look));
    text
}

/// The config files that are merged, and the keys that stay the runtime's.
pub(crate) fn config_files(record: &Sandbox, look: Look) -> String {
    let said = record.config_files.iter().map(|file| {
        let keys = match file.runtime_owned_keys.join(", ") {
            none if none.is_empty() => "no key is the runtime's".to_owned(),
            keys => format!("the runtime's: {keys}"),
        };
        field("merged", &clean(&format!("{} ({}), {keys}", file.path, file.format)), look)
    });
    said.collect()
}

/// What is known of a record's snapshots and drills. Nothing if none is declared and none is known.
pub(crate) fn known(
    record: &Sandbox,
    at_risk: Option<&prost_types::Duration>,
    look: Look,
) -> String {
    let none = Known::default();
    let known = record.snapshot_status.as_ref().unwrap_or(&none);
    let declared = record.snapshot_rules.as_ref().is_some_and(|rules| !rules.roots.is_empty());
    let mut text = String::new();
    if let Some(at_risk) = at_risk {
        let mut said = format!("data at risk: {}", time::span(plain(at_risk)));
        if !known.last_complete.is_empty() {
            let (id, size) = (digest(id(&known.last_complete)), bytes(known.last_complete_bytes));
            said.extend([format!(", since {id} ({size})")]);
        }
        text.push_str(&field("snapshot", &said, look));
    } else if declared {
        let said = look.paint(Tone::Warn, "data at risk: all of it; no complete one is known");
        text.push_str(&field("snapshot", &said, look));
    }
    if !known.last_attempt_problem.is_empty() {
        let ago = look.ago(known.last_attempt_time.as_ref());
        let said = format!("{ago}, not complete: {}", clean(&known.last_attempt_problem));
        text.push_str(&field("last try", &look.paint(Tone::Warn, &said), look));
    }
    if let Some(drill) = &known.last_drill {
        let (tone, word) =
            if drill.passed { (Tone::Good, "passed") } else { (Tone::Bad, "failed") };
        let proof = if drill.with_nonce { "with a nonce" } else { "without a nonce" };
        let ago = look.ago(drill.time.as_ref());
        let id = digest(id(&drill.snapshot));
        let mut said = format!("{} {ago}, {proof}, from {id}", look.paint(tone, word));
        if !drill.message.is_empty() {
            said.extend([format!(": {}", clean(&drill.message))]);
        }
        text.push_str(&field("drill", &said, look));
    }
    text
}

/// The last segment of a snapshot's name.
pub(crate) fn id(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn sandbox(snapshot: &Snapshot) -> String {
    let named = snapshot.identity.as_ref().and_then(|identity| identity.sandbox.as_ref());
    named.map_or_else(
        || "-".to_owned(),
        |of| clean(&format!("{}/workspaces/{}/sandboxes/{}", of.gateway, of.workspace, of.sandbox)),
    )
}

/// When, for how long and how.
fn read(snapshot: &Snapshot, look: Look) -> String {
    let mut said = look.ago(snapshot.begin_time.as_ref());
    if let (Some(begin), Some(end)) = (&snapshot.begin_time, &snapshot.end_time) {
        let took = millis(end).saturating_sub(millis(begin));
        said.extend([format!(", in {}", time::span(std::time::Duration::from_millis(took)))]);
    }
    format!("{said}, over {}", words::channel(snapshot.channel()))
}

/// Roots and excludes.
fn asked(rules: &Rules, look: Look) -> String {
    let mut text = field("roots", &clean(&rules.roots.join(", ")), look);
    if !rules.excludes.is_empty() {
        text.push_str(&field("excluded", &clean(&rules.excludes.join(", ")), look));
    }
    text
}

fn kept(rules: &Rules) -> String {
    let Retention { keep_last, keep_hourly, keep_daily, keep_weekly } =
        rules.retention.unwrap_or(Retention { keep_last: rules.keep_last, ..Default::default() });
    let numbers = [
        ("last", keep_last),
        ("hourly", keep_hourly),
        ("daily", keep_daily),
        ("weekly", keep_weekly),
    ];
    let said: Vec<String> = numbers
        .iter()
        .filter(|(_, number)| *number > 0)
        .map(|(which, number)| format!("{number} {which}"))
        .collect();
    if said.is_empty() { "as the service does by default".to_owned() } else { said.join(", ") }
}

fn coverage(coverage: &Coverage, look: Look) -> String {
    let amount = format!(
        "{} files, {} directories, {} others, {}",
        count(coverage.files),
        count(coverage.directories),
        count(coverage.others),
        bytes(coverage.bytes)
    );
    let work = format!(
        "{} read, {} files unchanged since the parent, repository grew by {}",
        bytes(coverage.bytes_read),
        count(coverage.files_unchanged),
        bytes(coverage.bytes_stored)
    );
    let mut text = field("content", &amount, look);
    text.push_str(&field("work", &work, look));
    if !coverage.covered_roots.is_empty() {
        text.push_str(&field("covered", &clean(&coverage.covered_roots.join(", ")), look));
    }
    let left_out = &coverage.left_out;
    text.push_str(&notes("left out", left_out, left_out.len() as u64, Tone::Dim, look));
    text.push_str(&notes("issues", &coverage.issues, coverage.issue_count, Tone::Bad, look));
    text
}

/// Paths, each with why; `whole` is how many there are in all.
fn notes(title: &str, notes: &[PathNote], whole: u64, tone: Tone, look: Look) -> String {
    if notes.is_empty() && whole == 0 {
        return String::new();
    }
    let mut text = format!("{title}\n");
    text.extend(notes.iter().map(|note| format!("  - {}\n", look.paint(tone, &self::note(note)))));
    let hidden = whole.saturating_sub(notes.len() as u64);
    if hidden > 0 {
        text.extend([format!("  and {} more\n", count(hidden))]);
    }
    text
}

fn note(note: &PathNote) -> String {
    let text = format!("{}  {}  {}", clean(&note.path), note.reason, clean(&note.detail));
    text.trim_end().to_owned()
}

fn first_issue(coverage: &Coverage) -> String {
    match (coverage.issues.first(), coverage.issue_count) {
        (Some(first), 0 | 1) => note(first),
        (Some(first), all) => format!("{} (and {} more)", note(first), count(all - 1)),
        (None, 0) => String::new(),
        (None, all) => format!("{} issues", count(all)),
    }
}

fn both(change: &Change) -> String {
    format!("{} -> {}", bytes(change.base_size), bytes(change.other_size))
}

#[cfg(test)]
mod tests;
