//! `gateways …`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use prost_types::FieldMask;
use salvor_proto::gateway::v1::{ProbeGatewayRequest, gateway_view};
use salvor_proto::registry::v1::gateway_credentials::Method;
use salvor_proto::registry::v1::{
    BearerToken, DeleteGatewayRequest, Gateway, GatewayCredentials, GatewayIdentity,
    GetGatewayRequest, ListGatewaysRequest, ListGatewaysResponse, MutualTls,
    RegisterGatewayRequest, UpdateGatewayRequest,
};

use super::confirm::typed;
use super::request_id;
use crate::args::{Credentials, GatewaysCommand};
use crate::client::Clients;
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;
use crate::output::Output;
use crate::{render, resolve};

/// `salvor gateways …`.
pub(crate) async fn run(
    clients: &Clients,
    command: GatewaysCommand,
    output: &Output,
) -> Result<Exit, Failure> {
    match command {
        GatewaysCommand::List => list(clients, output).await,
        GatewaysCommand::Add { name, endpoint, credentials, adapter_id } => {
            let gateway = Gateway {
                name: resolve::gateway(&name)?.to_string(),
                endpoint,
                credentials: self::credentials(credentials)?,
                adapter_id: adapter_id.unwrap_or_default(),
                ..Gateway::default()
            };
            let gateway = register(clients, gateway).await?;
            output.message(&gateway, render::gateway::one)?;
            Ok(Exit::Done)
        }
        GatewaysCommand::Update { name, endpoint, credentials, no_credentials, adapter_id } => {
            let mut gateway = get(clients, &name).await?;
            let mut paths = Vec::new();
            if let Some(endpoint) = endpoint {
                gateway.endpoint = endpoint;
                paths.push("endpoint");
            }
            let credentials = self::credentials(credentials)?;
            if credentials.is_some() || no_credentials {
                gateway.credentials = credentials;
                paths.push("credentials");
            }
            if let Some(adapter_id) = adapter_id {
                gateway.adapter_id = adapter_id;
                paths.push("adapter_id");
            }
            update(clients, gateway, &paths, output).await
        }
        GatewaysCommand::Remove { name } => {
            let Gateway { name, etag, .. } = get(clients, &name).await?;
            let request = DeleteGatewayRequest { name: name.clone(), etag };
            let answer = clients.registry()?.delete_gateway(request).await?.into_inner();
            output.message(&answer, |_, _| format!("{name} is forgotten\n"))?;
            Ok(Exit::Done)
        }
        GatewaysCommand::Repin { name, yes } => repin(clients, &name, yes, output).await,
        GatewaysCommand::Probe { name } => probe(clients, &name, output).await,
    }
}

/// Makes a gateway known; answers it as stored.
pub(crate) async fn register(clients: &Clients, gateway: Gateway) -> Result<Gateway, Failure> {
    let request = RegisterGatewayRequest { gateway: Some(gateway), request_id: request_id() };
    let answer = clients.registry()?.register_gateway(request).await?.into_inner();
    answer.gateway.ok_or_else(|| Failure::internal("the registry answered no gateway"))
}

/// One gateway by what was typed.
pub(crate) async fn get(clients: &Clients, name: &str) -> Result<Gateway, Failure> {
    let request = GetGatewayRequest { name: resolve::gateway(name)?.to_string() };
    let answer = clients.registry()?.get_gateway(request).await?.into_inner();
    answer.gateway.ok_or_else(|| Failure::internal("the registry answered no gateway"))
}

async fn list(clients: &Clients, output: &Output) -> Result<Exit, Failure> {
    let mut registry = clients.registry()?;
    let mut all = ListGatewaysResponse::default();
    loop {
        let page_token = std::mem::take(&mut all.next_page_token);
        let request = ListGatewaysRequest { page_size: 500, page_token };
        let page = registry.list_gateways(request).await?.into_inner();
        all.gateways.extend(page.gateways);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    output.message(&all, |all, look| render::gateway::list(&all.gateways, look))?;
    Ok(Exit::Done)
}

async fn update(
    clients: &Clients,
    gateway: Gateway,
    paths: &[&str],
    output: &Output,
) -> Result<Exit, Failure> {
    if paths.is_empty() {
        return Err(Failure::usage("NOTHING_TO_CHANGE", "no option says what to change")
            .next(NextStep::SayWhatToChange.of("")));
    }
    let mask = FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() };
    let request = UpdateGatewayRequest { gateway: Some(gateway), update_mask: Some(mask) };
    let answer = clients.registry()?.update_gateway(request).await?.into_inner();
    let gateway = answer.gateway.unwrap_or_default();
    output.message(&gateway, render::gateway::one)?;
    Ok(Exit::Done)
}

