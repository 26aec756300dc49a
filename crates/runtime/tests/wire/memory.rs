//! A network of this process, whose hosts can be stopped: for tests whose time is paused.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use salvor_net::{Accepted, Connection, Listener, Network};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;

/// All hosts are ports of loopback.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    hosts: Arc<Mutex<BTreeMap<u16, Host>>>,
}

#[derive(Clone, Debug)]
struct Host {
    arrivals: mpsc::UnboundedSender<Connection>,
    stopped: Arc<AtomicBool>,
}

impl Memory {
    /// A host that is up.
    pub(crate) fn listen(&self, port: u16) -> Inbox {
        let (arrivals, arrived) = mpsc::unbounded_channel();
        let stopped = Arc::default();
        self.hosts.lock().unwrap().insert(port, Host { arrivals, stopped });
        Inbox { port, arrived: tokio::sync::Mutex::new(arrived) }
    }

    /// As SIGSTOP does: its connections stay, new ones are made, whatever is sent is taken, nothing
    /// is answered.
    pub(crate) fn stop(&self, port: u16) {
        self.hosts.lock().unwrap()[&port].stopped.store(true, Ordering::SeqCst);
    }

    /// As SIGCONT, for new connections.
    pub(crate) fn go_on(&self, port: u16) {
        self.hosts.lock().unwrap()[&port].stopped.store(false, Ordering::SeqCst);
    }
}

impl Network for Memory {
    fn connect<'a>(&'a self, _: &'a str, port: u16) -> BoxFuture<'a, io::Result<Connection>> {
        let host = self.hosts.lock().unwrap().get(&port).cloned();
        async move {
            let host = host.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (ours, theirs) = tokio::io::duplex(64 << 10);
            host.arrivals.send(Box::new(theirs)).map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(Box::new(Wire { stream: ours, stopped: host.stopped }) as Connection)
        }
        .boxed()
    }

    fn bind(&self, _: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        async { Err(io::ErrorKind::Unsupported.into()) }.boxed()
    }
}

/// Where connections to one host come in.
pub(crate) struct Inbox {
    port: u16,
    arrived: tokio::sync::Mutex<mpsc::UnboundedReceiver<Connection>>,
}

impl Listener for Inbox {
    fn accept(&self) -> BoxFuture<'_, io::Result<Accepted>> {
        async move {
            let next = self.arrived.lock().await.recv().await;
            Ok((next.ok_or(io::ErrorKind::NotConnected)?, self.local_addr()?))
        }
        .boxed()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], self.port)))
    }
}

struct Wire {
    stream: DuplexStream,
    stopped: Arc<AtomicBool>,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.stopped.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.stopped.load(Ordering::SeqCst) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
