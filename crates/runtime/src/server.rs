//! Serving gRPC: limits, TLS, health, reflection, spans and an orderly end.
//!
//! Invariant: a server never listens in plaintext beyond loopback unless told so by name, and
//! [`Server::run`] ends within its drain time after the shutdown. The caller owns listener and
//! shutdown. Deliberately absent: authorisation, which is each service's own.

mod exposure;
mod incoming;
mod methods;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use salvor_net::Listener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, HealthService};
use tower::Service;

use crate::rpc::{Admission, RpcLayer};
use crate::tls::ServerTls;

pub use exposure::{Security, check_exposure};
pub(crate) use methods::Methods;

/// What every server serves.
const BUILTIN: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Why a server does not start, or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address can be reached from other hosts, and callers would not be authenticated.
    #[error(
        "refusing to listen on {address} without mutual TLS: other hosts could call it. Listen on \
         127.0.0.1, or give --tls-cert, --tls-key and --tls-client-ca; to do it all the same, give \
         --insecure-plaintext-beyond-loopback"
    )]
    Exposed {
        /// The address asked for.
        address: std::net::SocketAddr,
    },
    /// The listener has no address.
    #[error("cannot tell which address the server listens on")]
    Listener(#[source] std::io::Error),
    /// A descriptor set for reflection is broken.
    #[error("a protobuf descriptor set cannot be served for reflection: {0}")]
    Descriptors(String),
    /// The TLS library refuses certificate or key.
    #[error("cannot use the TLS certificate and key (do they belong together?)")]
    Tls(#[source] tonic::transport::Error),
    /// Serving failed.
    #[error("serving failed")]
    Serve(#[source] tonic::transport::Error),
}

/// Bounds on what callers may ask of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message accepted, in bytes. Applied through [`Server::service_with`].
    pub decode_bytes: usize,
    /// Largest message sent, in bytes. Applied through [`Server::service_with`].
    pub encode_bytes: usize,
    /// Calls in flight over all connections; more are answered `RESOURCE_EXHAUSTED`. A stream
    /// counts until it has begun.
    pub in_flight: usize,
    /// Connections at a time; more wait until one ends.
    pub connections: usize,
    /// Calls and open streams on one connection; HTTP/2 makes the caller wait beyond it.
    pub per_connection: u32,
    /// Time until an answer begins, for callers that ask for no shorter one.
    pub timeout: Duration,
    /// Time that open calls get to end after the shutdown.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            decode_bytes: 4 << 20,
            encode_bytes: 16 << 20,
            in_flight: 1_024,
            connections: 1_000,
            per_connection: 512,
            timeout: Duration::from_mins(2),
            drain: Duration::from_secs(10),
        }
    }
}

/// A gRPC server in the making.
#[derive(Debug)]
pub struct Server {
    limits: Limits,
    routes: Routes,
    methods: Methods,
    descriptors: Vec<&'static [u8]>,
    tls: Option<ServerTls>,
    insecure: bool,
    health: HealthReporter,
    draining: CancellationToken,
}

