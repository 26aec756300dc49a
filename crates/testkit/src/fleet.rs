//! A whole salvor over loopback: registry, gateway-adapter, orchestrator and development gateways, each on a port of its own.

mod calls;
mod services;

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use salvor_devgateway::{
    Control, Dialect, Driver, Phase,
    user::{Seed, User},
};
use salvor_gateway_adapter::Reclaim;
use salvor_proto::{
    gateway::v1::gateway_adapter_service_client::GatewayAdapterServiceClient,
    recovery::v1::recovery_service_client::RecoveryServiceClient,
    registry::v1::{self as registry, registry_service_client::RegistryServiceClient},
};
use salvor_runtime::{OffsetClock, TracedChannel, database::Location};
use tempfile::TempDir;
use tokio::net::TcpListener;

pub use services::Service;
use services::{
    channel, free, registry_process, start_adapter, start_lab, start_orchestrator, start_registry,
    url,
};

use crate::{
    cut::Way,
    process::Process,
    store::Store,
    wait::{PATIENCE, until},
};

/// How a fleet is set up. The defaults are a fast one with one gateway, `lab`.
#[derive(Debug, Clone)]
pub struct Options {
    /// Names and wires of the development gateways.
    pub gateways: Vec<(&'static str, Dialect)>,
    /// How much slower than real their phases are; 0.02 is fifty times faster.
    pub time_scale: f64,
    /// How long an absence must be seen, a gateway be healthy, and a sandbox be ready.
    pub settle: Duration,
    /// Between two rounds of the adapter's observer; zero turns it off.
    pub observe_interval: Duration,
    /// For how long a sandbox may take to become ready.
    pub ready_timeout: Duration,
    /// How long leases run.
    pub lease_ttl: Duration,
    /// How soon a parked recovery is looked at again.
    pub park_retry: Duration,
    /// For how long a look that says nothing is repeated.
    pub undetermined_timeout: Duration,
    /// How long the adapter waits for a gateway's answer to a read.
    pub read_timeout: Duration,
    /// How long the adapter waits for a gateway's answer to a mutation.
    pub mutation_timeout: Duration,
    /// Recoveries at work at once.
    pub max_running: usize,
    /// How many the journal goes back.
    pub keep_recoveries: u32,
    /// Keep everything in files, even if the tests use a server.
    pub files: bool,
    /// Give the adapter a repository for snapshots.
    pub snapshots: bool,
    /// For how long what no snapshot needs any more stays when space is reclaimed.
    pub reclaim: Reclaim,
    /// Between two looks at which snapshots are due; zero takes none but on request.
    pub schedule: Duration,
    /// What sandboxes run in. The adapter is given the runtime of containers.
    pub driver: Driver,
    /// Run so many registries as processes on one store, instead of one here. Several need a server as their store.
    pub registries: usize,
    /// The clocks of registry, adapter and orchestrator, if the test sets them.
    pub clocks: Option<[Arc<OffsetClock>; 3]>,
    /// Run the orchestrator here. Otherwise the test runs its own, as a process.
    pub orchestrator: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            gateways: vec![("lab", Dialect::V0_0)],
            time_scale: 0.02,
            settle: Duration::from_millis(150),
            observe_interval: Duration::ZERO,
            ready_timeout: Duration::from_secs(20),
            lease_ttl: Duration::from_secs(5),
            park_retry: Duration::from_secs(1),
            undetermined_timeout: Duration::from_secs(2),
            read_timeout: Duration::from_secs(10),
            mutation_timeout: Duration::from_secs(10),
            max_running: 128,
            keep_recoveries: 100_000,
            files: false,
            snapshots: false,
            reclaim: Reclaim::default(),
            schedule: Duration::ZERO,
            driver: Driver::Processes,
            registries: 0,
            clocks: None,
            orchestrator: true,
        }
    }
}

/// A development gateway of the fleet.
#[derive(Debug)]
pub struct Lab {
    /// Makes it misbehave and shows what happened.
    pub control: Control,
    /// Plays its user, in workspace `default`.
    pub user: User,
    /// Its wire.
    pub dialect: Dialect,
    running: Option<salvor_devgateway::Running>,
}

/// The fleet. Dropping it ends everything that it started.
#[derive(Debug)]
pub struct Fleet {
    /// The registry.
    pub registry: RegistryServiceClient<TracedChannel>,
    /// The adapter.
    pub adapter: GatewayAdapterServiceClient<TracedChannel>,
    /// The orchestrator.
    pub recovery: RecoveryServiceClient<TracedChannel>,
    /// The gateways, by name.
    pub labs: BTreeMap<String, Lab>,
    /// Where the registry listens, if one runs here.
    pub registry_service: Option<Service>,
    /// The registries that run as processes.
    pub registry_processes: Vec<Process>,
    /// Where the adapter listens.
    pub adapter_service: Option<Service>,
    /// Where the orchestrator listens, if it runs here.
    pub orchestrator_service: Option<Service>,
    options: Options,
    registry_store: Store,
    journal_store: Store,
    dir: TempDir,
}

