//! Leases with fence tokens.
//!
//! Invariant: tokens rise strictly and for ever, over all names: past releases, expiries, tombstones and restarts. So a name
//! that was written to under another one's lease, as a copy is, has seen none that its own later leases do not top. At most one
//! token of a name is current, and none once its time is over. Deliberately absent: waiting for a lease.

use std::time::Duration;

use futures::FutureExt;
use salvor_proto::registry::v1::Lease;
use salvor_proto::time::timestamp;
use salvor_runtime::database::Connection;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::seen::{About, Unseen};
use super::{Store, Txn};
use crate::error::Error;

#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) fence_token: i64,
    pub(super) holder: String,
    pub(super) expire_ms: u64,
}

// === impl Held ===

impl Held {
    /// From the columns of a lease, which are null where there is none.
    pub(super) fn from_row(row: &AnyRow) -> Result<Option<Self>, Error> {
        let Some(fence_token) = row.try_get("fence_token")? else { return Ok(None) };
        let expire_ms: i64 = row.try_get("expire_ms")?;
        let expire_ms = u64::try_from(expire_ms).unwrap_or(0);
        Ok(Some(Self { fence_token, holder: row.try_get("holder")?, expire_ms }))
    }
}

// === impl Store ===

impl Store {
    /// Gives the lease of a record, tombstones included, to `holder` under a new token.
    pub(crate) async fn acquire_lease(
        &self,
        name: String,
        holder: String,
        ttl: Duration,
    ) -> Result<Lease, Error> {
        let about = About::record(&name);
        self.write_about(about, move |txn| txn.acquire(name, holder, ttl).boxed()).await
    }

    /// Moves the end of a lease that is held to `ttl` from now.
    pub(crate) async fn renew_lease(
        &self,
        name: String,
        fence_token: i64,
        ttl: Duration,
    ) -> Result<Lease, Error> {
        let about = About::record(&name);
        self.write_about(about, move |txn| txn.renew(name, fence_token, ttl).boxed()).await
    }

    /// Ends a lease if it is held under that token.
    pub(crate) async fn release_lease(&self, name: String, fence_token: i64) -> Result<(), Error> {
        let about = About::record(&name);
        self.write_about(about, move |txn| txn.release(name, fence_token).boxed()).await
    }
}

// === impl Txn ===

impl Txn {
    async fn acquire(
        &mut self,
        name: String,
        holder: String,
        ttl: Duration,
    ) -> Result<Lease, Error> {
        if self.current(&name).await?.is_none() {
            return Err(Error::SandboxNotFound { name });
        }
        self.give(name, holder, ttl).await
    }

    /// Gives the lease of whatever has this name.
    pub(super) async fn give(
        &mut self,
        name: String,
        holder: String,
        ttl: Duration,
    ) -> Result<Lease, Error> {
        let now_ms = self.now_ms;
        let last = self.lease(&name).await?;
        if let Some(held) =
            last.as_ref().filter(|held| held.expire_ms > now_ms && held.holder != holder)
        {
            return Err(Error::LeaseHeld {
                name,
                holder: held.holder.clone(),
                expire_time: timestamp(held.expire_ms),
                remaining: Duration::from_millis(held.expire_ms - now_ms),
            });
        }
        let fence_token = highest(self.connection().await?).await? + 1;
        self.store_lease(name, Held { fence_token, holder, expire_ms: end(now_ms, ttl) }).await
    }

    pub(super) async fn renew(
        &mut self,
        name: String,
        fence_token: i64,
        ttl: Duration,
    ) -> Result<Lease, Error> {
        let now_ms = self.now_ms;
        let held = self.lease(&name).await?;
        let current =
            held.filter(|held| held.fence_token == fence_token && held.expire_ms > now_ms);
        let Some(held) = current else { return Err(Error::LeaseLost { name, given: fence_token }) };
        self.store_lease(name, Held { expire_ms: end(now_ms, ttl), ..held }).await
    }

    async fn release(&mut self, name: String, fence_token: i64) -> Result<(), Error> {
        self.seen.leases.forget(&name);
        sqlx::query("UPDATE leases SET expire_ms = 0 WHERE name = $1 AND fence_token = $2")
            .bind(name)
            .bind(fence_token)
            .execute(self.connection().await?)
            .await?;
        Ok(())
    }

    async fn lease(&mut self, name: &str) -> Result<Option<Held>, Error> {
        match self.seen.leases.get(name) {
            Ok(seen) => Ok(seen),
            Err(Unseen) => find(self.connection().await?, name).await,
        }
    }

    async fn store_lease(&mut self, name: String, held: Held) -> Result<Lease, Error> {
        self.seen.leases.forget(&name);
        sqlx::query(
            "INSERT INTO leases (name, fence_token, holder, expire_ms) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET fence_token = excluded.fence_token, \
             holder = excluded.holder, expire_ms = excluded.expire_ms",
        )
        .bind(&name)
        .bind(held.fence_token)
        .bind(&held.holder)
        .bind(i64::try_from(held.expire_ms).unwrap_or(i64::MAX))
        .execute(self.connection().await?)
        .await?;
        Ok(Lease {
            sandbox: name,
            holder: held.holder,
            fence_token: held.fence_token,
            expire_time: Some(timestamp(held.expire_ms)),
        })
    }

    /// As [`check`].
    pub(super) async fn check_fence(
        &mut self,
        name: &str,
        given: i64,
        required: bool,
    ) -> Result<(), Error> {
        let last = self.lease(name).await?;
        judge(last, name, given, required, self.now_ms)
    }
}

/// Lets a call pass whose fence token is that of the lease held, or one without a token while no lease is held, unless a
/// token is `required`. Zero means no token.
pub(super) async fn check(
    connection: &mut Connection,
    name: &str,
    given: i64,
    required: bool,
    now_ms: u64,
) -> Result<(), Error> {
    judge(find(connection, name).await?, name, given, required, now_ms)
}

fn judge(
    last: Option<Held>,
    name: &str,
    given: i64,
    required: bool,
    now_ms: u64,
) -> Result<(), Error> {
    match last.filter(|held| held.expire_ms > now_ms) {
        Some(held) if held.fence_token == given => Ok(()),
        Some(held) => Err(Error::Fenced { name: name.into(), given, current: held.fence_token }),
        None if given != 0 => Err(Error::LeaseLost { name: name.into(), given }),
        None if required => Err(Error::FenceTokenRequired { name: name.into() }),
        None => Ok(()),
    }
}

async fn highest(connection: &mut Connection) -> Result<i64, Error> {
    let highest = sqlx::query_scalar("SELECT COALESCE(MAX(fence_token), 0) FROM leases");
    Ok(highest.fetch_one(connection).await?)
}

pub(super) async fn find(connection: &mut Connection, name: &str) -> Result<Option<Held>, Error> {
    let found = sqlx::query("SELECT fence_token, holder, expire_ms FROM leases WHERE name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await?;
    found.as_ref().map_or(Ok(None), Held::from_row)
}

fn end(now_ms: u64, ttl: Duration) -> u64 {
    now_ms.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}
