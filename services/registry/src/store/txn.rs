//! One write transaction: the revision counter and its end.

use std::sync::Arc;

use salvor_runtime::database::Transaction;
use sqlx::{AnyConnection, Row};

use super::Retention;
use crate::error::Error;
use crate::seal::KeyRing;

/// A transaction that holds the write lock.
pub(crate) struct Txn {
    inner: Transaction,
    pub(super) keys: Arc<KeyRing>,
    pub(super) now_ms: u64,
    pub(super) retention: Retention,
    began_at: i64,
    compacted: i64,
    revision: i64,
    dry: bool,
}

// === impl Txn ===

impl Txn {
    pub(super) async fn new(
        mut inner: Transaction,
        keys: &Arc<KeyRing>,
        now_ms: u64,
        retention: Retention,
    ) -> Result<Self, Error> {
        let (revision, compacted) = position(&mut inner).await?;
        let keys = Arc::clone(keys);
        let (began_at, dry) = (revision, false);
        Ok(Self { inner, keys, now_ms, retention, began_at, compacted, revision, dry })
    }

    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }

    /// The next number of the one counter.
    pub(super) fn next_revision(&mut self) -> i64 {
        self.revision += 1;
        self.revision
    }

    /// Undoes everything at the end, though the answer is given: `validate_only`.
    pub(super) fn only_check(&mut self) {
        self.dry = true;
    }

    /// The present time as stored.
    pub(super) fn now(&self) -> prost_types::Timestamp {
        salvor_proto::time::timestamp(self.now_ms)
    }

    /// Commits. Answers the new revision if there is one.
    pub(super) async fn finish(mut self) -> Result<Option<i64>, Error> {
        if self.dry {
            self.roll_back().await;
            return Ok(None);
        }
        let revision = (self.revision > self.began_at).then_some(self.revision);
        if let Some(revision) = revision {
            sqlx::query("UPDATE meta SET revision = $1")
                .bind(revision)
                .execute(self.connection())
                .await?;
            self.compact(revision).await?;
        }
        self.inner.commit().await?;
        Ok(revision)
    }

    pub(super) async fn roll_back(self) {
        self.inner.roll_back().await;
    }

    /// Forgets superseded versions that are out of retention, an eighth of it at a time.
    async fn compact(&mut self, revision: i64) -> Result<(), Error> {
        let retention = i64::from(self.retention.revisions);
        let floor = revision - retention;
        if floor - self.compacted < (retention / 8).max(1) {
            return Ok(());
        }
        sqlx::query("DELETE FROM records WHERE superseded <= $1")
            .bind(floor)
            .execute(self.connection())
            .await?;
        sqlx::query("UPDATE meta SET compacted = $1")
            .bind(floor)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

/// The present revision, and the one up to which changes may be gone.
pub(super) async fn position(connection: &mut AnyConnection) -> Result<(i64, i64), Error> {
    let row = sqlx::query("SELECT revision, compacted FROM meta").fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
