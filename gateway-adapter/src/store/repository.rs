//! Opening the repository, once, and keeping an index of what is in it.
//!
//! Invariants: a repository is made only where nothing is, and nothing was; what an index promises is believed only of packs that are there
//! and as long as it says, so that what is lost is stored anew by the next capture. All of this blocks.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustic_backend::BackendOptions;
use rustic_core::repofile::{IndexFile, IndexId, MasterKey};
use rustic_core::{
    ConfigOptions, Credentials, FileType, Id, IndexedFullStatus, KeyOptions, OpenStatus,
    Repository, RepositoryBackends, RepositoryOptions, WriteBackend,
};

use super::backend::{Checked, View, lowered};
use super::memory::Memory;
use super::summaries::Summaries;
use super::{Config, StoreError};

/// Of new repositories, as restic's default: three of them are in memory at once during a capture.
const PACK_SIZE: &str = "16 MiB";
/// Packs of directories.
const TREE_PACK_SIZE: &str = "4 MiB";

/// How often an index is read anew because files of it went away meanwhile. Each time, something was reclaimed.
const READINGS: usize = 8;

/// A repository whose index is in memory.
pub(super) type Indexed = Repository<IndexedFullStatus>;

/// The way to the repository.
pub(super) struct Place {
    config: Config,
    memory: Memory,
    opened: Mutex<Option<Opened>>,
    indexed: Mutex<Option<Loaded>>,
}

/// What is needed to use the repository without asking for the password again.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) storage: Arc<Checked>,
    /// What snapshot files that were read say.
    pub(super) summaries: Arc<Summaries>,
    key: MasterKey,
}

/// An index, and the files that it was read from.
#[derive(Clone)]
pub(super) struct Loaded {
    files: Vec<(Id, u32)>,
    pub(super) index: Arc<Indexed>,
}

// === impl Place ===

impl Place {
    /// Nothing is touched yet.
    pub(super) fn new(config: Config, memory: Memory) -> Self {
        Self { config, memory, opened: Mutex::default(), indexed: Mutex::default() }
    }

    /// Opens the repository, or makes it if there is nothing at all, and nothing is known to have been there; half a second the first time, for the key's derivation.
    pub(super) fn open(&self) -> Result<Opened, StoreError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = &*opened {
            return Ok(opened.clone());
        }
        let fresh = open(&self.config, &self.memory).map_err(|error| self.named(error))?;
        *opened = Some(fresh.clone());
        Ok(fresh)
    }

    /// The repository with an index that is as new as its index files.
    pub(super) fn indexed(&self) -> Result<Arc<Indexed>, StoreError> {
        let opened = self.open()?;
        let files = index_files(&opened)?;
        let loaded = self.indexed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(loaded) = loaded.filter(|loaded| loaded.files == files) {
            return Ok(loaded.index);
        }
        self.reindexed()
    }

    /// The repository with an index that was compared with what is there just now, and nothing of it in memory yet.
    pub(super) fn reindexed(&self) -> Result<Arc<Indexed>, StoreError> {
        let loaded = self.open()?.load()?;
        let index = Arc::clone(&loaded.index);
        *self.indexed.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
        Ok(index)
    }

    fn named(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::WrongPassword { .. } => {
                StoreError::WrongPassword { repository: self.config.repository.clone() }
            }
            error => error,
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.config).finish()
    }
}

// === impl Opened ===

impl Opened {
    /// The repository without an index: for snapshots, and what is about the repository as a whole.
    pub(super) fn repository(&self) -> Result<Repository<OpenStatus>, StoreError> {
        self.on(Arc::clone(&self.storage) as Arc<dyn WriteBackend>)
    }

    /// The same on another view of its storage.
    pub(super) fn on(
        &self,
        storage: Arc<dyn WriteBackend>,
    ) -> Result<Repository<OpenStatus>, StoreError> {
        opened(storage, &Credentials::Masterkey(self.key.clone()))
    }

