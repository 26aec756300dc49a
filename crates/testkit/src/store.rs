//! Where a test keeps a service's data: in a SQLite file, or on the Postgres server that the environment names, so that the same
//! tests prove both.

use std::path::Path;

use salvor_runtime::database::{Location, Schema, ServerUrl};
use sqlx::{
    AnyConnection, AnyPool, AssertSqlSafe, Connection as _, PgConnection, any::AnyPoolOptions,
};
use uuid::Uuid;

use crate::cut::Way;
use crate::wait::until;

/// Names the server that tests use instead of files, each with schemas of its own.
pub const POSTGRES: &str = "SALVOR_TEST_POSTGRES";

/// A store of a test's own. Dropped, what it made on a server is gone.
#[derive(Debug)]
pub struct Store {
    location: Location,
    server: Option<String>,
}

/// The server's URL, if tests are to use one.
pub fn postgres() -> Option<String> {
    std::env::var(POSTGRES).ok().filter(|url| !url.is_empty())
}

/// True on a server: the test is about files alone, and says that it is skipped.
pub fn skipped_on_a_server(why: &str) -> bool {
    let skipped = postgres().is_some();
    if skipped {
        eprintln!("skipped: {why}");
    }
    skipped
}

/// True without a server: the test is about what several processes share, and says that it is skipped.
pub fn skipped_without_a_server(why: &str) -> bool {
    let skipped = postgres().is_none();
    if skipped {
        eprintln!("skipped: {why}, and {POSTGRES} names none");
    }
    skipped
}

impl Store {
    /// `name.db` in `directory`, or a fresh schema.
    ///
    /// # Panics
    /// The environment names no proper server.
    pub fn new(directory: &Path, name: &str) -> Self {
        Self::on(postgres().as_deref(), directory, name)
    }

    /// The same on a server that is given, if one is.
    ///
    /// # Panics
    /// It is no proper server.
    #[expect(
        clippy::expect_used,
        reason = "a test that is told to use a server must not use a file"
    )]
    pub fn on(server: Option<&str>, directory: &Path, name: &str) -> Self {
        let Some(server) = server else { return Self::in_file(directory, name) };
        let url: ServerUrl = server.parse().expect("the URL of a Postgres server");
        let schema = format!("t_{name}_{}", Uuid::new_v4().simple());
        let schema: Schema = schema[..schema.len().min(48)].parse().expect("a schema's name");
        Self { location: Location::Server { url, schema }, server: Some(server.to_owned()) }
    }

    /// `name.db` in `directory`, whatever the environment names.
    pub fn in_file(directory: &Path, name: &str) -> Self {
        Self { location: Location::File(directory.join(format!("{name}.db"))), server: None }
    }

    /// Where it is.
    pub const fn location(&self) -> &Location {
        &self.location
    }

    /// The same by a way that can be cut: its URL, and the way. `None` of a file.
    ///
    /// # Panics
    /// There is no way.
    #[expect(clippy::expect_used, reason = "a helper of tests")]
    pub async fn by_a_way(&self) -> Option<(String, Way)> {
        let url = self.server.as_deref()?;
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let (user, rest) = rest.split_once('@').expect("a URL with a user");
        let (server, path) = rest.split_once('/').expect("a URL with a database");
        let way = Way::to(server.to_owned()).await.expect("a way to the server");
        Some((format!("{scheme}://{user}@{}/{path}", way.address), way))
    }

    /// The same place by a way that can be cut or swallow. `None` of a file.
    ///
    /// # Panics
    /// There is no way.
    #[expect(clippy::expect_used, reason = "a helper of tests")]
    pub async fn beyond_a_way(&self) -> Option<(Location, Way)> {
        let Location::Server { schema, .. } = &self.location else { return None };
        let (url, way) = self.by_a_way().await?;
        let url = url.parse().expect("a way's URL");
        Some((Location::Server { url, schema: schema.clone() }, way))
    }

    /// Connections beside those of the service.
    ///
    /// # Panics
    /// It cannot be opened.
    pub async fn open(&self) -> AnyPool {
        open(&self.location).await
    }
}

/// As [`Store::open`], of whatever is at `location`.
///
/// # Panics
/// It cannot be opened.
#[expect(clippy::expect_used, reason = "a helper of tests")]
pub async fn open(location: &Location) -> AnyPool {
    sqlx::any::install_default_drivers();
    let (url, setting) = match location {
        Location::File(path) => (format!("sqlite://{}", path.display()), String::new()),
        Location::Server { schema, .. } => {
            (postgres().expect("a server"), format!("SET search_path = \"{schema}\""))
        }
    };
    AnyPoolOptions::new()
        .max_connections(2)
        .after_connect(move |connection, _| {
            let setting = setting.clone();
            Box::pin(async move {
                sqlx::raw_sql(AssertSqlSafe(setting)).execute(connection).await.map(drop)
            })
        })
        .connect(&url)
        .await
        .expect("the test's store")
}

/// Waits until somebody waits for what `holder` has locked.
///
/// # Panics
/// Nobody does.
#[expect(clippy::expect_used, reason = "a helper of tests")]
pub async fn somebody_waits_for(holder: &mut AnyConnection, beside: &AnyPool) {
    let id = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(holder).await;
    let id: i32 = id.expect("the holder's number");
    until("somebody that waits", || async {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))";
        let waiting = sqlx::query_scalar::<_, i64>(waiting).bind(id).fetch_one(beside).await;
        (waiting.expect("who waits") > 0).then_some(())
    })
    .await;
}

impl Drop for Store {
    fn drop(&mut self) {
        let (Some(server), Location::Server { schema, .. }) = (self.server.take(), &self.location)
        else {
            return;
        };
        let drop_it = format!("DROP SCHEMA IF EXISTS \"{schema}\" CASCADE");
        // A test's runtime may be gone, or be this thread's.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let Ok(mut connection) = PgConnection::connect(&server).await else { return };
                // A service that is not stopped yet would hold it up, and is of no use any more.
                let patience = "SET lock_timeout = '5s'";
                let _ = sqlx::raw_sql(patience).execute(&mut connection).await;
                if let Err(error) =
                    sqlx::raw_sql(AssertSqlSafe(drop_it)).execute(&mut connection).await
                {
                    eprintln!("a test's schema is left behind: {error}");
                }
            });
        });
        // It has told what there is to tell.
        let _ = dropping.join();
    }
}
