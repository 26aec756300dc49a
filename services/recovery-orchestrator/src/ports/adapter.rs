//! The gateway-adapters, one connection per address.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use salvor_core::{
    Fact, Permit, Timestamp, Why,
    evidence::{Gateway, Live, Provider},
    id::{LiveId, PolicyHash, SandboxPath},
    name::{GatewayName, RecordName},
    saga::{Cause, Effect},
};
use salvor_proto::{
    convert,
    error::received,
    gateway::v1::{self as pb, gateway_adapter_service_client::GatewayAdapterServiceClient},
    registry::v1 as registry,
};
use salvor_runtime::{
    Clock, TracedChannel,
    channel::{Endpoint, Unanswered, connect_lazy, unanswered},
    tls::ClientTls,
};
use tonic::Status;

use super::causes;
use crate::config::Config;

/// All adapters that have been called so far, by address.
#[derive(Debug, Clone)]
pub struct Adapters {
    tls: Option<ClientTls>,
    network: salvor_net::Shared,
    clock: Arc<dyn Clock>,
    channels: Arc<Mutex<BTreeMap<String, TracedChannel>>>,
}

/// One adapter.
#[derive(Debug, Clone)]
pub struct Adapter {
    client: GatewayAdapterServiceClient<TracedChannel>,
    clock: Arc<dyn Clock>,
}

/// What one look at a sandbox found.
#[derive(Debug, Clone)]
pub struct Observation {
    /// Its gateway.
    pub gateway: Fact<Gateway>,
    /// The sandbox.
    pub live: Fact<Live>,
    /// Both as they were sent, for showing.
    pub raw: pb::ObserveSandboxResponse,
}

/// Sealed paths as found, or why nothing is known of them.
pub type SealedView = Result<Vec<(SandboxPath, pb::sealed_path_view::State)>, Why>;

// === impl Adapters ===

impl Adapters {
    /// No adapter called yet. They are called over the network on which the registry is.
    pub fn new(config: &Config, clock: Arc<dyn Clock>) -> Self {
        let (tls, network) = (config.adapter_tls.clone(), config.registry.network.clone());
        Self { tls, network, clock, channels: Arc::default() }
    }

    /// The adapter that listens at `address`; `None` when that is no address.
    pub fn at(&self, address: &str) -> Option<Adapter> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if !channels.contains_key(address) {
            let tls = self.tls.clone().filter(|_| address.starts_with("https://"));
            let endpoint = Endpoint::new(address).with_tls(tls).over(self.network.clone());
            let channel = connect_lazy(&endpoint).ok()?;
            channels.insert(address.to_owned(), channel);
        }
        let channel = channels.get(address)?.clone();
        let client = GatewayAdapterServiceClient::new(channel).max_decoding_message_size(64 << 20);
        Some(Adapter { client, clock: Arc::clone(&self.clock) })
    }
}

// === impl Adapter ===

impl Adapter {
    pub(super) fn client(&self) -> GatewayAdapterServiceClient<TracedChannel> {
        self.client.clone()
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(self.clock.now_ms())
    }

    /// Looks at a sandbox. `with_material` also brings the vendor's bytes.
    pub async fn observe(&self, name: &RecordName, with_material: bool) -> Observation {
        let request = pb::ObserveSandboxRequest { sandbox: Some(reference(name)), with_material };
        match self.client.clone().observe_sandbox(request).await {
            Ok(answer) => {
                let (raw, now) = (answer.into_inner(), self.now());
                Observation {
                    gateway: convert::gateway_fact(raw.gateway.as_ref(), now),
                    live: convert::live_fact(raw.live.as_ref(), now),
                    raw,
                }
            }
            Err(status) => Observation::none(why(&status), status.message()),
        }
    }

    /// Lists a page of what is live on a gateway.
    pub async fn list_live(
        &self,
        request: pb::ListLiveSandboxesRequest,
    ) -> Result<pb::ListLiveSandboxesResponse, Status> {
        self.client.clone().list_live_sandboxes(request).await.map(tonic::Response::into_inner)
    }

    /// Looks at providers.
    pub async fn providers(&self, name: &RecordName, wanted: &[String]) -> Fact<Vec<Provider>> {
        let request = pb::CheckProvidersRequest {
            gateway: name.owner().to_string(),
            workspace: name.workspace.to_string(),
            providers: wanted.to_vec(),
        };
        match self.client.clone().check_providers(request).await {
            Ok(answer) => convert::providers_fact(&answer.into_inner().providers, self.now()),
            Err(status) => Fact::unknown(why(&status), status.message()),
        }
    }

