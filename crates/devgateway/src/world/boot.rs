//! What a gateway makes of its rows when it starts, and how it goes down.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::lifecycle::finish;
use super::phase::{self, Phase};
use super::store::{Sandbox, Store};
use super::{World, lock};

/// From a gateway's start to a surviving supervisor's session.
const TO_RECONNECT: Duration = Duration::from_secs(2);
/// How long containers have when the gateway is asked to end.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

impl World {
    /// Looks at every row as a starting gateway does. Containers whose processes survived
    /// keep their instance; the others are started again.
    pub(crate) fn boot(self: &Arc<Self>) {
        let rows: Vec<Sandbox> = self.store().sandboxes.values().cloned().collect();
        for row in rows {
            match row.phase {
                Phase::Deleting => {
                    let world = Arc::clone(self);
                    self.spawn(async move {
                        finish(world.root(&row.id).remove().await.map_err(Into::into));
                        finish(world.remove_row(&row.id, None).map(drop));
                    });
                }
                Phase::Stopping => {
                    finish(
                        self.begin(&row.id, |row| {
                            row.show(phase::STOPPED);
                            Ok(())
                        })
                        .map(drop),
                    );
                }
                Phase::Ready | Phase::Provisioning | Phase::Starting => self.boot_running(&row),
                Phase::Stopped | Phase::Error | Phase::Unknown => {}
            }
        }
    }

    fn boot_running(self: &Arc<Self>, row: &Sandbox) {
        let had_container = !row.instance_id.is_empty();
        let exists = self.root(&row.id).exists();
        let survived = self.session(&row.id).is_some();
        let shown = match (exists, survived) {
            (false, _) if had_container => phase::BACKEND_MISSING,
            (true, true) => phase::WAITING_FOR_SUPERVISOR,
            _ => phase::STARTING_CONTAINER,
        };
        let begun = self.begin(&row.id, |row| {
            row.show(shown);
            Ok(())
        });
        match begun {
            Ok(_) if shown.reason == phase::BACKEND_MISSING.reason => {}
            Ok(row) if survived => {
                let world = Arc::clone(self);
                self.spawn(async move {
                    world.pause(TO_RECONNECT).await;
                    world.connect(&row.id, row.epoch);
                });
            }
            Ok(row) => self.bring_up(&row.id, row.epoch, !had_container),
            Err(error) => finish(Err(error)),
        }
    }

    /// Ends the processes that an earlier, killed gateway left behind.
    pub(crate) async fn end_leftovers(&self) {
        self.driver.end_all(&self.container_ids(), None).await;
    }

    /// Stops every container as a gateway does that is asked to end. Rows stay as they are, so
    /// that the next start brings them back.
    pub(crate) async fn stop_all(&self) {
        let ids: Vec<String> = {
            let mut store = self.store();
            let running: Vec<Sandbox> = store.sandboxes.values().cloned().collect();
            for mut row in running {
                // Whatever is under way no longer applies.
                row.epoch += 1;
                let id = row.id.clone();
                finish(store.sandboxes.put(&id, row).map_err(Into::into));
            }
            self.container_ids()
        };
        for (_, session) in lock(&self.sessions).drain() {
            session.over.cancel();
        }
        self.driver.end_all(&ids, Some(self.config.scaled(SHUTDOWN_GRACE))).await;
    }

    /// Replaces the store by an empty one. Containers stay, and nobody owns them.
    pub(crate) fn forget_everything(&self) -> io::Result<()> {
        let dir = self.config.data_dir.join("store");
        let mut store = self.store();
        std::fs::remove_dir_all(&dir)?;
        *store = Store::open(&dir)?;
        drop(store);
        self.mint_default_workspace()?;
        self.notify();
        Ok(())
    }

    /// Containers without a row.
    pub(crate) fn orphans(&self) -> Vec<String> {
        let known: HashSet<String> =
            self.store().sandboxes.values().map(|row| row.id.clone()).collect();
        self.container_ids().into_iter().filter(|id| !known.contains(id)).collect()
    }
}
