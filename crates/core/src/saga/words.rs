//! How causes, setbacks and parts read.

use std::fmt;

use super::{Cause, Failed, ParkReason, Part, Pending, Setback, capture::NotSaved};
use crate::id::ComputeId;

impl Cause {
    /// All of them, for tables and tests.
    pub const ALL: [Self; 30] = [
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
        Self::SnapshotInUse,
        Self::RepositoryMissing,
        Self::RepositoryFull,
        Self::PasswordWrong,
        Self::RepositoryDamaged,
        Self::NothingRead,
        Self::ListingUnusable,
        Self::RulesChanged,
        Self::NonceNotWritten,
        Self::ContainerMissing,
        Self::LeavesRoot,
        Self::TooManyEntries,
        Self::AdapterBusy,
        Self::NotServing,
        Self::Fenced,
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
            | Self::CommandFailed
            | Self::ListingUnusable
            | Self::AdapterBusy
            | Self::NotServing => true,
            Self::NotFound
            | Self::OtherIncarnation
            | Self::Invalid
            | Self::Denied
            | Self::SnapshotUnusable
            | Self::WorkspaceChanged
            | Self::SnapshotInUse
            | Self::WrongGateway
            | Self::RepositoryMissing
            | Self::RepositoryFull
            | Self::PasswordWrong
            | Self::RepositoryDamaged
            | Self::NothingRead
            | Self::RulesChanged
            | Self::NonceNotWritten
            | Self::ContainerMissing
            | Self::LeavesRoot
            | Self::TooManyEntries
            | Self::Fenced => false,
        }
    }

    /// As people read it.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AlreadyExists => "the name is taken on the gateway",
            Self::NotFound => "the gateway has no such sandbox",
            Self::OtherIncarnation => "another incarnation has the name",
            Self::Invalid => "the gateway, or its adapter, refuses what the request says",
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
            Self::SnapshotInUse => "the snapshot is in use, or the last one of its sandbox",
            Self::RepositoryFailed => "the snapshot repository could not be reached, or was busy",
            Self::RepositoryMissing => {
                "the gateway-adapter has no snapshot repository that it can use"
            }
            Self::RepositoryFull => "the snapshot repository has no space left",
            Self::PasswordWrong => {
                "the gateway-adapter has no password that opens the snapshot repository"
            }
            Self::RepositoryDamaged => {
                "something in the snapshot repository is gone, or not what was written"
            }
            Self::NothingRead => "not one entry of its snapshot roots could be read",
            Self::ListingUnusable => {
                "its files could not be listed or read: what its own tools answered cannot be used"
            }
            Self::RulesChanged => "the record's snapshot rules changed after the plan was made",
            Self::NonceNotWritten => "the drill's nonce could not be written into its first root",
            Self::ContainerMissing => "the container runtime shows no container of it",
            Self::LeavesRoot => "the snapshot names an entry that is not below its roots",
            Self::TooManyEntries => "there are more entries than can be compared at once",
            Self::AdapterBusy => "the gateway-adapter is at work on as much as it does at once",
            Self::NotServing => {
                "the gateway-adapter may change nothing on the gateway at present: it is not sure to \
                 be the only one"
            }
            Self::Fenced => "a newer holder has the record's lease",
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
            Self::SnapshotInUse => "SNAPSHOT_IN_USE",
            Self::WorkspaceChanged => "WORKSPACE_CHANGED",
            Self::MaterialUnavailable => "MATERIAL_UNAVAILABLE",
            Self::RepositoryMissing => "REPOSITORY_MISSING",
            Self::RepositoryFull => "REPOSITORY_FULL",
            Self::PasswordWrong => "REPOSITORY_PASSWORD_WRONG",
            Self::RepositoryDamaged => "REPOSITORY_DAMAGED",
            Self::NothingRead => "NOTHING_READ",
            Self::ListingUnusable => "LISTING_UNUSABLE",
            Self::RulesChanged => "RULES_CHANGED",
            Self::NonceNotWritten => "NONCE_NOT_WRITTEN",
            Self::ContainerMissing => "CONTAINER_NOT_FOUND",
            Self::LeavesRoot => "LEAVES_ROOT",
            Self::TooManyEntries => "TOO_MANY_ENTRIES",
            Self::AdapterBusy => "ADAPTER_BUSY",
            Self::NotServing => "NOT_SERVING",
            Self::Fenced => "FENCED",
        }
    }

    /// What a person sees to before it is tried again.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::AlreadyExists => "once the name is free on the gateway",
            Self::NotFound | Self::OtherIncarnation => "once the recorded sandbox is there",
            Self::Invalid | Self::CommandFailed => "after what the gateway complains of was mended",
            Self::WrongPhase => "once the sandbox is READY",
            Self::Denied => "after the gateway allows it to the adapter",
            Self::WrongGateway => "after the adapter was given the pinned gateway's endpoint",
            Self::GatewayFailed | Self::NotSettled => "once the gateway answers again",
            Self::AdapterFailed => "after the gateway-adapter was started",
            Self::AdapterBusy => "once the adapter has ended some of its work",
            Self::NotServing => "once one adapter alone serves the gateway: salvor gateways list",
            Self::Fenced => "unless the newer holder has done it already",
            Self::MaterialUnavailable => {
                "after the registry was started with the key that sealed the record"
            }
            Self::SnapshotUnusable | Self::LeavesRoot => "with another snapshot",
            Self::SnapshotInUse => "once nothing rests on the snapshot, or with --allow-last",
            Self::RepositoryFailed => "once the repository's storage answers",
            Self::RepositoryMissing => {
                "after the gateway-adapter was started with a --repository that it can use"
            }
            Self::RepositoryFull => {
                "after space was made: salvor snapshot prune NAME --reclaim-space, or a larger disk"
            }
            Self::PasswordWrong => {
                "after the gateway-adapter was started with the right --repository-password-file"
            }
            Self::RepositoryDamaged => {
                "after restic check --read-data was run on the repository, and its files were mended"
            }
            Self::NothingRead => {
                "after its snapshot roots were corrected: salvor snapshot rules NAME"
            }
            Self::ListingUnusable => "after GNU find and GNU tar were made usable in the sandbox",
            Self::RulesChanged => "the new rules count then",
            Self::NonceNotWritten => "after its first snapshot root was made writable",
            Self::ContainerMissing => "through the gateway instead, once the sandbox is READY",
            Self::TooManyEntries => "with some of the paths only: --path",
            Self::WorkspaceChanged => {
                "after --quiesce-before and --quiesce-after were declared: salvor snapshot rules NAME"
            }
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
            Self::NotSaved(NotSaved::Refused(cause)) => cause.as_str(),
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
            Self::RecordChanged => f.write_str("the record, or what it speaks of, changed after the plan was made"),
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
            Self::RegistryUnavailable => f.write_str(
                "the registry is away, or refuses the next step; the orchestrator's log says which",
            ),
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
            Self::Partly { .. } => "partly_restored",
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
            Self::Pending(items) | Self::Partly { owed: items, .. } => {
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
