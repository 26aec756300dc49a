//! The services' stores, looked at from outside.

use std::{fs, path::Path};

use anyhow::Result;
use salvor_runtime::database::Location;
use sqlx::{AnyPool, AssertSqlSafe, any::AnyPoolOptions};

/// Of which services make their connections; this program's have none.
const APPLICATION: &str = "salvor";

/// A store beside its service.
#[derive(Debug)]
pub(crate) struct Database {
    location: Location,
    pool: AnyPool,
}

impl Database {
    /// `server` is the URL of the server that `location` is on, if it is on one.
    pub(crate) fn open(location: &Location, server: Option<&str>) -> Result<Self> {
        sqlx::any::install_default_drivers();
        let (url, setting) = match (location, server) {
            (Location::Server { schema, .. }, Some(url)) => {
                (url.to_owned(), format!("SET search_path = \"{schema}\""))
            }
            _ => (format!("sqlite://{location}"), "PRAGMA query_only = 1".to_owned()),
        };
        let pool = AnyPoolOptions::new().max_connections(1).after_connect(move |connection, _| {
            let setting = setting.clone();
            Box::pin(async move {
                sqlx::raw_sql(AssertSqlSafe(setting)).execute(connection).await.map(drop)
            })
        });
        Ok(Self { location: location.clone(), pool: pool.connect_lazy(&url)? })
    }

    /// The one number that a query answers.
    pub(crate) async fn number(&self, query: &str) -> Result<i64> {
        Ok(sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&self.pool).await?)
    }

    /// Bytes that it takes; of a file without its write-ahead log.
    pub(crate) async fn bytes(&self) -> Result<u64> {
        match &self.location {
            Location::File(path) => Ok(fs::metadata(path)?.len()),
            Location::Server { schema, .. } => {
                let query = format!(
                    "SELECT COALESCE(SUM(pg_total_relation_size(c.oid)), 0)::BIGINT FROM pg_class c \
                     JOIN pg_namespace n ON n.oid = c.relnamespace \
                     WHERE n.nspname = '{schema}' AND c.relkind = 'r'"
                );
                Ok(u64::try_from(self.number(&query).await?)?)
            }
        }
    }

    /// Of a file: bytes of its write-ahead log.
    pub(crate) fn log_bytes(&self) -> Option<u64> {
        self.location.file().map(log_bytes)
    }

    /// Ends about every third connection that services have to the server. Answers how many.
    pub(crate) async fn terminate(&self) -> Result<i64> {
        let query = format!(
            "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = '{APPLICATION}' AND random() < 0.34) AS ended"
        );
        self.number(&query).await
    }
}

/// Bytes of the write-ahead log of a SQLite file; none if there is none.
pub(crate) fn log_bytes(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    fs::metadata(log).map_or(0, |log| log.len())
}
