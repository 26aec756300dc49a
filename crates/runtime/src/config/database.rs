//! Where a service's database is: a file of its own, or a server that replicas share.

use std::path::PathBuf;

use clap::Args;

use super::DataArgs;
use crate::database::{Location, LocationError, Schema, ServerUrl};

/// Why there is no such location.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file cannot be read.
    #[error("--database-url-file: cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What it says is refused.
    #[error("{option} {problem}")]
    Refused {
        /// Where it was given.
        option: &'static str,
        /// Why.
        problem: LocationError,
    },
}

/// A database server that replicas share, in the place of a file.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Data")]
pub struct DatabaseArgs {
    /// Postgres that replicas of this service share, such as postgres://salvor@db/salvor [default: a file in the data directory]
    #[arg(long, env = "SALVOR_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// File that holds that URL, so that its password is in no process list
    #[arg(long, env = "SALVOR_DATABASE_URL_FILE", value_name = "FILE")]
    #[arg(conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,
    /// Schema of that database, made if it is not there [default: salvor_registry, salvor_journal]
    #[arg(long, env = "SALVOR_DATABASE_SCHEMA", value_name = "NAME")]
    pub database_schema: Option<String>,
}

impl DatabaseArgs {
    /// The database `name`: `<data directory>/<name>.db`, or the schema `salvor_<name>`.
    ///
    /// # Errors
    /// [`DatabaseError`], naming the option.
    pub fn location(&self, data: &DataArgs, name: &str) -> Result<Location, DatabaseError> {
        let (option, text) = match (&self.database_url, &self.database_url_file) {
            (Some(url), _) if !url.is_empty() => ("--database-url", url.clone()),
            (_, Some(path)) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| DatabaseError::File { path: path.clone(), source })?;
                ("--database-url-file", text)
            }
            _ => return Ok(Location::File(data.database(name))),
        };
        let refused =
            |option| move |problem: LocationError| DatabaseError::Refused { option, problem };
        let url: ServerUrl = text.parse().map_err(refused(option))?;
        let schema = self.database_schema.clone().unwrap_or_else(|| format!("salvor_{name}"));
        let schema: Schema = schema.parse().map_err(refused("--database-schema"))?;
        Ok(Location::Server { url, schema })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(url: Option<&str>, schema: Option<&str>) -> Result<String, String> {
        let args = DatabaseArgs {
            database_url: url.map(Into::into),
            database_url_file: None,
            database_schema: schema.map(Into::into),
        };
        let location = args.location(&DataArgs::default(), "registry");
        location.map(|found| found.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_unless_a_server_is_named() {
        assert_eq!(located(None, None).unwrap(), "salvor-data/registry.db");
        assert_eq!(located(Some(""), None).unwrap(), "salvor-data/registry.db");
        let shown = located(Some("postgres://me:secret@db/x"), None).unwrap();
        assert_eq!(shown, "postgres://me@db:5432/x (schema salvor_registry)");
        assert!(located(Some("postgres://db/x"), Some("other")).unwrap().contains("schema other"));
    }

    #[test]
    fn what_is_wrong_is_named_and_its_password_is_not() {
        let error = located(Some("mysql://me:secret@db/x"), None).unwrap_err();
        assert!(error.starts_with("--database-url is not a Postgres URL"), "{error}");
        assert!(!error.contains("secret"));
        let error = located(Some("postgres://db/x"), Some("A B")).unwrap_err();
        assert!(error.starts_with("--database-schema is not a schema's name"), "{error}");
    }
}
