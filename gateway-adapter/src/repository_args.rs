//! Options that say where snapshots are kept, and for how long what none needs any more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::data::local_repository;
use crate::store::{Config, PasswordSource, Reclaim};

/// The environment variable that may hold the repository's password.
const PASSWORD: &str = "SALVOR_REPOSITORY_PASSWORD";
/// A year: nothing is kept for longer.
const MAX_KEEP_SECONDS: u64 = 31_536_000;

/// Where snapshots are kept.
#[derive(Args, Clone, Debug, Default)]
pub struct RepositoryArgs {
    /// Where snapshots are kept: a directory, or opendal:SERVICE such as opendal:s3 [default: `snapshots` in the data
    /// directory, with its password in `snapshots.key` there, both made if absent]
    #[arg(long, env = "SALVOR_REPOSITORY", value_name = "REPOSITORY")]
    repository: Option<String>,
    /// What the service needs, a KEY=VALUE a line, for example bucket=… and endpoint=…
    #[arg(
        long,
        env = "SALVOR_REPOSITORY_OPTIONS_FILE",
        value_name = "FILE",
        requires = "repository"
    )]
    repository_options_file: Option<PathBuf>,
    /// File whose first line is the repository's password; or give the password itself in SALVOR_REPOSITORY_PASSWORD
    #[arg(
        long,
        env = "SALVOR_REPOSITORY_PASSWORD_FILE",
        value_name = "FILE",
        requires = "repository"
    )]
    repository_password_file: Option<PathBuf>,
}

/// For how long what no snapshot needs any more stays.
#[derive(Args, Clone, Copy, Debug)]
pub struct ReclaimArgs {
    /// Seconds for which a new pack is left alone when space is reclaimed: longer than any capture takes of another adapter that
    /// uses the same repository
    #[arg(
        long,
        env = "SALVOR_REPOSITORY_KEEP_PACK_SECONDS",
        value_name = "SECONDS",
        default_value_t = 86_400,
        value_parser = clap::value_parser!(u64).range(..=MAX_KEEP_SECONDS)
    )]
    keep_pack_seconds: u64,
    /// Seconds after which a pack that no snapshot needs, and that was marked so, is deleted when space is reclaimed again; 0
    /// deletes at once, which is safe while no other adapter uses the repository
    #[arg(
        long,
        env = "SALVOR_REPOSITORY_KEEP_DELETE_SECONDS",
        value_name = "SECONDS",
        default_value_t = 259_200,
        value_parser = clap::value_parser!(u64).range(..=MAX_KEEP_SECONDS)
    )]
    keep_delete_seconds: u64,
}

// === impl RepositoryArgs ===

impl RepositoryArgs {
    /// The repository that is named, or the one of this data directory. Blocks.
    ///
    /// # Errors
    /// The data directory or the options file cannot be used, or a repository is named without its password.
    pub fn config(&self, data_dir: &Path) -> anyhow::Result<Config> {
        let Some(repository) = self.repository.clone() else {
            return Ok(local_repository(data_dir)?);
        };
        let password = match &self.repository_password_file {
            Some(file) => PasswordSource::File(file.clone()),
            None if std::env::var_os(PASSWORD).is_some() => {
                PasswordSource::Environment(PASSWORD.to_owned())
            }
            None => anyhow::bail!(
                "--repository needs its password: --repository-password-file FILE, or {PASSWORD}"
            ),
        };
        let options = match &self.repository_options_file {
            Some(file) => options(file)?,
            None => BTreeMap::new(),
        };
        Ok(Config { repository, options, password })
    }
}

// === impl ReclaimArgs ===

impl ReclaimArgs {
    /// As rules for reclaiming.
    pub fn rules(self) -> Reclaim {
        Reclaim {
            keep_pack: Duration::from_secs(self.keep_pack_seconds),
            keep_delete: Duration::from_secs(self.keep_delete_seconds),
        }
    }
}

/// Values are never shown: they may be secret.
fn options(file: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let options = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    options
        .map(|(number, line)| match line.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
            None => anyhow::bail!("{}, line {number}: must be KEY=VALUE", file.display()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn options_are_read_line_by_line_and_never_shown() {
        let home = tempfile::tempdir().unwrap();
        let (file, key) = (home.path().join("s3"), home.path().join("key"));
        fs::write(&file, "# of the bucket\nbucket = b\n\nsecret_access_key=a=b\n").unwrap();
        let args = RepositoryArgs {
            repository: Some("opendal:s3".to_owned()),
            repository_options_file: Some(file.clone()),
            repository_password_file: Some(key.clone()),
        };
        let config = args.config(home.path()).unwrap();
        let wanted = [("bucket", "b"), ("secret_access_key", "a=b")];
        assert!(config.options.iter().map(|(k, v)| (&**k, &**v)).eq(wanted), "{config:?}");
        assert_eq!(config.password, PasswordSource::File(key));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "no local one is made");

        fs::write(&file, "bucket=b\nhunter2\n").unwrap();
        let error = args.config(home.path()).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
    }
}
