//! A transaction that knows when the database has ended it.
//!
//! Invariant: a connection goes back to the pool outside of any transaction, or is closed. SQLite rolls a transaction back
//! by itself when the disk is full or fails; sqlx's own transactions do not notice, and their connection would refuse every
//! later one. So this one begins and ends by plain statements.

use std::ops::{Deref, DerefMut};

use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::{Connection, Connections};

/// Takes the write lock at once, so that nothing which is read later can be out of date when it is written upon.
const BEGIN_FILE: &str = "BEGIN IMMEDIATE";
/// The same over all processes that use the schema. The lock ends with the transaction; each statement after it sees all that was
/// committed before it was given.
const BEGIN_SHARED: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; \
    SELECT 1 FROM pg_advisory_xact_lock(hashtextextended('salvor:' || current_schema(), 0))";

/// A transaction that holds the write lock. Dropped without an end, its connection is closed, which rolls back; the pool
/// opens another one.
#[derive(Debug)]
pub struct Transaction {
    connection: Connection,
    ended: bool,
}

// === impl Transaction ===

impl Transaction {
    pub(super) async fn begin(writer: &Connections, shared: bool) -> Result<Self, sqlx::Error> {
        let (mut transaction, begin) = Self::prepare(writer, shared).await?;
        sqlx::raw_sql(begin).execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// A connection, and how to begin on it. From here on a caller that goes away leaves the end to drop, whether or not it had
    /// begun.
    async fn prepare(
        writer: &Connections,
        shared: bool,
    ) -> Result<(Self, &'static str), sqlx::Error> {
        let connection = writer.lend().await?;
        let begin = if shared { BEGIN_SHARED } else { BEGIN_FILE };
        Ok((Self { connection, ended: false }, begin))
    }

    /// Begins, and reads a row in the same exchange.
    pub(super) async fn begin_reading(
        writer: &Connections,
        shared: bool,
        select: &str,
    ) -> Result<(Self, AnyRow), sqlx::Error> {
        let (mut transaction, begin) = Self::prepare(writer, shared).await?;
        let both = AssertSqlSafe(format!("{begin}; {select}"));
        let rows = sqlx::raw_sql(both).fetch_all(&mut *transaction).await?;
        // What comes before is of the lock.
        let row = rows.into_iter().next_back().ok_or(sqlx::Error::RowNotFound)?;
        Ok((transaction, row))
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// Whatever the database says; nothing of it was kept then, unless it is [`Failure::Io`](super::Failure::Io) or
    /// [`Failure::Away`](super::Failure::Away), which leave that open. Dropping the future leaves it either done or rolled back.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(&mut *self).await?;
        self.ended = true;
        Ok(())
    }

    /// Gives a last statement, without parameters, and makes all of it durable in the same exchange.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn commit_with(mut self, last: &str) -> Result<(), sqlx::Error> {
        let both = AssertSqlSafe(format!("{last}; COMMIT"));
        sqlx::raw_sql(both).execute(&mut *self).await?;
        self.ended = true;
        Ok(())
    }

    /// Undoes it.
    pub async fn roll_back(mut self) {
        self.ended = sqlx::raw_sql("ROLLBACK").execute(&mut *self).await.is_ok();
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}
