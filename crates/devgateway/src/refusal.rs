//! Why the gateway says no: one type inside, one place that turns it into a gRPC status.
//!
//! The texts are the vendor's, because clients tell cases apart by them: `sandbox not found`
//! and `workspace 'w' not found` share a code and mean different things.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::config::Dialect;

/// The domain of the 0.1 dialect's error reasons.
const DOMAIN: &str = "openshell.nvidia.com";

/// A call that is not served, with the vendor's code and text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code:?}: {message}")]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// The machine-readable reason of the 0.1 dialect.
    pub(crate) reason: Option<&'static str>,
}

/// The usual result inside the gateway.
pub(crate) type Outcome<T> = Result<T, Refusal>;

// === impl Refusal ===

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), reason: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self { reason: Some("INVALID_ARGUMENT"), ..Self::new(Code::InvalidArgument, message) }
    }

    pub(crate) fn precondition(message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, message)
    }

    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    pub(crate) fn no_sandbox() -> Self {
        Self::missing("sandbox not found")
    }

    pub(crate) fn no_workspace(name: &str) -> Self {
        Self::missing(format!("workspace '{name}' not found"))
    }

    pub(crate) fn unimplemented(what: &str) -> Self {
        Self::new(Code::Unimplemented, format!("{what} is not served by the development gateway"))
    }

    pub(crate) fn conflict(what: &str, current: u64) -> Self {
        Self {
            reason: Some("RESOURCE_VERSION_CONFLICT"),
            ..Self::new(
                Code::Aborted,
                format!(
                    "{what} failed due to concurrent modification \
                     (current resource_version: {current})"
                ),
            )
        }
    }

    /// The status on the wire. Only the 0.1 dialect carries details.
    pub(crate) fn status(&self, dialect: Dialect) -> Status {
        match (dialect, self.reason) {
            (Dialect::V0_1, Some(reason)) => {
                let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
                Status::with_error_details(self.code, &self.message, details)
            }
            _ => Status::new(self.code, &self.message),
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::new(Code::Internal, format!("store or compute failed: {error}"))
    }
}

impl From<salvor_openshell_wire::splice::Error> for Refusal {
    fn from(error: salvor_openshell_wire::splice::Error) -> Self {
        Self::new(Code::Internal, format!("failed to decode Protobuf message: {error}"))
    }
}

impl From<prost::DecodeError> for Refusal {
    fn from(error: prost::DecodeError) -> Self {
        Self::new(Code::Internal, error.to_string())
    }
}
