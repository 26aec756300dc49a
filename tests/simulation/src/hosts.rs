//! The hosts of a world: the real services, each with what it would be given in the field, only faster.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use salvor_devgateway::{Control, DevGateway, Dialect, Driver, Order};
use salvor_recovery_orchestrator::journal::CrashAfter;
use salvor_runtime::Shutdown;
use salvor_runtime::channel::Endpoint;
use salvor_runtime::database::Location;
use salvor_runtime::server::{Limits, Server};
use tokio::sync::mpsc;

use crate::clocks::WorldClock;
use crate::network::{any, listen, network};
use crate::script::ORCHESTRATORS;
use crate::world::Stage;

/// Ports of the services, each on its host.
pub(crate) mod port {
    pub(crate) const REGISTRY: u16 = 7301;
    pub(crate) const ORCHESTRATOR: u16 = 7302;
    pub(crate) const ADAPTER: u16 = 7303;
    pub(crate) const GATEWAY: u16 = 7304;
}

/// How much faster than a real gateway the simulated one is.
const TIME_SCALE: f64 = 0.1;
/// How long an absence must be seen, and a gateway be healthy.
const SETTLE: Duration = Duration::from_millis(500);
/// How long a call to the registry may take.
const CALL: Duration = Duration::from_secs(2);

/// What a simulated host's software comes to.
pub(crate) type Ended = Result<(), Box<dyn std::error::Error>>;

/// The registry.
pub(crate) async fn registry(data: PathBuf, clock: WorldClock) -> Ended {
    let mut config = salvor_registry::Config::new(data);
    config.clock = Some(Arc::new(clock));
    let registry = salvor_registry::Registry::open(&config).await?;
    let listener = listen(port::REGISTRY).await?;
    registry.add_to(server()).run(listener, std::future::pending()).await?;
    Ok(())
}

/// The adapter.
pub(crate) async fn adapter(data: PathBuf, clock: WorldClock) -> Ended {
    let mut config = salvor_gateway_adapter::Config::new("");
    config.clock = Arc::new(clock);
    config.data = Some(data);
    config.serving_ttl = Duration::from_secs(3);
    config.registry = registry_endpoint();
    config.advertise = Some(format!("http://adapter:{}", port::ADAPTER));
    config.heartbeat_interval = Duration::from_millis(500);
    config.refresh_interval = Duration::from_secs(1);
    config.observe_interval = Duration::from_secs(3);
    config.limits.connect = Duration::from_secs(1);
    config.limits.read = Duration::from_secs(1);
    config.limits.mutation = Duration::from_secs(3);
    config.limits.settle = Duration::from_secs(5);
    let listener = listen(port::ADAPTER).await?;
    let adapter = salvor_gateway_adapter::Adapter::new(config)?;
    let shutdown = Shutdown::new();
    let _tasks = adapter.keep(any(port::ADAPTER), &shutdown);
    adapter.add_to(server()).run(listener, std::future::pending()).await?;
    Ok(())
}

/// An orchestrator, with a journal of its own or of both.
pub(crate) async fn orchestrator(
    journal: PathBuf,
    shared: bool,
    clock: WorldClock,
    crash_after: Option<CrashAfter>,
) -> Ended {
    let mut config = salvor_recovery_orchestrator::Config::new(Location::File(journal), "");
    config.registry = registry_endpoint();
    config.limits.absence_settle = SETTLE;
    config.limits.gateway_settle = SETTLE;
    config.ready_timeout = Duration::from_secs(4);
    config.ready_settle = SETTLE;
    config.readiness_timeout = Duration::from_secs(2);
    config.undetermined_timeout = Duration::from_secs(2);
    config.lease_ttl = Duration::from_secs(3);
    config.park_retry = Duration::from_millis(500);
    config.schedule.poll = Duration::ZERO;
    config.journal_is_shared = shared;
    config.clock = Arc::new(clock);
    config.crash_after_append = crash_after;
    let listener = listen(port::ORCHESTRATOR).await?;
    let tasks = Shutdown::new().tasks();
    let orchestrator = salvor_recovery_orchestrator::Orchestrator::open(config, tasks).await?;
    orchestrator.add_to(server()).run(listener, std::future::pending()).await?;
    Ok(())
}

/// The gateway, which does what it is told to.
pub(crate) async fn gateway(
    data_dir: PathBuf,
    dialect: Dialect,
    mut orders: mpsc::UnboundedReceiver<Order>,
    stage: Arc<Stage>,
) -> Ended {
    let config = salvor_devgateway::Config {
        listen: any(port::GATEWAY),
        data_dir,
        dialect,
        network: network(),
        time_scale: TIME_SCALE,
        driver: Driver::Imaginary,
        ..salvor_devgateway::Config::default()
    };
    let running = DevGateway::start(config).await?;
    let control = running.control();
    // The only gateway of the world.
    let _ = stage.gateway.set(control.clone());
    while let Some(order) = orders.recv().await {
        let (control, stage) = (control.clone(), Arc::clone(&stage));
        // In the order of their arrival, and none waits for another: a restart takes its time.
        tokio::spawn(async move {
            let orphans = matches!(order, Order::Orphan { .. });
            // What is not there cannot be harmed.
            if let Ok(Some(id)) = control.carry_out(order).await
                && orphans
                && let Ok(mut orphaned) = stage.orphaned.lock()
            {
                orphaned.push(id);
            }
        });
    }
    Ok(())
}

/// Where orchestrators keep their journals: one for each, or one for both.
pub(crate) fn journals(dir: &Path, shared: bool) -> [PathBuf; ORCHESTRATORS] {
    std::array::from_fn(|index| {
        let index = if shared { 0 } else { index };
        dir.join(format!("journal-{}", index + 1)).join("journal.db")
    })
}

/// The registry, as every other host reaches it.
pub(crate) fn registry_endpoint() -> Endpoint {
    endpoint("registry", port::REGISTRY).with_timeout(CALL)
}

/// A host's port over the simulated network.
pub(crate) fn endpoint(host: &str, port: u16) -> Endpoint {
    let mut endpoint = Endpoint::new(format!("http://{host}:{port}")).over(network());
    endpoint.connect_timeout = Duration::from_secs(1);
    endpoint
}

/// Simulated hosts have no loopback address towards each other, and no certificates.
fn server() -> Server {
    Server::new(Limits::default()).insecure_plaintext_beyond_loopback(true)
}

/// What is told of the gateway, once it runs.
pub(crate) type Told = Arc<std::sync::OnceLock<Control>>;
