//! Lists as of one revision.
//!
//! Invariant: a page shows the versions that were present at its revision, whatever was written since; a revision whose
//! versions are no longer all held is refused. Deliberately absent: page tokens.

use futures::TryStreamExt;

use salvor_runtime::database::Connection;

use super::row::versions;
use super::{Store, Version, txn};
use crate::error::Error;

/// A page is ended early once its messages take this many bytes, so that it fits a response.
const PAGE_BYTES: usize = 4 << 20;

/// Which records; `None` is any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) gateway: Option<String>,
    pub(crate) workspace: Option<String>,
    pub(crate) sandbox: Option<String>,
    pub(crate) show_deleted: bool,
}

/// One page.
#[derive(Debug)]
pub(crate) struct Listed {
    /// In name order.
    pub(crate) versions: Vec<Version>,
    /// The revision that it shows.
    pub(crate) revision: i64,
    /// Whether there are more.
    pub(crate) more: bool,
}

// === impl Store ===

impl Store {
    /// Up to `limit` records whose names come after `after`, as of `revision` or else of now.
    pub(crate) async fn list(
        &self,
        query: &Query,
        after: &str,
        revision: Option<i64>,
        limit: usize,
    ) -> Result<Listed, Error> {
        let mut view = self.read().await?;
        let (present, compacted) = txn::position(&mut view).await?;
        let revision = revision.unwrap_or(present);
        if revision < compacted {
            return Err(Error::Compacted { asked: revision, oldest: compacted });
        }
        if revision > present {
            return Err(Error::Ahead { asked: revision, current: present });
        }
        let (versions, more) = page(&mut view, query, after, revision, limit).await?;
        Ok(Listed { versions, revision, more })
    }
}

async fn page(
    view: &mut Connection,
    query: &Query,
    after: &str,
    revision: i64,
    limit: usize,
) -> Result<(Vec<Version>, bool), Error> {
    // Two statements, so that each walks an index of its own in name order.
    let statement = if query.sandbox.is_some() {
        versions!(
            "WHERE r.sandbox = $5 AND r.name > $1 AND r.name < $8 AND r.revision <= $2 \
             AND (r.superseded IS NULL OR r.superseded > $2) AND ($3 IS NULL OR r.gateway = $3) \
             AND ($4 IS NULL OR r.workspace = $4) AND ($6 = 1 OR r.state <> 4) ORDER BY r.name LIMIT $7"
        )
    } else {
        versions!(
            "WHERE r.name > $1 AND r.name < $8 AND r.revision <= $2 \
             AND (r.superseded IS NULL OR r.superseded > $2) AND ($3 IS NULL OR r.gateway = $3) \
             AND ($4 IS NULL OR r.workspace = $4) AND $5 IS NULL AND ($6 = 1 OR r.state <> 4) \
             ORDER BY r.name LIMIT $7"
        )
    };
    let (first, last) = bounds(query);
    let mut rows = sqlx::query(statement)
        .bind(after.max(first.as_str()))
        .bind(revision)
        .bind(&query.gateway)
        .bind(&query.workspace)
        .bind(&query.sandbox)
        .bind(i64::from(query.show_deleted))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1))
        .bind(last)
        .fetch(view);
    let (mut versions, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        if versions.len() == limit || bytes > PAGE_BYTES {
            return Ok((versions, true));
        }
        let version = Version::from_row(&row)?;
        bytes += version.message.len();
        versions.push(version);
    }
    Ok((versions, false))
}

/// What the names of the query lie between. '0' is the character after '/'.
fn bounds(query: &Query) -> (String, String) {
    match &query.gateway {
        Some(gateway) => (format!("gateways/{gateway}/"), format!("gateways/{gateway}0")),
        None => (String::new(), "gateways0".into()),
    }
}
