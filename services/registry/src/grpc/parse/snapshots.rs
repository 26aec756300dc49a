//! The fields of a record that are about its snapshots: the owner's rules, and what the orchestrator found.

use std::time::Duration;

use ignore::gitignore::GitignoreBuilder;
use prost_types::Duration as WireDuration;
use salvor_core::name::RecordName;
use salvor_proto::registry::v1::{
    DrillResult, QuiesceHooks, Retention, SnapshotRules, SnapshotStatus,
};
use salvor_proto::time::plain;

use super::record::{MAX_PATH, count, path, sha256, shown, size, text, time};
use crate::error::Error;

const MAX_ROOTS: usize = 64;
const MAX_EXCLUDES: usize = 256;
/// In bytes.
const MAX_EXCLUDE: usize = 4 << 10;
const MIN_INTERVAL: Duration = Duration::from_mins(1);
/// The end of protobuf's range, about 10,000 years.
const MAX_SECONDS: i64 = 315_576_000_000;
const MAX_HOOK_TIME: Duration = Duration::from_mins(10);
/// Snapshots that one rule may keep.
const MAX_KEPT: i32 = 10_000;
/// What the gateway-adapter takes of a command, which is the vendor's limits with room for its wrapper.
const MAX_ARGUMENTS: usize = 1000;
const MAX_ARGUMENT: usize = 32 << 10;
const MAX_COMMAND: usize = 192 << 10;
/// A sentence or two, in bytes.
const MAX_SAID: usize = 4 << 10;
/// Snapshots of which something is still to be put back.
const MAX_PENDING: usize = 100;

/// Checks what the owner wants of snapshots.
pub(super) fn rules(rules: &SnapshotRules) -> Result<(), Error> {
    roots(&rules.roots)?;
    excludes(&rules.excludes)?;
    if let Some(interval) = &rules.interval {
        let given = duration("sandbox.snapshot_rules.interval", interval)?;
        if given < MIN_INTERVAL {
            let problem = "must be at least 1 min, or absent for snapshots on request only";
            return Err(Error::invalid("sandbox.snapshot_rules.interval", problem));
        }
    }
    if rules.roots.is_empty() && (rules.interval.is_some() || rules.quiesce.is_some()) {
        let problem = "must name at least one directory: with an interval or hooks and no root, \
                       no snapshot would ever be taken";
        return Err(Error::invalid("sandbox.snapshot_rules.roots", problem));
    }
    kept("sandbox.snapshot_rules.keep_last", rules.keep_last)?;
    rules.quiesce.as_ref().map_or(Ok(()), quiesce)?;
    rules.retention.as_ref().map_or(Ok(()), retention)
}

/// Checks what the orchestrator says of a record's snapshots.
pub(super) fn status(name: &str, status: &SnapshotStatus) -> Result<(), Error> {
    const FIELD: &str = "sandbox.snapshot_status";
    snapshot_name(name, &format!("{FIELD}.last_complete"), &status.last_complete)?;
    time(&format!("{FIELD}.last_complete_time"), status.last_complete_time.as_ref())?;
    text(&format!("{FIELD}.last_complete_live_id"), &status.last_complete_live_id, 128)?;
    time(&format!("{FIELD}.last_attempt_time"), status.last_attempt_time.as_ref())?;
    count(&format!("{FIELD}.pending_restores"), status.pending_restores.len(), MAX_PENDING)?;
    for (index, pending) in status.pending_restores.iter().enumerate() {
        snapshot_name(name, &format!("{FIELD}.pending_restores[{index}]"), pending)?;
    }
    size(&format!("{FIELD}.last_attempt_problem"), status.last_attempt_problem.len(), MAX_SAID)?;
    status.last_drill.as_ref().map_or(Ok(()), |drill| self::drill(name, drill))
}

fn roots(roots: &[String]) -> Result<(), Error> {
    const FIELD: &str = "sandbox.snapshot_rules.roots";
    count(FIELD, roots.len(), MAX_ROOTS)?;
    for (index, root) in roots.iter().enumerate() {
        let field = format!("{FIELD}[{index}]");
        path(&field, root)?;
        text(&field, root, MAX_PATH)?;
        for other in &roots[..index] {
            if root == other {
                return Err(Error::invalid(field, format!("{} is there twice", shown(root))));
            }
            if is_below(root, other) || is_below(other, root) {
                let problem = format!(
                    "{} and {} lie one below the other; the upper one covers both",
                    shown(root),
                    shown(other)
                );
                return Err(Error::invalid(field, problem));
            }
        }
    }
    Ok(())
}

/// Both normalised.
fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

fn excludes(patterns: &[String]) -> Result<(), Error> {
    const FIELD: &str = "sandbox.snapshot_rules.excludes";
    count(FIELD, patterns.len(), MAX_EXCLUDES)?;
    for (index, pattern) in patterns.iter().enumerate() {
        exclude(pattern).map_err(|problem| Error::invalid(format!("{FIELD}[{index}]"), problem))?;
    }
    Ok(())
}

