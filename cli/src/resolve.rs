//! From what a person types to the one full name that is meant.
//!
//! Invariant: a short name stands for a record only if it fits exactly one, compared exactly. Nothing is ever picked
//! among several, and nothing is completed from a prefix.

pub(crate) mod snapshot;

use salvor_core::name::{Gateway, GatewayName, RecordName, Sandbox, Workspace};
use salvor_proto::registry::v1::{
    GetDefaultSandboxRequest, ListGatewaysRequest, ListSandboxesRequest,
};

use crate::client::{Clients, Registry};
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;

/// How many records are looked through for a similar name.
const SIMILAR_AMONG: i32 = 1_000;

/// What was typed, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typed {
    /// The full name, or all three parts of it.
    Full(RecordName),
    /// Less than that.
    Short {
        /// The workspace, if one was given.
        workspace: Option<Workspace>,
        /// The sandbox.
        sandbox: Sandbox,
    },
}

/// Takes apart what was typed.
pub(crate) fn parse(text: &str) -> Result<Typed, Failure> {
    let bad = |error: salvor_core::name::Error| {
        Failure::usage("BAD_NAME", format!("{text:?} is not a sandbox name: it {error}"))
            .next(NextStep::List.of(""))
    };
    if text.starts_with("gateways/") {
        return text.parse().map(Typed::Full).map_err(bad);
    }
    let parts: Vec<&str> = text.split('/').collect();
    match parts[..] {
        [sandbox] => Ok(Typed::Short { workspace: None, sandbox: sandbox.parse().map_err(bad)? }),
        [workspace, sandbox] => Ok(Typed::Short {
            workspace: Some(workspace.parse().map_err(bad)?),
            sandbox: sandbox.parse().map_err(bad)?,
        }),
        [gateway, workspace, sandbox] => Ok(Typed::Full(RecordName {
            gateway: gateway.parse().map_err(bad)?,
            workspace: workspace.parse().map_err(bad)?,
            sandbox: sandbox.parse().map_err(bad)?,
        })),
        _ => Err(bad(salvor_core::name::Error::Form(
            "NAME, WORKSPACE/NAME or GATEWAY/WORKSPACE/NAME",
        ))),
    }
}

/// The record that is meant; without a name the default one.
pub(crate) async fn record_or_default(
    clients: &Clients,
    name: Option<&str>,
) -> Result<String, Failure> {
    if let Some(name) = name {
        return record(clients, name).await;
    }
    let answer = clients.registry()?.get_default_sandbox(GetDefaultSandboxRequest {}).await;
    match answer {
        Ok(answer) => Ok(answer.into_inner().sandbox.unwrap_or_default().name),
        Err(status) => {
            let failure = Failure::from(status);
            Err(if failure.exit == Exit::NotFound {
                Failure {
                    message: "no sandbox was named, and there is no default one".to_owned(),
                    ..failure
                }
                .next(NextStep::NameOne.of(""))
            } else {
                failure
            })
        }
    }
}

/// The record that is meant.
pub(crate) async fn record(clients: &Clients, name: &str) -> Result<String, Failure> {
    let (workspace, sandbox) = match parse(name)? {
        Typed::Full(name) => return Ok(name.to_string()),
        Typed::Short { workspace, sandbox } => (workspace, sandbox),
    };
    let mut registry = clients.registry()?;
    let mut found = fitting(&mut registry, workspace.as_ref(), &sandbox).await?;
    match found.len() {
        1 => Ok(found.swap_remove(0)),
        0 => Err(missing(&mut registry, name, &sandbox).await?),
        several => Err(Failure::usage(
            "AMBIGUOUS_NAME",
            format!("{name:?} fits {several} records: {}", found.join(", ")),
        )
        .next(NextStep::NameInFull.of(""))),
    }
}

