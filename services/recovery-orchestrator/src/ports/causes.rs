//! What an adapter gave as the reason of a refusal, as a cause: one table, so that what will not pass by itself is told from what
//! may, and each reaches people as what it is.

use salvor_core::{
    fact::Why,
    saga::{Cause, Effect},
};
use salvor_proto::error::received;
use tonic::Status;

use super::adapter::failed;

/// The cause that an adapter's reason stands for. `None`: one that this version has no word for.
pub(super) fn of_reason(reason: &str) -> Option<Cause> {
    Some(match reason {
        "NOTHING_READ" => Cause::NothingRead,
        "NONCE_NOT_WRITTEN" => Cause::NonceNotWritten,
        "LEAVES_ROOT" => Cause::LeavesRoot,
        "TOO_MANY_ENTRIES" => Cause::TooManyEntries,
        "REPOSITORY_FULL" => Cause::RepositoryFull,
        "REPOSITORY_PASSWORD_MISSING" | "REPOSITORY_PASSWORD_WRONG" => Cause::PasswordWrong,
        "REPOSITORY_DAMAGED" | "REPOSITORY_INCOMPLETE" => Cause::RepositoryDamaged,
        "NO_REPOSITORY" | "REPOSITORY_FOREIGN" | "REPOSITORY_GONE" | "REPOSITORY_MISCONFIGURED" => {
            Cause::RepositoryMissing
        }
        "REPOSITORY_BUSY" | "REPOSITORY_UNREACHABLE" => Cause::RepositoryFailed,
        "SNAPSHOT_DAMAGED"
        | "SNAPSHOT_INCOMPLETE"
        | "SNAPSHOT_NOT_FOUND"
        | "SNAPSHOT_OF_ANOTHER"
        | "SNAPSHOT_UNREADABLE" => Cause::SnapshotUnusable,
        "LAST_SNAPSHOT" | "SNAPSHOT_IN_USE" => Cause::SnapshotInUse,
        "SANDBOX_ABSENT" => Cause::NotFound,
        "OTHER_INCARNATION" => Cause::OtherIncarnation,
        "NOT_READY" => Cause::WrongPhase,
        "CONTAINER_NOT_FOUND" | "NO_CONTAINER_RUNTIME" => Cause::ContainerMissing,
        "UNREADABLE" => Cause::ListingUnusable,
        "UNAUTHENTICATED" | "PERMISSION_DENIED" | "PERMIT_MISMATCH" => Cause::Denied,
        "FOREIGN_GATEWAY" | "VERSION_UNKNOWN" => Cause::WrongGateway,
        "UNAVAILABLE" | "DEADLINE_EXCEEDED" | "TLS_FAILED" | "UNIMPLEMENTED" | "RATE_LIMITED"
        | "WORKSPACE_MISSING" | "INCONSISTENT" | "UNEXPECTED" => Cause::GatewayFailed,
        "OPERATIONS_FULL" => Cause::AdapterBusy,
        "SERVING_NOT_SURE" | "GATEWAY_SERVED_ELSEWHERE" | "FENCES_UNUSABLE" | "DATA_IN_USE" => {
            Cause::NotServing
        }
        "FENCED" => Cause::Fenced,
        // Its own defects and its own end; asked again it may be another one that answers.
        "CANCELLED"
        | "CAPTURE_ABORTED"
        | "SERVER_DRAINING"
        | "INTERNAL"
        | "GATEWAY_NOT_REGISTERED"
        | "NOT_REGISTERED" => Cause::AdapterFailed,
        "INVALID_FIELD" | "REQUEST_ID_REUSED" | "PATH_NOT_FOUND" => Cause::Invalid,
        _ => return None,
    })
}

/// How work ended that the adapter began.
pub(super) fn of_failure(reason: &str) -> Cause {
    of_reason(reason).unwrap_or(Cause::AdapterFailed)
}

/// What became of an effect that the adapter itself refused, or that never reached it. What its repository refuses was never
/// begun, whatever the code says.
pub(super) fn of_status<T>(status: &Status) -> Effect<T> {
    let told = received(status).reason.as_deref().and_then(of_reason);
    match (failed(status), told) {
        (_, Some(told)) if is_of_the_repository(told) => Effect::NotApplied(told),
        (Effect::NotApplied(_), Some(told)) => Effect::NotApplied(told),
        (effect, _) => effect,
    }
}

