//! Creating, changing and destroying records.

use futures::FutureExt;
use prost::Message;
use salvor_proto::registry::v1::{Sandbox, sandbox::State};
use uuid::Uuid;

use super::material::Field as Secret;
use super::seen::About;
use super::{RequestId, Store, Txn, Version, gateways};
use crate::error::Error;
use crate::record::{Content, Contents, Field, MAX_RECORD, Mask, intends_otherwise, patch};
use crate::seal::KeyRing;

/// The fields that every write sets.
const BOOKKEEPING: [&str; 6] =
    ["etag", "revision", "generation", "state", "update_time", "delete_time"];

/// A record to be created.
#[derive(Debug)]
pub(crate) struct Create {
    /// Checked; without secret bytes and with nothing in its output-only fields.
    pub(crate) sandbox: Sandbox,
    pub(crate) contents: Contents,
    pub(crate) gateway: String,
    pub(crate) request: Option<RequestId>,
    pub(crate) only_check: bool,
    pub(crate) claim_default: bool,
}

/// A change of a record.
#[derive(Debug)]
pub(crate) struct Update {
    /// Checked as far as masked; without secret bytes.
    pub(crate) sandbox: Sandbox,
    pub(crate) contents: Contents,
    pub(crate) mask: Mask,
    pub(crate) fence_token: i64,
    pub(crate) request: Option<RequestId>,
    pub(crate) only_check: bool,
}

/// The end of a record.
#[derive(Debug)]
pub(crate) struct Delete {
    pub(crate) name: String,
    pub(crate) etag: String,
    pub(crate) fence_token: i64,
    pub(crate) request: Option<RequestId>,
}

// === impl Store ===

impl Store {
    /// Stores a new record.
    pub(crate) async fn create(&self, create: Create) -> Result<Sandbox, Error> {
        let about = About::record(&create.sandbox.name).request(create.request.as_ref());
        self.write_about(about, move |txn| txn.create(create).boxed()).await
    }

    /// Changes the masked fields of a record.
    pub(crate) async fn update(&self, update: Update) -> Result<Sandbox, Error> {
        let about = About::record(&update.sandbox.name).request(update.request.as_ref());
        self.write_about(about, move |txn| txn.update(update).boxed()).await
    }

    /// Turns a record into a tombstone and forgets its secret bytes.
    pub(crate) async fn delete(&self, delete: Delete) -> Result<Sandbox, Error> {
        let about = About::record(&delete.name).request(delete.request.as_ref());
        self.write_about(about, move |txn| txn.delete(delete).boxed()).await
    }
}

// === impl Txn ===

impl Txn {
    async fn create(&mut self, create: Create) -> Result<Sandbox, Error> {
        if let Some(first) = self.replay(create.request.as_ref()).await? {
            return Ok(first);
        }
        if create.only_check {
            self.only_check();
        }
        let Create { mut sandbox, contents, gateway, request, claim_default, .. } = create;
        gateways::must_be_registered(self.connection().await?, gateway).await?;
        if self.current(&sandbox.name).await?.is_some_and(|found| !found.is_destroyed()) {
            return Err(Error::SandboxExists { name: sandbox.name });
        }
        let revision = self.next_revision();
        sandbox.uid = Uuid::new_v4().to_string();
        sandbox.etag = new_etag();
        sandbox.revision = revision;
        sandbox.generation = 1;
        sandbox.state = State::Active.into();
        sandbox.create_time = Some(self.now());
        sandbox.update_time = Some(self.now());
        let message = sandbox.encode_to_vec();
        let mut version = Version::new(&sandbox, bounded(message)?);
        self.store_contents(&mut version, contents, None).await?;
        version.is_default = claim_default && self.default().await?.is_none();
        let stored = version.shown(sandbox, &self.keys);
        self.put(version, revision)?;
        self.remember(request.as_ref(), &stored);
        Ok(stored)
    }

    async fn update(&mut self, update: Update) -> Result<Sandbox, Error> {
        if let Some(first) = self.replay(update.request.as_ref()).await? {
            return Ok(first);
        }
        if update.only_check {
            self.only_check();
        }
        let Update { sandbox: from, contents, mask, fence_token, request, .. } = update;
        let version = self.live(&from.name).await?;
        self.check_fence(&from.name, fence_token, mask.needs_lease()).await?;
        if mask.disturbs_a_recovery() {
            check_mark(&version, &self.keys, fence_token)?;
        }
        check_etag(&version, &from.etag)?;
        let before = version.sandbox(&self.keys)?;
        let mut after = mask.apply(&before, &from);
        settle_echo(&mut after, &before, &contents)?;
        let revision = self.next_revision();
        after.generation = before.generation + i64::from(intends_otherwise(&before, &after));
        self.stamp(&mut after, revision);
        let fields: Vec<&str> = mask.names().chain(BOOKKEEPING).collect();
        let message = bounded(patch(&version.message, &stripped(&after), &fields)?)?;
        let mut next = version.followed_by(&after, message);
        self.store_contents(&mut next, contents, Some(&mask)).await?;
        let stored = next.shown(after, &self.keys);
        self.put(next, revision)?;
        self.remember(request.as_ref(), &stored);
        Ok(stored)
    }

