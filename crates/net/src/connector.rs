//! A network as gRPC channels want it.

use std::io;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use tower::Service;

use crate::{Connection, Shared};

/// Connects to the host and port of an address, by default port 80 or 443 as its scheme says.
#[derive(Debug, Clone)]
pub struct Connector(pub Shared);

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<TokioIo<Connection>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let network = Shared::clone(&self.0);
        async move {
            let host = uri.host().ok_or(io::ErrorKind::InvalidInput)?.trim_matches(['[', ']']);
            let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
            let stream = network.connect(host, uri.port_u16().unwrap_or(default)).await?;
            Ok(TokioIo::new(stream))
        }
        .boxed()
    }
}
