//! `recoveries …` and `decisions`.

use salvor_proto::recovery::v1::{
    CancelRecoveryRequest, GetRecoveryRequest, ListDecisionsRequest, ListDecisionsResponse,
    ListRecoveriesRequest, ListRecoveriesResponse, Recovery, RetireRecoveryRequest,
    RetryRecoveryRequest, recovery::State,
};

use super::page_size;
use super::work::to_the_end;
use crate::args::{DecisionsArgs, RecoveriesCommand, RetireArgs};
use crate::client::Clients;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::{render, resolve};

const PAGE: u32 = 500;

/// `salvor recoveries …`.
pub(crate) async fn run(
    clients: &Clients,
    command: &RecoveriesCommand,
    output: &Output,
) -> Result<Exit, Failure> {
    match command {
        RecoveriesCommand::List { sandbox, open, limit } => {
            let sandbox = match sandbox {
                Some(name) => resolve::record(clients, name).await?,
                None => String::new(),
            };
            let all = list(clients, sandbox, *open, *limit).await?;
            output.message(&all, |all, look| render::recovery::list(&all.recoveries, look))?;
            Ok(Exit::Done)
        }
        RecoveriesCommand::Show { recovery } => {
            let request = GetRecoveryRequest { name: resolve::recovery(recovery) };
            let answer = clients.recovery()?.get_recovery(request).await?.into_inner();
            shown(answer.recovery, output)
        }
        RecoveriesCommand::Wait { recovery, timeout } => {
            let name = resolve::recovery(recovery);
            ended(&to_the_end(clients, &name, *timeout, output).await?, output)
        }
        RecoveriesCommand::Cancel { recovery } => {
            let request = CancelRecoveryRequest { name: resolve::recovery(recovery) };
            let answer = clients.recovery()?.cancel_recovery(request).await?.into_inner();
            shown(answer.recovery, output)
        }
        RecoveriesCommand::Retry { recovery, wait } => {
            let name = resolve::recovery(recovery);
            let request = RetryRecoveryRequest { name: name.clone() };
            let answer = clients.recovery()?.retry_recovery(request).await?.into_inner();
            if wait.no_wait {
                return shown(answer.recovery, output);
            }
            ended(&to_the_end(clients, &name, wait.timeout, output).await?, output)
        }
        RecoveriesCommand::Retire(args) => retire(clients, args, output).await,
    }
}

async fn retire(clients: &Clients, args: &RetireArgs, output: &Output) -> Result<Exit, Failure> {
    let mut client = clients.recovery()?;
    let name = resolve::recovery(&args.recovery);
    let etag = if let Some(etag) = &args.etag {
        etag.clone()
    } else {
        let request = GetRecoveryRequest { name: name.clone() };
        let answer = client.get_recovery(request).await?.into_inner();
        answer.recovery.unwrap_or_default().etag
    };
    let request = RetireRecoveryRequest {
        name,
        etag,
        request_id: String::new(),
        validate_only: args.validate_only,
        newer_version_gone: args.newer_version_gone,
        give_up: args.give_up,
    };
    let answer = client.retire_recovery(request).await?.into_inner();
    output.message(&answer, render::retirement::answer)?;
    let state = answer.recovery.unwrap_or_default().state();
    // Written down and not at its end yet: the record is freed as soon as the registry answers.
    let waits = state == State::Running;
    Ok(if waits { Exit::Waiting } else { Exit::Done })
}

/// `salvor decisions`.
pub(crate) async fn decisions(
    clients: &Clients,
    args: &DecisionsArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let parent = match args.of.as_deref() {
        Some(recovery) if recovery.starts_with("recoveries/") => recovery.to_owned(),
        name => resolve::record_or_default(clients, name).await?,
    };
    let all = kept(clients, parent, args.refused, args.limit).await?;
    output.message(&all, |all, look| render::decision::kept(&all.decisions, look))?;
    Ok(Exit::Done)
}

/// The kept decisions of a recovery or of a record, at most `limit`.
pub(crate) async fn kept(
    clients: &Clients,
    parent: String,
    refused_only: bool,
    limit: u32,
) -> Result<ListDecisionsResponse, Failure> {
    let mut client = clients.recovery()?;
    let mut all = ListDecisionsResponse::default();
    while let Some(page_size) = page_size(limit, all.decisions.len(), PAGE) {
        let request = ListDecisionsRequest {
            parent: parent.clone(),
            page_size,
            page_token: all.next_page_token,
            refused_only,
        };
        let page = client.list_decisions(request).await?.into_inner();
        all.decisions.extend(page.decisions);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    Ok(all)
}

/// Recoveries, newest first, at most `limit`.
pub(crate) async fn list(
    clients: &Clients,
    sandbox: String,
    open_only: bool,
    limit: u32,
) -> Result<ListRecoveriesResponse, Failure> {
    let mut client = clients.recovery()?;
    let mut all = ListRecoveriesResponse::default();
    while let Some(page_size) = page_size(limit, all.recoveries.len(), PAGE) {
        let request = ListRecoveriesRequest {
            sandbox: sandbox.clone(),
            open_only,
            page_size,
            page_token: all.next_page_token,
        };
        let page = client.list_recoveries(request).await?.into_inner();
        all.recoveries.extend(page.recoveries);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    Ok(all)
}

fn shown(recovery: Option<Recovery>, output: &Output) -> Result<Exit, Failure> {
    let recovery = recovery.unwrap_or_default();
    output.message(&recovery, render::recovery::whole)?;
    Ok(Exit::Done)
}

fn ended(recovery: &Recovery, output: &Output) -> Result<Exit, Failure> {
    output.message(recovery, render::recovery::end)?;
    Ok(Exit::from(recovery.state()))
}
