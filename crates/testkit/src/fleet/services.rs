//! The fleet's parts, each started by itself.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use salvor_devgateway::{DevGateway, Dialect, Driver, user::User};
use salvor_gateway_adapter::{RuntimeSettings, local_repository};
use salvor_registry::KeySource;
use salvor_runtime::{
    Clock, Server, Shutdown, TracedChannel,
    channel::{Endpoint, connect_lazy},
    database::Location,
    server::Limits,
};
use tokio::{net::TcpListener, process::Command, task::JoinHandle};

use super::{Lab, Options};
use crate::process::{Process, program};

/// A running service.
#[derive(Debug)]
pub struct Service {
    /// Where it listens.
    pub address: SocketAddr,
    pub(super) shutdown: Shutdown,
    pub(super) task: JoinHandle<()>,
}

impl Options {
    fn clock(&self, which: usize) -> Option<Arc<dyn Clock>> {
        self.clocks.as_ref().map(|clocks| Arc::clone(&clocks[which]) as Arc<dyn Clock>)
    }
}

impl Service {
    /// Ends it in an orderly way.
    pub(super) async fn stop(mut self) {
        self.shutdown.trigger();
        // A service that ended badly has said so in the log.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

pub(super) fn channel(address: &str) -> Result<TracedChannel> {
    Ok(connect_lazy(&Endpoint::new(address))?)
}

pub(super) fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

pub(super) async fn free() -> Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", 0)).await.context("no free port")
}

fn server() -> Server {
    Server::new(Limits { drain: Duration::from_secs(2), ..Limits::default() })
}

/// The seal key of all replicas, which none of them makes.
fn key(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("registry/seal.key");
    if !path.exists() {
        std::fs::create_dir_all(dir.join("registry"))?;
        std::fs::write(&path, "ab".repeat(32))?;
    }
    Ok(path)
}

/// One of several, as a process.
pub(super) async fn registry_process(store: &Location, dir: &Path) -> Result<Process> {
    let mut command = Command::new(program("salvor-registry"));
    command.env_clear().arg("--data-dir").arg(dir.join("registry"));
    command.arg("--seal-key-file").arg(key(dir)?);
    if let Location::Server { schema, .. } = store {
        let url = crate::store::postgres().context("no server")?;
        command.env("SALVOR_DATABASE_URL", url).args(["--database-schema", schema.as_str()]);
    }
    Ok(Process::start(command, "info").await)
}

pub(super) async fn start_registry(
    options: &Options,
    store: &Location,
    dir: &Path,
    listener: TcpListener,
) -> Result<Service> {
    let address = listener.local_addr()?;
    let mut config = salvor_registry::Config::new(dir.join("registry"));
    config.database = store.clone();
    config.clock = options.clock(0);
    if store.is_shared() {
        config.keys = KeySource::File { path: key(dir)?, create: false };
    }
    let registry = salvor_registry::Registry::open(&config).await?;
    let shutdown = Shutdown::new();
    let over = shutdown.triggered();
    let task = tokio::spawn(async move {
        if let Err(error) = registry.add_to(server()).run(listener, over).await {
            tracing::error!(%error, "the registry ended badly");
        }
        registry.close().await;
    });
    Ok(Service { address, shutdown, task })
}

pub(super) fn start_adapter(
    options: &Options,
    dir: &Path,
    registry: &str,
    listener: TcpListener,
) -> Result<Service> {
    let address = listener.local_addr()?;
    let mut config = salvor_gateway_adapter::Config::new(registry);
    config.data = Some(dir.join("adapter"));
    config.heartbeat_interval = Duration::from_millis(50);
    config.refresh_interval = Duration::from_millis(100);
    config.observe_interval = options.observe_interval;
    config.limits.read = options.read_timeout;
    config.limits.settle = Duration::from_secs(5);
    config.limits.mutation = options.mutation_timeout;
    if options.snapshots {
        config.repository = Some(local_repository(&dir.join("adapter"))?);
    }
    config.reclaim = options.reclaim;
    if let Driver::Docker(driver) = &options.driver {
        let socket = driver.socket.clone();
        config.runtime = Some(RuntimeSettings { socket, gateways: Vec::new(), live: false });
    }
    if let Some(clock) = options.clock(1) {
        config.clock = clock;
    }
    let shutdown = Shutdown::new();
    let over = shutdown.triggered();
    let served = salvor_gateway_adapter::serve(config, server(), listener, over);
    let task = tokio::spawn(async move {
        if let Err(error) = served.await {
            tracing::error!(%error, "the adapter ended badly");
        }
    });
    Ok(Service { address, shutdown, task })
}

pub(super) async fn start_orchestrator(
    options: &Options,
    journal: &Location,
    registry: &str,
    listener: TcpListener,
) -> Result<Service> {
    let address = listener.local_addr()?;
    let mut config = salvor_recovery_orchestrator::Config::new(journal.clone(), registry);
    config.limits.absence_settle = options.settle;
    config.limits.gateway_settle = options.settle;
    config.ready_timeout = options.ready_timeout;
    config.ready_settle = options.settle;
    config.lease_ttl = options.lease_ttl;
    config.park_retry = options.park_retry;
    config.undetermined_timeout = options.undetermined_timeout;
    config.max_running = options.max_running;
    config.keep_recoveries = options.keep_recoveries;
    config.schedule.poll = options.schedule;
    config.readiness_timeout = Duration::from_secs(2);
    if let Some(clock) = options.clock(2) {
        config.clock = clock;
    }
    let shutdown = Shutdown::new();
    let tasks = shutdown.tasks();
    let orchestrator =
        salvor_recovery_orchestrator::Orchestrator::open(config, tasks.clone()).await?;
    let over = shutdown.triggered();
    let task = tokio::spawn(async move {
        if let Err(error) = orchestrator.add_to(server()).run(listener, over).await {
            tracing::error!(%error, "the orchestrator ended badly");
        }
        if let Err(error) = tasks.join(Duration::from_secs(5)).await {
            tracing::error!(%error, "recoveries were still at work");
        }
        orchestrator.close().await;
    });
    Ok(Service { address, shutdown, task })
}

pub(super) async fn start_lab(
    dir: &Path,
    name: &str,
    dialect: Dialect,
    options: &Options,
) -> Result<Lab> {
    let config = salvor_devgateway::Config {
        data_dir: dir.join("gateways").join(name),
        dialect,
        time_scale: options.time_scale,
        driver: options.driver.clone(),
        ..salvor_devgateway::Config::default()
    };
    let running = DevGateway::start(config).await?;
    let control = running.control();
    let user = User::new(&control.uri(), dialect)?;
    Ok(Lab { control, user, dialect, running: Some(running) })
}
