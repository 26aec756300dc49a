//! RPC spans, server and client: the only place that opens them.
//!
//! Names follow the OpenTelemetry RPC conventions (`rpc.system.name`, `rpc.method`,
//! `rpc.response.status_code`, `server.address`): one span per call, from its headers to the last
//! frame of its answer. Invariant: a call whose answer was not seen to its end is recorded as
//! `CANCELLED`, never as `OK`. Deliberately absent: payloads and metadata, which may hold secrets.

mod body;
mod layer;
mod outcome;
mod propagation;
mod status;

use tonic::Code;

pub(crate) use body::RecordedBody;
pub(crate) use layer::{Admission, RpcLayer, caller_timeout};
pub(crate) use outcome::{Outcome, Side};
pub use propagation::{extract, inject};
pub(crate) use status::Edge;

/// The name of a status code on the wire and in `rpc.response.status_code`.
pub fn code_name(code: Code) -> &'static str {
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