    async fn delete(&mut self, delete: Delete) -> Result<Sandbox, Error> {
        if let Some(first) = self.replay(delete.request.as_ref()).await? {
            return Ok(first);
        }
        let version = self.live(&delete.name).await?;
        self.check_fence(&delete.name, delete.fence_token, false).await?;
        check_mark(&version, &self.keys, delete.fence_token)?;
        check_etag(&version, &delete.etag)?;
        let mut after = version.sandbox(&self.keys)?;
        let revision = self.next_revision();
        self.stamp(&mut after, revision);
        after.state = State::Destroyed.into();
        after.delete_time = Some(self.now());
        let message = patch(&version.message, &stripped(&after), &BOOKKEEPING)?;
        let mut next = Version::new(&after, message);
        for field in Secret::ALL {
            self.drop_material(&mut next, field).await?;
        }
        let stored = next.shown(after, &self.keys);
        self.put(next, revision)?;
        self.remember(delete.request.as_ref(), &stored);
        Ok(stored)
    }

    /// What every change of a record sets.
    pub(super) fn stamp(&self, sandbox: &mut Sandbox, revision: i64) {
        sandbox.etag = new_etag();
        sandbox.revision = revision;
        sandbox.update_time = Some(self.now());
    }

    /// Seals what came, and drops what the mask takes away.
    async fn store_contents(
        &mut self,
        version: &mut Version,
        contents: Contents,
        mask: Option<&Mask>,
    ) -> Result<(), Error> {
        let each = [
            (Field::Spec, Secret::Spec, contents.spec),
            (Field::Policy, Secret::Policy, contents.policy),
        ];
        for (field, secret, content) in each {
            if mask.is_some_and(|mask| !mask.has(field)) {
                continue;
            }
            match content {
                Content::Bytes(bytes) => self.seal(version, secret, &bytes).await?,
                Content::Absent => self.drop_material(version, secret).await?,
                Content::Echo(_) => {}
            }
        }
        Ok(())
    }
}

/// A message that came back without its content stands for the content that is stored, and for no other.
fn settle_echo(after: &mut Sandbox, before: &Sandbox, contents: &Contents) -> Result<(), Error> {
    let other = |field: &str| {
        let problem = "is empty, and sha256 is not that of the stored content; send it, or \
                       read the record again";
        Error::invalid(format!("sandbox.{field}.content"), problem)
    };
    if let (Some(spec), Content::Echo(sha256)) = (&mut after.spec, &contents.spec) {
        let kept = before.spec.as_ref().filter(|spec| spec.sha256 == *sha256);
        spec.size_bytes = kept.ok_or_else(|| other("spec"))?.size_bytes;
    }
    if let (Some(policy), Content::Echo(sha256)) = (&mut after.policy, &contents.policy) {
        let kept = before.policy.as_ref().filter(|policy| policy.sha256 == *sha256);
        policy.size_bytes = kept.ok_or_else(|| other("policy"))?.size_bytes;
    }
    Ok(())
}

/// Refuses a caller that knows another version than the present one.
pub(super) fn check_etag(version: &Version, given: &str) -> Result<(), Error> {
    if version.etag == given {
        return Ok(());
    }
    Err(Error::EtagMismatch {
        name: version.name.clone(),
        given: given.into(),
        current: version.etag.clone(),
    })
}

/// Refuses whoever is not a lease's holder while a recovery has the record marked. A parked one holds no lease; what it goes
/// back to, or owes in the end, must still be what it began with.
pub(super) fn check_mark(version: &Version, keys: &KeyRing, fence_token: i64) -> Result<(), Error> {
    if fence_token != 0 {
        return Ok(());
    }
    // One that cannot be read is refused, or healed, for that: its mark is not to be believed either.
    let Ok(present) = version.sandbox(keys) else { return Ok(()) };
    let state = match present.state() {
        State::Recovering => "RECOVERING",
        State::Destroying => "DESTROYING",
        State::Unspecified | State::Active | State::Destroyed => return Ok(()),
    };
    Err(Error::InRecovery { name: version.name.clone(), state })
}

/// Without what is computed at each read.
pub(super) fn stripped(sandbox: &Sandbox) -> Sandbox {
    let mut stripped = sandbox.clone();
    stripped.is_default = false;
    if let Some(spec) = &mut stripped.spec {
        spec.openable = false;
    }
    if let Some(policy) = &mut stripped.policy {
        policy.openable = false;
    }
    stripped
}

fn bounded(message: Vec<u8>) -> Result<Vec<u8>, Error> {
    if message.len() <= MAX_RECORD {
        return Ok(message);
    }
    let problem = format!(
        "would be {} bytes without spec and policy content; at most {MAX_RECORD} are kept",
        message.len()
    );
    Err(Error::invalid("sandbox", problem))
}

pub(super) fn new_etag() -> String {
    Uuid::new_v4().simple().to_string()
}
