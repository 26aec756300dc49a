//! Secret bytes: sealed into their own table, opened for one caller only.

use salvor_runtime::database::Connection;
use sha2::{Digest, Sha256};
use sqlx::Row;

use super::{Store, Txn, Version, leases, row};
use crate::error::Error;
use crate::seal::{self, KeyRing, Sealed};
use salvor_proto::registry::v1::{Policy, Sandbox, Spec};

/// Which secret bytes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Spec,
    Policy,
}

/// One sealed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Material {
    pub(super) field: Field,
    /// Lower-case hex SHA-256 of the plain content.
    pub(super) sha256: String,
    pub(super) sealed: Sealed,
}

// === impl Field ===

impl Field {
    pub(super) const ALL: [Self; 2] = [Self::Spec, Self::Policy];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Policy => "policy",
        }
    }
}

// === impl Txn ===

impl Txn {
    /// Seals `content` as that field of the record that `version` is of, in place of what was there.
    pub(super) async fn seal(
        &mut self,
        version: &mut Version,
        field: Field,
        content: &[u8],
    ) -> Result<(), Error> {
        let sha256 = hex::encode(Sha256::digest(content));
        let sealed = self.keys.seal(&context(&version.uid, field, &sha256), content)?;
        self.put_material(version, &Material { field, sha256, sealed }).await
    }

    pub(super) async fn put_material(
        &mut self,
        version: &mut Version,
        material: &Material,
    ) -> Result<(), Error> {
        version.sealed_with(material.field, Some(&material.sealed.key_id));
        sqlx::query(
            "INSERT INTO material (uid, field, key_id, sha256, sealed) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (uid, field) DO UPDATE SET key_id = excluded.key_id, \
             sha256 = excluded.sha256, sealed = excluded.sealed",
        )
        .bind(&version.uid)
        .bind(material.field.as_str())
        .bind(&material.sealed.key_id)
        .bind(&material.sha256)
        .bind(&material.sealed.bytes)
        .execute(self.connection().await?)
        .await?;
        Ok(())
    }

    pub(super) async fn drop_material(
        &mut self,
        version: &mut Version,
        field: Field,
    ) -> Result<(), Error> {
        version.sealed_with(field, None);
        sqlx::query("DELETE FROM material WHERE uid = $1 AND field = $2")
            .bind(&version.uid)
            .bind(field.as_str())
            .execute(self.connection().await?)
            .await?;
        Ok(())
    }
}

// === impl Store ===

impl Store {
    /// The spec and policy with their content, for the holder of the record's lease.
    pub(crate) async fn open_material(
        &self,
        name: &str,
        fence_token: i64,
    ) -> Result<(Option<Spec>, Option<Policy>), Error> {
        let mut view = self.read().await?;
        let version = row::current(&mut view, name).await?;
        let version = version.ok_or_else(|| Error::SandboxNotFound { name: name.into() })?;
        if version.is_destroyed() {
            return Err(Error::SandboxDestroyed { name: name.into() });
        }
        let now_ms = self.now_ms(&mut view).await?;
        leases::check(&mut view, name, fence_token, true, now_ms).await?;
        let sandbox = version.sandbox(self.keys())?;
        let spec = fetch(&mut view, &version.uid, Field::Spec).await?;
        let policy = fetch(&mut view, &version.uid, Field::Policy).await?;
        opened(self.keys(), sandbox, &version.uid, spec, policy)
    }

    /// How many sealed fields no key in the ring opens.
    pub(crate) async fn count_unopenable(&self) -> Result<i64, Error> {
        let mut view = self.read().await?;
        let rows = sqlx::query("SELECT key_id, count(*) FROM material GROUP BY key_id")
            .fetch_all(&mut *view)
            .await?;
        let mut unopenable = 0;
        for row in &rows {
            let (key_id, count): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            if !self.keys().holds(&key_id) {
                unopenable += count;
            }
        }
        Ok(unopenable)
    }
}

/// The sealed bytes of one field, if there are any.
pub(super) async fn fetch(
    connection: &mut Connection,
    uid: &str,
    field: Field,
) -> Result<Option<Material>, Error> {
    let found =
        sqlx::query("SELECT key_id, sha256, sealed FROM material WHERE uid = $1 AND field = $2")
            .bind(uid)
            .bind(field.as_str())
            .fetch_optional(connection)
            .await?;
    let Some(row) = found else { return Ok(None) };
    let sealed = Sealed { key_id: row.try_get(0)?, bytes: row.try_get(2)? };
    Ok(Some(Material { field, sha256: row.try_get(1)?, sealed }))
}

/// The spec and policy of a record with what their sealed bytes hold.
pub(super) fn opened(
    keys: &KeyRing,
    sandbox: Sandbox,
    uid: &str,
    sealed_spec: Option<Material>,
    sealed_policy: Option<Material>,
) -> Result<(Option<Spec>, Option<Policy>), Error> {
    let Sandbox { name, mut spec, mut policy, .. } = sandbox;
    if let Some(spec) = &mut spec {
        spec.content = open(keys, &name, uid, sealed_spec, Field::Spec, &spec.sha256)?;
    }
    if let Some(policy) = &mut policy {
        policy.content = open(keys, &name, uid, sealed_policy, Field::Policy, &policy.sha256)?;
    }
    Ok((spec, policy))
}

fn open(
    keys: &KeyRing,
    name: &str,
    uid: &str,
    found: Option<Material>,
    field: Field,
    sha256: &str,
) -> Result<Vec<u8>, Error> {
    let damaged = || Error::MaterialDamaged { name: name.into(), field: field.as_str() };
    let material = found.filter(|material| material.sha256 == sha256).ok_or_else(damaged)?;
    keys.open(&context(uid, field, sha256), &material.sealed).map_err(|error| match error {
        seal::Error::KeyMissing { key_id } => {
            Error::KeyMissing { name: name.into(), field: field.as_str(), key_id }
        }
        _ => damaged(),
    })
}

fn context<'a>(uid: &'a str, field: Field, sha256: &'a str) -> [&'a [u8]; 4] {
    [b"material", uid.as_bytes(), field.as_str().as_bytes(), sha256.as_bytes()]
}
