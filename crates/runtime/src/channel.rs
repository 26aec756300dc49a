//! Calling another service: a channel that opens a client span and carries the trace context.
//!
//! Invariant: every call has a bound on the time until its answer begins, and one span.
//! Deliberately absent: retries. A failed call may have taken effect; only its caller can tell.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{ConnectError, Status, TimeoutExpired};
use tower::Service;
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::rpc::{Edge, Outcome, RecordedBody, Side, caller_timeout, inject};
use crate::tls::ClientTls;

/// Why no channel can be made. A server that is away is not one of the reasons: calls then answer
/// `UNAVAILABLE` until it is back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not `http://host:port` or `https://host:port`.
    #[error("{0:?} is not an address like http://127.0.0.1:7301 or https://host:7301")]
    Address(String),
    /// TLS files were given for a plaintext address, or the other way round.
    #[error("{address:?} and its TLS files contradict each other: {problem}")]
    Scheme {
        /// The address.
        address: String,
        /// What does not fit.
        problem: &'static str,
    },
    /// The TLS library refuses the material.
    #[error("cannot use the TLS files for {address:?}")]
    Tls {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
}

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

/// Why a call through a [`TracedChannel`] has no answer; none if the status *is* the peer's answer.
pub fn unanswered(status: &Status) -> Option<Unanswered> {
    status.source()?.downcast_ref().copied()
}

/// Whom to call, and with what bounds.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `http://host:port`, or `https://host:port` with [`tls`](Self::tls).
    pub address: String,
    /// Whom to trust and what to prove oneself with; needs an `https` address.
    pub tls: Option<ClientTls>,
    /// Bound on one attempt to connect.
    pub connect_timeout: Duration,
    /// Bound on the time until an answer begins, for calls that set none themselves
    /// ([`tonic::Request::set_timeout`], which may be longer or shorter). A unary call is bounded
    /// as a whole; a stream may go on for as long as it likes once it has begun.
    pub timeout: Duration,
    /// By which way.
    pub network: salvor_net::Shared,
}

impl Endpoint {
    /// An endpoint with a connect timeout of 3 s and a call timeout of 30 s.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            tls: None,
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(30),
            network: salvor_net::host(),
        }
    }

    /// Uses TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<ClientTls>) -> Self {
        self.tls = tls;
        self
    }

    /// Goes by another network than the host's.
    #[must_use]
    pub fn over(mut self, network: salvor_net::Shared) -> Self {
        self.network = network;
        self
    }

    /// Sets the default bound on calls.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// A channel that connects at its first call and again whenever it has to.
///
/// # Errors
/// [`Error`] if the address or the TLS material cannot be used. Must be called inside a tokio
/// runtime.
pub fn connect_lazy(endpoint: &Endpoint) -> Result<TracedChannel, Error> {
    let Endpoint { address, tls, connect_timeout, timeout, network } = endpoint.clone();
    let uri: Uri = address.parse().map_err(|_| Error::Address(address.clone()))?;
    let secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(Error::Address(address)),
    };
    let Some(host) = uri.host().map(str::to_owned) else {
        return Err(Error::Address(address));
    };
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let mut transport = Channel::builder(uri)
        .connect_timeout(connect_timeout)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    match (secure, tls) {
        (true, Some(tls)) => {
            transport = transport
                .tls_config(tls.config())
                .map_err(|source| Error::Tls { address: address.clone(), source })?;
        }
        (false, None) => {}
        (true, None) => {
            return Err(Error::Scheme { address, problem: "https needs a server CA" });
        }
        (false, Some(_)) => {
            return Err(Error::Scheme { address, problem: "TLS needs https" });
        }
    }
    let peer = Arc::new(Peer { address, host, port, timeout });
    Ok(TracedChannel {
        inner: transport.connect_with_connector_lazy(salvor_net::Connector(network)),
        peer,
    })
}

