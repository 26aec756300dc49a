//! T02, T13: what is refused, and why there is no snapshot, is said as it is.

use salvor_proto::{
    gateway::v1 as gateway,
    recovery::v1::{self as pb, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::Fleet;

use super::{FILE, ask, drills::drilled, given, listed, options, read, restore, rules, snapshot};
use crate::{
    given::{lab, output, recorded, steps, write},
    support::reason,
};

/// A merge of nothing was proven by nothing.
#[tokio::test]
async fn t02_a_merge_without_a_declared_config_file_is_refused() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, rules()).await;
    let taken = snapshot(&fleet, &name).await;
    write(&fleet, "coder", &id, FILE, "later").await;
    let before = recorded(&fleet, &name).await;
    let merge = pb::RestoreSandboxRequest {
        mode: gateway::RestoreMode::MergeConfig.into(),
        ..restore(&name, &taken)
    };
    let refused = fleet.recovery.clone().restore_sandbox(merge).await.unwrap_err();
    assert_eq!(reason(&refused), "NOTHING_TO_MERGE");
    let step = salvor_proto::error::received(&refused).next_step.unwrap();
    let safe = format!("salvor snapshot restore {name} --snapshot {taken} --mode skip-existing");
    assert!(step.starts_with(&safe), "{step}");
    assert_eq!(recorded(&fleet, &name).await, before);
    assert_eq!(listed(&fleet, true).await, [taken]);
    assert_eq!(read(&fleet, "coder", &id, FILE).await, "later");
    fleet.stop().await;
}

/// Each cause reaches whoever asked, and what will not pass by itself is tried once.
#[tokio::test]
async fn t02_why_there_is_no_snapshot_is_said_and_what_will_not_pass_is_not_retried() {
    let fleet = Fleet::start(options()).await.unwrap();
    let missing = registry::SnapshotRules { roots: vec!["/sandbox/gone".into()], ..rules() };
    let (name, _) = given(&fleet, missing).await;
    let ended = fleet.wait(&ask(&fleet, &name).await.unwrap().name).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    assert_eq!(tries(&ended), 1, "{ended:#?}");
    let failure = ended.failure.unwrap();
    assert_eq!(failure.reason, "NOTHING_READ");
    let said = "no snapshot could be taken: not one entry of its snapshot roots could be read";
    assert!(failure.message.starts_with(said), "{}", failure.message);
    assert!(failure.next_step.starts_with(&format!("salvor snapshot create {name}  # ")));
    assert!(failure.next_step.contains("salvor snapshot rules"), "{}", failure.next_step);
    let status = fleet.record(&name).await.unwrap().snapshot_status.unwrap();
    assert!(status.last_attempt_problem.starts_with(said), "{status:#?}");
    fleet.stop().await;
}

/// How often a snapshot was asked for.
fn tries(recovery: &pb::Recovery) -> usize {
    steps(recovery).iter().filter(|(step, _)| *step == "take_snapshot").count()
}

/// A directory in its place keeps the nonce from being written.
#[tokio::test]
async fn t13_a_drill_whose_nonce_cannot_be_written_fails() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, rules()).await;
    output(&fleet, "coder", &id, &["mkdir", "-p", "/sandbox/.salvor-nonce/d"]).await;
    let drill = drilled(&fleet, &name, "").await;
    assert_eq!(drill.state(), State::RolledBack, "{drill:#?}");
    assert_eq!(tries(&drill), 1, "{drill:#?}");
    assert_eq!(drill.failure.unwrap().reason, "NONCE_NOT_WRITTEN");
    let told = fleet.record(&name).await.unwrap().snapshot_status.unwrap().last_drill.unwrap();
    assert!(!told.passed && !told.with_nonce, "{told:#?}");
    assert!(told.message.contains("nonce could not be written"), "{told:#?}");
    assert!(listed(&fleet, true).await.is_empty());
    assert_eq!(lab(&fleet).control.sandboxes().len(), 1);
    fleet.stop().await;
}
