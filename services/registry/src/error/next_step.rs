//! What to do after each refusal: a command that can be typed as it is printed and works in the state that the refusal was made
//! in. What has to be seen to first, and what is a client's own to do, stands behind a `#`.

use salvor_core::shell::step;

use super::Error;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// See how the sandbox stands.
    Status,
    /// See the record as it is now.
    ReadAgain,
    /// See the gateway as it is now.
    ReadGatewayAgain,
    /// Look which records there are.
    List,
    /// Look which gateways there are.
    ListGateways,
    /// Register the gateway.
    AddGateway,
    /// Register it once more, in the place of a damaged row.
    AddGatewayAgain,
    /// Give the key back.
    AddKey,
    /// Put a copy of the record in its place.
    RestoreEntry,
    /// Put a copy in place, or record the live one anew.
    RenewMaterial,
    /// The lease is somebody else's.
    LeaveIt,
    /// A recovery of it is open.
    AwaitRecovery,
    /// A client's own: take the lease.
    AcquireLease,
    /// A client's own: use an id that was never used.
    FreshId,
    /// A client's own: list, then watch.
    ListThenWatch,
    /// A client's own: take another copy of the entry.
    SnapshotEntryAgain,
    /// The copy is of a record that is gone.
    OfAnEarlierRecord,
    /// Ask again once the database server answers.
    AskAgain,
    /// Make space.
    FreeSpace,
    /// Put a copy of the database in its place.
    RestoreDatabase,
    /// Make the database writable.
    MakeWritable,
}

impl NextStep {
    /// All of them.
    pub const ALL: [Self; 21] = [
        Self::Status,
        Self::ReadAgain,
        Self::ReadGatewayAgain,
        Self::List,
        Self::ListGateways,
        Self::AddGateway,
        Self::AddGatewayAgain,
        Self::AddKey,
        Self::RestoreEntry,
        Self::RenewMaterial,
        Self::LeaveIt,
        Self::AwaitRecovery,
        Self::AcquireLease,
        Self::FreshId,
        Self::ListThenWatch,
        Self::SnapshotEntryAgain,
        Self::OfAnEarlierRecord,
        Self::AskAgain,
        Self::FreeSpace,
        Self::RestoreDatabase,
        Self::MakeWritable,
    ];

    /// About a sandbox, by its full name; empty where it is about none.
    pub fn of(self, sandbox: &str) -> String {
        let (command, first) = self.words();
        step(command, sandbox, first)
    }

    /// The command, and what has to be seen to.
    #[expect(clippy::too_many_lines, reason = "a table: one arm per step")]
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Status => ("salvor status", ""),
            Self::ReadAgain => ("salvor status", "and repeat the change on what it says now"),
            Self::ReadGatewayAgain => {
                ("salvor gateways list", "and repeat the change on what it says now")
            }
            Self::List => ("salvor list", ""),
            Self::ListGateways => ("salvor gateways list", ""),
            Self::AddGateway => {
                ("salvor gateways list", "then register it: salvor gateways add NAME ENDPOINT")
            }
            Self::AddGatewayAgain => (
                "salvor gateways list",
                "then salvor gateways add, with what it was: that takes the place of the damaged row",
            ),
            Self::AddKey => (
                "salvor status",
                "after the key was added back to the file of --seal-key-file (the first key seals, \
                 all open) and the registry restarted",
            ),
            Self::RestoreEntry => (
                "salvor list",
                "then RestoreEntry from a copy of this record, under the etag given here",
            ),
            Self::RenewMaterial => (
                "salvor adopt --rebind",
                "if the sandbox is live; if it is not, RestoreEntry from a copy of the record",
            ),
            Self::LeaveIt => (
                "salvor recoveries list --open --sandbox",
                "stop; to go on, AcquireLease again and look at the record before writing",
            ),
            Self::AwaitRecovery => (
                "salvor recoveries list --open --sandbox",
                "wait for it or cancel it, then ask again",
            ),
            Self::AcquireLease => (
                "salvor recoveries list --open --sandbox",
                "once there is none, AcquireLease, and call again with its fence_token",
            ),
            Self::FreshId => ("salvor list", "then call again with a fresh UUID as request_id"),
            Self::ListThenWatch => (
                "salvor list",
                "a client: ListSandboxes from its first page, then watch from its revision",
            ),
            Self::SnapshotEntryAgain => {
                ("salvor status", "then SnapshotEntry again, and restore what it answers")
            }
            Self::OfAnEarlierRecord => {
                ("salvor status", "the copied record was destroyed and its name reused")
            }
            Self::AskAgain => {
                ("salvor list", "once it answers, then call again with the same request_id")
            }
            Self::FreeSpace => (
                "salvor list",
                "after space was freed under the registry's data directory, call again",
            ),
            Self::RestoreDatabase => {
                ("salvor list", "after the registry was stopped and a copy of registry.db restored")
            }
            Self::MakeWritable => (
                "salvor list",
                "after owner, mode and file system of the registry's data directory were checked",
            ),
        }
    }
}

/// The step after `error`; none where the error itself brings it, or where there is nothing to do but wait.
pub(super) fn next_step(error: &Error) -> Option<String> {
    Some(match error {
        Error::SandboxExists { name } | Error::LeaseHeld { name, .. } => NextStep::Status.of(name),
        Error::InRecovery { name, .. } => NextStep::AwaitRecovery.of(name),
        Error::SandboxNotFound { .. }
        | Error::SandboxDestroyed { .. }
        | Error::GatewayInUse { .. }
        | Error::DefaultUnset => NextStep::List.of(""),
        Error::GatewayNotFound { .. }
        | Error::GatewayExists { .. }
        | Error::GatewayAssignedElsewhere { .. }
        | Error::GatewayServedElsewhere { .. } => NextStep::ListGateways.of(""),
        Error::GatewayNotRegistered { .. } => NextStep::AddGateway.of(""),
        Error::EtagMismatch { name, .. } if name.contains("/sandboxes/") => {
            NextStep::ReadAgain.of(name)
        }
        Error::EtagMismatch { .. } => NextStep::ReadGatewayAgain.of(""),
        Error::Fenced { name, .. } | Error::LeaseLost { name, .. } => NextStep::LeaveIt.of(name),
        Error::FenceTokenRequired { name } => NextStep::AcquireLease.of(name),
        Error::RequestIdReused { .. } => NextStep::FreshId.of(""),
        Error::Compacted { .. } | Error::Ahead { .. } => NextStep::ListThenWatch.of(""),
        Error::Unreadable { .. } => NextStep::RestoreEntry.of(""),
        Error::GatewayUnreadable { .. } => NextStep::AddGatewayAgain.of(""),
        Error::KeyMissing { name, .. } => NextStep::AddKey.of(name),
        Error::MaterialDamaged { name, .. } => NextStep::RenewMaterial.of(name),
        Error::SnapshotAltered { name } => NextStep::SnapshotEntryAgain.of(name),
        Error::SnapshotOfOther { name, .. } => NextStep::OfAnEarlierRecord.of(name),
        Error::Request(_) | Error::Storage { .. } | Error::Seal(_) | Error::Defect(_) => {
            return None;
        }
    })
}
