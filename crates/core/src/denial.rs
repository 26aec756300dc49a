//! The closed set of reasons for which a guard refuses.
//!
//! A denial carries numbers and names, never a sentence: the sentence is made from them, here, so that it is always true.
//! Missing evidence is a reason of its own.

mod words;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    evidence::{Dialect, IdentityPart, Phase, RecordState},
    fact::{FactName, Why},
    id::{LiveId, PhaseReason, ProviderName, RecoveryName, SandboxPath, SnapshotName},
    name::RecordName,
    time::{Readable, Timestamp},
};

/// Why a guard refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Denial {
    /// The evidence is missing.
    Unknown {
        /// Which.
        fact: FactName,
        /// Why it is.
        why: Why,
    },
    /// The evidence is older than it may be.
    EvidenceTooOld {
        /// Which.
        fact: FactName,
        /// How old it is.
        age: Duration,
        /// How old it may be.
        max_age: Duration,
    },
    /// The record lacks what a recovery needs.
    RecordIncomplete {
        /// What it lacks.
        part: RecordPart,
    },
    /// The record names several agents; which of them to bring back how is not defined.
    SeveralAgents {
        /// How many.
        count: usize,
    },
    /// The record is not in the state to be acted upon.
    RecordNotActive {
        /// Its state.
        state: RecordState,
    },
    /// The gateway is not the one that the record was bound to.
    GatewayReplaced {
        /// What differs.
        part: IdentityPart,
    },
    /// The gateway has not been healthy for long enough to be believed about absences.
    GatewayWarming {
        /// How long it has been.
        healthy_for: Duration,
        /// How long it must have been.
        required: Duration,
    },
    /// The recorded bytes are of the other wire.
    DialectDiffers {
        /// Of the record.
        recorded: Dialect,
        /// Of the gateway.
        live: Dialect,
    },
    /// The sandbox exists.
    SandboxPresent {
        /// Its phase.
        phase: Phase,
    },
    /// The sandbox does not exist.
    SandboxAbsent,
    /// The name is held by another incarnation.
    ForeignSandbox {
        /// Of the record.
        recorded: LiveId,
        /// Of the gateway.
        live: LiveId,
        /// Whose create made it, if salvor's.
        stamped: Option<RecoveryName>,
    },
    /// The sandbox is on its way to another phase.
    PhaseInMotion {
        /// Its phase.
        phase: Phase,
    },
    /// The absence was seen too short a time ago to be taken for final.
    AbsenceTooRecent {
        /// How long it has been seen.
        seen_for: Duration,
        /// How long it must have been.
        required: Duration,
    },
    /// A start cannot mend this phase on this gateway.
    NotStartable {
        /// Its phase.
        phase: Phase,
        /// The gateway's reason.
        reason: Option<PhaseReason>,
    },
    /// The registry does not hold the key that opens the recorded bytes.
    MaterialSealed {
        /// Which bytes.
        part: RecordPart,
    },
    /// The recorded bytes are larger than the gateway takes.
    MaterialTooLarge {
        /// Which bytes.
        part: RecordPart,
        /// Their size.
        size_bytes: u64,
        /// The gateway's limit.
        max_bytes: u64,
    },
    /// A recorded provider does not exist on the owner gateway.
    ProviderMissing {
        /// Which.
        provider: ProviderName,
    },
    /// A recorded provider's credential has run out.
    ProviderExpired {
        /// Which.
        provider: ProviderName,
        /// When.
        at: Timestamp,
    },
    /// Making the sandbox anew would delete it, and nothing holds its workspace.
    NoCompleteSnapshot {
        /// Its phase.
        phase: Phase,
    },
    /// The repository holds no such snapshot.
    SnapshotNotFound {
        /// Its name, where one was asked for by name.
        name: Option<SnapshotName>,
    },
    /// The snapshot is kept for salvage and cannot be selected.
    SnapshotIncomplete {
        /// Its name.
        name: SnapshotName,
    },
    /// The snapshot is another sandbox's, or another incarnation's.
    SnapshotOfAnother {
        /// Its name.
        name: SnapshotName,
        /// Whose it is.
        of: RecordName,
        /// Of which incarnation.
        live: LiveId,
    },
    /// The snapshot does not cover a root that the record declares.
    SnapshotLacksRoot {
        /// Its name.
        name: SnapshotName,
        /// Which.
        root: SandboxPath,
    },
    /// An open recovery rests on the snapshot.
    SnapshotInUse {
        /// Its name.
        name: SnapshotName,
    },
    /// The workspace would be brought back from the snapshot.
    LastSnapshot {
        /// Its name.
        name: SnapshotName,
    },
    /// Nothing can be read out of the sandbox, or written into it, in its phase.
    NotReachable {
        /// Its phase.
        phase: Phase,
    },
    /// The runtime holds no container of the sandbox.
    ContainerNotFound,
    /// The sealed files of a locked sandbox stay as they are.
    PostureLocked,
    /// The name of the copy is taken.
    CopyExists {
        /// By which incarnation.
        live: LiveId,
    },
    /// The request loses data, and its plan's losses were not accepted.
    DataLossNotAccepted,
}

