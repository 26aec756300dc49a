//! What a recovery came to, as it is answered: part by part, or why it did not come to that.

use salvor_core::{
    SagaKind, Timestamp,
    id::SnapshotName,
    name::RecordName,
    saga::{Cause, Ending, Outcome, Part, Parts, Pending, Setback},
    time::Readable,
};
use salvor_proto::{convert::part, recovery::v1 as pb, time::timestamp};

use crate::{
    folded::{Folded, Standing},
    journal::Header,
};

/// What an ended recovery came to.
pub(super) fn result(
    header: &Header,
    folded: &Folded,
    is_default: bool,
) -> Option<pb::RecoveryResult> {
    let Standing::Ended(Ending::Done(parts)) = &folded.standing else { return None };
    let restored = match &parts.data {
        Part::Restored { snapshot, begun } => Some((snapshot, Some(begun))),
        Part::Pending(owed) => owed.iter().find_map(instead).map(|name| (name, None)),
        _ => None,
    };
    Some(pb::RecoveryResult {
        live_id: parts.live_id.as_ref().map_or_else(String::new, ToString::to_string),
        data: Some(data(header, &parts.data)),
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
        kept_compute: header.plan.inputs.leftovers.iter().map(|c| c.id.to_string()).collect(),
    })
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

fn data(header: &Header, data: &Part) -> pb::Part {
    pb::Part { message: data_sentence(header, data), ..part(data, "") }
}

/// A part that does not apply says so; the others say what was seen.
const fn said(part: &Part, seen: &'static str) -> &'static str {
    match part {
        Part::NotApplicable => "nothing recorded to hold it against",
        Part::Kept => "not changed by this, and not looked at",
        Part::Proven
        | Part::Restored { .. }
        | Part::Gone
        | Part::Lost
        | Part::Pending(_)
        | Part::Unproven(_) => seen,
    }
}

fn data_sentence(header: &Header, part: &Part) -> String {
    match (header.saga(), part) {
        (SagaKind::Destroy, _) => "destroyed on request".to_owned(),
        (SagaKind::Snapshot, Part::Kept) => "the workspace was read, and not changed".to_owned(),
        (SagaKind::Prune, Part::Kept) => "the workspace was not looked at".to_owned(),
        (SagaKind::Copy, Part::Restored { snapshot, .. }) => {
            format!("snapshot {snapshot} was restored into it, every file compared")
        }
        (_, Part::Kept) => "the workspace is the one from before: a start keeps it".to_owned(),
        (_, Part::Restored { snapshot, begun }) => {
            let age = Readable(begun.age(Timestamp(header.created_ms)));
            format!(
                "restored snapshot {snapshot}, aged {age} when this was planned, every file compared; \
                 what was written after it is not in it"
            )
        }
        (_, Part::Pending(owed))
            if owed.iter().any(|item| matches!(item, Pending::NotSalvaged { .. })) =>
        {
            format!("not all of the workspace was recovered: {}", part.detail())
        }
        (_, Part::Pending(_)) => format!(
            "not all of the workspace is as the snapshot has it; the snapshot is kept: {}",
            part.detail()
        ),
        (_, Part::Lost) => {
            "workspace not recovered: no snapshot holds it, although the record declares roots to keep"
                .to_owned()
        }
        _ => "workspace not recovered: no snapshot holds it".to_owned(),
    }
}

fn summary(header: &Header, folded: &Folded, parts: &Parts) -> String {
    let target = header.target();
    let live = parts.live_id.as_ref().map_or("", |id| id.as_str());
    let data = data_sentence(header, &parts.data);
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
pub(super) fn failure(header: &Header, standing: &Standing) -> Option<pb::Failure> {
    match standing {
        Standing::Running | Standing::Ended(Ending::Done(_)) => None,
        Standing::Refused => {
            let shown = super::plan(&header.plan, &header.evidence);
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
            message: format!("{setback}. {}", untouched(header)),
            next_step: after_setback(header, setback),
            denials: Vec::new(),
        }),
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
        SagaKind::Prune => {
            format!("{target} was not looked at; its newest complete snapshot is kept in any case")
        }
        SagaKind::StaleRecovery | SagaKind::Revive | SagaKind::Rebuild | SagaKind::Destroy => {
            format!("The record of {target} is as it was before")
        }
    }
}

fn after_setback(header: &Header, setback: &Setback) -> String {
    let target = header.target();
    let again = match header.saga() {
        SagaKind::Snapshot => "snapshot create",
        SagaKind::Restore | SagaKind::Copy => "snapshot list",
        SagaKind::Prune => "snapshot prune",
        SagaKind::StaleRecovery | SagaKind::Revive | SagaKind::Rebuild | SagaKind::Destroy => {
            "recover"
        }
    };
    match setback {
        Setback::Refused(Cause::WorkspaceChanged) => format!(
            "salvor snapshot rules {target}  # declare --quiesce-before and --quiesce-after, and rebuild it again"
        ),
        Setback::Refused(_) | Setback::NeverReady(_) => {
            format!("salvor {again} {target}  # after what the gateway complains of was mended")
        }
        Setback::NotSaved(_) => {
            format!(
                "salvor snapshot list --all {target}  # mend what kept it from being complete, and try again"
            )
        }
        Setback::Stranger(_) => format!("salvor verdict {target}"),
        Setback::Returned | Setback::RecordChanged => format!("salvor status {target}"),
        Setback::Cancelled => format!("salvor {again} {target}"),
    }
}
