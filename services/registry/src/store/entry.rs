//! Verbatim copies of one record, and putting them back.
//!
//! Invariant: a copy restores the record it is of and no other, exactly as it was, or nothing at all. Deliberately absent:
//! keeping copies; the caller does.

use futures::FutureExt;
use prost::Message;
use salvor_proto::registry::v1::{EntrySnapshot, Policy, Sandbox, Spec, sandbox::State};

use super::material::{self, Field, Material};
use super::seen::About;
use super::write::{check_etag, check_mark, stripped};
use super::{Store, Txn, Version, gateways, leases, row};
use crate::error::Error;
use crate::record::patch;
use crate::seal::{self, KeyRing, Sealed};

const KEY_ID_BYTES: usize = 16;

/// A copy to be put back.
#[derive(Debug)]
pub(crate) struct Restore {
    pub(crate) snapshot: EntrySnapshot,
    /// Of `snapshot.name`.
    pub(crate) gateway: String,
    /// Empty if the caller takes the record for gone.
    pub(crate) etag: String,
    pub(crate) fence_token: i64,
}

/// What a snapshot's sealed bytes hold.
#[derive(Clone, PartialEq, Eq, Message)]
struct EntryCopy {
    #[prost(string, tag = "1")]
    uid: String,
    #[prost(bytes = "vec", tag = "2")]
    message: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    material: Vec<CopiedMaterial>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct CopiedMaterial {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    key_id: String,
    #[prost(string, tag = "3")]
    sha256: String,
    #[prost(bytes = "vec", tag = "4")]
    sealed: Vec<u8>,
}

// === impl Store ===

impl Store {
    /// Copies a record that is not a tombstone.
    pub(crate) async fn snapshot(&self, name: &str) -> Result<EntrySnapshot, Error> {
        let mut view = self.read().await?;
        let version = row::current(&mut view, name).await?;
        let version = version.ok_or_else(|| Error::SandboxNotFound { name: name.into() })?;
        if version.is_destroyed() {
            return Err(Error::SandboxDestroyed { name: name.into() });
        }
        let sandbox = version.sandbox(self.keys())?;
        let mut copy = EntryCopy {
            uid: version.uid.clone(),
            message: version.message.clone(),
            material: Vec::new(),
        };
        for field in Field::ALL {
            let found = material::fetch(&mut view, &version.uid, field).await?;
            copy.material.extend(found.map(CopiedMaterial::from));
        }
        let mut snapshot = EntrySnapshot {
            name: version.name.clone(),
            etag: version.etag.clone(),
            revision: sandbox.revision,
            was_default: version.is_default,
            sealed: Vec::new(),
        };
        snapshot.sealed = seal(self.keys(), &snapshot, &copy)?;
        Ok(snapshot)
    }

    /// The spec and policy of a copy with their content, for the holder of the lease of the record it is of.
    pub(crate) async fn open_copy(
        &self,
        snapshot: &EntrySnapshot,
        fence_token: i64,
    ) -> Result<(Option<Spec>, Option<Policy>), Error> {
        let mut view = self.read().await?;
        let now_ms = self.now_ms(&mut view).await?;
        leases::check(&mut view, &snapshot.name, fence_token, true, now_ms).await?;
        let copy = open(self.keys(), snapshot)?;
        let altered = || Error::SnapshotAltered { name: snapshot.name.clone() };
        let sandbox = Sandbox::decode(copy.message.as_slice()).map_err(|_| altered())?;
        let sealed = |field: Field| {
            let copied = copy.material.iter().find(|material| material.field == field.as_str());
            copied.map(|copied| copied.material(field))
        };
        material::opened(
            self.keys(),
            sandbox,
            &copy.uid,
            sealed(Field::Spec),
            sealed(Field::Policy),
        )
    }

    /// Puts a copy back. Answers the record and whether it became the default again.
    pub(crate) async fn restore(&self, restore: Restore) -> Result<(Sandbox, bool), Error> {
        let about = About::record(&restore.snapshot.name);
        self.write_about(about, move |txn| txn.restore(restore).boxed()).await
    }
}

// === impl Txn ===

impl Txn {
    async fn restore(&mut self, restore: Restore) -> Result<(Sandbox, bool), Error> {
        let Restore { snapshot, gateway, etag, fence_token } = restore;
        let copy = open(&self.keys, &snapshot)?;
        let altered = || Error::SnapshotAltered { name: snapshot.name.clone() };
        let mut after = Sandbox::decode(copy.message.as_slice()).map_err(|_| altered())?;
        gateways::must_be_registered(self.connection().await?, gateway).await?;
        let present = self.current(&snapshot.name).await?;
        self.check_fence(&snapshot.name, fence_token, false).await?;
        if let Some(present) = &present {
            check_mark(present, &self.keys, fence_token)?;
        }
        check_present(present.as_ref(), &snapshot.name, &copy.uid, &etag)?;
        let revision = self.next_revision();
        self.stamp(&mut after, revision);
        if let Some(present) = &present {
            after.generation = settled_generation(&self.keys, present, after.generation);
        }
        let mut other = vec!["etag", "revision", "generation", "update_time"];
        if fence_token == 0 && matches!(after.state(), State::Recovering | State::Destroying) {
            // The recovery that marked it when it was copied may have ended: only a lease's holder marks.
            after.set_state(State::Active);
            after.recovery.clear();
            other.extend(["state", "recovery"]);
        }
        let message = patch(&copy.message, &stripped(&after), &other)?;
        let mut next = Version::new(&after, message);
        self.restore_material(&mut next, &copy).await?;
        let (is_default, reclaimed) = self.settle_default(&snapshot, present.as_ref()).await?;
        next.is_default = is_default;
        let stored = next.shown(after, &self.keys);
        self.put(next, revision)?;
        Ok((stored, reclaimed))
    }