/// A part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RecordPart {
    /// The id of the incarnation.
    LiveId,
    /// The owner gateway's identity.
    GatewayIdentity,
    /// An agent.
    Agent,
    /// The vendor's spec.
    Spec,
    /// The effective policy.
    Policy,
}

// === impl Denial ===

impl Denial {
    /// The stable reason code, upper snake case.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unknown { fact, why } => unknown_reason(*fact, *why),
            Self::EvidenceTooOld { .. } => "EVIDENCE_TOO_OLD",
            Self::RecordIncomplete { .. } => "RECORD_INCOMPLETE",
            Self::SeveralAgents { .. } => "SEVERAL_AGENTS",
            Self::RecordNotActive { .. } => "RECORD_NOT_ACTIVE",
            Self::GatewayReplaced { .. } => "GATEWAY_REPLACED",
            Self::GatewayWarming { .. } => "GATEWAY_WARMING",
            Self::DialectDiffers { .. } => "DIALECT_DIFFERS",
            Self::SandboxPresent { .. } => "SANDBOX_PRESENT",
            Self::SandboxAbsent => "SANDBOX_ABSENT",
            Self::ForeignSandbox { .. } => "FOREIGN_SANDBOX",
            Self::PhaseInMotion { .. } => "PHASE_IN_MOTION",
            Self::AbsenceTooRecent { .. } => "ABSENCE_TOO_RECENT",
            Self::NotStartable { .. } => "NOT_STARTABLE",
            Self::MaterialSealed { .. } => "MATERIAL_SEALED",
            Self::MaterialTooLarge { .. } => "MATERIAL_TOO_LARGE",
            Self::ProviderMissing { .. } => "PROVIDER_MISSING",
            Self::ProviderExpired { .. } => "PROVIDER_EXPIRED",
            Self::NoCompleteSnapshot { .. } => "NO_COMPLETE_SNAPSHOT",
            Self::SnapshotNotFound { .. } => "SNAPSHOT_NOT_FOUND",
            Self::SnapshotIncomplete { .. } => "SNAPSHOT_INCOMPLETE",
            Self::SnapshotOfAnother { .. } => "SNAPSHOT_OF_ANOTHER",
            Self::SnapshotLacksRoot { .. } => "SNAPSHOT_LACKS_ROOT",
            Self::SnapshotInUse { .. } => "SNAPSHOT_IN_USE",
            Self::LastSnapshot { .. } => "LAST_SNAPSHOT",
            Self::NotReachable { .. } => "NOT_REACHABLE",
            Self::ContainerNotFound => "CONTAINER_NOT_FOUND",
            Self::PostureLocked => "POSTURE_LOCKED",
            Self::CopyExists { .. } => "COPY_EXISTS",
            Self::DataLossNotAccepted => "DATA_LOSS_NOT_ACCEPTED",
        }
    }

    /// Whether nothing was determined, rather than something found to be in the way.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::EvidenceTooOld { .. })
    }

    /// When asking again may give another answer by itself.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::GatewayWarming { healthy_for, required } => {
                Some(required.saturating_sub(*healthy_for))
            }
            Self::AbsenceTooRecent { seen_for, required } => {
                Some(required.saturating_sub(*seen_for))
            }
            Self::PhaseInMotion { .. } => Some(Duration::from_secs(2)),
            Self::Unknown { .. } | Self::EvidenceTooOld { .. } => Some(Duration::from_secs(5)),
            Self::RecordIncomplete { .. }
            | Self::SeveralAgents { .. }
            | Self::RecordNotActive { .. }
            | Self::GatewayReplaced { .. }
            | Self::DialectDiffers { .. }
            | Self::SandboxPresent { .. }
            | Self::SandboxAbsent
            | Self::ForeignSandbox { .. }
            | Self::NotStartable { .. }
            | Self::MaterialSealed { .. }
            | Self::MaterialTooLarge { .. }
            | Self::ProviderMissing { .. }
            | Self::ProviderExpired { .. }
            | Self::NoCompleteSnapshot { .. }
            | Self::SnapshotNotFound { .. }
            | Self::SnapshotIncomplete { .. }
            | Self::SnapshotOfAnother { .. }
            | Self::SnapshotLacksRoot { .. }
            | Self::SnapshotInUse { .. }
            | Self::LastSnapshot { .. }
            | Self::NotReachable { .. }
            | Self::ContainerNotFound
            | Self::PostureLocked
            | Self::CopyExists { .. }
            | Self::DataLossNotAccepted => None,
        }
    }
}

