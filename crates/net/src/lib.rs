//! The network as a port, so that a simulation can put another one under real servers and clients.
//!
//! Invariant: whoever is given no [`Network`] uses the host's [`Tcp`]. Deliberately absent: TLS, bounds on time, and
//! anything above a stream of bytes.

mod connector;
mod tcp;

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

pub use connector::Connector;
pub use tcp::Tcp;

/// A connection: bytes both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A [`Stream`] of any network.
pub type Connection = Box<dyn Stream>;

/// What a [`Listener`] accepts: the connection, and who opened it.
pub type Accepted = (Connection, SocketAddr);

/// Makes and takes connections.
pub trait Network: Debug + Send + Sync {
    /// Connects to a name or address. Unbounded in time; dropping the future gives up.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Connection>>;

    /// Listens. Port 0 takes a free one.
    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;
}

/// Where connections come in.
pub trait Listener: Send + Sync + 'static {
    /// The next connection. Dropping the future loses none.
    fn accept(&self) -> BoxFuture<'_, io::Result<Accepted>>;

    /// Where it listens.
    ///
    /// # Errors
    /// The listener has no address.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// A [`Network`] that many share.
pub type Shared = Arc<dyn Network>;

/// The host's own network.
pub fn host() -> Shared {
    Arc::new(Tcp)
}

impl Listener for Box<dyn Listener> {
    fn accept(&self) -> BoxFuture<'_, io::Result<Accepted>> {
        (**self).accept()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        (**self).local_addr()
    }
}
