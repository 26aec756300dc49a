//! Everything that runs: gateways in this process, services as processes, their stores.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use salvor_devgateway::{Config, Control, DevGateway, Dialect, Running, user::User};
use salvor_proto::registry::v1::{Gateway, RegisterGatewayRequest};
use salvor_testkit::store::Store;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::{
    clients::{Clients, insist},
    database::Database,
    options::Options,
    ports,
    service::Service,
    starts::Parts,
    tally::Tally,
};

/// How long a record's lease runs.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// How much slower than real a gateway's phases are.
const TIME_SCALE: f64 = 0.02;
const GATEWAYS: [(&str, Dialect); 2] = [("lab", Dialect::V0_0), ("edge", Dialect::V0_1)];

/// A gateway, and who uses it.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) name: &'static str,
    pub(crate) control: Control,
    pub(crate) user: User,
    running: Mutex<Option<Running>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Plant {
    pub(crate) options: Options,
    pub(crate) tally: Tally,
    pub(crate) clients: Clients,
    pub(crate) labs: Vec<Lab>,
    pub(crate) services: Vec<Service>,
    pub(crate) records: Database,
    pub(crate) journal: Database,
    _stores: [Store; 2],
    dir: std::sync::Mutex<Option<TempDir>>,
    path: PathBuf,
}

impl Plant {
    pub(crate) async fn start(options: Options) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("salvor-soak-").tempdir()?;
        let path = dir.path().to_owned();
        for part in ["registry", "orchestrator", "logs"] {
            fs::create_dir_all(path.join(part))?;
        }
        for (key, content) in [("seal.key", "ab".repeat(32)), ("snapshots.key", "soak".to_owned())]
        {
            fs::write(path.join(key), content)?;
            fs::set_permissions(path.join(key), fs::Permissions::from_mode(0o600))?;
        }
        let server = options.server().map(ToOwned::to_owned);
        anyhow::ensure!(server.is_some() || options.replicas() == 1, "replicas need --postgres");
        let stores = [("registry", "registry"), ("orchestrator", "journal")]
            .map(|(part, name)| Store::on(server.as_deref(), &path.join(part), name));
        let count = 2 * options.replicas() + options.adapters() + GATEWAYS.len();
        let mut addresses = ports::free(count)?.into_iter();
        let mut labs = Vec::new();
        for (name, dialect) in GATEWAYS {
            let listen = addresses.next().context("no address")?;
            let data_dir = path.join("gateways").join(name);
            let time_scale = TIME_SCALE;
            let config = Config { listen, data_dir, dialect, time_scale, ..Config::default() };
            labs.push(Lab::start(name, config).await?);
        }
        let parts = Parts { options: &options, path: &path, stores: &stores };
        let mut starts = parts.starts(&mut addresses);
        let mut services = Vec::new();
        for start in starts.drain(..) {
            services.push(Service::start(start).await?);
        }
        let clients = Clients::new(&urls(&services, "registry"), &urls(&services, "orchestrator"))?;
        let plant = Self {
            records: Database::open(stores[0].location(), server.as_deref())?,
            journal: Database::open(stores[1].location(), server.as_deref())?,
            tally: Tally::new(),
            _stores: stores,
            dir: std::sync::Mutex::new(Some(dir)),
            options,
            clients,
            labs,
            services,
            path,
        };
        plant.register().await?;
        Ok(plant)
    }

    async fn register(&self) -> Result<()> {
        for lab in &self.labs {
            let (name, endpoint) = (format!("gateways/{}", lab.name), lab.control.uri());
            let gateway = Some(Gateway { name, endpoint, ..Gateway::default() });
            let request = RegisterGatewayRequest { gateway, request_id: String::new() };
            let registry = &self.clients.registry;
            insist(registry, &request, |mut to, request| async move {
                to.register_gateway(request).await
            })
            .await?;
        }
        Ok(())
    }

    /// What runs, for people.
    pub(crate) fn description(&self) -> String {
        let options = &self.options;
        let store = if options.server().is_some() { "Postgres" } else { "SQLite" };
        let kept = format!(
            "at least {} ended recoveries and {} request ids kept",
            options.keep_recoveries, options.request_retention
        );
        let build = if cfg!(debug_assertions) { "dev profile" } else { "release profile" };
        format!(
            "{} min, seed {}, {} deeds/s, {} sandboxes, {} x registry and orchestrator on {store}, {} x adapter, {kept}, {build}",
            options.minutes,
            options.seed,
            options.rate,
            options.sandboxes,
            options.replicas(),
            options.adapters(),
        )
    }

    /// For how long the watch that pauses is away: so long that changes are compacted under it.
    pub(crate) fn pause(&self) -> Duration {
        (self.options.length() / 6).min(Duration::from_mins(8))
    }

    /// A directory or file of this run.
    pub(crate) fn path(&self, part: &str) -> PathBuf {
        self.path.join(part)
    }

    /// Leaves data and logs where they are.
    pub(crate) fn keep(&self) -> PathBuf {
        let mut dir = self.dir.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        dir.take().map_or_else(|| self.path.clone(), TempDir::keep)
    }

    /// Kills every process, and takes the gateways down with what runs in them.
    pub(crate) async fn stop(&self) {
        for service in &self.services {
            if let Err(error) = service.kill().await {
                self.tally.violated(&format!("{} cannot be killed: {error:#}", service.name()));
            }
        }
        for lab in &self.labs {
            if let Some(running) = lab.running.lock().await.take() {
                running.shutdown().await;
            }
        }
    }
}

impl Lab {
    async fn start(name: &'static str, config: Config) -> Result<Self> {
        let dialect = config.dialect;
        let running = DevGateway::start(config).await?;
        let control = running.control();
        let user = User::new(&control.uri(), dialect)?;
        Ok(Self { name, control, user, running: Mutex::new(Some(running)) })
    }
}

/// The addresses of all services of a kind.
fn urls(services: &[Service], kind: &str) -> String {
    let those = services.iter().filter(|service| service.name().starts_with(kind));
    those.map(Service::url).collect::<Vec<_>>().join(",")
}
