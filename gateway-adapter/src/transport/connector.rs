//! Making one connection: TCP, then TLS where the endpoint says so, each within one bound.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use salvor_net::Connection;
use tokio::io::AsyncReadExt;
use tower::Service;

use crate::gateway::Way;

use super::{Credentials, TlsError, tls::ClientTls};

/// How long a server gets to refuse a client after the handshake.
const REFUSAL: Duration = Duration::from_millis(500);

/// Where a gateway listens, and how it is spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    host: String,
    pub(super) port: u16,
    pub(super) tls: Option<ClientTls>,
    timeout: Duration,
    network: salvor_net::Shared,
}

/// Makes HTTP/2 connections for a channel, and counts them.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    target: Target,
    made: Arc<AtomicU64>,
}

/// Any error.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

// === impl Target ===

impl Target {
    /// `None` if the endpoint has no scheme `http` or `https`, or no host.
    pub(super) fn new(
        uri: &Uri,
        credentials: &Credentials,
        way: &Way,
    ) -> Result<Option<Self>, TlsError> {
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Ok(None),
        };
        let Some(host) = uri.host().filter(|host| !host.is_empty()) else {
            return Ok(None);
        };
        let tls = credentials.tls()?;
        match (secure, &tls) {
            (true, None) => return Err(TlsError::NoAuthority),
            (false, Some(_)) => return Err(TlsError::Plaintext),
            _ => {}
        }
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let (timeout, network) = (way.limits.connect, way.network.clone());
        Ok(Some(Self { host, port, tls, timeout, network }))
    }

    /// The host as it stands in an address.
    pub(super) fn host_text(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    pub(super) fn connector(&self, made: Arc<AtomicU64>) -> Connector {
        Connector { target: self.clone(), made }
    }

    /// Connects, offering `protocol`. Bounded; safe to cancel.
    pub(super) async fn connect(&self, protocol: &[u8]) -> Result<Connection, BoxError> {
        let connecting = self.network.connect(&self.host, self.port);
        let connecting = tokio::time::timeout(self.timeout, connecting);
        let Ok(stream) = connecting.await else {
            let text = format!("no connection within {} ms", self.timeout.as_millis());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text).into());
        };
        let stream = stream?;
        let Some(tls) = &self.tls else {
            return Ok(stream);
        };
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| TlsError::Handshake("the host is no server name".into()))?;
        let handshake = tls.connector(protocol).connect(name, stream);
        match tokio::time::timeout(self.timeout, handshake).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            // The peer went away in the handshake: nothing of TLS is known to be wrong.
            Ok(Err(error)) if error.get_ref().is_none() => Err(error.into()),
            Ok(Err(error)) => Err(TlsError::Handshake(error.to_string()).into()),
            Err(_) => Err(TlsError::Timeout.into()),
        }
    }

    /// See [`super::Transport::refusal`]. Writes nothing, so that no reset can hide the alert.
    pub(super) async fn refusal(&self) -> Option<TlsError> {
        self.tls.as_ref()?;
        let mut stream = match self.connect(b"h2").await {
            Ok(stream) => stream,
            Err(error) => return error.downcast::<TlsError>().ok().map(|error| *error),
        };
        let mut first = [0_u8];
        match tokio::time::timeout(REFUSAL, stream.read(&mut first)).await {
            Ok(Err(error)) if error.get_ref().is_some() => {
                Some(TlsError::Handshake(error.to_string()))
            }
            _ => None,
        }
    }
}

// === impl Connector ===

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { target, made } = self.clone();
        Box::pin(async move {
            let stream = target.connect(b"h2").await?;
            made.fetch_add(1, Ordering::AcqRel);
            Ok(TokioIo::new(stream))
        })
    }
}