    async fn restore_material(
        &mut self,
        version: &mut Version,
        copy: &EntryCopy,
    ) -> Result<(), Error> {
        for field in Field::ALL {
            let copied = copy.material.iter().find(|material| material.field == field.as_str());
            match copied {
                Some(copied) => self.put_material(version, &copied.material(field)).await?,
                None => self.drop_material(version, field).await?,
            }
        }
        Ok(())
    }

    /// Whether the restored record is the default, and whether that was reclaimed: only what was this record's, and only
    /// if it is now nobody's or still this record's.
    async fn settle_default(
        &mut self,
        snapshot: &EntrySnapshot,
        present: Option<&Version>,
    ) -> Result<(bool, bool), Error> {
        if present.is_some_and(|present| present.is_default) {
            return Ok((true, snapshot.was_default));
        }
        let reclaimed = snapshot.was_default && self.default().await?.is_none();
        Ok((reclaimed, reclaimed))
    }
}

/// The etag must be the present one. A tombstone of the same incarnation counts as gone, and then there need be none.
fn check_present(
    present: Option<&Version>,
    name: &str,
    uid: &str,
    etag: &str,
) -> Result<(), Error> {
    let Some(present) = present else { return Ok(()) };
    if present.uid != uid {
        return Err(Error::SnapshotOfOther {
            name: name.into(),
            snapshot: uid.into(),
            current: present.uid.clone(),
        });
    }
    if present.is_destroyed() && etag.is_empty() {
        return Ok(());
    }
    if etag.is_empty() {
        return Err(Error::invalid(
            "etag",
            "is required: the record is there; read it again for its present etag",
        ));
    }
    check_etag(present, etag)
}

/// A generation never goes back: if the owner changed the record since the copy, the restore is one more change.
fn settled_generation(keys: &KeyRing, present: &Version, copied: i64) -> i64 {
    match present.sandbox(keys) {
        Ok(present) if present.generation > copied => present.generation + 1,
        _ => copied,
    }
}

fn seal(keys: &KeyRing, snapshot: &EntrySnapshot, copy: &EntryCopy) -> Result<Vec<u8>, Error> {
    let sealed =
        keys.seal(&context(snapshot).each_ref().map(Vec::as_slice), &copy.encode_to_vec())?;
    let mut bytes = sealed.key_id.into_bytes();
    bytes.extend(sealed.bytes);
    Ok(bytes)
}

fn open(keys: &KeyRing, snapshot: &EntrySnapshot) -> Result<EntryCopy, Error> {
    let altered = || Error::SnapshotAltered { name: snapshot.name.clone() };
    let (key_id, bytes) = snapshot.sealed.split_at_checked(KEY_ID_BYTES).ok_or_else(altered)?;
    let key_id = std::str::from_utf8(key_id).map_err(|_| altered())?;
    let is_id = key_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let sealed = Sealed { key_id: key_id.into(), bytes: bytes.to_vec() };
    let opened = keys.open(&context(snapshot).each_ref().map(Vec::as_slice), &sealed);
    let plain = opened.map_err(|error| match error {
        seal::Error::KeyMissing { key_id } if is_id => {
            Error::KeyMissing { name: snapshot.name.clone(), field: "snapshot", key_id }
        }
        _ => altered(),
    })?;
    EntryCopy::decode(plain.as_slice()).map_err(|_| altered())
}

/// All that the snapshot says in the open is bound to its sealed bytes.
fn context(snapshot: &EntrySnapshot) -> [Vec<u8>; 5] {
    [
        b"entry snapshot".to_vec(),
        snapshot.name.clone().into_bytes(),
        snapshot.etag.clone().into_bytes(),
        snapshot.revision.to_le_bytes().to_vec(),
        vec![u8::from(snapshot.was_default)],
    ]
}

// === impl CopiedMaterial ===

impl CopiedMaterial {
    fn material(&self, field: Field) -> Material {
        let sealed = Sealed { key_id: self.key_id.clone(), bytes: self.sealed.clone() };
        Material { field, sha256: self.sha256.clone(), sealed }
    }
}

impl From<Material> for CopiedMaterial {
    fn from(material: Material) -> Self {
        Self {
            field: material.field.as_str().into(),
            key_id: material.sealed.key_id,
            sha256: material.sha256,
            sealed: material.sealed.bytes,
        }
    }
}
