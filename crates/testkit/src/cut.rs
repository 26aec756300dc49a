//! A way to a server that can be cut: everything on it breaks, and nothing gets through until it is mended. Or it swallows: what is
//! on it stays open, and neither end hears of the other any more.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncRead, copy, copy_bidirectional, sink},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// The way. Dropped, it is gone.
#[derive(Debug)]
pub struct Way {
    /// Where it begins.
    pub address: SocketAddr,
    state: Arc<watch::Sender<State>>,
    carrying: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    open: bool,
    /// How often it has swallowed what was on it.
    swallowed: u64,
}

impl Way {
    /// An open way to `host:port`.
    ///
    /// # Errors
    /// No free port.
    pub async fn to(server: String) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no free port")?;
        let address = listener.local_addr()?;
        let state = Arc::new(watch::Sender::new(State { open: true, swallowed: 0 }));
        let carrying = tokio::spawn(carry(listener, server, state.subscribe()));
        Ok(Self { address, state, carrying })
    }

    /// Breaks what is on it. Whoever comes from now on is turned away.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.open = false);
    }

    /// Lets through again.
    pub fn mend(&self) {
        self.state.send_modify(|state| state.open = true);
    }

    /// From now on nothing gets through on what is on it, in neither direction, not even an end, as if the other host were lost.
    /// Whoever comes later gets through.
    pub fn swallow(&self) {
        self.state.send_modify(|state| state.swallowed += 1);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.cut();
        self.carrying.abort();
    }
}

async fn carry(listener: TcpListener, server: String, state: watch::Receiver<State>) {
    while let Ok((caller, _)) = listener.accept().await {
        let (server, mut state) = (server.clone(), state.clone());
        let begun = *state.borrow_and_update();
        if !begun.open {
            continue;
        }
        tokio::spawn(async move {
            let Ok(there) = TcpStream::connect(server).await else { return };
            let mut swallows = state.clone();
            let swallowed = async move {
                // It is gone: so is the connection, by its being cut.
                let _ = swallows.wait_for(|now| now.swallowed > begun.swallowed).await;
            };
            tokio::select! {
                // Whichever ended it, both ends are closed.
                () = join(caller, there, swallowed) => {}
                _ = state.wait_for(|now| !now.open) => {}
            }
        });
    }
}

/// Ends when one of them ends it, unless it was swallowed: then it never ends.
async fn join(mut caller: TcpStream, mut there: TcpStream, swallowed: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = swallowed => {}
        _ = copy_bidirectional(&mut caller, &mut there) => return,
    }
    tokio::join!(vanish(&mut caller), vanish(&mut there));
    std::future::pending::<()>().await;
}

async fn vanish(mut sent: impl AsyncRead + Unpin) {
    // However it ends, the other end does not hear of it.
    let _ = copy(&mut sent, &mut sink()).await;
}
