//! The simulated network under real servers and clients.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use salvor_net::{Accepted, Connection, Listener, Network, Shared};
use turmoil::net::{TcpListener, TcpStream};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Simulated;

/// A simulated port.
struct Port(TcpListener);

/// The simulated network, for whoever takes one.
pub(crate) fn network() -> Shared {
    Arc::new(Simulated)
}

/// Listens on every address of the simulated host at hand.
///
/// # Errors
/// The port is taken.
pub(crate) async fn listen(port: u16) -> io::Result<Box<dyn Listener>> {
    Simulated.bind(any(port)).await
}

/// A port on every address of a host.
pub(crate) fn any(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
}

impl Network for Simulated {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Connection>> {
        async move { Ok(Box::new(TcpStream::connect((host, port)).await?) as Connection) }.boxed()
    }

    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        async move { Ok(Box::new(Port(TcpListener::bind(address).await?)) as Box<dyn Listener>) }
            .boxed()
    }
}

impl Listener for Port {
    fn accept(&self) -> BoxFuture<'_, io::Result<Accepted>> {
        async move {
            let (stream, peer) = self.0.accept().await?;
            Ok((Box::new(stream) as Connection, peer))
        }
        .boxed()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