impl Server {
    /// A server with health and reflection and nothing else yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            routes: Routes::default(),
            methods: Methods::default(),
            descriptors: Vec::new(),
            tls: None,
            insecure: false,
            health: HealthReporter::new(),
            draining: CancellationToken::new(),
        }
    }

    /// Serves TLS, mutual if the material has a client CA.
    #[must_use]
    pub fn tls(mut self, tls: Option<ServerTls>) -> Self {
        self.tls = tls;
        self
    }

    /// Permits an address beyond loopback without mutual TLS.
    #[must_use]
    pub fn insecure_plaintext_beyond_loopback(mut self, permitted: bool) -> Self {
        self.insecure = permitted;
        self
    }

    /// Adds an encoded `FileDescriptorSet` to what reflection answers.
    #[must_use]
    pub fn descriptors(mut self, encoded: &'static [u8]) -> Self {
        self.descriptors.push(encoded);
        self
    }

    /// Adds a service as it is. Health says SERVING for it from the start of
    /// [`run`](Self::run) to the start of the drain.
    #[must_use]
    pub fn service<S, B>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + NamedService,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.methods.serve(S::NAME);
        self.routes = self.routes.add_service(service);
        self
    }

    /// Adds the service that `make` builds from the limits, so that it can set its message sizes:
    /// `|limits| FooServer::new(foo).max_decoding_message_size(limits.decode_bytes)`.
    #[must_use]
    pub fn service_with<S, B>(self, make: impl FnOnce(&Limits) -> S) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + NamedService,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let service = make(&self.limits);
        self.service(service)
    }

    /// A handle to change what health says, for a service that cannot serve for now.
    pub fn health(&self) -> HealthReporter {
        self.health.clone()
    }

    /// Cancelled when the drain starts. Idle response streams are ended by the server itself.
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Serves until `shutdown` resolves, then drains: health turns to NOT_SERVING, no new
    /// connection is taken, idle streams end with `UNAVAILABLE`, open calls get
    /// [`Limits::drain`], and what is still open then is cut. Dropping the future stops accepting
    /// but leaves open connections to their callers.
    ///
    /// # Errors
    /// [`Error`], before the first connection is accepted except for [`Error::Serve`].
    pub async fn run(
        self,
        listener: impl Listener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), Error> {
        let address = listener.local_addr().map_err(Error::Listener)?;
        let security = Security::of(self.tls.as_ref());
        check_exposure(address, security, self.insecure)?;
        let Self { limits, routes, mut methods, mut descriptors, tls, health, draining, .. } = self;
        descriptors.extend([
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
            // So that callers who know only reflection can read the details of an error.
            tonic_types::pb::FILE_DESCRIPTOR_SET,
        ]);
        let served: Vec<&'static str> = methods.services().collect();
        for service in served.iter().copied() {
            health.set_service_status(service, ServingStatus::Serving).await;
        }
        let routes = add_builtin(routes, &descriptors, &mut methods, health.clone())?;
        let admission = Admission {
            in_flight: Arc::new(Semaphore::new(limits.in_flight.min(Semaphore::MAX_PERMITS))),
            timeout: limits.timeout,
            draining: draining.clone(),
        };
        let transport = transport(limits, tls)?.layer(RpcLayer::new(admission, methods));
        let cut = CancellationToken::new();
        let stop = async {
            shutdown.await;
            for service in served.into_iter().chain([""]) {
                health.set_service_status(service, ServingStatus::NotServing).await;
            }
            draining.cancel();
        };
        tracing::info!(%address, ?security, "listening");
        let serving = transport.serve_with_incoming_shutdown(
            routes.prepare(),
            incoming::connections(listener, limits.connections, cut.clone()),
            stop,
        );
        let cutter = cut_after(draining.clone(), limits.drain, cut);
        tokio::pin!(serving);
        tokio::select! {
            served = &mut serving => served.map_err(Error::Serve),
            () = cutter => {
                tracing::warn!(%address, "calls were still open at the end of the drain and are cut");
                serving.await.map_err(Error::Serve)
            }
        }
    }
}

async fn cut_after(draining: CancellationToken, drain: Duration, cut: CancellationToken) {
    draining.cancelled().await;
    tokio::time::sleep(drain).await;
    cut.cancel();
}

fn transport(limits: Limits, tls: Option<ServerTls>) -> Result<tonic::transport::Server, Error> {
    let transport = tonic::transport::Server::builder()
        .max_concurrent_streams(limits.per_connection)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(15)))
        .http2_max_header_list_size(64 << 10);
    match tls {
        Some(tls) => transport.tls_config(tls.config()).map_err(Error::Tls),
        None => Ok(transport),
    }
}

fn add_builtin(
    routes: Routes,
    descriptors: &[&'static [u8]],
    methods: &mut Methods,
    health: HealthReporter,
) -> Result<Routes, Error> {
    let mut v1 = tonic_reflection::server::Builder::configure();
    let mut v1alpha = tonic_reflection::server::Builder::configure();
    // A descriptor set may describe services that are served elsewhere.
    let named: Vec<_> = methods.services().chain(BUILTIN).collect();
    for service in named {
        v1 = v1.with_service_name(service);
        v1alpha = v1alpha.with_service_name(service);
    }
    for encoded in descriptors.iter().copied() {
        methods.describe(encoded).map_err(|error| Error::Descriptors(error.to_string()))?;
        v1 = v1.register_encoded_file_descriptor_set(encoded);
        v1alpha = v1alpha.register_encoded_file_descriptor_set(encoded);
    }
    let broken = |error: tonic_reflection::server::Error| Error::Descriptors(error.to_string());
    let health = HealthService::from_health_reporter(health);
    for service in BUILTIN {
        methods.serve(service);
    }
    Ok(routes
        .add_service(tonic_health::pb::health_server::HealthServer::new(health))
        .add_service(v1.build_v1().map_err(broken)?)
        .add_service(v1alpha.build_v1alpha().map_err(broken)?))
}