impl Fleet {
    /// Starts everything, and waits until every gateway is registered, healthy and settled.
    ///
    /// # Errors
    /// Something does not start.
    pub async fn start(options: Options) -> Result<Self> {
        let dir = tempfile::tempdir().context("no temporary directory")?;
        let store = if options.files { Store::in_file } else { Store::new };
        let registry_store = store(&dir.path().join("registry"), "registry");
        let journal_store = store(&dir.path().join("orchestrator"), "journal");
        let records = registry_store.location();
        let mut registry_processes = Vec::new();
        for _ in 0..options.registries {
            registry_processes.push(registry_process(records, dir.path()).await?);
        }
        let registry_service = if options.registries == 0 {
            Some(start_registry(&options, records, dir.path(), free().await?).await?)
        } else {
            None
        };
        let registry_url = registry_url(registry_service.as_ref(), &registry_processes);
        let adapter_service = start_adapter(&options, dir.path(), &registry_url, free().await?)?;
        let mut labs = BTreeMap::new();
        for (name, dialect) in &options.gateways {
            let lab = start_lab(dir.path(), name, *dialect, &options).await?;
            labs.insert((*name).to_owned(), lab);
        }
        let orchestrator_service = if options.orchestrator {
            let journal = journal_store.location();
            Some(start_orchestrator(&options, journal, &registry_url, free().await?).await?)
        } else {
            None
        };
        let recovery_at =
            orchestrator_service.as_ref().map_or_else(|| registry_url.clone(), |s| url(s.address));
        let fleet = Self {
            registry: RegistryServiceClient::new(channel(&registry_url)?),
            adapter: GatewayAdapterServiceClient::new(channel(&url(adapter_service.address))?),
            recovery: RecoveryServiceClient::new(channel(&recovery_at)?),
            labs,
            registry_service,
            registry_processes,
            adapter_service: Some(adapter_service),
            orchestrator_service,
            options,
            registry_store,
            journal_store,
            dir,
        };
        fleet.register_gateways().await?;
        Ok(fleet)
    }