    /// Creates a sandbox from recorded bytes.
    pub async fn create(
        &self,
        permit: Permit,
        material: registry::OpenSandboxMaterialResponse,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        request_id: String,
    ) -> Effect<LiveId> {
        let request = pb::CreateSandboxRequest {
            sandbox: Some(reference(permit.target())),
            permit: Some(self::permit(&permit)),
            spec: material.spec,
            policy: material.policy,
            labels,
            annotations,
            request_id,
        };
        match self.client.clone().create_sandbox(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                convert::effect(answer.effect.as_ref(), LiveId(answer.live_id))
            }
            Err(status) => causes::of_status(&status),
        }
    }

    /// Deletes one incarnation, and waits until it is gone.
    pub async fn delete(&self, permit: Permit, live: &LiveId, request_id: String) -> Effect<()> {
        let request = pb::DeleteSandboxRequest {
            sandbox: Some(reference(permit.target())),
            permit: Some(self::permit(&permit)),
            live_id: live.to_string(),
            request_id,
            unchanged_since: String::new(),
        };
        match self.client.clone().delete_sandbox(request).await {
            Ok(answer) => convert::effect(answer.into_inner().effect.as_ref(), ()),
            Err(status) => causes::of_status(&status),
        }
    }

    /// Starts one incarnation.
    pub async fn start(&self, permit: Permit, live: &LiveId, request_id: String) -> Effect<()> {
        let request = pb::StartSandboxRequest {
            sandbox: Some(reference(permit.target())),
            permit: Some(self::permit(&permit)),
            live_id: live.to_string(),
            request_id,
        };
        match self.client.clone().start_sandbox(request).await {
            Ok(answer) => convert::effect(answer.into_inner().effect.as_ref(), ()),
            Err(status) => causes::of_status(&status),
        }
    }

    /// The hash of the policy in force, and whether the supervisor has loaded it.
    pub async fn policy(
        &self,
        name: &RecordName,
        live: &LiveId,
    ) -> Result<(PolicyHash, bool), Why> {
        use pb::get_effective_policy_response::Result as Found;
        let request = pb::GetEffectivePolicyRequest {
            sandbox: Some(reference(name)),
            live_id: live.to_string(),
            with_content: false,
        };
        let answer = self.client.clone().get_effective_policy(request).await;
        let answer = answer.map_err(|status| why(&status))?.into_inner();
        match answer.result {
            Some(Found::Policy(policy)) => Ok((PolicyHash(policy.policy_hash), answer.loaded)),
            Some(Found::Unknown(unknown)) => Err(convert::why(unknown.reason())),
            None => Err(Why::Unreadable),
        }
    }

    /// Sets the policy of a live sandbox.
    pub async fn apply_policy(
        &self,
        permit: Permit,
        live: &LiveId,
        policy: registry::Policy,
    ) -> Effect<()> {
        let request = pb::ApplyPolicyRequest {
            sandbox: Some(reference(permit.target())),
            permit: Some(self::permit(&permit)),
            live_id: live.to_string(),
            policy: Some(policy),
        };
        match self.client.clone().apply_policy(request).await {
            Ok(answer) => convert::effect(answer.into_inner().effect.as_ref(), ()),
            Err(status) => causes::of_status(&status),
        }
    }

    /// Makes sealed paths read-only.
    pub async fn apply_posture(
        &self,
        permit: Permit,
        live: &LiveId,
        posture: registry::Posture,
    ) -> Effect<()> {
        let request = pb::ApplyPostureRequest {
            sandbox: Some(reference(permit.target())),
            permit: Some(self::permit(&permit)),
            live_id: live.to_string(),
            posture: Some(posture),
        };
        match self.client.clone().apply_posture(request).await {
            Ok(answer) => convert::effect(answer.into_inner().effect.as_ref(), ()),
            Err(status) => causes::of_status(&status),
        }
    }

    /// Reads back what a posture promises; digests too.
    pub async fn verify_posture(
        &self,
        name: &RecordName,
        live: &LiveId,
        posture: registry::Posture,
    ) -> Result<Vec<pb::SealedPathView>, Why> {
        let request = pb::VerifyPostureRequest {
            sandbox: Some(reference(name)),
            live_id: live.to_string(),
            posture: Some(posture),
        };
        let answer = self.client.clone().verify_posture(request).await;
        let answer = answer.map_err(|status| why(&status))?.into_inner();
        match answer.unknown {
            Some(unknown) => Err(convert::why(unknown.reason())),
            None => Ok(answer.paths),
        }
    }

    /// Runs a readiness probe and answers its exit code.
    pub async fn readiness(
        &self,
        name: &RecordName,
        live: &LiveId,
        probe: registry::ReadinessProbe,
    ) -> Result<i32, Why> {
        use pb::probe_readiness_response::Result as Found;
        let request = pb::ProbeReadinessRequest {
            sandbox: Some(reference(name)),
            live_id: live.to_string(),
            probe: Some(probe),
        };
        let answer = self.client.clone().probe_readiness(request).await;
        match answer.map_err(|status| why(&status))?.into_inner().result {
            Some(Found::ExitCode(code)) => Ok(code),
            Some(Found::Unknown(unknown)) => Err(convert::why(unknown.reason())),
            None => Err(Why::Unreadable),
        }
    }
}

