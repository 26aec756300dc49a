//! The gateway's rows: in memory for reading, one JSON file each for the next process.
//!
//! A row is written to a temporary file and renamed before it can be read, so a killed gateway
//! finds every row whole, as it was last acknowledged. Writes are not synced: the dev gateway
//! survives its own death, not the host's.
//!
//! Deliberately absent: credentials. A provider's row keeps their names only.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::phase::{Condition, Phase};

/// A sandbox as the gateway's store holds it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Sandbox {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) workspace: String,
    /// Orders lists: creation time alone is not unique.
    pub(crate) serial: u64,
    pub(crate) created_at_ms: i64,
    pub(crate) deleted_at_ms: i64,
    pub(crate) resource_version: u64,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// The spec as received, with what the gateway filled in; otherwise untouched.
    #[serde(with = "hex_bytes")]
    pub(crate) spec: Vec<u8>,
    pub(crate) phase: Phase,
    pub(crate) condition: Condition,
    pub(crate) exit_code: Option<i32>,
    pub(crate) instance_id: String,
    pub(crate) policy_version: u32,
    pub(crate) revisions: Vec<Revision>,
    /// Encoded setting values by key.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) settings_revision: u64,
    /// Raised by every lifecycle change, so that a late step of an older one does nothing.
    #[serde(skip)]
    pub(crate) epoch: u64,
}

/// One policy revision of a sandbox.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Revision {
    pub(crate) version: u32,
    pub(crate) hash: String,
    pub(crate) status: RevisionStatus,
    pub(crate) error: String,
    pub(crate) created_at_ms: i64,
    pub(crate) loaded_at_ms: i64,
    #[serde(with = "hex_bytes")]
    pub(crate) policy: Vec<u8>,
    pub(crate) provenance: BTreeMap<String, String>,
}

/// Where a revision is; the numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RevisionStatus {
    Pending = 1,
    Loaded = 2,
    Failed = 3,
    Superseded = 4,
}

/// A provider without its secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Provider {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) workspace: String,
    pub(crate) kind: String,
    pub(crate) created_at_ms: i64,
    pub(crate) resource_version: u64,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) credential_names: Vec<String>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) expires_at_ms: BTreeMap<String, i64>,
    pub(crate) profile_workspace: String,
}

/// A workspace. The id of `default` identifies the store.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Workspace {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created_at_ms: i64,
    pub(crate) labels: BTreeMap<String, String>,
}

/// A request id that was admitted, with the answer that is given again.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Admission {
    /// SHA-256 of method and payload.
    pub(crate) digest: String,
    /// `None` until the first call has succeeded.
    pub(crate) response: Option<String>,
    pub(crate) at_ms: i64,
}

/// One kind of row, by key. Keys must be file names; all of ours are UUIDs or hex.
pub(crate) struct Table<T> {
    dir: PathBuf,
    rows: BTreeMap<String, T>,
}

/// Everything a gateway knows.
pub(crate) struct Store {
    pub(crate) sandboxes: Table<Sandbox>,
    pub(crate) providers: Table<Provider>,
    pub(crate) workspaces: Table<Workspace>,
    pub(crate) admissions: Table<Admission>,
}

// === impl Table ===

impl<T: Serialize + DeserializeOwned> Table<T> {
    fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let mut rows = BTreeMap::new();
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let row = serde_json::from_slice(&fs::read(&path)?).map_err(|error| {
                    io::Error::other(format!("row {} is damaged: {error}", path.display()))
                })?;
                let key = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                rows.insert(key, row);
            }
        }
        Ok(Self { dir, rows })
    }

    pub(crate) fn get(&self, key: &str) -> Option<&T> {
        self.rows.get(key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.rows.values()
    }

    /// Removes the rows that `over` says so of. On an error some of them may be left.
    pub(crate) fn remove_where(&mut self, over: impl Fn(&T) -> bool) -> io::Result<()> {
        let keys: Vec<String> =
            self.rows.iter().filter(|(_, row)| over(row)).map(|(key, _)| key.clone()).collect();
        keys.into_iter().try_for_each(|key| self.remove(&key).map(drop))
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Writes the row, then shows it. On an error nothing has changed.
    pub(crate) fn put(&mut self, key: &str, row: T) -> io::Result<()> {
        let partial = self.dir.join(format!("{key}.partial"));
        fs::write(&partial, serde_json::to_vec(&row)?)?;
        fs::rename(&partial, self.path(key))?;
        self.rows.insert(key.to_owned(), row);
        Ok(())
    }

    pub(crate) fn remove(&mut self, key: &str) -> io::Result<Option<T>> {
        match fs::remove_file(self.path(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(self.rows.remove(key)),
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.dir.join(format!("{key}.json"))
    }
}

// === impl Store ===

impl Store {
    /// Opens the store in `dir`, or makes an empty one.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            sandboxes: Table::open(dir.join("sandboxes"))?,
            providers: Table::open(dir.join("providers"))?,
            workspaces: Table::open(dir.join("workspaces"))?,
            admissions: Table::open(dir.join("admissions"))?,
        })
    }
}

/// Opaque bytes as hex in a row's JSON.
mod hex_bytes {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(from)?).map_err(de::Error::custom)
    }
}
