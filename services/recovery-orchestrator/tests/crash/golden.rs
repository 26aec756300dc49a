//! Journals of every released version, as files: opened by this one, read whole, and gone on with from every prefix.
//!
//! A release's file is recorded once, from real recoveries of every kind, with `SALVOR_RECORD_GOLDEN=1`, and never changed after
//! it: the next one gets a file of its own.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use salvor_core::{SagaKind, saga::version::Resumption};
use salvor_recovery_orchestrator::{
    folded::{Standing, folded},
    journal::{Journal, RecoveryFilter, Stored},
};
use salvor_runtime::database::Location;
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::scene::{Case, Scene};

const CASES: [Case; 10] = [
    Case::Stale,
    Case::Revive,
    Case::Destroy,
    Case::Rebuild,
    Case::Restored,
    Case::Snapshot,
    Case::Refill,
    Case::Drill,
    Case::Copy,
    Case::Prune,
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/crash/golden")
}

async fn open(file: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    options.connect().await.unwrap()
}

// === recording ===

/// Every row of a journal, as statements; with the schema first, if `schema`.
async fn dump(journal: &std::path::Path, schema: bool) -> String {
    let mut database = open(journal).await;
    let mut text = String::new();
    if schema {
        let version: i64 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut database).await.unwrap();
        writeln!(text, "PRAGMA user_version = {version};").unwrap();
        let sql = "SELECT sql FROM sqlite_master WHERE sql NOT NULL ORDER BY rowid";
        for made in sqlx::query_scalar::<_, String>(sql).fetch_all(&mut database).await.unwrap() {
            writeln!(text, "{made};").unwrap();
        }
    }
    for table in ["recoveries", "journal", "decisions", "cancellations"] {
        let sql = format!("SELECT name FROM pragma_table_info('{table}')");
        let columns: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut database).await.unwrap();
        let quoted: Vec<String> = columns.iter().map(|name| format!("quote({name})")).collect();
        let sql = format!("SELECT {} FROM {table} ORDER BY rowid", quoted.join("||','||"));
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut database).await.unwrap();
        for row in rows {
            writeln!(text, "INSERT INTO {table} ({}) VALUES ({row});", columns.join(",")).unwrap();
        }
    }
    text
}

async fn record() -> String {
    let mut text = String::new();
    for case in CASES {
        let (scene, process, _) = Scene::open(case, None).await;
        scene.ask().await.unwrap();
        scene.ended().await;
        process.kill().await;
        text.push_str(&dump(scene.fleet.journal().file().unwrap(), text.is_empty()).await);
        scene.fleet.stop().await;
    }
    text
}

// === replaying ===

/// A journal as that release left it.
async fn written_by(release: &str, directory: &tempfile::TempDir) -> PathBuf {
    let journal = directory.path().join("journal.db");
    let text = fs::read_to_string(folder().join(release)).unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut open(&journal).await).await.unwrap();
    journal
}

/// Every prefix of it is what a process of that release may have left when it died.
fn gone_on_with_from_everywhere(stored: &Stored, release: &str) {
    let name = &stored.header.name;
    let saga = stored.header.saga();
    let can = saga.resumption(stored.header.plan.saga_version);
    assert!(matches!(can, Resumption::Resume | Resumption::Continue), "{release}, {name}");
    let last = stored.events.len();
    for at in 0..=last {
        let events = stored.events[..at].to_vec();
        let prefix = Stored { header: stored.header.clone(), events };
        let standing = folded(&prefix).unwrap().standing;
        let goes_on = matches!(standing, Standing::Running | Standing::Parked(_));
        let ended = matches!(standing, Standing::Ended(_));
        assert!(goes_on && at < last || ended && at == last, "{name} at {at}: {standing:?}");
    }
}

#[tokio::test]
async fn journals_of_every_release_are_read_and_gone_on_with() {
    let now = folder().join(format!("{}.sql", env!("CARGO_PKG_VERSION")));
    if !now.exists() && std::env::var_os("SALVOR_RECORD_GOLDEN").is_some() {
        fs::write(&now, record().await).unwrap();
    }
    assert!(now.exists(), "{}: record it with SALVOR_RECORD_GOLDEN=1", now.display());
    for file in fs::read_dir(folder()).unwrap() {
        let release = file.unwrap().file_name().into_string().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = written_by(&release, &directory).await;
        let journal = Journal::open(&Location::File(path), None).await.unwrap();
        let filter = RecoveryFilter { limit: 1000, ..RecoveryFilter::default() };
        let all = journal.list(&filter).await.unwrap();
        let found = journal.list_found(&filter).await.unwrap();
        assert_eq!(all.len(), found.len(), "{release}: each is read whole");
        let sagas: BTreeSet<SagaKind> = all.iter().map(|stored| stored.header.saga()).collect();
        assert_eq!(sagas.len(), SagaKind::ALL.len(), "{release}: {sagas:?}");
        for stored in &all {
            gone_on_with_from_everywhere(stored, &release);
        }
    }
}
