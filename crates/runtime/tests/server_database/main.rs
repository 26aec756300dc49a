//! A schema of a Postgres server, shared by several processes. Where the environment names no server, every test says that it
//! is skipped.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod silent;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use salvor_runtime::database::{
    Connections, Database, Error, Failure, Location, Migration, Options, Word,
};
use salvor_testkit::store::{Store, skipped_without_a_server};
use salvor_testkit::wait::until;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);
const V1: Migration = Migration {
    version: 1,
    name: "rows",
    sqlite: "",
    postgres: Some(
        "CREATE TABLE rows (id BIGINT PRIMARY KEY, name TEXT COLLATE \"C\");
         CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_notify('salvor:' || TG_TABLE_SCHEMA, NEW.name); RETURN NULL; END $$;
         CREATE TRIGGER told AFTER INSERT ON rows FOR EACH ROW EXECUTE FUNCTION tell();",
    ),
};
const V2: Migration = Migration {
    version: 2,
    name: "notes",
    sqlite: "",
    postgres: Some("ALTER TABLE rows ADD COLUMN note TEXT;"),
};

/// A schema of a test's own; `None` where there is no server.
fn schema() -> Option<Store> {
    if skipped_without_a_server("a server's schema") {
        return None;
    }
    Some(Store::new(std::path::Path::new("."), "runtime"))
}

async fn open(store: &Store) -> Database {
    Database::open(store.location(), Options::default(), &[V1]).await.unwrap()
}

async fn insert(database: &Connections, id: i64, name: &str) -> Result<(), sqlx::Error> {
    let insert = sqlx::query("INSERT INTO rows (id, name) VALUES ($1, $2)").bind(id).bind(name);
    insert.execute(database).await.map(drop)
}

async fn count(database: &Database) -> i64 {
    let mut view = database.view().await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM rows").fetch_one(&mut *view).await.unwrap()
}

/// A server of the test's own, since the setting is the whole server's.
struct OwnServer {
    directory: tempfile::TempDir,
    url: String,
}

impl OwnServer {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/lib/postgres");

    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Its own user must be able to enter it.
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let place = directory.path().join("server");
        let started = Command::new(Self::SCRIPT).arg("start").arg(place).output().unwrap();
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        let url = String::from_utf8(started.stdout).unwrap().trim().to_owned();
        Self { directory, url }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let place = self.directory.path().join("server");
        let _ = Command::new(Self::SCRIPT).arg("stop").arg(place).status();
    }
}

#[tokio::test]
async fn a_server_whose_commits_are_none_is_refused_untouched() {
    if skipped_without_a_server("what a server is set to") {
        return;
    }
    let server = tokio::task::spawn_blocking(OwnServer::start).await.unwrap();
    for setting in ["fsync", "full_page_writes"] {
        set(&server, setting, "off").await;
        let made = schemas(&server).await;
        let store = Store::on(Some(&server.url), std::path::Path::new("."), "runtime");
        let refused = Database::open(store.location(), Options::default(), &[V1]).await;
        let refused = refused.unwrap_err().to_string();
        let words = format!("runs with {setting} = off: after a crash of its host");
        assert!(refused.contains(&words), "{refused}");
        assert!(refused.contains("Nothing was changed. Set"), "{refused}");
        assert!(!refused.contains("salvor:salvor"), "no password: {refused}");
        assert_eq!(schemas(&server).await, made, "nothing was changed");
        set(&server, setting, "on").await;
        open(&store).await.close().await;
        assert_eq!(schemas(&server).await, made + 1);
    }
}

/// How many schemas of tests there are.
async fn schemas(server: &OwnServer) -> i64 {
    let mut admin = PgConnection::connect(&server.url).await.unwrap();
    let count = "SELECT count(*) FROM information_schema.schemata WHERE schema_name LIKE 't_%'";
    sqlx::query_scalar(count).fetch_one(&mut admin).await.unwrap()
}

