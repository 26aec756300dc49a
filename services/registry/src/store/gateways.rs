//! Gateways.
//!
//! Invariant: a pinned identity is changed by an update alone, and a gateway that owns a live record is not forgotten.

use std::sync::Arc;

use futures::FutureExt;
use prost::Message;
use salvor_proto::registry::v1::{Gateway, GatewayHeartbeat, GatewayIdentity};
use salvor_proto::time::millis;
use salvor_runtime::database::{Connection, at_once};
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::write::new_etag;
use super::{RequestId, Store, Txn, serving};
use crate::error::Error;
use crate::record::patch;

/// How many records an error names.
const NAMED: i64 = 5;

/// A change of a gateway.
#[derive(Debug)]
pub(crate) struct GatewayChange {
    /// Checked as far as masked.
    pub(crate) gateway: Gateway,
    /// Proto names of the fields to take from it.
    pub(crate) fields: Vec<&'static str>,
}

/// A gateway as stored.
struct Entry {
    name: String,
    etag: String,
    digest: Vec<u8>,
    message: Vec<u8>,
    heartbeat: Option<Vec<u8>>,
}

// === impl Store ===

impl Store {
    /// Makes a gateway known.
    pub(crate) async fn register(
        &self,
        gateway: Gateway,
        request: Option<RequestId>,
    ) -> Result<Gateway, Error> {
        let name = gateway.name.clone();
        let stored = self
            .write(move |txn| async move { txn.register(gateway, request).await }.boxed())
            .await?;
        Ok(self.with_heartbeat(&name, stored))
    }

    /// Reads one.
    pub(crate) async fn gateway(&self, name: &str) -> Result<Gateway, Error> {
        let mut view = self.read().await?;
        let entry = entry(&mut view, name).await?;
        let entry = entry.ok_or_else(|| Error::GatewayNotFound { name: name.into() })?;
        Ok(self.with_heartbeat(name, entry.gateway()?))
    }

    /// Up to `limit` gateways whose names come after `after`, and whether there are more.
    pub(crate) async fn gateways(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<Gateway>, bool), Error> {
        let mut view = self.read().await?;
        let rows = sqlx::query(
            "SELECT name, etag, digest, message, heartbeat FROM gateways WHERE name > $1 \
             ORDER BY name LIMIT $2",
        )
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1))
        .fetch_all(&mut *view)
        .await?;
        let mut gateways = Vec::with_capacity(rows.len().min(limit));
        for row in rows.iter().take(limit) {
            let entry = Entry::from_row(row)?;
            let listed = entry.gateway().map(|gateway| self.with_heartbeat(&entry.name, gateway));
            gateways.push(listed.unwrap_or_else(|_| entry.damaged()));
        }
        Ok((gateways, rows.len() > limit))
    }

    /// Changes some fields of a gateway.
    pub(crate) async fn update_gateway(&self, change: GatewayChange) -> Result<Gateway, Error> {
        let name = change.gateway.name.clone();
        let stored =
            self.write(move |txn| async move { txn.update_gateway(change).await }.boxed()).await?;
        Ok(self.with_heartbeat(&name, stored))
    }

    /// Forgets a gateway that owns no live record.
    pub(crate) async fn delete_gateway(&self, name: String, etag: String) -> Result<(), Error> {
        let forgotten = name.clone();
        self.write(move |txn| async move { txn.delete_gateway(name, etag).await }.boxed()).await?;
        self.inner.heartbeats.forget(&forgotten);
        Ok(())
    }

    /// Takes what an adapter says, and pins the identity on the first healthy word.
    pub(crate) async fn heartbeat(
        &self,
        name: String,
        mut heartbeat: GatewayHeartbeat,
    ) -> Result<Gateway, Error> {
        let gateway = at_once(self.gateway(&name)).await?;
        let assigned = &gateway.adapter_id;
        if !assigned.is_empty() && *assigned != heartbeat.adapter_id {
            let speaker = heartbeat.adapter_id;
            return Err(Error::GatewayAssignedElsewhere {
                name,
                assigned: assigned.clone(),
                speaker,
            });
        }
        let now_ms = at_once(async {
            let mut view = self.read().await?;
            let now_ms = self.now_ms(&mut view).await?;
            serving::check_speaker(&mut view, &name, &heartbeat, now_ms).await?;
            Ok::<_, Error>(now_ms)
        })
        .await?;
        heartbeat.receive_time = Some(salvor_proto::time::timestamp(now_ms));
        let unpinned = gateway.pinned_identity.as_ref().is_none_or(is_empty);
        let pins = unpinned && pinnable(&heartbeat).is_some();
        let known = self.inner.heartbeats.know(&name, &heartbeat);
        if known && !pins {
            return Ok(Gateway { heartbeat: Some(heartbeat), ..gateway });
        }
        let (key, said) = (name.clone(), heartbeat.clone());
        let inner = Arc::clone(&self.inner);
        let stored = self.write(move |txn| {
            async move {
                // Again: since the look above another adapter may have begun to serve.
                let now_ms = txn.now_ms;
                serving::check_speaker(txn.connection().await?, &name, &said, now_ms).await?;
                inner.heartbeats.take(&name, &said);
                txn.heartbeat(&name, said).await
            }
            .boxed()
        });
        let stored = stored.await?;
        self.inner.heartbeats.written(&key, &heartbeat);
        Ok(self.with_heartbeat(&key, stored))
    }

    fn with_heartbeat(&self, name: &str, mut gateway: Gateway) -> Gateway {
        let heard = self.inner.heartbeats.get(name);
        // What another replica heard is in the database, and may be newer.
        if let Some(heard) = heard.filter(|heard| is_newer(heard, gateway.heartbeat.as_ref())) {
            gateway.heartbeat = Some(heard);
        }
        gateway
    }
}

