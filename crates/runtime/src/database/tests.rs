use std::os::unix::fs::PermissionsExt;

use std::path::{Path, PathBuf};

use super::*;

const V1: Migration = Migration {
    version: 1,
    name: "rows",
    sqlite: "CREATE TABLE rows (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;
             CREATE TABLE refs (row INTEGER NOT NULL REFERENCES rows (id)) STRICT;",
    postgres: None,
};
const V2: Migration = Migration {
    version: 2,
    name: "notes",
    sqlite: "ALTER TABLE rows ADD COLUMN note TEXT;",
    postgres: None,
};

struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("data/test.db")
    }

    async fn open(&self, migrations: &[Migration]) -> Result<Database, Error> {
        let options = Options { busy_timeout: Duration::from_millis(20), ..Options::default() };
        Database::open(&Location::File(self.path()), options, migrations).await
    }
}

async fn insert(pool: &Connections, size: i64) -> Result<(), sqlx::Error> {
    let insert = sqlx::query("INSERT INTO rows (data) VALUES (zeroblob($1))").bind(size);
    insert.execute(pool).await.map(drop)
}

async fn pragma(pool: &Connections, sql: &'static str) -> String {
    let value: i64 = match sqlx::query_scalar(sql).fetch_one(pool).await {
        Ok(value) => value,
        Err(_) => return sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
    };
    value.to_string()
}

#[tokio::test]
async fn settings_and_modes_are_as_promised() {
    let scratch = Scratch::new();
    let database = scratch.open(&[V1]).await.unwrap();
    for pool in [database.writer(), database.readers()] {
        assert_eq!(pragma(pool, "PRAGMA journal_mode").await, "wal");
        assert_eq!(pragma(pool, "PRAGMA synchronous").await, "2");
        assert_eq!(pragma(pool, "PRAGMA foreign_keys").await, "1");
    }
    insert(database.writer(), 1).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(scratch.path().parent().unwrap()), 0o700);
    for file in std::fs::read_dir(scratch.path().parent().unwrap()).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    let broken = sqlx::query("INSERT INTO refs VALUES (77)").execute(database.writer()).await;
    assert_eq!(Failure::of(&broken.unwrap_err()), Failure::Other);
}

#[tokio::test]
async fn normal_durability_is_an_option() {
    let scratch = Scratch::new();
    let options = Options { durability: Durability::Normal, ..Options::default() };
    let database = Database::open(&Location::File(scratch.path()), options, &[]).await.unwrap();
    assert_eq!(pragma(database.writer(), "PRAGMA synchronous").await, "1");
}

#[tokio::test]
async fn data_survives_and_only_missing_migrations_run() {
    let scratch = Scratch::new();
    let database = scratch.open(&[V1]).await.unwrap();
    insert(database.writer(), 3).await.unwrap();
    database.close().await;
    let database = scratch.open(&[V1, V2]).await.unwrap();
    let notes = sqlx::query_scalar::<_, Option<String>>("SELECT note FROM rows");
    assert_eq!(notes.fetch_all(database.readers()).await.unwrap(), [None]);
    assert_eq!(pragma(database.readers(), "PRAGMA user_version").await, "2");
}

#[tokio::test]
async fn a_newer_database_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    scratch.open(&[V1, V2]).await.unwrap().close().await;
    let before = std::fs::read(scratch.path()).unwrap();
    let error = scratch.open(&[V1]).await.unwrap_err();
    assert!(matches!(error, Error::Newer { found: 2, known: 1, .. }), "{error}");
    assert_eq!(std::fs::read(scratch.path()).unwrap(), before);
}

#[tokio::test]
async fn a_failed_migration_leaves_the_schema_before_it() {
    let scratch = Scratch::new();
    let sqlite = "CREATE TABLE half (id); SELECT nothing;";
    let broken = Migration { version: 2, name: "broken", sqlite, postgres: None };
    let error = scratch.open(&[V1, broken]).await.unwrap_err();
    assert!(matches!(error, Error::Migrate { version: 2, reached: 1, .. }), "{error}");
    let database = scratch.open(&[V1]).await.unwrap();
    let tables =
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM sqlite_schema WHERE name='half'");
    assert_eq!(tables.fetch_one(database.readers()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_full_disk_is_told_and_takes_nothing_that_was_there() {
    let scratch = Scratch::new();
    let database = scratch.open(&[V1]).await.unwrap();
    insert(database.writer(), 10).await.unwrap();
    sqlx::raw_sql("PRAGMA max_page_count = 10").execute(database.writer()).await.unwrap();
    let error = insert(database.writer(), 1 << 20).await.unwrap_err();
    assert_eq!(Failure::of(&error), Failure::Full, "{error}");
    let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM rows");
    assert_eq!(rows.fetch_one(database.readers()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_second_writer_is_busy_and_gets_its_turn() {
    let scratch = Scratch::new();
    let (one, two) = (scratch.open(&[V1]).await.unwrap(), scratch.open(&[V1]).await.unwrap());
    let held = one.begin().await.unwrap();
    let error = two.begin().await.unwrap_err();
    assert_eq!(Failure::of(&error), Failure::Busy, "{error}");
    held.roll_back().await;
    two.begin().await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn readers_cannot_write_and_do_not_wait_for_the_writer() {
    let scratch = Scratch::new();
    let database = scratch.open(&[V1]).await.unwrap();
    let error = insert(database.readers(), 1).await.unwrap_err();
    assert_eq!(Failure::of(&error), Failure::ReadOnly, "{error}");
    let _writing = database.begin().await.unwrap();
    let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM rows");
    assert_eq!(rows.fetch_one(database.readers()).await.unwrap(), 0);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_corrupt_and_untouched() {
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.path().parent().unwrap()).unwrap();
    std::fs::write(scratch.path(), "this was never a database".repeat(99)).unwrap();
    let error = scratch.open(&[V1]).await.unwrap_err();
    assert!(matches!(error, Error::Open { failure: Failure::Corrupt, .. }), "{error:?}");
    assert!(std::fs::read(scratch.path()).unwrap().starts_with(b"this was never"));
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let scratch = Scratch::new();
    std::fs::write(scratch.dir.path().join("data"), "a file in the way").unwrap();
    let error = scratch.open(&[V1]).await.unwrap_err();
    assert!(matches!(&error, Error::Create { path, .. } if path.ends_with("data")), "{error}");
}

#[tokio::test]
async fn a_full_disk_does_not_spoil_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let file = Location::File(dir.path().join("t.db"));
    let database = Database::open(&file, Options::default(), &[]).await.unwrap();
    sqlx::query("CREATE TABLE t (x BLOB)").execute(database.writer()).await.unwrap();
    let pages: i64 =
        sqlx::query_scalar("PRAGMA page_count").fetch_one(database.writer()).await.unwrap();
    let full = format!("PRAGMA max_page_count = {}", pages + 1);
    sqlx::query(sqlx::AssertSqlSafe(full)).execute(database.writer()).await.unwrap();
    let mut transaction = database.begin().await.unwrap();
    let refused = sqlx::query("INSERT INTO t VALUES (zeroblob(1000000))")
        .execute(&mut *transaction)
        .await
        .unwrap_err();
    assert_eq!(Failure::of(&refused), Failure::Full);
    drop(transaction);
    let mut after = database.begin().await.unwrap();
    sqlx::query("INSERT INTO t VALUES (1)").execute(&mut *after).await.unwrap();
    after.commit().await.unwrap();
}
