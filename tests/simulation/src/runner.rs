//! Many worlds, each in a process of its own, so that nothing of one reaches another.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// How long one world may take on this machine's clock before it is ended and counts as failed.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks at those that run.
const POLL: Duration = Duration::from_millis(2);

/// Which worlds to run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The program that runs one: this one, asked for a single seed.
    pub program: PathBuf,
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// How many at once.
    pub at_once: usize,
}

/// What one world came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// A digest of all that happened.
    pub digest: String,
    /// How long it went on, in its own time.
    pub virtual_ms: u64,
    /// How many recoveries there were, by how they stand at the end.
    pub recoveries: BTreeMap<String, usize>,
    /// What broke the rules.
    pub broken: Vec<String>,
}

/// A world that runs.
struct Running {
    seed: u64,
    child: Child,
    waited: Duration,
}

/// Runs them all. `done` is told of each as it ends, in no order; an error is a world that came to nothing.
///
/// # Errors
/// The program cannot be started.
pub fn run_many(options: &Options, mut done: impl FnMut(u64, Result<Report>)) -> Result<()> {
    let mut seeds = options.from..options.from.saturating_add(options.seeds);
    let mut running: Vec<Running> = Vec::new();
    loop {
        while running.len() < options.at_once.max(1)
            && let Some(seed) = seeds.next()
        {
            running.push(Running::start(options, seed)?);
        }
        if running.is_empty() {
            return Ok(());
        }
        std::thread::sleep(POLL);
        for mut world in std::mem::take(&mut running) {
            match world.ended() {
                None => running.push(world),
                Some(report) => done(world.seed, report),
            }
        }
    }
}

// === impl Running ===

impl Running {
    fn start(options: &Options, seed: u64) -> Result<Self> {
        let child = Command::new(&options.program)
            .args(["--seed", &seed.to_string(), "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", options.program.display()))?;
        Ok(Self { seed, child, waited: Duration::ZERO })
    }

    /// Its report, once there is one.
    fn ended(&mut self) -> Option<Result<Report>> {
        match self.child.try_wait() {
            Ok(Some(_)) => Some(self.report()),
            Err(error) => Some(Err(error.into())),
            Ok(None) if self.waited < PATIENCE => {
                self.waited += POLL;
                None
            }
            Ok(None) => {
                // One that has just ended needs no end.
                let _ = self.child.kill();
                let _ = self.child.wait();
                Some(Err(anyhow::anyhow!("it did not end within {PATIENCE:?}")))
            }
        }
    }

    fn report(&mut self) -> Result<Report> {
        let (mut said, mut complained) = (String::new(), String::new());
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut said)?;
        }
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut complained)?;
        }
        serde_json::from_str(said.trim()).with_context(|| complained.trim().to_owned())
    }
}
