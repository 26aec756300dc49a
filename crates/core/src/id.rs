//! Identifiers and digests that come from elsewhere, each of its own type so that none can stand in for another.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The text, compared exactly and never by prefix.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

id! {
    /// The gateway's id of one incarnation of a sandbox; new on every create.
    LiveId
    /// Changes whenever a sandbox's processes are started anew.
    InstanceId
    /// A record's opaque version, as the registry gave it.
    Etag
    /// What tells a record from every other one, of the same name too.
    RecordUid
    /// A provider record's name on a gateway.
    ProviderName
    /// The name of a network rule within a policy.
    RuleName
    /// A container image reference.
    Image
    /// The name of an environment variable; never its value.
    VariableName
    /// A gateway's hash of a policy.
    PolicyHash
    /// Lower-case hex SHA-256.
    Sha256
    /// `recoveries/{id}`.
    RecoveryName
    /// The gateway's reason for a phase, as it spells it.
    PhaseReason
    /// An absolute path inside a sandbox.
    SandboxPath
    /// `gateways/{gateway}/snapshots/{id}`, the id whole: 64 hex digits.
    SnapshotName
    /// A container's id at its host's runtime.
    ComputeId
    /// A plan's digest: lower-case hex SHA-256 of everything its execution uses.
    PlanDigest
    /// The kind of an agent, for example `claude-code`.
    AgentKind
}

impl SandboxPath {
    /// Whether it is this directory or something below it.
    pub fn is_in(&self, directory: &Self) -> bool {
        let below = self.0.strip_prefix(directory.0.trim_end_matches('/'));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// A lease's fence token. Rises with every acquisition, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(pub i64);
