//! What happens to a sandbox behind the gateway's back, and what the gateway makes of it.
//!
//! Each event takes effect at once on the container and, at a real gateway's pace, on the row.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::lifecycle::NewSandbox;
use super::lifecycle::finish;
use super::phase::{self, Phase, Shown};
use super::store::Sandbox;
use super::{Target, World, now_ms};
use crate::driver::Driver;
use crate::driver::docker::Happened;
use crate::refusal::Outcome;

/// Events of containers between the runtime and the rows.
const NEWS: usize = 64;
const MS: fn(u64) -> Duration = Duration::from_millis;

impl World {
    /// The container is removed while the gateway runs: the row follows within two seconds.
    pub(crate) async fn lose(self: &Arc<Self>, target: &Target) -> Outcome<()> {
        let row = self.take_over(target).await?;
        self.root(&row.id).remove().await?;
        self.report_lost(row);
        Ok(())
    }

    /// The row of a container that is gone goes, too.
    fn report_lost(self: &Arc<Self>, row: Sandbox) {
        let world = Arc::clone(self);
        self.spawn(async move {
            world.pause(MS(100)).await;
            if row.phase != Phase::Stopped {
                world.step(&row.id, row.epoch, |row| row.show(phase::DISCONNECTED));
            }
            world.pause(MS(1700)).await;
            finish(world.remove_row(&row.id, Some(row.epoch)).map(drop));
        });
    }

    /// The container is killed and remains, exited.
    pub(crate) async fn kill(self: &Arc<Self>, target: &Target) -> Outcome<()> {
        let row = self.take_over(target).await?;
        self.report_killed(row.id, row.epoch);
        Ok(())
    }

    /// The row of a container that was killed shows it.
    pub(super) fn report_killed(self: &Arc<Self>, id: String, epoch: u64) {
        let world = Arc::clone(self);
        self.spawn(async move {
            world.pause(MS(300)).await;
            world.step(&id, epoch, |row| row.show(phase::DISCONNECTED));
            world.pause(MS(500)).await;
            world.end(&id, epoch, phase::CONTAINER_EXITED, None);
        });
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
    pub(crate) async fn freeze(self: &Arc<Self>, target: &Target) -> Outcome<()> {
        let row = self.begin_quietly(target)?;
        self.driver.pause(&row.id).await;
        self.report_paused(row);
        Ok(())
    }

    /// The row of a container that was paused shows it, for good.
    fn report_paused(self: &Arc<Self>, row: Sandbox) {
        let world = Arc::clone(self);
        self.spawn(async move {
            world.pause(MS(400)).await;
            world.end(&row.id, row.epoch, phase::CONTAINER_PAUSED, None);
        });
    }

    /// The container is unpaused; the row stays as it is.
    pub(crate) async fn thaw(&self, target: &Target) -> Outcome<()> {
        let row = self.get(target)?;
        self.driver.unpause(&row.id).await;
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
        self.root(&row.id).remove().await?;
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
        Ok(self.root(id).remove().await?)
    }

    /// Takes in what others do to containers, where sandboxes run in some.
    pub(crate) fn start_watching(self: &Arc<Self>) {
        let Driver::Docker(docker) = &self.driver else { return };
        let (sender, mut receiver) = mpsc::channel(NEWS);
        self.spawn(Arc::clone(docker).follow(sender));
        let world = Arc::clone(self);
        self.spawn(async move {
            while let Some(news) = receiver.recv().await {
                finish(world.take_in(news).await);
            }
        });
    }

    async fn take_in(self: &Arc<Self>, news: Happened) -> Outcome<()> {
        match news {
            Happened::Removed(id) => {
                // A row that was deleted, or never was, has nothing to show.
                let Ok(row) = self.take_over(&Target::Id(id)).await else { return Ok(()) };
                self.report_lost(row);
            }
            Happened::Paused(id) => {
                let target = Target::Id(id);
                let Ok(row) = self.get(&target) else { return Ok(()) };
                // Its own pause is on its way to the row already.
                if row.phase == Phase::Ready {
                    self.report_paused(self.begin_quietly(&target)?);
                }
            }
        }
        Ok(())
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
