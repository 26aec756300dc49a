//! Create, stop, start and delete, and how a container comes up and goes down.
//!
//! Timings are a real gateway's and are scaled. Create answers before the container exists, so
//! whatever is wrong with the image or the command shows up in the status later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tonic::Code;
use uuid::Uuid;

use super::phase::{self, Condition, Phase, Shown, startable};
use super::store::{Revision, RevisionStatus, Sandbox};
use super::{DeedKind, Target, World, environment_of, labels, lock, now_ms, policy, rules, spec};
use crate::config::Dialect;
use crate::driver::{Blueprint, Ended, Main};
use crate::refusal::{Outcome, Refusal};

/// How long a container has to end before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(10);
const TO_CONTAINER: Duration = Duration::from_millis(400);
const TO_SUPERVISOR: Duration = Duration::from_millis(500);
const TO_EXIT_REPORT: Duration = Duration::from_millis(300);

/// What a create asks for, in either dialect.
#[derive(Clone)]
pub(crate) struct NewSandbox {
    pub(crate) name: String,
    pub(crate) workspace: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) spec: Option<Vec<u8>>,
}

/// What a delete did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deleted {
    /// The container is going; the row follows.
    Accepted(String),
    /// The container was gone already, and now the row is.
    RowOnly(String),
}

impl World {
    /// Takes the name and answers; the container comes later.
    pub(crate) fn create(self: &Arc<Self>, new: NewSandbox) -> Outcome<Sandbox> {
        let given = new.spec.as_deref().ok_or_else(|| Refusal::invalid("spec is required"))?;
        let resolved = spec::resolve(given)?;
        let seen = spec::look(&resolved)?;
        rules::check_name(&new.name, "name")?;
        rules::check_spec(&seen)?;
        labels::check_labels(&new.labels)?;
        labels::check_annotations(&new.annotations)?;
        self.check_workspace(&new.workspace)?;
        for provider in &seen.providers {
            self.require_provider(&new.workspace, provider)?;
        }
        let mut row = self.new_row(new, resolved);
        if let Some(policy) = &seen.policy {
            row.revisions.push(first_revision(policy.clone())?);
        }
        self.insert(&row)?;
        self.note(DeedKind::Create, &row);
        self.bring_up(&row.id, row.epoch, true);
        Ok(row)
    }

    fn insert(&self, row: &Sandbox) -> Outcome<()> {
        let mut store = self.store();
        let taken = store
            .sandboxes
            .values()
            .any(|other| other.workspace == row.workspace && other.name == row.name);
        if taken {
            let text = format!("sandbox '{}' already exists", row.name);
            return Err(Refusal::new(Code::AlreadyExists, text));
        }
        store.sandboxes.put(&row.id, row.clone())?;
        drop(store);
        self.notify();
        Ok(())
    }

    fn new_row(&self, new: NewSandbox, spec: Vec<u8>) -> Sandbox {
        let serial = self.next_serial();
        let name = if new.name.is_empty() { made_up_name() } else { new.name };
        let mut row = Sandbox {
            id: Uuid::new_v4().to_string(),
            name,
            workspace: new.workspace,
            serial,
            created_at_ms: now_ms(),
            deleted_at_ms: 0,
            resource_version: 1,
            labels: new.labels,
            annotations: new.annotations,
            spec,
            phase: Phase::Provisioning,
            condition: Condition {
                ready: false,
                reason: String::new(),
                message: String::new(),
                at_ms: 0,
            },
            exit_code: None,
            instance_id: String::new(),
            policy_version: 0,
            revisions: Vec::new(),
            settings: BTreeMap::new(),
            settings_revision: 0,
            epoch: 0,
        };
        row.show(phase::STARTING_CONTAINER);
        row
    }

    /// Stops a ready sandbox and returns when its processes have ended.
    pub(crate) async fn stop(self: &Arc<Self>, target: &Target) -> Outcome<Sandbox> {
        let found = self.get(target)?;
        if found.phase == Phase::Stopped {
            return Ok(found);
        }
        let row = self.begin(&found.id, |row| match row.phase {
            Phase::Ready | Phase::Stopping => {
                row.show(phase::STOPPING);
                Ok(())
            }
            phase => Err(Refusal::precondition(format!(
                "sandbox must be Ready to stop (current phase: {phase})"
            ))),
        })?;
        self.note(DeedKind::Stop, &row);
        self.take_down(&row.id, Some(STOP_GRACE)).await;
        self.step(&row.id, row.epoch, |row| row.show(phase::STOPPED));
        self.get(&Target::Id(row.id))
    }

