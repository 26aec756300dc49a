//! Asking a recovery to go back, whoever has it at work.

use std::{convert::Infallible, sync::PoisonError, time::Duration};

use salvor_core::id::RecoveryName;
use salvor_proto::{Error, error::Code};
use tokio::time::sleep;
use tracing::warn;

use super::Engine;
use crate::{
    folded::{Folded, Standing},
    journal::Found,
    runner::Run,
    words::NextStep,
};

/// How long the caller waits for the recovery to have gone back.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at whether another orchestrator was asked. A recovery's own events are no reason to look.
const LOOK: Duration = Duration::from_secs(1);

impl Engine {
    /// Asks a recovery to go back. Once this was written down it holds past crashes, until somebody asks it to go on.
    ///
    /// # Errors
    /// FAILED_PRECONDITION when it has ended or is past the point of no return; as [`retry`](Self::retry).
    pub async fn cancel(&self, name: &RecoveryName) -> Result<(Found, Folded), Error> {
        let (stored, folded) = self.recovery(name).await?;
        if let Standing::Stranded(obstacle) = &folded.standing {
            return Err(obstacle.error(name));
        }
        if !folded.cancellable {
            let message = format!(
                "{name} is in phase {}, from which it does not go back; nothing was changed",
                folded.phase
            );
            return Err(Error::new(Code::Refused, "PAST_POINT_OF_NO_RETURN", message)
                .next_step(NextStep::Wait.of(name.as_str())));
        }
        self.journal().ask_to_cancel(name, self.world().now().0).await?;
        let at_work = folded.standing == Standing::Running && self.tell_to_cancel(name);
        if !at_work {
            match self.take_up(stored, true).await {
                // Another orchestrator has it, and reads what was asked.
                Err(error) if error.reason() == "LEASE_HELD" && self.journal().is_shared() => {}
                taken_up => taken_up?,
            }
        }
        self.wait(name, PATIENCE).await
    }

    fn tell_to_cancel(&self, name: &RecoveryName) -> bool {
        let running = self.inner.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at_work) = running.get(name) else { return false };
        at_work.cancel.ask();
        true
    }

    /// Tells the runner what was asked of another orchestrator. Never returns.
    pub(super) async fn heed_cancellation(&self, run: &Run) -> Infallible {
        let mut waiting = self.journal().waiting(run.name());
        while self.journal().is_shared() {
            waiting.begin();
            match self.journal().is_asked_to_cancel(run.name()).await {
                Ok(true) => {
                    run.cancel.ask();
                    break;
                }
                Ok(false) => {}
                Err(error) => {
                    warn!(recovery = %run.name(), %error, "whether it was asked to go back is not known");
                }
            }
            sleep(LOOK).await;
            waiting.changed().await;
        }
        std::future::pending().await
    }
}
