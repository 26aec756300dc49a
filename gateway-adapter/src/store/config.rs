//! Where snapshots are kept, and what opens them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::StoreError;

/// A password is no longer than this, in bytes.
const MAX_PASSWORD: usize = 4096;

/// The snapshot repository of an adapter.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// A directory, or `opendal:SERVICE` (for example `opendal:s3`).
    pub repository: String,
    /// What the service needs, for example `bucket` and `endpoint`. Values may be secret and are never shown.
    pub options: BTreeMap<String, String>,
    /// What opens it.
    pub password: PasswordSource,
}

/// For how long what no snapshot needs any more stays when space is reclaimed. Within one adapter captures, restores and
/// reclaiming exclude each other; these are for what others may be at in the same repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reclaim {
    /// Packs younger than this are left alone: a capture of another adapter may have written them just now. Default one day.
    pub keep_pack: Duration,
    /// What is not needed is marked, and goes when space is reclaimed again so much later: whoever reads by an index from before
    /// still finds it. Zero marks nothing: it goes at once. Default three days.
    pub keep_delete: Duration,
}

/// Where the password is. Never the password itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordSource {
    /// The first line of this file.
    File(PathBuf),
    /// This environment variable.
    Environment(String),
}

// === impl Reclaim ===

impl Default for Reclaim {
    fn default() -> Self {
        Self { keep_pack: Duration::from_hours(24), keep_delete: Duration::from_hours(72) }
    }
}

// === impl Config ===

impl Config {
    /// The password, read anew each time, so that it is held no longer than needed.
    pub(super) fn password(&self) -> Result<String, StoreError> {
        let read = match &self.password {
            PasswordSource::File(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("{}: {error}", path.display())),
            PasswordSource::Environment(name) => {
                std::env::var(name).map_err(|error| format!("{name}: {error}"))
            }
        };
        let password = read.map(|text| text.lines().next().unwrap_or_default().to_owned());
        match password {
            Ok(password) if password.is_empty() => Err("it is empty".to_owned()),
            Ok(password) if password.len() > MAX_PASSWORD => {
                Err(format!("it is longer than {MAX_PASSWORD} bytes"))
            }
            read => read,
        }
        .map_err(|detail| StoreError::NoPassword { repository: self.repository.clone(), detail })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("repository", &self.repository)
            .field("options", &self.options.keys().collect::<Vec<_>>())
            .field("password", &self.password)
            .finish()
    }
}