    /// Starts a stopped sandbox; in the 0.1 dialect also after some errors.
    pub(crate) fn start(self: &Arc<Self>, target: &Target) -> Outcome<Sandbox> {
        let found = self.get(target)?;
        if found.phase == Phase::Ready {
            return Ok(found);
        }
        let revives = self.config.dialect == Dialect::V0_1;
        let container = self.root(&found.id).exists();
        let row = self.begin(&found.id, |row| {
            let allowed = match row.phase {
                Phase::Stopped => true,
                Phase::Error => revives && container && startable(&row.condition.reason),
                _ => false,
            };
            if !allowed {
                return Err(Refusal::precondition(format!(
                    "sandbox must be Stopped to start (current phase: {})",
                    row.phase
                )));
            }
            row.show(phase::RESTARTING);
            row.exit_code = None;
            Ok(())
        })?;
        self.note(DeedKind::Start, &row);
        self.bring_up(&row.id, row.epoch, false);
        Ok(row)
    }

    /// Removes a sandbox by name, whatever its id or phase is.
    pub(crate) async fn delete(self: &Arc<Self>, target: &Target) -> Outcome<Deleted> {
        let found = self.get(target)?;
        if found.phase == Phase::Deleting {
            return Ok(Deleted::Accepted(found.id));
        }
        let row = self.begin(&found.id, |row| {
            row.show(phase::DELETING);
            row.deleted_at_ms = now_ms();
            Ok(())
        })?;
        self.note(DeedKind::Delete, &row);
        let root = self.root(&row.id);
        let never_made = found.phase == Phase::Provisioning && !root.exists();
        if !root.exists() && !never_made {
            self.remove_row(&row.id, Some(row.epoch))?;
            return Ok(Deleted::RowOnly(row.id));
        }
        self.take_down(&row.id, None).await;
        root.remove().await?;
        let (world, id, linger) = (Arc::clone(self), row.id.clone(), *lock(&self.deletion_linger));
        self.spawn(async move {
            if world.pause(linger).await {
                finish(world.remove_row(&id, Some(row.epoch)).map(drop));
            }
        });
        Ok(Deleted::Accepted(found.id))
    }

    /// Makes the container and its main process, then connects the supervisor.
    pub(super) fn bring_up(self: &Arc<Self>, id: &str, epoch: u64, pull: bool) {
        let (world, id) = (Arc::clone(self), id.to_owned());
        self.spawn(async move {
            let Ok(row) = world.get(&Target::Id(id.clone())) else { return };
            if pull && world.image_is_missing(&row) {
                world.end(&id, epoch, phase::IMAGE_PULL_FAILED, None);
                return;
            }
            if !world.pause(TO_CONTAINER).await {
                return;
            }
            if !world.start_container(&row, epoch).await || !world.pause(TO_SUPERVISOR).await {
                return;
            }
            world.connect(&id, epoch);
        });
    }

    fn image_is_missing(&self, row: &Sandbox) -> bool {
        let image = spec::look(&row.spec).ok().and_then(|spec| spec.template);
        let image = image.map(|template| template.image).unwrap_or_default();
        self.config.missing_images.iter().any(|part| image.contains(part))
    }

