//! Everything that a decision rests on.

mod workspace;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::workspace::{
    Asked, Channel, Compute, CopyTo, Doomed, RestoreMode, Retention, Snapshot,
};
use crate::{
    Fact, Timestamp, Why,
    id::{
        AgentKind, Etag, Image, InstanceId, LiveId, PhaseReason, PlanDigest, PolicyHash,
        ProviderName, RecordUid, RecoveryName, RuleName, SandboxPath, Sha256, SnapshotName,
        VariableName,
    },
    name::RecordName,
};

/// What is known of one sandbox at one time. Only the owner gateway's answers are in it; there is no field into which
/// another gateway's could be put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// When the decision is made.
    pub now: Timestamp,
    /// The record that it is about.
    pub target: RecordName,
    /// The registry's record.
    pub record: Fact<Record>,
    /// The owner gateway.
    pub gateway: Fact<Gateway>,
    /// Its statement of the sandbox. Unknown is a fact's third state, so there is no fourth.
    pub live: Fact<Live>,
    /// The providers that the recorded spec names, as the owner gateway has them.
    pub providers: Fact<Vec<Provider>>,
    /// The snapshot that may stand for the workspace: the one that was asked for, or else the newest complete one of this
    /// sandbox. `None`: the repository holds none, or the adapter has no repository.
    #[serde(default = "not_asked")]
    pub snapshot: Fact<Option<Snapshot>>,
    /// Whether the owner's adapter has a repository at all. Without one nothing can be saved, and there is nothing to ask.
    #[serde(default = "yes")]
    pub repository: bool,
    /// What the host's container runtime holds of the recorded incarnation. Empty where the adapter was given no runtime:
    /// then nothing is known of containers, and nothing can be done about them.
    #[serde(default = "not_asked")]
    pub compute: Fact<Vec<Compute>>,
    /// The incarnation by which the name of a copy is taken: the gateway has it, or a record speaks of it. `None`: the name is
    /// free, or no copy was asked for.
    #[serde(default = "not_asked")]
    pub copy: Fact<Option<LiveId>>,
    /// Those of the snapshots to delete by name that the repository holds. Empty where none was asked for.
    #[serde(default = "not_asked")]
    pub doomed: Fact<Vec<Doomed>>,
    /// What the request says besides its path.
    #[serde(default)]
    pub asked: Asked,
    /// The plan whose losses the caller accepts, if any.
    pub accepted_loss: Option<PlanDigest>,
}

/// The registry's record, as far as decisions look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What tells it from another one of its name. Evidence from before it was looked at has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<RecordUid>,
    /// Its version.
    pub etag: Etag,
    /// What it is going through.
    pub state: RecordState,
    /// The incarnation that it speaks of.
    pub live_id: Option<LiveId>,
    /// What its owner gateway was.
    pub identity: GatewayIdentity,
    /// The agents inside.
    pub agents: Vec<AgentKind>,
    /// The vendor's spec.
    pub spec: Option<Spec>,
    /// The effective policy. `None`: not recorded, which differs from recorded as empty.
    pub policy: Option<Policy>,
    /// The lock.
    pub posture: Posture,
    /// Argument vector of the readiness probe.
    pub readiness: Option<Probe>,
    /// Re-applied on a recreate.
    pub labels: BTreeMap<String, String>,
    /// Re-applied on a recreate.
    pub annotations: BTreeMap<String, String>,
    /// Directories whose loss counts: those that snapshots are declared to cover.
    pub snapshot_roots: Vec<SandboxPath>,
    /// The newest complete snapshot whose content the sandbox is known to have had.
    #[serde(default)]
    pub last_snapshot: Option<SnapshotName>,
    /// Snapshots of which something is still to be put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending_restores: Vec<SnapshotName>,
    /// Patterns below the roots that snapshots leave out, and the commands around them; as recorded, digested.
    #[serde(default)]
    pub snapshot_rules: Option<Sha256>,
    /// Of those rules the patterns, for people to read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshot_excludes: Vec<String>,
    /// Config files whose keys have two owners.
    #[serde(default)]
    pub config_files: Vec<SandboxPath>,
    /// Whether the default pointer names it.
    pub is_default: bool,
}

/// What a record is going through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RecordState {
    /// Meant to exist.
    Active,
    /// Held by a recovery.
    Recovering,
    /// Held by a destroy.
    Destroying,
    /// Destroyed on purpose.
    Destroyed,
}

/// Which wire the vendor's bytes were read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Dialect {
    /// OpenShell 0.0.x.
    V0_0,
    /// OpenShell 0.1.x.
    V0_1,
}

/// The vendor's spec without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// In which it was read.
    pub dialect: Dialect,
    /// Of its bytes.
    pub sha256: Sha256,
    /// Of its bytes.
    pub size_bytes: u64,
    /// Whether the registry can open it.
    pub openable: bool,
    /// What it says.
    pub summary: SpecSummary,
}

/// What a spec says, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecSummary {
    /// The resolved image.
    pub image: Image,
    /// Providers, by name.
    pub providers: Vec<ProviderName>,
    /// Names of its variables.
    pub environment: Vec<VariableName>,
}

/// The effective policy without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// In which it was read.
    pub dialect: Dialect,
    /// The gateway's hash of it.
    pub hash: PolicyHash,
    /// Of its bytes.
    pub sha256: Sha256,
    /// Of its bytes.
    pub size_bytes: u64,
    /// Whether the registry can open it.
    pub openable: bool,
    /// Its named rules, by content.
    pub rules: BTreeMap<RuleName, Sha256>,
    /// Rules that were taken out and must not come back.
    pub removed: Vec<RuleName>,
}

