//! The gateway's world: its store, the containers beside it, and what changes them.
//!
//! Both dialects call the same methods here, in one vocabulary. A row and its container are
//! separate things on purpose: most of what goes wrong in the field is one without the other.
//!
//! Invariant: a background step carries the epoch of the lifecycle change that began it, and
//! does nothing once a later change has raised the row's epoch.
//!
//! Deliberately absent: wire types, authentication, faults and the call log.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::driver::{Driver, Root};
use crate::refusal::{Outcome, Refusal};

mod admissions;
mod boot;
mod config_updates;
mod deeds;
mod events;
pub(crate) mod labels;
mod lifecycle;
pub(crate) mod lookup;
pub(crate) mod phase;
mod policy;
mod providers;
pub(crate) mod rules;
mod spec;
pub(crate) mod store;
mod sweep;
mod workspaces;

pub(crate) use config_updates::{ConfigChange, EffectiveConfig};
pub use deeds::{Deed, DeedKind};
pub(crate) use lifecycle::{Deleted, NewSandbox};
pub(crate) use providers::NewProvider;

use phase::{Condition, Shown};
use store::{Sandbox, Store};

/// The workspace that always exists and is meant when none is named (0.0 dialect only).
pub(crate) const DEFAULT_WORKSPACE: &str = "default";
/// In-flight execs per sandbox.
const MAX_RELAYS: usize = 32;

/// A name in a workspace, or an id.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    Name { workspace: String, name: String },
    Id(String),
}

/// The running side of one container.
#[derive(Clone)]
pub(crate) struct Session {
    /// Cancelled when the container's processes are taken down.
    pub(crate) over: CancellationToken,
    pub(crate) relays: Arc<Semaphore>,
}

/// See the module.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) driver: Driver,
    store: Mutex<Store>,
    sessions: Mutex<HashMap<String, Session>>,
    serial: AtomicU64,
    pub(crate) deeds: deeds::Deeds,
    /// How long a deleted row stays visible, in real time before scaling.
    deletion_linger: Mutex<Duration>,
    max_admissions: AtomicUsize,
    changes: watch::Sender<u64>,
    pub(crate) tasks: TaskTracker,
    pub(crate) over: CancellationToken,
}

// === impl World ===

impl World {
    /// Opens the store under the data directory, minting its identity when it is new.
    pub(crate) fn open(config: Config, driver: Driver) -> io::Result<Arc<Self>> {
        let store = Store::open(&config.data_dir.join("store"))?;
        let serial = store.sandboxes.values().map(|row| row.serial).max().unwrap_or(0);
        let world = Arc::new(Self {
            store: Mutex::new(store),
            sessions: Mutex::default(),
            serial: AtomicU64::new(serial),
            deeds: deeds::Deeds::default(),
            deletion_linger: Mutex::new(Duration::from_millis(50)),
            max_admissions: AtomicUsize::new(admissions::MAX_ADMISSIONS),
            changes: watch::Sender::new(0),
            tasks: TaskTracker::new(),
            over: CancellationToken::new(),
            driver,
            config,
        });
        world.mint_default_workspace()?;
        Ok(world)
    }

    /// The files of one sandbox.
    pub(crate) fn root(&self, id: &str) -> Root {
        self.driver.root(id)
    }

    /// Changes with every write to any row.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How long a deleted row stays visible, before scaling.
    pub(crate) fn set_deletion_linger(&self, linger: Duration) {
        *lock(&self.deletion_linger) = linger;
    }

    /// How many request ids a caller may have had within 24 hours.
    pub(crate) fn set_max_admissions(&self, count: usize) {
        self.max_admissions.store(count, Ordering::Relaxed);
    }

    /// The ids of every container, with or without a row.
    pub(crate) fn container_ids(&self) -> Vec<String> {
        self.driver.ids()
    }

    /// The running side of a container.
    pub(crate) fn session(&self, id: &str) -> Option<Session> {
        lock(&self.sessions).get(id).cloned()
    }

    fn open_session(&self, id: &str) {
        let session = Session {
            over: CancellationToken::new(),
            relays: Arc::new(Semaphore::new(MAX_RELAYS)),
        };
        lock(&self.sessions).insert(id.to_owned(), session);
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    fn note(&self, kind: DeedKind, row: &Sandbox) {
        let store = self.workspace(DEFAULT_WORKSPACE).map(|workspace| workspace.id);
        self.deeds.note(kind, row, store.unwrap_or_default());
    }

    fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn notify(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Changes one row and writes it. On a refusal nothing has changed.
    fn update(
        &self,
        id: &str,
        change: impl FnOnce(&mut Sandbox) -> Outcome<()>,
    ) -> Outcome<Sandbox> {
        let mut store = self.store();
        let mut row = store.sandboxes.get(id).cloned().ok_or_else(Refusal::no_sandbox)?;
        change(&mut row)?;
        row.resource_version += 1;
        store.sandboxes.put(id, row.clone())?;
        drop(store);
        self.notify();
        Ok(row)
    }

    /// Begins a lifecycle change: later steps of earlier ones no longer apply.
    fn begin(
        &self,
        id: &str,
        change: impl FnOnce(&mut Sandbox) -> Outcome<()>,
    ) -> Outcome<Sandbox> {
        self.update(id, |row| {
            change(row)?;
            row.epoch += 1;
            Ok(())
        })
    }

    /// A step of the change that began `epoch`; whether it still applied.
    fn step(&self, id: &str, epoch: u64, change: impl FnOnce(&mut Sandbox)) -> bool {
        let result = self.update(id, |row| {
            if row.epoch != epoch {
                return Err(Refusal::precondition("superseded"));
            }
            change(row);
            Ok(())
        });
        result.is_ok()
    }

    /// Removes a row, if the change that began `epoch` is still the last one.
    fn remove_row(&self, id: &str, epoch: Option<u64>) -> Outcome<bool> {
        let mut store = self.store();
        let current = store.sandboxes.get(id).map(|row| row.epoch);
        if current.is_none() || epoch.is_some_and(|epoch| current != Some(epoch)) {
            return Ok(false);
        }
        store.sandboxes.remove(id)?;
        drop(store);
        self.notify();
        Ok(true)
    }

    /// Waits for a real gateway's `real` time, scaled; whether the world is still running.
    async fn pause(&self, real: Duration) -> bool {
        tokio::select! {
            () = self.over.cancelled() => false,
            () = tokio::time::sleep(self.config.scaled(real)) => true,
        }
    }

    /// Runs a step in the background until it ends or the world does.
    fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let over = self.over.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = work => {}
            }
        });
    }
}

// === impl Sandbox ===

impl Sandbox {
    fn show(&mut self, shown: Shown) {
        self.phase = shown.phase;
        self.condition = Condition {
            ready: matches!(shown.phase, phase::Phase::Ready),
            reason: shown.reason.to_owned(),
            message: shown.message.to_owned(),
            at_ms: now_ms(),
        };
    }
}

/// What a command in this sandbox finds in its environment.
pub(crate) fn environment_of(row: &Sandbox) -> BTreeMap<String, String> {
    let Ok(seen) = spec::look(&row.spec) else { return BTreeMap::new() };
    let mut env = seen.template.map(|template| template.environment).unwrap_or_default();
    env.extend(seen.environment);
    env
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A lock whose holder panicked still guards consistent rows: writes are whole or not at all.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
