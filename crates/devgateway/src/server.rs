//! The primary port: gRPC and the well-known documents on one listener, with or without TLS.
//!
//! It can be taken down and brought up again on the same address, as a gateway's restart does:
//! while it is down connections are refused, and those that were open are cut.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use salvor_net::{Connection, Listener, Stream};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tower::ServiceExt as _;
use uuid::Uuid;

use salvor_openshell_wire::v0_0::open_shell_server::OpenShellServer as V00;
use salvor_openshell_wire::v0_1::open_shell_server::OpenShellServer as V01;

use crate::calls::Intent;
use crate::config::{Dialect, Identity};
use crate::core::Core;
use crate::dialect::{v0_0, v0_1};
use crate::refusal::{Outcome, Refusal};
use crate::tls;

/// The gRPC path prefix of both dialects.
const PREFIX: &str = "/openshell.v1.OpenShell/";
const KEEPALIVE: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a freed port is tried again when somebody else has it.
const REBIND: Duration = Duration::from_secs(5);

/// The primary port.
pub(crate) struct Front {
    core: Arc<Core>,
    routes: Routes,
    acceptor: Option<TlsAcceptor>,
    addr: SocketAddr,
    listening: tokio::sync::Mutex<Option<Listening>>,
}

struct Listening {
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Clone)]
enum Routes {
    V0_0(V00<v0_0::Gateway>),
    V0_1(V01<v0_1::Gateway>),
}

// === impl Front ===

