//! How causes, setbacks and parts read.

use std::fmt;

use super::{Cause, Failed, ParkReason, Part, Pending, Setback, capture::NotSaved};
use crate::id::ComputeId;

impl Cause {
    /// All of them, for tables and tests.
    pub const ALL: [Self; 15] = [
        Self::AlreadyExists,
        Self::NotFound,
        Self::OtherIncarnation,
        Self::Invalid,
        Self::WrongPhase,
        Self::Denied,
        Self::WrongGateway,
        Self::GatewayFailed,
        Self::CommandFailed,
        Self::NotSettled,
        Self::AdapterFailed,
        Self::MaterialUnavailable,
        Self::SnapshotUnusable,
        Self::RepositoryFailed,
        Self::WorkspaceChanged,
    ];

    /// Whether asking again, unchanged, may go better.
    pub const fn may_pass(self) -> bool {
        match self {
            Self::GatewayFailed
            | Self::NotSettled
            | Self::AdapterFailed
            | Self::MaterialUnavailable
            | Self::RepositoryFailed
            | Self::WrongPhase
            | Self::AlreadyExists
            | Self::CommandFailed => true,
            Self::NotFound
            | Self::OtherIncarnation
            | Self::Invalid
            | Self::Denied
            | Self::SnapshotUnusable
            | Self::WorkspaceChanged
            | Self::WrongGateway => false,
        }
    }

    /// As people read it.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AlreadyExists => "the name is taken on the gateway",
            Self::NotFound => "the gateway has no such sandbox",
            Self::OtherIncarnation => "another incarnation has the name",
            Self::Invalid => "the gateway refuses what the request says",
            Self::WrongPhase => "the gateway refuses it in the sandbox's present phase",
            Self::Denied => "the gateway does not allow it to the adapter",
            Self::WrongGateway => "the gateway is not the pinned one, or speaks another dialect",
            Self::GatewayFailed => "the gateway could not be reached or failed",
            Self::CommandFailed => "a command inside the sandbox failed",
            Self::NotSettled => "it was accepted and did not show its effect in time",
            Self::AdapterFailed => "the gateway-adapter could not be reached or went away",
            Self::SnapshotUnusable => {
                "the snapshot is not there, not complete, not intact, or another sandbox's"
            }
            Self::RepositoryFailed => "the snapshot repository could not be used",
            Self::MaterialUnavailable => "the registry did not hand out the recorded material",
            Self::WorkspaceChanged => {
                "the workspace was written to after it was read: what is in it is not what is saved"
            }
        }
    }

    /// Its stable name, upper snake case.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::NotFound => "NOT_FOUND",
            Self::OtherIncarnation => "OTHER_INCARNATION",
            Self::Invalid => "INVALID",
            Self::WrongPhase => "WRONG_PHASE",
            Self::Denied => "DENIED",
            Self::WrongGateway => "WRONG_GATEWAY",
            Self::GatewayFailed => "GATEWAY_FAILED",
            Self::CommandFailed => "COMMAND_FAILED",
            Self::NotSettled => "NOT_SETTLED",
            Self::AdapterFailed => "ADAPTER_FAILED",
            Self::SnapshotUnusable => "SNAPSHOT_UNUSABLE",
            Self::RepositoryFailed => "REPOSITORY_FAILED",
            Self::MaterialUnavailable => "MATERIAL_UNAVAILABLE",
            Self::WorkspaceChanged => "WORKSPACE_CHANGED",
        }
    }
}

impl Setback {
    /// Its stable reason code.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused(Cause::WorkspaceChanged) => "WORKSPACE_KEEPS_CHANGING",
            Self::Refused(_) => "EFFECT_REFUSED",
            Self::NeverReady(_) => "NEVER_READY",
            Self::Stranger(_) => "NAME_TAKEN_BY_STRANGER",
            Self::Returned => "SANDBOX_RETURNED",
            Self::NotSaved(NotSaved::Incomplete(_)) => "SNAPSHOT_INCOMPLETE",
            Self::NotSaved(NotSaved::Damaged(_)) => "SNAPSHOT_DAMAGED",
            Self::NotSaved(NotSaved::Refused(_)) => "SNAPSHOT_FAILED",
            Self::RecordChanged => "RECORD_CHANGED",
            Self::Cancelled => "CANCELLED",
        }
    }
}

