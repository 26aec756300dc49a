//! A database opened for keeps: a SQLite file, or a schema of a Postgres server that several processes share.
//!
//! Invariant: one text of SQL serves both, with `$n` parameters; writes that read first go through [`Database::begin`], which
//! lets in one at a time over all processes; and a database of a newer schema than this binary knows is refused and left
//! untouched. Deliberately absent: retries, and any schema; each service brings its own.

mod at_once;
mod connect;
mod connection;
mod error;
mod failure;
mod heed;
mod location;
mod migrate;
mod transaction;
mod view;

use std::time::Duration;

use sqlx::any::AnyRow;

pub use at_once::{at_once, take_no_time};
pub use connection::{Connection, Connections};
pub use error::Error;
pub use failure::Failure;
pub use heed::{Heeding, Word};
pub use location::{Location, LocationError, Schema, ServerUrl};
pub use migrate::Migration;
pub use transaction::Transaction;
pub use view::View;

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on the disk (SQLite's `synchronous=FULL`; Postgres' `synchronous_commit` at least `on`): a power loss loses
    /// no commit. For journals, leases and everything that is decided upon.
    #[default]
    Full,
    /// Once it is in the operating system (`synchronous=NORMAL`, `synchronous_commit=off`): a power loss may lose the last
    /// commits but never the database. For what can be observed again.
    Normal,
}

/// How a database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// When a commit counts as done.
    pub durability: Durability,
    /// Connections that read; at least one.
    pub readers: u32,
    /// Connections to a server that write; at least one. A file has one always.
    pub writers: u32,
    /// How long the database waits for a lock that another process holds.
    pub busy_timeout: Duration,
    /// How long a caller waits for a connection of this process before it gets [`Failure::Busy`] or, of a server,
    /// [`Failure::Away`].
    pub acquire_timeout: Duration,
    /// How long a server may say nothing to what it is asked before its connection is given up with [`Failure::Away`]: longer than
    /// it lets a statement take. A file has as long as it needs.
    pub answer_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            readers: 4,
            writers: 1,
            busy_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(10),
            answer_timeout: connect::ANSWER,
        }
    }
}

/// An open database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    writer: Connections,
    readers: Connections,
    location: Location,
}

impl Database {
    /// Opens what is at `location`, making a file (mode 0600) and its directory (mode 0700), or a server's schema, if need be,
    /// and brings it to the newest schema in `migrations`, each in a transaction of its own.
    ///
    /// # Errors
    /// [`Error`]. If the future is dropped, a migration is either done or not begun.
    pub async fn open(
        location: &Location,
        options: Options,
        migrations: &[Migration],
    ) -> Result<Self, Error> {
        let writer = connect::writer(location, options).await?;
        migrate::run(location, &writer, migrations).await?;
        let readers = connect::readers(location, options).await?;
        Ok(Self { writer, readers, location: location.clone() })
    }

    /// The connections that write: one, of a file.
    pub fn writer(&self) -> &Connections {
        &self.writer
    }

    /// The connections that read. A write through them fails with [`Failure::ReadOnly`].
    pub fn readers(&self) -> &Connections {
        &self.readers
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// A transaction that holds the one write lock from its start, so that what it reads stays true until it commits, whoever
    /// else writes. Dropped without a commit, it is rolled back.
    ///
    /// # Errors
    /// Whatever the database says, [`Failure::Busy`] and [`Failure::Away`] above all; nothing has begun then.
    pub async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        Transaction::begin(&self.writer, self.location.is_shared()).await
    }

    /// [`begin`](Self::begin), and the last row of a SELECT without parameters, read under the lock. It is sent along: on a server
    /// that saves a round trip.
    ///
    /// # Errors
    /// As [`begin`](Self::begin); there is no row.
    pub async fn begin_reading(&self, select: &str) -> Result<(Transaction, AnyRow), sqlx::Error> {
        Transaction::begin_reading(&self.writer, self.location.is_shared(), select).await
    }

    /// A view of one committed state, for reads of more than one statement.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub async fn view(&self) -> Result<View, sqlx::Error> {
        View::begin(&self.readers, self.location.is_shared()).await
    }

    /// Tells of what other processes write into it, as far as its triggers notify, and now and then without a reason; of a file,
    /// never. It needs a Tokio runtime, and ends when what it answers is dropped.
    pub fn heed(&self, tell: impl FnMut(Word) + Send + 'static) -> Heeding {
        Heeding::start(&self.location, tell)
    }

    /// The time of day by which all that share the database agree, in milliseconds since the Unix epoch, as an SQL expression: the
    /// server's. `None` of a file, whose only process has its own.
    pub fn clock(&self) -> Option<&'static str> {
        let clock = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        self.location.is_shared().then_some(clock)
    }

    /// A column of text as the bytes that are stored, under the column's own name, as an SQL expression. What a damaged file holds
    /// need not be UTF-8, and asked for as text it fails all rows of an answer, not its own alone.
    pub fn stored(&self, column: &str) -> String {
        let name = column.rsplit('.').next().unwrap_or(column);
        if self.location.is_shared() {
            format!("convert_to({column}, 'UTF8') AS {name}")
        } else {
            format!("CAST({column} AS BLOB) AS {name}")
        }
    }

    /// Closes all connections, once what holds them has ended; a file's write-ahead log is folded in. Of a server, what has not
    /// ended within twice [`Options::answer_timeout`] is left to end by itself.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[cfg(test)]
mod tests;
