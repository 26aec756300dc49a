//! `salvor-gateway-adapter`: the gateway-adapter as a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use salvor_gateway_adapter::{
    Config, DEFAULT_ID, DEFAULT_PORT, DEFAULT_REGISTRY, ReclaimArgs, RepositoryArgs,
    RuntimeSettings,
};
use salvor_runtime::channel::Endpoint;
use salvor_runtime::config::{ClientArgs, DataArgs, ServerArgs, TelemetryArgs};
use salvor_runtime::{Shutdown, telemetry};
use tokio::net::TcpListener;

/// Speaks to the OpenShell gateways of one host or site
#[derive(Debug, Parser)]
#[command(name = "salvor-gateway-adapter", version)]
struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
    /// Which gateways to serve: those assigned to this id, and those assigned to nobody
    #[arg(long, env = "SALVOR_ADAPTER_ID", value_name = "ID", default_value = DEFAULT_ID)]
    adapter_id: String,
    /// Address of the registry, or those of its replicas, separated by commas
    #[arg(long, env = "SALVOR_REGISTRY", value_name = "URL", default_value = DEFAULT_REGISTRY)]
    registry: String,
    /// Address under which others call this adapter [default: the address it listens on]
    #[arg(long, env = "SALVOR_ADAPTER_ADVERTISE", value_name = "URL")]
    advertise: Option<String>,
    /// Milliseconds between two probes of a gateway
    #[arg(long, env = "SALVOR_ADAPTER_HEARTBEAT_MS", value_name = "MS", default_value_t = 2_000)]
    heartbeat_ms: u64,
    /// Milliseconds between two looks at which gateways there are
    #[arg(long, env = "SALVOR_ADAPTER_REFRESH_MS", value_name = "MS", default_value_t = 3_000)]
    refresh_ms: u64,
    /// Milliseconds between two rounds of the observer; 0 turns it off
    #[arg(long, env = "SALVOR_ADAPTER_OBSERVE_MS", value_name = "MS", default_value_t = 30_000)]
    observe_ms: u64,
    /// Milliseconds for which it is granted to be the only adapter that changes what is on a gateway: so long after it has
    /// vanished another one can take over
    #[arg(
        long,
        env = "SALVOR_ADAPTER_SERVING_MS",
        value_name = "MS",
        default_value_t = 15_000,
        value_parser = clap::value_parser!(u64).range(1_000..=600_000)
    )]
    serving_ms: u64,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    repository: RepositoryArgs,
    #[command(flatten)]
    reclaim: ReclaimArgs,
    /// Socket of this host's container runtime (Docker's API): captures sandboxes that exec cannot reach, and stops
    /// leftover containers
    #[arg(long, env = "SALVOR_RUNTIME_SOCKET", value_name = "SOCKET")]
    runtime_socket: Option<PathBuf>,
    /// Gateway whose containers that runtime runs; may be repeated [default: all that are served here]
    #[arg(long, value_name = "GATEWAY", requires = "runtime_socket")]
    runtime_gateway: Vec<String>,
    /// Capture live sandboxes through the container runtime as well
    #[arg(long, env = "SALVOR_RUNTIME_LIVE", requires = "runtime_socket")]
    runtime_live: bool,
}

impl Args {
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::new(&self.registry);
        config.registry = Endpoint::new(&self.registry)
            .with_tls(self.client.tls()?)
            .with_timeout(config.registry.timeout);
        config.adapter_id.clone_from(&self.adapter_id);
        config.advertise.clone_from(&self.advertise);
        config.heartbeat_interval = Duration::from_millis(self.heartbeat_ms.max(100));
        config.refresh_interval = Duration::from_millis(self.refresh_ms.max(100));
        config.observe_interval = Duration::from_millis(self.observe_ms);
        config.serving_ttl = Duration::from_millis(self.serving_ms);
        config.data = Some(self.data.directory());
        config.runtime = self.runtime_socket.clone().map(|socket| RuntimeSettings {
            socket,
            gateways: self.runtime_gateway.iter().map(|name| gateway_name(name)).collect(),
            live: self.runtime_live,
        });
        config.repository = Some(self.repository.config(&self.data.directory())?);
        config.reclaim = self.reclaim.rules();
        // Probes come at the heartbeat's pace; three missed ones are a gap.
        config.limits.gap = config.limits.gap.max(3 * config.heartbeat_interval);
        Ok(config)
    }
}

/// `NAME` and `gateways/NAME` are the same gateway.
fn gateway_name(text: &str) -> String {
    format!("gateways/{}", text.strip_prefix("gateways/").unwrap_or(text))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let telemetry = telemetry::init(
        &args.telemetry.config("salvor-gateway-adapter", env!("CARGO_PKG_VERSION")),
    )?;
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let address = args.server.listen_or(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)));
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let mut config = args.config()?;
    if args.server.tls_cert.is_some() && config.advertise.is_none() {
        config.advertise = Some(format!("https://{}", listener.local_addr()?));
    }
    let served = salvor_gateway_adapter::serve(
        config,
        args.server.server()?,
        listener,
        shutdown.triggered(),
    )
    .await;
    telemetry.shutdown();
    Ok(served?)
}