const fn is_of_the_repository(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::SnapshotUnusable
            | Cause::RepositoryFailed
            | Cause::RepositoryMissing
            | Cause::RepositoryFull
            | Cause::PasswordWrong
            | Cause::RepositoryDamaged
    )
}

/// Why the repository said nothing of a snapshot.
pub(crate) const fn of_repository(why: Why) -> Cause {
    match why {
        Why::Unauthenticated | Why::PermissionDenied => Cause::PasswordWrong,
        Why::Unreadable | Why::SnapshotUnreadable => Cause::RepositoryDamaged,
        Why::NotRegistered | Why::Inconsistent | Why::SnapshotsGone => Cause::RepositoryMissing,
        Why::Unavailable
        | Why::DeadlineExceeded
        | Why::TlsFailed
        | Why::Unimplemented
        | Why::VersionUnknown
        | Why::ForeignGateway
        | Why::WorkspaceMissing
        | Why::RateLimited
        | Why::Internal
        | Why::Unexpected
        | Why::AdapterUnreachable
        | Why::NotAsked => Cause::RepositoryFailed,
    }
}

#[cfg(test)]
mod tests {
    use salvor_proto::{Error, error::Code};

    use super::*;

    /// No reason of this version.
    const NEWER: &str = "a word of a newer adapter";

    #[test]
    fn what_will_not_pass_by_itself_is_not_told_as_a_failing_gateway() {
        for (reason, cause) in [
            ("NOTHING_READ", Cause::NothingRead),
            ("NONCE_NOT_WRITTEN", Cause::NonceNotWritten),
            ("LEAVES_ROOT", Cause::LeavesRoot),
            ("TOO_MANY_ENTRIES", Cause::TooManyEntries),
            ("REPOSITORY_FULL", Cause::RepositoryFull),
            ("REPOSITORY_PASSWORD_WRONG", Cause::PasswordWrong),
            ("REPOSITORY_PASSWORD_MISSING", Cause::PasswordWrong),
            ("REPOSITORY_DAMAGED", Cause::RepositoryDamaged),
            ("REPOSITORY_INCOMPLETE", Cause::RepositoryDamaged),
            ("REPOSITORY_FOREIGN", Cause::RepositoryMissing),
            ("NO_REPOSITORY", Cause::RepositoryMissing),
            ("SNAPSHOT_DAMAGED", Cause::SnapshotUnusable),
            ("CONTAINER_NOT_FOUND", Cause::ContainerMissing),
            ("FENCED", Cause::Fenced),
        ] {
            assert_eq!(of_failure(reason), cause, "{reason}");
            assert!(!cause.may_pass(), "{reason}");
        }
    }

    #[test]
    fn what_may_pass_is_asked_again() {
        for reason in [
            "REPOSITORY_UNREACHABLE",
            "REPOSITORY_BUSY",
            "NOT_READY",
            "UNAVAILABLE",
            "UNREADABLE",
            "OPERATIONS_FULL",
            "SERVING_NOT_SURE",
            "SERVER_DRAINING",
            NEWER,
        ] {
            assert!(of_failure(reason).may_pass(), "{reason}");
        }
    }

    #[test]
    fn a_refusal_before_anything_was_begun_has_its_own_cause() {
        for (code, reason, cause) in [
            (Code::Refused, "NO_REPOSITORY", Cause::RepositoryMissing),
            (Code::Exhausted, "OPERATIONS_FULL", Cause::AdapterBusy),
            (Code::Conflict, "FENCED", Cause::Fenced),
            (Code::Unavailable, "DATA_IN_USE", Cause::NotServing),
            (Code::Invalid, "INVALID_FIELD", Cause::Invalid),
            (Code::Unavailable, "REPOSITORY_PASSWORD_WRONG", Cause::PasswordWrong),
            (Code::DataLoss, "SNAPSHOT_UNREADABLE", Cause::SnapshotUnusable),
            (Code::Refused, NEWER, Cause::Denied),
        ] {
            let status = Status::from(Error::new(code, reason, "text"));
            assert_eq!(of_status::<()>(&status), Effect::NotApplied(cause), "{reason}");
        }
    }

    #[test]
    fn what_never_came_back_may_have_been_done() {
        let status = Status::from(Error::new(Code::Internal, "INTERNAL", "text"));
        assert_eq!(of_status::<()>(&status), Effect::MaybeApplied(Cause::AdapterFailed));
    }
}
