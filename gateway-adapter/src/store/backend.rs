//! The repository's storage, distrusted.
//!
//! Invariants: a file that is read whole has the hash that its name says; a directory that cannot be listed is an error and
//! never an empty one; a written file survives a power cut before anyone is told of it. Every failure below is a
//! [`StoreError`] in the chain of the error above, so that nobody has to guess from its words.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustic_core::{
    BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend,
};
use sha2::{Digest as _, Sha256};

use super::StoreError;

/// A storage whose answers are checked.
#[derive(Debug)]
pub(super) struct Checked {
    inner: Arc<dyn WriteBackend>,
    /// Of a repository on this host.
    directory: Option<PathBuf>,
}

/// A storage that shows only these index files and packs: those that are as the index says.
#[derive(Debug)]
pub(super) struct View {
    pub(super) inner: Arc<Checked>,
    pub(super) index: Vec<(Id, u32)>,
    pub(super) packs: Vec<(Id, u32)>,
}

/// A storage that remembers which snapshots were written through it.
#[derive(Debug)]
pub(super) struct Recorder {
    inner: Arc<Checked>,
    written: Mutex<Vec<Id>>,
}

// === impl Checked ===

impl Checked {
    /// Wraps a storage; `directory` is where it is, if it is on this host.
    pub(super) fn new(inner: Arc<dyn WriteBackend>, directory: Option<PathBuf>) -> Self {
        Self { inner, directory }
    }

    /// All files of a type, with their sizes.
    pub(super) fn files(&self, tpe: FileType) -> Result<Vec<(Id, u32)>, StoreError> {
        match &self.directory {
            Some(directory) if tpe != FileType::Config => listed(directory, tpe),
            _ => self.inner.list_with_size(tpe).map_err(|error| failed(&error, &name(tpe, None))),
        }
    }

    /// A file, whole, and with the hash that its name says.
    pub(super) fn read(&self, tpe: FileType, id: &Id) -> Result<Bytes, StoreError> {
        let what = name(tpe, Some(id));
        let bytes = self.inner.read_full(tpe, id).map_err(|error| failed(&error, &what))?;
        // The configuration is the one file that is not named by its hash.
        if tpe != FileType::Config && hex::encode(Sha256::digest(&bytes)) != *id.to_hex() {
            return Err(StoreError::Damaged { what: format!("{what} was altered") });
        }
        Ok(bytes)
    }

    fn read_part(&self, tpe: FileType, id: &Id, at: u32, length: u32) -> Result<Bytes, StoreError> {
        let what = name(tpe, Some(id));
        let read = self.inner.read_partial(tpe, id, false, at, length);
        let bytes = read.map_err(|error| failed(&error, &what))?;
        if bytes.len() != length as usize {
            return Err(StoreError::Damaged { what: format!("{what} is too short") });
        }
        Ok(bytes)
    }

    fn write(&self, tpe: FileType, id: &Id, content: BytesList) -> Result<(), StoreError> {
        let what = name(tpe, Some(id));
        let written = self.inner.write_bytes(tpe, id, false, content);
        written.map_err(|error| failed(&error, &what))?;
        let Some(directory) = &self.directory else { return Ok(()) };
        // The file itself was synced; its name is only safe once its directory is.
        let parent = match tpe {
            FileType::Config => directory.clone(),
            FileType::Pack => directory.join(tpe.dirname()).join(&id.to_hex()[..2]),
            _ => directory.join(tpe.dirname()),
        };
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(|error| of_io(&error, &what))
    }
}

impl ReadBackend for Checked {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.files(tpe).map_err(raised)
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        self.read(tpe, id).map_err(raised)
    }

    fn read_partial(
        &self,
        tpe: FileType,
        id: &Id,
        _cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        self.read_part(tpe, id, offset, length).map_err(raised)
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.inner.warmup_path(tpe, id)
    }
}

impl WriteBackend for Checked {
    fn create(&self) -> RusticResult<()> {
        self.inner.create().map_err(|error| raised(failed(&error, "a new repository")))
    }

    fn write_bytes(
        &self,
        tpe: FileType,
        id: &Id,
        _cacheable: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        self.write(tpe, id, content).map_err(raised)
    }

    fn remove(&self, tpe: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        let removed = self.inner.remove(tpe, id, cacheable);
        removed.map_err(|error| raised(failed(&error, &name(tpe, Some(id)))))
    }
}

// === impl View ===

impl ReadBackend for View {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        match tpe {
            FileType::Index => Ok(self.index.clone()),
            FileType::Pack => Ok(self.packs.clone()),
            _ => self.inner.list_with_size(tpe),
        }
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        self.inner.read_full(tpe, id)
    }

    fn read_partial(
        &self,
        tpe: FileType,
        id: &Id,
        cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        self.inner.read_partial(tpe, id, cacheable, offset, length)
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.inner.warmup_path(tpe, id)
    }
}

