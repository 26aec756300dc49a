//! The one closed set of error codes and the one table that turns them into gRPC statuses.
//!
//! Every error carries exactly one `google.rpc.ErrorInfo` (domain [`DOMAIN`]), whose `reason` is stable and whose metadata
//! names the next step where there is one. No other module builds a `tonic::Status`.

use std::{collections::HashMap, fmt, time::Duration};

use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt};

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "salvor";
/// The metadata key under which an error's next step travels.
pub const NEXT_STEP: &str = "next_step";
/// A status message is cut at this many bytes; HTTP/2 headers must hold it.
const MAX_MESSAGE: usize = 2048;

/// What kind of thing went wrong. The gRPC code follows from it, and nothing else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request is malformed; the fields say where.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// A guard or a precondition says no. Change the state, then ask again.
    Refused,
    /// It could not be determined. Nothing was concluded and nothing touched.
    Undetermined,
    /// What the caller knew is stale: read again.
    Conflict,
    /// Somebody else is at work on it; the metadata names the holder.
    Busy,
    /// A part of salvor is not there right now.
    Unavailable,
    /// No answer in time.
    DeadlineExceeded,
    /// The caller is not known.
    Unauthenticated,
    /// The caller is known, and may not.
    Denied,
    /// A limit of size, rate or space.
    Exhausted,
    /// A position that is no longer, or not yet, there.
    OutOfRange,
    /// The caller went away.
    Cancelled,
    /// Stored data is damaged.
    DataLoss,
    /// A defect of salvor's.
    Internal,
}

/// One error of salvor's API: what happened, why in a stable word, and what to run next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: Code,
    reason: String,
    message: String,
    metadata: HashMap<String, String>,
    fields: Vec<(String, String)>,
    violations: Vec<Violation>,
    retry: Option<Duration>,
}

/// One guard's refusal within an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The guard's id.
    pub guard: String,
    /// What it was about: the record's name.
    pub subject: String,
    /// The denial's sentence, led by its stable reason: `REASON: sentence`.
    pub description: String,
}

// === impl Code ===

impl Code {
    /// The table.
    pub const fn grpc(self) -> tonic::Code {
        match self {
            Self::Invalid => tonic::Code::InvalidArgument,
            Self::NotFound => tonic::Code::NotFound,
            Self::AlreadyExists => tonic::Code::AlreadyExists,
            Self::Refused => tonic::Code::FailedPrecondition,
            Self::Undetermined | Self::Unavailable => tonic::Code::Unavailable,
            Self::Conflict | Self::Busy => tonic::Code::Aborted,
            Self::DeadlineExceeded => tonic::Code::DeadlineExceeded,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::Denied => tonic::Code::PermissionDenied,
            Self::Exhausted => tonic::Code::ResourceExhausted,
            Self::OutOfRange => tonic::Code::OutOfRange,
            Self::Cancelled => tonic::Code::Cancelled,
            Self::DataLoss => tonic::Code::DataLoss,
            Self::Internal => tonic::Code::Internal,
        }
    }
}

impl Code {
    /// The kind of a status that one of salvor's services sent. Where two kinds share a gRPC code the reason tells them apart.
    const fn of(code: tonic::Code) -> Self {
        match code {
            tonic::Code::InvalidArgument => Self::Invalid,
            tonic::Code::NotFound => Self::NotFound,
            tonic::Code::AlreadyExists => Self::AlreadyExists,
            tonic::Code::FailedPrecondition => Self::Refused,
            tonic::Code::Unavailable => Self::Unavailable,
            tonic::Code::Aborted => Self::Conflict,
            tonic::Code::DeadlineExceeded => Self::DeadlineExceeded,
            tonic::Code::Unauthenticated => Self::Unauthenticated,
            tonic::Code::PermissionDenied => Self::Denied,
            tonic::Code::ResourceExhausted => Self::Exhausted,
            tonic::Code::OutOfRange => Self::OutOfRange,
            tonic::Code::Cancelled => Self::Cancelled,
            tonic::Code::DataLoss => Self::DataLoss,
            tonic::Code::Ok
            | tonic::Code::Unknown
            | tonic::Code::Unimplemented
            | tonic::Code::Internal => Self::Internal,
        }
    }
}

// === impl Error ===

