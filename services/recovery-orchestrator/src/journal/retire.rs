//! Giving a recovery up: compare-and-swap on the whole of it.

use salvor_core::id::RecoveryName;
use salvor_proto::{Error, error::Code};

use super::{Found, Journal, Row, Untouched, read::event, schema, signed, storage};
use crate::words::NextStep;

const INSERT: &str = "
    INSERT INTO journal (recovery, seq, at_ms, event, terminal) VALUES ($1, $2, $3, $4, $5)";

impl Journal {
    /// Appends the row with which a recovery is given up, if nothing of it has changed since it had this revision.
    ///
    /// # Errors
    /// `RECOVERY_CHANGED`: something was appended since. The journal cannot be used: as for `append`. Cancellation: all or
    /// nothing.
    pub async fn retire(
        &self,
        name: &RecoveryName,
        revision: &str,
        row: &Row,
    ) -> Result<(), Error> {
        let failed = |error: sqlx::Error| storage(Untouched::Recovery, &error);
        let mut tx = self.db.begin().await.map_err(failed)?;
        let header = sqlx::query(sqlx::AssertSqlSafe(schema::recovery(&self.db)))
            .bind(name.as_str())
            .fetch_one(&mut *tx)
            .await
            .map_err(failed)?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(schema::events(&self.db, 1)))
            .bind(name.as_str())
            .fetch_all(&mut *tx)
            .await
            .map_err(failed)?;
        let events: Result<Vec<Row>, Error> = rows.iter().map(event).collect();
        let now = Found::of(&header, events?)?.revision();
        if now != revision {
            return Err(changed(name, revision, &now));
        }
        let inserted = sqlx::query(INSERT)
            .bind(name.as_str())
            .bind(row.seq)
            .bind(signed(row.at_ms))
            .bind(&row.event)
            .bind(i64::from(row.terminal))
            .execute(&mut *tx)
            .await;
        match inserted {
            // Where writers do not wait for each other, the one that came first has the number.
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                return Err(changed(name, revision, "a later one"));
            }
            inserted => inserted.map_err(failed)?,
        };
        tx.commit().await.map_err(failed)?;
        self.wrote(name);
        Ok(())
    }
}

/// It is not any more what the caller knows.
pub(crate) fn changed(name: &RecoveryName, given: &str, now: &str) -> Error {
    let message = format!(
        "{name} has changed since it was read: its etag is {now}, not {given}; it was not retired, \
         and nothing was changed"
    );
    Error::new(Code::Conflict, "RECOVERY_CHANGED", message)
        .with("etag", now)
        .next_step(NextStep::Show.of(name.as_str()))
}
