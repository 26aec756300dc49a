//! Accepting, running, resuming and ending recoveries.
//!
//! One lease per record makes a recovery exclusive over all orchestrators. Whatever is open in the journal and not at work
//! here is taken up by the sweep: after a restart, after a lost lease, and when what a parked one waits for may have come.

mod accept;
mod caller;
mod cancel;
mod follow;
mod lease;
mod open;
mod resume;
mod retention;
mod retire;
mod stranded;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use salvor_core::{
    Approved, SagaKind,
    id::RecoveryName,
    saga::{
        copy::Copy, destroy::Destroy, prune::Prune, rebuild::Rebuild, restore::Restore,
        revive::Revive, snapshot::Snapshot, stale::StaleRecovery,
    },
};
use salvor_proto::{Error, error::Code, gateway::v1 as gateway};
use salvor_runtime::{Tasks, database::at_once, telemetry};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, error, info, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use self::stranded::Stranded;
use crate::{
    collect::{Turns, World},
    folded::{Folded, Standing, folded_found},
    journal::{Found, Header, Journal, Row, Stored},
    obstacle::Obstacle,
    ports::{Lease, Progress},
    runner::{self, Cancel, Run, Stopped},
    words::NextStep,
};

pub use accept::{Accepted, Ask};
pub use retire::Retire;

/// How long a recovery that has been parked may take to give its lease back and leave its place.
const LEAVING: Duration = Duration::from_secs(5);

/// The engine. Clones share it.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    world: World,
    running: Mutex<HashMap<RecoveryName, AtWork>>,
    open: open::Open,
    stranded: Stranded,
    places: Turns,
    in_all: Semaphore,
    /// What tells this orchestrator from the others that share its journal. One that has it to itself takes up at once what it
    /// left by a crash; of several, each waits until the lease of the one that is gone has run out.
    instance: Option<String>,
    tasks: Tasks,
}

/// A recovery to set to work.
#[derive(Debug)]
struct Work {
    header: Header,
    approved: Approved,
    rows: Vec<Row>,
    lease: Lease,
    /// It was at work before, under another span.
    resumed: bool,
    /// What its caller asked for, if that was whatever the evidence calls for.
    open_to: Option<Ask>,
}

/// What others may know of, and say to, a recovery at work here.
#[derive(Debug, Clone)]
struct AtWork {
    cancel: Cancel,
    progress: Progress,
}

/// A recovery's place among those at work here. Dropping it frees the place.
#[derive(Debug)]
struct Place {
    inner: Arc<Inner>,
    name: RecoveryName,
    at_work: AtWork,
}

impl Engine {
    /// An engine over the world's journal. `tasks` owns what it spawns, and tells it when to stop.
    pub fn new(world: World, tasks: Tasks) -> Self {
        let in_all = world.config.max_running.max(1);
        let places = Turns::new((in_all / 4).max(1));
        let in_all = Semaphore::new(in_all);
        let (running, open) = (Mutex::default(), open::Open::default());
        let stranded = Stranded::default();
        let shared = world.journal.is_shared();
        let instance = shared.then(|| uuid::Uuid::new_v4().simple().to_string());
        let inner = Inner { world, running, open, stranded, places, in_all, instance, tasks };
        Self { inner: Arc::new(inner) }
    }

    /// Whom it asks.
    pub fn world(&self) -> &World {
        &self.inner.world
    }

    /// Where it writes.
    pub fn journal(&self) -> &Journal {
        &self.inner.world.journal
    }

    /// Who holds a lease on behalf of a recovery.
    fn holder(&self, name: &RecoveryName) -> String {
        match &self.inner.instance {
            Some(instance) => format!("{name}@{instance}"),
            None => name.to_string(),
        }
    }

