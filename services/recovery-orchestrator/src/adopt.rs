//! Capturing live sandboxes into records. Explicit: nothing else makes records.

mod copied;
mod rebind;
mod seal;

use std::time::Duration;

use prost::Message as _;
use salvor_core::{
    Fact,
    evidence::Live,
    id::LiveId,
    name::{GatewayName, RecordName},
};
use salvor_proto::{
    Error, error::Code, gateway::v1 as gateway, recovery::v1 as pb, registry::v1 as registry,
};

use crate::{
    engine::Engine,
    ports::Adapter,
    status::capturable,
    words::{self, NextStep},
};

pub(crate) use copied::{Registered, register};

/// Records of one AdoptGateway call at the most; more are named as left out.
const MAX_ADOPTED: usize = 10_000;
/// Rows of the vendor's list in one look.
const PAGE: i32 = 200;

impl Engine {
    /// Captures one live sandbox.
    ///
    /// # Errors
    /// It cannot be determined, is absent, or is in a phase in which its spec and policy cannot be read; there is a record
    /// already. Nothing was stored then.
    pub async fn adopt(
        &self,
        request: pb::AdoptSandboxRequest,
    ) -> Result<registry::Sandbox, Error> {
        let name: RecordName =
            request.name.parse().map_err(|e| Error::invalid("name", format!("{e}")))?;
        seal::check(&request.seal_paths)?;
        let request_id = repeatable(&request)?;
        // As it is before anything is looked at: what is captured takes the place of this version, and of no later one.
        let before = if request.rebind {
            self.world().registry.sandbox(&name).await?.etag
        } else {
            String::new()
        };
        let (_, adapter) = self.world().adapter(&name).await?;
        let adapter = adapter.map_err(|(why, detail)| undetermined(&name, why, &detail))?;
        let captured = capture(&adapter, &name).await?;
        let mut record = record(&name, captured, &request);
        if !request.seal_paths.is_empty() {
            let live = LiveId(record.live_id.clone());
            record.posture = Some(self.seal(&adapter, &name, &live, &request.seal_paths).await?);
        }
        if request.rebind {
            return Box::pin(self.rebind(&name, record, before, request.validate_only)).await;
        }
        let live_id = record.live_id.clone();
        let create = registry::CreateSandboxRequest {
            sandbox: Some(record),
            request_id,
            validate_only: request.validate_only,
            claim_default: request.claim_default,
        };
        match self.world().registry.create(create).await {
            // This very request made a record, from what was live then.
            Err(error) if error.reason() == "REQUEST_ID_REUSED" => {
                let made = self.world().registry.sandbox(&name).await?;
                let stands = made.state() != registry::sandbox::State::Destroyed;
                if stands && made.live_id == live_id { Ok(made) } else { Err(error) }
            }
            created => created,
        }
    }

    /// Captures every live sandbox of a gateway that has no record yet.
    pub async fn adopt_gateway(
        &self,
        gateway: &GatewayName,
        workspace: &str,
    ) -> Result<pb::AdoptGatewayResponse, Error> {
        let mut answer = pb::AdoptGatewayResponse::default();
        let probe_name = format!("{gateway}/workspaces/default/sandboxes/any");
        let any: RecordName =
            probe_name.parse().map_err(|e| Error::invalid("gateway", format!("{e}")))?;
        let (_, adapter) = self.world().adapter(&any).await?;
        let adapter = adapter.map_err(|(why, detail)| undetermined(&any, why, &detail))?;
        let mut page_token = String::new();
        loop {
            let request = gateway::ListLiveSandboxesRequest {
                gateway: gateway.to_string(),
                workspace: if workspace.is_empty() { "-" } else { workspace }.to_owned(),
                page_size: PAGE,
                page_token,
            };
            let page = adapter.list_live(request).await;
            let page =
                page.map_err(|s| Error::relayed(&s, "gateway-adapter", "ADAPTER_UNAVAILABLE"))?;
            if let Some(unknown) = page.unknown {
                let why = salvor_proto::convert::why(unknown.reason());
                return Err(undetermined(&any, why, &unknown.detail));
            }
            for live in page.sandboxes {
                if answer.adopted.len() >= MAX_ADOPTED {
                    return Ok(answer);
                }
                Box::pin(self.adopt_listed(gateway, live, &mut answer)).await;
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(answer);
            }
        }
    }

    async fn adopt_listed(
        &self,
        gateway: &GatewayName,
        live: gateway::list_live_sandboxes_response::LiveSandbox,
        answer: &mut pb::AdoptGatewayResponse,
    ) {
        let row = live.sandbox.unwrap_or_default();
        let name = format!("{gateway}/workspaces/{}/sandboxes/{}", row.workspace, row.sandbox);
        let request =
            pb::AdoptSandboxRequest { name: name.clone(), ..pb::AdoptSandboxRequest::default() };
        match Box::pin(self.adopt(request)).await {
            Ok(record) => answer.adopted.push(record),
            Err(error) if error.code() == Code::AlreadyExists => answer.already_recorded.push(name),
            Err(error) => answer.not_adopted.push(pb::adopt_gateway_response::NotAdopted {
                name,
                reason: error.reason().to_owned(),
                message: error.message().to_owned(),
            }),
        }
    }
}

