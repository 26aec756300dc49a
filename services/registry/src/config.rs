//! What a registry needs to know before it starts.

use std::path::PathBuf;
use std::sync::Arc;

use salvor_runtime::Clock;
use salvor_runtime::database::Location;

use crate::seal::KeyRing;

/// The port that a registry listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 7301;

/// Where the keys come from that seal secret bytes at rest.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A text file of keys, one a line in hexadecimal, `#` comments; the first one seals, all open.
    File {
        /// The file.
        path: PathBuf,
        /// Make it (mode 0600) with one fresh random key if it is not there.
        create: bool,
    },
    /// Keys that the caller holds, for example out of the environment ([`KeyRing::parse`]).
    Ring(KeyRing),
}

/// Settings of one registry.
#[derive(Debug, Clone)]
pub struct Config {
    /// The store; made if it is not there. Replicas share a server's.
    pub database: Location,
    /// The sealing keys. Of replicas they must be the same, and are never made.
    pub keys: KeySource,
    /// How many revisions back a watch can resume and a list can be continued. Older ones are compacted.
    pub change_log_retention: u32,
    /// For how many of the latest calls with a `request_id` the first answer is remembered.
    pub request_retention: u32,
    /// The time of day, for leases and timestamps. `None`: the database server's, so that replicas agree on it; of a file, the
    /// host's.
    pub clock: Option<Arc<dyn Clock>>,
}

impl Config {
    /// A registry in `registry.db` in `data_dir`, with its keys in `seal.key` there, made if need be.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        let path = data_dir.join("seal.key");
        Self {
            database: Location::File(data_dir.join("registry.db")),
            keys: KeySource::File { path, create: true },
            change_log_retention: 10_000,
            request_retention: 20_000,
            clock: None,
        }
    }
}
