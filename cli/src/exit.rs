//! What the process says when it ends: exit codes, and the one shape of every failure.
//!
//! Invariant: an exit code follows from what a service answered by the tables here, and from nothing else.

use std::process::ExitCode;

use salvor_proto::error::{Violation, received};
use salvor_proto::recovery::v1::recovery::State;
use salvor_runtime::channel::{Unanswered, unanswered};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::next_step::NextStep;

/// What stands below `--help`.
pub(crate) const HELP: &str = "\
Sandbox names:
  NAME, WORKSPACE/NAME or GATEWAY/WORKSPACE/NAME, or the full name
  gateways/GATEWAY/workspaces/WORKSPACE/sandboxes/NAME. A short name must fit exactly one record.
  Commands that change nothing, connect, recover and snapshot create and drill take the default
  sandbox when no name is given.

Snapshot names:
  gateways/GATEWAY/snapshots/ID, or the ID alone where the gateway is known: all of its 64 digits.

Exit codes:
  0  done; for connect: live
  1  internal or unexpected
  2  bad usage, input or credentials
  3  refused by a guard or a precondition; nothing was changed
  4  could not be determined, or not available now: ask again
  5  done, but degraded or not proven; or given up
  6  rolled back: the record is as it was
  7  parked, stranded, or still running when the wait was over
  8  conflict: somebody else changed it, holds it or has the name
  9  not found

First steps:
  salvor demo                  see the whole of it, in a temporary directory
  salvor up --with-devgateway  run it here; then: salvor gateways list";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// A defect, or something that nobody foresaw.
    Internal = 1,
    /// What was typed cannot be right.
    Usage = 2,
    /// A guard or a precondition said no.
    Refused = 3,
    /// Nothing is known; ask again.
    Undetermined = 4,
    /// Done in part, or not proven, or given up.
    Degraded = 5,
    /// Undone.
    RolledBack = 6,
    /// Not at its end yet.
    Waiting = 7,
    /// Somebody else was first.
    Conflict = 8,
    /// There is no such thing.
    NotFound = 9,
}

/// Why a command did not do what it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// The gRPC code's name; `INVALID_ARGUMENT` for usage errors.
    pub(crate) code: &'static str,
    /// Stable, upper snake case.
    pub(crate) reason: String,
    /// One sentence.
    pub(crate) message: String,
    /// What to run next; empty if nothing helps.
    pub(crate) next_step: String,
    /// The owner gateway, where the answer named one.
    pub(crate) gateway: String,
    /// The recovery under which the refusal was kept, where the answer named one.
    pub(crate) recovery: String,
    /// One per guard that refused.
    pub(crate) violations: Vec<Violation>,
}

// === impl Exit ===

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl From<Code> for Exit {
    fn from(code: Code) -> Self {
        match code {
            Code::Ok => Self::Done,
            Code::InvalidArgument
            | Code::OutOfRange
            | Code::Unauthenticated
            | Code::PermissionDenied => Self::Usage,
            Code::FailedPrecondition => Self::Refused,
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Cancelled => Self::Undetermined,
            Code::Aborted | Code::AlreadyExists => Self::Conflict,
            Code::NotFound => Self::NotFound,
            Code::Unknown | Code::Internal | Code::DataLoss | Code::Unimplemented => Self::Internal,
        }
    }
}

impl From<State> for Exit {
    fn from(state: State) -> Self {
        match state {
            State::Succeeded => Self::Done,
            State::Degraded | State::Unproven | State::Retired => Self::Degraded,
            State::RolledBack => Self::RolledBack,
            State::Refused => Self::Refused,
            State::Running | State::Parked | State::Stranded => Self::Waiting,
            State::Unspecified => Self::Internal,
        }
    }
}

// === impl Failure ===