/// What the gateway showed last takes the place of what was pinned. Without a sight of it the pin is only taken off.
async fn repin(clients: &Clients, name: &str, yes: bool, output: &Output) -> Result<Exit, Failure> {
    let mut gateway = get(clients, name).await?;
    let shown = gateway.heartbeat.as_ref().and_then(|beat| beat.identity.clone());
    let shown = shown.filter(|identity| *identity != GatewayIdentity::default());
    let say = |identity: Option<&GatewayIdentity>, none: &str| {
        identity.map_or_else(|| none.to_owned(), render::gateway::identity)
    };
    let before = say(gateway.pinned_identity.as_ref(), "nothing");
    let after = say(shown.as_ref(), "whatever its next healthy answer shows");
    output.note(&format!("{}\n  pinned now   {before}\n  pinned then  {after}", gateway.name));
    if shown.is_some() && shown == gateway.pinned_identity {
        output.message(&gateway, render::gateway::one)?;
        return Ok(Exit::Done);
    }
    if !yes {
        confirm(&gateway.name, output)?;
    }
    gateway.pinned_identity = shown;
    update(clients, gateway, &["pinned_identity"], output).await
}

fn confirm(name: &str, output: &Output) -> Result<(), Failure> {
    let refused = |message: String| Failure::new(Exit::Refused, "NOT_CONFIRMED", message);
    if !io::stdin().is_terminal() {
        return Err(refused(format!("{name} keeps its pin: nobody can be asked here"))
            .next(NextStep::Repin.of(name)));
    }
    if typed(name, "believe it from now on", &mut io::stdin().lock(), output)? {
        Ok(())
    } else {
        Err(refused(format!("{name} keeps its pin")))
    }
}

async fn probe(clients: &Clients, name: &str, output: &Output) -> Result<Exit, Failure> {
    let request = ProbeGatewayRequest { gateway: resolve::gateway(name)?.to_string() };
    let view = clients.adapter()?.probe_gateway(request).await?.into_inner().view;
    let view = view.unwrap_or_default();
    output.message(&view, render::gateway::probe)?;
    Ok(match view.state {
        Some(gateway_view::State::Healthy(_)) => Exit::Done,
        Some(gateway_view::State::Unknown(_)) | None => Exit::Undetermined,
    })
}

fn credentials(given: Credentials) -> Result<Option<GatewayCredentials>, Failure> {
    let method = match given {
        Credentials { gateway_cert: Some(cert), gateway_key: Some(key), gateway_ca, .. } => {
            Method::MutualTls(MutualTls {
                ca_file: absolute(gateway_ca.as_deref())?,
                certificate_file: absolute(Some(&cert))?,
                key_file: absolute(Some(&key))?,
            })
        }
        Credentials { token_file: Some(token), gateway_ca, .. } => {
            Method::BearerToken(BearerToken {
                token_file: absolute(Some(&token))?,
                ca_file: absolute(gateway_ca.as_deref())?,
            })
        }
        Credentials { gateway_ca: Some(_), .. } => {
            let message = "--gateway-ca alone does not say how to authenticate";
            return Err(Failure::usage("INCOMPLETE_CREDENTIALS", message)
                .next(NextStep::AddCredentials.of("")));
        }
        Credentials { .. } => return Ok(None),
    };
    Ok(Some(GatewayCredentials { method: Some(method) }))
}

/// The adapter has another working directory.
fn absolute(path: Option<&Path>) -> Result<String, Failure> {
    let Some(path) = path else { return Ok(String::new()) };
    let path: PathBuf = std::path::absolute(path)
        .map_err(|error| Failure::usage("BAD_PATH", format!("{}: {error}", path.display())))?;
    path.into_os_string()
        .into_string()
        .map_err(|path| Failure::usage("BAD_PATH", format!("{} is not UTF-8", path.display())))
}