impl Front {
    /// Binds the configured address and serves.
    pub(crate) async fn open(core: Arc<Core>) -> Result<Arc<Self>, crate::gateway::Error> {
        let config = core.config();
        let acceptor = config.auth.tls().map(tls::acceptor).transpose()?;
        let address = config.listen;
        let bind = |source| crate::gateway::Error::Listen { address, source };
        let listener = config.network.bind(address).await.map_err(bind)?;
        let addr = listener.local_addr().map_err(bind)?;
        let routes = match config.dialect {
            Dialect::V0_0 => Routes::V0_0(v0_0::server(Arc::clone(&core))),
            Dialect::V0_1 => Routes::V0_1(v0_1::server(Arc::clone(&core))),
        };
        let listening = tokio::sync::Mutex::new(None);
        let front = Arc::new(Self { core, routes, acceptor, addr, listening });
        *front.listening.lock().await = Some(front.listen(listener));
        Ok(front)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops listening and cuts every connection; returns when they are gone.
    pub(crate) async fn down(&self) {
        if let Some(listening) = self.listening.lock().await.take() {
            listening.stop.cancel();
            listening.tasks.close();
            listening.tasks.wait().await;
        }
    }

    /// Listens again on the same address. Already up: nothing happens.
    pub(crate) async fn up(self: &Arc<Self>) -> io::Result<()> {
        let mut listening = self.listening.lock().await;
        if listening.is_some() {
            return Ok(());
        }
        let deadline = tokio::time::Instant::now() + REBIND;
        let listener = loop {
            match self.core.config().network.bind(self.addr).await {
                Ok(listener) => break listener,
                Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        *listening = Some(self.listen(listener));
        Ok(())
    }

    /// Cuts everything at once, without waiting.
    pub(crate) fn cut(&self) {
        if let Ok(mut listening) = self.listening.try_lock()
            && let Some(listening) = listening.take()
        {
            listening.stop.cancel();
        }
    }

    fn listen(self: &Arc<Self>, listener: Box<dyn Listener>) -> Listening {
        let listening = Listening { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        let (front, stop, tasks) =
            (Arc::clone(self), listening.stop.clone(), listening.tasks.clone());
        listening.tasks.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                // A failed accept concerns one connection, or a shortage that passes.
                let Ok((stream, _)) = accepted else { continue };
                let (front, stop) = (Arc::clone(&front), stop.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = front.connection(stream) => {}
                    }
                });
            }
        });
        listening
    }

    async fn connection(self: Arc<Self>, stream: Connection) {
        let Some(acceptor) = self.acceptor.clone() else {
            return self.http(stream, true).await;
        };
        let mut stream = BufReader::new(stream);
        let Ok(&[first, ..]) = stream.fill_buf().await else { return };
        // The first byte of a TLS handshake. Anything else meets the plaintext service router.
        if first != 0x16 {
            return self.http(stream, false).await;
        }
        match acceptor.accept(stream).await {
            Ok(stream) => self.http(stream, true).await,
            Err(error) => tracing::debug!(%error, "TLS handshake failed"),
        }
    }

    async fn http(self: Arc<Self>, stream: impl Stream, grpc: bool) {
        let service = tower::service_fn(move |request| {
            let front = Arc::clone(&self);
            async move {
                let response =
                    if grpc { front.answer(request).await } else { bare(StatusCode::NOT_FOUND) };
                Ok::<_, Infallible>(response)
            }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        let served =
            builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
        if let Err(error) = served {
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn answer(&self, request: http::Request<Incoming>) -> http::Response<Body> {
        let path = request.uri().path().to_owned();
        let mut response = if let Some(method) = path.strip_prefix(PREFIX) {
            match self.admit(method, &request) {
                Ok(()) if self.core.faults.twice(method) => self.twice(request).await,
                Ok(()) => self.routes.clone().call(request.map(Body::new)).await,
                Err(refusal) => refusal.status(self.core.config().dialect).into_http(),
            }
        } else if is_grpc(&request) {
            tonic::Status::unimplemented("").into_http()
        } else if request.method() == Method::GET {
            self.well_known(&path).unwrap_or_else(|| bare(StatusCode::NOT_FOUND))
        } else {
            bare(StatusCode::NOT_FOUND)
        };
        if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
            response.headers_mut().insert("x-request-id", id);
        }
        response
    }

    /// Serves a request, and the same again; answers as the second time.
    async fn twice(&self, request: http::Request<Incoming>) -> http::Response<Body> {
        let (head, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return tonic::Status::internal(error.to_string()).into_http(),
        };
        let again = || Body::new(Full::new(body.clone()));
        let first = http::Request::from_parts(head.clone(), again());
        drop(self.routes.clone().call(first).await);
        self.routes.clone().call(http::Request::from_parts(head, again())).await
    }

    /// Rate and credentials, before anything of the message is read.
    fn admit(&self, method: &str, request: &http::Request<Incoming>) -> Outcome<()> {
        let admitted = self.core.check_rate().and_then(|()| self.authorize(method, request));
        if let Err(refusal) = &admitted {
            let intent = Intent { method: method.to_owned(), ..Intent::default() };
            let metadata = MetadataMap::from_headers(request.headers().clone());
            let seq = self.core.calls.arrived(intent, &metadata);
            self.core.calls.answered(seq, refusal.code);
        }
        admitted
    }

    fn authorize(&self, method: &str, request: &http::Request<Incoming>) -> Outcome<()> {
        let Some(token) = self.core.config().auth.token() else { return Ok(()) };
        if method == "Health" {
            return Ok(());
        }
        let refused = |text: &str| Err(Refusal::new(tonic::Code::Unauthenticated, text));
        let header = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        match header.and_then(|value| value.strip_prefix("Bearer ")) {
            None => refused("missing authorization header"),
            Some(given) if given == token => Ok(()),
            Some(_) => refused("invalid token"),
        }
    }

    fn well_known(&self, path: &str) -> Option<http::Response<Body>> {
        let Identity { gateway_id, kid } = self.core.config().identity.as_ref()?;
        let scheme = if self.acceptor.is_some() { "https" } else { "http" };
        let document = match path {
            "/.well-known/openid-configuration" => serde_json::json!({
                "issuer": format!("openshell-gateway:{gateway_id}"),
                "jwks_uri": format!("{scheme}://{}/.well-known/jwks.json", self.addr),
                "id_token_signing_alg_values_supported": ["EdDSA"],
            }),
            "/.well-known/jwks.json" => serde_json::json!({
                "keys": [{ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig",
                           "kid": kid }],
            }),
            _ => return None,
        };
        let body = Full::new(Bytes::from(document.to_string()));
        let mut response = http::Response::new(Body::new(body));
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        Some(response)
    }
}

// === impl Routes ===

impl Routes {
    async fn call(self, request: http::Request<Body>) -> http::Response<Body> {
        let served = match self {
            Self::V0_0(service) => service.oneshot(request).await,
            Self::V0_1(service) => service.oneshot(request).await,
        };
        match served {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

fn is_grpc(request: &http::Request<Incoming>) -> bool {
    let kind = request.headers().get(http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn bare(status: StatusCode) -> http::Response<Body> {
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