/// What is wrong with a pattern, if anything.
fn exclude(pattern: &str) -> Result<(), String> {
    if pattern.len() > MAX_EXCLUDE {
        return Err(format!("is {} bytes long; at most {MAX_EXCLUDE} are allowed", pattern.len()));
    }
    if pattern.contains(['\0', '\n', '\r']) {
        return Err("must be one line without NUL characters".to_owned());
    }
    if pattern.trim().is_empty() || pattern.starts_with('#') {
        return Err("matches nothing: it is empty or, beginning with '#', a comment".to_owned());
    }
    match GitignoreBuilder::new("/").add_line(None, pattern) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{} is no pattern as in .gitignore", shown(pattern))),
    }
}

fn quiesce(hooks: &QuiesceHooks) -> Result<(), Error> {
    const FIELD: &str = "sandbox.snapshot_rules.quiesce";
    for (which, command) in [("before", &hooks.before), ("after", &hooks.after)] {
        if !command.is_empty() {
            hook(command).map_err(|problem| Error::invalid(format!("{FIELD}.{which}"), problem))?;
        }
    }
    let Some(timeout) = &hooks.timeout else { return Ok(()) };
    let field = format!("{FIELD}.timeout");
    let timeout = duration(&field, timeout)?;
    if timeout.is_zero() || timeout > MAX_HOOK_TIME {
        return Err(Error::invalid(field, "must be more than zero and at most 10 min"));
    }
    Ok(())
}

/// What is wrong with a command, if anything.
fn hook(arguments: &[String]) -> Result<(), String> {
    let total: usize = arguments.iter().map(String::len).sum();
    if arguments.first().is_none_or(String::is_empty) {
        Err("must begin with a program".to_owned())
    } else if arguments.len() > MAX_ARGUMENTS {
        Err(format!("has {} arguments; at most {MAX_ARGUMENTS} are allowed", arguments.len()))
    } else if arguments.iter().any(|argument| argument.len() > MAX_ARGUMENT) {
        Err(format!("has an argument of more than {MAX_ARGUMENT} bytes"))
    } else if total > MAX_COMMAND {
        Err(format!("is {total} bytes long in all; at most {MAX_COMMAND} are allowed"))
    } else if arguments.iter().any(|argument| argument.contains('\0')) {
        Err("must not hold NUL characters".to_owned())
    } else {
        Ok(())
    }
}

fn retention(retention: &Retention) -> Result<(), Error> {
    const FIELD: &str = "sandbox.snapshot_rules.retention";
    let Retention { keep_last, keep_hourly, keep_daily, keep_weekly } = *retention;
    for (which, number) in [
        ("keep_last", keep_last),
        ("keep_hourly", keep_hourly),
        ("keep_daily", keep_daily),
        ("keep_weekly", keep_weekly),
    ] {
        kept(&format!("{FIELD}.{which}"), number)?;
    }
    if *retention == Retention::default() {
        let problem = "would keep nothing; give at least one number, or leave it out to go by \
                       snapshot_rules.keep_last";
        return Err(Error::invalid(FIELD, problem));
    }
    Ok(())
}

fn kept(field: &str, number: i32) -> Result<(), Error> {
    if (0..=MAX_KEPT).contains(&number) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("is {number}; must be 0 to {MAX_KEPT}")))
}

fn drill(name: &str, drill: &DrillResult) -> Result<(), Error> {
    const FIELD: &str = "sandbox.snapshot_status.last_drill";
    snapshot_name(name, &format!("{FIELD}.snapshot"), &drill.snapshot)?;
    time(&format!("{FIELD}.time"), drill.time.as_ref())?;
    size(&format!("{FIELD}.message"), drill.message.len(), MAX_SAID)?;
    text(&format!("{FIELD}.recovery"), &drill.recovery, 128)
}

/// Empty, or the exact name of a snapshot of the record's own gateway. `record` is the record's name.
fn snapshot_name(record: &str, field: &str, snapshot: &str) -> Result<(), Error> {
    if snapshot.is_empty() {
        return Ok(());
    }
    let record: RecordName =
        record.parse().map_err(|_| Error::Defect("a record without a proper name"))?;
    let owner = record.owner().to_string();
    match snapshot.strip_prefix(&format!("{owner}/snapshots/")) {
        Some(id) => sha256(field, id),
        None => Err(Error::invalid(
            field,
            format!("must be the name of a snapshot of {owner}: {owner}/snapshots/ and its id"),
        )),
    }
}

/// A duration that protobuf can carry; negative ones are refused.
fn duration(field: &str, given: &WireDuration) -> Result<Duration, Error> {
    if (0..=MAX_SECONDS).contains(&given.seconds) && (0..1_000_000_000).contains(&given.nanos) {
        return Ok(plain(given));
    }
    Err(Error::invalid(field, "must be a duration of 0 to 315,576,000,000 s"))
}
