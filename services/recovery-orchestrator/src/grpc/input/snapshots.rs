//! What is asked of snapshots: checked, with the field's name in every complaint.

use std::time::Duration;

use salvor_core::{
    Request,
    evidence::{Asked, Channel, CopyTo, RestoreMode, Retention},
    id::{SandboxPath, SnapshotName},
    name::{RecordName, Sandbox},
};
use salvor_proto::{Error, gateway::v1 as gateway, recovery::v1 as pb, registry::v1 as registry};
use uuid::Uuid;

use super::{record, request_id, settle, snapshot};
use crate::engine::Ask;

/// As many roots as a record takes.
const MAX_ROOTS: usize = 64;
/// So many paths can be restored out of a snapshot by name.
const MAX_PATHS: usize = 1000;
/// Of one path, in bytes: what Linux takes.
const MAX_PATH: usize = 4096;
/// As much as a record takes.
const MAX_KEPT: i32 = 10_000;
/// So many snapshots can be deleted at once.
const MAX_DELETED: usize = 100;

pub(in crate::grpc) fn snapshot_sandbox(
    request: &pb::SnapshotSandboxRequest,
) -> Result<Ask, Error> {
    let asked = Asked {
        roots: paths("roots", &request.roots, MAX_ROOTS)?,
        channel: channel(request.channel)?,
        full: request.full,
        ..Asked::default()
    };
    Ok(Ask {
        request_id: request_id(&request.request_id)?,
        validate_only: request.validate_only,
        settle_timeout: settle(request.settle_timeout.as_ref())?,
        ..ask(record(&request.name)?, Request::Snapshot, asked)
    })
}

pub(in crate::grpc) fn restore_sandbox(request: &pb::RestoreSandboxRequest) -> Result<Ask, Error> {
    let name = record(&request.name)?;
    let asked = Asked {
        snapshot: Some(exact("snapshot", &request.snapshot, &name)?),
        other_sandbox: request.allow_other_sandbox,
        mode: mode(request.mode)?,
        paths: paths("paths", &request.paths, MAX_PATHS)?,
        copy: copy_to(&request.copy_to, &name)?,
        ..Asked::default()
    };
    if asked.copy.is_some() && asked.other_sandbox {
        let problem = "excludes copy_to: a copy is made from the sandbox's own snapshot";
        return Err(Error::invalid("allow_other_sandbox", problem));
    }
    if asked.copy.is_some() && asked.mode != RestoreMode::Replace {
        let problem =
            "must be REPLACE, or absent, with copy_to: there is nothing in a new sandbox to keep";
        return Err(Error::invalid("mode", problem));
    }
    if asked.copy.is_none() && request.replace_existing {
        let problem =
            "needs copy_to: a restore into the sandbox itself replaces what is in it anyway";
        return Err(Error::invalid("replace_existing", problem));
    }
    let path = if asked.copy.is_some() { Request::Copy } else { Request::Restore };
    Ok(Ask {
        request_id: request_id(&request.request_id)?,
        validate_only: request.validate_only,
        settle_timeout: settle(request.settle_timeout.as_ref())?,
        ..ask(name, path, asked)
    })
}

pub(in crate::grpc) fn drill_sandbox(request: &pb::DrillSandboxRequest) -> Result<Ask, Error> {
    let name = record(&request.name)?;
    let snapshot = match request.snapshot.as_str() {
        "" => None,
        text => Some(exact("snapshot", text, &name)?),
    };
    let copy = Some(CopyTo { sandbox: scratch()?, keep: false });
    let asked = Asked { snapshot, copy, ..Asked::default() };
    Ok(Ask {
        request_id: request_id(&request.request_id)?,
        validate_only: request.validate_only,
        settle_timeout: settle(request.settle_timeout.as_ref())?,
        ..ask(name, Request::Copy, asked)
    })
}

pub(in crate::grpc) fn prune_sandbox_snapshots(
    request: &pb::PruneSandboxSnapshotsRequest,
) -> Result<Ask, Error> {
    let retention = request.retention.as_ref().map(retention).transpose()?;
    let asked = Asked { retention, reclaim: request.reclaim_space, ..Asked::default() };
    Ok(Ask {
        request_id: request_id(&request.request_id)?,
        validate_only: request.validate_only,
        ..ask(record(&request.name)?, Request::Prune, asked)
    })
}

pub(in crate::grpc) fn delete_sandbox_snapshots(
    request: &pb::DeleteSandboxSnapshotsRequest,
) -> Result<Ask, Error> {
    let name = record(&request.name)?;
    let given = &request.snapshots;
    if !(1..=MAX_DELETED).contains(&given.len()) {
        let problem = format!("has {} names; must have 1 to {MAX_DELETED}", given.len());
        return Err(Error::invalid("snapshots", problem));
    }
    let mut delete: Vec<SnapshotName> =
        given.iter().map(|text| exact("snapshots", text, &name)).collect::<Result<_, _>>()?;
    // In any order, and however often, it is the same request.
    delete.sort();
    delete.dedup();
    let asked = Asked { delete, allow_last: request.allow_last, ..Asked::default() };
    Ok(Ask {
        request_id: request_id(&request.request_id)?,
        validate_only: request.validate_only,
        ..ask(name, Request::Prune, asked)
    })
}

