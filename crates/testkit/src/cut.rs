//! A way to a server that can be cut: everything on it breaks, and nothing gets through until it is mended.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// The way. Dropped, it is gone.
#[derive(Debug)]
pub struct Way {
    /// Where it begins.
    pub address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
    carrying: JoinHandle<()>,
}

impl Way {
    /// An open way to `host:port`.
    ///
    /// # Errors
    /// No free port.
    pub async fn to(server: String) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free port")?;
        let address = listener.local_addr()?;
        let open = Arc::new(watch::Sender::new(true));
        let carrying = tokio::spawn(carry(listener, server, open.subscribe()));
        Ok(Self { address, open, carrying })
    }

    /// Breaks what is on it. Whoever comes from now on is turned away.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    /// Lets through again.
    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.cut();
        self.carrying.abort();
    }
}

async fn carry(listener: TcpListener, server: String, open: watch::Receiver<bool>) {
    while let Ok((mut caller, _)) = listener.accept().await {
        let (server, mut open) = (server.clone(), open.clone());
        if !*open.borrow_and_update() {
            continue;
        }
        tokio::spawn(async move {
            let Ok(mut there) = TcpStream::connect(server).await else { return };
            tokio::select! {
                // Whichever ended it, both ends are closed.
                _ = copy_bidirectional(&mut caller, &mut there) => {}
                _ = open.wait_for(|open| !open) => {}
            }
        });
    }
}
