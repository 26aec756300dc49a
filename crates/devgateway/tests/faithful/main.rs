//! The gateway's habits, over the real wire, in both dialects.
//!
//! Each test starts its own gateway on a free port with phases at a fiftieth of their length,
//! and waits for conditions, never for time.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unnecessary_wraps,
    clippy::unwrap_used,
    reason = "helpers of tests, which the lints do not see as tests"
)]

mod client;
mod config;
mod containers;
mod events;
mod exec;
mod faults;
mod lifecycle;
mod only_v0_1;
mod restart;
mod transport;

use std::time::{Duration, Instant};

use salvor_devgateway::{Config, Control, DevGateway, Dialect, Phase, Restart, Running};
use tempfile::TempDir;
use tonic::Code;

use client::Client;

const BOTH: [Dialect; 2] = [Dialect::V0_0, Dialect::V0_1];
/// Longer than anything here takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway with a client, and its directory for as long as both.
struct Fixture {
    running: Running,
    client: Client,
    dir: TempDir,
}

impl Fixture {
    async fn new(dialect: Dialect) -> Self {
        Self::with(dialect, |_| ()).await
    }

    async fn with(dialect: Dialect, change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config_for(&dir, dialect);
        change(&mut config);
        let running = DevGateway::start(config).await.unwrap();
        let client = Client::connect(&running.uri(), dialect);
        Self { running, client, dir }
    }

    fn control(&self) -> Control {
        self.running.control()
    }

    /// Restarts the gateway, and waits until the client has left its broken connection.
    async fn restart(&mut self, how: Restart) {
        self.control().restart(how).await.unwrap();
        let begun = Instant::now();
        while self.client.store_id().await.is_err_and(|status| status.code() == Code::Unavailable) {
            assert!(begun.elapsed() < PATIENCE);
            tokio::task::yield_now().await;
        }
    }

    /// A sandbox that is ready.
    async fn ready(&mut self, name: &str) -> client::Seen {
        self.client.create(name).await.unwrap();
        self.wait_phase(name, Phase::Ready).await
    }

    async fn wait_phase(&mut self, name: &str, phase: Phase) -> client::Seen {
        let control = self.control();
        let reached = control.wait_phase(name, phase, PATIENCE).await;
        assert!(reached, "{name} is not {phase}: {:?}", control.sandbox(name));
        self.client.get(name).await.unwrap()
    }

    async fn wait_reason(&mut self, name: &str, reason: &str) -> client::Seen {
        let control = self.control();
        let shown = control
            .wait(name, |view| view.is_some_and(|view| view.reason == reason), PATIENCE)
            .await;
        assert!(shown.1, "{name} does not show {reason}: {:?}", shown.0);
        self.client.get(name).await.unwrap()
    }
}

fn config_for(dir: &TempDir, dialect: Dialect) -> Config {
    Config { data_dir: dir.path().join("data"), dialect, time_scale: 0.02, ..Config::default() }
}
