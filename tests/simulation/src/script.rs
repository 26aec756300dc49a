//! What is going to happen in a world: everything that its seed decides, drawn before it begins.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use salvor_devgateway::{Dialect, Order};

mod draw;

/// The hosts of a world that faults can hit.
pub(crate) const HOSTS: [&str; 6] =
    ["registry", "adapter", "gateway", "orchestrator-1", "orchestrator-2", "client"];
/// Those that can crash. The gateway restarts in its own ways, and the client is who tells.
pub(crate) const MORTAL: [&str; 4] = ["registry", "adapter", "orchestrator-1", "orchestrator-2"];
/// How many orchestrators there are.
pub(crate) const ORCHESTRATORS: usize = 2;
/// The sandbox that nothing may happen to.
pub(crate) const BYSTANDER: &str = "bystander";

/// A world's future.
#[derive(Debug, Clone)]
pub struct Script {
    /// What it was drawn from.
    pub seed: u64,
    /// The gateway's wire.
    pub dialect: Dialect,
    /// The orchestrators share a journal.
    pub shared: bool,
    /// The sandboxes that things happen to.
    pub targets: Vec<String>,
    /// What happens, in order of time; times count from the beginning of the trouble.
    pub acts: Vec<(Duration, Act)>,
    /// An orchestrator that crashes right after it has written something into its journal, if one does.
    pub death: Option<Death>,
}

/// The crash of an orchestrator at a moment that no clock gives: right after a write, before anybody hears of it.
#[derive(Debug, Clone)]
pub struct Death {
    /// Which orchestrator: 0 or 1.
    pub of: usize,
    /// After how many writes.
    pub writes: u64,
    /// How long it is gone.
    pub gone: Duration,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub enum Act {
    /// What is sent between two hosts is lost, until mended.
    Cut(&'static str, &'static str),
    /// What is sent between two hosts waits, until mended.
    Hold(&'static str, &'static str),
    /// The link is whole again, and what waited arrives.
    Mend(&'static str, &'static str),
    /// A host is gone, in the middle of whatever it does.
    Crash(&'static str),
    /// It is back, with what it had on its disk.
    Bounce(&'static str),
    /// A host's clock is so many milliseconds ahead from now on, or behind.
    SetClock(&'static str, i64),
    /// Something happens at the gateway, or to what it runs.
    Gateway(Order),
    /// A client asks an orchestrator for something.
    Ask(Ask),
}

/// What a client asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Which sandbox.
    pub target: String,
    /// Which orchestrator: 0 or 1.
    pub of: usize,
    /// What.
    pub what: What,
}

/// See [`Ask`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A recovery, by whatever path the evidence calls for.
    Recover,
    /// The end, losses accepted.
    Destroy,
    /// That its last recovery goes back.
    Cancel,
    /// That its last recovery is tried again.
    Retry,
    /// A change of its record's rules for automatic recovery.
    Edit,
    /// Status, verdict and plan: reads.
    Look,
}

impl Script {
    /// Draws the future of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let dialect = if rng.random_bool(0.5) { Dialect::V0_0 } else { Dialect::V0_1 };
        let count = rng.random_range(1..=3);
        let targets: Vec<String> = (1..=count).map(|index| format!("agent-{index}")).collect();
        let acts = draw::acts(&mut rng, &targets);
        let death = draw::death(&mut rng);
        let shared = rng.random_bool(0.5);
        Self { seed, dialect, shared, targets, acts, death }
    }

    /// A future without any trouble but this: the sandbox is lost, and somebody asks for its recovery.
    pub fn calm(seed: u64) -> Self {
        let target = "agent-1".to_owned();
        let lose = Act::Gateway(Order::Lose { sandbox: target.clone() });
        let ask = Ask { target: target.clone(), of: 0, what: What::Recover };
        let acts = vec![(Duration::ZERO, lose), (Duration::from_secs(1), Act::Ask(ask))];
        Self {
            seed,
            dialect: Dialect::V0_0,
            shared: false,
            targets: vec![target],
            acts,
            death: None,
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let journals = if self.shared { "one journal" } else { "a journal each" };
        let targets = self.targets.join(", ");
        writeln!(f, "seed {}: wire {:?}, {journals}, {targets}", self.seed, self.dialect)?;
        if let Some(death) = &self.death {
            writeln!(f, "  {death:?}")?;
        }
        for (at, act) in &self.acts {
            writeln!(f, "  {:>6} ms  {act:?}", at.as_millis())?;
        }
        Ok(())
    }
}