    /// Starts a fleet with the defaults.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn lab() -> Result<Self> {
        Self::start(Options::default()).await
    }

    /// Where everything is kept.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A gateway by name.
    ///
    /// # Panics
    /// There is none.
    #[expect(clippy::expect_used, reason = "a test that names an unknown gateway is wrong")]
    pub fn gateway(&self, name: &str) -> &Lab {
        self.labs.get(name).expect("a gateway of the fleet")
    }

    /// The registry's address, or those of all of them.
    pub fn registry_url(&self) -> String {
        registry_url(self.registry_service.as_ref(), &self.registry_processes)
    }

    /// The orchestrator's journal.
    pub const fn journal(&self) -> &Location {
        self.journal_store.location()
    }

    /// The same by a way that can be cut: its URL, and the way. `None` of a file.
    pub async fn journal_by_a_way(&self) -> Option<(String, Way)> {
        self.journal_store.by_a_way().await
    }

    /// What the registry keeps.
    pub const fn records(&self) -> &Location {
        self.registry_store.location()
    }

    /// A directory for an orchestrator that the test runs itself; its journal is there, unless it is on a server.
    pub fn orchestrator_data(&self) -> std::path::PathBuf {
        self.dir.path().join("orchestrator")
    }

    /// Points the recovery client at an orchestrator that the test runs itself.
    ///
    /// # Errors
    /// No address.
    pub fn use_orchestrator(&mut self, address: SocketAddr) -> Result<()> {
        self.recovery = RecoveryServiceClient::new(channel(&url(address))?);
        Ok(())
    }

    /// Points the recovery client at several of them, wherever they are.
    ///
    /// # Errors
    /// No addresses.
    pub fn use_orchestrators(&mut self, addresses: &[SocketAddr]) -> Result<()> {
        let addresses: Vec<_> = addresses.iter().map(|address| url(*address)).collect();
        self.recovery = RecoveryServiceClient::new(channel(&addresses.join(","))?);
        Ok(())
    }

    /// Creates a ready sandbox on a gateway as its user would, and answers its id.
    ///
    /// # Errors
    /// The gateway refuses, or it does not become ready.
    pub async fn sandbox(&self, gateway: &str, name: &str, seed: &Seed) -> Result<String> {
        let lab = self.gateway(gateway);
        let id = lab.user.create(name, seed).await?;
        anyhow::ensure!(
            lab.control.wait_phase(name, Phase::Ready, PATIENCE).await,
            "{name} did not become ready"
        );
        Ok(id)
    }

    /// A file or directory in the adapter's data directory.
    pub fn adapter_data(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join("adapter").join(name)
    }

    /// Ends the adapter, which vanishes in the middle of whatever it does.
    pub async fn kill_adapter(&mut self) {
        if let Some(mut service) = self.adapter_service.take() {
            service.task.abort();
            // An aborted task ends with a cancellation, which is what was asked for.
            let _ = (&mut service.task).await;
            service.shutdown.trigger();
        }
    }

    /// Starts the adapter anew, on its old address.
    ///
    /// # Errors
    /// Its port is taken.
    pub async fn restart_adapter(&mut self) -> Result<()> {
        self.kill_adapter().await;
        let registry = self.registry_url();
        let service = start_adapter(&self.options, self.dir.path(), &registry, free().await?)?;
        self.adapter = GatewayAdapterServiceClient::new(channel(&url(service.address))?);
        self.adapter_service = Some(service);
        self.settled().await
    }

    /// Ends the orchestrator in an orderly way, and starts it anew on the same journal.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart_orchestrator(&mut self) -> Result<()> {
        self.restart_orchestrator_with(|_| ()).await
    }

    /// [`restart_orchestrator`](Self::restart_orchestrator), with other options from here on.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart_orchestrator_with(
        &mut self,
        change: impl FnOnce(&mut Options),
    ) -> Result<()> {
        change(&mut self.options);
        if let Some(service) = self.orchestrator_service.take() {
            service.stop().await;
        }
        let registry = self.registry_url();
        let service =
            start_orchestrator(&self.options, self.journal(), &registry, free().await?).await?;
        self.recovery = RecoveryServiceClient::new(channel(&url(service.address))?);
        self.orchestrator_service = Some(service);
        Ok(())
    }

    /// Ends the registry in an orderly way, and starts it anew on its old address and data.
    ///
    /// # Errors
    /// It does not start.
    pub async fn restart_registry(&mut self) -> Result<()> {
        let address = match self.registry_service.take() {
            Some(service) => {
                let address = service.address;
                service.stop().await;
                address
            }
            None => anyhow::bail!("the registry does not run"),
        };
        let listener = TcpListener::bind(address).await?;
        self.registry_service =
            Some(start_registry(&self.options, self.records(), self.dir.path(), listener).await?);
        Ok(())
    }

    /// Ends everything in an orderly way.
    pub async fn stop(mut self) {
        for service in [
            self.orchestrator_service.take(),
            self.adapter_service.take(),
            self.registry_service.take(),
        ]
        .into_iter()
        .flatten()
        {
            service.stop().await;
        }
        for lab in self.labs.values_mut() {
            if let Some(running) = lab.running.take() {
                running.shutdown().await;
            }
        }
    }

    async fn register_gateways(&self) -> Result<()> {
        for (name, lab) in &self.labs {
            let gateway = registry::Gateway {
                name: format!("gateways/{name}"),
                endpoint: lab.control.uri(),
                ..registry::Gateway::default()
            };
            let request = registry::RegisterGatewayRequest {
                gateway: Some(gateway),
                request_id: String::new(),
            };
            self.registry.clone().register_gateway(request).await?;
        }
        self.settled().await
    }

    /// Waits until every gateway is known to be healthy for the settle window.
    async fn settled(&self) -> Result<()> {
        for name in self.labs.keys() {
            until("a settled gateway", || async {
                let request = salvor_proto::gateway::v1::ProbeGatewayRequest {
                    gateway: format!("gateways/{name}"),
                };
                let view =
                    self.adapter.clone().probe_gateway(request).await.ok()?.into_inner().view?;
                let known = self.known(name).await?;
                self.healthy_for(&view).filter(|()| known)
            })
            .await;
        }
        Ok(())
    }

    /// Whether the registry knows the adapter that serves a gateway now, and the gateway's pin.
    async fn known(&self, name: &str) -> Option<bool> {
        let request = registry::GetGatewayRequest { name: format!("gateways/{name}") };
        let gateway = self.registry.clone().get_gateway(request).await.ok()?.into_inner().gateway?;
        let at = self.adapter_service.as_ref().map(|s| url(s.address))?;
        let announced = gateway.heartbeat.is_some_and(|beat| beat.adapter_endpoint == at);
        let pinned = gateway.pinned_identity.is_some_and(|pin| !pin.store_id.is_empty());
        Some(announced && pinned)
    }

    fn healthy_for(&self, view: &salvor_proto::gateway::v1::GatewayView) -> Option<()> {
        use salvor_proto::{gateway::v1::gateway_view::State, time::millis};
        let Some(State::Healthy(healthy)) = &view.state else { return None };
        let observed = millis(view.observe_time.as_ref()?);
        let since = millis(healthy.healthy_since.as_ref()?);
        let settled = u128::from(observed.saturating_sub(since)) >= self.options.settle.as_millis();
        settled.then_some(())
    }
}

fn registry_url(here: Option<&Service>, processes: &[Process]) -> String {
    let here = here.map(|service| url(service.address));
    let urls: Vec<_> = here.into_iter().chain(processes.iter().map(Process::url)).collect();
    urls.join(",")
}
