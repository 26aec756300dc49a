//! The orchestrator as a process that can be killed.

use std::{
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use nix::sys::signal::Signal;
use salvor_runtime::database::Location;
use salvor_testkit::{disk::Disk, store, wait::until};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    task::JoinHandle,
    time::timeout,
};

const SIGKILL: i32 = 9;
const PATIENCE: Duration = Duration::from_secs(30);

/// How a process is started.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The registry's address.
    pub(crate) registry: String,
    /// Where the journal is, unless it is on a server.
    pub(crate) data: PathBuf,
    /// Where the journal is.
    pub(crate) journal: Location,
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

/// A running orchestrator. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts one, and waits until it listens.
    pub(crate) async fn start(start: &Start) -> Self {
        let settle = start.settle.as_millis().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_salvor-recovery-orchestrator"));
        command
            .env_clear()
            .args(["--listen", "127.0.0.1:0", "--log", start.log, "--log-format", "json"])
            .args(["--lease-seconds", "3", "--ready-timeout-seconds", "20"])
            .args(["--absence-settle-ms", &settle, "--gateway-settle-ms", &settle])
            .args(["--ready-settle-ms", &settle])
            .args(["--registry", &start.registry, "--data-dir"])
            .arg(&start.data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Location::Server { schema, .. } = &start.journal {
            let url = store::postgres().expect("a server");
            command.env("SALVOR_DATABASE_URL", url).args(["--database-schema", schema.as_str()]);
        }
        if let Some(disk) = &start.disk {
            command.envs(disk.environment());
        }
        if let Some(appends) = start.dies_after {
            command.args(["--crash-after-append", &appends.to_string()]);
        }
        if let Some(endpoint) = &start.otlp {
            command.args(["--otlp-endpoint", endpoint]);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = timeout(PATIENCE, listens(&mut lines)).await.expect("it listens in time");
        // The pipe must not fill up.
        let log = Arc::<Mutex<String>>::default();
        let kept = Arc::clone(&log);
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap().extend([&*line, "\n"]);
            }
        });
        Self { child, log, reader, address }
    }

    /// Waits until it logs a line with this in it.
    pub(crate) async fn logged(&self, text: &str) {
        until(text, || async { self.has_logged(text).then_some(()) }).await;
    }

    pub(crate) fn has_logged(&self, text: &str) -> bool {
        self.log.lock().unwrap().contains(text)
    }

    /// Stops it, or lets it go on.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("it runs")).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }

    /// Kills it from outside. Answers all that it has logged.
    pub(crate) async fn kill(mut self) -> String {
        self.child.start_kill().unwrap();
        self.died().await
    }

    /// Waits until it is gone, by SIGKILL and by nothing else.
    pub(crate) async fn died(mut self) -> String {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it dies in time").unwrap();
        assert_eq!(status.signal(), Some(SIGKILL), "{status}");
        (&mut self.reader).await.unwrap();
        self.log.lock().unwrap().clone()
    }
}

/// What a failing test wants to know.
impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?} logged:\n{}", self.child, self.log.lock().unwrap());
        }
    }
}

async fn listens(lines: &mut Lines<BufReader<ChildStderr>>) -> SocketAddr {
    let mut seen = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some((_, rest)) = line.split_once("\"address\":\"") {
            return rest.split('"').next().unwrap().parse().unwrap();
        }
        seen.push_str(&line);
    }
    panic!("it ended before it listened: {seen}");
}
