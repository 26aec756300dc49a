//! One write transaction: the revision counter, and what of it is kept.
//!
//! Invariant: a write gives no statement of its own before what was written by those before it is written down and a savepoint
//! taken, so that it can be undone alone. One that finds all it asks for looked up, and only leaves rows to be written, gives none.

use std::sync::Arc;

use salvor_runtime::database::{Connection, Transaction};
use sqlx::Row;

use super::Retention;
use super::group::Member;
use super::seen::{About, Seen};
use super::unwritten::Unwritten;
use crate::error::Error;
use crate::seal::KeyRing;

/// A transaction that holds the write lock.
pub(crate) struct Txn {
    inner: Transaction,
    pub(super) keys: Arc<KeyRing>,
    pub(super) now_ms: u64,
    pub(super) retention: Retention,
    pub(super) seen: Seen,
    pub(super) unwritten: Unwritten,
    began_at: i64,
    compacted: i64,
    revision: i64,
    mark: Mark,
    /// Of the write at hand.
    dry: bool,
    /// Whether there is anything to commit.
    kept: bool,
    /// Why it cannot go on, if so.
    lost: Option<Error>,
}

/// The savepoint.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// None yet.
    Unset,
    /// Of an earlier write.
    Earlier,
    /// Of the write at hand.
    Set,
    /// None: the write at hand is the only one.
    Needless,
}

// === impl Txn ===

impl Txn {
    pub(super) fn new(
        inner: Transaction,
        (revision, compacted): (i64, i64),
        keys: &Arc<KeyRing>,
        now_ms: u64,
        retention: Retention,
    ) -> Self {
        Self {
            inner,
            keys: Arc::clone(keys),
            now_ms,
            retention,
            seen: Seen::default(),
            unwritten: Unwritten::default(),
            began_at: revision,
            compacted,
            revision,
            mark: Mark::Unset,
            dry: false,
            kept: false,
            lost: None,
        }
    }

    /// For a statement of the write at hand that asks of no record.
    pub(super) async fn connection(&mut self) -> Result<&mut Connection, Error> {
        if let Err(error) = self.set_mark().await {
            self.lost = Some(error.shared());
            return Err(error);
        }
        Ok(&mut self.inner)
    }

    /// For any statement of the write at hand: it finds all that was put.
    pub(super) async fn settled(&mut self) -> Result<&mut Connection, Error> {
        self.connection().await?;
        self.unwritten.write(&mut self.inner).await?;
        Ok(&mut self.inner)
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

    /// Looks up what the writes that share the transaction will ask for.
    pub(super) async fn look_up(&mut self, about: &[About]) -> Result<(), Error> {
        self.seen.look_up(&mut self.inner, about).await
    }

    /// Runs one of the writes that share the transaction, or the only one, and undoes it if it is not to be kept.
    ///
    /// # Errors
    /// The transaction is lost, and all that was kept of it.
    pub(super) async fn run(&mut self, member: &mut dyn Member, alone: bool) -> Result<(), Error> {
        if self.unwritten.is_heavy() {
            self.unwritten.write(&mut self.inner).await?;
        }
        self.mark = match self.mark {
            _ if alone => Mark::Needless,
            Mark::Set => Mark::Earlier,
            mark => mark,
        };
        self.seen.keep();
        self.unwritten.keep();
        let before = self.revision;
        self.dry = false;
        member.run(self).await;
        if let Some(lost) = self.lost.take() {
            return Err(lost);
        }
        if !self.dry && member.failed().is_none() {
            self.kept = true;
            return Ok(());
        }
        self.revision = before;
        self.undo(member.failed()).await
    }

    async fn undo(&mut self, cause: Option<&Error>) -> Result<(), Error> {
        self.seen.undo();
        self.unwritten.undo();
        if self.mark != Mark::Set {
            // The only one ends without a commit, and any other has changed nothing.
            return Ok(());
        }
        let undone = sqlx::raw_sql("ROLLBACK TO member").execute(&mut *self.inner).await;
        undone.map_err(|error| match cause {
            // It took the transaction with it.
            Some(cause @ Error::Storage { .. }) => cause.shared(),
            _ => error.into(),
        })?;
        Ok(())
    }

    /// What follows can be undone alone.
    async fn set_mark(&mut self) -> Result<(), Error> {
        let mark = match self.mark {
            Mark::Set | Mark::Needless => return Ok(()),
            Mark::Unset => "SAVEPOINT member",
            Mark::Earlier => "RELEASE member; SAVEPOINT member",
        };
        self.unwritten.write_kept(&mut self.inner).await?;
        sqlx::raw_sql(mark).execute(&mut *self.inner).await?;
        self.mark = Mark::Set;
        Ok(())
    }

    /// Commits, if there is anything to keep. Answers the new revision if there is one.
    pub(super) async fn finish(mut self) -> Result<Option<i64>, Error> {
        if !self.kept {
            self.inner.roll_back().await;
            return Ok(None);
        }
        self.unwritten.write(&mut self.inner).await?;
        self.unwritten.forget_answers(&mut self.inner, self.retention.requests).await?;
        if self.revision == self.began_at {
            self.inner.commit().await?;
            return Ok(None);
        }
        let revision = self.revision;
        let compacted = self.compact(revision).await?;
        let position = format!("UPDATE meta SET revision = {revision}, compacted = {compacted}");
        self.inner.commit_with(&position).await?;
        Ok(Some(revision))
    }

    /// Forgets superseded versions that are out of retention, an eighth of it at a time. Answers up to which they are.
    async fn compact(&mut self, revision: i64) -> Result<i64, Error> {
        let retention = i64::from(self.retention.revisions);
        let floor = revision - retention;
        if floor - self.compacted < (retention / 8).max(1) {
            return Ok(self.compacted);
        }
        sqlx::query("DELETE FROM records WHERE superseded <= $1")
            .bind(floor)
            .execute(&mut *self.inner)
            .await?;
        Ok(floor)
    }
}

/// The present revision, and the one up to which changes may be gone.
pub(super) async fn position(connection: &mut Connection) -> Result<(i64, i64), Error> {
    let row = sqlx::query("SELECT revision, compacted FROM meta").fetch_one(connection).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
