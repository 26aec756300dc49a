//! Connections to gateways: one HTTP/2 channel each, reused, with every failure typed.
//!
//! The adapter makes its own TLS connections so that it can tell a failed handshake from a gateway
//! that is away, and knows which authority signed the gateway's certificate. Invariant: no
//! connection attempt is unbounded, and no error or `Debug` shows a key or a token.
//! Deliberately absent: what is said over the connection.

mod connector;
mod credentials;
mod tls;
mod wellknown;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Uri;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::gateway::Way;

pub(crate) use connector::Target;
pub(crate) use credentials::{Credentials, FileStamp};
pub(crate) use tls::{ClientTls, Error as TlsError};
pub(crate) use wellknown::{Documents, Error as DocumentsError};

/// What generated clients are built on.
pub(crate) type Channeled = InterceptedService<Channel, Dress>;

/// Why no connection can even be tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The endpoint is not `http://host:port` or `https://host:port`.
    #[error("{0:?} is not an endpoint like https://127.0.0.1:8080")]
    Endpoint(String),
    /// Endpoint and credentials contradict each other, or a certificate file cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token file cannot be used.
    #[error("cannot use the token file {path}: {problem}")]
    Token {
        /// The file.
        path: String,
        /// What is wrong, without its content.
        problem: String,
    },
}

/// A gateway's connection: made at its first call, and again whenever it has to be.
#[derive(Debug)]
pub(crate) struct Transport {
    channel: Channeled,
    target: Target,
    made: Arc<AtomicU64>,
}

/// Puts the trace context and the token on each call.
#[derive(Clone)]
pub(crate) struct Dress {
    authorization: Option<MetadataValue<Ascii>>,
}

// === impl Transport ===

impl Transport {
    /// Sets a connection up without making it. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error`] if endpoint or credentials cannot be used; no text of it holds a secret.
    pub(crate) fn new(endpoint: &str, credentials: &Credentials, way: &Way) -> Result<Self, Error> {
        let malformed = || Error::Endpoint(endpoint.to_owned());
        let uri: Uri = endpoint.parse().map_err(|_| malformed())?;
        let target = Target::new(&uri, credentials, way)?.ok_or_else(malformed)?;
        let made = Arc::new(AtomicU64::new(0));
        // The connector does TLS itself, so tonic sees a plain address and the true origin.
        let plain = format!("http://{}:{}", target.host_text(), target.port);
        let plain: Uri = plain.parse().map_err(|_| malformed())?;
        let channel = Endpoint::from(plain)
            .origin(uri)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .connect_with_connector_lazy(target.connector(Arc::clone(&made)));
        let dress = Dress { authorization: credentials.authorization()? };
        Ok(Self { channel: InterceptedService::new(channel, dress), target, made })
    }

    /// What generated clients are built on.
    pub(crate) fn channel(&self) -> Channeled {
        self.channel.clone()
    }

    /// How many connections have been made so far: another number means that the peer may be
    /// another one too.
    pub(crate) fn connections(&self) -> u64 {
        self.made.load(Ordering::Acquire)
    }

    /// SHA-256 of the authority that signed the certificate of the last connection; `None`
    /// without TLS or before the first connection.
    pub(crate) fn authority(&self) -> Option<String> {
        self.target.tls.as_ref().and_then(ClientTls::accepted)
    }

    /// Reads the gateway's discovery documents over HTTP on the same port.
    pub(crate) async fn documents(&self) -> Result<Documents, DocumentsError> {
        wellknown::fetch(&self.target).await
    }

    /// Asks why a TLS connection broke right after its handshake. A TLS 1.3 server refuses a
    /// client's certificate only then, and the alert can be lost to the broken connection.
    pub(crate) async fn refusal(&self) -> Option<TlsError> {
        self.target.refusal().await
    }
}

// === impl Dress ===

impl Interceptor for Dress {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let traceparent = salvor_runtime::telemetry::current_traceparent();
        if let Some(value) = traceparent.and_then(|text| text.parse().ok()) {
            request.metadata_mut().insert("traceparent", value);
        }
        if let Some(token) = &self.authorization {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

impl fmt::Debug for Dress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dress").field("token", &self.authorization.is_some()).finish()
    }
}
