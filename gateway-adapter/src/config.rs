//! What an adapter needs to know before it starts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use salvor_runtime::channel::Endpoint;
use salvor_runtime::{Clock, SystemClock};

use crate::gateway::Limits;
use crate::runtime::RuntimeSettings;
use crate::store::{Config as RepositoryConfig, Reclaim};

/// The port that an adapter listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 7303;
/// The registry's address unless told otherwise.
pub const DEFAULT_REGISTRY: &str = "http://127.0.0.1:7301";
/// The adapter's id unless told otherwise.
pub const DEFAULT_ID: &str = "local";

/// Settings of one adapter.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which gateways it serves: those assigned to this id, and those assigned to nobody.
    pub adapter_id: String,
    /// Where the registry, or its replicas, listen.
    pub registry: Endpoint,
    /// What it tells the registry of its own address; its listener's address if not given.
    pub advertise: Option<String>,
    /// Where it keeps what must outlive it: the newest fence tokens, and its name towards other adapters. One process at a time
    /// uses it. Without one an adapter is a new one at every start.
    pub data: Option<PathBuf>,
    /// For how long it is granted to be the only one that changes what is on a gateway, 1 s to 10 min; renewed three times
    /// within that time. When it ends without a word, another one can take over that much later. Default 15 s.
    pub serving_ttl: Duration,
    /// Bounds on what is asked of each gateway.
    pub limits: Limits,
    /// Between two probes of a gateway. Default 2 s.
    pub heartbeat_interval: Duration,
    /// Between two looks at which gateways there are. Default 3 s.
    pub refresh_interval: Duration,
    /// Between two rounds of the observer; zero turns it off. Default 30 s.
    pub observe_interval: Duration,
    /// Where snapshots are kept. Without it nothing can be captured or restored.
    pub repository: Option<RepositoryConfig>,
    /// For how long what no snapshot needs any more stays in it.
    pub reclaim: Reclaim,
    /// The container runtime of this host. Without it containers cannot be looked for, captured or stopped.
    pub runtime: Option<RuntimeSettings>,
    /// The time of day, for what is said of when.
    pub clock: Arc<dyn Clock>,
}

impl Config {
    /// The defaults for one machine, with the registry at this address.
    pub fn new(registry: &str) -> Self {
        Self {
            adapter_id: DEFAULT_ID.to_owned(),
            registry: Endpoint::new(registry).with_timeout(Duration::from_secs(5)),
            advertise: None,
            data: None,
            serving_ttl: Duration::from_secs(15),
            limits: Limits::default(),
            heartbeat_interval: Duration::from_secs(2),
            refresh_interval: Duration::from_secs(3),
            observe_interval: Duration::from_secs(30),
            repository: None,
            reclaim: Reclaim::default(),
            runtime: None,
            clock: Arc::new(SystemClock),
        }
    }
}