/// Every record that a short name fits, the undecodable ones included: they exist too.
async fn fitting(
    registry: &mut Registry,
    workspace: Option<&Workspace>,
    sandbox: &Sandbox,
) -> Result<Vec<String>, Failure> {
    let parent = format!("gateways/-/workspaces/{}", workspace.map_or("-", Workspace::as_str));
    let suffix = format!("/sandboxes/{sandbox}");
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListSandboxesRequest {
            parent: parent.clone(),
            page_size: SIMILAR_AMONG,
            page_token,
            sandbox: sandbox.to_string(),
            show_deleted: false,
        };
        let page = registry.list_sandboxes(request).await?.into_inner();
        found.extend(page.sandboxes.into_iter().map(|sandbox| sandbox.name));
        found.extend(page.unreadable.into_iter().filter(|name| name.ends_with(&suffix)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}

async fn missing(
    registry: &mut Registry,
    typed: &str,
    sandbox: &Sandbox,
) -> Result<Failure, Failure> {
    let request = ListSandboxesRequest { page_size: SIMILAR_AMONG, ..Default::default() };
    let fleet = registry.list_sandboxes(request).await?.into_inner();
    let names = fleet.sandboxes.iter().map(|sandbox| sandbox.name.as_str());
    let failure =
        Failure::new(Exit::NotFound, "SANDBOX_NOT_FOUND", format!("no record is named {typed:?}"));
    Ok(match (fleet.sandboxes.is_empty(), similar(sandbox.as_str(), names)) {
        (true, _) => failure.next(NextStep::AdoptFirst.of("")),
        (false, Some(name)) => failure.next(NextStep::IsItMeant.of(name)),
        (false, None) => failure.next(NextStep::List.of("")),
    })
}

/// The name whose last segment differs least, by at most two edits.
fn similar<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| edits(wanted, name.rsplit('/').next().unwrap_or(name));
    names.map(|name| (distance(name), name)).min().filter(|(edits, _)| *edits <= 2).map(|(_, n)| n)
}

/// Levenshtein's distance.
fn edits(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// `gateways/{gateway}` of what was typed, with or without the prefix.
pub(crate) fn gateway(text: &str) -> Result<GatewayName, Failure> {
    let label = text.strip_prefix("gateways/").unwrap_or(text);
    let gateway: Gateway = label.parse().map_err(|error| {
        Failure::usage("BAD_NAME", format!("{text:?} is not a gateway name: it {error}"))
            .next(NextStep::ListGateways.of(""))
    })?;
    Ok(GatewayName(gateway))
}

/// `recoveries/{id}` of what was typed, with or without the prefix.
pub(crate) fn recovery(text: &str) -> String {
    if text.starts_with("recoveries/") { text.to_owned() } else { format!("recoveries/{text}") }
}

/// The record that an adoption is to make. A short name needs a gateway; with exactly one registered, that is meant.
pub(crate) async fn to_adopt(
    clients: &Clients,
    name: &str,
    given: Option<&str>,
) -> Result<RecordName, Failure> {
    let given = given.map(gateway).transpose()?;
    let (workspace, sandbox) = match parse(name)? {
        Typed::Full(full) if given.as_ref().is_none_or(|gateway| *gateway == full.owner()) => {
            return Ok(full);
        }
        Typed::Full(_) => {
            let message = format!("{name} is not on the gateway that --gateway names");
            return Err(
                Failure::usage("CONTRADICTION", message).next(NextStep::LeaveGatewayOut.of(""))
            );
        }
        Typed::Short { workspace, sandbox } => (workspace, sandbox),
    };
    let gateway = match given {
        Some(gateway) => gateway,
        None => only_gateway(clients).await?,
    };
    let default = || "default".parse().map_err(|_| Failure::internal("bad default workspace"));
    Ok(RecordName { gateway: gateway.0, workspace: workspace.map_or_else(default, Ok)?, sandbox })
}

async fn only_gateway(clients: &Clients) -> Result<GatewayName, Failure> {
    let request = ListGatewaysRequest { page_size: 2, page_token: String::new() };
    let gateways = clients.registry()?.list_gateways(request).await?.into_inner().gateways;
    match &gateways[..] {
        [only] => gateway(&only.name),
        [] => Err(Failure::new(Exit::NotFound, "NO_GATEWAY", "no gateway is registered")
            .next(NextStep::AddGateway.of(""))),
        _ => Err(Failure::usage("AMBIGUOUS_NAME", "several gateways are registered")
            .next(NextStep::NameGateway.of(""))),
    }
}

#[cfg(test)]
mod tests;
