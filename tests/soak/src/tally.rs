//! What is counted: what was done, what came of it, what was refused, and every check that failed.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use salvor_proto::error::received;
use tokio::time::Instant;
use tonic::Status;

/// How much of a message is shown.
const SHOWN: usize = 150;

/// All counts of a run.
#[derive(Debug)]
pub(crate) struct Tally {
    begun: Instant,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// By what they were for and how they ended.
    recoveries: BTreeMap<String, u64>,
    deeds: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    /// With the first message of each.
    errors: BTreeMap<String, (u64, String)>,
    violations: Vec<String>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), counts: Mutex::default() }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A recovery ended, or is parked.
    pub(crate) fn recovery(&self, how: &str) {
        *self.counts().recoveries.entry(how.to_owned()).or_default() += 1;
    }

    /// Something was done, or seen.
    pub(crate) fn deed(&self, what: &str) {
        *self.counts().deeds.entry(what.to_owned()).or_default() += 1;
    }

    /// Something was made to go wrong.
    pub(crate) fn fault(&self, kind: &str) {
        *self.counts().faults.entry(kind.to_owned()).or_default() += 1;
    }

    /// A call was answered with an error, or not at all.
    pub(crate) fn error(&self, call: &str, status: &Status) {
        let reason = received(status).reason.unwrap_or_else(|| "-".to_owned());
        let key = format!("{call}: {:?} {reason}", status.code());
        let mut counts = self.counts();
        let first = || (0, status.message().chars().take(SHOWN).collect());
        counts.errors.entry(key).or_insert_with(first).0 += 1;
    }

    /// A check failed. It is told at once.
    pub(crate) fn violated(&self, what: &str) {
        let at = self.begun.elapsed().as_secs_f64();
        let line = format!("VIOLATED at {at:.1} s: {what}");
        println!("{line}");
        self.counts().violations.push(line);
    }

    /// Whether no check failed.
    pub(crate) fn held(&self) -> bool {
        self.counts().violations.is_empty()
    }

    /// Recoveries, faults and errors so far.
    pub(crate) fn sums(&self) -> (u64, u64, u64) {
        let counts = self.counts();
        let errors = counts.errors.values().map(|(count, _)| count).sum();
        (counts.recoveries.values().sum(), counts.faults.values().sum(), errors)
    }

    pub(crate) fn print(&self) {
        let counts = self.counts();
        for (title, part) in [
            ("recoveries, as those who asked saw them end", &counts.recoveries),
            ("deeds", &counts.deeds),
            ("faults", &counts.faults),
        ] {
            println!("\n{title}");
            for (what, count) in part {
                println!("{count:8}  {what}");
            }
        }
        println!("\nerrors, with the first message of each");
        for (what, (count, message)) in &counts.errors {
            println!("{count:8}  {what}  \"{message}\"");
        }
        println!("\nchecks that failed: {}", counts.violations.len());
        for line in &counts.violations {
            println!("{line}");
        }
    }
}
