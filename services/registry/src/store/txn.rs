//! One write transaction: the revision counter, and what of it is kept.

use std::sync::Arc;

use salvor_runtime::database::Transaction;
use sqlx::{AnyConnection, Row};

use super::Retention;
use super::group::Member;
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
    /// Of the write at hand.
    dry: bool,
    marked: bool,
    /// Whether there is anything to commit.
    kept: bool,
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
        let began_at = revision;
        let (dry, marked, kept) = (false, false, false);
        Ok(Self {
            inner,
            keys,
            now_ms,
            retention,
            began_at,
            compacted,
            revision,
            dry,
            marked,
            kept,
        })
    }

    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }

    /// The next number of the one counter.
    pub(super) fn next_revision(&mut self) -> i64 {
        self.revision += 1;
        self.revision
    }

    /// Undoes the write at its end, though the answer is given: `validate_only`.
    pub(super) fn only_check(&mut self) {
        self.dry = true;
    }

    /// The present time as stored.
    pub(super) fn now(&self) -> prost_types::Timestamp {
        salvor_proto::time::timestamp(self.now_ms)
    }

    /// Runs one of the writes that share the transaction, or the only one, and undoes it if it is not to be kept.
    ///
    /// # Errors
    /// The transaction is lost, and all that was kept of it.
    pub(super) async fn run(&mut self, member: &mut dyn Member, alone: bool) -> Result<(), Error> {
        if !alone {
            self.mark().await?;
        }
        let before = self.revision;
        self.dry = false;
        member.run(self).await;
        if !self.dry && member.failed().is_none() {
            self.kept = true;
            return Ok(());
        }
        self.revision = before;
        if alone {
            // It ends without a commit.
            return Ok(());
        }
        let undone = sqlx::raw_sql("ROLLBACK TO member").execute(self.connection()).await;
        undone.map_err(|error| match member.failed() {
            // It took the transaction with it.
            Some(cause @ Error::Storage { .. }) => cause.shared(),
            _ => error.into(),
        })?;
        Ok(())
    }

    /// What follows can be undone alone.
    async fn mark(&mut self) -> Result<(), Error> {
        let mark =
            if self.marked { "RELEASE member; SAVEPOINT member" } else { "SAVEPOINT member" };
        sqlx::raw_sql(mark).execute(self.connection()).await?;
        self.marked = true;
        Ok(())
    }

    /// Commits, if there is anything to keep. Answers the new revision if there is one.
    pub(super) async fn finish(mut self) -> Result<Option<i64>, Error> {
        if !self.kept {
            self.inner.roll_back().await;
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