    /// One recovery, as it is found: one that this version cannot go on with, too.
    ///
    /// # Errors
    /// NOT_FOUND; it has ended and cannot be read.
    pub async fn found(&self, name: &RecoveryName) -> Result<(Found, Folded), Error> {
        let found = at_once(self.journal().found(name)).await?.ok_or_else(|| {
            Error::not_found("RECOVERY_NOT_FOUND", format!("there is no {name}"))
                .next_step(NextStep::ListRecoveries.of(""))
        })?;
        let folded = folded_found(&found)?;
        Ok((found, folded))
    }

    /// One recovery that this version can read.
    ///
    /// # Errors
    /// As [`found`](Self::found); its header cannot be read.
    pub async fn recovery(&self, name: &RecoveryName) -> Result<(Stored, Folded), Error> {
        let (found, folded) = self.found(name).await?;
        if let Err(illegible) = &found.header {
            return Err(Obstacle::of_header(illegible).error(name));
        }
        Ok((found.whole()?, folded))
    }

    /// Waits until a recovery has ended, is parked or turns out to be stranded, or `limit` is over; answers it as it is then.
    ///
    /// # Errors
    /// As [`found`](Self::found).
    pub async fn wait(
        &self,
        name: &RecoveryName,
        limit: Duration,
    ) -> Result<(Found, Folded), Error> {
        let mut waiting = self.journal().waiting(name);
        let settled = async {
            loop {
                waiting.begin();
                let found = self.found(name).await?;
                if found.1.standing.is_settled() {
                    return Ok(found);
                }
                waiting.changed().await;
                // At work here it settles when it leaves its place, and until then nobody need read all of it at each event.
                while self.is_running(name) {
                    waiting.changed().await;
                }
            }
        };
        match timeout(limit, settled).await {
            Ok(found) => found,
            Err(_) => self.found(name).await,
        }
    }

    /// How far the step in hand of a recovery is, if it is at work here and the step is one that takes long.
    pub fn progress(&self, name: &RecoveryName) -> Option<gateway::Progress> {
        let running = self.inner.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(name).and_then(|at_work| at_work.progress.borrow().clone())
    }

