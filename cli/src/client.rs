//! Clients of the three services, made when they are needed.
//!
//! Deliberately absent: retries. What a failed call may have done, only the person can tell.

use std::time::Duration;

use salvor_core::name::GatewayName;
use salvor_proto::gateway::v1::gateway_adapter_service_client::GatewayAdapterServiceClient;
use salvor_proto::recovery::v1::recovery_service_client::RecoveryServiceClient;
use salvor_proto::registry::v1::GetGatewayRequest;
use salvor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use salvor_runtime::TracedChannel;
use salvor_runtime::channel::{Endpoint, Error, connect_lazy};
use salvor_runtime::config::ClientArgs;
use tonic::Request;

use crate::args::GlobalArgs;
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;

/// Of the registry.
pub(crate) type Registry = RegistryServiceClient<TracedChannel>;
/// Of the recovery-orchestrator.
pub(crate) type Recovery = RecoveryServiceClient<TracedChannel>;
/// Of the gateway-adapter.
pub(crate) type Adapter = GatewayAdapterServiceClient<TracedChannel>;

/// The largest answer: what the services themselves may send.
const MAX_ANSWER: usize = 16 << 20;
/// Where `salvor up` puts its gateway-adapter.
const LOCAL_ADAPTER: &str = "http://127.0.0.1:7303";
/// Bound on a call that asks for no longer one.
const TIMEOUT: Duration = Duration::from_secs(45);

/// Where the three services are.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    registry: String,
    orchestrator: String,
    adapter: Option<String>,
    tls: ClientArgs,
}

// === impl Clients ===

impl Clients {
    /// As the global options say.
    pub(crate) fn new(global: &GlobalArgs) -> Self {
        Self {
            registry: global.registry.clone(),
            orchestrator: global.orchestrator.clone(),
            adapter: global.adapter.clone(),
            tls: global.client(),
        }
    }

    /// At plaintext loopback addresses of this process.
    pub(crate) fn local(registry: String, orchestrator: String, adapter: String) -> Self {
        Self { registry, orchestrator, adapter: Some(adapter), tls: ClientArgs::default() }
    }

    /// A client of the registry.
    pub(crate) fn registry(&self) -> Result<Registry, Failure> {
        let channel = self.channel("--registry", &self.registry)?;
        Ok(RegistryServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER))
    }

    /// A client of the recovery-orchestrator.
    pub(crate) fn recovery(&self) -> Result<Recovery, Failure> {
        let channel = self.channel("--orchestrator", &self.orchestrator)?;
        Ok(RecoveryServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER))
    }

    /// A client of the gateway-adapter that was named, or else of the one on this machine.
    pub(crate) fn adapter(&self) -> Result<Adapter, Failure> {
        self.adapter_at("--adapter", self.adapter.as_deref().unwrap_or(LOCAL_ADAPTER))
    }

    /// A client of the gateway-adapter that was named, or else of the one that serves the gateway: it says at each
    /// heartbeat where it listens.
    pub(crate) async fn adapter_of(&self, gateway: &GatewayName) -> Result<Adapter, Failure> {
        if let Some(address) = &self.adapter {
            return self.adapter_at("--adapter", address);
        }
        let request = GetGatewayRequest { name: gateway.to_string() };
        let answer = self.registry()?.get_gateway(request).await?.into_inner();
        let heartbeat = answer.gateway.and_then(|gateway| gateway.heartbeat);
        let address = heartbeat.map(|beat| beat.adapter_endpoint).unwrap_or_default();
        if address.is_empty() {
            let message = format!("no gateway-adapter has said yet that it serves {gateway}");
            return Err(Failure::new(Exit::Undetermined, "ADAPTER_UNAVAILABLE", message)
                .next(NextStep::StartAdapter.of("")));
        }
        self.adapter_at(&format!("the adapter of {gateway}"), &address)
    }

    fn adapter_at(&self, source: &str, address: &str) -> Result<Adapter, Failure> {
        let channel = self.channel(source, address)?;
        Ok(GatewayAdapterServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER))
    }

    /// `source` is what named the address, or the addresses.
    fn channel(&self, source: &str, address: &str) -> Result<TracedChannel, Failure> {
        let tls = self.tls.tls().map_err(|error| Failure::usage("BAD_TLS_FILES", chain(&error)))?;
        let secure = address.starts_with("https://");
        // One set of TLS files may serve a mix of plaintext and TLS addresses.
        let tls = if secure { tls } else { None };
        let endpoint = Endpoint::new(address).with_tls(tls).with_timeout(TIMEOUT);
        connect_lazy(&endpoint).map_err(|error| {
            let failure = Failure::usage("BAD_ADDRESS", format!("{source}: {}", chain(&error)));
            let of_tls = !matches!(error, Error::Address(_) | Error::Replicas { .. });
            if secure && of_tls { failure.next(NextStep::GiveAuthority.of("")) } else { failure }
        })
    }
}

/// A request that may take `time` at the service.
pub(crate) fn within<M>(time: Duration, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(time + Duration::from_secs(15));
    request
}

/// An error and its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
