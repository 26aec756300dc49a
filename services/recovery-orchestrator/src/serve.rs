//! Setting the service up, and adding it to a server.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use salvor_proto::{
    FILE_DESCRIPTOR_SET, recovery::v1::recovery_service_server::RecoveryServiceServer,
};
use salvor_runtime::{Lock, LockError, Server, Tasks, channel, database::at_once};

use crate::{
    collect::{LOOKS, Turns, World},
    config::Config,
    engine::Engine,
    grpc::Api,
    journal::Journal,
    ports::{Adapters, Registry},
    schedule,
};

/// Why an orchestrator cannot be set up. Nothing was begun then.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its journal's file is another one's, and each would take the other's work for what a crash left.
    #[error(
        "the journal {} is in use: {source}. Nothing was begun. For several orchestrators on one journal give them a server: \
         --database-url", path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// Why it cannot be had.
        #[source]
        source: LockError,
    },
    /// Its journal.
    #[error(transparent)]
    Journal(#[from] salvor_runtime::database::Error),
    /// Its registry's address or certificates.
    #[error("cannot call the registry as --registry says")]
    Registry(#[from] channel::Error),
}

/// An orchestrator, ready to serve.
#[derive(Debug, Clone)]
pub struct Orchestrator {
    engine: Engine,
    /// On the journal's file, as long as it is this process's.
    _lock: Option<Arc<Lock>>,
}

impl Orchestrator {
    /// Opens the journal, and takes up what is open in it. `tasks` owns the recoveries at work: join it after the shutdown, so
    /// that each finishes the step in hand and hands its lease back.
    ///
    /// # Errors
    /// [`Error`]. An unreachable registry is not one of its reasons.
    pub async fn open(config: Config, tasks: Tasks) -> Result<Self, Error> {
        let own = config.journal.file().filter(|_| !config.journal_is_shared);
        let lock = own.map(lock).transpose()?.map(Arc::new);
        let opening = Journal::open(&config.journal, config.crash_after_append.clone());
        let mut journal = at_once(opening).await?;
        if config.journal_is_shared {
            journal.share();
        }
        let registry = Registry::new(channel::connect_lazy(&config.registry)?);
        let clock = Arc::clone(&config.clock);
        let adapters = Adapters::new(&config, clock.clone());
        let (config, turns) = (Arc::new(config), Turns::new(LOOKS));
        let world = World { registry, adapters, journal, clock, config, turns };
        let (clock, schedule) = (Arc::clone(&world.clock), world.config.schedule.clone());
        let engine = Engine::new(world, tasks.clone());
        engine.sweep();
        engine.forget();
        schedule::start(engine.clone(), clock, schedule, &tasks);
        Ok(Self { engine, _lock: lock })
    }

    /// Closes the journal, once the tasks have been joined: then its file is whole without its log.
    pub async fn close(self) {
        self.engine.journal().close().await;
    }

    /// Adds the service, and its descriptors, to a server.
    #[must_use]
    pub fn add_to(&self, server: Server) -> Server {
        let api = Api::new(self.engine.clone());
        server.descriptors(FILE_DESCRIPTOR_SET).service_with(|limits| {
            RecoveryServiceServer::new(api)
                .max_decoding_message_size(limits.decode_bytes)
                .max_encoding_message_size(limits.encode_bytes)
        })
    }
}

fn lock(journal: &Path) -> Result<Lock, Error> {
    let beside = journal.with_extension("lock");
    Lock::take(&beside).map_err(|source| Error::InUse { path: journal.into(), source })
}
