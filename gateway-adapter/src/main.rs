//! `salvor-gateway-adapter`: the gateway-adapter as a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use salvor_gateway_adapter::{Config, DEFAULT_ID, DEFAULT_PORT, DEFAULT_REGISTRY};
use salvor_runtime::channel::Endpoint;
use salvor_runtime::config::{ClientArgs, ServerArgs, TelemetryArgs};
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
    /// Address of the registry
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
        // Probes come at the heartbeat's pace; three missed ones are a gap.
        config.limits.gap = config.limits.gap.max(3 * config.heartbeat_interval);
        Ok(config)
    }
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
