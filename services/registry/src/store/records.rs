//! Reading one record.

use salvor_proto::registry::v1::Sandbox;

use super::{Store, row};
use crate::error::Error;

impl Store {
    /// The present version of one record; a tombstone only if asked for.
    pub(crate) async fn get(&self, name: &str, show_deleted: bool) -> Result<Sandbox, Error> {
        let mut view = self.read().await?;
        let found = row::current(&mut view, name).await?;
        let version = found.ok_or_else(|| Error::SandboxNotFound { name: name.into() })?;
        if version.is_destroyed() && !show_deleted {
            return Err(Error::SandboxDestroyed { name: name.into() });
        }
        version.sandbox(self.keys())
    }
}