/// Sets one of the server's settings, and waits until new connections have it.
async fn set(server: &OwnServer, setting: &str, value: &str) {
    let mut admin = PgConnection::connect(&server.url).await.unwrap();
    let alter = format!("ALTER SYSTEM SET {setting} = {value}");
    sqlx::query(AssertSqlSafe(alter)).execute(&mut admin).await.unwrap();
    sqlx::query("SELECT pg_reload_conf()").execute(&mut admin).await.unwrap();
    until("the setting", async || {
        let mut new = PgConnection::connect(&server.url).await.unwrap();
        let query = sqlx::query_scalar("SELECT current_setting($1)").bind(setting);
        let now: String = query.fetch_one(&mut new).await.unwrap();
        (now == value).then_some(())
    })
    .await;
}

#[tokio::test]
async fn many_that_start_at_once_bring_it_to_its_schema_once() {
    let Some(store) = schema() else { return };
    let opening = (0..8).map(|_| {
        let location = store.location().clone();
        tokio::spawn(async move {
            Database::open(&location, Options::default(), &[V1, V2]).await.unwrap()
        })
    });
    let opening: Vec<_> = opening.collect();
    for opened in opening {
        let database = opened.await.unwrap();
        sqlx::query("SELECT note FROM rows").fetch_all(database.readers()).await.unwrap();
        database.close().await;
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let Some(store) = schema() else { return };
    Database::open(store.location(), Options::default(), &[V1, V2]).await.unwrap().close().await;
    let error = Database::open(store.location(), Options::default(), &[V1]).await.unwrap_err();
    assert!(matches!(error, Error::Newer { found: 2, known: 1, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("(schema t_runtime_") && !text.contains(":salvor@"), "{text}");
    Database::open(store.location(), Options::default(), &[V1, V2]).await.unwrap();
}

#[tokio::test]
async fn a_failed_migration_leaves_the_schema_before_it() {
    let Some(store) = schema() else { return };
    let postgres = Some("CREATE TABLE half (id BIGINT); SELECT nothing;");
    let broken = Migration { version: 2, name: "broken", sqlite: "", postgres };
    let error =
        Database::open(store.location(), Options::default(), &[V1, broken]).await.unwrap_err();
    assert!(matches!(error, Error::Migrate { version: 2, reached: 1, .. }), "{error}");
    let database = open(&store).await;
    let half = "SELECT count(*) FROM information_schema.tables \
                WHERE table_schema = current_schema() AND table_name = 'half'";
    let half: i64 = sqlx::query_scalar(half).fetch_one(database.readers()).await.unwrap();
    assert_eq!(half, 0);
}

/// What one transaction has read stays true until it ends, whichever process writes.
#[tokio::test]
async fn one_transaction_at_a_time_is_let_in_over_all_processes() {
    const EACH: i64 = 20;
    let Some(store) = schema() else { return };
    let counting = (0..3).map(|_| {
        let location = store.location().clone();
        tokio::spawn(async move {
            let database = Database::open(&location, Options::default(), &[V1]).await.unwrap();
            for _ in 0..EACH {
                let mut transaction = database.begin().await.unwrap();
                let next = "SELECT COALESCE(MAX(id), 0) + 1 FROM rows";
                let next: i64 =
                    sqlx::query_scalar(next).fetch_one(&mut *transaction).await.unwrap();
                sqlx::query("INSERT INTO rows (id, name) VALUES ($1, '')")
                    .bind(next)
                    .execute(&mut *transaction)
                    .await
                    .unwrap();
                transaction.commit().await.unwrap();
            }
        })
    });
    let counting: Vec<_> = counting.collect();
    for counted in counting {
        counted.await.unwrap();
    }
    assert_eq!(count(&open(&store).await).await, 3 * EACH);
}

/// A process that stops in the middle of a transaction, by SIGSTOP say, holds the others up for some seconds and no longer, and
/// what it goes on with then is not done.
#[tokio::test]
async fn whoever_stops_in_the_middle_of_a_transaction_loses_it() {
    let Some(store) = schema() else { return };
    let (stopped, other) = (open(&store).await, open(&store).await);
    let mut held = stopped.begin().await.unwrap();
    sqlx::query("INSERT INTO rows (id, name) VALUES (1, '')").execute(&mut *held).await.unwrap();
    let lock = async {
        loop {
            match other.begin().await {
                Ok(transaction) => return transaction,
                Err(error) => assert!(Failure::of(&error).is_transient(), "{error}"),
            }
        }
    };
    timeout(PATIENCE, lock).await.unwrap().commit().await.unwrap();
    let error = held.commit().await.unwrap_err();
    assert!(Failure::of(&error).is_transient(), "{error}");
    assert_eq!(count(&other).await, 0);
    // Its next transaction is on a connection that is none the worse.
    stopped.begin().await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn readers_cannot_write_and_do_not_wait_for_the_writer() {
    let Some(store) = schema() else { return };
    let database = open(&store).await;
    let error = insert(database.readers(), 1, "").await.unwrap_err();
    assert_eq!(Failure::of(&error), Failure::ReadOnly, "{error}");
    let _writing = database.begin().await.unwrap();
    assert_eq!(count(&database).await, 0);
}

#[tokio::test]
async fn a_view_shows_one_state() {
    let Some(store) = schema() else { return };
    let database = open(&store).await;
    let mut view = database.view().await.unwrap();
    let rows = "SELECT count(*) FROM rows";
    let before: i64 = sqlx::query_scalar(rows).fetch_one(&mut *view).await.unwrap();
    insert(database.writer(), 1, "").await.unwrap();
    let after: i64 = sqlx::query_scalar(rows).fetch_one(&mut *view).await.unwrap();
    assert_eq!((before, after), (0, 0));
    drop(view);
    assert_eq!(count(&database).await, 1);
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once_and_not_shown() {
    let Some(store) = schema() else { return };
    let Location::Server { schema, .. } = store.location().clone() else { panic!("a server") };
    let url = salvor_testkit::store::postgres().unwrap().replace(":salvor@", ":hunter2@");
    let location = Location::Server { url: url.parse().unwrap(), schema };
    let error = Database::open(&location, Options::default(), &[V1]).await.unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_away() {
    let url = "postgres://salvor@127.0.0.1:1/x".parse().unwrap();
    let location = Location::Server { url, schema: "salvor_x".parse().unwrap() };
    let error = Database::open(&location, Options::default(), &[V1]).await.unwrap_err();
    assert!(matches!(error, Error::Open { failure: Failure::Away, .. }), "{error}");
    assert!(error.to_string().contains("postgres://salvor@127.0.0.1:1/x"), "{error}");
}

/// Each word names what was written; a connection that breaks is made again, and then anything may have been.
#[tokio::test]
async fn what_others_write_is_told_past_a_broken_connection() {
    let Some(store) = schema() else { return };
    let (listening, writing) = (open(&store).await, open(&store).await);
    let (tell, mut told) = mpsc::unbounded_channel();
    let _heeding = listening.heed(move |word| drop(tell.send(word)));
    assert_eq!(timeout(PATIENCE, told.recv()).await.unwrap(), Some(Word::Any), "from here on");
    insert(writing.writer(), 1, "one").await.unwrap();
    assert_eq!(timeout(PATIENCE, told.recv()).await.unwrap(), Some(Word::Of("one".into())));
    let channel = format!("%{}%", store.location().to_string().rsplit(' ').next().unwrap());
    let channel = channel.replace(')', "");
    sqlx::query(
        "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE query LIKE $1 \
         AND query LIKE 'LISTEN%'",
    )
    .bind(channel)
    .fetch_all(writing.writer())
    .await
    .unwrap();
    assert_eq!(timeout(PATIENCE, told.recv()).await.unwrap(), Some(Word::Any), "it is back");
    insert(writing.writer(), 2, "two").await.unwrap();
    assert_eq!(timeout(PATIENCE, told.recv()).await.unwrap(), Some(Word::Of("two".into())));
}
