//! The hand behind the world: events, faults, the call log, and looks at what is really there.
//!
//! A sandbox is named `name` (in workspace `default`) or `workspace/name`. Events act on the
//! container at once; the row follows at a real gateway's scaled pace, see [`Control::wait`].
//!
//! Deliberately absent: anything a client of the vendor's API could do itself.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tonic::Code;

use crate::calls::Call;
use crate::core::{Core, Health};
use crate::faults::Fault;
use crate::refusal::Refusal;
use crate::server::Front;
use crate::world::lookup::Scope;
use crate::world::phase::Phase;
use crate::world::store::Sandbox;
use crate::world::{DEFAULT_WORKSPACE, Deed, Target, World};

pub(crate) mod http;
mod order;
mod restart;

pub use order::Order;
pub use restart::Restart;

/// A cheap handle on a running gateway; clones act on the same one.
#[derive(Clone)]
pub struct Control {
    core: Arc<Core>,
    front: Arc<Front>,
}

/// Why an order to the gateway was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such sandbox in the store.
    #[error("no sandbox {0}")]
    NoSandbox(String),
    /// The gateway refused, in the words that a client would get.
    #[error("refused with {code:?}: {message}")]
    Refused {
        /// The gRPC code.
        code: Code,
        /// The gateway's message.
        message: String,
    },
}

/// A sandbox as it really is: its row, and what is there behind it.
#[derive(Clone, Serialize)]
pub struct SandboxView {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// The workspace.
    pub workspace: String,
    /// The phase that clients see.
    pub phase: Phase,
    /// The reason of the condition that clients see.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// The main process's exit code, if it was reported.
    pub exit_code: Option<i32>,
    /// Changes with every start.
    pub instance_id: String,
    /// Grows with every write.
    pub resource_version: u64,
    /// As created.
    pub labels: BTreeMap<String, String>,
    /// As created and updated.
    pub annotations: BTreeMap<String, String>,
    /// The spec's bytes; may hold secrets.
    #[serde(skip)]
    pub spec: Vec<u8>,
    /// The policy revision in force.
    pub policy_version: u32,
    /// Its digest, or empty.
    pub policy_hash: String,
    /// What the sandbox calls `/sandbox`.
    pub root: PathBuf,
    /// Whether the container exists.
    pub container: bool,
    /// Its live processes.
    pub processes: Vec<i32>,
}

// === impl Control: what happens ===

impl Control {
    pub(crate) fn new(core: Arc<Core>, front: Arc<Front>) -> Self {
        Self { core, front }
    }

    /// Removes the container behind the gateway's back. The row goes to `DependenciesNotReady`
    /// and is gone 1.8 seconds (scaled) later.
    pub async fn lose(&self, sandbox: &str) -> Result<(), Error> {
        self.world().lose(&target(sandbox)).await.map_err(|refusal| error(sandbox, refusal))
    }

    /// Kills the container, which remains: ERROR/ContainerExited.
    pub async fn kill(&self, sandbox: &str) -> Result<(), Error> {
        self.world().kill(&target(sandbox)).await.map_err(|refusal| error(sandbox, refusal))
    }

    /// Stops the container behind the gateway's back: ERROR/MainProcessExited with 143.
    pub async fn stop_container(&self, sandbox: &str) -> Result<(), Error> {
        self.main_exit(sandbox, 143).await
    }

    /// Ends the main process with this code: ERROR/MainProcessExited.
    pub async fn main_exit(&self, sandbox: &str, code: i32) -> Result<(), Error> {
        let done = self.world().main_exit(&target(sandbox), code).await;
        done.map_err(|refusal| error(sandbox, refusal))
    }

    /// Pauses the container: ERROR/ContainerPaused, for good.
    pub async fn pause(&self, sandbox: &str) -> Result<(), Error> {
        self.world().freeze(&target(sandbox)).await.map_err(|refusal| error(sandbox, refusal))
    }

    /// Unpauses it; the phase stays.
    pub async fn unpause(&self, sandbox: &str) -> Result<(), Error> {
        self.world().thaw(&target(sandbox)).await.map_err(|refusal| error(sandbox, refusal))
    }

    /// Cuts the supervisor's session: PROVISIONING/DependenciesNotReady, processes go on.
    pub fn disconnect(&self, sandbox: &str) -> Result<(), Error> {
        self.world().disconnect(&target(sandbox)).map_err(|refusal| error(sandbox, refusal))
    }

