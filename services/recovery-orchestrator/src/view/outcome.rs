//! What a recovery came to, as it is answered: part by part, or why it did not come to that.

mod data;

use salvor_core::{
    SagaKind,
    id::SnapshotName,
    name::RecordName,
    saga::{Ending, Outcome, Part, Parts, Pending, refill::Merged},
};
use salvor_proto::{convert::part, gateway::v1 as gateway, recovery::v1 as pb, time::timestamp};

use crate::{
    folded::{Folded, Standing},
    journal::{Found, Header},
    words,
};

/// What an ended recovery came to.
pub(super) fn result(
    header: &Header,
    folded: &Folded,
    is_default: bool,
) -> Option<pb::RecoveryResult> {
    let Standing::Ended(Ending::Done(parts)) = &folded.standing else { return None };
    let restored = match &parts.data {
        Part::Restored { snapshot, begun } | Part::Partly { snapshot, begun, .. } => {
            Some((snapshot, Some(begun)))
        }
        Part::Pending(owed) => owed.iter().find_map(instead).map(|name| (name, None)),
        _ => None,
    };
    Some(pb::RecoveryResult {
        live_id: parts.live_id.as_ref().map_or_else(String::new, ToString::to_string),
        data: Some(pb::Part {
            message: data::sentence(header, &parts.data),
            ..part(&parts.data, "")
        }),
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
        summary: summary(header, folded, parts),
        is_default,
        snapshot_taken: folded.taken.as_ref().map_or_else(String::new, ToString::to_string),
        snapshot_restored: restored.map_or_else(String::new, |(name, _)| name.to_string()),
        snapshot_restored_time: restored.and_then(|(_, begun)| Some(timestamp(begun?.0))),
        copy: copy_of(header),
        merged: folded.merged.iter().map(merged).collect(),
        kept_compute: header.plan.inputs.leftovers.iter().map(|c| c.id.to_string()).collect(),
    })
}

fn merged(file: &Merged) -> gateway::MergedConfig {
    gateway::MergedConfig {
        path: file.path.to_string(),
        restored_keys: file.restored.clone(),
        kept_keys: file.kept.clone(),
        unmerged: file.unmerged.clone().unwrap_or_default(),
    }
}

/// The sandbox that a copy has made and kept.
fn copy_of(header: &Header) -> String {
    let kept = header.plan.inputs.asked.copy.as_ref().filter(|copy| copy.keep);
    kept.map_or_else(String::new, |copy| {
        RecordName { sandbox: copy.sandbox.clone(), ..header.target().clone() }.to_string()
    })
}

const fn instead(item: &Pending) -> Option<&SnapshotName> {
    match item {
        Pending::NotSalvaged { instead, .. } => instead.as_ref(),
        _ => None,
    }
}

