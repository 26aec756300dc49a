//! The composition: three services and perhaps a development gateway, on loopback ports of this process.
//!
//! Invariant: they meet over the wire only, as they do in processes of their own; every port is bound before anything is
//! started, and everything started is ended, in the order in which work depends on it. Deliberately absent: any address
//! but loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use salvor_devgateway::{Control, DevGateway, Dialect, Running};
use salvor_gateway_adapter as adapter;
use salvor_recovery_orchestrator as orchestrator;
use salvor_runtime::{Server, Shutdown, database::Location, server::Limits};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::client::{Clients, chain};
use crate::exit::{Exit, Failure};
use crate::next_step::NextStep;

/// How long open calls and recoveries at work get to end.
const DRAIN: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Holds everything; made with mode 0700 if it is not there.
    pub(crate) data_dir: PathBuf,
    /// Where to listen; 0 takes a free port.
    pub(crate) ports: Ports,
    /// A development gateway as well.
    pub(crate) devgateway: Option<DevGatewaySettings>,
    /// Where snapshots are kept, if not in the data directory.
    pub(crate) repository: adapter::RepositoryArgs,
    /// The host's container runtime.
    pub(crate) runtime: Option<adapter::RuntimeSettings>,
    /// For how long what no snapshot needs any more stays.
    pub(crate) reclaim: adapter::Reclaim,
    /// Settle windows of this length, and intervals to fit; none takes the services' defaults.
    pub(crate) quick: Option<Duration>,
}

/// Loopback ports.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    pub(crate) registry: u16,
    pub(crate) orchestrator: u16,
    pub(crate) adapter: u16,
}

/// How to run the development gateway.
#[derive(Debug)]
pub(crate) struct DevGatewaySettings {
    pub(crate) port: u16,
    pub(crate) dialect: Dialect,
    /// 1.0 is a real gateway's pace.
    pub(crate) time_scale: f64,
}

/// Everything that runs. [`Stack::stop`] ends it in order; dropped, it ends at once.
#[derive(Debug)]
pub(crate) struct Stack {
    orchestrator: Service,
    adapter: Service,
    registry: Service,
    devgateway: Option<Running>,
    data_dir: PathBuf,
}

#[derive(Debug)]
struct Service {
    address: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), String>>,
}

// === impl Stack ===

impl Stack {
    /// Binds every port, then starts everything.
    pub(crate) async fn start(settings: Settings) -> Result<Self, Failure> {
        let Settings { data_dir, ports, devgateway, repository, runtime, reclaim, quick } =
            settings;
        let at_registry = bind("--registry-port", ports.registry).await?;
        let at_orchestrator = bind("--orchestrator-port", ports.orchestrator).await?;
        let at_adapter = bind("--adapter-port", ports.adapter).await?;
        for part in ["registry", "orchestrator", "devgateway"] {
            make_dir(&data_dir.join(part))?;
        }
        let repository = repository_of(&repository, &data_dir)?;
        let devgateway = match devgateway {
            Some(settings) => Some(start_devgateway(settings, &data_dir).await?),
            None => None,
        };
        let registry = start_registry(&data_dir, at_registry).await?;
        let url = url(registry.address);
        let mut config = adapter::Config::new(&url);
        config.repository = Some(repository);
        config.data = Some(data_dir.join("adapter"));
        config.runtime = runtime;
        config.reclaim = reclaim;
        let adapter = start_adapter(config, quick, at_adapter)?;
        let orchestrator = start_orchestrator(&data_dir, &url, quick, at_orchestrator).await?;
        Ok(Self { orchestrator, adapter, registry, devgateway, data_dir })
    }

    /// Clients of what runs here.
    pub(crate) fn clients(&self) -> Clients {
        Clients::local(self.registry_url(), self.orchestrator_url(), self.adapter_url())
    }

    /// Where the registry listens.
    pub(crate) fn registry_url(&self) -> String {
        url(self.registry.address)
    }

    /// Where the recovery-orchestrator listens.
    pub(crate) fn orchestrator_url(&self) -> String {
        url(self.orchestrator.address)
    }

    /// Where the gateway-adapter listens.
    pub(crate) fn adapter_url(&self) -> String {
        url(self.adapter.address)
    }

    /// Where the development gateway listens, if there is one.
    pub(crate) fn devgateway_uri(&self) -> Option<String> {
        self.devgateway.as_ref().map(Running::uri)
    }

    /// The hand behind the development gateway, if there is one.
    pub(crate) fn devgateway_control(&self) -> Option<Control> {
        self.devgateway.as_ref().map(Running::control)
    }

    /// Where everything is kept.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Resolves when a service ends by itself, with why.
    pub(crate) async fn ended(&mut self) -> Failure {
        let (name, ended) = tokio::select! {
            ended = &mut self.registry.task => ("registry", ended),
            ended = &mut self.adapter.task => ("gateway-adapter", ended),
            ended = &mut self.orchestrator.task => ("recovery-orchestrator", ended),
        };
        let why = match ended {
            Ok(Ok(())) => "it was told to".to_owned(),
            Ok(Err(why)) => why,
            Err(error) => error.to_string(),
        };
        Failure::internal(format!("the {name} ended: {why}"))
    }

