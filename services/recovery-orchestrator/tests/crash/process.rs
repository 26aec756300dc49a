//! How an orchestrator is started as a process of its own.

use std::{path::PathBuf, time::Duration};

use salvor_runtime::database::Location;
use salvor_testkit::{disk::Disk, store};
use tokio::process::Command;

pub(crate) use salvor_testkit::process::Process;

/// Its settings.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The registry's address.
    pub(crate) registry: String,
    /// Where the journal is, unless it is on a server.
    pub(crate) data: PathBuf,
    /// Where the journal is.
    pub(crate) journal: Location,
    /// The URL of a way to its server that can be cut.
    pub(crate) way: Option<String>,
    /// How long an absence and a healthy gateway must have been seen.
    pub(crate) settle: Duration,
    /// What it logs.
    pub(crate) log: &'static str,
    /// Where its telemetry goes, if anywhere.
    pub(crate) otlp: Option<String>,
    /// It kills itself right after so many writes to its journal.
    pub(crate) dies_after: Option<u64>,
    /// What its journal is on, if that is to fail.
    pub(crate) disk: Option<Disk>,
}

impl Start {
    /// Starts one, and waits until it listens.
    pub(crate) async fn process(&self) -> Process {
        Process::start(self.command(), self.log).await
    }

    /// Starts one that is to refuse. Answers what it says.
    pub(crate) async fn refused(&self) -> String {
        let mut command = self.command();
        let ended = command.args(["--listen", "127.0.0.1:0"]).output().await.unwrap();
        assert!(!ended.status.success());
        String::from_utf8(ended.stderr).unwrap()
    }

    fn command(&self) -> Command {
        let settle = self.settle.as_millis().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_salvor-recovery-orchestrator"));
        command
            .env_clear()
            .args(["--lease-seconds", "3", "--ready-timeout-seconds", "20"])
            .args(["--absence-settle-ms", &settle, "--gateway-settle-ms", &settle])
            .args(["--ready-settle-ms", &settle])
            .args(["--registry", &self.registry, "--data-dir"])
            .arg(&self.data);
        if let Location::Server { schema, .. } = &self.journal {
            let url = self.way.clone().or_else(store::postgres).expect("a server");
            command.env("SALVOR_DATABASE_URL", url).args(["--database-schema", schema.as_str()]);
        }
        if let Some(disk) = &self.disk {
            command.envs(disk.environment());
        }
        if let Some(appends) = self.dies_after {
            command.args(["--crash-after-append", &appends.to_string()]);
        }
        if let Some(endpoint) = &self.otlp {
            command.args(["--otlp-endpoint", endpoint]);
        }
        command
    }
}
