//! The gateway itself going away and coming back, in the ways a real one does.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Control, Error};
use crate::refusal::Refusal;

/// How long a restarted gateway is away, before scaling.
const AWAY: Duration = Duration::from_millis(500);

/// A way to restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Containers are stopped first: same ids, new instances.
    Graceful,
    /// The gateway is killed, processes survive: same ids, same instances.
    Killed,
    /// As `Killed`, and the store is empty afterwards: another identity, orphans left running.
    EmptyStore,
    /// As `Killed`, and these sandboxes' containers are removed meanwhile: a ready one becomes
    /// ERROR/BackendResourceMissing at once and is pruned by a later sweep.
    WithoutContainers(Vec<String>),
}

impl Control {
    /// Restarts the gateway and returns when it serves again; sandboxes follow at their pace.
    ///
    /// # Errors
    ///
    /// A sandbox named in the request does not exist, or the port was taken meanwhile.
    ///
    /// Cancelling leaves the gateway down; [`Control::up`] brings it back.
    pub async fn restart(&self, how: Restart) -> Result<(), Error> {
        self.down(how).await?;
        tokio::time::sleep(self.core.config().scaled(AWAY)).await;
        self.up().await
    }

    /// Takes the gateway down as `how` says; connections are refused until [`Control::up`].
    pub async fn down(&self, how: Restart) -> Result<(), Error> {
        let world = self.world();
        let mut removed = Vec::new();
        if let Restart::WithoutContainers(sandboxes) = &how {
            for sandbox in sandboxes {
                let view = self.sandbox(sandbox);
                removed.push(view.ok_or_else(|| Error::NoSandbox(sandbox.clone()))?.id);
            }
        }
        if how == Restart::Graceful {
            world.stop_all().await;
        }
        self.front.down().await;
        for id in removed {
            world.remove_container(&id).await.map_err(failed)?;
        }
        if how == Restart::EmptyStore {
            world.forget_everything().map_err(|error| failed(error.into()))?;
        }
        Ok(())
    }

    /// Brings the gateway back after [`Control::down`]. Already up: nothing happens.
    pub async fn up(&self) -> Result<(), Error> {
        self.world().boot();
        self.front.up().await.map_err(|error| failed(error.into()))
    }
}

fn failed(refusal: Refusal) -> Error {
    Error::Refused { code: refusal.code, message: refusal.message }
}
