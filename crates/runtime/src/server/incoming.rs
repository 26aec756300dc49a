//! Accepted connections that can all be cut at once.
//!
//! The server library spawns each connection and leaves it alone; cutting its socket is the one way
//! to end a call that ignores the drain.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Stream, stream};
use salvor_net::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::{Connected, TcpConnectInfo};

pub(super) fn connections(
    listener: impl Listener,
    cut: CancellationToken,
) -> impl Stream<Item = io::Result<Connection>> {
    let local_addr = listener.local_addr().ok();
    stream::unfold(listener, move |listener| {
        let cut = Box::pin(cut.clone().cancelled_owned());
        async move {
            let accepted = listener.accept().await.map(|(stream, peer)| {
                let info = TcpConnectInfo { local_addr, remote_addr: Some(peer) };
                Connection { stream, info, cut }
            });
            Some((accepted, listener))
        }
    })
}

/// A connection whose reads and writes fail once it is cut.
pub(super) struct Connection {
    stream: salvor_net::Connection,
    info: TcpConnectInfo,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
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
