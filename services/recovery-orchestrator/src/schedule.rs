//! Snapshots that nobody asks for: each record that has an interval gets one when it is due, and never at the cost of anything
//! else.
//!
//! Invariants: at most so many at work per gateway, and in all; none for a sandbox that is not known to be READY, or that a
//! recovery works on; what was refused waits longer each time. The fleet is walked page by page. A snapshot goes the way of a
//! caller's request, lease and guards included: of several orchestrators one gets the lease. Deliberately absent: a list of what
//! is due. The records say it.

mod fleet;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use salvor_core::{
    Timestamp,
    name::{GatewayName, RecordName},
    schedule::due,
};
use salvor_proto::Error;
use salvor_runtime::{Clock, Tasks};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// The first wait after a try that was not even begun; it doubles, up to the record's interval.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// So many records that wait are remembered. More are looked at in each round; that costs a look, and no more.
const MAX_WAITING: usize = 10_000;

/// How snapshots are scheduled.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Between two walks over the fleet; zero turns the schedule off. Default 30 s: half of the shortest interval.
    pub poll: Duration,
    /// Scheduled snapshots at work at once on one gateway. Default 2: its exec relay is the slow part.
    pub per_gateway: usize,
    /// Scheduled snapshots at work at once. Default 8.
    pub in_all: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { poll: Duration::from_secs(30), per_gateway: 2, in_all: 8 }
    }
}

/// A record that wants snapshots.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) name: RecordName,
    pub(crate) interval: Duration,
    /// When its record was last written.
    pub(crate) written: Timestamp,
    /// When the last try ended.
    pub(crate) tried: Option<Timestamp>,
}

/// A page of them.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) candidates: Vec<Candidate>,
    /// Where the next one begins; empty on the last.
    pub(crate) next: String,
}

/// What became of a record's turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It was tried, or had been meanwhile; the record says what came of it.
    Taken,
    /// It was not begun.
    NotNow,
}

/// What the schedule asks of the orchestrator.
pub(crate) trait Fleet: Send + Sync + 'static {
    /// A page of the records.
    fn page(&self, token: String) -> impl Future<Output = Result<Page, Error>> + Send;

    /// Takes a snapshot, to its end, if one is still due: a page shows its records as they were when the walk began.
    fn snapshot(&self, name: &RecordName) -> impl Future<Output = Turn> + Send;
}

/// Walks over the fleet until the tasks are told to stop.
pub(crate) fn start(fleet: impl Fleet, clock: Arc<dyn Clock>, settings: Settings, tasks: &Tasks) {
    if settings.poll.is_zero() {
        return;
    }
    let places = Arc::new(Semaphore::new(settings.in_all.max(1)));
    let schedule = Arc::new(Schedule {
        fleet,
        clock,
        settings,
        tasks: tasks.clone(),
        places,
        state: Mutex::default(),
    });
    tasks.spawn("schedule", move |stopping| async move { schedule.run(stopping).await });
}

struct Schedule<F> {
    fleet: F,
    clock: Arc<dyn Clock>,
    settings: Settings,
    tasks: Tasks,
    places: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// At work, with their gateways.
    at_work: HashMap<RecordName, GatewayName>,
    waiting: HashMap<RecordName, Waiting>,
}

/// Until when a record is left alone, and how often it was not begun in a row.
struct Waiting {
    until: Timestamp,
    times: u32,
}

impl Waiting {
    /// Nothing waits for longer than an interval, but by a clock that was ahead.
    fn holds(&self, now: Timestamp, interval: Duration) -> bool {
        now < self.until && self.until <= now.after(interval)
    }
}

impl<F: Fleet> Schedule<F> {
    async fn run(self: Arc<Self>, stopping: CancellationToken) {
        loop {
            let walked = tokio::select! {
                () = stopping.cancelled() => return,
                walked = self.walk() => walked,
            };
            if let Err(error) = walked {
                tracing::warn!(%error, "the records could not be walked; the schedule goes on later");
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = sleep(self.settings.poll) => {}
            }
        }
    }

    /// Once over all records. It waits where all places are taken, so that those at the end get their turn as well.
    async fn walk(self: &Arc<Self>) -> Result<(), Error> {
        let mut token = String::new();
        loop {
            let page = self.fleet.page(token).await?;
            for candidate in page.candidates {
                if self.has_its_turn(&candidate) {
                    let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                        return Ok(());
                    };
                    self.begin(candidate, place);
                }
            }
            if page.next.is_empty() {
                return Ok(());
            }
            token = page.next;
        }
    }

    fn has_its_turn(&self, candidate: &Candidate) -> bool {
        let Candidate { name, interval, written, tried } = candidate;
        let now = self.now();
        if due(name, *interval, *written, *tried, now) > now {
            return false;
        }
        let state = self.state();
        let owner = name.owner();
        let busy = state.at_work.values().filter(|gateway| **gateway == owner).count();
        busy < self.settings.per_gateway.max(1)
            && !state.at_work.contains_key(name)
            && state.waiting.get(name).is_none_or(|waiting| !waiting.holds(now, *interval))
    }

    fn begin(self: &Arc<Self>, candidate: Candidate, place: OwnedSemaphorePermit) {
        self.state().at_work.insert(candidate.name.clone(), candidate.name.owner());
        let schedule = Arc::clone(self);
        self.tasks.spawn("scheduled snapshot", move |stopping| async move {
            let turn = tokio::select! {
                // The recovery itself is told by the engine.
                () = stopping.cancelled() => return,
                turn = schedule.fleet.snapshot(&candidate.name) => turn,
            };
            schedule.end(&candidate, turn);
            drop(place);
        });
    }

    fn end(&self, candidate: &Candidate, turn: Turn) {
        let now = self.now();
        let mut state = self.state();
        state.at_work.remove(&candidate.name);
        let before = state.waiting.remove(&candidate.name);
        if turn == Turn::Taken {
            return;
        }
        if state.waiting.len() >= MAX_WAITING {
            state.waiting.retain(|_, waiting| waiting.until > now);
        }
        if state.waiting.len() < MAX_WAITING {
            let times = before.map_or(0, |waiting| waiting.times);
            let wait = FIRST_WAIT.saturating_mul(1 << times.min(20)).min(candidate.interval);
            let waiting = Waiting { until: now.after(wait), times: times.saturating_add(1) };
            state.waiting.insert(candidate.name.clone(), waiting);
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.clock.now_ms())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
