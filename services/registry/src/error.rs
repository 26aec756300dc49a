//! What can go wrong in the registry, as values.
//!
//! Invariant: an error of this type means that nothing was changed, but for a disk or a server that failed in the middle, of which
//! it says that it is not known. What each one is on the wire is in `wire`.

mod next_step;
mod wire;

use std::sync::Arc;

pub use next_step::NextStep;
use salvor_runtime::database::Failure;

use crate::seal;

/// Why the registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request is malformed in itself.
    #[error("{0}")]
    Request(salvor_proto::Error),
    /// No such record.
    #[error("no record is named {name}")]
    SandboxNotFound { name: String },
    /// Only a tombstone has the name.
    #[error("{name} was destroyed; only its tombstone is left")]
    SandboxDestroyed { name: String },
    /// A live record has the name.
    #[error("{name} exists already")]
    SandboxExists { name: String },
    /// No such gateway.
    #[error("no gateway is registered as {name}")]
    GatewayNotFound { name: String },
    /// The name is taken.
    #[error("{name} is registered already")]
    GatewayExists { name: String },
    /// A record may only be bound to a known gateway.
    #[error("{gateway} is not registered, so nothing can be bound to it; nothing was stored")]
    GatewayNotRegistered { gateway: String },
    /// Records are bound to the gateway.
    #[error("{name} still owns {count} record(s): {}; nothing was removed", records.join(", "))]
    GatewayInUse { name: String, count: i64, records: Vec<String> },
    /// Another adapter has the gateway.
    #[error(
        "{name} is assigned to the adapter {assigned}, so what {speaker} says of it is not taken"
    )]
    GatewayAssignedElsewhere { name: String, assigned: String, speaker: String },
    /// Nothing is the default.
    #[error("no sandbox is the default")]
    DefaultUnset,
    /// The caller's etag is not the present one.
    #[error(
        "{name} has etag {current}, not {given}: it was changed since it was read; nothing was \
         written"
    )]
    EtagMismatch { name: String, given: String, current: String },
    /// The caller's fence token is not that of the lease held.
    #[error(
        "the lease of {name} is held with fence token {current}, not {}; nothing was touched",
        shown(*given)
    )]
    Fenced { name: String, given: i64, current: i64 },
    /// The call needs a lease, and the caller names none.
    #[error("this needs the lease of {name}: give its fence_token; nothing was touched")]
    FenceTokenRequired { name: String },
    /// The caller's lease is gone.
    #[error(
        "the lease of {name} with fence token {given} is not held any more; nothing was touched"
    )]
    LeaseLost { name: String, given: i64 },
    /// A recovery that is open has marked the record.
    #[error(
        "{name} is {state}: a recovery that is at work or parked goes by what the record says, and \
         owes it; nothing was changed"
    )]
    InRecovery { name: String, state: &'static str },
    /// Somebody else has the lease.
    #[error("the lease of {name} is held by {holder} until {expire_time}")]
    LeaseHeld {
        name: String,
        holder: String,
        expire_time: prost_types::Timestamp,
        remaining: std::time::Duration,
    },
    /// Another adapter serves the gateway.
    #[error(
        "{name} is served by the adapter {holder}, which holds it until {expire_time} unless it \
         renews; nothing was changed"
    )]
    GatewayServedElsewhere {
        name: String,
        holder: String,
        expire_time: prost_types::Timestamp,
        remaining: std::time::Duration,
    },
    /// The id was used for something else.
    #[error("request_id {id} was used before for another request; nothing was done")]
    RequestIdReused { id: String },
    /// The changes are gone.
    #[error(
        "changes after revision {asked} are no longer held; the oldest revision to \
         resume from is {oldest}"
    )]
    Compacted { asked: i64, oldest: i64 },
    /// The revision is yet to come.
    #[error(
        "revision {asked} is ahead of the registry, which is at {current}; was \
         its database replaced?"
    )]
    Ahead { asked: i64, current: i64 },
    /// The stored bytes of one record are not what was written.
    #[error(
        "the stored record {name} is damaged; no other record is affected and nothing was changed"
    )]
    Unreadable { name: String, etag: String },
    /// The same of a gateway.
    #[error(
        "the stored gateway {name} is damaged; no other gateway is affected and nothing was changed"
    )]
    GatewayUnreadable { name: String },
    /// The sealed bytes cannot be opened for want of a key.
    #[error(
        "the {field} of {name} is sealed with key {key_id}, which is not in the key \
         ring; the record is as it was"
    )]
    KeyMissing { name: String, field: &'static str, key_id: String },
    /// The sealed bytes of one record were altered.
    #[error(
        "the sealed {field} of {name} is damaged or gone; nothing was handed out and nothing \
         changed"
    )]
    MaterialDamaged { name: String, field: &'static str },
    /// The copy was altered, or another registry made it.
    #[error(
        "the snapshot of {name} was altered, or another registry made it; nothing was restored"
    )]
    SnapshotAltered { name: String },
    /// The copy is of another incarnation.
    #[error(
        "the snapshot is of {name} with uid {snapshot}, and that name now belongs to uid \
         {current}; nothing was restored"
    )]
    SnapshotOfOther { name: String, snapshot: String, current: String },
    /// Sealing failed.
    #[error("cannot seal: {0}")]
    Seal(seal::Error),
    /// The database said no.
    #[error("the database refused the call: {failure}")]
    Storage {
        failure: Failure,
        #[source]
        source: Arc<sqlx::Error>,
    },
    /// A defect.
    #[error("a defect: {0}")]
    Defect(&'static str),
}

// === impl Error ===

impl Error {
    /// A malformed field.
    pub(crate) fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Request(salvor_proto::Error::invalid(field, problem))
    }

    /// What the database said, for another call that it says the same of.
    pub(crate) fn shared(&self) -> Self {
        match self {
            Self::Storage { failure, source } => {
                Self::Storage { failure: *failure, source: Arc::clone(source) }
            }
            _ => Self::Defect("a transaction was lost, and not by the database"),
        }
    }
}

impl From<salvor_proto::Error> for Error {
    fn from(error: salvor_proto::Error) -> Self {
        Self::Request(error)
    }
}

impl From<sqlx::Error> for Error {
    fn from(source: sqlx::Error) -> Self {
        Self::Storage { failure: Failure::of(&source), source: Arc::new(source) }
    }
}

impl From<seal::Error> for Error {
    fn from(error: seal::Error) -> Self {
        Self::Seal(error)
    }
}

fn shown(token: i64) -> String {
    if token == 0 { "none".into() } else { token.to_string() }
}
