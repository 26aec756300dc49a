//! Who was asked to go back.
//!
//! Invariant: what was asked for is kept until the recovery is resumed by request, so that whichever orchestrator has it at work,
//! now or after a crash, learns of it. Deliberately absent: whether it can go back; its saga says that.

use salvor_core::id::RecoveryName;
use salvor_proto::Error;
use salvor_runtime::database::at_once;

use super::{Journal, Untouched, storage};

impl Journal {
    /// Asks a recovery to go back, whoever has it at work.
    ///
    /// # Errors
    /// The journal cannot be written: it was not asked.
    pub async fn ask_to_cancel(&self, recovery: &RecoveryName, now_ms: u64) -> Result<(), Error> {
        let asked = sqlx::query(
            "INSERT INTO cancellations (recovery, asked_ms) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(recovery.as_str())
        .bind(super::signed(now_ms))
        .execute(self.db.writer());
        at_once(asked).await.map_err(|error| storage(Untouched::Recovery, &error))?;
        self.changes.tell(recovery.as_str());
        Ok(())
    }

    /// Whether it was asked to.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn is_asked_to_cancel(&self, recovery: &RecoveryName) -> Result<bool, Error> {
        let asked = sqlx::query_scalar("SELECT count(*) FROM cancellations WHERE recovery = $1")
            .bind(recovery.as_str())
            .fetch_one(self.db.readers());
        let count: i64 = at_once(asked).await.map_err(|error| storage(Untouched::All, &error))?;
        Ok(count > 0)
    }

    /// Forgets that it was asked to: somebody asks it to go on.
    ///
    /// # Errors
    /// The journal cannot be written: it is asked to go back still.
    pub async fn forget_cancellation(&self, recovery: &RecoveryName) -> Result<(), Error> {
        let forgotten = sqlx::query("DELETE FROM cancellations WHERE recovery = $1")
            .bind(recovery.as_str())
            .execute(self.db.writer());
        at_once(forgotten).await.map_err(|error| storage(Untouched::Recovery, &error))?;
        Ok(())
    }
}
