//! Bringing a database to the schema that this binary knows.
//!
//! The version is SQLite's `user_version`, changed in the same transaction as the schema.

use std::path::Path;

use sqlx::{AssertSqlSafe, SqlitePool};

use super::{Error, Failure};

/// One step of a schema's history. Steps are only ever added, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Version that the schema has after it; from 1, rising by 1.
    pub version: i64,
    /// What it does, in a few words.
    pub name: &'static str,
    /// Statements, separated by semicolons, without transaction control.
    pub sql: &'static str,
}

pub(super) async fn run(
    path: &Path,
    writer: &SqlitePool,
    migrations: &[Migration],
) -> Result<(), Error> {
    let open = |source: sqlx::Error| Error::Open {
        path: path.into(),
        failure: Failure::of(&source),
        source,
    };
    let found: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(writer).await.map_err(open)?;
    let known = migrations.last().map_or(0, |migration| migration.version);
    if found > known {
        return Err(Error::Newer { path: path.into(), found, known });
    }
    for migration in migrations.iter().filter(|migration| migration.version > found) {
        apply(writer, migration).await.map_err(|source| Error::Migrate {
            path: path.into(),
            version: migration.version,
            name: migration.name,
            reached: migration.version - 1,
            failure: Failure::of(&source),
            source,
        })?;
    }
    Ok(())
}

/// Does nothing if another process has applied it in the meantime.
async fn apply(writer: &SqlitePool, migration: &Migration) -> Result<(), sqlx::Error> {
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await?;
    if version >= migration.version {
        return Ok(());
    }
    sqlx::raw_sql(migration.sql).execute(&mut *transaction).await?;
    let reached = format!("PRAGMA user_version = {}", migration.version);
    sqlx::raw_sql(AssertSqlSafe(reached)).execute(&mut *transaction).await?;
    transaction.commit().await
}