/// One code per cause, so that a caller can tell a dead gateway from a wrong certificate (scenario T03).
const fn unknown_reason(fact: FactName, why: Why) -> &'static str {
    match (fact, why) {
        (FactName::Record, _) => "RECORD_UNKNOWN",
        (FactName::Snapshot, _) => "SNAPSHOTS_UNKNOWN",
        (FactName::Compute, _) => "COMPUTE_UNKNOWN",
        (_, Why::Unavailable) => "GATEWAY_UNAVAILABLE",
        (_, Why::DeadlineExceeded) => "GATEWAY_DEADLINE_EXCEEDED",
        (_, Why::Unauthenticated) => "GATEWAY_UNAUTHENTICATED",
        (_, Why::PermissionDenied) => "GATEWAY_PERMISSION_DENIED",
        (_, Why::TlsFailed) => "GATEWAY_TLS_FAILED",
        (_, Why::Unimplemented) => "GATEWAY_UNIMPLEMENTED",
        (_, Why::VersionUnknown) => "GATEWAY_VERSION_UNKNOWN",
        (_, Why::ForeignGateway) => "FOREIGN_GATEWAY",
        (_, Why::WorkspaceMissing) => "WORKSPACE_MISSING",
        (_, Why::RateLimited) => "GATEWAY_RATE_LIMITED",
        (_, Why::Inconsistent) => "GATEWAY_INCONSISTENT",
        (_, Why::Internal) => "GATEWAY_INTERNAL",
        (_, Why::Unreadable) => "GATEWAY_UNREADABLE",
        (_, Why::Unexpected) => "GATEWAY_UNEXPECTED",
        (_, Why::NotRegistered) => "GATEWAY_NOT_REGISTERED",
        (_, Why::AdapterUnreachable) => "ADAPTER_UNREACHABLE",
        (_, Why::NotAsked) => "NOT_DETERMINED",
    }
}

