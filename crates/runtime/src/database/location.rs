//! Where a database is.
//!
//! Invariant: a server's password is shown by nothing here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

/// Bytes of a schema's name. A channel's name has it within, and Postgres keeps 63 bytes of a name.
const MAX_SCHEMA: usize = 48;

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A SQLite file, of one process.
    File(PathBuf),
    /// A schema of a Postgres server, which several processes may share.
    Server {
        /// The server and its database.
        url: ServerUrl,
        /// The schema, made if it is not there.
        schema: Schema,
    },
}

/// The URL of a Postgres server: `postgres://user:password@host:port/database`, with the options that libpq knows, such as
/// `?sslmode=verify-full&sslrootcert=/path`.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(String);

/// The name of a schema: a lower-case letter, then lower-case letters, digits and underscores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema(String);

/// Why a location is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LocationError {
    /// Another scheme.
    #[error("is not a Postgres URL: postgres://user@host:port/database is expected")]
    Scheme,
    /// Not well-formed. The reason names no part of it, for a password may be that part.
    #[error("is not a well-formed Postgres URL: postgres://user@host:port/database is expected")]
    Malformed,
    /// A name that no schema of ours has.
    #[error("is not a schema's name: a lower-case letter, then up to 47 of a-z, 0-9 and _")]
    Schema,
}

// === impl Location ===

impl Location {
    /// Whether other processes may write into it.
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Server { .. })
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server { .. } => None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Server { url, schema } => write!(formatter, "{url} (schema {schema})"),
        }
    }
}

// === impl ServerUrl ===

impl ServerUrl {
    /// What connects to it.
    pub(super) fn options(&self) -> Result<PgConnectOptions, sqlx::Error> {
        self.0.parse()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerUrl {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let text = text.trim();
        if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err(LocationError::Scheme);
        }
        let url = Self(text.into());
        url.options().map_err(|_| LocationError::Malformed)?;
        Ok(url)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(options) = self.options() else { return formatter.write_str("postgres://") };
        let (user, host, port) = (options.get_username(), options.get_host(), options.get_port());
        let database = options.get_database().unwrap_or(user);
        write!(formatter, "postgres://{user}@{host}:{port}/{database}")
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ServerUrl({self})")
    }
}

// === impl Schema ===

impl Schema {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Schema {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let mut bytes = text.bytes();
        let proper = bytes.next().is_some_and(|first| first.is_ascii_lowercase())
            && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && text.len() <= MAX_SCHEMA
            && !text.starts_with("pg_");
        if proper { Ok(Self(text.into())) } else { Err(LocationError::Schema) }
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let url: ServerUrl =
            "postgres://me:hunter2@db.lab:5433/salvor?sslmode=require".parse().unwrap();
        let location = Location::Server { url, schema: "registry".parse().unwrap() };
        assert_eq!(location.to_string(), "postgres://me@db.lab:5433/salvor (schema registry)");
        assert!(!format!("{location:?}").contains("hunter2"));
        let error = "postgres://me:hunter2@host:port/x".parse::<ServerUrl>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn other_schemes_and_names_are_refused() {
        assert_eq!("mysql://host/x".parse::<ServerUrl>(), Err(LocationError::Scheme));
        assert_eq!("postgres://host:99999/x".parse::<ServerUrl>(), Err(LocationError::Malformed));
        for name in ["", "Registry", "1st", "a-b", "a\"b", "pg_own", &"x".repeat(49)] {
            assert_eq!(name.parse::<Schema>(), Err(LocationError::Schema), "{name}");
        }
        assert_eq!("salvor_registry".parse::<Schema>().unwrap().to_string(), "salvor_registry");
    }
}