impl Failure {
    /// A failure of this process's own.
    pub(crate) fn new(exit: Exit, reason: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: own_code(exit),
            reason: reason.to_owned(),
            message: message.into(),
            next_step: String::new(),
            gateway: String::new(),
            recovery: String::new(),
            violations: Vec::new(),
        }
    }

    /// What was typed cannot be right.
    pub(crate) fn usage(reason: &str, message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, reason, message)
    }

    /// Nobody foresaw this.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Internal, "INTERNAL", message)
    }

    /// Says what to run next.
    pub(crate) fn next(mut self, step: impl Into<String>) -> Self {
        self.next_step = step.into();
        self
    }

    /// What programs read.
    pub(crate) fn json(&self) -> Value {
        let violations: Vec<Value> = self.violations.iter().map(violation).collect();
        json!({
            "error": {
                "exit_code": self.exit as u8,
                "code": self.code,
                "reason": self.reason,
                "message": self.message,
                "next_step": self.next_step,
                "gateway": self.gateway,
                "recovery": self.recovery,
                "violations": violations,
            }
        })
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let read = received(&status);
        let mut failure = Self {
            exit: status.code().into(),
            code: name(status.code()),
            reason: read.reason.unwrap_or_else(|| name(status.code()).to_owned()),
            message: read.message,
            next_step: read.next_step.unwrap_or_default(),
            gateway: read.metadata.get("gateway").cloned().unwrap_or_default(),
            recovery: read.metadata.get("recovery").cloned().unwrap_or_default(),
            violations: read.violations,
        };
        if failure.next_step.is_empty() && unanswered(&status) == Some(Unanswered::NotSent) {
            failure.next_step = NextStep::Up.of("");
        }
        failure
    }
}

fn violation(violation: &Violation) -> Value {
    json!({
        "guard": violation.guard,
        "subject": violation.subject,
        "description": violation.description,
    })
}

/// The gRPC code's name as the specification spells it.
const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The code that a service would have answered.
const fn own_code(exit: Exit) -> &'static str {
    match exit {
        Exit::Done => "OK",
        Exit::Internal | Exit::Degraded => "INTERNAL",
        Exit::Usage => "INVALID_ARGUMENT",
        Exit::Refused => "FAILED_PRECONDITION",
        Exit::Undetermined => "UNAVAILABLE",
        Exit::RolledBack | Exit::Conflict => "ABORTED",
        Exit::Waiting => "DEADLINE_EXCEEDED",
        Exit::NotFound => "NOT_FOUND",
    }
}

#[cfg(test)]
mod tests {
    use salvor_proto::{Error, error::Code as Kind};

    use super::*;

    #[test]
    fn a_refusal_keeps_its_guards_and_its_next_step() {
        let error = Error::new(Kind::Refused, "SANDBOX_PRESENT", "refused")
            .next_step("salvor connect x")
            .with("gateway", "gateways/g")
            .violation(Violation {
                guard: "sandbox_is_absent".into(),
                subject: "x".into(),
                description: "SANDBOX_PRESENT: it is there".into(),
            });
        let failure = Failure::from(Status::from(error));
        assert_eq!(failure.exit, Exit::Refused);
        let json = failure.json();
        assert_eq!(json["error"]["code"], "FAILED_PRECONDITION");
        assert_eq!(json["error"]["reason"], "SANDBOX_PRESENT");
        assert_eq!(json["error"]["next_step"], "salvor connect x");
        assert_eq!(json["error"]["gateway"], "gateways/g");
        assert_eq!(json["error"]["violations"][0]["guard"], "sandbox_is_absent");
    }

    #[test]
    fn each_kind_of_error_has_the_exit_code_that_the_help_promises() {
        for (kind, exit) in [
            (Kind::Internal, 1),
            (Kind::DataLoss, 1),
            (Kind::Invalid, 2),
            (Kind::Denied, 2),
            (Kind::Refused, 3),
            (Kind::Undetermined, 4),
            (Kind::DeadlineExceeded, 4),
            (Kind::Exhausted, 4),
            (Kind::Busy, 8),
            (Kind::Conflict, 8),
            (Kind::AlreadyExists, 8),
            (Kind::NotFound, 9),
        ] {
            let status = Status::from(Error::new(kind, "REASON", "text"));
            assert_eq!(Failure::from(status).exit as u8, exit, "{kind:?}");
        }
    }

    #[test]
    fn each_end_of_a_recovery_has_its_exit_code() {
        for (state, exit) in [
            (State::Succeeded, 0),
            (State::Refused, 3),
            (State::Degraded, 5),
            (State::Unproven, 5),
            (State::RolledBack, 6),
            (State::Parked, 7),
            (State::Running, 7),
            (State::Stranded, 7),
            (State::Retired, 5),
        ] {
            assert_eq!(Exit::from(state) as u8, exit, "{state:?}");
        }
    }

    #[test]
    fn a_status_that_is_not_salvors_still_has_a_reason() {
        let failure = Failure::from(Status::new(Code::Unimplemented, "no such method"));
        assert_eq!((failure.exit, failure.reason.as_str()), (Exit::Internal, "UNIMPLEMENTED"));
    }
}