impl fmt::Display for Denial {
    #[expect(clippy::too_many_lines, reason = "a table: one sentence per denial")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { fact, why } => {
                write!(f, "{} is not known: {}", fact.in_words(), why.sentence())
            }
            Self::EvidenceTooOld { fact, age, max_age } => write!(
                f,
                "{} was seen {} ago, and may be {} old at most",
                fact.in_words(),
                Readable(*age),
                Readable(*max_age)
            ),
            Self::RecordIncomplete { part } => write!(f, "the record holds no {}", part.in_words()),
            Self::SeveralAgents { count } => {
                write!(f, "the record names {count} agents; a recovery brings back one")
            }
            Self::RecordNotActive { state } => write!(f, "the record is {}", state.in_words()),
            Self::GatewayReplaced { part } => write!(
                f,
                "the gateway's {} is not the one that the record was bound to",
                part.in_words()
            ),
            Self::GatewayWarming { healthy_for, required } => write!(
                f,
                "the gateway has been healthy for {}; {} are required before an absence is believed",
                Readable(*healthy_for),
                Readable(*required)
            ),
            Self::DialectDiffers { recorded, live } => write!(
                f,
                "the record was read from OpenShell {}, and the gateway speaks {}",
                recorded.in_words(),
                live.in_words()
            ),
            Self::SandboxPresent { phase } => {
                write!(f, "the gateway has the sandbox, in phase {}", phase.as_str())
            }
            Self::SandboxAbsent => f.write_str("the gateway has no sandbox of that name"),
            Self::ForeignSandbox { recorded, live, stamped } => {
                write!(f, "the name is held by {live}, and the record speaks of {recorded}")?;
                match stamped {
                    Some(recovery) => write!(f, "; it bears the stamp of {recovery}"),
                    None => Ok(()),
                }
            }
            Self::PhaseInMotion { phase } => {
                write!(f, "the sandbox is {}, which the gateway changes by itself", phase.as_str())
            }
            Self::AbsenceTooRecent { seen_for, required } => write!(
                f,
                "the absence has been seen for {}; {} are required",
                Readable(*seen_for),
                Readable(*required)
            ),
            Self::NotStartable { phase, reason } => {
                write!(f, "a start does not mend phase {}", phase.as_str())?;
                match reason {
                    Some(reason) => write!(f, " ({reason}) on this gateway"),
                    None => f.write_str(" on this gateway"),
                }
            }
            Self::MaterialSealed { part } => {
                write!(f, "the registry does not hold the key that opens the {}", part.in_words())
            }
            Self::MaterialTooLarge { part, size_bytes, max_bytes } => write!(
                f,
                "the {} has {size_bytes} bytes; the gateway takes {max_bytes}",
                part.in_words()
            ),
            Self::ProviderMissing { provider } => {
                write!(f, "provider {provider} does not exist on the gateway")
            }
            Self::ProviderExpired { provider, .. } => {
                write!(f, "a credential of provider {provider} has run out")
            }
            Self::NoCompleteSnapshot { phase } => write!(
                f,
                "the sandbox exists ({}), making it anew would delete it, and no complete snapshot \
                 holds its workspace",
                phase.as_str()
            ),
            Self::SnapshotNotFound { name: Some(name) } => {
                write!(f, "the repository of the gateway's adapter holds no {name}")
            }
            Self::SnapshotNotFound { name: None } => {
                f.write_str("the repository holds no complete snapshot of the sandbox")
            }
            Self::SnapshotIncomplete { name } => {
                write!(f, "{name} is not complete: it is kept for salvage and never restored whole")
            }
            Self::SnapshotOfAnother { name, of, live } => {
                write!(
                    f,
                    "{name} was taken of {of} as incarnation {live}, which is not the recorded one"
                )
            }
            Self::SnapshotLacksRoot { name, root } => {
                write!(f, "{name} does not cover {root}: the files below it are not in it")
            }
            Self::SnapshotInUse { name } => write!(f, "a recovery that is open rests on {name}"),
            Self::LastSnapshot { name } => write!(
                f,
                "{name} is what the workspace would be brought back from: it is the newest complete \
                 one, or the record names it"
            ),
            Self::NotReachable { phase } => {
                write!(f, "the sandbox is {}: nothing can be run in it", phase.as_str())
            }
            Self::ContainerNotFound => f.write_str(
                "the container runtime of the gateway's host shows no container of the sandbox",
            ),
            Self::PostureLocked => {
                f.write_str("the sandbox is locked: writing into it would break its seal")
            }
            Self::CopyExists { live } => {
                write!(
                    f,
                    "the name of the copy is taken by incarnation {live}; nothing is replaced"
                )
            }
            Self::DataLossNotAccepted => {
                f.write_str("it loses data, and the plan's losses have not been accepted")
            }
        }
    }
}
