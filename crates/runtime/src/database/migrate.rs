//! Bringing a database to the schema that this binary knows.
//!
//! The version is SQLite's `user_version`, or the one row of `schema_version` on a server, changed in the same transaction as
//! the schema.

use sqlx::AssertSqlSafe;

use super::{Connection, Connections, Error, Failure, Location, Transaction};

/// One step of a schema's history. Steps are only ever added, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Version that the schema has after it; from 1, rising by 1.
    pub version: i64,
    /// What it does, in a few words.
    pub name: &'static str,
    /// Statements for SQLite, separated by semicolons, without transaction control.
    pub sqlite: &'static str,
    /// The same for Postgres; `None` of a database that is a file always.
    pub postgres: Option<&'static str>,
}

/// Not `IF NOT EXISTS` alone, which needs the right to make one even where one is there. Two that start at once take turns.
const MAKE_SCHEMA: &str = "DO $$ BEGIN \
    PERFORM pg_advisory_xact_lock(hashtextextended('salvor:new ' || '{schema}', 0)); \
    IF to_regnamespace('{schema}') IS NULL THEN CREATE SCHEMA \"{schema}\"; END IF; \
    IF to_regclass('\"{schema}\".schema_version') IS NULL THEN \
        CREATE TABLE \"{schema}\".schema_version (version BIGINT NOT NULL); \
        INSERT INTO \"{schema}\".schema_version VALUES (0); \
    END IF; END $$";

pub(super) async fn run(
    location: &Location,
    writer: &Connections,
    migrations: &[Migration],
) -> Result<(), Error> {
    let found = found(location, writer).await.map_err(Error::open(location))?;
    let known = migrations.last().map_or(0, |migration| migration.version);
    if found > known {
        return Err(Error::Newer { location: location.clone(), found, known });
    }
    for migration in migrations.iter().filter(|migration| migration.version > found) {
        apply(location, writer, migration).await.map_err(|source| Error::Migrate {
            location: location.clone(),
            version: migration.version,
            name: migration.name,
            reached: migration.version - 1,
            failure: Failure::of(&source),
            source,
        })?;
    }
    Ok(())
}

async fn found(location: &Location, writer: &Connections) -> Result<i64, sqlx::Error> {
    let mut connection = writer.lend().await?;
    if let Location::Server { schema, .. } = location {
        let make = MAKE_SCHEMA.replace("{schema}", schema.as_str());
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut connection).await?;
    }
    version(location, &mut connection).await
}

/// Does nothing if another process has applied it in the meantime.
async fn apply(
    location: &Location,
    writer: &Connections,
    migration: &Migration,
) -> Result<(), sqlx::Error> {
    let mut transaction = Transaction::begin(writer, location.is_shared()).await?;
    if version(location, &mut transaction).await? >= migration.version {
        return Ok(());
    }
    let (statements, reached) = if location.is_shared() {
        let statements = migration
            .postgres
            .ok_or_else(|| sqlx::Error::Configuration("this database is a file always".into()))?;
        (statements, format!("UPDATE schema_version SET version = {}", migration.version))
    } else {
        (migration.sqlite, format!("PRAGMA user_version = {}", migration.version))
    };
    sqlx::raw_sql(statements).execute(&mut *transaction).await?;
    sqlx::raw_sql(AssertSqlSafe(reached)).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn version(location: &Location, connection: &mut Connection) -> Result<i64, sqlx::Error> {
    let version = if location.is_shared() {
        "SELECT version FROM schema_version"
    } else {
        "PRAGMA user_version"
    };
    sqlx::query_scalar(version).fetch_one(connection).await
}
