//! Starting and ending a development gateway.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::control::{Control, http};
use crate::core::Core;
use crate::driver::Driver;
use crate::server::Front;
use crate::world::World;

/// A development gateway that can be started.
#[derive(Debug, Clone, Copy)]
pub struct DevGateway;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory cannot be used, or a row in it is damaged.
    #[error("data directory {path} cannot be used")]
    Data {
        /// The configured directory.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// What sandboxes are to run in cannot be used.
    #[error("sandboxes cannot be run as configured")]
    Driver(#[source] io::Error),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What went wrong.
        source: io::Error,
    },
    /// The control endpoint would be reachable from other hosts.
    #[error("control address {0} is not loopback; the control endpoint has no authentication")]
    ControlNotLoopback(SocketAddr),
    /// A certificate or key cannot be used.
    #[error("TLS material cannot be used")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A gateway that runs until it is shut down or dropped.
///
/// Either way every process of every sandbox is killed. Rows and directories stay, and containers if they are to be kept
/// ([`crate::DockerDriver::keep`]); the next start on the same data directory brings the sandboxes back with their ids.
#[must_use = "a gateway ends when this is dropped"]
pub struct Running {
    control: Control,
    control_addr: Option<SocketAddr>,
    over: bool,
}

// === impl DevGateway ===

impl DevGateway {
    /// Starts a gateway: ends what an earlier one left running, brings its sandboxes back, and
    /// serves.
    ///
    /// # Errors
    ///
    /// [`Error`] says which of the settings cannot be used; then nothing is running.
    ///
    /// Cancelling the future stops the start halfway, with nothing listening.
    pub async fn start(config: Config) -> Result<Running, Error> {
        let control_at = config.control;
        if let Some(address) = control_at.filter(|address| !address.ip().is_loopback()) {
            return Err(Error::ControlNotLoopback(address));
        }
        let path = config.data_dir.clone();
        let driver = Driver::open(&config).await.map_err(Error::Driver)?;
        let world = World::open(config, driver).map_err(|source| Error::Data { path, source })?;
        world.end_leftovers().await;
        let core = Arc::new(Core::new(Arc::clone(&world)));
        let front = Front::open(Arc::clone(&core)).await?;
        world.boot();
        world.start_sweeping();
        world.start_watching();
        let control = Control::new(core, front);
        let control_addr = match control_at {
            Some(address) => Some(http::serve(control.clone(), address).await?),
            None => None,
        };
        Ok(Running { control, control_addr, over: false })
    }
}

// === impl Running ===

impl Running {
    /// Where gRPC is served.
    pub fn addr(&self) -> SocketAddr {
        self.control.addr()
    }

    /// Where the control endpoint is served, if it was asked for.
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control_addr
    }

    /// The address as a URI, `http` or `https` by the configured mode.
    pub fn uri(&self) -> String {
        self.control.uri()
    }

    /// The handle that makes the gateway misbehave and shows what happened.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Ends the gateway as on request: containers are stopped, then the port is closed.
    pub async fn shutdown(mut self) {
        let (world, front) = (self.control.world(), self.control.front());
        world.stop_all().await;
        front.down().await;
        world.over.cancel();
        // Something may have come up between the two.
        world.driver.end_all(&world.container_ids(), None).await;
        world.tasks.close();
        world.tasks.wait().await;
        world.driver.close().await;
        self.over = true;
    }

    /// Ends the gateway and leaves every sandbox's processes running, as a kill does.
    pub async fn abandon(mut self) {
        self.control.front().down().await;
        self.control.world().over.cancel();
        self.over = true;
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.over {
            let world = self.control.world();
            world.over.cancel();
            self.control.front().cut();
            world.driver.end_everything_now();
        }
    }
}
