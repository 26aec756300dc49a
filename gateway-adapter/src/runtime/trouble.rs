//! What goes wrong between here and the container runtime, classified once.

use std::io;
use std::path::Path;

use bollard::errors::Error;
use salvor_proto::gateway::v1::{Unknown, UnknownReason};

use crate::classify::cut;
use crate::workspace::Broken;

/// A call to the runtime that did not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Trouble {
    /// The class.
    pub kind: Kind,
    /// For people: which runtime, what was asked, what came back.
    pub detail: String,
}

/// The classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It could not be reached: nothing was sent.
    Away,
    /// The socket may not be used by this process: nothing was sent.
    Forbidden,
    /// No answer in time.
    Silent,
    /// The connection was lost on the way.
    Lost,
    /// It has no such container, or no such path in it.
    Missing,
    /// It refuses the request in the container's present state.
    Refused,
    /// It failed inside.
    Failed,
    /// Its answer makes no sense.
    Senseless,
}

// === impl Kind ===

impl Kind {
    /// Whether it is certain that the runtime did nothing.
    pub(crate) const fn nothing_done(self) -> bool {
        matches!(self, Self::Away | Self::Forbidden | Self::Missing | Self::Refused)
    }

    const fn reason(self) -> UnknownReason {
        match self {
            Self::Away | Self::Lost => UnknownReason::Unavailable,
            Self::Forbidden => UnknownReason::PermissionDenied,
            Self::Silent => UnknownReason::DeadlineExceeded,
            Self::Missing | Self::Refused => UnknownReason::Unexpected,
            Self::Failed => UnknownReason::Internal,
            Self::Senseless => UnknownReason::Inconsistent,
        }
    }
}

// === impl Trouble ===

impl Trouble {
    /// A sentence about the runtime behind `socket`.
    pub(crate) fn new(kind: Kind, socket: &Path, text: &str) -> Self {
        let detail = cut(format!("the container runtime at {}: {text}", socket.display()));
        Self { kind, detail }
    }

    /// Reads the client's error.
    pub(crate) fn classify(socket: &Path, what: &str, error: Error) -> Self {
        let (kind, text) = match error {
            Error::SocketNotFoundError(_) => (Kind::Away, "there is no such socket".to_owned()),
            Error::RequestTimeoutError => (Kind::Silent, "no answer in time".to_owned()),
            Error::DockerResponseServerError { status_code, message } => {
                (of_status(status_code), format!("{status_code}: {}", message.trim()))
            }
            Error::HyperLegacyError { err } if err.is_connect() => {
                let cause = io_cause(&err).unwrap_or_else(|| err.to_string());
                let forbidden = io_kind(&err) == Some(io::ErrorKind::PermissionDenied);
                (if forbidden { Kind::Forbidden } else { Kind::Away }, cause)
            }
            Error::HyperLegacyError { err } => (Kind::Lost, err.to_string()),
            Error::HyperResponseError { err } => (Kind::Lost, err.to_string()),
            Error::IOError { err } => (Kind::Lost, err.to_string()),
            other => (Kind::Senseless, other.to_string()),
        };
        Self::new(kind, socket, &format!("{what}: {text}"))
    }

    /// As a read answers it.
    pub(crate) fn unknown(self) -> Unknown {
        Unknown { reason: self.kind.reason().into(), detail: self.detail }
    }
}

impl From<Trouble> for Broken {
    fn from(trouble: Trouble) -> Self {
        Self { unknown: trouble.unknown() }
    }
}

fn of_status(status: u16) -> Kind {
    match status {
        404 => Kind::Missing,
        400..=499 => Kind::Refused,
        _ => Kind::Failed,
    }
}

fn io_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<io::ErrorKind> {
    io_error(error).map(io::Error::kind)
}

fn io_cause(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    io_error(error).map(ToString::to_string)
}