impl Error {
    /// An error with a stable `reason` (upper snake case) and a sentence for people.
    pub fn new(code: Code, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            message: message.into(),
            metadata: HashMap::new(),
            fields: Vec::new(),
            violations: Vec::new(),
            retry: None,
        }
    }

    /// A malformed field: `field` is its path in the request.
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        let (field, problem) = (field.into(), problem.into());
        let mut error = Self::new(Code::Invalid, "INVALID_FIELD", format!("{field}: {problem}"));
        error.fields.push((field, problem));
        error
    }

    /// A thing that does not exist.
    pub fn not_found(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, reason, message)
    }

    /// A defect: the sentence is all that the caller sees; log the cause where it happened.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, "INTERNAL", message)
    }

    /// An error that another of salvor's services answered, passed on with its reason, metadata and refusals. A status that
    /// is not salvor's own (a lost connection, a proxy) becomes UNAVAILABLE with `reason`, naming `service`.
    pub fn relayed(status: &Status, service: &str, reason: &'static str) -> Self {
        let received = received(status);
        let Some(code) = received.reason.as_ref().map(|_| Code::of(status.code())) else {
            let message = format!("the {service} could not be asked: {}", status.message());
            return Self::new(Code::Unavailable, reason, message)
                .next_step(format!(
                    "salvor gateways list  # after the {service} was started, ask again"
                ))
                .retry_after(Duration::from_secs(2));
        };
        let mut metadata = received.metadata;
        if let Some(step) = received.next_step {
            metadata.insert(NEXT_STEP.to_owned(), step);
        }
        Self {
            code,
            reason: received.reason.unwrap_or_default(),
            message: received.message,
            metadata,
            fields: Vec::new(),
            violations: received.violations,
            retry: received.retry,
        }
    }

    /// Adds what to run next. It must work in the present state.
    pub fn next_step(self, step: impl Into<String>) -> Self {
        self.with(NEXT_STEP, step)
    }

    /// Adds a metadata entry. Never a secret.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Says when asking again may help.
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry = Some(delay);
        self
    }

    /// Adds a guard's refusal.
    pub fn violation(mut self, violation: Violation) -> Self {
        self.violations.push(violation);
        self
    }

    /// The kind.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// When asking again may help.
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// A metadata entry.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// The stable reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(error.reason, DOMAIN, error.metadata);
        if !error.fields.is_empty() {
            let fields = error.fields.into_iter().map(|(f, p)| FieldViolation::new(f, p));
            details.set_bad_request(fields.collect::<Vec<_>>());
        }
        if !error.violations.is_empty() {
            let violations = error
                .violations
                .into_iter()
                .map(|v| PreconditionViolation::new(v.guard, v.subject, v.description));
            details.set_precondition_failure(violations.collect::<Vec<_>>());
        }
        if let Some(delay) = error.retry {
            details.set_retry_info(Some(delay));
        }
        Self::with_error_details(error.code.grpc(), cut(error.message), details)
    }
}

/// What a received status says, for callers of salvor's services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The stable reason; `None` when the status did not come from salvor (a lost connection, a proxy).
    pub reason: Option<String>,
    /// The sentence.
    pub message: String,
    /// What to run next.
    pub next_step: Option<String>,
    /// The rest of the metadata.
    pub metadata: HashMap<String, String>,
    /// Refusals, guard by guard.
    pub violations: Vec<Violation>,
    /// When asking again may help.
    pub retry: Option<Duration>,
}

/// Reads a status. Total: a status without details gives its message alone.
pub fn received(status: &Status) -> Received {
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.domain == DOMAIN);
    let mut metadata = info.map(|info| info.metadata.clone()).unwrap_or_default();
    let violations = details.precondition_failure().map_or_else(Vec::new, |failure| {
        let violations = failure.violations.iter().cloned();
        violations
            .map(|v| Violation { guard: v.r#type, subject: v.subject, description: v.description })
            .collect()
    });
    Received {
        reason: info.map(|info| info.reason.clone()),
        message: status.message().to_owned(),
        next_step: metadata.remove(NEXT_STEP),
        metadata,
        violations,
        retry: details.retry_info().and_then(|info| info.retry_delay),
    }
}

fn cut(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        let mut end = MAX_MESSAGE;
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests;