#[derive(Debug)]
struct Peer {
    address: String,
    host: String,
    port: u16,
    timeout: Duration,
}

/// What generated clients are built on: `FooClient::new(channel)`. Clones share one connection.
#[derive(Clone, Debug)]
pub struct TracedChannel {
    inner: Channel,
    peer: Arc<Peer>,
}

impl TracedChannel {
    /// The address it calls, as configured.
    pub fn address(&self) -> &str {
        &self.peer.address
    }
}

impl Service<Request<Body>> for TracedChannel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(context).map_err(|error| Status::from_error(error.into()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let peer = Arc::clone(&self.peer);
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let span = open_span(&method, &peer);
        inject(&span.context(), request.headers_mut());
        let bound = caller_timeout(request.headers()).unwrap_or(peer.timeout);
        let mut outcome = Outcome::new(span.clone(), Side::Client, method.clone(), Some(bound));
        let called = self.inner.call(request);
        let work = async move {
            let answered = tokio::time::timeout(bound, called).await;
            let status = match answered {
                Ok(Ok(response)) => {
                    let (parts, body) = response.into_parts();
                    outcome.observe(&parts.headers);
                    return Ok(Response::from_parts(parts, RecordedBody::wrap(body, outcome)));
                }
                Ok(Err(error)) if !is_timeout(&error) => failed(&peer, &method, &error),
                Ok(Err(_)) | Err(_) => overdue(&peer, &method, bound),
            };
            outcome.finish(status.code());
            Err(status)
        };
        Box::pin(work.instrument(span))
    }
}

fn open_span(method: &str, peer: &Peer) -> Span {
    info_span!(
        "rpc.client",
        otel.name = method,
        otel.kind = "client",
        otel.status_code = tracing::field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = tracing::field::Empty,
        error.type = tracing::field::Empty,
        server.address = peer.host,
        server.port = peer.port,
    )
}

fn overdue(peer: &Peer, method: &str, bound: Duration) -> Status {
    let text = format!(
        "no answer from {} to {method} within {} ms; it may have taken effect",
        peer.address,
        bound.as_millis()
    );
    with_source(Edge::Overdue.status(text), Unanswered::Overdue)
}

/// Says whom the failed call was for, which the transport's own text leaves out.
fn failed(peer: &Peer, method: &str, error: &tonic::transport::Error) -> Status {
    let causes = causes(error);
    let unreached = causes.iter().any(|cause| cause.is::<ConnectError>());
    let why = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
    let address = &peer.address;
    if unreached {
        let text = format!("cannot reach {address} for {method}: {why}; nothing was sent");
        with_source(Edge::Unreachable.status(text), Unanswered::NotSent)
    } else {
        let text = format!(
            "the connection to {address} broke during {method}: {why}; it may have taken effect"
        );
        with_source(Edge::ConnectionLost.status(text), Unanswered::Lost)
    }
}

fn with_source(mut status: Status, why: Unanswered) -> Status {
    status.set_source(Arc::new(why));
    status
}

fn is_timeout(error: &tonic::transport::Error) -> bool {
    causes(error).iter().any(|cause| cause.is::<TimeoutExpired>())
}

fn causes(error: &tonic::transport::Error) -> Vec<&(dyn std::error::Error + 'static)> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause);
        next = cause.source();
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unusable_address_is_refused_with_an_example() {
        for address in ["", "127.0.0.1:7301", "ftp://host:1", "/path", "http://"] {
            let error = connect_lazy(&Endpoint::new(address)).unwrap_err();
            assert!(error.to_string().contains("http://127.0.0.1:7301"), "{address}: {error}");
        }
        let error = connect_lazy(&Endpoint::new("https://host:1")).unwrap_err();
        assert!(matches!(error, Error::Scheme { .. }));
        let mixed = Endpoint::new("http://host:1").with_tls(Some(ClientTls::default()));
        assert!(matches!(connect_lazy(&mixed), Err(Error::Scheme { .. })));
    }
}
