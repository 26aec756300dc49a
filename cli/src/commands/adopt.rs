//! `adopt`: the only command that makes records.

use salvor_proto::recovery::v1::{AdoptGatewayRequest, AdoptGatewayResponse, AdoptSandboxRequest};
use salvor_proto::registry::v1::{
    Agent, AutomaticRecovery, ListGatewaysRequest, ReadinessProbe, SnapshotRules,
};
use salvor_proto::time::duration;

use super::request_id;
use crate::args::AdoptArgs;
use crate::client::Clients;
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;
use crate::output::Output;
use crate::{render, resolve};

/// `salvor adopt`.
pub(crate) async fn run(
    clients: &Clients,
    args: AdoptArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    match args.name.clone() {
        Some(name) => one(clients, &name, args, output).await,
        None => all(clients, args, output).await,
    }
}

async fn one(
    clients: &Clients,
    name: &str,
    args: AdoptArgs,
    output: &Output,
) -> Result<Exit, Failure> {
    let short = !name.starts_with("gateways/");
    let name = if args.rebind && short && args.gateway.is_none() {
        // There is a record already, so that a short name can be held against the records.
        resolve::record(clients, name).await?
    } else {
        resolve::to_adopt(clients, name, args.gateway.as_deref()).await?.to_string()
    };
    let stored = !args.validate_only;
    let request = request(name, args)?;
    let answer = clients.recovery()?.adopt_sandbox(request).await?.into_inner();
    let record = answer.sandbox.unwrap_or_default();
    output.message(&record, |record, look| render::record::adopted(record, stored, look))?;
    Ok(Exit::Done)
}

fn request(name: String, args: AdoptArgs) -> Result<AdoptSandboxRequest, Failure> {
    let command = args.readiness_command.unwrap_or_default();
    let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    let automatic = args.automatic.map_or(AutomaticRecovery::Unspecified, Into::into);
    Ok(AdoptSandboxRequest {
        name,
        request_id: request_id(),
        validate_only: args.validate_only,
        agents: args.agent.iter().map(|text| agent(text)).collect::<Result<_, _>>()?,
        seal_paths: args.seal,
        readiness_probe: (!command.is_empty())
            .then(|| ReadinessProbe { command, timeout: Some(duration(args.readiness_timeout)) }),
        automatic_recovery: automatic.into(),
        snapshot_rules: (!args.rules.is_empty()).then(|| args.rules.onto(SnapshotRules::default())),
        claim_default: args.default,
        rebind: args.rebind,
        config_files: args.config.config_file,
    })
}

fn agent(text: &str) -> Result<Agent, Failure> {
    let (kind, version) = text.split_once('@').unwrap_or((text, ""));
    if kind.is_empty() {
        let message = format!("--agent {text:?} names no kind");
        return Err(Failure::usage("BAD_AGENT", message).next(NextStep::NameAgent.of("")));
    }
    Ok(Agent { kind: kind.to_owned(), version: version.to_owned() })
}

async fn all(clients: &Clients, args: AdoptArgs, output: &Output) -> Result<Exit, Failure> {
    let gateways = match &args.gateway {
        Some(name) => vec![resolve::gateway(name)?.to_string()],
        None => every_gateway(clients).await?,
    };
    let mut whole = AdoptGatewayResponse::default();
    let mut failures = Vec::new();
    let asked = gateways.len();
    for gateway in gateways {
        let workspace = args.workspace.clone().unwrap_or_default();
        let request = AdoptGatewayRequest { gateway, workspace };
        match clients.recovery()?.adopt_gateway(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                whole.adopted.extend(answer.adopted);
                whole.already_recorded.extend(answer.already_recorded);
                whole.not_adopted.extend(answer.not_adopted);
            }
            // One gateway that cannot be asked stops no other.
            Err(status) => failures.push(Failure::from(status)),
        }
    }
    if failures.len() < asked || asked == 0 {
        output.message(&whole, render::record::adopted_all)?;
    }
    let last = failures.pop();
    for failure in &failures {
        output.note(render::failure(failure, output.err_look()).trim_end());
    }
    match last {
        Some(failure) => Err(failure),
        None if whole.not_adopted.is_empty() => Ok(Exit::Done),
        None => Ok(Exit::Degraded),
    }
}

async fn every_gateway(clients: &Clients) -> Result<Vec<String>, Failure> {
    let mut registry = clients.registry()?;
    let mut names = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListGatewaysRequest { page_size: 1_000, page_token };
        let page = registry.list_gateways(request).await?.into_inner();
        names.extend(page.gateways.into_iter().map(|gateway| gateway.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(names);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_a_kind_and_perhaps_a_version() {
        assert_eq!(agent("claude-code@2.1").unwrap().version, "2.1");
        assert_eq!(agent("codex").unwrap().kind, "codex");
        assert_eq!(agent("@1").unwrap_err().exit, Exit::Usage);
    }
}
