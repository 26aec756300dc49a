//! Which repositories were used, in `repositories` of the adapter's data directory: a line each, `ID PLACE REPOSITORY`.
//!
//! Invariant: what is remembered of a place is never overwritten. A place that holds nothing, or another repository, is one whose
//! disk is not mounted, or whose settings are wrong; only a person knows that it is meant, and takes the line out.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::backend::of_io;
use super::{Config, StoreError};

/// The options that say where a repository is; of the others some are secret, and change.
const PLACES: [&str; 5] = ["endpoint", "bucket", "container", "filesystem", "root"];

/// See the module.
#[derive(Debug)]
pub(super) struct Memory {
    /// Without one nothing outlives the process.
    file: Option<PathBuf>,
}

// === impl Memory ===

impl Memory {
    pub(super) fn kept_in(directory: Option<PathBuf>) -> Self {
        Self { file: directory.map(|directory| directory.join("repositories")) }
    }

    /// The id of the repository that was used in this place.
    pub(super) fn recall(&self, config: &Config) -> Result<Option<String>, StoreError> {
        let Some(file) = &self.file else { return Ok(None) };
        let place = place(config);
        let text = read(file).map_err(|error| of_io(&error, &file.display().to_string()))?;
        let mut lines = text.lines().map(|line| line.split(' '));
        let id = lines.find_map(|mut parts| {
            let id = parts.next()?;
            (parts.next()? == place).then(|| id.to_owned())
        });
        Ok(id)
    }

    /// Keeps the id of the repository in this place, of which nothing is remembered.
    pub(super) fn keep(&self, config: &Config, id: &str) -> Result<(), StoreError> {
        let Some(file) = &self.file else { return Ok(()) };
        let line = format!("{id} {} {}\n", place(config), config.repository.escape_debug());
        append(file, &line).map_err(|error| of_io(&error, &file.display().to_string()))
    }

    /// Where a person finds it.
    pub(super) fn shown(&self) -> String {
        self.file.as_deref().map_or_else(String::new, |file| file.display().to_string())
    }
}

fn place(config: &Config) -> String {
    let mut digest = Sha256::new();
    digest.update(config.repository.strip_prefix("local:").unwrap_or(&config.repository));
    for (name, value) in config.options.iter().filter(|(name, _)| PLACES.contains(&name.as_str())) {
        digest.update(format!("\0{name}={value}"));
    }
    hex::encode(digest.finalize())
}

fn read(file: &Path) -> io::Result<String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// Whole or not at all.
fn append(file: &Path, line: &str) -> io::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let draft = file.with_extension("new");
    let mut options = OpenOptions::new();
    let mut written = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    written.write_all(read(file)?.as_bytes())?;
    written.write_all(line.as_bytes())?;
    written.sync_all()?;
    fs::rename(&draft, file)?;
    File::open(directory)?.sync_all()
}