fn ask(name: RecordName, request: Request, asked: Asked) -> Ask {
    Ask {
        name,
        request,
        asked,
        request_id: None,
        validate_only: false,
        plan_digest: None,
        accepted_loss: None,
        settle_timeout: Duration::ZERO,
    }
}

/// A snapshot of the gateway that owns the record, by its exact name.
fn exact(field: &str, text: &str, of: &RecordName) -> Result<SnapshotName, Error> {
    let Some(name) = snapshot(text)? else {
        return Err(Error::invalid(field, "must be given"));
    };
    let owner = of.owner().to_string();
    if !name.as_str().starts_with(&format!("{owner}/snapshots/")) {
        let problem = format!("must be one of {owner}, which owns the sandbox");
        return Err(Error::invalid(field, problem));
    }
    Ok(name)
}

fn copy_to(text: &str, source: &RecordName) -> Result<Option<CopyTo>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let sandbox: Sandbox =
        text.parse().map_err(|error| Error::invalid("copy_to", format!("{error}")))?;
    if sandbox == source.sandbox {
        let problem =
            "must be another name than the sandbox's own; leave it out to restore into it";
        return Err(Error::invalid("copy_to", problem));
    }
    Ok(Some(CopyTo { sandbox, keep: true }))
}

/// A name that nothing has: fixed here, so that the plan has it.
fn scratch() -> Result<Sandbox, Error> {
    let id = Uuid::new_v4().simple().to_string();
    let name = format!("drill-{}", id.get(..8).unwrap_or_default());
    name.parse().map_err(|_| Error::internal("a drill has no proper name"))
}

fn channel(channel: i32) -> Result<Option<Channel>, Error> {
    match gateway::Channel::try_from(channel) {
        Ok(gateway::Channel::Unspecified) => Ok(None),
        Ok(gateway::Channel::Exec) => Ok(Some(Channel::Exec)),
        Ok(gateway::Channel::Runtime) => Ok(Some(Channel::Runtime)),
        Err(_) => Err(Error::invalid("channel", format!("{channel} is not a channel"))),
    }
}

fn mode(mode: i32) -> Result<RestoreMode, Error> {
    use gateway::RestoreMode as Wire;
    match Wire::try_from(mode) {
        Ok(Wire::Unspecified | Wire::Replace) => Ok(RestoreMode::Replace),
        Ok(Wire::SkipExisting) => Ok(RestoreMode::SkipExisting),
        Ok(Wire::MergeConfig) => Ok(RestoreMode::MergeConfig),
        Err(_) => Err(Error::invalid("mode", format!("{mode} is not a restore mode"))),
    }
}

fn retention(given: &registry::Retention) -> Result<Retention, Error> {
    let number = |field: &str, number: i32| match u32::try_from(number) {
        Ok(kept) if number <= MAX_KEPT => Ok(kept),
        _ => Err(Error::invalid(
            format!("retention.{field}"),
            format!("is {number}; must be 0 to {MAX_KEPT}"),
        )),
    };
    let kept = Retention {
        last: number("keep_last", given.keep_last)?,
        hourly: number("keep_hourly", given.keep_hourly)?,
        daily: number("keep_daily", given.keep_daily)?,
        weekly: number("keep_weekly", given.keep_weekly)?,
    };
    if kept == Retention::default() {
        let problem = "would keep nothing; give at least one number, or leave it out to go by the record's rules";
        return Err(Error::invalid("retention", problem));
    }
    Ok(kept)
}

/// Absolute and normalised: no `.`, no `..`, no empty component, no slash at the end.
fn paths(field: &str, given: &[String], max: usize) -> Result<Vec<SandboxPath>, Error> {
    if given.len() > max {
        let problem = format!("has {} entries; at most {max} are allowed", given.len());
        return Err(Error::invalid(field, problem));
    }
    let checked = given.iter().enumerate().map(|(index, path)| {
        let bad = |problem: &str| Err(Error::invalid(format!("{field}[{index}]"), problem));
        let mut components = path.split('/').skip(1);
        if !path.starts_with('/') || path.len() > MAX_PATH || path.contains(['\0', '\n']) {
            return bad("must be an absolute path of at most 4096 bytes, in one line");
        }
        if components.any(|component| matches!(component, "" | "." | "..")) {
            return bad("must be normalised: no '.', no '..', no '//', no '/' at the end");
        }
        Ok(SandboxPath(path.clone()))
    });
    checked.collect()
}

#[cfg(test)]
mod tests;
