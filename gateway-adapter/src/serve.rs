//! From settings to a running service.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use salvor_proto::FILE_DESCRIPTOR_SET;
use salvor_proto::gateway::v1::gateway_adapter_service_server::GatewayAdapterServiceServer;
use salvor_proto::registry::v1::GatewayIdentity;
use salvor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use salvor_runtime::channel::{self, connect_lazy};
use salvor_runtime::server::{self, Server};
use salvor_runtime::{Shutdown, Tasks};
use tokio::net::TcpListener;

use crate::authority::Authority;
use crate::config::Config;
use crate::directory::Directory;
use crate::gateway::Way;
use crate::grpc::{self, Service};
use crate::heartbeat::Keeper;
use crate::observer::Round;
use crate::operations::{self, Operations};
use crate::runtime::{Bounds, Runtime};
use crate::store::Store;

/// The largest message taken from the registry, in bytes.
const MAX_DECODE: usize = 64 << 20;
/// How long the background tasks get to end: what is at work, and then giving back what is held.
const JOIN: Duration = Duration::from_secs(operations::CLEAN_UP.as_secs() + 5);

/// Why an adapter does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry's address or TLS files cannot be used.
    #[error("cannot call the registry as --registry says")]
    Registry(#[from] channel::Error),
    /// The listener has no address.
    #[error("cannot tell which address the adapter listens on")]
    Listener(#[source] std::io::Error),
    /// No server.
    #[error(transparent)]
    Server(#[from] server::Error),
}

/// An adapter that has begun to look after its gateways.
#[derive(Debug)]
pub struct Adapter {
    config: Config,
    directory: Arc<Directory>,
    authority: Arc<Authority>,
    operations: Operations,
}

// === impl Adapter ===

impl Adapter {
    /// Sets an adapter up. A registry that is away is no error. Must be called inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// [`Error::Registry`].
    pub fn new(config: Config) -> Result<Self, Error> {
        let channel = connect_lazy(&config.registry)?;
        let registry = RegistryServiceClient::new(channel)
            .max_decoding_message_size(MAX_DECODE)
            .max_encoding_message_size(MAX_DECODE);
        let (id, limits) = (config.adapter_id.clone(), config.limits.clone());
        let way = Way { network: config.registry.network.clone(), limits };
        let directory = Directory::new(id, registry, way, Arc::clone(&config.clock));
        let operations = Operations::new(Arc::clone(&config.clock), operations::MAX_RUNNING);
        let authority = Authority::new(config.data.clone(), Arc::clone(&config.clock));
        let (directory, authority) = (Arc::new(directory), Arc::new(authority));
        Ok(Self { config, directory, authority, operations })
    }

    /// Adds the service to a server.
    pub fn add_to(&self, server: Server) -> Server {
        let (rules, data) = (self.config.reclaim, self.config.data.clone());
        let store = self.config.repository.clone();
        let store = store.map(|place| Store::remembering(place, data).reclaiming(rules));
        let runtime = self.config.runtime.clone();
        let runtime = runtime.map(|settings| Arc::new(Runtime::new(settings, Bounds::default())));
        let clock = Arc::clone(&self.config.clock);
        let service = Service::new(
            Arc::clone(&self.directory),
            Arc::clone(&self.authority),
            store,
            runtime,
            self.operations.clone(),
            clock,
        );
        server.descriptors(FILE_DESCRIPTOR_SET).service_with(|limits| {
            GatewayAdapterServiceServer::new(service)
                .max_decoding_message_size(limits.decode_bytes)
                .max_encoding_message_size(limits.encode_bytes)
        })
    }

    /// Probes, heartbeats and observes until `shutdown`. `address` is where the adapter is called,
    /// in plaintext, unless its settings say otherwise.
    pub fn keep(&self, address: SocketAddr, shutdown: &Shutdown) -> Tasks {
        let endpoint = self.config.advertise.clone();
        let endpoint = endpoint.unwrap_or_else(|| format!("http://{address}"));
        let keeper = Keeper {
            directory: Arc::clone(&self.directory),
            authority: Arc::clone(&self.authority),
            serving_ttl: self.config.serving_ttl,
            adapter_id: self.config.adapter_id.clone(),
            endpoint,
            heartbeat_interval: self.config.heartbeat_interval,
            refresh_interval: self.config.refresh_interval,
            observe_interval: self.config.observe_interval,
        };
        let tasks = shutdown.tasks();
        let operations = self.operations.clone();
        tasks.spawn("gateways", |token| async move {
            token.run_until_cancelled(keeper.clone().run()).await;
            // What is at work still needs what is held.
            tokio::select! {
                () = operations.close() => {}
                () = keeper.hold_on() => {}
            }
            keeper.give_back().await;
        });
        tasks
    }

    /// Where it calls the registry.
    pub fn registry_address(&self) -> &str {
        &self.config.registry.address
    }

    /// What the adapter takes a gateway to be pinned to; `None` if it does not know the gateway.
    pub fn pinned(&self, gateway: &str) -> Option<GatewayIdentity> {
        self.directory.all().get(gateway).map(|gateway| gateway.pinned())
    }

    /// Runs one round of the observer on every known gateway, now.
    pub async fn observe_now(&self) -> Round {
        grpc::observe_now(&self.directory).await
    }
}

/// Runs an adapter on `listener` until `shutdown` resolves, with the limits and the TLS of
/// `server`. One that serves TLS must be given the address to advertise. It ends within the drain
/// time of `server` and 35 s more, in which work in hand is cancelled and undone. Dropping the
/// future ends everything that it began.
///
/// # Errors
/// [`Error`]; before the first connection is accepted, except for a failure of serving itself.
pub async fn serve(
    config: Config,
    server: Server,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let address = listener.local_addr().map_err(Error::Listener)?;
    let adapter = Adapter::new(config)?;
    let background = Shutdown::new();
    // Dropped in the middle, it must not go on announcing an address where nothing listens.
    let _ended = background.token().drop_guard();
    let tasks = adapter.keep(address, &background);
    let ended = adapter.add_to(server).run(listener, shutdown).await;
    background.trigger();
    if let Err(unfinished) = tasks.join(JOIN).await {
        tracing::warn!(%unfinished, "the adapter ended without all of its tasks");
    }
    Ok(ended?)
}