/// Locked or unlocked, as an obligation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Posture {
    /// Nobody said.
    NotRecorded,
    /// Nothing is owed.
    Unlocked,
    /// The recorded policy is in force, and these files are read-only and unchanged.
    Locked {
        /// Path and content digest.
        sealed: BTreeMap<SandboxPath, Sha256>,
    },
}

/// A readiness probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Literal arguments.
    pub command: Vec<String>,
    /// For one try.
    pub timeout: Duration,
}

/// What identifies a gateway beyond its address; `None` was not available.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayIdentity {
    /// The id of its store. Changes when its database is replaced.
    pub store_id: Option<String>,
    /// The key id of its signing key.
    pub signing_key_id: Option<String>,
    /// The issuer it names.
    pub issuer: Option<String>,
    /// Of its certificate authority.
    pub ca_sha256: Option<Sha256>,
}

/// The owner gateway when it answered as itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// As it calls itself.
    pub version: String,
    /// Chosen by the version.
    pub dialect: Dialect,
    /// What it is.
    pub identity: GatewayIdentity,
    /// Since when it has been healthy without a gap.
    pub healthy_since: Timestamp,
}

/// The owner gateway's statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Live {
    /// It exists.
    Present(Present),
    /// It does not.
    Absent {
        /// Since when every look, without a gap, said so.
        since: Timestamp,
    },
}

/// A sandbox that exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// Its incarnation.
    pub live_id: LiveId,
    /// Its phase.
    pub phase: Phase,
    /// The gateway's reason for the phase.
    pub reason: Option<PhaseReason>,
    /// Of its processes.
    pub instance: Option<InstanceId>,
    /// Whose create made it, if salvor's.
    pub stamp: Option<Stamp>,
    /// Whether a start is possible from this phase and reason on this gateway.
    pub startable: bool,
    /// What its spec says.
    pub spec: SpecSummary,
}

/// A sandbox's phase, in one vocabulary for both dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Being made, or its supervisor is not connected.
    Provisioning,
    /// Live.
    Ready,
    /// Failed.
    Error,
    /// Being deleted.
    Deleting,
    /// The gateway itself does not know, or says a phase that is not known here.
    Unknown,
    /// Being stopped.
    Stopping,
    /// Stopped; its workspace is kept.
    Stopped,
    /// Being started.
    Starting,
    /// Its main process ended well (0.1.x).
    Completed,
}

/// What every create of salvor's carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Whose it is.
    pub recovery: RecoveryName,
    /// Of which plan.
    pub plan: PlanDigest,
}

/// A provider as the owner gateway has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its name.
    pub name: ProviderName,
    /// How it is.
    pub state: ProviderState,
}

/// How a provider is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProviderState {
    /// It exists; its credentials run out then, if that is known.
    Existing {
        /// The earliest.
        expires: Option<Timestamp>,
    },
    /// It does not exist.
    Missing,
}

const fn yes() -> bool {
    true
}

const fn not_asked<T>() -> Fact<T> {
    Fact::Unknown { why: Why::NotAsked, detail: String::new() }
}

// === impl Record ===

impl Record {
    /// The directories that a snapshot covers: the declared ones, or else the one that the gateway calls a sandbox's workspace
    /// (openshell.md §6: cwd and HOME are `/sandbox`).
    pub fn roots(&self) -> Vec<SandboxPath> {
        if self.snapshot_roots.is_empty() {
            return vec![SandboxPath::from("/sandbox")];
        }
        self.snapshot_roots.clone()
    }

    /// Whether it says that the workspace is made from this snapshot, or still to be filled from it.
    pub fn names(&self, snapshot: &SnapshotName) -> bool {
        self.last_snapshot.as_ref() == Some(snapshot) || self.pending_restores.contains(snapshot)
    }
}

// === impl GatewayIdentity ===

/// A part of a gateway's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum IdentityPart {
    /// The id of its store.
    Store,
    /// Its signing key.
    SigningKey,
    /// Its issuer.
    Issuer,
    /// Its certificate authority.
    Authority,
}

impl GatewayIdentity {
    /// The first part that is pinned here and is not the same in `other`. A pinned part that the other does not show differs.
    pub fn differs_from(&self, other: &Self) -> Option<IdentityPart> {
        let differs = |pinned: bool, same: bool| pinned && !same;
        let parts = [
            (IdentityPart::Store, self.store_id.is_some(), self.store_id == other.store_id),
            (
                IdentityPart::SigningKey,
                self.signing_key_id.is_some(),
                self.signing_key_id == other.signing_key_id,
            ),
            (IdentityPart::Issuer, self.issuer.is_some(), self.issuer == other.issuer),
            (IdentityPart::Authority, self.ca_sha256.is_some(), self.ca_sha256 == other.ca_sha256),
        ];
        parts.into_iter().find(|(_, pinned, same)| differs(*pinned, *same)).map(|(part, ..)| part)
    }
}

// === impl Phase ===

impl Phase {
    /// All of them, for tables and tests.
    pub const ALL: [Self; 9] = [
        Self::Provisioning,
        Self::Ready,
        Self::Error,
        Self::Deleting,
        Self::Unknown,
        Self::Stopping,
        Self::Stopped,
        Self::Starting,
        Self::Completed,
    ];

    /// As the gateway spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Ready => "READY",
            Self::Error => "ERROR",
            Self::Deleting => "DELETING",
            Self::Unknown => "UNKNOWN",
            Self::Stopping => "STOPPING",
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Completed => "COMPLETED",
        }
    }

    /// Whether the gateway is about to change it by itself.
    pub const fn in_motion(self) -> bool {
        match self {
            Self::Provisioning
            | Self::Deleting
            | Self::Unknown
            | Self::Stopping
            | Self::Starting => true,
            Self::Ready | Self::Error | Self::Stopped | Self::Completed => false,
        }
    }
}
