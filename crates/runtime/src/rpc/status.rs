//! The statuses that this layer makes itself, all in one table.
//!
//! Each carries a `google.rpc.ErrorInfo` with a stable reason, as every error of salvor's does.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The `domain` of every `ErrorInfo`.
const DOMAIN: &str = "salvor";

/// What this layer has to say to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The server has as many calls in flight as it accepts. Nothing was begun.
    Overloaded,
    /// The server is shutting down; a stream ends early.
    Draining,
    /// No answer by the deadline. It may have taken effect.
    Overdue,
    /// The peer cannot be reached. Nothing was sent.
    Unreachable,
    /// The connection broke under the call. It may have taken effect.
    ConnectionLost,
}

impl Edge {
    pub(crate) fn status(self, message: impl Into<String>) -> Status {
        let (code, reason, retry) = match self {
            Self::Overloaded => (Code::ResourceExhausted, "SERVER_OVERLOADED", Some(1)),
            Self::Draining => (Code::Unavailable, "SERVER_DRAINING", Some(1)),
            Self::Overdue => (Code::DeadlineExceeded, "CALL_OVERDUE", None),
            Self::Unreachable => (Code::Unavailable, "PEER_UNREACHABLE", Some(1)),
            Self::ConnectionLost => (Code::Unavailable, "CONNECTION_LOST", None),
        };
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
        if let Some(seconds) = retry {
            details.set_retry_info(Some(Duration::from_secs(seconds)));
        }
        Status::with_error_details(code, message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_surely_had_no_effect_invites_a_retry() {
        for (edge, retry) in [
            (Edge::Overloaded, true),
            (Edge::Draining, true),
            (Edge::Unreachable, true),
            (Edge::Overdue, false),
            (Edge::ConnectionLost, false),
        ] {
            let details = edge.status("text").get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!(info.domain, DOMAIN);
            assert!(info.reason.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'));
            assert_eq!(details.retry_info().is_some(), retry, "{edge:?}");
        }
    }
}
