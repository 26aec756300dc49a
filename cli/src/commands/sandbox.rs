//! Reads about sandboxes: `list`, `status`, `verdict`, `connect`.

use salvor_proto::recovery::v1::{
    ConnectSandboxRequest, GetStatusRequest, GetVerdictRequest, SandboxStatus,
};
use salvor_proto::registry::v1::ListSandboxesRequest;

use super::page_size;
use crate::args::{ListArgs, Target};
use crate::client::Clients;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::render::{self, Tone};
use crate::resolve;

const PAGE: u32 = 500;

/// `salvor list`.
pub(crate) async fn list(
    clients: &Clients,
    args: &ListArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let gateway = args.gateway.as_deref().map(resolve::gateway).transpose()?;
    let gateway = gateway.map_or_else(|| "gateways/-".to_owned(), |gateway| gateway.to_string());
    let parent = format!("{gateway}/workspaces/{}", args.workspace.as_deref().unwrap_or("-"));
    let mut registry = clients.registry()?;
    let mut all = salvor_proto::registry::v1::ListSandboxesResponse::default();
    while let Some(page_size) = page_size(args.limit, all.sandboxes.len(), PAGE) {
        let request = ListSandboxesRequest {
            parent: parent.clone(),
            page_size,
            page_token: std::mem::take(&mut all.next_page_token),
            sandbox: String::new(),
            show_deleted: args.deleted,
        };
        let page = registry.list_sandboxes(request).await?.into_inner();
        all.sandboxes.extend(page.sandboxes);
        all.unreadable.extend(page.unreadable);
        all.next_page_token = page.next_page_token;
        all.revision = page.revision;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    output.message(&all, |all, look| render::record::list(&all.sandboxes, look))?;
    for name in &all.unreadable {
        let mark = output.err_look().paint(Tone::Warn, "unreadable:");
        output.note(&format!("{mark} {name}: its row cannot be decoded; no other is affected"));
    }
    if !all.next_page_token.is_empty() {
        output.note(&format!("there are more than {}; see them with --limit", args.limit));
    }
    Ok(Exit::Done)
}

/// `salvor status`.
pub(crate) async fn status(
    clients: &Clients,
    target: &Target,
    output: &Output,
) -> Result<Exit, Failure> {
    let name = resolve::record_or_default(clients, target.name.as_deref()).await?;
    let status = status_of(clients, name).await?;
    output.message(&status, render::status::status)?;
    Ok(Exit::Done)
}

/// The status of one record.
pub(crate) async fn status_of(clients: &Clients, name: String) -> Result<SandboxStatus, Failure> {
    let answer = clients.recovery()?.get_status(GetStatusRequest { name }).await?.into_inner();
    Ok(answer.status.unwrap_or_default())
}

/// `salvor verdict`.
pub(crate) async fn verdict(
    clients: &Clients,
    target: &Target,
    output: &Output,
) -> Result<Exit, Failure> {
    let name = resolve::record_or_default(clients, target.name.as_deref()).await?;
    let answer = clients.recovery()?.get_verdict(GetVerdictRequest { name }).await?.into_inner();
    output.message(&answer, render::status::verdict)?;
    Ok(Exit::Done)
}

/// `salvor connect`. Not live is [`Exit::Undetermined`], so that a script does not go on.
pub(crate) async fn connect(
    clients: &Clients,
    target: &Target,
    output: &Output,
) -> Result<Exit, Failure> {
    let name = resolve::record_or_default(clients, target.name.as_deref()).await?;
    let request = ConnectSandboxRequest { name };
    let answer = clients.recovery()?.connect_sandbox(request).await?.into_inner();
    output.message(&answer, render::status::connection)?;
    Ok(if answer.live { Exit::Done } else { Exit::Undetermined })
}