impl fmt::Display for Setback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(Cause::WorkspaceChanged) => f.write_str(
                "the workspace was written to each time between its snapshot and the delete, so nothing was \
                 deleted",
            ),
            Self::Refused(cause) => f.write_str(cause.sentence()),
            Self::NeverReady(failed) => write!(f, "the sandbox did not become ready: {failed}"),
            Self::Stranger(live) => {
                write!(f, "{live}, which is not this recovery's, has the name on the gateway")
            }
            Self::NotSaved(why) => write!(f, "{why}"),
            Self::Returned => f.write_str("the recorded sandbox is on the gateway again"),
            Self::RecordChanged => f.write_str("the record changed after the plan was made"),
            Self::Cancelled => f.write_str("it was cancelled before the point of no return"),
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exit_code {
            Some(code) => write!(f, "{} (exit code {code})", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl ParkReason {
    /// Its stable reason code.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Undetermined(_) => "UNDETERMINED",
            Self::NotReadyInTime => "NOT_READY_IN_TIME",
            Self::RegistryUnavailable => "REGISTRY_UNAVAILABLE",
            Self::KeepsFailing(_) => "KEEPS_FAILING",
            Self::NameTaken => "NAME_TAKEN_BY_STRANGER",
        }
    }
}

impl fmt::Display for ParkReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undetermined(why) => {
                write!(f, "what it came to is not known: {}", why.sentence())
            }
            Self::NotReadyInTime => f.write_str("the sandbox did not become ready in time"),
            Self::RegistryUnavailable => f.write_str("the registry cannot be written"),
            Self::KeepsFailing(cause) => write!(f, "it keeps failing: {}", cause.sentence()),
            Self::NameTaken => f.write_str(
                "another sandbox has the name on the gateway; it is left alone, and what was saved is kept",
            ),
        }
    }
}

impl Part {
    /// One word, lower case.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Kept => "kept",
            Self::Restored { .. } => "restored",
            Self::NotApplicable => "not_applicable",
            Self::Gone => "not_recovered",
            Self::Lost => "lost",
            Self::Pending(_) => "pending",
            Self::Unproven(_) => "unproven",
        }
    }

    /// What is owed, or why nothing is known.
    pub fn detail(&self) -> String {
        match self {
            Self::Pending(items) => {
                items.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            }
            Self::Unproven(why) => why.sentence().to_owned(),
            Self::Restored { snapshot, .. } => snapshot.to_string(),
            Self::Proven | Self::Kept | Self::NotApplicable | Self::Gone | Self::Lost => {
                String::new()
            }
        }
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(path) => write!(f, "{path}: its content is not the sealed one"),
            Self::Missing(path) => write!(f, "{path}: it does not exist"),
            Self::Writable(path) => write!(f, "{path}: it can be written"),
            Self::NotRegular(path) => write!(f, "{path}: it is no regular file"),
            Self::PolicyDiffers => f.write_str("the policy in force is not the recorded one"),
            Self::SpecDiffers => f.write_str("the spec in force is not the recorded one"),
            Self::ProvidersDiffer => {
                f.write_str("the attached providers are not the recorded ones")
            }
            Self::NotReady(code) => write!(f, "the readiness probe ended with exit code {code}"),
            Self::NotRestored { path, reason } => {
                write!(f, "{path}: it is not as the snapshot has it ({reason})")
            }
            Self::NotSalvaged { containers, why, instead } => {
                let ids: Vec<&str> = containers.iter().map(ComputeId::as_str).collect();
                let of = if ids.len() == 1 { "container" } else { "containers" };
                write!(f, "what is in {of} {} could not be read ({why}): ", ids.join(", "))?;
                f.write_str("it is kept there, stopped, and ")?;
                match instead {
                    Some(snapshot) => write!(f, "{snapshot} was put back instead"),
                    None => f.write_str("nothing was put back instead"),
                }
            }
            Self::MoreNotRestored { count } => {
                write!(f, "{count} more files are not as the snapshot has them")
            }
        }
    }
}