    /// Ends everything: the orchestrator first, which finishes the step in hand and hands its leases back.
    pub(crate) async fn stop(self) {
        self.orchestrator.stop().await;
        self.adapter.stop().await;
        self.registry.stop().await;
        if let Some(gateway) = self.devgateway {
            gateway.shutdown().await;
        }
    }
}

// === impl Service ===

impl Service {
    async fn stop(self) {
        self.shutdown.trigger();
        if !self.task.is_finished() {
            // How it ended is in the log; it has to be over, that is all.
            let _ = tokio::time::timeout(DRAIN * 3, self.task).await;
        }
    }
}

async fn start_registry(data_dir: &Path, listener: TcpListener) -> Result<Service, Failure> {
    let address = local(&listener)?;
    let config = salvor_registry::Config::new(data_dir.join("registry"));
    let registry = salvor_registry::Registry::open(&config)
        .await
        .map_err(|error| not_started("registry", &error))?;
    let shutdown = Shutdown::new();
    let over = shutdown.triggered();
    let task = tokio::spawn(async move {
        let ended = registry.add_to(server()).run(listener, over).await;
        registry.close().await;
        ended.map_err(|error| chain(&error))
    });
    Ok(Service { address, shutdown, task })
}

/// Before anything is started: a repository that is named and cannot be used is a wrong command line.
fn repository_of(
    named: &adapter::RepositoryArgs,
    data_dir: &Path,
) -> Result<adapter::RepositoryConfig, Failure> {
    named.config(&data_dir.join("adapter")).map_err(|error| {
        Failure::usage("BAD_REPOSITORY", format!("{error:#}; nothing was started"))
            .next(NextStep::AnotherDirectory.of(""))
    })
}

fn start_adapter(
    mut config: adapter::Config,
    quick: Option<Duration>,
    listener: TcpListener,
) -> Result<Service, Failure> {
    let address = local(&listener)?;
    if let Some(settle) = quick {
        config.heartbeat_interval = settle / 4;
        config.refresh_interval = settle / 4;
    }
    let shutdown = Shutdown::new();
    let over = shutdown.triggered();
    let task = tokio::spawn(async move {
        let ended = adapter::serve(config, server(), listener, over).await;
        ended.map_err(|error| chain(&error))
    });
    Ok(Service { address, shutdown, task })
}

async fn start_orchestrator(
    data_dir: &Path,
    registry: &str,
    quick: Option<Duration>,
    listener: TcpListener,
) -> Result<Service, Failure> {
    let address = local(&listener)?;
    let journal = Location::File(data_dir.join("orchestrator/journal.db"));
    let mut config = orchestrator::Config::new(journal, registry);
    if let Some(settle) = quick {
        config.limits.absence_settle = settle;
        config.limits.gateway_settle = settle;
        config.ready_settle = settle;
    }
    let shutdown = Shutdown::new();
    let tasks = shutdown.tasks();
    let orchestrator = orchestrator::Orchestrator::open(config, tasks.clone())
        .await
        .map_err(|error| not_started("recovery-orchestrator", &error))?;
    let over = shutdown.triggered();
    let task = tokio::spawn(async move {
        let ended = orchestrator.add_to(server()).run(listener, over).await;
        let joined = tasks.join(DRAIN).await;
        orchestrator.close().await;
        ended.map_err(|error| chain(&error))?;
        joined.map_err(|unfinished| unfinished.to_string())
    });
    Ok(Service { address, shutdown, task })
}

async fn start_devgateway(
    settings: DevGatewaySettings,
    data_dir: &Path,
) -> Result<Running, Failure> {
    let config = salvor_devgateway::Config {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, settings.port)),
        data_dir: data_dir.join("devgateway"),
        dialect: settings.dialect,
        time_scale: settings.time_scale,
        ..salvor_devgateway::Config::default()
    };
    DevGateway::start(config).await.map_err(|error| match error {
        salvor_devgateway::Error::Listen { address, source } => {
            not_bound("--devgateway-port", address, &source)
        }
        error => not_started("development gateway", &error),
    })
}

fn server() -> Server {
    Server::new(Limits { drain: DRAIN, ..Limits::default() })
}

async fn bind(flag: &str, port: u16) -> Result<TcpListener, Failure> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).await.map_err(|error| not_bound(flag, address, &error))
}

fn not_bound(flag: &str, address: SocketAddr, error: &std::io::Error) -> Failure {
    let port = address.port();
    if error.kind() == std::io::ErrorKind::AddrInUse {
        let message =
            format!("port {port} on {} is in use ({flag}); nothing was started", address.ip());
        Failure::new(Exit::Conflict, "PORT_IN_USE", message).next(NextStep::UseIt.of(""))
    } else {
        let message = format!("cannot listen on {address} ({flag}): {error}; nothing was started");
        Failure::usage("CANNOT_LISTEN", message).next(NextStep::AnotherPort.of(""))
    }
}

fn not_started(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::internal(format!("the {what} does not start: {}", chain(error)))
}

fn make_dir(path: &Path) -> Result<(), Failure> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| {
        Failure::usage("BAD_DATA_DIR", format!("cannot use {}: {error}", path.display()))
            .next(NextStep::AnotherDirectory.of(""))
    })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::internal(error.to_string()))
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}
