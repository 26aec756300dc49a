//! How what a denial names reads.

use super::RecordPart;
use crate::{
    evidence::{Dialect, IdentityPart, RecordState},
    fact::FactName,
};

impl FactName {
    pub(super) const fn in_words(self) -> &'static str {
        match self {
            Self::Record => "the record",
            Self::OwnerGateway => "the owner gateway's state",
            Self::LiveView => "whether the sandbox exists",
            Self::Providers => "the state of the providers",
            Self::Snapshot => "which snapshots the repository holds",
            Self::Compute => "what the container runtime holds of the sandbox",
            Self::CopyName => "whether the name of the copy is free",
        }
    }
}

impl RecordPart {
    /// As people say it.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::LiveId => "id of a sandbox that was live",
            Self::GatewayIdentity => "identity of its owner gateway",
            Self::Agent => "agent",
            Self::Spec => "spec",
            Self::Policy => "policy",
        }
    }
}

impl RecordState {
    /// As people say it.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Recovering => "held by a recovery",
            Self::Destroying => "held by a destroy",
            Self::Destroyed => "a tombstone: the sandbox was destroyed on purpose",
        }
    }
}

impl IdentityPart {
    /// As people say it.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::SigningKey => "signing key",
            Self::Issuer => "issuer",
            Self::Authority => "certificate authority",
        }
    }
}

impl Dialect {
    /// As people say it.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::V0_0 => "0.0.x",
            Self::V0_1 => "0.1.x",
        }
    }
}
