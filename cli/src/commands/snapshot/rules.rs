//! `snapshot rules`: what a record says of its snapshots, shown or changed.

use prost_types::FieldMask;
use salvor_proto::registry::v1::{GetSandboxRequest, Sandbox, SnapshotRules, UpdateSandboxRequest};

use crate::args::{Clear, SetRulesArgs};
use crate::client::Clients;
use crate::commands::request_id;
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;
use crate::output::Output;
use crate::{render, resolve};

/// `salvor snapshot rules`.
pub(super) async fn run(
    clients: &Clients,
    args: SetRulesArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let changes =
        !args.rules.is_empty() || !args.config.config_file.is_empty() || !args.clear.is_empty();
    if changes && args.target.name.is_none() {
        let message = "the rules of the default sandbox are not changed unless it is named";
        return Err(Failure::usage("NAME_REQUIRED", message).next(NextStep::NameForRules.of("")));
    }
    let name = resolve::record_or_default(clients, args.target.name.as_deref()).await?;
    let record = record(clients, name).await?;
    let shown = if changes { store(clients, record, args).await? } else { record };
    output.message(&shown, render::snapshot::rules)?;
    Ok(Exit::Done)
}

/// The record as it is now.
pub(crate) async fn record(clients: &Clients, name: String) -> Result<Sandbox, Failure> {
    let request = GetSandboxRequest { name, show_deleted: false };
    let answer = clients.registry()?.get_sandbox(request).await?.into_inner();
    answer.sandbox.ok_or_else(|| Failure::internal("the registry answered no record"))
}

/// Stores the changed rules over the very version that was read; answers the record as stored.
pub(crate) async fn store(
    clients: &Clients,
    record: Sandbox,
    args: SetRulesArgs,
) -> Result<Sandbox, Failure> {
    let left =
        args.clear.iter().fold(record.snapshot_rules.clone(), |rules, &what| what.from(rules));
    let rules = if args.rules.is_empty() {
        left
    } else {
        Some(args.rules.onto(left.unwrap_or_else(SnapshotRules::default)))
    };
    let mut paths = vec!["snapshot_rules".to_owned()];
    if args.clear.contains(&Clear::ConfigFiles) || !args.config.config_file.is_empty() {
        paths.push("config_files".to_owned());
    }
    let request = UpdateSandboxRequest {
        sandbox: Some(Sandbox {
            name: record.name,
            etag: record.etag,
            snapshot_rules: rules,
            config_files: args.config.config_file,
            ..Sandbox::default()
        }),
        update_mask: Some(FieldMask { paths }),
        request_id: request_id(),
        validate_only: args.validate_only,
        ..UpdateSandboxRequest::default()
    };
    let answer = clients.registry()?.update_sandbox(request).await?.into_inner();
    answer.sandbox.ok_or_else(|| Failure::internal("the registry answered no record"))
}
