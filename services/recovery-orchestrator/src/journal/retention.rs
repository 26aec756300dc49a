//! Forgetting recoveries that ended long ago.
//!
//! Invariant: what is open stays, however old it is, and a recovery is forgotten whole or not at all.

use salvor_proto::Error;
use sqlx::Row as _;

use super::{Journal, Untouched, storage};

/// So many are forgotten in one transaction, which holds up other writers meanwhile.
const BATCH: i64 = 100;

/// The newest one that is older than the newest `$1` of all.
const FIRST_BEYOND: &str = "
    SELECT created_ms, name FROM recoveries ORDER BY created_ms DESC, name DESC LIMIT 1 OFFSET $1";

const ENDED_UP_TO: &str = "
    SELECT name FROM recoveries WHERE ended = 1 AND (created_ms, name) <= ($1, $2)
    ORDER BY created_ms, name LIMIT $3";

/// What is kept of a recovery; the recovery itself comes last, since the others refer to it.
const FORGET: [&str; 4] = [
    "DELETE FROM journal WHERE recovery = $1",
    "DELETE FROM decisions WHERE recovery = $1",
    "DELETE FROM cancellations WHERE recovery = $1",
    "DELETE FROM recoveries WHERE name = $1",
];

impl Journal {
    /// Forgets some of the recoveries that have ended and are not among the newest `keep`. True if there may be more of them.
    ///
    /// # Errors
    /// The journal cannot be used; nothing was forgotten then. Cancellation: all of a batch or nothing.
    pub async fn forget_beyond(&self, keep: u32) -> Result<bool, Error> {
        let forgotten = self.forget_some(keep).await;
        forgotten.map_err(|error| storage(Untouched::All, &error))
    }

    async fn forget_some(&self, keep: u32) -> Result<bool, sqlx::Error> {
        let beyond = sqlx::query(FIRST_BEYOND)
            .bind(i64::from(keep))
            .fetch_optional(self.db.readers())
            .await?;
        let Some(beyond) = beyond else { return Ok(false) };
        let (created_ms, name): (i64, String) = (beyond.try_get(0)?, beyond.try_get(1)?);
        let names: Vec<String> = sqlx::query_scalar(ENDED_UP_TO)
            .bind(created_ms)
            .bind(name)
            .bind(BATCH)
            .fetch_all(self.db.readers())
            .await?;
        if names.is_empty() {
            return Ok(false);
        }
        let mut transaction = self.db.begin().await?;
        for name in &names {
            for statement in FORGET {
                sqlx::query(statement).bind(name).execute(&mut *transaction).await?;
            }
        }
        transaction.commit().await?;
        Ok(i64::try_from(names.len()) == Ok(BATCH))
    }
}