/// The id under which the registry knows this adoption: the same for the same request, whatever was captured for it. Empty
/// for a request without one.
fn repeatable(request: &pb::AdoptSandboxRequest) -> Result<String, Error> {
    if request.request_id.is_empty() {
        return Ok(String::new());
    }
    let id = uuid::Uuid::parse_str(&request.request_id);
    let id = id.map_err(|_| Error::invalid("request_id", "must be a UUID"))?;
    let said = pb::AdoptSandboxRequest { request_id: String::new(), ..request.clone() };
    Ok(uuid::Uuid::new_v5(&id, &said.encode_to_vec()).to_string())
}

/// A live sandbox with its bytes.
struct Captured {
    identity: registry::GatewayIdentity,
    present: gateway::Present,
    spec: registry::Spec,
    policy: registry::Policy,
}

async fn capture(adapter: &Adapter, name: &RecordName) -> Result<Captured, Error> {
    let seen = adapter.observe(name, true).await;
    match (&seen.gateway, &seen.live) {
        (Fact::Unknown { why, detail }, _) | (_, Fact::Unknown { why, detail }) => {
            return Err(undetermined(name, *why, detail));
        }
        (_, Fact::Known { value: Live::Absent { .. }, .. }) => {
            let message =
                format!("{} has no sandbox {}; nothing was recorded", name.owner(), name.sandbox);
            return Err(Error::new(Code::Refused, "SANDBOX_ABSENT", message)
                .next_step(NextStep::AdoptOnceCreated.of(&name.to_string())));
        }
        (Fact::Known { .. }, Fact::Known { value: Live::Present(_), .. }) => {}
    }
    let raw = seen.raw;
    let identity = match raw.gateway.and_then(|view| view.state) {
        Some(gateway::gateway_view::State::Healthy(healthy)) => healthy.identity,
        _ => None,
    };
    let Some(gateway::live_view::View::Present(present)) = raw.live.and_then(|view| view.view)
    else {
        return Err(Error::internal("a present sandbox was sent without its view"));
    };
    if !capturable(&present) {
        let message = format!(
            "{name} is in phase {}; only a sandbox that is READY or STOPPED can be captured. Nothing \
             was recorded",
            present.phase().as_str_name().trim_start_matches("PHASE_")
        );
        return Err(Error::new(Code::Refused, "PHASE_NOT_CAPTURABLE", message)
            .next_step(NextStep::AdoptOnceReady.of(&name.to_string()))
            .retry_after(Duration::from_secs(5)));
    }
    let material = raw.material.unwrap_or_default();
    let spec = material.spec.ok_or_else(|| incomplete(name, "its spec"))?;
    let policy = match (material.policy, material.policy_unknown) {
        (Some(policy), _) => policy,
        (None, Some(unknown)) => {
            let why = salvor_proto::convert::why(unknown.reason());
            return Err(undetermined(name, why, &unknown.detail));
        }
        (None, None) => return Err(incomplete(name, "its effective policy")),
    };
    let identity = identity.ok_or_else(|| incomplete(name, "its gateway's identity"))?;
    Ok(Captured { identity, present, spec, policy })
}

fn record(
    name: &RecordName,
    captured: Captured,
    request: &pb::AdoptSandboxRequest,
) -> registry::Sandbox {
    let mut agents = request.agents.clone();
    if agents.is_empty() && !request.rebind {
        agents.push(registry::Agent { kind: "unknown".to_owned(), version: String::new() });
    }
    registry::Sandbox {
        name: name.to_string(),
        live_id: captured.present.live_id,
        gateway_identity: Some(captured.identity),
        agents,
        spec: Some(captured.spec),
        policy: Some(captured.policy),
        posture: None,
        snapshot_rules: request.snapshot_rules.clone(),
        config_files: request.config_files.clone(),
        readiness_probe: request.readiness_probe.clone(),
        automatic_recovery: request.automatic_recovery,
        labels: captured.present.labels,
        annotations: captured.present.annotations,
        ..registry::Sandbox::default()
    }
}

fn incomplete(name: &RecordName, what: &str) -> Error {
    let message = format!(
        "{} answered without {what}; a record without it brings nothing back",
        name.owner()
    );
    Error::new(Code::Undetermined, "GATEWAY_INCONSISTENT", message)
        .next_step(NextStep::Adopt.of(&name.to_string()))
        .retry_after(Duration::from_secs(5))
}

fn undetermined(name: &RecordName, why: salvor_core::Why, detail: &str) -> Error {
    let denial = salvor_core::Denial::Unknown { fact: salvor_core::FactName::OwnerGateway, why };
    let mut message = format!("{}: {}", name.owner(), why.sentence());
    if !detail.is_empty() {
        message = format!("{message} ({detail})");
    }
    Error::new(Code::Undetermined, denial.reason(), format!("{message}. Nothing was recorded"))
        .next_step(words::to_know(why, name))
        .with("gateway", name.owner().to_string())
        .retry_after(Duration::from_secs(5))
}
