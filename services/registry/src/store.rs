//! The durable store, in a SQLite file or in a schema of Postgres that replicas share.
//!
//! Invariant: every change of a record or gateway takes the next number of one revision counter in the transaction of its
//! write, and every version of a record is kept until the log is compacted past it. All writes go through [`Store::write`], and
//! those that wait at the same time share a commit; a caller that goes away does not interrupt one. Deliberately absent:
//! messages of the wire's requests, and waiting.

mod defaults;
mod entry;
mod gateways;
mod group;
mod heartbeats;
mod leases;
mod list;
mod log;
mod material;
mod records;
mod requests;
mod row;
mod schema;
mod seen;
mod serving;
mod txn;
mod unwritten;
mod write;

use std::sync::Arc;

use futures::future::BoxFuture;
use salvor_runtime::database::{
    self, Connection, Database, Heeding, Location, Options, View, at_once,
};
use salvor_runtime::{Clock, SystemClock};
use sqlx::{AssertSqlSafe, Row};
use tokio::sync::watch;
use tracing::Instrument;

use crate::error::Error;
use crate::seal::KeyRing;

pub(crate) use entry::Restore;
pub(crate) use gateways::GatewayChange;
pub(crate) use list::Query;
pub(crate) use log::{Batch, Change};
pub(crate) use requests::RequestId;
pub(crate) use row::Version;
pub(crate) use txn::Txn;
pub(crate) use write::{Create, Delete, Update};

/// What a store keeps of the past.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retention {
    /// Revisions that the log goes back.
    pub(crate) revisions: u32,
    /// Remembered answers to calls with a request id.
    pub(crate) requests: u32,
}

/// The registry's data. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    keys: Arc<KeyRing>,
    /// `None`: the server's, which all replicas share; of a file, the host's.
    clock: Option<Arc<dyn Clock>>,
    retention: Retention,
    queue: group::Queue,
    heartbeats: heartbeats::Heartbeats,
    changed: watch::Sender<i64>,
    heeding: Heeding,
}

// === impl Store ===

impl Store {
    /// Opens or makes what is at `location`.
    pub(crate) async fn open(
        location: &Location,
        keys: KeyRing,
        clock: Option<Arc<dyn Clock>>,
        retention: Retention,
    ) -> Result<Self, database::Error> {
        Self::open_with(location, keys, clock, retention, Options::default()).await
    }

    async fn open_with(
        location: &Location,
        keys: KeyRing,
        clock: Option<Arc<dyn Clock>>,
        retention: Retention,
        options: Options,
    ) -> Result<Self, database::Error> {
        let database = Database::open(location, options, schema::MIGRATIONS).await?;
        let changed = watch::Sender::new(0);
        let told = changed.clone();
        let heeding = database.heed(move |_| told.send_modify(|_| {}));
        let inner = Inner {
            database,
            keys: Arc::new(keys),
            clock,
            retention,
            queue: group::Queue::default(),
            heartbeats: heartbeats::Heartbeats::new(location.is_shared()),
            changed,
            heeding,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The keys it seals with.
    pub(crate) fn keys(&self) -> &KeyRing {
        &self.inner.keys
    }

    /// Wakes whoever waits for changes. It may wake without one; what changed is in the log.
    pub(crate) fn subscribe(&self) -> watch::Receiver<i64> {
        self.inner.changed.subscribe()
    }

    /// Closes all connections; a file's write-ahead log is folded in.
    pub(crate) async fn close(&self) {
        self.inner.heeding.stop();
        self.inner.database.close().await;
    }

    /// A view of one committed state.
    async fn read(&self) -> Result<View, Error> {
        Ok(self.inner.database.view().await?)
    }

    /// The time of day by which leases run.
    async fn now_ms(&self, connection: &mut Connection) -> Result<u64, Error> {
        self.inner.now_ms(connection).await
    }

    /// Runs `work` in a transaction, committed if it answers `Ok`. It runs to its end even if the caller goes away.
    async fn write<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'t> FnOnce(&'t mut Txn) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        self.write_about(seen::About::default(), work).await
    }

    /// The same, of work that will ask for something that can be looked up with what others ask for.
    async fn write_about<T, W>(&self, about: seen::About, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: for<'t> FnOnce(&'t mut Txn) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        let told = self.inner.queue.join(about, work)?;
        let inner = Arc::clone(&self.inner);
        let turn = at_once(async move { inner.take_turn().await });
        tokio::spawn(turn.in_current_span());
        told.await.unwrap_or(Err(Error::Defect("a write panicked or was cut off by shutdown")))
    }
}

// === impl Inner ===

impl Inner {
    /// Begins, and reads in the same exchange where the log stands and, on a server, what time it is there.
    async fn begin(&self) -> Result<Txn, Error> {
        let shared = self.database.clock().filter(|_| self.clock.is_none());
        let select = format!("SELECT revision, compacted, {} FROM meta", shared.unwrap_or("0"));
        let (begun, row) = self.database.begin_reading(&select).await?;
        let now_ms = match &self.clock {
            Some(clock) => clock.now_ms(),
            None if shared.is_some() => u64::try_from(row.try_get::<i64, _>(2)?).unwrap_or(0),
            None => SystemClock.now_ms(),
        };
        let position = (row.try_get(0)?, row.try_get(1)?);
        Ok(Txn::new(begun, position, &self.keys, now_ms, self.retention))
    }

    async fn now_ms(&self, connection: &mut Connection) -> Result<u64, Error> {
        if let Some(clock) = &self.clock {
            return Ok(clock.now_ms());
        }
        let Some(shared) = self.database.clock() else { return Ok(SystemClock.now_ms()) };
        let now = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {shared}")));
        let now: i64 = now.fetch_one(connection).await?;
        Ok(u64::try_from(now).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;
