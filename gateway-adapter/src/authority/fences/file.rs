//! `fences.db`: one row for each sandbox, and one that names the file.

use std::collections::HashMap;
use std::path::Path;

use salvor_runtime::database::{Database, Failure, Location, Migration, Options, at_once};
use salvor_runtime::{Lock, LockError};
use sqlx::Row;

const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "fence tokens",
    sqlite: "CREATE TABLE fences (sandbox TEXT PRIMARY KEY, token INTEGER NOT NULL) STRICT;
          CREATE INDEX fences_by_token ON fences (token);
          CREATE TABLE meta (
              id INTEGER PRIMARY KEY CHECK (id = 1),
              instance TEXT NOT NULL,
              floor INTEGER NOT NULL   -- the highest token of a row that was given up
          ) STRICT;",
    postgres: None,
}];

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Another process has it.
    #[error("another process uses it")]
    InUse,
    /// It, its directory or its disk.
    #[error("{0}")]
    Unusable(String),
}

/// What was in it.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) highest: HashMap<String, i64>,
    pub(super) floor: i64,
    pub(super) instance: String,
}

/// The open file. Dropped, it is free for another process.
#[derive(Debug)]
pub(super) struct File {
    database: Database,
    /// Locked as long as it is open.
    _lock: Lock,
}

// === impl File ===

impl File {
    /// Opens or makes it, and reads all of it.
    pub(super) async fn open(directory: &Path) -> Result<(Self, Kept), Trouble> {
        let lock = Lock::take(&directory.join("adapter.lock")).map_err(|error| match error {
            LockError::InUse => Trouble::InUse,
            LockError::Io(error) => Trouble::Unusable(error.to_string()),
        })?;
        let options = Options { readers: 1, ..Options::default() };
        at_once(async {
            let file = Location::File(directory.join("fences.db"));
            let database = Database::open(&file, options, MIGRATIONS).await;
            let database = database.map_err(|error| Trouble::Unusable(error.to_string()))?;
            let file = Self { database, _lock: lock };
            let kept = file.read().await?;
            Ok((file, kept))
        })
        .await
    }

    /// Folds everything into the one file, and frees it.
    pub(super) async fn close(self) {
        at_once(self.database.close()).await;
    }

    async fn read(&self) -> Result<Kept, Trouble> {
        // A page that is damaged must be found now, not when its token is needed.
        let sound: String = sqlx::query_scalar("PRAGMA quick_check(1)")
            .fetch_one(self.database.writer())
            .await
            .map_err(|error| trouble(&error))?;
        if sound != "ok" {
            return Err(Trouble::Unusable(sound));
        }
        sqlx::query(
            "INSERT INTO meta (id, instance, floor) VALUES (1, $1, 0) ON CONFLICT DO NOTHING",
        )
        .bind(super::instance())
        .execute(self.database.writer())
        .await
        .map_err(|error| trouble(&error))?;
        let meta = sqlx::query("SELECT instance, floor FROM meta")
            .fetch_one(self.database.writer())
            .await
            .map_err(|error| trouble(&error))?;
        let rows = sqlx::query_as("SELECT sandbox, token FROM fences")
            .fetch_all(self.database.writer())
            .await
            .map_err(|error| trouble(&error))?;
        Ok(Kept {
            highest: rows.into_iter().collect(),
            instance: meta.try_get(0).map_err(|error| trouble(&error))?,
            floor: meta.try_get(1).map_err(|error| trouble(&error))?,
        })
    }

    /// Keeps a token unless a higher one is kept, and forgets every token up to `floor` but the floor itself. At once, or not
    /// at all.
    pub(super) async fn keep(
        &self,
        sandbox: &str,
        token: i64,
        floor: Option<i64>,
    ) -> Result<(), Trouble> {
        let kept = async {
            let mut transaction = self.database.begin().await?;
            if let Some(floor) = floor {
                sqlx::query("UPDATE meta SET floor = max(floor, $1)")
                    .bind(floor)
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query("DELETE FROM fences WHERE token <= $1")
                    .bind(floor)
                    .execute(&mut *transaction)
                    .await?;
            }
            sqlx::query(
                "INSERT INTO fences (sandbox, token) VALUES ($1, $2) \
                 ON CONFLICT (sandbox) DO UPDATE SET token = max(token, excluded.token)",
            )
            .bind(sandbox)
            .bind(token)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await
        };
        at_once(kept).await.map_err(|error| trouble(&error))
    }
}

fn trouble(error: &sqlx::Error) -> Trouble {
    tracing::error!(%error, "fences.db");
    Trouble::Unusable(Failure::of(error).to_string())
}
