//! The reads that answer whole views: one sandbox, a list, providers.
//!
//! Invariant: what could not be determined is a value with its reason, and a view without it was
//! said by the pinned gateway after a probe.

use futures::future::join_all;
use salvor_proto::Error;
use salvor_proto::gateway::v1::check_providers_response::{
    Existing, Missing, ProviderView, provider_view::State,
};
use salvor_proto::gateway::v1::list_live_sandboxes_response::LiveSandbox;
use salvor_proto::gateway::v1::{
    Absent, GatewayView, ListLiveSandboxesResponse, LiveView, Material, ObserveSandboxResponse,
    SandboxRef, Unknown, live_view::View,
};
use salvor_proto::time;

use crate::classify::{Class, Method};
use crate::dialect::Dialect;
use crate::gateway::{Gateway, Healthy, Observation, Sighting};
use crate::grpc::Asked;
use crate::policy;
use crate::vendor::{Listing, Place, Row};
use crate::view;

/// Looks at one sandbox.
pub(crate) async fn at(
    gateway: &Gateway,
    place: &Place,
    with_material: bool,
) -> ObserveSandboxResponse {
    let Observation { probe, live, at_ms } = gateway.observe(place).await;
    let mut material = None;
    let view = match (live, &probe.found) {
        (Ok(Sighting::Present(row)), Ok(healthy)) => {
            if with_material {
                material = Some(capture(gateway, healthy, &row, place, at_ms).await);
            }
            View::Present(view::present(&row, healthy.version))
        }
        (Ok(Sighting::Absent(since)), Ok(_)) => {
            View::Absent(Absent { since: Some(time::timestamp(since.ms(at_ms))) })
        }
        (Err(unknown), _) => View::Unknown(unknown),
        (Ok(_), Err(unknown)) => View::Unknown(unknown.clone()),
    };
    let observe_time = Some(time::timestamp(at_ms));
    ObserveSandboxResponse {
        gateway: Some(probe.view(gateway.name())),
        live: Some(LiveView { view: Some(view), observe_time }),
        material,
    }
}

/// A look that could not be made.
pub(crate) fn nothing(gateway: GatewayView, unknown: Unknown) -> ObserveSandboxResponse {
    let observe_time = gateway.observe_time;
    ObserveSandboxResponse {
        gateway: Some(gateway),
        live: Some(LiveView { view: Some(View::Unknown(unknown)), observe_time }),
        material: None,
    }
}

async fn capture(
    gateway: &Gateway,
    healthy: &Healthy,
    row: &Row,
    place: &Place,
    at_ms: u64,
) -> Material {
    let (policy, policy_unknown) = match policy::of_row(gateway, healthy, row, place).await {
        Ok(policy) => (Some(policy), None),
        Err(unknown) => (None, Some(unknown)),
    };
    Material { spec: view::spec(row, healthy.version.dialect, at_ms), policy, policy_unknown }
}

/// Lists what is live.
///
/// # Errors
/// INVALID for a page token that this gateway's dialect never gave.
pub(crate) async fn list(
    gateway: &Gateway,
    asked: Asked,
) -> Result<ListLiveSandboxesResponse, Error> {
    let healthy = match gateway.probe().await.found {
        Ok(healthy) => healthy,
        Err(unknown) => return Ok(no_list(unknown)),
    };
    let dialect = healthy.version.dialect;
    let from = opened(dialect, &asked.token)?;
    let labels = String::new();
    let listing = Listing { workspace: asked.workspace.clone(), size: asked.size, from, labels };
    let page = match gateway.page(&healthy, &listing).await {
        Ok(page) => page,
        Err(failure) => return Ok(no_list(failure.unknown())),
    };
    let row = |row: Row| LiveSandbox {
        sandbox: Some(SandboxRef {
            gateway: gateway.name().to_owned(),
            workspace: if row.workspace.is_empty() {
                asked.workspace.clone().unwrap_or_default()
            } else {
                row.workspace.clone()
            },
            sandbox: row.name.clone(),
        }),
        present: Some(view::present(&row, healthy.version)),
    };
    Ok(ListLiveSandboxesResponse {
        sandboxes: page.rows.into_iter().map(row).collect(),
        next_page_token: page.next.map(|next| sealed(dialect, &next)).unwrap_or_default(),
        unknown: None,
    })
}

/// A list that could not be made.
pub(crate) fn no_list(unknown: Unknown) -> ListLiveSandboxesResponse {
    ListLiveSandboxesResponse { unknown: Some(unknown), ..ListLiveSandboxesResponse::default() }
}

fn prefix(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::V0_0 => "a.",
        Dialect::V0_1 => "b.",
    }
}

fn sealed(dialect: Dialect, vendor: &str) -> String {
    format!("{}{}", prefix(dialect), hex::encode(vendor))
}

fn opened(dialect: Dialect, token: &str) -> Result<String, Error> {
    if token.is_empty() {
        return Ok(String::new());
    }
    let vendor = token.strip_prefix(prefix(dialect)).and_then(|text| hex::decode(text).ok());
    let vendor = vendor.and_then(|bytes| String::from_utf8(bytes).ok());
    let fits = |text: &String| dialect == Dialect::V0_1 || text.parse::<u32>().is_ok();
    vendor.filter(fits).ok_or_else(|| {
        let problem = "is not one that this gateway's list gave; list again from the start";
        Error::invalid("page_token", problem)
    })
}

/// Looks at providers, all at once.
pub(crate) async fn providers(
    gateway: &Gateway,
    workspace: &str,
    names: &[String],
) -> Vec<ProviderView> {
    match gateway.probe().await.found {
        Ok(healthy) => {
            let looks = names.iter().map(|name| provider(gateway, &healthy, workspace, name));
            join_all(looks).await
        }
        Err(unknown) => no_providers(names, &unknown),
    }
}

/// Providers that could not be looked at.
pub(crate) fn no_providers(names: &[String], unknown: &Unknown) -> Vec<ProviderView> {
    let view = |name: &String| ProviderView {
        name: name.clone(),
        state: Some(State::Unknown(unknown.clone())),
    };
    names.iter().map(view).collect()
}

async fn provider(
    gateway: &Gateway,
    healthy: &Healthy,
    workspace: &str,
    name: &str,
) -> ProviderView {
    let asking = healthy.client.provider(workspace, name);
    let bound = gateway.limits().read;
    let state = match gateway.exchange(healthy, Method::Provider, bound, asking).await {
        Ok(provider) => {
            State::Existing(Existing { expire_time: provider.expire_ms.map(time::timestamp) })
        }
        Err(failure) if failure.class == Class::ProviderMissing => State::Missing(Missing {}),
        Err(failure) => State::Unknown(failure.unknown()),
    };
    ProviderView { name: name.to_owned(), state: Some(state) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_goes_back_to_its_own_dialect_only() {
        let token = sealed(Dialect::V0_0, "500");
        assert_eq!(opened(Dialect::V0_0, &token).unwrap(), "500");
        assert!(opened(Dialect::V0_1, &token).is_err());
        for token in ["500", "a.", "a.zz", "a.7a7a"] {
            assert!(opened(Dialect::V0_0, token).is_err(), "{token}");
        }
        assert_eq!(opened(Dialect::V0_1, "").unwrap(), "");
    }
}