    /// Starts the main process; whether the sandbox is on its way.
    async fn start_container(self: &Arc<Self>, row: &Sandbox, epoch: u64) -> bool {
        let root = self.root(&row.id);
        let Ok(seen) = spec::look(&row.spec) else { return false };
        let env = environment_of(row);
        let waiting = if row.phase == Phase::Starting {
            Shown { phase: Phase::Starting, ..phase::WAITING_FOR_SUPERVISOR }
        } else {
            phase::WAITING_FOR_SUPERVISOR
        };
        let (name, workspace) = (&row.name, &row.workspace);
        let blueprint = Blueprint { name, workspace, command: &seen.command, env: &env };
        let started = root.launch(blueprint).await;
        self.open_session(&row.id);
        let applied = self.step(&row.id, epoch, |row| {
            row.instance_id = Uuid::new_v4().to_string();
            row.show(waiting);
        });
        match started {
            Ok(main) if applied && !self.over.is_cancelled() => {
                self.watch_main(main, row.id.clone(), epoch);
                true
            }
            // Deleted, lost or shut down meanwhile: nothing of it may run on.
            Ok(main) => {
                main.abandon().await;
                self.take_down(&row.id, None).await;
                let deleted = self.get(&Target::Id(row.id.clone()));
                if deleted.is_err() || deleted.is_ok_and(|row| row.phase == Phase::Deleting) {
                    finish(root.remove().await.map_err(Refusal::from));
                }
                false
            }
            Err(error) => {
                tracing::warn!(sandbox = row.name, %error, "main process did not start");
                self.end(&row.id, epoch, phase::MAIN_PROCESS_EXITED, Some(127));
                false
            }
        }
    }

    /// Reports the main process's end, unless a later change took it down.
    fn watch_main(self: &Arc<Self>, main: Main, id: String, epoch: u64) {
        let world = Arc::clone(self);
        // Not bound to the world's end: the child must be reaped.
        self.tasks.spawn(async move {
            let ended = main.wait().await;
            let current = world.get(&Target::Id(id.clone())).map(|row| row.epoch);
            if current != Ok(epoch) || world.over.is_cancelled() {
                return;
            }
            world.take_down(&id, None).await;
            match ended {
                Ended::Killed => world.report_killed(id, epoch),
                Ended::Exited(code) => {
                    if world.pause(TO_EXIT_REPORT).await {
                        world.end(&id, epoch, phase::MAIN_PROCESS_EXITED, Some(code));
                    }
                }
            }
        });
    }

    /// The supervisor's session to this gateway is live: the sandbox is ready.
    pub(super) fn connect(self: &Arc<Self>, id: &str, epoch: u64) {
        let default = first_revision(policy::default_policy());
        self.step(id, epoch, |row| {
            if let (true, Ok(revision)) = (row.revisions.is_empty(), default) {
                if let Ok(spec) = spec::with_policy(&row.spec, &revision.policy) {
                    row.spec = spec;
                }
                row.revisions.push(revision);
            }
            row.load_latest();
            row.show(phase::READY);
        });
    }

    /// Ends the change that began `epoch` in this state; later steps no longer apply.
    pub(super) fn end(&self, id: &str, epoch: u64, shown: Shown, exit_code: Option<i32>) -> bool {
        self.step(id, epoch, |row| {
            row.show(shown);
            row.exit_code = exit_code.or(row.exit_code);
            row.epoch += 1;
        })
    }

    /// Ends every process of a container and every exec in it. The directory stays.
    pub(super) async fn take_down(&self, id: &str, grace: Option<Duration>) {
        let session = lock(&self.sessions).remove(id);
        if let Some(session) = session {
            session.over.cancel();
        }
        self.driver.end_all(&[id.to_owned()], grace.map(|grace| self.config.scaled(grace))).await;
    }
}

/// Notes the failure of work that nobody waits for.
pub(super) fn finish(result: Outcome<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "background work failed");
    }
}

fn first_revision(policy: Vec<u8>) -> Outcome<Revision> {
    Ok(Revision {
        version: 1,
        hash: policy::hash(&policy)?,
        status: RevisionStatus::Pending,
        error: String::new(),
        created_at_ms: now_ms(),
        loaded_at_ms: 0,
        policy,
        provenance: BTreeMap::new(),
    })
}

/// Two words and a digit pair, short enough to be a name.
fn made_up_name() -> String {
    const FIRST: [&str; 8] = ["brave", "calm", "eager", "fair", "keen", "lucid", "quiet", "swift"];
    const SECOND: [&str; 8] =
        ["cedar", "delta", "ember", "finch", "heron", "maple", "otter", "reef"];
    let random = Uuid::new_v4().into_bytes();
    let pick = |words: [&'static str; 8], byte: u8| words[usize::from(byte) % words.len()];
    format!("{}-{}-{:02x}", pick(FIRST, random[0]), pick(SECOND, random[1]), random[2])
}
