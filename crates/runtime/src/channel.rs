//! Calling another service: a channel that opens a client span and carries the trace context, and
//! that fails over between the replicas of a service.
//!
//! Invariant: every call has a bound on the time until its answer begins, and one span. A call goes
//! to a second replica only if the first one surely did nothing of it. Deliberately absent: any
//! other retry. A failed call may have taken effect; only its caller can tell, and sends it again
//! under the same request id. A stream that has begun and breaks is its caller's to open again.

mod call;
mod failure;
mod keeper;
mod line;
mod peer;
mod replicas;
mod sent;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{self, Channel};
use tower::Service;
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::rpc::{Outcome, RecordedBody, Side, caller_timeout, inject};
use crate::tls::ClientTls;

use self::call::{Call, open_span, record};
use self::failure::{failed, is_timeout, overdue};
use self::line::Target;
use self::peer::Peer;
use self::replicas::Replicas;

pub use self::failure::{Unanswered, unanswered};

/// Why no channel can be made. A server that is away is not one of the reasons: calls then answer
/// `UNAVAILABLE` until it is back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not `http://host:port` or `https://host:port`.
    #[error("{0:?} is not an address like http://127.0.0.1:7301 or https://host:7301")]
    Address(String),
    /// The list of addresses cannot be meant.
    #[error("{list:?} is not a list of the replicas of a service: {problem}")]
    Replicas {
        /// The list.
        list: String,
        /// What is wrong with it.
        problem: String,
    },
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
        source: transport::Error,
    },
}

/// Whom to call, and with what bounds.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `http://host:port`, or `https://host:port` with [`tls`](Self::tls); or up to 16 of them, all
    /// of one scheme, separated by commas: the replicas of one service.
    pub address: String,
    /// Whom to trust and what to prove oneself with; needs an `https` address.
    pub tls: Option<ClientTls>,
    /// Bound on one attempt to connect; with several addresses, up to the first byte of an answer.
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

/// How often a connection to one of several replicas is tried out, idle or not, and how long the
/// answer may take: after both its calls end as [`Unanswered::Lost`], and new ones go elsewhere.
const PROBE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(3));

/// A channel to one address connects at its first call and again whenever it has to. A channel to
/// several keeps a connection to each and spreads its calls over those that are up; if none is, a
/// call tries each once more before it fails.
///
/// # Errors
/// [`Error`] if an address, the list or the TLS material cannot be used. Must be called inside a
/// tokio runtime.
pub fn connect_lazy(endpoint: &Endpoint) -> Result<TracedChannel, Error> {
    let mut peers = peer::parse(&endpoint.address)?;
    let way = if peers.len() == 1 {
        let peer = peers.remove(0);
        let transport = transport(&peer, endpoint)?
            .connect_timeout(endpoint.connect_timeout)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        let connector = salvor_net::Connector(Arc::clone(&endpoint.network));
        Way::One(transport.connect_with_connector_lazy(connector), Arc::new(peer))
    } else {
        let targets = peers.into_iter().map(|peer| Ok((target(&peer, endpoint)?, peer)));
        Way::Replicas(Arc::new(Replicas::new(targets.collect::<Result<_, Error>>()?)))
    };
    Ok(TracedChannel { way, address: endpoint.address.as_str().into(), timeout: endpoint.timeout })
}

fn target(peer: &Peer, endpoint: &Endpoint) -> Result<Target, Error> {
    let transport = transport(peer, endpoint)?
        .http2_keep_alive_interval(PROBE.0)
        .keep_alive_timeout(PROBE.1)
        .keep_alive_while_idle(true);
    let network = Arc::clone(&endpoint.network);
    Ok(Target { transport, network, timeout: endpoint.connect_timeout })
}

fn transport(peer: &Peer, endpoint: &Endpoint) -> Result<transport::Endpoint, Error> {
    let transport = Channel::builder(peer.uri.clone());
    let address = peer.address.clone();
    match (peer.secure, endpoint.tls.clone()) {
        (true, Some(tls)) => {
            transport.tls_config(tls.config()).map_err(|source| Error::Tls { address, source })
        }
        (false, None) => Ok(transport),
        (true, None) => Err(Error::Scheme { address, problem: "https needs a server CA" }),
        (false, Some(_)) => Err(Error::Scheme { address, problem: "TLS needs https" }),
    }
}

/// What generated clients are built on: `FooClient::new(channel)`. Clones share their connections.
#[derive(Clone, Debug)]
pub struct TracedChannel {
    way: Way,
    address: Arc<str>,
    timeout: Duration,
}

#[derive(Clone, Debug)]
enum Way {
    One(Channel, Arc<Peer>),
    Replicas(Arc<Replicas>),
}

impl TracedChannel {
    /// The address it calls, or the list of them, as configured.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Service<Request<Body>> for TracedChannel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Status>> {
        match &mut self.way {
            Way::One(channel, _) => {
                channel.poll_ready(context).map_err(|error| Status::from_error(error.into()))
            }
            Way::Replicas(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let span = open_span(&method);
        inject(&span.context(), request.headers_mut());
        let bound = caller_timeout(request.headers()).unwrap_or(self.timeout);
        let mut outcome = Outcome::new(span.clone(), Side::Client, method.clone(), Some(bound));
        let call = Call { method, bound, span: span.clone() };
        let called = match &mut self.way {
            Way::One(channel, peer) => {
                record(&span, peer);
                one(channel.call(request), Arc::clone(peer), call).left_future()
            }
            Way::Replicas(replicas) => {
                let replicas = Arc::clone(replicas);
                async move { replicas.call(request, &call).await }.right_future()
            }
        };
        let work = async move {
            let response = called.await.inspect_err(|status| outcome.finish(status.code()))?;
            let (parts, body) = response.into_parts();
            outcome.observe(&parts.headers);
            Ok(Response::from_parts(parts, RecordedBody::wrap(body, outcome)))
        };
        Box::pin(work.instrument(span))
    }
}

async fn one(
    called: transport::channel::ResponseFuture,
    peer: Arc<Peer>,
    call: Call,
) -> Result<Response<Body>, Status> {
    match tokio::time::timeout(call.bound, called).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) if !is_timeout(&error) => Err(failed(&peer.address, &call.method, &error)),
        Ok(Err(_)) | Err(_) => Err(overdue(&peer.address, &call.method, call.bound)),
    }
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
