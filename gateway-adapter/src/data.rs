//! An adapter's data directory: a snapshot repository in `snapshots/`, and the password that opens it in `snapshots.key`.
//!
//! Invariant: a password is made only for a repository that is yet to be made. To a repository that is there a new one would
//! be a wrong one, and the lost one would seem to have been replaced.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::store::{Config, PasswordSource};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It, or a file in it, cannot be made or looked at.
    #[error("cannot use {}: {source}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The repository is there and what opens it is not.
    #[error(
        "{} holds snapshots, and their password {} is gone; nothing was changed: put the file back, or name another repository",
        repository.display(),
        password.display()
    )]
    PasswordGone {
        /// The repository.
        repository: PathBuf,
        /// Where the password was.
        password: PathBuf,
    },
}

/// The repository of a data directory. Makes the directory (mode 0700) and the password (mode 0600) if they are not there;
/// the repository itself is made at its first use. Blocks.
///
/// # Errors
/// As [`DataError`] says.
pub fn local_repository(directory: &Path) -> Result<Config, DataError> {
    let repository = directory.join("snapshots");
    let password = directory.join("snapshots.key");
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| DataError::Unusable { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unusable(directory))?;
    if !password.try_exists().map_err(unusable(&password))? {
        if holds_anything(&repository).map_err(unusable(&repository))? {
            return Err(DataError::PasswordGone { repository, password });
        }
        make(directory, &password).map_err(unusable(&password))?;
    }
    Ok(Config {
        repository: repository.display().to_string(),
        options: BTreeMap::new(),
        password: PasswordSource::File(password),
    })
}

fn holds_anything(repository: &Path) -> io::Result<bool> {
    match fs::read_dir(repository) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes one fresh password, whole or not at all, and never over one that is there.
fn make(directory: &Path, path: &Path) -> io::Result<()> {
    let draft = directory.join(format!("snapshots.key.{}", Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    // Two of 122 random bits each, from the operating system.
    let written = writeln!(file, "{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&draft, path));
    // What is left of a draft opens nothing.
    let _ = fs::remove_file(&draft);
    match written {
        // Another process was faster: its password is the password.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        written => written?,
    }
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_password_is_made_once_and_for_its_owner_alone() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("data");
        let first = local_repository(&directory).unwrap();
        let key = directory.join("snapshots.key");
        let password = fs::read_to_string(&key).unwrap();
        assert_eq!(password.trim().len(), 64);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(local_repository(&directory).unwrap(), first);
        assert_eq!(fs::read_to_string(&key).unwrap(), password);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_repository_without_its_password_gets_no_new_one() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("snapshots")).unwrap();
        fs::write(home.path().join("snapshots/config"), "").unwrap();
        let error = local_repository(home.path()).unwrap_err();
        assert!(matches!(error, DataError::PasswordGone { .. }));
        assert!(!home.path().join("snapshots.key").exists());
    }
}
