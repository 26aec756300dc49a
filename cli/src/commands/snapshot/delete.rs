//! `snapshot delete`: by exact name, of one sandbox at a time, and only after a person agreed or `--yes`.

use std::collections::BTreeSet;
use std::io;

use salvor_proto::gateway::v1::{GetSnapshotRequest, SandboxRef};
use salvor_proto::recovery::v1::DeleteSandboxSnapshotsRequest;

use crate::args::DeleteArgs;
use crate::client::Clients;
use crate::commands::confirm::{can_ask, label, typed};
use crate::commands::request_id;
use crate::commands::work::see_through;
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;
use crate::output::Output;
use crate::{render, resolve};

/// `salvor snapshot delete`.
pub(super) async fn run(
    clients: &Clients,
    args: &DeleteArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let (name, snapshots) = of_one(clients, args).await?;
    let request = DeleteSandboxSnapshotsRequest {
        name,
        snapshots,
        allow_last: args.allow_last,
        request_id: request_id(),
        validate_only: args.validate_only,
    };
    if !args.yes && !args.validate_only {
        confirm(clients, &request, output).await?;
    }
    let answer = clients.recovery()?.delete_sandbox_snapshots(request).await?.into_inner();
    see_through(clients, answer, args.validate_only, &args.wait, output).await
}

/// The full names of what was typed, and of the one record whose snapshots they are.
async fn of_one(clients: &Clients, args: &DeleteArgs) -> Result<(String, Vec<String>), Failure> {
    let owner = resolve::snapshot::owner(clients, &args.owner).await?;
    let (mut records, mut names) = (BTreeSet::new(), Vec::new());
    for text in &args.snapshots {
        let (name, gateway) = resolve::snapshot::exact(text, owner.as_ref())?;
        let mut adapter = clients.adapter_of(&gateway).await?;
        let request = GetSnapshotRequest { name: name.clone() };
        let found = adapter.get_snapshot(request).await?.into_inner().snapshot.unwrap_or_default();
        let of = found.identity.and_then(|identity| identity.sandbox).unwrap_or_default();
        let SandboxRef { gateway, workspace, sandbox } = of;
        records.insert(format!("{gateway}/workspaces/{workspace}/sandboxes/{sandbox}"));
        names.push(name);
    }
    let mut records = records.into_iter();
    match (records.next(), records.next()) {
        (Some(record), None) => Ok((record, names)),
        (first, second) => {
            let of = first.into_iter().chain(second).collect::<Vec<_>>().join(" and ");
            let message = format!("they are snapshots of {of}; nothing was deleted");
            Err(Failure::usage("SEVERAL_SANDBOXES", message).next(NextStep::ListOne.of("")))
        }
    }
}

/// Shows what would go, and fails unless a person agrees to it.
async fn confirm(
    clients: &Clients,
    request: &DeleteSandboxSnapshotsRequest,
    output: &Output,
) -> Result<(), Failure> {
    let refused = |message: String| Failure::new(Exit::Refused, "NOT_CONFIRMED", message);
    let names = &request.snapshots;
    if !can_ask(output) {
        let message = format!(
            "snapshots of {} cannot be brought back once deleted; nothing was deleted",
            request.name
        );
        return Err(refused(message).next(with_yes(request)));
    }
    let dry = DeleteSandboxSnapshotsRequest { validate_only: true, ..request.clone() };
    let planned = clients.recovery()?.delete_sandbox_snapshots(dry).await?.into_inner();
    if let Some(plan) = &planned.plan {
        output.note(&render::plan::plan(plan, output.err_look()));
    }
    output.note(&names.join("\n"));
    if typed(&request.name, "delete these for good", &mut io::stdin().lock(), output)? {
        return Ok(());
    }
    Err(refused(format!("{} was not typed; nothing was deleted", label(&request.name))))
}

/// The very same request, agreed to.
fn with_yes(request: &DeleteSandboxSnapshotsRequest) -> String {
    let allowed = if request.allow_last { " --allow-last" } else { "" };
    format!("salvor snapshot delete {}{allowed} --yes", request.snapshots.join(" "))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command, SnapshotCommand};

    #[test]
    fn what_is_printed_asks_for_the_same_and_no_more() {
        for allow_last in [false, true] {
            let snapshots =
                ["ab", "cd"].map(|id| format!("gateways/g/snapshots/{}", id.repeat(32)));
            let request = DeleteSandboxSnapshotsRequest {
                snapshots: snapshots.to_vec(),
                allow_last,
                ..Default::default()
            };
            let printed = with_yes(&request);
            let Command::Snapshot(SnapshotCommand::Delete(args)) =
                Cli::try_parse_from(printed.split(' ')).unwrap().command
            else {
                panic!("{printed}");
            };
            assert_eq!(args.snapshots, snapshots);
            assert_eq!((args.allow_last, args.yes, args.validate_only), (allow_last, true, false));
        }
    }
}
