//! What a process tells of itself decides nothing, and gives nothing away.

use std::{net::TcpListener, path::Path};

use salvor_runtime::database::Location;
use salvor_testkit::store;

use crate::{
    scene::{Case, SECRET, Scene},
    verify::verify,
};

/// Where nobody listens: a port that was free a moment ago.
fn nowhere() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}")
}

#[tokio::test]
async fn a_dead_exporter_changes_nothing_and_no_secret_is_logged_or_kept() {
    let (mut scene, process, before) = Scene::open(Case::Stale, None).await;
    process.kill().await;
    scene.start.log = "trace";
    scene.start.otlp = Some(nowhere());
    let process = scene.begin(None).await;
    scene.ask().await.unwrap();
    let recovery = scene.ended().await;
    verify(&scene, &before, &recovery, "with a dead exporter").await;
    process.logged("telemetry cannot be exported").await;
    let log = process.kill().await;
    assert!(log.contains("recovery advanced"), "the log is the process's");
    // At level trace: no line, of whatever library, holds the value that the sandbox runs with.
    let telling: Vec<_> = log.lines().filter(|line| line.contains(SECRET)).collect();
    assert!(telling.is_empty(), "{telling:?}");
    let live = scene.fleet.gateway("lab").control.sandbox(crate::scene::VICTIM).unwrap();
    assert!(contains(&live.spec, SECRET.as_bytes()), "the secret did come back");
    if let Location::File(_) = scene.fleet.journal() {
        for file in files(scene.start.data.as_path()) {
            let kept = std::fs::read(&file).unwrap();
            assert!(!contains(&kept, SECRET.as_bytes()), "{}", file.display());
        }
    }
    let journal = store::open(scene.fleet.journal()).await;
    for column in ["plan FROM recoveries", "evidence FROM recoveries", "event FROM journal"] {
        let read = sqlx::AssertSqlSafe(format!("SELECT {column}"));
        let kept: Vec<String> = sqlx::query_scalar(read).fetch_all(&journal).await.unwrap();
        assert!(!kept.is_empty() && !kept.iter().any(|text| text.contains(SECRET)), "{column}");
    }
    scene.fleet.stop().await;
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.iter().any(|file| file.ends_with("journal.db")), "{files:?}");
    files
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
