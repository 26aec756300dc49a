//! `snapshot …`. What changes something is asked of the recovery-orchestrator, under a plan; what only reads is asked of the
//! gateway-adapter that keeps the snapshots.

mod delete;
mod read;
pub(crate) mod rules;
mod verify;

use std::io;

use salvor_proto::gateway::v1::{Channel, RestoreMode};
use salvor_proto::recovery::v1::{
    DrillSandboxRequest, PruneSandboxSnapshotsRequest, RestoreSandboxRequest,
    RestoreSandboxResponse, SnapshotSandboxRequest,
};
use salvor_proto::registry::v1::Retention;
use salvor_proto::time::duration;

use super::confirm::{can_ask, label, typed};
use super::request_id;
use super::work::see_through;
use crate::args::{CreateArgs, DrillArgs, ModeName, PruneArgs, RestoreArgs, SnapshotCommand};
use crate::client::{Clients, within};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::{render, resolve};

/// `salvor snapshot …`.
pub(super) async fn run(
    clients: &Clients,
    command: SnapshotCommand,
    output: &Output,
) -> Result<Exit, Failure> {
    match command {
        SnapshotCommand::Create(args) => create(clients, args, output).await,
        SnapshotCommand::List(args) => read::list(clients, &args, output).await,
        SnapshotCommand::Show(given) => read::show(clients, &given, output).await,
        SnapshotCommand::Verify(args) => verify::run(clients, &args, output).await,
        SnapshotCommand::Diff(args) => read::diff(clients, &args, output).await,
        SnapshotCommand::Restore(args) => restore(clients, &args, output).await,
        SnapshotCommand::Drill(args) => drill(clients, &args, output).await,
        SnapshotCommand::Prune(args) => prune(clients, &args, output).await,
        SnapshotCommand::Delete(args) => delete::run(clients, &args, output).await,
        SnapshotCommand::Cat(args) => read::cat(clients, args, output).await,
        SnapshotCommand::Rules(args) => rules::run(clients, args, output).await,
    }
}

async fn create(clients: &Clients, args: CreateArgs, output: &Output) -> Result<Exit, Failure> {
    let run = &args.run;
    let request = SnapshotSandboxRequest {
        name: resolve::record_or_default(clients, args.target.name.as_deref()).await?,
        request_id: request_id(),
        validate_only: run.validate_only,
        channel: args.channel.map_or(Channel::Unspecified, Into::into).into(),
        full: args.full,
        roots: args.root,
        settle_timeout: Some(duration(run.settle)),
    };
    let request = within(run.settle, request);
    let answer = clients.recovery()?.snapshot_sandbox(request).await?.into_inner();
    see_through(clients, answer, run.validate_only, &run.wait, output).await
}

async fn restore(clients: &Clients, args: &RestoreArgs, output: &Output) -> Result<Exit, Failure> {
    let run = &args.run;
    let name = resolve::record(clients, &args.name).await?;
    let request = RestoreSandboxRequest {
        snapshot: resolve::snapshot::of_record(Some(&args.snapshot), &name)?,
        name,
        mode: RestoreMode::from(args.mode).into(),
        copy_to: args.to.clone().unwrap_or_default(),
        allow_other_sandbox: args.from_other_sandbox,
        paths: args.path.clone(),
        request_id: request_id(),
        validate_only: run.validate_only,
        settle_timeout: Some(duration(run.settle)),
        replace_existing: args.replace,
    };
    let into_it = request.copy_to.is_empty() || args.replace;
    let overwrites = into_it && args.mode != ModeName::SkipExisting;
    if overwrites && !args.yes && !run.validate_only {
        confirm(clients, args, &request, output).await?;
    }
    let answer = ask(clients, request, run.settle).await?;
    see_through(clients, answer, run.validate_only, &run.wait, output).await
}

async fn ask(
    clients: &Clients,
    request: RestoreSandboxRequest,
    settle: std::time::Duration,
) -> Result<RestoreSandboxResponse, Failure> {
    Ok(clients.recovery()?.restore_sandbox(within(settle, request)).await?.into_inner())
}

/// Shows what would be overwritten, and fails unless a person agrees to it.
async fn confirm(
    clients: &Clients,
    args: &RestoreArgs,
    request: &RestoreSandboxRequest,
    output: &Output,
) -> Result<(), Failure> {
    let name = &overwritten(request);
    let refused = |message: String| Failure::new(Exit::Refused, "NOT_CONFIRMED", message);
    if !can_ask(output) {
        let message = format!("a restore overwrites what is in {name}; nothing was changed");
        return Err(refused(message).next(args.agreed(&request.name, &request.snapshot)));
    }
    let settle = request.settle_timeout.as_ref().map(salvor_proto::time::plain);
    let dry = RestoreSandboxRequest { validate_only: true, ..request.clone() };
    let planned = ask(clients, dry, settle.unwrap_or_default()).await?;
    if let Some(plan) = &planned.plan {
        output.note(&render::plan::plan(plan, output.err_look()));
    }
    if typed(name, "overwrite what is in it", &mut io::stdin().lock(), output)? {
        return Ok(());
    }
    Err(refused(format!("{} was not typed; nothing was changed", label(name))))
}

/// The record whose sandbox is written to, if there is one.
fn overwritten(request: &RestoreSandboxRequest) -> String {
    match (request.copy_to.as_str(), request.name.rsplit_once('/')) {
        ("", _) | (_, None) => request.name.clone(),
        (to, Some((parent, _))) => format!("{parent}/{to}"),
    }
}

async fn drill(clients: &Clients, args: &DrillArgs, output: &Output) -> Result<Exit, Failure> {
    let run = &args.run;
    let name = resolve::record_or_default(clients, args.target.name.as_deref()).await?;
    let request = DrillSandboxRequest {
        snapshot: resolve::snapshot::of_record(args.snapshot.as_deref(), &name)?,
        name,
        request_id: request_id(),
        validate_only: run.validate_only,
        settle_timeout: Some(duration(run.settle)),
    };
    let request = within(run.settle, request);
    let answer = clients.recovery()?.drill_sandbox(request).await?.into_inner();
    see_through(clients, answer, run.validate_only, &run.wait, output).await
}

async fn prune(clients: &Clients, args: &PruneArgs, output: &Output) -> Result<Exit, Failure> {
    let retention = (!args.keep.is_empty()).then(|| args.keep.onto(Retention::default()));
    let request = PruneSandboxSnapshotsRequest {
        name: resolve::record(clients, &args.name).await?,
        retention,
        reclaim_space: args.reclaim_space,
        request_id: request_id(),
        validate_only: args.validate_only,
    };
    let answer = clients.recovery()?.prune_sandbox_snapshots(request).await?.into_inner();
    if args.validate_only {
        output.message(&answer, |answer, look| {
            let plan =
                answer.plan.as_ref().map_or_else(String::new, |p| render::plan::plan(p, look));
            let preview = answer.preview.clone().unwrap_or_default();
            format!("{plan}\n{}", render::snapshot::pruned(&preview, look))
        })?;
        return Ok(Exit::Done);
    }
    see_through(clients, answer, false, &args.wait, output).await
}

#[cfg(test)]
mod tests;
