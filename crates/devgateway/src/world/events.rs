//! What happens to a sandbox behind the gateway's back, and what the gateway makes of it.
//!
//! Each event takes effect at once on the container and, at a real gateway's pace, on the row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::lifecycle::NewSandbox;
use super::lifecycle::finish;
use super::phase::{self, Phase, Shown};
use super::store::Sandbox;
use super::{Target, World, now_ms};
use crate::process;
use crate::refusal::Outcome;

const MS: fn(u64) -> Duration = Duration::from_millis;

impl World {
    /// The container is removed while the gateway runs: the row follows within two seconds.
    pub(crate) async fn lose(self: &Arc<Self>, target: &Target) -> Outcome<()> {
        let row = self.take_over(target).await?;
        self.root(&row.id).remove()?;
        let world = Arc::clone(self);
        self.spawn(async move {
            world.pause(MS(100)).await;
            if row.phase != Phase::Stopped {
                world.step(&row.id, row.epoch, |row| row.show(phase::DISCONNECTED));
            }
            world.pause(MS(1700)).await;
            finish(world.remove_row(&row.id, Some(row.epoch)).map(drop));
        });
        Ok(())
    }

    /// The container is killed and remains, exited.
    pub(crate) async fn kill(self: &Arc<Self>, target: &Target) -> Outcome<()> {
        let row = self.take_over(target).await?;
        let world = Arc::clone(self);
        self.spawn(async move {
            world.pause(MS(300)).await;
            world.step(&row.id, row.epoch, |row| row.show(phase::DISCONNECTED));
            world.pause(MS(500)).await;
            world.end(&row.id, row.epoch, phase::CONTAINER_EXITED, None);
        });
        Ok(())
    }

    /// The main process ends with this code, as when the container is stopped (143).
    pub(crate) async fn main_exit(self: &Arc<Self>, target: &Target, code: i32) -> Outcome<()> {
        let row = self.take_over(target).await?;
        let world = Arc::clone(self);
        self.spawn(async move {
            world.pause(MS(300)).await;
            world.end(&row.id, row.epoch, phase::MAIN_PROCESS_EXITED, Some(code));
        });
        Ok(())
    }

    /// The container is paused: its processes stand still, and the row never leaves its error.
    pub(crate) fn freeze(self: &Arc<Self>, target: &Target) -> Outcome<()> {
        let row = self.begin_quietly(target)?;
        process::signal_all(std::slice::from_ref(&row.id), Signal::SIGSTOP);
        let world = Arc::clone(self);
        self.spawn(async move {
            world.pause(MS(400)).await;
            world.end(&row.id, row.epoch, phase::CONTAINER_PAUSED, None);
        });
        Ok(())
    }

    /// The container is unpaused; the row stays as it is.
    pub(crate) fn thaw(&self, target: &Target) -> Outcome<()> {
        let row = self.get(target)?;
        process::signal_all(std::slice::from_ref(&row.id), Signal::SIGCONT);
        Ok(())
    }

    /// The supervisor's session is cut; processes go on.
    pub(crate) fn disconnect(self: &Arc<Self>, target: &Target) -> Outcome<()> {
        let id = self.get(target)?.id;
        self.begin(&id, |row| {
            row.show(phase::DISCONNECTED);
            Ok(())
        })
        .map(drop)
    }

    /// The supervisor's session comes back: same id, same instance.
    pub(crate) fn reconnect(self: &Arc<Self>, target: &Target) -> Outcome<()> {
        let id = self.get(target)?.id;
        let row = self.begin(&id, |row| {
            row.show(phase::WAITING_FOR_SUPERVISOR);
            Ok(())
        })?;
        let world = Arc::clone(self);
        self.spawn(async move {
            world.pause(MS(500)).await;
            world.connect(&id, row.epoch);
        });
        Ok(())
    }

    /// The sandbox stops itself and shows this error.
    pub(crate) async fn fail(
        self: &Arc<Self>,
        target: &Target,
        reason: &str,
        message: &str,
    ) -> Outcome<()> {
        let row = self.take_over(target).await?;
        self.step(&row.id, row.epoch, |row| {
            row.show(Shown { phase: Phase::Error, reason: "", message: "" });
            reason.clone_into(&mut row.condition.reason);
            message.clone_into(&mut row.condition.message);
            row.epoch += 1;
        });
        Ok(())
    }

    /// The row is deleted from the store; processes and directory stay, and nobody owns them.
    pub(crate) fn orphan(&self, target: &Target) -> Outcome<String> {
        let id = self.get(target)?.id;
        self.remove_row(&id, None)?;
        Ok(id)
    }

    /// Somebody deletes the sandbox and makes another of the same name. Returns the new id.
    pub(crate) async fn replace(self: &Arc<Self>, target: &Target) -> Outcome<String> {
        let row = self.take_over(target).await?;
        self.root(&row.id).remove()?;
        self.remove_row(&row.id, None)?;
        let stranger = NewSandbox {
            name: row.name,
            workspace: row.workspace,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            spec: Some(row.spec),
        };
        Ok(self.create(stranger)?.id)
    }

    /// Makes a row look this much older, for rules that wait for a row's age.
    pub(crate) fn age(&self, target: &Target, by: Duration) -> Outcome<()> {
        let id = self.get(target)?.id;
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.update(&id, |row| {
            row.created_at_ms = row.created_at_ms.saturating_sub(by);
            row.condition.at_ms = row.condition.at_ms.min(now_ms()).saturating_sub(by);
            Ok(())
        })
        .map(drop)
    }

    /// The container is removed while nobody looks: the row does not know.
    pub(crate) async fn remove_container(self: &Arc<Self>, id: &str) -> Outcome<()> {
        self.take_over(&Target::Id(id.to_owned())).await?;
        Ok(self.root(id).remove()?)
    }

    /// Supersedes whatever is under way, then ends the container's processes.
    async fn take_over(self: &Arc<Self>, target: &Target) -> Outcome<Sandbox> {
        let row = self.begin_quietly(target)?;
        self.take_down(&row.id, None).await;
        Ok(row)
    }

    fn begin_quietly(&self, target: &Target) -> Outcome<Sandbox> {
        let id = self.get(target)?.id;
        self.begin(&id, |_| Ok(()))
    }
}
