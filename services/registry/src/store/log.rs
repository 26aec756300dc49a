//! The change log: what happened after a revision.
//!
//! Invariant: read from a revision that is still held, it has every change, in order and once. Deliberately absent: a
//! subscription; a reader keeps its own position and comes back.

use super::list::Query;
use super::row::versions;
use super::{Store, Version, txn};
use crate::error::Error;

/// How many changes are read at once.
const BATCH: i64 = 32;

/// Some changes after a revision.
#[derive(Debug)]
pub(crate) struct Batch {
    /// In order of revision.
    pub(crate) found: Vec<Change>,
    /// There is nothing between the last of `found` and this. Read on from here.
    pub(crate) upto: i64,
    /// Whether there is more to read at once.
    pub(crate) more: bool,
}

/// A record as one change left it.
pub(crate) type Change = Version;

// === impl Store ===

impl Store {
    /// Where a watch begins that is to show what comes after `start`, zero meaning now.
    pub(crate) async fn watch_start(&self, start: i64) -> Result<i64, Error> {
        let mut view = self.read().await?;
        let (present, compacted) = txn::position(&mut view).await?;
        match start {
            0 => Ok(present),
            start if start > present => Err(Error::Ahead { asked: start, current: present }),
            start if start < compacted => Err(Error::Compacted { asked: start, oldest: compacted }),
            start => Ok(start),
        }
    }

    /// The first changes after `after`.
    pub(crate) async fn changes(&self, query: &Query, after: i64) -> Result<Batch, Error> {
        let mut view = self.read().await?;
        let (present, compacted) = txn::position(&mut view).await?;
        if after < compacted {
            return Err(Error::Compacted { asked: after, oldest: compacted });
        }
        let statement = versions!(
            "WHERE r.revision > $1 AND ($2 IS NULL OR r.gateway = $2) \
             AND ($3 IS NULL OR r.workspace = $3) ORDER BY r.revision LIMIT $4"
        );
        let rows = sqlx::query(statement)
            .bind(after)
            .bind(&query.gateway)
            .bind(&query.workspace)
            .bind(BATCH)
            .fetch_all(&mut *view)
            .await?;
        let found = rows.iter().map(Version::from_row).collect::<Result<Vec<_>, _>>()?;
        let full = i64::try_from(found.len()).unwrap_or(BATCH) == BATCH;
        let upto = match found.last() {
            Some(last) if full => last.revision,
            _ => present,
        };
        Ok(Batch { found, upto, more: full })
    }
}
