//! How one call ended, recorded exactly once.

use std::time::Duration;

use http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;
use tokio::time::Instant;
use tonic::Code;
use tracing::Span;

use super::code_name;

/// Which end of the call records it; the two differ in which codes count as errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// The span of one call, and the duty to record its end. Dropped without a code, it records
/// `DEADLINE_EXCEEDED` if the deadline has passed, `INTERNAL` on a panic, else `CANCELLED`.
#[derive(Debug)]
pub(crate) struct Outcome {
    span: Span,
    side: Side,
    started: Instant,
    deadline: Option<Instant>,
    method: String,
    duration: Option<Histogram<f64>>,
    open: bool,
}

impl Outcome {
    pub(crate) fn new(span: Span, side: Side, method: String, timeout: Option<Duration>) -> Self {
        let started = Instant::now();
        let deadline = timeout.and_then(|timeout| started.checked_add(timeout));
        Self { span, side, started, deadline, method, duration: None, open: true }
    }

    pub(crate) fn measured_by(mut self, duration: Histogram<f64>) -> Self {
        self.duration = Some(duration);
        self
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Records the code that `headers` or trailers carry, if they carry one.
    pub(crate) fn observe(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get("grpc-status") {
            self.finish(Code::from_bytes(code.as_bytes()));
        }
    }

    /// Records the end; later calls change nothing.
    pub(crate) fn finish(&mut self, code: Code) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let name = code_name(code);
        self.span.record("rpc.response.status_code", name);
        if is_error(self.side, code) {
            self.span.record("error.type", name);
            self.span.record("otel.status_code", "ERROR");
        }
        if let Some(duration) = &self.duration {
            let attributes = [
                KeyValue::new("rpc.system.name", "grpc"),
                KeyValue::new("rpc.method", std::mem::take(&mut self.method)),
                KeyValue::new("rpc.response.status_code", name),
            ];
            duration.record(self.started.elapsed().as_secs_f64(), &attributes);
        }
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let overdue = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        self.finish(match (std::thread::panicking(), overdue) {
            (true, _) => Code::Internal,
            (false, true) => Code::DeadlineExceeded,
            (false, false) => Code::Cancelled,
        });
    }
}

/// The conventions count every code but OK as an error for a client, and for a server only those
/// that are its own fault.
fn is_error(side: Side, code: Code) -> bool {
    match side {
        Side::Client => code != Code::Ok,
        Side::Server => matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_an_error_to_the_client_and_a_normal_result_to_the_server() {
        assert!(!is_error(Side::Server, Code::FailedPrecondition));
        assert!(is_error(Side::Client, Code::FailedPrecondition));
        assert!(!is_error(Side::Client, Code::Ok));
        assert!(is_error(Side::Server, Code::Internal));
    }
}
