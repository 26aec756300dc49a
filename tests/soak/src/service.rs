//! One service as a process that is killed, stopped and started again on the same address.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    sync::Mutex,
    time::{Instant, sleep},
};

/// A process that does not listen by then did not start.
const PATIENCE: Duration = Duration::from_secs(30);

/// How it is started.
#[derive(Debug)]
pub(crate) struct Start {
    /// For example `registry-1`.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) log: PathBuf,
}

/// The process, if it runs. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Service {
    start: Start,
    child: Mutex<Option<Child>>,
    pid: AtomicU32,
}

impl Service {
    /// Starts it for the first time, and waits until it listens.
    pub(crate) async fn start(start: Start) -> Result<Self> {
        let service = Self { start, child: Mutex::default(), pid: AtomicU32::new(0) };
        service.restart().await?;
        Ok(service)
    }

    pub(crate) fn name(&self) -> &str {
        &self.start.name
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.start.address)
    }

    pub(crate) const fn log(&self) -> &PathBuf {
        &self.start.log
    }

    /// Its process's id; zero while there is none.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// Starts it, unless it runs.
    pub(crate) async fn restart(&self) -> Result<()> {
        let mut child = self.child.lock().await;
        if child.is_some() {
            return Ok(());
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.start.log)?;
        let mut started = Command::new(&self.start.program)
            .env_clear()
            .envs(self.start.environment.iter().map(|(name, value)| (name, value)))
            .args(["--listen", &self.start.address.to_string(), "--log-format", "json"])
            .args(&self.start.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be run", self.start.program.display()))?;
        let begun = Instant::now();
        while TcpStream::connect(self.start.address).await.is_err() {
            if let Some(status) = started.try_wait()? {
                bail!("{} ended at its start: {status}", self.start.name);
            }
            if begun.elapsed() > PATIENCE {
                bail!("{} does not listen", self.start.name);
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.pid.store(started.id().unwrap_or_default(), Ordering::Relaxed);
        *child = Some(started);
        Ok(())
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(&self) -> Result<()> {
        let mut child = self.child.lock().await;
        self.pid.store(0, Ordering::Relaxed);
        if let Some(mut child) = child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// How it ended, if it ended without being killed here.
    pub(crate) async fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().await;
        let status = child.as_mut()?.try_wait().ok().flatten()?;
        self.pid.store(0, Ordering::Relaxed);
        *child = None;
        Some(status)
    }

    /// Stops it, or lets it go on; nothing if it does not run.
    pub(crate) async fn signal(&self, signal: Signal) {
        // Held, so that the id is not another process's meanwhile.
        let child = self.child.lock().await;
        let id = child.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            // It may have ended just now, which is found out elsewhere.
            let _ = kill(Pid::from_raw(id), signal);
        }
    }
}
