//! What can be asked for.

use std::time::Duration;

use clap::Parser;

/// Runs registries, orchestrators and adapters as processes under mixed load and faults, and checks what must hold
#[derive(Debug, Clone, Parser)]
#[command(name = "salvor-soak", version)]
pub(crate) struct Options {
    /// Minutes of load and faults; the drain comes on top
    #[arg(long, default_value_t = 60.0)]
    pub(crate) minutes: f64,
    /// Draws load and faults
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Deeds a second, two thirds of which are recoveries
    #[arg(long, default_value_t = 2.0)]
    pub(crate) rate: f64,
    /// Sandboxes, half on each of two gateways
    #[arg(long, default_value_t = 40)]
    pub(crate) sandboxes: usize,
    /// Registries and orchestrators, so many of each; several need Postgres [default: 1, on Postgres 3]
    #[arg(long)]
    pub(crate) replicas: Option<usize>,
    /// Adapters, each of which can serve both gateways [default: 1, on Postgres 2]
    #[arg(long)]
    pub(crate) adapters: Option<usize>,
    /// Postgres server to keep everything on, one of this run's own: connections to it are terminated [default: SQLite files]
    #[arg(long, env = "SALVOR_TEST_POSTGRES", value_name = "URL", hide_env_values = true)]
    pub(crate) postgres: Option<String>,
    /// Mean seconds between two faults; 0 for none
    #[arg(long, default_value_t = 8.0)]
    pub(crate) fault_seconds: f64,
    /// Percent of the time after which no process is killed any more, so that those that are measured last have lived for long
    #[arg(long, default_value_t = 50.0)]
    pub(crate) kill_until: f64,
    /// Seconds that everything may take to come to rest once faults are over
    #[arg(long, default_value_t = 120)]
    pub(crate) drain_seconds: u64,
    /// Ended recoveries that orchestrators keep
    #[arg(long, default_value_t = 500)]
    pub(crate) keep_recoveries: u32,
    /// Revisions that registries hold; the watch that pauses is told of compaction when it was away for more
    #[arg(long, default_value_t = 1_000)]
    pub(crate) change_log_retention: u32,
    /// Request ids that registries remember; all of them are of use for seconds here
    #[arg(long, default_value_t = 1_000)]
    pub(crate) request_retention: u32,
    /// What services log, to files that are kept if a check fails
    #[arg(long, default_value = "warn")]
    pub(crate) log: String,
    /// Keep data and logs in any case
    #[arg(long)]
    pub(crate) keep: bool,
}

impl Options {
    /// For how long there are load and faults.
    pub(crate) fn length(&self) -> Duration {
        Duration::from_secs_f64(self.minutes.max(0.1) * 60.0)
    }

    /// The server, if there is one.
    pub(crate) fn server(&self) -> Option<&str> {
        self.postgres.as_deref().filter(|url| !url.is_empty())
    }

    /// How many registries, and how many orchestrators.
    pub(crate) fn replicas(&self) -> usize {
        self.replicas.unwrap_or(if self.server().is_some() { 3 } else { 1 }).max(1)
    }

    /// How many adapters.
    pub(crate) fn adapters(&self) -> usize {
        self.adapters.unwrap_or(if self.server().is_some() { 2 } else { 1 }).max(1)
    }
}
