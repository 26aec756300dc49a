//! `default get|set|clear`.

use salvor_proto::registry::v1::{GetDefaultSandboxRequest, SetDefaultSandboxRequest};

use crate::args::DefaultCommand;
use crate::client::Clients;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::{render, resolve};

/// `salvor default …`.
pub(crate) async fn run(
    clients: &Clients,
    command: &DefaultCommand,
    output: &Output,
) -> Result<Exit, Failure> {
    let name = match command {
        DefaultCommand::Get => return get(clients, output).await,
        DefaultCommand::Set { name } => resolve::record(clients, name).await?,
        DefaultCommand::Clear => String::new(),
    };
    let request = SetDefaultSandboxRequest { name: name.clone() };
    let answer = clients.registry()?.set_default_sandbox(request).await?.into_inner();
    output.message(&answer, |answer, _| {
        let before = if answer.previous.is_empty() { "nothing" } else { &answer.previous };
        let now = if name.is_empty() { "nothing" } else { &name };
        format!("default  {now} (before: {before})\n")
    })?;
    Ok(Exit::Done)
}

async fn get(clients: &Clients, output: &Output) -> Result<Exit, Failure> {
    let answer = clients.registry()?.get_default_sandbox(GetDefaultSandboxRequest {}).await;
    let record = answer?.into_inner().sandbox.unwrap_or_default();
    output.message(&record, |record, look| {
        render::record::list(std::slice::from_ref(record), look)
    })?;
    Ok(Exit::Done)
}
