//! One call, and the span that tells of it.

use std::time::Duration;

use tracing::{Span, info_span};

use super::peer::Peer;

/// What a call is, besides its request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: String,
    /// On the time until its answer begins.
    pub(super) bound: Duration,
    pub(super) span: Span,
}

/// Opens the span of a call to whom is not known yet; see [`record`].
pub(super) fn open_span(method: &str) -> Span {
    info_span!(
        "rpc.client",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = tracing::field::Empty,
        error.type = tracing::field::Empty,
        server.address = tracing::field::Empty,
        server.port = tracing::field::Empty,
    )
}

/// Says in the span who is called. Once only: a span keeps each value that it is told.
pub(super) fn record(span: &Span, peer: &Peer) {
    span.record("server.address", peer.host.as_str());
    span.record("server.port", peer.port);
}

/// Who has the call. Dropped, it says so in the span: also of a call that is given up.
#[derive(Debug)]
pub(super) struct Callee<'a> {
    span: &'a Span,
    peer: Option<&'a Peer>,
}

// === impl Callee ===

impl<'a> Callee<'a> {
    pub(super) fn none(span: &'a Span) -> Self {
        Self { span, peer: None }
    }

    pub(super) fn set(&mut self, peer: Option<&'a Peer>) {
        self.peer = peer;
    }

    pub(super) fn peer(&self) -> Option<&'a Peer> {
        self.peer
    }
}

impl Drop for Callee<'_> {
    fn drop(&mut self) {
        if let Some(peer) = self.peer {
            record(self.span, peer);
        }
    }
}
