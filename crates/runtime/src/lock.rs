//! One process at a time.
//!
//! Invariant: what is locked is free again when its holder ends, however it ends: the kernel sees to that. Deliberately absent:
//! locks between hosts.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// A lock that is held. Dropped, it is free.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why it is not.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("another process uses it")]
    InUse,
    /// Its file cannot be made or locked.
    #[error(transparent)]
    Io(#[from] io::Error),
}

// === impl Lock ===

impl Lock {
    /// Takes the lock that the file at `path` stands for, making the file (mode 0600) and its directory (mode 0700) if need be.
    ///
    /// # Errors
    /// [`LockError`]; at once, nobody is waited for.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::InUse),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_free_when_it_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/it.lock");
        let held = Lock::take(&path).unwrap();
        assert!(matches!(Lock::take(&path), Err(LockError::InUse)));
        drop(held);
        Lock::take(&path).unwrap();
    }

    #[test]
    fn a_place_that_cannot_be_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "in the way").unwrap();
        assert!(matches!(Lock::take(&file.join("it.lock")), Err(LockError::Io(_))));
    }
}