/// A part that does not apply says so; the others say what was seen.
const fn said(part: &Part, seen: &'static str) -> &'static str {
    match part {
        Part::NotApplicable => "nothing recorded to hold it against",
        Part::Kept => "not changed by this, and not looked at",
        Part::Proven
        | Part::Restored { .. }
        | Part::Partly { .. }
        | Part::Gone
        | Part::Lost
        | Part::Pending(_)
        | Part::Unproven(_) => seen,
    }
}

fn summary(header: &Header, folded: &Folded, parts: &Parts) -> String {
    let target = header.target();
    let live = parts.live_id.as_ref().map_or("", |id| id.as_str());
    let data = data::sentence(header, &parts.data);
    let what = match header.saga() {
        SagaKind::StaleRecovery => format!(
            "stale recovery: {target} was recreated from its record and is live as {live}; {data}"
        ),
        SagaKind::Revive => format!("{target} was started and is live as {live}"),
        SagaKind::Destroy => format!("{target} is gone from its gateway; a tombstone stands"),
        SagaKind::Rebuild => format!("{target} was rebuilt and is live as {live}; {data}"),
        SagaKind::Snapshot => {
            let taken = folded.taken.as_ref().map_or("", |name| name.as_str());
            format!("complete snapshot {taken} of {target} was taken")
        }
        SagaKind::Restore => match &folded.taken {
            Some(before) => format!("{target}: {data}; what was in it before is in {before}"),
            None => format!("{target}: {data}"),
        },
        SagaKind::Copy => match copy_of(header).as_str() {
            "" => format!("drill of {target}: {data}; the throw-away sandbox is gone"),
            copy => format!("{copy} was made from {target} and is live as {live}; {data}"),
        },
        SagaKind::Prune => format!("{target}: {}", numbers(folded)),
    };
    match parts.outcome() {
        Outcome::Succeeded => what,
        Outcome::Degraded => format!("{what}; part of it is owed"),
        Outcome::Unproven => format!("{what}; not all of it could be proven"),
    }
}

/// What a prune came to, without the names.
fn numbers(folded: &Folded) -> &str {
    let last = folded.steps.iter().rev().find(|step| step.outcome == "pruned");
    last.and_then(|step| step.detail.split("; ").next()).unwrap_or_default()
}

/// Why a recovery did not succeed, or does not go on.
pub(super) fn failure(found: &Found, standing: &Standing) -> Option<pb::Failure> {
    let failure = |reason: &str, message: String, next_step: String| {
        let (reason, denials) = (reason.to_owned(), Vec::new());
        Some(pb::Failure { reason, message, next_step, denials })
    };
    let header = found.header.as_deref();
    match (standing, header) {
        (Standing::Running | Standing::Ended(Ending::Done(_)), _)
        | (Standing::Refused | Standing::Ended(Ending::RolledBack(_)), Err(_)) => None,
        (Standing::Stranded(obstacle), _) => {
            let message = format!("{}: {obstacle}; it is left as it is", found.name);
            failure(obstacle.reason(), message, obstacle.next_step(&found.name))
        }
        (Standing::Retiring(retirement) | Standing::Retired(retirement), _) => {
            let shown = super::retirement(found, retirement);
            let message = format!("{} was retired: {}", found.name, retirement.message);
            failure("RETIRED", message, shown.next_step)
        }
        (Standing::Parked(why), _) => {
            let next = words::after_park(&found.name, *why);
            failure(why.reason(), format!("{} waits: {why}", found.name), next)
        }
        (Standing::Refused, Ok(header)) => Some(refused(header)),
        (Standing::Ended(Ending::RolledBack(setback)), Ok(header)) => failure(
            setback.reason(),
            format!("{setback}. {}", untouched(header)),
            words::after_setback(&header.plan, setback),
        ),
    }
}

fn refused(header: &Header) -> pb::Failure {
    let shown = super::plan(&header.plan, &header.evidence);
    let denials: Vec<pb::Decision> = shown
        .decisions
        .into_iter()
        .filter(|d| d.result() == pb::decision::Result::Refuse)
        .collect();
    let first = denials.first();
    pb::Failure {
        reason: first.map_or_else(String::new, |d| d.reason.clone()),
        message: first.map_or_else(String::new, |d| d.message.clone()),
        next_step: shown.next_step,
        denials,
    }
}

/// What is as it was before, after a recovery that went back.
fn untouched(header: &Header) -> String {
    let target = header.target();
    match header.saga() {
        SagaKind::Snapshot => {
            format!("{target} was only read; its record says when this was tried")
        }
        SagaKind::Restore => format!("What {target} is recorded to be has not changed"),
        SagaKind::Copy => format!("{target} was only read, and nothing is left of the copy"),
        SagaKind::Prune if !header.plan.inputs.asked.delete.is_empty() => format!(
            "{target} was not looked at; of the snapshots that were named, those are left that \
             salvor snapshot list --all {target} shows"
        ),
        SagaKind::Prune => {
            format!("{target} was not looked at; its newest complete snapshot is kept in any case")
        }
        SagaKind::StaleRecovery | SagaKind::Revive | SagaKind::Rebuild | SagaKind::Destroy => {
            format!("The record of {target} is as it was before")
        }
    }
}