// === impl Txn ===

impl Txn {
    async fn register(
        &mut self,
        mut gateway: Gateway,
        request: Option<RequestId>,
    ) -> Result<Gateway, Error> {
        if let Some(first) = self.replay(request.as_ref()).await? {
            return Ok(first);
        }
        // A damaged row can be registered anew: nothing else could heal it while records are bound to it.
        let known = entry(self.connection().await?, &gateway.name).await?;
        if known.is_some_and(|known| known.gateway().is_ok()) {
            return Err(Error::GatewayExists { name: gateway.name });
        }
        gateway.etag = new_etag();
        gateway.revision = self.next_revision();
        gateway.create_time = Some(self.now());
        gateway.update_time = Some(self.now());
        gateway.heartbeat = None;
        let entry = Entry::new(&gateway, gateway.encode_to_vec(), None);
        self.put_gateway(&entry).await?;
        self.remember(request.as_ref(), &gateway);
        Ok(gateway)
    }

    async fn update_gateway(&mut self, change: GatewayChange) -> Result<Gateway, Error> {
        let GatewayChange { gateway: mut from, mut fields } = change;
        let stored = self.known_gateway(&from.name, Some(&from.etag)).await?;
        stored.gateway()?;
        from.etag = new_etag();
        from.revision = self.next_revision();
        from.update_time = Some(self.now());
        fields.extend(["etag", "revision", "update_time"]);
        let message = patch(&stored.message, &from, &fields)?;
        let entry = Entry::new(&from, message, stored.heartbeat);
        self.put_gateway(&entry).await?;
        entry.gateway()
    }

    async fn delete_gateway(&mut self, name: String, etag: String) -> Result<(), Error> {
        self.known_gateway(&name, Some(&etag)).await?;
        let label = name.trim_start_matches("gateways/");
        let count: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM records WHERE gateway = $1 AND state <> 4 AND superseded IS NULL",
        )
        .bind(label)
        .fetch_one(self.settled().await?)
        .await?;
        if count > 0 {
            let records = sqlx::query_scalar(
                "SELECT name FROM records WHERE gateway = $1 AND state <> 4 AND superseded IS NULL \
                 ORDER BY name LIMIT $2",
            )
            .bind(label)
            .bind(NAMED)
            .fetch_all(self.settled().await?)
            .await?;
            return Err(Error::GatewayInUse { name, count, records });
        }
        sqlx::query("DELETE FROM gateways WHERE name = $1")
            .bind(&name)
            .execute(self.connection().await?)
            .await?;
        self.next_revision();
        Ok(())
    }

    async fn heartbeat(
        &mut self,
        name: &str,
        heartbeat: GatewayHeartbeat,
    ) -> Result<Gateway, Error> {
        let stored = self.known_gateway(name, None).await?;
        let mut gateway = stored.gateway()?;
        let mut message = stored.message;
        let identity = pinnable(&heartbeat);
        if let Some(identity) =
            identity.filter(|_| gateway.pinned_identity.as_ref().is_none_or(is_empty))
        {
            gateway.pinned_identity = Some(identity.clone());
            let pin = Gateway { pinned_identity: Some(identity.clone()), ..Gateway::default() };
            message = patch(&message, &pin, &["pinned_identity"])?;
        }
        let entry = Entry::new(&gateway, message, Some(heartbeat.encode_to_vec()));
        self.put_gateway(&entry).await?;
        entry.gateway()
    }

    async fn known_gateway(&mut self, name: &str, etag: Option<&str>) -> Result<Entry, Error> {
        let found = entry(self.connection().await?, name).await?;
        let found = found.ok_or_else(|| Error::GatewayNotFound { name: name.into() })?;
        match etag {
            Some(etag) if etag != found.etag => Err(Error::EtagMismatch {
                name: name.into(),
                given: etag.into(),
                current: found.etag,
            }),
            _ => Ok(found),
        }
    }

    async fn put_gateway(&mut self, entry: &Entry) -> Result<(), Error> {
        sqlx::query(
            "INSERT INTO gateways (name, etag, digest, message, heartbeat) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO UPDATE SET etag = excluded.etag, \
             digest = excluded.digest, message = excluded.message, heartbeat = excluded.heartbeat",
        )
        .bind(&entry.name)
        .bind(&entry.etag)
        .bind(&entry.digest)
        .bind(&entry.message)
        .bind(&entry.heartbeat)
        .execute(self.connection().await?)
        .await?;
        Ok(())
    }
}

