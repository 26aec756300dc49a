//! Accepted connections: so many and no more, and all can be cut at once.
//!
//! The server library spawns each connection and leaves it alone; cutting its socket is the one way
//! to end a call that ignores the drain. A connection that cannot be accepted (the process has no
//! file descriptor left, above all) would end the server; here it is tried again.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, stream};
use salvor_net::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Between two attempts to accept where one failed: by then a descriptor may be free.
const AGAIN: Duration = Duration::from_millis(100);

/// At most `most` at a time; more wait in the kernel's queue until one ends.
pub(super) fn connections(
    listener: impl Listener,
    most: usize,
    cut: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> {
    let local_addr = listener.local_addr().ok();
    let places = Arc::new(Semaphore::new(most.max(1)));
    stream::unfold(listener, move |listener| {
        let (cut, places) = (Box::pin(cut.clone().cancelled_owned()), Arc::clone(&places));
        async move {
            let place = places.acquire_owned().await.ok()?;
            let (stream, peer) = accept(&listener).await;
            let info = TcpConnectInfo { local_addr, remote_addr: Some(peer) };
            Some((Ok(Connection { stream, info, cut, _place: place }), listener))
        }
    })
}

async fn accept(listener: &impl Listener) -> (salvor_net::Connection, SocketAddr) {
    let mut failed = false;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!(%error, "no connection can be accepted; it is tried again");
                }
                sleep(AGAIN).await;
            }
        }
    }
}

/// A connection whose reads and writes fail once it is cut.
pub(super) struct Connection {
    stream: salvor_net::Connection,
    info: TcpConnectInfo,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.info.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
