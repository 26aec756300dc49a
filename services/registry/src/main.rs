//! `salvor-registry`: the registry as a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use salvor_registry::{Config, DEFAULT_PORT, KeyRing, KeySource};
use salvor_runtime::config::{DataArgs, DatabaseArgs, ServerArgs, TelemetryArgs};
use salvor_runtime::{Shutdown, telemetry};
use tokio::net::TcpListener;

/// Keeps the durable record of every sandbox
#[derive(Debug, Parser)]
#[command(name = "salvor-registry", version)]
struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
    /// Keys that seal secrets at rest, 64 hex digits a line, the first one seals; or give the
    /// keys themselves in SALVOR_SEAL_KEY [default: seal.key in the data directory, made if absent]
    #[arg(long, env = "SALVOR_SEAL_KEY_FILE", value_name = "FILE")]
    seal_key_file: Option<PathBuf>,
    /// Revisions that watches and lists can go back
    #[arg(
        long,
        env = "SALVOR_REGISTRY_CHANGE_LOG_RETENTION",
        value_name = "COUNT",
        default_value_t = 10_000
    )]
    change_log_retention: u32,
    /// Calls with a request id whose first answer is remembered
    #[arg(
        long,
        env = "SALVOR_REGISTRY_REQUEST_RETENTION",
        value_name = "COUNT",
        default_value_t = 20_000
    )]
    request_retention: u32,
}

impl Args {
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = Config::new(self.data.directory());
        config.database = self.database.location(&self.data, "registry")?;
        config.change_log_retention = self.change_log_retention;
        config.request_retention = self.request_retention;
        if let Some(path) = self.seal_key_file.clone() {
            config.keys = KeySource::File { path, create: false };
        } else if let Ok(keys) = std::env::var("SALVOR_SEAL_KEY") {
            config.keys = KeySource::Ring(KeyRing::parse(&keys).context("SALVOR_SEAL_KEY")?);
        }
        Ok(config)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let telemetry =
        telemetry::init(&args.telemetry.config("salvor-registry", env!("CARGO_PKG_VERSION")))?;
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let address = args.server.listen_or(SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT)));
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let served = salvor_registry::serve(
        args.config()?,
        args.server.server()?,
        listener,
        shutdown.triggered(),
    )
    .await;
    telemetry.shutdown();
    Ok(served?)
}
