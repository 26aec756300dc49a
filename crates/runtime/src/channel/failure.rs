//! Why a call has no answer, in words and in kind.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use tonic::{ConnectError, Status, TimeoutExpired};

use crate::rpc::Edge;

/// Why a call has no answer from its peer. Known to this process only; it never travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// The peer could not be reached: the call surely had no effect.
    #[error("nothing was sent")]
    NotSent,
    /// The connection broke under the call, which may have taken effect.
    #[error("the connection broke")]
    Lost,
    /// The time was up. The call may have taken effect.
    #[error("the time was up")]
    Overdue,
}

/// Why a call through a [`TracedChannel`](super::TracedChannel) has no answer; none if the status
/// *is* the peer's answer.
pub fn unanswered(status: &Status) -> Option<Unanswered> {
    status.source()?.downcast_ref().copied()
}

pub(super) fn overdue(address: &str, method: &str, bound: Duration) -> Status {
    let text = format!(
        "no answer from {address} to {method} within {} ms; it may have taken effect",
        bound.as_millis()
    );
    with_source(Edge::Overdue.status(text), Unanswered::Overdue)
}

/// `whom` is an address, or all of a list, each with its reason.
pub(super) fn unreachable(whom: &str, method: &str, why: &str) -> Status {
    let text = format!("cannot reach {whom} for {method}: {why}; nothing was sent");
    with_source(Edge::Unreachable.status(text), Unanswered::NotSent)
}

/// Says whom the failed call was for, which the transport's own text leaves out.
pub(super) fn failed(address: &str, method: &str, error: &tonic::transport::Error) -> Status {
    let why = root(error);
    if is_unreached(error) {
        return unreachable(address, method, &why);
    }
    let text = format!(
        "the connection to {address} broke during {method}: {why}; it may have taken effect"
    );
    with_source(Edge::ConnectionLost.status(text), Unanswered::Lost)
}

fn with_source(mut status: Status, why: Unanswered) -> Status {
    status.set_source(Arc::new(why));
    status
}

/// The innermost cause.
pub(super) fn root(error: &(dyn StdError + 'static)) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

fn is_unreached(error: &tonic::transport::Error) -> bool {
    is_of::<ConnectError>(error)
}

/// Whether nobody has begun on the call: there was no connection; it was closed before the request
/// was put on it; or the server refused the stream, or said GOAWAY without having taken it up (RFC
/// 9113, 6.8 and 8.7).
pub(super) fn is_untouched(error: &tonic::transport::Error) -> bool {
    let refused = |error: &h2::Error| {
        error.is_remote()
            && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    };
    is_unreached(error)
        || causes(error).any(|cause| {
            cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
                || cause.downcast_ref::<h2::Error>().is_some_and(refused)
        })
}

pub(super) fn is_timeout(error: &tonic::transport::Error) -> bool {
    is_of::<TimeoutExpired>(error)
}

fn is_of<E: StdError + 'static>(error: &tonic::transport::Error) -> bool {
    causes(error).any(<dyn StdError + 'static>::is::<E>)
}

fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(error.source(), |&cause| cause.source())
}
