//! From settings to a running service.

use std::future::Future;

use salvor_proto::FILE_DESCRIPTOR_SET;
use salvor_proto::registry::v1::registry_service_server::RegistryServiceServer;
use salvor_runtime::database::{self, at_once};
use salvor_runtime::server::{self, Server};
use tokio::net::TcpListener;

use crate::config::{Config, KeySource};
use crate::grpc::Service;
use crate::seal;
use crate::store::{Retention, Store};

/// Why a registry does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Replicas would seal with keys of their own, and could not open each other's secrets.
    #[error(
        "the database {0} is shared, and so must the seal keys be: give every replica the same with --seal-key-file or \
         SALVOR_SEAL_KEY. Nothing was opened"
    )]
    KeysOfItsOwn(database::Location),
    /// No sealing keys.
    #[error(transparent)]
    Keys(#[from] seal::Error),
    /// No database.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// No server.
    #[error(transparent)]
    Server(#[from] server::Error),
}

/// An open registry.
#[derive(Debug, Clone)]
pub struct Registry {
    store: Store,
}

// === impl Registry ===

impl Registry {
    /// Opens keys and database, making what is not there.
    ///
    /// # Errors
    /// [`Error::Keys`] or [`Error::Database`]; a database of a newer schema is left untouched.
    pub async fn open(config: &Config) -> Result<Self, Error> {
        if config.database.is_shared()
            && matches!(config.keys, KeySource::File { create: true, .. })
        {
            return Err(Error::KeysOfItsOwn(config.database.clone()));
        }
        let keys = seal::load(&config.keys)?;
        let retention = Retention {
            revisions: config.change_log_retention,
            requests: config.request_retention,
        };
        let opening = Store::open(&config.database, keys, config.clock.clone(), retention);
        let store = at_once(opening).await?;
        match at_once(store.count_unopenable()).await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(
                count,
                "sealed specs or policies cannot be opened: their seal key is missing"
            ),
            Err(error) => {
                tracing::warn!(%error, "cannot tell whether all sealed bytes can be opened");
            }
        }
        Ok(Self { store })
    }

    /// Adds the service to a server.
    pub fn add_to(&self, server: Server) -> Server {
        let service = Service::new(self.store.clone());
        server.descriptors(FILE_DESCRIPTOR_SET).service_with(|limits| {
            RegistryServiceServer::new(service)
                .max_decoding_message_size(limits.decode_bytes)
                .max_encoding_message_size(limits.encode_bytes)
        })
    }

    /// Closes the database, once the calls in hand are done. Calls after it fail.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

/// Runs a registry on `listener` until `shutdown` resolves, with the limits and the TLS of `server`.
///
/// # Errors
/// [`Error`]; before the first connection is accepted, except for a failure of serving itself.
pub async fn serve(
    config: Config,
    server: Server,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let registry = Registry::open(&config).await?;
    let ended = registry.add_to(server).run(listener, shutdown).await;
    registry.close().await;
    Ok(ended?)
}
