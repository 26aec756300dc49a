//! One connection to one replica, from its opening to its end.
//!
//! Invariant: a connection counts as open once the other side has said something on it. The kernel
//! of a host takes connections for a process that is stopped or overloaded; what is sent to it then
//! lies there, and may be done much later. Deliberately absent: opening it again, which tonic would
//! do by itself and without that proof. A second connect of the same line fails.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use salvor_net::{Connection, Listener, Network, Shared};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint};

use super::failure::root;

/// How to open one.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) transport: Endpoint,
    pub(super) network: Shared,
    /// For all of it: TCP, TLS, and the first word.
    pub(super) timeout: Duration,
}

/// An open connection.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) channel: Channel,
    /// Cancelled when it takes no more calls: by its end, or by a caller that was refused on it.
    /// Calls that are open on it are not affected.
    pub(super) ended: CancellationToken,
}

impl Target {
    /// Opens one, or says why not.
    pub(super) async fn open(&self) -> Result<Line, String> {
        let (heard, ended) = (CancellationToken::new(), CancellationToken::new());
        let ends = (heard.clone(), ended.clone().drop_guard());
        let once = Once { network: Shared::clone(&self.network), ends: Mutex::new(Some(ends)) };
        let opening = async {
            let connector = salvor_net::Connector(Arc::new(once));
            let channel = self.transport.connect_with_connector(connector).await;
            let channel = channel.map_err(|error| root(&error))?;
            tokio::select! {
                biased;
                () = heard.cancelled() => Ok(Line { channel, ended: ended.clone() }),
                () = ended.cancelled() => Err("it closed the connection at once".to_owned()),
            }
        };
        let late = || format!("it did not answer within {} ms", self.timeout.as_millis());
        tokio::time::timeout(self.timeout, opening).await.unwrap_or_else(|_| Err(late()))
    }
}

/// What a stream tells of itself: its first bytes, and (when dropped) its end.
type Ends = (CancellationToken, DropGuard);

/// A network that connects once.
#[derive(Debug)]
struct Once {
    network: Shared,
    ends: Mutex<Option<Ends>>,
}

impl Network for Once {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Connection>> {
        async move {
            let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner).take();
            let (heard, ended) = ends.ok_or_else(|| {
                io::Error::new(io::ErrorKind::NotConnected, "its connection ended")
            })?;
            let stream = self.network.connect(host, port).await?;
            Ok(Box::new(Listening { stream, heard, _ended: ended }) as Connection)
        }
        .boxed()
    }

    fn bind(&self, address: std::net::SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        self.network.bind(address)
    }
}

struct Listening {
    stream: Connection,
    heard: CancellationToken,
    _ended: DropGuard,
}

impl AsyncRead for Listening {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before && !self.heard.is_cancelled() {
            self.heard.cancel();
        }
        polled
    }
}

impl AsyncWrite for Listening {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