// === impl Entry ===

impl Entry {
    fn new(gateway: &Gateway, message: Vec<u8>, heartbeat: Option<Vec<u8>>) -> Self {
        let mut entry = Self {
            name: gateway.name.clone(),
            etag: gateway.etag.clone(),
            digest: Vec::new(),
            message,
            heartbeat,
        };
        entry.digest = entry.digested();
        entry
    }

    fn from_row(row: &AnyRow) -> Result<Self, Error> {
        Ok(Self {
            name: row.try_get(0)?,
            etag: row.try_get(1)?,
            digest: row.try_get(2)?,
            message: row.try_get(3)?,
            heartbeat: row.try_get(4)?,
        })
    }

    fn gateway(&self) -> Result<Gateway, Error> {
        let unreadable = || Error::GatewayUnreadable { name: self.name.clone() };
        if self.digest != self.digested() {
            return Err(unreadable());
        }
        let mut gateway = Gateway::decode(self.message.as_slice()).map_err(|_| unreadable())?;
        // A heartbeat that does not decode is as good as none: the next one replaces it.
        let heartbeat = self.heartbeat.as_deref();
        gateway.heartbeat = heartbeat.and_then(|bytes| GatewayHeartbeat::decode(bytes).ok());
        Ok(gateway)
    }

    /// What a list shows of a damaged row, so that it is named and harms no other.
    fn damaged(&self) -> Gateway {
        let heartbeat =
            GatewayHeartbeat { reason: "GATEWAY_UNREADABLE".into(), ..GatewayHeartbeat::default() };
        Gateway {
            name: self.name.clone(),
            etag: self.etag.clone(),
            heartbeat: Some(heartbeat),
            ..Gateway::default()
        }
    }

    fn digested(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        for part in [self.name.as_bytes(), self.etag.as_bytes(), &self.message] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.finalize().to_vec()
    }
}

/// Refuses what is about a gateway that nobody registered.
pub(super) async fn must_be_known(connection: &mut Connection, name: &str) -> Result<(), Error> {
    match entry(connection, name).await? {
        Some(_) => Ok(()),
        None => Err(Error::GatewayNotFound { name: name.into() }),
    }
}

/// Refuses to bind a record to a gateway that is not known.
pub(super) async fn must_be_registered(
    connection: &mut Connection,
    gateway: String,
) -> Result<(), Error> {
    match entry(connection, &gateway).await? {
        Some(_) => Ok(()),
        None => Err(Error::GatewayNotRegistered { gateway }),
    }
}

async fn entry(connection: &mut Connection, name: &str) -> Result<Option<Entry>, Error> {
    let found =
        sqlx::query("SELECT name, etag, digest, message, heartbeat FROM gateways WHERE name = $1")
            .bind(name)
            .fetch_optional(connection)
            .await?;
    found.as_ref().map(Entry::from_row).transpose()
}

/// The identity that a heartbeat proves: that of a healthy gateway that identified itself.
fn pinnable(heartbeat: &GatewayHeartbeat) -> Option<&GatewayIdentity> {
    heartbeat.identity.as_ref().filter(|identity| heartbeat.healthy && !is_empty(identity))
}

fn is_newer(heard: &GatewayHeartbeat, stored: Option<&GatewayHeartbeat>) -> bool {
    let at = |heartbeat: &GatewayHeartbeat| heartbeat.receive_time.as_ref().map_or(0, millis);
    stored.is_none_or(|stored| at(heard) >= at(stored))
}

fn is_empty(identity: &GatewayIdentity) -> bool {
    *identity == GatewayIdentity::default()
}
