//! Connections, and how each is set up.

use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, Connection as _};
use tokio::time::timeout;
use tracing::log::LevelFilter;

use super::{Connections, Durability, Error, Location, Options};

/// A server closes a connection that leaves its transaction alone for so long: a process that was stopped in the middle of one,
/// or that vanished with its host, holds the others up no longer.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(5);
/// How long a statement may take on a server.
const STATEMENT: Duration = Duration::from_secs(15);
/// How long a server may say nothing before its connection is given up: it has ended any statement by then.
pub(super) const ANSWER: Duration = STATEMENT.saturating_add(Duration::from_secs(5));

pub(super) async fn writer(location: &Location, options: Options) -> Result<Connections, Error> {
    if let Location::File(path) = location {
        create(path)?;
    }
    let connections = if location.is_shared() { options.writers.max(1) } else { 1 };
    connect(location, options, connections, false).await
}

pub(super) async fn readers(location: &Location, options: Options) -> Result<Connections, Error> {
    connect(location, options, options.readers.max(1), true).await
}

async fn connect(
    location: &Location,
    options: Options,
    connections: u32,
    only_read: bool,
) -> Result<Connections, Error> {
    let (parsed, settings) = match location {
        Location::File(path) => {
            let parsed = url_of(path)
                .and_then(|url| url.parse::<AnyConnectOptions>())
                .map_err(Error::open(location))?;
            (parsed, of_file(options, only_read))
        }
        Location::Server { url, schema } => {
            let parsed =
                url.as_str().parse::<AnyConnectOptions>().map_err(Error::open(location))?;
            (parsed, of_server(schema.as_str(), options, only_read))
        }
    };
    let connect = parsed
        .log_statements(LevelFilter::Off)
        .log_slow_statements(LevelFilter::Warn, Duration::from_secs(1));
    sqlx::any::install_default_drivers();
    // A pool tries again and again, and would hide why.
    let trying = try_once(&connect, &settings, location);
    let in_time = timeout(options.acquire_timeout, trying).await;
    let off = in_time
        .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
        .map_err(Error::open(location))?;
    if let Some(setting) = off.filter(|_| options.durability == Durability::Full) {
        return Err(Error::NotDurable { location: location.clone(), setting });
    }
    let settings: Arc<str> = settings.into();
    let shared = location.is_shared();
    // A connection that is silent leaves time for another one.
    let look = options.answer_timeout.min(options.acquire_timeout / 2);
    let pool = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(options.acquire_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        // Of a file, a connection cannot go bad unnoticed; of a server it can, and a look costs a round trip. The pool's own look
        // would take as long as a silent server likes.
        .test_before_acquire(false)
        .before_acquire(move |connection, _| {
            Box::pin(async move { Ok(!shared || is_there(connection, look).await) })
        })
        .after_connect(move |connection, _| {
            let settings = Arc::clone(&settings);
            Box::pin(async move {
                sqlx::raw_sql(AssertSqlSafe(settings.to_string())).execute(connection).await?;
                Ok(())
            })
        })
        .connect_with(connect)
        .await
        .map_err(Error::open(location))?;
    Ok(Connections::new(pool, shared.then_some(options.answer_timeout)))
}

/// Whether the server is still at the other end.
async fn is_there(connection: &mut AnyConnection, within: Duration) -> bool {
    matches!(timeout(within, connection.ping()).await, Ok(Ok(())))
}

/// Answers which setting of a server, if any, makes its commits no commits.
async fn try_once(
    connect: &AnyConnectOptions,
    settings: &str,
    location: &Location,
) -> Result<Option<String>, sqlx::Error> {
    let mut connection = connect.connect().await?;
    sqlx::raw_sql(AssertSqlSafe(settings.to_owned())).execute(&mut connection).await?;
    let mut off = None;
    if location.is_shared() {
        let names = "SELECT name FROM pg_settings WHERE setting = 'off' \
                     AND name IN ('fsync', 'full_page_writes') ORDER BY name";
        off = sqlx::query_scalar(names).fetch_optional(&mut connection).await?;
    }
    connection.close().await?;
    Ok(off)
}

/// Every byte that could mean something in a URL is escaped, and the path is made absolute: its first part is no host.
fn url_of(path: &Path) -> Result<String, sqlx::Error> {
    let mut url = String::from("sqlite://");
    for byte in std::path::absolute(path)?.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            url.push(char::from(*byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url.push_str("?mode=rw");
    Ok(url)
}

fn of_file(options: Options, only_read: bool) -> String {
    let synchronous = match options.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    format!(
        "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; \
         PRAGMA foreign_keys = ON; PRAGMA query_only = {};",
        options.busy_timeout.as_millis(),
        if only_read { "ON" } else { "OFF" },
    )
}

fn of_server(schema: &str, options: Options, only_read: bool) -> String {
    // What the server is set to may be stronger than `on`, and stays.
    let commit = match options.durability {
        Durability::Full => {
            "SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') = 'off';"
        }
        Durability::Normal => "SET synchronous_commit = off;",
    };
    format!(
        "SET search_path = \"{schema}\"; SET lock_timeout = {}; SET statement_timeout = {}; \
         SET idle_in_transaction_session_timeout = {}; SET tcp_keepalives_idle = 5; \
         SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3; \
         SET default_transaction_read_only = {}; SET application_name = 'salvor'; {commit}",
        options.busy_timeout.as_millis(),
        STATEMENT.as_millis(),
        IDLE_IN_TRANSACTION.as_millis(),
        if only_read { "on" } else { "off" },
    )
}

fn create(path: &Path) -> Result<(), Error> {
    let refused = |path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::Create { path, source }
    };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(refused(directory))?;
    }
    // SQLite gives its log and index files the mode of the database file.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(refused(path)(error)),
    }
}
