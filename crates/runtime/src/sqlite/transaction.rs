//! A transaction that knows when SQLite has ended it.
//!
//! Invariant: a connection goes back to the pool outside of any transaction, or is closed. SQLite rolls a transaction back
//! by itself when the disk is full or fails; sqlx's own transactions do not notice, and their connection would refuse every
//! later one. So this one begins and ends by plain statements.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

/// A transaction that holds the write lock. Dropped without an end, its connection is closed, which rolls back; the pool
/// opens another one.
#[derive(Debug)]
pub struct Transaction {
    connection: PoolConnection<Sqlite>,
    ended: bool,
}

// === impl Transaction ===

impl Transaction {
    pub(super) async fn begin(writer: &SqlitePool) -> Result<Self, sqlx::Error> {
        // From here on a caller that goes away leaves the end to drop, whether or not it had begun.
        let mut transaction = Self { connection: writer.acquire().await?, ended: false };
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// Whatever SQLite says; nothing of it was kept then. Dropping the future leaves it either done or rolled back.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(&mut *self).await?;
        self.ended = true;
        Ok(())
    }

    /// Undoes it.
    pub async fn roll_back(mut self) {
        self.ended = sqlx::raw_sql("ROLLBACK").execute(&mut *self).await.is_ok();
    }
}

impl Deref for Transaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
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