impl WriteBackend for View {
    fn write_bytes(
        &self,
        tpe: FileType,
        id: &Id,
        cacheable: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        self.inner.write_bytes(tpe, id, cacheable, content)
    }

    fn remove(&self, tpe: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        self.inner.remove(tpe, id, cacheable)
    }
}

// === impl Recorder ===

impl Recorder {
    /// Remembers nothing yet.
    pub(super) fn new(inner: Arc<Checked>) -> Self {
        Self { inner, written: Mutex::default() }
    }

    /// The one snapshot that was written.
    pub(super) fn only(&self) -> Option<Id> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        (written.len() == 1).then(|| written[0])
    }
}

impl ReadBackend for Recorder {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.inner.list_with_size(tpe)
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        self.inner.read_full(tpe, id)
    }

    fn read_partial(
        &self,
        tpe: FileType,
        id: &Id,
        cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        self.inner.read_partial(tpe, id, cacheable, offset, length)
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.inner.warmup_path(tpe, id)
    }
}

impl WriteBackend for Recorder {
    fn write_bytes(
        &self,
        tpe: FileType,
        id: &Id,
        cacheable: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        self.inner.write_bytes(tpe, id, cacheable, content)?;
        if tpe == FileType::Snapshot {
            self.written.lock().unwrap_or_else(PoisonError::into_inner).push(*id);
        }
        Ok(())
    }

    fn remove(&self, tpe: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        self.inner.remove(tpe, id, cacheable)
    }
}

/// What an error of rustic's says. Failures of the storage are in its chain; what is left was read and does not decrypt or
/// decode.
pub(super) fn lowered(error: &RusticError) -> StoreError {
    if error.is_incorrect_password() {
        return StoreError::WrongPassword { repository: String::new() };
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<StoreError>() {
            return found.clone();
        }
        cause = error.source();
    }
    StoreError::Damaged { what: error.display_log() }
}

fn raised(error: StoreError) -> Box<RusticError> {
    let text = error.to_string();
    RusticError::with_source(ErrorKind::Backend, text, error)
}

/// What a failure of the storage is about.
fn failed(error: &RusticError, what: &str) -> StoreError {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return of_io(error, what);
        }
        // OpenDAL's kinds are words; its error's text begins with one.
        let text = error.to_string();
        if text.starts_with("NotFound") {
            return StoreError::Missing { what: format!("{what} is gone") };
        }
        cause = error.source();
    }
    StoreError::Unreachable { detail: format!("{what}: {}", error.display_log()) }
}

/// What an error of the operating system's is about.
pub(super) fn of_io(error: &io::Error, what: &str) -> StoreError {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
            StoreError::Full { detail: format!("{what}: {error}") }
        }
        Kind::NotFound => StoreError::Missing { what: format!("{what} is gone") },
        Kind::UnexpectedEof => StoreError::Damaged { what: format!("{what} is too short") },
        _ => StoreError::Unreachable { detail: format!("{what}: {error}") },
    }
}

fn name(tpe: FileType, id: Option<&Id>) -> String {
    let kind = match tpe {
        FileType::Config => return "the configuration".to_owned(),
        FileType::Index => "index",
        FileType::Key => "key",
        FileType::Snapshot => "snapshot",
        FileType::Pack => "pack",
    };
    id.map_or_else(|| format!("the list of {kind} files"), |id| format!("{kind} {}", &*id.to_hex()))
}

fn listed(repository: &Path, tpe: FileType) -> Result<Vec<(Id, u32)>, StoreError> {
    let mut found = Vec::new();
    let top = repository.join(tpe.dirname());
    let list = |directory: &Path, found: &mut Vec<(Id, u32)>, below: &mut Vec<PathBuf>| {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                below.push(entry.path());
            } else if let Some(id) = kind.is_file().then(|| id(&entry.file_name())).flatten() {
                // Gone since it was listed: it is not there any more.
                match entry.metadata() {
                    Ok(metadata) => found.push((id, metadata.len().try_into().unwrap_or(u32::MAX))),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    };
    let mut below = Vec::new();
    let what = name(tpe, None);
    list(&top, &mut found, &mut below).map_err(|error| of_io(&error, &what))?;
    if tpe == FileType::Pack {
        for directory in below {
            list(&directory, &mut found, &mut Vec::new()).map_err(|error| of_io(&error, &what))?;
        }
    }
    Ok(found)
}

fn id(name: &std::ffi::OsStr) -> Option<Id> {
    let name = name.to_str().filter(|name| name.len() == 64)?;
    name.parse().ok()
}