    /// Reads the index. Whoever reclaims space, in this process or another, writes its files anew and takes the old ones away:
    /// what is gone then is read from where it went, and only what is listed still and cannot be read is missing.
    pub(super) fn load(&self) -> Result<Loaded, StoreError> {
        for _ in 0..READINGS {
            let files = index_files(self)?;
            let found = self.index(&files);
            if matches!(found, Ok((_, false)) | Err(StoreError::Missing { .. })) {
                let now = index_files(self)?;
                if files.iter().any(|file| !now.contains(file)) {
                    continue;
                }
            }
            return Ok(Loaded { files, index: Arc::new(found?.0) });
        }
        let detail = "its index was written anew each time that it was read".to_owned();
        Err(StoreError::Unreachable { detail })
    }

    /// An index of what these files say, and whether all of them were there.
    fn index(&self, files: &[(Id, u32)]) -> Result<(Indexed, bool), StoreError> {
        let there: HashMap<Id, u32> = self.storage.files(FileType::Pack)?.into_iter().collect();
        let repository = self.repository()?;
        let (mut index, mut packs, mut whole) = (Vec::new(), HashMap::new(), true);
        for &(id, size) in files {
            let file: IndexFile = match repository.get_file(&IndexId::from(id)) {
                Ok(file) => file,
                // What only it knew of is missing, and whoever needs that will say so.
                Err(error) => match lowered(&error) {
                    error @ (StoreError::Damaged { .. } | StoreError::Missing { .. }) => {
                        tracing::warn!(%error, "an index file of the snapshot repository is left out");
                        whole &= matches!(error, StoreError::Damaged { .. });
                        continue;
                    }
                    error => return Err(error),
                },
            };
            for pack in file.packs.iter().chain(&file.packs_to_delete) {
                if there.get(&*pack.id) == Some(&pack.pack_size()) {
                    packs.insert(*pack.id, pack.pack_size());
                } else {
                    tracing::warn!(pack = %pack.id, "a pack of the snapshot repository is missing or cut");
                }
            }
            index.push((id, size));
        }
        let packs = packs.into_iter().collect();
        let view = View { inner: Arc::clone(&self.storage), index, packs };
        let indexed = self.on(Arc::new(view))?.to_indexed_checked();
        Ok((indexed.map_err(|error| lowered(&error))?, whole))
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("storage", &self.storage).finish_non_exhaustive()
    }
}

fn index_files(opened: &Opened) -> Result<Vec<(Id, u32)>, StoreError> {
    let mut files = opened.storage.files(FileType::Index)?;
    files.sort_unstable();
    Ok(files)
}

fn open(config: &Config, memory: &Memory) -> Result<Opened, StoreError> {
    let unusable =
        |detail| StoreError::Misconfigured { repository: config.repository.clone(), detail };
    let password = config.password()?;
    let (location, directory) = location(&config.repository).ok_or_else(|| {
        unusable("it is neither a directory nor of the form opendal:SERVICE".to_owned())
    })?;
    let storage = BackendOptions::default()
        .repository(location)
        .options(config.options.clone())
        .to_backends()
        .map_err(|error| unusable(error.display_log()))?
        .repository();
    let storage = Arc::new(Checked::new(storage, directory.clone()));
    let credentials = Credentials::Password(password);
    let was = memory.recall(config)?;
    let gone = |was: &str, found: String| StoreError::Gone {
        repository: config.repository.clone(),
        id: was.to_owned(),
        found,
        memory: memory.shown(),
    };
    let backend = Arc::clone(&storage) as Arc<dyn WriteBackend>;
    let repository = match (state(config, directory.as_deref(), &storage)?, &was) {
        (State::Repository, _) => opened(backend, &credentials)?,
        (State::Nothing, Some(was)) => return Err(gone(was, "nothing".to_owned())),
        (State::Nothing, None) => made(backend, &credentials)?,
    };
    let id = repository.config().id.to_hex().as_str().to_owned();
    match was {
        Some(was) if was != id => return Err(gone(&was, format!("repository {id}"))),
        Some(_) => {}
        None => memory.keep(config, &id)?,
    }
    Ok(Opened { storage, summaries: Arc::default(), key: repository.key() })
}

