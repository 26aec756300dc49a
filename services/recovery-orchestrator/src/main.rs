//! The recovery-orchestrator as a process of its own.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use salvor_recovery_orchestrator::{Config, DEFAULT_PORT, Orchestrator, journal::CrashAfter};
use salvor_runtime::{
    Shutdown,
    channel::Endpoint,
    config::{ClientArgs, DataArgs, DatabaseArgs, ServerArgs, TelemetryArgs},
    telemetry,
};
use tokio::net::TcpListener;

/// Brings back sandboxes that are provably gone
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    client: ClientArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
    /// Address of the registry, or those of its replicas, separated by commas
    #[arg(long, env = "SALVOR_REGISTRY", default_value = "http://127.0.0.1:7301")]
    registry: String,
    /// Milliseconds for which an absence must have been seen
    #[arg(long, env = "SALVOR_ABSENCE_SETTLE_MS", default_value_t = 5_000)]
    absence_settle_ms: u64,
    /// Milliseconds for which a gateway must have been healthy before an absence is believed
    #[arg(long, env = "SALVOR_GATEWAY_SETTLE_MS", default_value_t = 5_000)]
    gateway_settle_ms: u64,
    /// Seconds that a sandbox may take to become ready before its recovery parks
    #[arg(long, env = "SALVOR_READY_TIMEOUT_SECONDS", default_value_t = 180)]
    ready_timeout_seconds: u64,
    /// Milliseconds for which a sandbox must have been ready before anything is restored into it
    #[arg(long, env = "SALVOR_READY_SETTLE_MS", default_value_t = 2_000)]
    ready_settle_ms: u64,
    /// Seconds that a lease runs
    #[arg(long, env = "SALVOR_LEASE_SECONDS", default_value_t = 30)]
    lease_seconds: u64,
    /// Seconds between two looks at which snapshots are due; 0 takes none but on request
    #[arg(long, env = "SALVOR_SCHEDULE_SECONDS", default_value_t = 30)]
    schedule_seconds: u64,
    /// Scheduled snapshots at work at once on one gateway
    #[arg(long, env = "SALVOR_SNAPSHOTS_PER_GATEWAY", default_value_t = 2)]
    snapshots_per_gateway: usize,
    /// Scheduled snapshots at work at once
    #[arg(long, env = "SALVOR_SNAPSHOTS_AT_ONCE", default_value_t = 8)]
    snapshots_at_once: usize,
    /// Recoveries that the journal goes back; those that ended before are forgotten, with their decisions and request ids
    #[arg(long, env = "SALVOR_KEEP_RECOVERIES", value_name = "COUNT", default_value_t = 100_000)]
    keep_recoveries: u32,
    /// Crash tests only: kill this process right after the n-th write to the journal
    #[arg(long, hide = true)]
    crash_after_append: Option<u64>,
}

impl Args {
    fn config(&self) -> anyhow::Result<Config> {
        let tls = self.client.tls()?;
        let journal = self.database.location(&self.data, "journal")?;
        let mut config = Config::new(journal, &self.registry);
        let secure = self.registry.starts_with("https://");
        config.registry =
            Endpoint::new(self.registry.clone()).with_tls(tls.clone().filter(|_| secure));
        config.adapter_tls = tls;
        config.limits.absence_settle = Duration::from_millis(self.absence_settle_ms);
        config.limits.gateway_settle = Duration::from_millis(self.gateway_settle_ms);
        config.ready_timeout = Duration::from_secs(self.ready_timeout_seconds);
        config.ready_settle = Duration::from_millis(self.ready_settle_ms);
        config.lease_ttl = Duration::from_secs(self.lease_seconds);
        config.schedule.poll = Duration::from_secs(self.schedule_seconds);
        config.schedule.per_gateway = self.snapshots_per_gateway;
        config.schedule.in_all = self.snapshots_at_once;
        config.keep_recoveries = self.keep_recoveries;
        config.crash_after_append = self.crash_after_append.map(CrashAfter::killed);
        Ok(config)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let telemetry =
        telemetry::init(&args.telemetry.config("salvor-orchestrator", env!("CARGO_PKG_VERSION")));
    let outcome = match &telemetry {
        Ok(_) => run(&args).await,
        Err(error) => Err(anyhow::anyhow!("{error}")),
    };
    if let Err(error) = &outcome {
        tracing::error!("{error:#}");
    }
    if let Ok(guard) = telemetry {
        guard.shutdown();
    }
    ExitCode::from(u8::from(outcome.is_err()))
}

async fn run(args: &Args) -> anyhow::Result<()> {
    let shutdown = Shutdown::new();
    shutdown.on_signals().context("cannot listen for signals")?;
    let address = args.server.listen_or(SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)));
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} (choose another with --listen)"))?;
    let tasks = shutdown.tasks();
    let orchestrator = Orchestrator::open(args.config()?, tasks.clone()).await?;
    tracing::info!(address = %listener.local_addr()?, "recovery-orchestrator listens");
    let server = orchestrator.add_to(args.server.server()?);
    server.run(listener, shutdown.triggered()).await?;
    shutdown.trigger();
    let joined = tasks.join(Duration::from_secs(args.server.drain_seconds)).await;
    orchestrator.close().await;
    Ok(joined?)
}
