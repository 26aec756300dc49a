//! The default pointer: a flag on at most one present version.
//!
//! Invariant: moving the pointer changes no record's etag, for it says nothing of the records; watchers see the change.

use futures::FutureExt;
use salvor_proto::registry::v1::Sandbox;

use super::row::versions;
use super::{Store, Txn, Version};
use crate::error::Error;

// === impl Store ===

impl Store {
    /// The record that the pointer names.
    pub(crate) async fn default_sandbox(&self) -> Result<Sandbox, Error> {
        let mut view = self.read().await?;
        let found = sqlx::query(versions!("WHERE r.is_default = 1 AND r.superseded IS NULL"))
            .fetch_optional(&mut *view)
            .await?;
        let row = found.ok_or(Error::DefaultUnset)?;
        Version::from_row(&row)?.sandbox(self.keys())
    }

    /// Points at `name`, or at nothing. Answers what was the default before.
    pub(crate) async fn set_default(&self, name: Option<String>) -> Result<Option<String>, Error> {
        self.write(move |txn| txn.set_default(name).boxed()).await
    }
}

// === impl Txn ===

impl Txn {
    /// The present default.
    pub(super) async fn default(&mut self) -> Result<Option<Version>, Error> {
        let found = sqlx::query(versions!("WHERE r.is_default = 1 AND r.superseded IS NULL"))
            .fetch_optional(self.settled().await?)
            .await?;
        found.as_ref().map(Version::from_row).transpose()
    }

    async fn set_default(&mut self, name: Option<String>) -> Result<Option<String>, Error> {
        let next = match &name {
            Some(name) => Some(self.live(name).await?),
            None => None,
        };
        if let Some(next) = &next {
            next.sandbox(&self.keys)?;
        }
        let previous = self.default().await?;
        let before = previous.as_ref().map(|version| version.name.clone());
        if before == name {
            return Ok(before);
        }
        if let Some(previous) = previous {
            self.flag(previous, false)?;
        }
        if let Some(next) = next {
            self.flag(next, true)?;
        }
        Ok(before)
    }

    fn flag(&mut self, mut version: Version, is_default: bool) -> Result<(), Error> {
        let damaged = version.sandbox(&self.keys).is_err();
        version.is_default = is_default;
        let revision = self.next_revision();
        if damaged {
            // Its bytes go on as they are, and so must the knowledge that they are not what was written.
            return self.put_damaged(version, revision);
        }
        self.put(version, revision)
    }
}
