//! A SQLite file opened for keeps: WAL, foreign keys, one writer, many readers, a known schema.
//!
//! Invariant: all writes go through one connection, so they never wait for each other inside
//! SQLite, and a database of a newer schema than this binary knows is refused and left untouched.
//! Deliberately absent: retries, and any schema; each service brings its own.

mod at_once;
mod failure;
mod migrate;
mod transaction;

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlitePool};
use tracing::log::LevelFilter;

pub use at_once::{at_once, take_no_time};
pub use failure::Failure;
pub use migrate::Migration;
pub use transaction::Transaction;

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Directory or file cannot be made.
    #[error("cannot create {}", path.display())]
    Create {
        /// What cannot be made.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// SQLite refuses the file.
    #[error("cannot open the database {}: {failure}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The kind of failure.
        failure: Failure,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The database was written by a newer version of this service.
    #[error(
        "the database {} has schema {found}, and this binary knows schemas up to {known}. Nothing \
         was changed. Run the newer binary again, or restore a copy made before the upgrade",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Schema version in the file.
        found: i64,
        /// Newest schema version of this binary.
        known: i64,
    },
    /// A migration failed and was rolled back.
    #[error(
        "cannot bring the database {} to schema {version} ({name}): {failure}. It was left at \
         schema {reached}",
        path.display()
    )]
    Migrate {
        /// The file.
        path: PathBuf,
        /// Version that could not be reached.
        version: i64,
        /// Name of that migration.
        name: &'static str,
        /// Version that the file has.
        reached: i64,
        /// The kind of failure.
        failure: Failure,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
}

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once it is on the disk (`synchronous=FULL`): a power loss loses no commit. For journals,
    /// leases and everything that is decided upon.
    #[default]
    Full,
    /// Once it is in the operating system (`synchronous=NORMAL`): a power loss may lose the last
    /// commits but never the file. For what can be observed again.
    Normal,
}

/// How a database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// When a commit counts as done.
    pub durability: Durability,
    /// Connections that read; at least one.
    pub readers: u32,
    /// How long SQLite waits for a lock that another process holds.
    pub busy_timeout: Duration,
    /// How long a caller waits for a connection of this process before it gets
    /// [`Failure::Busy`].
    pub acquire_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(10),
        }
    }
}

/// An open database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    writer: SqlitePool,
    readers: SqlitePool,
    path: PathBuf,
}

impl Database {
    /// Opens `path`, making the file (mode 0600) and its directory (mode 0700) if need be, and
    /// brings it to the newest schema in `migrations`, each in a transaction of its own.
    ///
    /// # Errors
    /// [`Error`]. If the future is dropped, a migration is either done or not begun.
    pub async fn open(
        path: &Path,
        options: Options,
        migrations: &[Migration],
    ) -> Result<Self, Error> {
        create(path)?;
        let connect = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match options.durability {
                Durability::Full => SqliteSynchronous::Full,
                Durability::Normal => SqliteSynchronous::Normal,
            })
            .foreign_keys(true)
            .busy_timeout(options.busy_timeout)
            .log_statements(LevelFilter::Off)
            .log_slow_statements(LevelFilter::Warn, Duration::from_secs(1));
        let refused = |source: sqlx::Error| Error::Open {
            path: path.into(),
            failure: Failure::of(&source),
            source,
        };
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(options.acquire_timeout)
            .idle_timeout(None)
            .max_lifetime(None);
        let writer = pool.clone().max_connections(1).connect_with(connect.clone());
        let writer = writer.await.map_err(refused)?;
        migrate::run(path, &writer, migrations).await?;
        let readers = pool
            .max_connections(options.readers.max(1))
            .connect_with(connect.pragma("query_only", "ON"))
            .await
            .map_err(refused)?;
        Ok(Self { writer, readers, path: path.into() })
    }

    /// The one connection that writes.
    pub fn writer(&self) -> &SqlitePool {
        &self.writer
    }

    /// The connections that read. A write through them fails with [`Failure::ReadOnly`].
    pub fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A transaction that holds the write lock from its start, so that what it reads stays true
    /// until it commits. Dropped without a commit, it is rolled back.
    ///
    /// # Errors
    /// Whatever SQLite says, [`Failure::Busy`] above all; nothing has begun then.
    pub async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        Transaction::begin(&self.writer).await
    }

    /// Closes all connections, once what holds them has ended; the write-ahead log is folded in.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn create(path: &Path) -> Result<(), Error> {
    let refused = |path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::Create { path, source }
    };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(refused(directory))?;
    }
    // SQLite gives its log and index files the mode of the database file.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(refused(path)(error)),
    }
}

#[cfg(test)]
mod tests;