    /// Whether it is at work here.
    fn is_running(&self, name: &RecoveryName) -> bool {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    /// Takes the one place there is here for a recovery at work; `None` if it is taken.
    fn reserve(&self, name: &RecoveryName) -> Option<Place> {
        let mut running = self.inner.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.contains_key(name) {
            return None;
        }
        let at_work = AtWork { cancel: Cancel::default(), progress: Progress::new(None) };
        running.insert(name.clone(), at_work.clone());
        Some(Place { inner: Arc::clone(&self.inner), name: name.clone(), at_work })
    }

    /// A place for an open recovery; `None` when it is at work. One that has just been parked is about to leave its place.
    async fn place(&self, name: &RecoveryName) -> Result<Option<Place>, Error> {
        let asked = Instant::now();
        loop {
            if let Some(place) = self.reserve(name) {
                return Ok(Some(place));
            }
            let (_, folded) = self.found(name).await?;
            if !matches!(folded.standing, Standing::Parked(_)) {
                return Ok(None);
            }
            if asked.elapsed() > LEAVING {
                return Err(Error::new(Code::Busy, "RECOVERY_OPEN", format!("{name} is at work"))
                    .with("holder", name.to_string())
                    .next_step(NextStep::Wait.of(name.as_str())));
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sets a recovery to work under a lease.
    fn start(&self, place: Place, work: Work) {
        let Work { header, approved, rows, lease, resumed, open_to } = work;
        let span = open_span(&header, resumed);
        let engine = self.clone();
        self.inner.tasks.spawn("recovery", move |stopping| {
            let run = Run {
                world: engine.world().clone(),
                journal: engine.journal().clone(),
                header,
                approved,
                lease,
                stopping,
                fenced: CancellationToken::new(),
                cancel: place.at_work.cancel.clone(),
                rows: Mutex::new(rows),
                progress: place.at_work.progress.clone(),
            };
            async move {
                let name = run.header.name.clone();
                Box::pin(engine.clone().work(run)).await;
                drop(place);
                if let Some(ask) = open_to {
                    engine.follow(&name, ask).await;
                }
            }
            .instrument(span)
        });
    }

    async fn work(self, run: Run) {
        // The lease is kept while it waits for its turn, too.
        let stopped = tokio::select! {
            biased;
            stopped = self.in_turn(&run) => stopped,
            never = self.heed_cancellation(&run) => match never {},
            () = lease::keep(&run) => Ok(Stopped::Handed),
        };
        match &stopped {
            Ok(stopped) => info!(recovery = %run.name(), ?stopped, "recovery left the runner"),
            // As it should be: whoever took it over goes on with it.
            Err(error) if error.reason() == "JOURNAL_CONFLICT" => {
                info!(recovery = %run.name(), %error, "recovery left the runner");
            }
            Err(error) => error!(recovery = %run.name(), %error, "recovery left the runner"),
        }
        if !matches!(stopped, Ok(Stopped::Finished)) {
            self.inner.open.left(run.name());
        }
        if !run.fenced.is_cancelled() {
            lease::give_back(&run).await;
        }
    }

    /// Runs once there is room for one more at work on its gateway, and in all. What goes back does not wait for it.
    async fn in_turn(&self, run: &Run) -> Result<Stopped, Error> {
        let owner = run.target().owner();
        let room = async {
            let turn = self.inner.places.at(&owner).await;
            (turn, self.inner.in_all.acquire().await)
        };
        let room = tokio::select! {
            biased;
            () = run.stopping.cancelled() => return Ok(Stopped::Handed),
            room = room => Some(room),
            () = self.goes_back(run) => None,
        };
        let stopped = drive(run).await;
        drop(room);
        stopped
    }

    /// Resolves once it is asked to go back, and can.
    async fn goes_back(&self, run: &Run) {
        run.cancel.asked().await;
        let found = self.found(run.name()).await;
        if !found.is_ok_and(|(_, folded)| folded.cancellable) {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.inner.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.name);
        drop(running);
        self.inner.world.journal.changed(&self.name);
    }
}

async fn drive(run: &Run) -> Result<Stopped, Error> {
    match run.header.saga() {
        SagaKind::StaleRecovery => Box::pin(runner::run::<StaleRecovery>(run)).await,
        SagaKind::Revive => Box::pin(runner::run::<Revive>(run)).await,
        SagaKind::Destroy => Box::pin(runner::run::<Destroy>(run)).await,
        SagaKind::Rebuild => Box::pin(runner::run::<Rebuild>(run)).await,
        SagaKind::Snapshot => Box::pin(runner::run::<Snapshot>(run)).await,
        SagaKind::Restore => Box::pin(runner::run::<Restore>(run)).await,
        SagaKind::Copy => Box::pin(runner::run::<Copy>(run)).await,
        SagaKind::Prune => Box::pin(runner::run::<Prune>(run)).await,
    }
}

/// The recovery's own span. A resumed one belongs to the same trace, and is linked to the first.
fn open_span(header: &Header, resumed: bool) -> Span {
    use telemetry::attr;
    let name = format!("recovery {}", header.saga().as_str());
    let first = header.traceparent.as_ref().filter(|_| resumed);
    let span = if let Some(first) = first {
        let span = info_span!(parent: None, "recovery", otel.name = name);
        telemetry::set_parent(&span, first);
        telemetry::link(&span, first);
        span
    } else {
        info_span!("recovery", otel.name = name)
    };
    span.set_attribute(attr::RECOVERY_ID, header.name.to_string());
    span.set_attribute(attr::RECOVERY_SAGA, header.saga().as_str());
    span.set_attribute(attr::SANDBOX_NAME, header.target().to_string());
    span.set_attribute(attr::GATEWAY_NAME, header.target().owner().to_string());
    span.set_attribute(attr::PLAN_DIGEST, header.plan.digest.to_string());
    span
}
