//! What is known and what is not.
//!
//! A fact is known, with the time at which it was seen, or it is unknown, with a reason. A guard reaches a value only
//! through [`Fact::fresh`], so that missing or old evidence is a denial before it can be anything else.

use serde::{Deserialize, Serialize};

use crate::{Denial, Limits, Timestamp};

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact<T> {
    /// It was seen.
    Known {
        /// What was seen.
        value: T,
        /// When.
        at: Timestamp,
    },
    /// It could not be determined.
    Unknown {
        /// The class of reason.
        why: Why,
        /// What was asked and what came back, for people; without secrets.
        detail: String,
    },
}

/// Which fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FactName {
    /// The registry's record.
    Record,
    /// The owner gateway, probed.
    OwnerGateway,
    /// The owner gateway's statement of the sandbox.
    LiveView,
    /// The providers that a recreate needs.
    Providers,
    /// The snapshot that may stand for the workspace.
    Snapshot,
    /// What the host's container runtime holds of the sandbox.
    Compute,
    /// What the name of a copy is taken by.
    CopyName,
}

/// Why something is unknown. No member of this set is ever a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Why {
    /// Not reachable, or said to be unavailable.
    Unavailable,
    /// No answer within the deadline.
    DeadlineExceeded,
    /// The gateway does not know who asks.
    Unauthenticated,
    /// The gateway knows who asks, and refuses.
    PermissionDenied,
    /// The TLS handshake failed.
    TlsFailed,
    /// The method does not exist there, or what answered is no gateway.
    Unimplemented,
    /// No dialect is known to fit the gateway's version.
    VersionUnknown,
    /// It is not the gateway that was pinned.
    ForeignGateway,
    /// The workspace does not exist there.
    WorkspaceMissing,
    /// It asks for fewer calls.
    RateLimited,
    /// Its answers contradict each other.
    Inconsistent,
    /// It failed inside.
    Internal,
    /// Its answer could not be read.
    Unreadable,
    /// It answered what it never answers to this call.
    Unexpected,
    /// No gateway of that name is registered.
    NotRegistered,
    /// The adapter that serves the gateway could not be reached.
    AdapterUnreachable,
    /// The repository lacks a snapshot, or everything, that is known to have been in it.
    SnapshotsGone,
    /// A snapshot of the sandbox's is in the repository and cannot be read.
    SnapshotUnreadable,
    /// Nobody asked: an earlier answer made the question void.
    NotAsked,
}

// === impl Fact ===

impl<T> Fact<T> {
    /// A known fact.
    pub const fn known(value: T, at: Timestamp) -> Self {
        Self::Known { value, at }
    }

    /// An unknown one.
    pub fn unknown(why: Why, detail: impl Into<String>) -> Self {
        Self::Unknown { why, detail: detail.into() }
    }

    /// The value, if it is known and no older than the limits allow; the denial otherwise.
    pub fn fresh(&self, fact: FactName, now: Timestamp, limits: &Limits) -> Result<&T, Denial> {
        match self {
            Self::Unknown { why, .. } => Err(Denial::Unknown { fact, why: *why }),
            Self::Known { value, at } => {
                let (age, max_age) = (at.age(now), limits.max_evidence_age);
                if age > max_age {
                    return Err(Denial::EvidenceTooOld { fact, age, max_age });
                }
                Ok(value)
            }
        }
    }

    /// The value whatever its age: for showing, never for deciding.
    pub const fn shown(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Unknown { .. } => None,
        }
    }
}

impl FactName {
    /// Its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Record => "record",
            Self::OwnerGateway => "owner_gateway",
            Self::LiveView => "live_view",
            Self::Providers => "providers",
            Self::Snapshot => "snapshot",
            Self::Compute => "compute",
            Self::CopyName => "copy_name",
        }
    }
}

impl Why {
    /// All of them, for tables and tests.
    pub const ALL: [Self; 19] = [
        Self::Unavailable,
        Self::DeadlineExceeded,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::TlsFailed,
        Self::Unimplemented,
        Self::VersionUnknown,
        Self::ForeignGateway,
        Self::WorkspaceMissing,
        Self::RateLimited,
        Self::Inconsistent,
        Self::Internal,
        Self::Unreadable,
        Self::Unexpected,
        Self::NotRegistered,
        Self::AdapterUnreachable,
        Self::SnapshotsGone,
        Self::SnapshotUnreadable,
        Self::NotAsked,
    ];

    /// What is the case, as the end of "it is not known because …".
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Unavailable => "the gateway cannot be reached",
            Self::DeadlineExceeded => "the gateway did not answer in time",
            Self::Unauthenticated => "the gateway does not accept the adapter's credentials",
            Self::PermissionDenied => "the gateway does not allow the adapter to look",
            Self::TlsFailed => "the TLS handshake with the gateway failed",
            Self::Unimplemented => "what answers at the gateway's address lacks the method",
            Self::VersionUnknown => "the gateway's version is not one that salvor can read",
            Self::ForeignGateway => "what answers is not the gateway that was pinned",
            Self::WorkspaceMissing => "the gateway has no workspace of that name",
            Self::RateLimited => "the gateway asks for fewer calls",
            Self::Inconsistent => "the gateway's answers contradict each other",
            Self::Internal => "the gateway failed inside",
            Self::Unreadable => "the gateway's answer could not be read",
            Self::Unexpected => "the gateway answered what it never answers to this call",
            Self::NotRegistered => "no gateway of that name is registered",
            Self::AdapterUnreachable => "the gateway's adapter cannot be reached",
            Self::SnapshotsGone => {
                "the snapshot repository lacks what the record or the adapter knows to have been in it"
            }
            Self::SnapshotUnreadable => {
                "a snapshot of the sandbox's is damaged, or was made by a newer salvor"
            }
            Self::NotAsked => "an earlier answer made the question void",
        }
    }

    /// What would make it known: something that works in the present state.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Unavailable | Self::DeadlineExceeded | Self::Internal => {
                "check that the gateway runs (`salvor gateways list`), then ask again"
            }
            Self::Unauthenticated | Self::PermissionDenied | Self::TlsFailed => {
                "correct the gateway's credentials (`salvor gateways update`), then ask again"
            }
            Self::Unimplemented | Self::Unexpected | Self::Unreadable => {
                "check the gateway's endpoint (`salvor gateways list`), then ask again"
            }
            Self::VersionUnknown => "use a gateway of version 0.0.x or 0.1.x",
            Self::ForeignGateway => {
                "check the endpoint; if the gateway was replaced on purpose, pin it anew \
                 (`salvor gateways repin`)"
            }
            Self::WorkspaceMissing => "check the workspace's name on the gateway",
            Self::RateLimited | Self::Inconsistent | Self::NotAsked => "ask again",
            Self::NotRegistered => "register it (`salvor gateways add`)",
            Self::AdapterUnreachable => "start the gateway-adapter, then ask again",
            Self::SnapshotsGone => {
                "put the repository back where the gateway's adapter looks for it, then ask again; of a \
                 live sandbox, take a new snapshot (`salvor snapshot create`)"
            }
            Self::SnapshotUnreadable => {
                "use a salvor as new as the one that made it, or choose another by name \
                 (`salvor snapshot list`)"
            }
        }
    }
}