    /// Restores it: READY again half a second (scaled) later, same id and instance.
    pub fn reconnect(&self, sandbox: &str) -> Result<(), Error> {
        self.world().reconnect(&target(sandbox)).map_err(|refusal| error(sandbox, refusal))
    }

    /// A phase flap: cut and restored in one go.
    pub fn flap(&self, sandbox: &str) -> Result<(), Error> {
        self.disconnect(sandbox)?;
        self.reconnect(sandbox)
    }

    /// Puts the sandbox into ERROR with this reason; its processes end. `GatewayUnreachable` and
    /// `ContainerExited` can be started again in the 0.1 dialect.
    pub async fn fail(&self, sandbox: &str, reason: &str, message: &str) -> Result<(), Error> {
        let done = self.world().fail(&target(sandbox), reason, message).await;
        done.map_err(|refusal| error(sandbox, refusal))
    }

    /// Deletes the row from the store; processes and directory stay. Returns the id.
    pub fn orphan(&self, sandbox: &str) -> Result<String, Error> {
        self.world().orphan(&target(sandbox)).map_err(|refusal| error(sandbox, refusal))
    }

    /// Replaces the sandbox by a stranger of the same name. Returns the stranger's id.
    pub async fn replace(&self, sandbox: &str) -> Result<String, Error> {
        let done = self.world().replace(&target(sandbox)).await;
        done.map_err(|refusal| error(sandbox, refusal))
    }

    /// Makes the row look older, for sweeps that wait for a row's age.
    pub fn age(&self, sandbox: &str, by: Duration) -> Result<(), Error> {
        self.world().age(&target(sandbox), by).map_err(|refusal| error(sandbox, refusal))
    }

    /// Runs one reconcile sweep now: bumps versions, prunes what is missing and old enough.
    pub fn sweep(&self) {
        self.world().sweep();
    }
}

// === impl Control: misbehaviour ===

impl Control {
    /// Sets a fault, beside those that are set.
    pub fn fault(&self, fault: Fault) {
        self.core.faults.add(fault);
    }

    /// The faults that are set.
    pub fn faults(&self) -> Vec<Fault> {
        self.core.faults.all()
    }

    /// Clears every fault, and serves the calls that are held. Calls that already hang stay hanging.
    pub fn clear_faults(&self) {
        self.core.faults.clear();
    }

    /// What `Health` says of the gateway. The call itself succeeds; see [`Fault::fail`].
    pub fn set_health(&self, health: Health) {
        self.core.set_health(health);
    }

    /// The version that `Health` reports from now on. The dialect stays.
    pub fn set_version(&self, version: &str) {
        self.core.set_version(version.to_owned());
    }

    /// At most `requests` calls per `window` (not scaled) from all callers; `None` lifts it.
    pub fn set_rate_limit(&self, limit: Option<(usize, Duration)>) {
        self.core.set_rate_limit(limit);
    }

    /// How long a deleted row stays visible as DELETING (before scaling); 50 ms at first.
    pub fn set_deletion_linger(&self, linger: Duration) {
        self.world().set_deletion_linger(linger);
    }

    /// How many request ids it admits of a caller in 24 hours (0.1 dialect); 1,000 at first.
    pub fn set_max_admissions(&self, count: usize) {
        self.world().set_max_admissions(count);
    }
}

// === impl Control: looks ===

impl Control {
    /// Where gRPC is served, or was before [`Control::down`].
    pub fn addr(&self) -> SocketAddr {
        self.front.addr()
    }

    /// The address as a URI.
    pub fn uri(&self) -> String {
        let tls = self.core.config().auth.tls().is_some();
        format!("{}://{}", if tls { "https" } else { "http" }, self.addr())
    }

