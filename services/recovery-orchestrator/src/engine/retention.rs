//! Keeping the journal from growing for ever.

use std::time::Duration;

use salvor_runtime::database::at_once;
use tokio::time::sleep;
use tracing::warn;

use super::Engine;

/// Between two looks for what can be forgotten.
const EVERY: Duration = Duration::from_mins(1);
/// Between two batches: others write, too.
const BREATH: Duration = Duration::from_millis(50);

impl Engine {
    /// Forgets, from time to time, what ended long ago. Ends with the engine's tasks.
    pub fn forget(&self) {
        let engine = self.clone();
        self.inner.tasks.spawn("retention", move |stopping| async move {
            loop {
                let pause = match engine.forget_some().await {
                    Ok(true) => BREATH,
                    Ok(false) => EVERY,
                    Err(error) => {
                        warn!(%error, "old recoveries could not be forgotten yet");
                        EVERY
                    }
                };
                tokio::select! {
                    () = stopping.cancelled() => return,
                    () = sleep(pause) => {}
                }
            }
        });
    }

    async fn forget_some(&self) -> Result<bool, salvor_proto::Error> {
        at_once(self.journal().forget_beyond(self.world().config.keep_recoveries)).await
    }
}
