//! One version of one record, as stored.
//!
//! Invariant: a version whose columns and message are not exactly what was written is unreadable, and says so by name.

use prost::Message;
use salvor_core::name::RecordName;
use salvor_proto::registry::v1::{Sandbox, sandbox::State};
use salvor_runtime::database::Connection;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::Txn;
use super::material::Field;
use super::seen::Unseen;
use crate::error::Error;
use crate::seal::KeyRing;

/// The columns that [`Version`] reads, and others; what follows is the rest of the statement.
macro_rules! versions {
    ($tail:literal) => {
        $crate::store::row::versions!("", $tail)
    };
    ($others:literal, $tail:literal) => {
        concat!(
            "SELECT r.revision, r.name, r.uid, r.etag, r.state, r.is_default, ",
            "r.digest, r.message, ",
            "s.key_id AS spec_key, p.key_id AS policy_key",
            $others,
            " FROM records r ",
            "LEFT JOIN material s ON s.uid = r.uid AND s.field = 'spec' ",
            "LEFT JOIN material p ON p.uid = r.uid AND p.field = 'policy' ",
            $tail
        )
    };
}
pub(super) use versions;

/// One version of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// Of the change that made this version.
    pub(crate) revision: i64,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) etag: String,
    pub(crate) state: i32,
    pub(crate) is_default: bool,
    /// `Sandbox` without secret bytes, with whatever a newer version wrote into it.
    pub(crate) message: Vec<u8>,
    digest: Vec<u8>,
    spec_key: Option<String>,
    policy_key: Option<String>,
}

// === impl Version ===

impl Version {
    /// A version that is to be written next.
    pub(super) fn new(sandbox: &Sandbox, message: Vec<u8>) -> Self {
        Self {
            revision: 0,
            name: sandbox.name.clone(),
            uid: sandbox.uid.clone(),
            etag: sandbox.etag.clone(),
            state: sandbox.state,
            is_default: false,
            message,
            digest: Vec::new(),
            spec_key: None,
            policy_key: None,
        }
    }

    /// The one that is to be written after this one. What is sealed stays, until it is said otherwise.
    pub(super) fn followed_by(&self, sandbox: &Sandbox, message: Vec<u8>) -> Self {
        Self {
            is_default: self.is_default,
            spec_key: self.spec_key.clone(),
            policy_key: self.policy_key.clone(),
            ..Self::new(sandbox, message)
        }
    }

    /// With which key that field of it is sealed, if at all.
    pub(super) fn sealed_with(&mut self, field: Field, key: Option<&str>) {
        let kept = match field {
            Field::Spec => &mut self.spec_key,
            Field::Policy => &mut self.policy_key,
        };
        *kept = key.map(Into::into);
    }

    /// The same as it is once stored under `revision`.
    #[cfg(test)]
    pub(crate) fn sealed(sandbox: &Sandbox, message: Vec<u8>, revision: i64) -> Self {
        let mut version = Self::new(sandbox, message);
        version.revision = revision;
        version.digest = version.digested();
        version
    }

    pub(super) fn from_row(row: &AnyRow) -> Result<Self, Error> {
        Ok(Self {
            revision: row.try_get("revision")?,
            name: row.try_get("name")?,
            uid: row.try_get("uid")?,
            etag: row.try_get("etag")?,
            state: row.try_get("state")?,
            is_default: row.try_get::<i64, _>("is_default")? == 1,
            message: row.try_get("message")?,
            digest: row.try_get("digest")?,
            spec_key: row.try_get("spec_key")?,
            policy_key: row.try_get("policy_key")?,
        })
    }

    /// Whether it is a tombstone.
    pub(crate) fn is_destroyed(&self) -> bool {
        self.state == i32::from(State::Destroyed)
    }

    /// The record, without secret bytes.
    pub(crate) fn sandbox(&self, keys: &KeyRing) -> Result<Sandbox, Error> {
        let unreadable = || Error::Unreadable { name: self.name.clone(), etag: self.etag.clone() };
        if self.digest != self.digested() {
            return Err(unreadable());
        }
        let sandbox = Sandbox::decode(self.message.as_slice()).map_err(|_| unreadable())?;
        Ok(self.shown(sandbox, keys))
    }

    /// The record that its message holds, with what is computed at each read.
    pub(super) fn shown(&self, mut sandbox: Sandbox, keys: &KeyRing) -> Sandbox {
        sandbox.is_default = self.is_default;
        let openable = |key: &Option<String>| key.as_ref().is_some_and(|key| keys.holds(key));
        if let Some(spec) = &mut sandbox.spec {
            spec.openable = openable(&self.spec_key);
        }
        if let Some(policy) = &mut sandbox.policy {
            policy.openable = openable(&self.policy_key);
        }
        sandbox
    }

    pub(super) fn digest(&self) -> &[u8] {
        &self.digest
    }

    /// Over everything but `superseded`, which changes.
    fn digested(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        for part in [&self.name, &self.uid, &self.etag] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.update(self.revision.to_le_bytes());
        digest.update(self.state.to_le_bytes());
        digest.update([u8::from(self.is_default)]);
        digest.update(&self.message);
        digest.finalize().to_vec()
    }
}

/// The present version of one record.
pub(super) async fn current(
    connection: &mut Connection,
    name: &str,
) -> Result<Option<Version>, Error> {
    let found = sqlx::query(versions!("WHERE r.name = $1 AND r.superseded IS NULL"))
        .bind(name)
        .fetch_optional(connection)
        .await?;
    found.as_ref().map(Version::from_row).transpose()
}

// === impl Txn ===

impl Txn {
    /// The present version, tombstones included.
    pub(super) async fn current(&mut self, name: &str) -> Result<Option<Version>, Error> {
        match self.seen.versions.get(name) {
            Ok(seen) => Ok(seen),
            Err(Unseen) => current(self.connection().await?, name).await,
        }
    }

    /// The present version of a record that is not a tombstone.
    pub(super) async fn live(&mut self, name: &str) -> Result<Version, Error> {
        match self.current(name).await? {
            None => Err(Error::SandboxNotFound { name: name.into() }),
            Some(found) if found.is_destroyed() => {
                Err(Error::SandboxDestroyed { name: name.into() })
            }
            Some(found) => Ok(found),
        }
    }

    /// Makes `version` the present one of its name, under `revision`. What is sealed of it is stored already.
    pub(super) fn put(&mut self, mut version: Version, revision: i64) -> Result<(), Error> {
        version.revision = revision;
        version.digest = version.digested();
        self.put_as_it_is(version)
    }

    /// The same, of one whose bytes are not what was once written, nor are to pass for it.
    pub(super) fn put_damaged(&mut self, mut version: Version, revision: i64) -> Result<(), Error> {
        version.revision = revision;
        version.digest = Vec::new();
        self.put_as_it_is(version)
    }

    fn put_as_it_is(&mut self, version: Version) -> Result<(), Error> {
        let name: RecordName =
            version.name.parse().map_err(|_| Error::Defect("a record without a proper name"))?;
        self.seen.versions.put(&version.name, version.clone());
        self.unwritten.put(name, version);
        Ok(())
    }
}
