//! What an orchestrator needs to know to run.

use std::{sync::Arc, time::Duration};

use salvor_core::Limits;
use salvor_runtime::{Clock, SystemClock, channel::Endpoint, database::Location, tls::ClientTls};

use crate::{journal::CrashAfter, schedule};

/// Everything that is configured. [`Config::new`] gives the defaults for one machine.
#[derive(Debug, Clone)]
pub struct Config {
    /// The journal: a file, which one process at a time may hold, or a server's schema that replicas share.
    pub journal: Location,
    /// Where the registry, or its replicas, listen.
    pub registry: Endpoint,
    /// For calling adapters, whose addresses come from the registry.
    pub adapter_tls: Option<ClientTls>,
    /// By which guards judge.
    pub limits: Limits,
    /// How long a lease runs; it is renewed three times within it. Default 30 s.
    pub lease_ttl: Duration,
    /// How long a created or started sandbox may take to be live before its recovery parks. Default 180 s: an image that has
    /// to be pulled takes minutes.
    pub ready_timeout: Duration,
    /// For how long a sandbox that was made must have been live, its main process the same, before anything is put into it.
    /// Default 2 s.
    pub ready_settle: Duration,
    /// How long a readiness probe is tried for. Default 30 s.
    pub readiness_timeout: Duration,
    /// How long an observation that says nothing is repeated before its recovery parks. Default 20 s.
    pub undetermined_timeout: Duration,
    /// How often a parked recovery whose condition may have changed is resumed. Default 15 s.
    pub park_retry: Duration,
    /// How many recoveries the journal goes back; those that ended before are forgotten, with their decisions and request ids.
    /// Default 100,000.
    pub keep_recoveries: u32,
    /// Recoveries at work at once, at most a quarter of them on one gateway; more wait. Default 128.
    pub max_running: usize,
    /// Snapshots that nobody asks for.
    pub schedule: schedule::Settings,
    /// The time of day. It may be set at any time: nothing seems older for it to a guard.
    pub clock: Arc<dyn Clock>,
    /// For simulations only: the journal is a file, and another orchestrator of this very process has it open, too. They hear
    /// nothing of each other's writes but what they read.
    pub journal_is_shared: bool,
    /// For crash tests and simulations only: the process ends right after an append to the journal.
    pub crash_after_append: Option<CrashAfter>,
}

impl Config {
    /// The defaults, with the journal at `journal` and the registry at `registry` (`http://host:port`).
    pub fn new(journal: Location, registry: &str) -> Self {
        Self {
            journal,
            registry: Endpoint::new(registry),
            adapter_tls: None,
            limits: Limits::default(),
            lease_ttl: Duration::from_secs(30),
            ready_timeout: Duration::from_mins(3),
            ready_settle: Duration::from_secs(2),
            readiness_timeout: Duration::from_secs(30),
            undetermined_timeout: Duration::from_secs(20),
            park_retry: Duration::from_secs(15),
            keep_recoveries: 100_000,
            max_running: 128,
            schedule: schedule::Settings::default(),
            clock: Arc::new(SystemClock),
            journal_is_shared: false,
            crash_after_append: None,
        }
    }
}