    /// Every RPC since the start or the last clear, in order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.core.calls.all()
    }

    /// Those that change the gateway or a sandbox, answered or not. Execs are not among them.
    pub fn mutating_calls(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.mutating).collect()
    }

    /// What was done to sandboxes because somebody asked for it, in order, by id.
    pub fn deeds(&self) -> Vec<Deed> {
        self.world().deeds.all()
    }

    /// Empties the call log.
    pub fn clear_calls(&self) {
        self.core.calls.clear();
    }

    /// Waits for a logged call that satisfies `predicate`; `None` when the time is up.
    pub async fn wait_for_call(
        &self,
        predicate: impl Fn(&Call) -> bool,
        within: Duration,
    ) -> Option<Call> {
        self.core.calls.wait_for(predicate, within).await
    }

    /// The sandbox of this name, if the store has it.
    pub fn sandbox(&self, sandbox: &str) -> Option<SandboxView> {
        let row = self.world().get(&target(sandbox)).ok()?;
        Some(self.view(row))
    }

    /// Whether a sandbox of this name is ready and has live processes.
    pub fn live(&self, sandbox: &str) -> bool {
        self.sandbox(sandbox)
            .is_some_and(|view| view.phase == Phase::Ready && !view.processes.is_empty())
    }

    /// Every sandbox of every workspace, oldest first.
    pub fn sandboxes(&self) -> Vec<SandboxView> {
        let rows = self.world().list(&Scope::All, "").unwrap_or_default();
        rows.into_iter().map(|row| self.view(row)).collect()
    }

    /// Ids of containers that no row owns, running or not.
    pub fn orphans(&self) -> Vec<String> {
        self.world().orphans()
    }

    /// Live processes of a sandbox id, with or without a row.
    pub fn processes_of(&self, id: &str) -> Vec<i32> {
        self.world().driver.processes(id)
    }

    /// The id of workspace `default`: the identity of the store.
    pub fn store_id(&self) -> String {
        self.world().workspace(DEFAULT_WORKSPACE).map(|row| row.id).unwrap_or_default()
    }

    /// Waits until `predicate` holds for the sandbox (`None`: the store has none of that name).
    /// Returns the last look, and whether the predicate held within the time.
    pub async fn wait(
        &self,
        sandbox: &str,
        predicate: impl Fn(Option<&SandboxView>) -> bool,
        within: Duration,
    ) -> (Option<SandboxView>, bool) {
        let mut changes = self.world().changes();
        let deadline = tokio::time::Instant::now() + within;
        loop {
            changes.mark_unchanged();
            let view = self.sandbox(sandbox);
            if predicate(view.as_ref()) {
                return (view, true);
            }
            let woken = tokio::time::timeout_at(deadline, changes.changed()).await;
            if !matches!(woken, Ok(Ok(()))) {
                return (view, false);
            }
        }
    }

    /// Waits for a phase; whether it came within the time.
    pub async fn wait_phase(&self, sandbox: &str, phase: Phase, within: Duration) -> bool {
        let reached = |view: Option<&SandboxView>| view.is_some_and(|view| view.phase == phase);
        self.wait(sandbox, reached, within).await.1
    }

    /// Waits until the store has no sandbox of this name; whether that came within the time.
    pub async fn wait_absent(&self, sandbox: &str, within: Duration) -> bool {
        self.wait(sandbox, |view| view.is_none(), within).await.1
    }

    pub(crate) fn world(&self) -> &Arc<World> {
        &self.core.world
    }

    pub(crate) fn front(&self) -> &Arc<Front> {
        &self.front
    }

    fn view(&self, row: Sandbox) -> SandboxView {
        let root = self.world().root(&row.id);
        let in_force = row.revisions.iter().find(|last| last.version == row.policy_version);
        SandboxView {
            policy_hash: in_force.map(|last| last.hash.clone()).unwrap_or_default(),
            root: root.workspace(),
            container: root.exists(),
            processes: self.processes_of(&row.id),
            id: row.id,
            name: row.name,
            workspace: row.workspace,
            phase: row.phase,
            reason: row.condition.reason,
            message: row.condition.message,
            exit_code: row.exit_code,
            instance_id: row.instance_id,
            resource_version: row.resource_version,
            labels: row.labels,
            annotations: row.annotations,
            spec: row.spec,
            policy_version: row.policy_version,
        }
    }
}

// === impl Debug ===

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

impl fmt::Debug for SandboxView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxView")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("phase", &self.phase)
            .field("reason", &self.reason)
            .field("processes", &self.processes)
            .finish_non_exhaustive()
    }
}

fn target(sandbox: &str) -> Target {
    let (workspace, name) = sandbox.split_once('/').unwrap_or((DEFAULT_WORKSPACE, sandbox));
    Target::Name { workspace: workspace.to_owned(), name: name.to_owned() }
}

fn error(sandbox: &str, refusal: Refusal) -> Error {
    if refusal.code == Code::NotFound {
        Error::NoSandbox(sandbox.to_owned())
    } else {
        Error::Refused { code: refusal.code, message: refusal.message }
    }
}
