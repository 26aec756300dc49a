//! Ended in an orderly way.

use nix::sys::signal::Signal;
use salvor_core::id::RecoveryName;
use salvor_recovery_orchestrator::journal::Journal;
use salvor_runtime::database::Location;
use salvor_testkit::{store::skipped_on_a_server, wait::until};

use crate::scene::{Case, Scene};

/// Whoever copies `journal.db` of a service that was stopped has all of it.
#[tokio::test]
async fn after_an_orderly_end_the_journal_is_whole_in_its_file() {
    if skipped_on_a_server("the file of a journal") {
        return;
    }
    let (scene, process, _) = Scene::open(Case::Stale, None).await;
    scene.ask().await.unwrap();
    let recovery = scene.ended().await;
    let file = scene.fleet.journal().file().unwrap().to_owned();
    let log = file.with_extension("db-wal");
    assert!(log.exists(), "{}", log.display());
    process.signal(Signal::SIGTERM);
    until("its end", async || (!log.exists()).then_some(())).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("journal.db");
    std::fs::copy(&file, &copy).unwrap();
    let journal = Journal::open(&Location::File(copy), None).await.unwrap();
    let stored = journal.recovery(&RecoveryName(recovery.name)).await.unwrap().unwrap();
    assert!(stored.events.last().unwrap().terminal);
    scene.fleet.stop().await;
}
