//! Where a key ring comes from.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chacha20poly1305::XChaCha20Poly1305;
use chacha20poly1305::aead::{Generate, Key};

use super::{Error, KeyRing};
use crate::config::KeySource;

/// The ring that `source` names.
pub(crate) fn load(source: &KeySource) -> Result<KeyRing, Error> {
    match source {
        KeySource::Ring(ring) => Ok(ring.clone()),
        KeySource::File { path, create } => {
            let failed = failed("read", path);
            match fs::read_to_string(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && *create => make(path)?,
                Err(error) => return Err(failed(error)),
                Ok(_) => {}
            }
            let text = fs::read_to_string(path).map_err(failed)?;
            warn_if_shared(path);
            KeyRing::parse(&text)
        }
    }
}

/// Writes a file with one fresh key, whole or not at all, and never over one that is there.
fn make(path: &Path) -> Result<(), Error> {
    let failed = failed("create", path);
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = directory {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(&failed)?;
    }
    let key = Key::<XChaCha20Poly1305>::try_generate().map_err(|_| Error::Random)?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", uuid::Uuid::new_v4().simple()));
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(&failed)?;
    let written = writeln!(file, "{}", hex::encode(key))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    match written {
        // Another process was faster: its key is the key.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        written => written.map_err(&failed),
    }?;
    let directory = directory.unwrap_or(Path::new("."));
    fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}

fn warn_if_shared(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others can read the seal key file; chmod 600 it");
    }
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::File { action, path: path.clone(), source }
}
