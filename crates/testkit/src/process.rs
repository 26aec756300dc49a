//! A service as a process of its own, that can be killed and stopped.

use std::{
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    task::JoinHandle,
    time::timeout,
};

use crate::wait::{PATIENCE, until};

const SIGKILL: i32 = 9;

/// A running service. Dropped, it is killed; of a failing test, what it logged is shown.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
    /// Where it listens.
    pub address: SocketAddr,
}

/// A binary of the workspace, beside the test's own or this binary: `cargo test --workspace` builds them all.
///
/// # Panics
/// It was not built.
#[expect(clippy::expect_used, reason = "a test without its program fails")]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let mut folders = test.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let path = folders.clone().find(|path| path.is_file()).or_else(|| folders.next());
    let path = path.expect("target/debug/deps");
    assert!(path.is_file(), "{} is not there: run cargo build --workspace first", path.display());
    path
}

impl Process {
    /// Starts it on a free port of loopback, and waits until it listens. The options for that are added to `command`.
    ///
    /// # Panics
    /// It does not start, or does not listen in time.
    #[expect(clippy::expect_used, reason = "a test whose service does not start fails")]
    pub async fn start(mut command: Command, log: &str) -> Self {
        command
            .args(["--listen", "127.0.0.1:0", "--log", log, "--log-format", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("a process");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines();
        let address = timeout(PATIENCE, listens(&mut lines)).await.expect("it listens in time");
        // The pipe must not fill up.
        let log = Arc::<Mutex<String>>::default();
        let kept = Arc::clone(&log);
        let reader = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend([&*line, "\n"]);
            }
        });
        Self { child, log, reader, address }
    }

    /// `http://` and its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until it logs a line with this in it.
    ///
    /// # Panics
    /// It does not in time.
    pub async fn logged(&self, text: &str) {
        until(text, || async { self.has_logged(text).then_some(()) }).await;
    }

    /// Whether it has logged a line with this in it.
    pub fn has_logged(&self, text: &str) -> bool {
        self.text().contains(text)
    }

    /// Its id, as long as it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Stops it, or lets it go on.
    ///
    /// # Panics
    /// It does not run.
    #[expect(clippy::expect_used, reason = "whoever signals a process has it running")]
    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
        let sent = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal);
        sent.expect("a process of this test's own");
    }

    /// Kills it from outside. Answers all that it has logged.
    ///
    /// # Panics
    /// It does not die in time.
    #[expect(clippy::expect_used, reason = "whoever kills a process has it running")]
    pub async fn kill(mut self) -> String {
        self.child.start_kill().expect("it runs");
        self.died().await
    }

    /// Waits until it is gone, by SIGKILL and by nothing else. Answers all that it has logged.
    ///
    /// # Panics
    /// It does not die in time, or otherwise.
    #[expect(clippy::expect_used, reason = "a process that does not die fails its test")]
    pub async fn died(mut self) -> String {
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it dies in time");
        let status = status.expect("its end");
        assert_eq!(status.signal(), Some(SIGKILL), "{status}");
        (&mut self.reader).await.expect("its log");
        self.text()
    }

    fn text(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?} logged:\n{}", self.child, self.text());
        }
    }
}

#[expect(clippy::panic, reason = "a service that ends instead of listening fails its test")]
async fn listens(lines: &mut Lines<BufReader<ChildStderr>>) -> SocketAddr {
    let mut seen = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let address =
            line.split_once("\"address\":\"").and_then(|(_, rest)| rest.split('"').next());
        if let Some(address) = address.and_then(|address| address.parse().ok()) {
            return address;
        }
        seen.push_str(&line);
    }
    panic!("it ended before it listened: {seen}");
}