// === impl Observation ===

impl Observation {
    /// Nothing could be seen.
    pub fn none(why: Why, detail: &str) -> Self {
        Self {
            gateway: Fact::unknown(why, detail),
            live: Fact::unknown(why, detail),
            raw: unseen(why, detail),
        }
    }
}

fn unseen(why: Why, detail: &str) -> pb::ObserveSandboxResponse {
    let unknown =
        pb::Unknown { reason: convert::unknown_reason(why).into(), detail: detail.into() };
    pb::ObserveSandboxResponse {
        gateway: Some(pb::GatewayView {
            state: Some(pb::gateway_view::State::Unknown(unknown.clone())),
            ..pb::GatewayView::default()
        }),
        live: Some(pb::LiveView {
            view: Some(pb::live_view::View::Unknown(unknown)),
            observe_time: None,
        }),
        material: None,
    }
}

/// Which sandbox, on the wire.
pub(super) fn reference(name: &RecordName) -> pb::SandboxRef {
    let owner: GatewayName = name.owner();
    pb::SandboxRef {
        gateway: owner.to_string(),
        workspace: name.workspace.to_string(),
        sandbox: name.sandbox.to_string(),
    }
}

/// A permit on the wire.
pub(super) fn permit(permit: &Permit) -> pb::Permit {
    pb::Permit {
        recovery: permit.recovery().to_string(),
        plan_digest: permit.plan().to_string(),
        decision_id: format!("{}/decisions/plan", permit.recovery()),
        fence_token: permit.fence().0,
        effect: permit.effect().as_str().to_owned(),
        sandbox: Some(reference(permit.target())),
    }
}

/// Why a read has no answer. The adapter answers what it found as a value; a status is its own refusal, or its absence.
pub(super) fn why(status: &Status) -> Why {
    match (unanswered(status), status.code()) {
        (Some(Unanswered::Overdue), _) => Why::DeadlineExceeded,
        (None, tonic::Code::ResourceExhausted) => Why::RateLimited,
        (None, tonic::Code::InvalidArgument | tonic::Code::Internal) => Why::Unexpected,
        (Some(Unanswered::NotSent | Unanswered::Lost) | None, _) => Why::AdapterUnreachable,
    }
}

/// Whether the adapter may change nothing at present, whoever asks: it sent nothing, and another time it may.
fn is_not_allowed_now(status: &Status) -> bool {
    let reason = received(status).reason.unwrap_or_default();
    matches!(
        reason.as_str(),
        "SERVING_NOT_SURE" | "GATEWAY_SERVED_ELSEWHERE" | "FENCES_UNUSABLE" | "DATA_IN_USE"
    )
}

/// What became of an effect whose call failed. Refused by the adapter itself, or never sent: not applied. Else: perhaps.
pub(super) fn failed<T>(status: &Status) -> Effect<T> {
    let refused = received(status).reason.is_some() && unanswered(status).is_none();
    if unanswered(status) == Some(Unanswered::NotSent) || (refused && is_not_allowed_now(status)) {
        return Effect::NotApplied(Cause::AdapterFailed);
    }
    match status.code() {
        tonic::Code::InvalidArgument if refused => Effect::NotApplied(Cause::Invalid),
        tonic::Code::Aborted | tonic::Code::FailedPrecondition | tonic::Code::NotFound
            if refused =>
        {
            Effect::NotApplied(Cause::Denied)
        }
        tonic::Code::ResourceExhausted if refused => Effect::NotApplied(Cause::AdapterFailed),
        _ => Effect::MaybeApplied(Cause::AdapterFailed),
    }
}