enum State {
    Repository,
    Nothing,
}

fn state(
    config: &Config,
    directory: Option<&Path>,
    storage: &Checked,
) -> Result<State, StoreError> {
    let foreign = || StoreError::NotARepository { repository: config.repository.clone() };
    if let Some(directory) = directory {
        let configuration = directory.join("config");
        return match std::fs::symlink_metadata(&configuration) {
            Ok(metadata) if metadata.is_file() => keyed(storage),
            Ok(_) => Err(foreign()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if empty(directory)? {
                    Ok(State::Nothing)
                } else {
                    Err(foreign())
                }
            }
            Err(error) => Err(super::backend::of_io(&error, &config.repository)),
        };
    }
    if !storage.files(FileType::Config)?.is_empty() {
        return keyed(storage);
    }
    for tpe in [FileType::Key, FileType::Snapshot, FileType::Index, FileType::Pack] {
        if !storage.files(tpe)?.is_empty() {
            return Err(foreign());
        }
    }
    Ok(State::Nothing)
}

/// A repository without a key would read as one that the password does not open.
fn keyed(storage: &Checked) -> Result<State, StoreError> {
    if storage.files(FileType::Key)?.is_empty() {
        return Err(StoreError::Missing { what: "it has no key file".to_owned() });
    }
    Ok(State::Repository)
}

/// Whether there is no file at all: empty directories may be left of an attempt to make a repository.
fn empty(directory: &Path) -> Result<bool, StoreError> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(super::backend::of_io(&error, &directory.display().to_string())),
    };
    for entry in entries {
        let unreadable = |error| super::backend::of_io(&error, &directory.display().to_string());
        let entry = entry.map_err(unreadable)?;
        if !entry.file_type().map_err(unreadable)?.is_dir() || !empty(&entry.path())? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What rustic calls it, and where it is if it is on this host.
fn location(repository: &str) -> Option<(String, Option<PathBuf>)> {
    if repository.starts_with("opendal:") {
        return Some((repository.to_owned(), None));
    }
    let path = repository.strip_prefix("local:").unwrap_or(repository);
    // Any other scheme would be taken for a directory's name.
    let first = path.split('/').next().unwrap_or_default();
    let plain = !path.is_empty() && !first.contains(':');
    plain.then(|| (format!("local:{path}"), Some(PathBuf::from(path))))
}

fn bare(storage: Arc<dyn WriteBackend>) -> Result<Repository<()>, StoreError> {
    // A cache would answer for what is damaged or gone.
    let options = RepositoryOptions::default().no_cache(true);
    Repository::new(&options, &RepositoryBackends::new(storage, None))
        .map_err(|error| lowered(&error))
}

fn opened(
    storage: Arc<dyn WriteBackend>,
    credentials: &Credentials,
) -> Result<Repository<OpenStatus>, StoreError> {
    bare(storage)?.open(credentials).map_err(|error| lowered(&error))
}

fn made(
    storage: Arc<dyn WriteBackend>,
    credentials: &Credentials,
) -> Result<Repository<OpenStatus>, StoreError> {
    let mut options = ConfigOptions::default();
    options.set_version = Some(2);
    options.set_datapack_size = PACK_SIZE.parse().ok();
    options.set_datapack_growfactor = Some(0);
    options.set_treepack_size = TREE_PACK_SIZE.parse().ok();
    options.set_treepack_growfactor = Some(0);
    // Each capture is read back anyway, from where it will be read one day.
    options.set_extra_verify = Some(false);
    bare(storage)?
        .init(credentials, &KeyOptions::default(), &options)
        .map_err(|error| lowered(&error))
}
