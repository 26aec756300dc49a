//! What can be wrong with the repository: one closed set, turned into salvor's errors and into `Unknown` here and nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use salvor_proto::Error;
use salvor_proto::error::Code;
use salvor_proto::gateway::v1 as pb;

use super::SnapshotId;
use crate::next_step::NextStep;

/// Why the repository did not do what it was asked. Nothing in it is a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    /// The password's file or variable cannot be read, or is empty.
    #[error("the password of the snapshot repository {repository} cannot be read: {detail}")]
    NoPassword { repository: String, detail: String },
    /// No key of the repository's opens with it.
    #[error("the password does not open the snapshot repository {repository}")]
    WrongPassword { repository: String },
    /// There are files, and they are no repository. It is never initialised over them.
    #[error("{repository} holds files and is no restic repository; it is left as it is")]
    NotARepository { repository: String },
    /// A repository was there, and is not. None is made in its place.
    #[error(
        "in {repository} there was the snapshot repository {id}, and now there is {found}; no other one is \
         made or used in its place. What is known of it is a line in {memory}"
    )]
    Gone { repository: String, id: String, found: String, memory: String },
    /// The settings name no repository that can be opened.
    #[error("the snapshot repository {repository} cannot be used: {detail}")]
    Misconfigured { repository: String, detail: String },
    /// What was read is not what was written.
    #[error("the snapshot repository is damaged: {what}")]
    Damaged { what: String },
    /// Something that the repository refers to is gone.
    #[error("the snapshot repository is incomplete: {what}")]
    Missing { what: String },
    /// No space left.
    #[error("the snapshot repository has no space left: {detail}")]
    Full { detail: String },
    /// It could not be asked.
    #[error("the snapshot repository cannot be reached: {detail}")]
    Unreachable { detail: String },
    /// There is no such snapshot.
    #[error("there is no snapshot {0} in the repository")]
    NotFound(SnapshotId),
    /// It is in the repository, and salvor did not make it, or its manifest is damaged.
    #[error("{id} is no snapshot that salvor can read: {detail}")]
    Foreign { id: SnapshotId, detail: String },
    /// Not in this snapshot.
    #[error("there is no {} in snapshot {id}", path.display())]
    PathNotFound { id: SnapshotId, path: PathBuf },
    /// The capture ended before it had given all of its entries.
    #[error("the capture ended before it had given everything; nothing was kept of it")]
    Aborted,
    /// Entries that do not come in tree order, or not below a root: a defect of the capture's.
    #[error("the capture gave {} out of order; nothing was kept of it", path.display())]
    OutOfOrder { path: PathBuf },
    /// Captures or restores are running, and space is not reclaimed under them.
    #[error("captures or restores are running, so no space was reclaimed")]
    Busy,
    /// A defect.
    #[error("the snapshot store failed: {0}")]
    Internal(String),
}

// === impl StoreError ===

impl StoreError {
    /// What a failed read of a [`Reader`](super::Reader) says.
    pub(crate) fn of(error: &std::io::Error) -> Self {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Self>());
        cause.cloned().unwrap_or_else(|| Self::Internal(error.to_string()))
    }

    /// Its stable reason, upper snake case.
    pub(crate) const fn reason(&self) -> &'static str {
        self.row().1
    }

    const fn row(&self) -> (Code, &'static str, pb::UnknownReason) {
        use pb::UnknownReason as Why;
        match self {
            Self::NoPassword { .. } => {
                (Code::Unavailable, "REPOSITORY_PASSWORD_MISSING", Why::Unauthenticated)
            }
            Self::WrongPassword { .. } => {
                (Code::Unavailable, "REPOSITORY_PASSWORD_WRONG", Why::Unauthenticated)
            }
            Self::NotARepository { .. } => {
                (Code::Unavailable, "REPOSITORY_FOREIGN", Why::Inconsistent)
            }
            Self::Gone { .. } => (Code::Unavailable, "REPOSITORY_GONE", Why::SnapshotsGone),
            Self::Misconfigured { .. } => {
                (Code::Unavailable, "REPOSITORY_MISCONFIGURED", Why::NotRegistered)
            }
            Self::Damaged { .. } => (Code::DataLoss, "REPOSITORY_DAMAGED", Why::Unreadable),
            Self::Missing { .. } => (Code::DataLoss, "REPOSITORY_INCOMPLETE", Why::Unreadable),
            Self::Full { .. } => (Code::Exhausted, "REPOSITORY_FULL", Why::Unavailable),
            Self::Unreachable { .. } => {
                (Code::Unavailable, "REPOSITORY_UNREACHABLE", Why::Unavailable)
            }
            Self::NotFound(_) => (Code::NotFound, "SNAPSHOT_NOT_FOUND", Why::Unexpected),
            Self::Foreign { .. } => {
                (Code::DataLoss, "SNAPSHOT_UNREADABLE", Why::SnapshotUnreadable)
            }
            Self::PathNotFound { .. } => (Code::NotFound, "PATH_NOT_FOUND", Why::Unexpected),
            Self::Aborted => (Code::Cancelled, "CAPTURE_ABORTED", Why::Unexpected),
            Self::OutOfOrder { .. } | Self::Internal(_) => {
                (Code::Internal, "INTERNAL", Why::Internal)
            }
            Self::Busy => (Code::Busy, "REPOSITORY_BUSY", Why::Unavailable),
        }
    }

    /// What to run next.
    const fn next_step(&self) -> NextStep {
        match self {
            Self::NoPassword { .. } | Self::WrongPassword { .. } => NextStep::GivePassword,
            Self::NotARepository { .. } | Self::Misconfigured { .. } => NextStep::GiveRepository,
            Self::Gone { .. } => NextStep::PutRepositoryBack,
            Self::Damaged { .. } | Self::Missing { .. } | Self::Foreign { .. } => {
                NextStep::MendRepository
            }
            Self::Full { .. } => NextStep::MakeSpace,
            Self::Unreachable { .. } => NextStep::ReachRepository,
            Self::NotFound(_) | Self::PathNotFound { .. } => NextStep::ListSnapshots,
            Self::Aborted => NextStep::TakeSnapshot,
            Self::Busy => NextStep::WaitForCaptures,
            Self::OutOfOrder { .. } | Self::Internal(_) => NextStep::Report,
        }
    }

    /// As a read answers what could not be determined.
    pub(crate) fn unknown(&self) -> pb::Unknown {
        pb::Unknown { reason: self.row().2.into(), detail: self.to_string() }
    }

    /// As an operation that came to nothing.
    pub(crate) fn failure(&self) -> pb::OperationFailure {
        pb::OperationFailure {
            reason: self.reason().to_owned(),
            message: self.to_string(),
            next_step: self.next_step().alone(),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let (code, reason, _) = error.row();
        let answer =
            Self::new(code, reason, error.to_string()).next_step(error.next_step().alone());
        match error {
            StoreError::Unreachable { .. } | StoreError::Busy => {
                answer.retry_after(Duration::from_secs(5))
            }
            _ => answer,
        }
    }
}

impl From<StoreError> for std::io::Error {
    fn from(error: StoreError) -> Self {
        Self::other(error)
    }
}
