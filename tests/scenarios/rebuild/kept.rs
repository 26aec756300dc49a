//! T01, T11, T15: what a rebuild needs and does not find stops it before it touches anything; a lock outlives whatever happens to
//! it; and of several snapshots the newest complete one comes back.

use std::{fs, os::unix::fs::PermissionsExt as _};

use salvor_devgateway::{Dialect, Fault, Phase, user::Seed};
use salvor_proto::{
    recovery::v1::{self as pb, part::Outcome, recovery::State},
    registry::v1::{self as registry, posture},
};
use salvor_testkit::{Fleet, wait::PATIENCE};
use tonic::Code;

use super::{
    Tree, at_work, is_as_it_was, is_untouched, keeping, of_rebuild, planned, read, root, rules,
    snapshot, snapshots, with_snapshots, work_in,
};
use crate::{
    given::{LAB, adopted_as, lab, lose, reaches, recorded, steps, violations},
    support::{AUTO, REBUILD, reason, seed},
};

const SEALED: &str = "/sandbox/policy.md";

/// Live, locked, and with work in it. Answers its record and its tree.
async fn locked(fleet: &Fleet, rules: registry::SnapshotRules) -> (registry::Sandbox, Tree) {
    fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    let root = root(fleet);
    work_in(&root).unwrap();
    fs::write(root.join("policy.md"), "as sealed").unwrap();
    fs::set_permissions(root.join("policy.md"), fs::Permissions::from_mode(0o444)).unwrap();
    let request = pb::AdoptSandboxRequest {
        seal_paths: vec![SEALED.into()],
        snapshot_rules: Some(rules),
        ..crate::given::adoption("coder")
    };
    let record = fleet.adopt_with(request).await.unwrap();
    assert_eq!(record.posture.as_ref().unwrap().proof(), posture::Proof::Proven);
    lab(fleet).control.clear_calls();
    (record, read(&root))
}

#[tokio::test]
async fn t15_stopped_before_the_delete_the_lock_is_as_it_was() {
    let fleet = Fleet::start(with_snapshots(Dialect::V0_0)).await.unwrap();
    let (record, tree) = locked(&fleet, rules(&["/sandbox", "/salvor-test-not-there"])).await;
    let before = recorded(&fleet, &record.name).await;
    let ended = fleet.recover(&record.name, REBUILD).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    // The tree has the sealed file's permissions, the record its proof: both are as they were.
    is_untouched(&fleet, &record.name, &before, &tree).await;
    fleet.stop().await;
}

#[tokio::test]
async fn t15_failed_after_the_delete_the_lock_is_owed_until_it_is_proven_again() {
    let fleet = Fleet::start(with_snapshots(Dialect::V0_1)).await.unwrap();
    let (record, tree) = locked(&fleet, rules(&["/sandbox"])).await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::fail("CreateSandbox", Code::Internal, "no room").times(4));
    let open = fleet.ask(&record.name, REBUILD).await.unwrap().recovery.unwrap();
    let parked = fleet.wait(&open.name).await.unwrap();
    assert_eq!(parked.state(), State::Parked, "{parked:#?}");
    let meanwhile = fleet.record(&record.name).await.unwrap();
    assert_eq!(meanwhile.posture, record.posture, "the obligation is not given up on the way");

    let ended = reaches(&fleet, &open.name, State::Succeeded).await;
    is_as_it_was(&fleet, &record.name, &ended, &tree).await;
    assert!(steps(&ended).contains(&("prove_posture", "proven")), "{ended:#?}");
    let after = fleet.record(&record.name).await.unwrap().posture.unwrap();
    assert_eq!(after.proof(), posture::Proof::Proven);
    fleet.stop().await;
}

/// What its rules leave out of the snapshot cannot come back: a lock on it is said to be owed, path by path.
#[tokio::test]
async fn t15_a_lock_that_cannot_be_put_back_is_said_to_be_owed() {
    let fleet = Fleet::start(with_snapshots(Dialect::V0_0)).await.unwrap();
    let without =
        registry::SnapshotRules { excludes: vec!["policy.md".into()], ..rules(&["/sandbox"]) };
    let (record, _) = locked(&fleet, without).await;
    let ended = fleet.recover(&record.name, REBUILD).await.unwrap();
    assert_eq!(ended.state(), State::Degraded, "{ended:#?}");
    let part = ended.result.unwrap().posture.unwrap();
    assert_eq!(part.outcome(), Outcome::Pending);
    assert!(part.message.contains(SEALED), "{}", part.message);
    let after = fleet.record(&record.name).await.unwrap().posture.unwrap();
    assert_eq!(after.mode(), posture::Mode::Locked, "the obligation stays");
    assert_eq!(after.proof(), posture::Proof::Pending);
    assert_eq!(after.sealed_paths, record.posture.unwrap().sealed_paths);
    fleet.stop().await;
}

#[tokio::test]
async fn t11_a_missing_provider_is_named_before_anything_is_touched() {
    let fleet = Fleet::start(with_snapshots(Dialect::V0_0)).await.unwrap();
    let user = &lab(&fleet).user;
    user.create_provider("vault", None).await.unwrap();
    user.create_provider("vault-2", None).await.unwrap();
    let with_provider = Seed { providers: vec!["vault".into()], ..seed() };
    fleet.sandbox(LAB, "coder", &with_provider).await.unwrap();
    let name = fleet.adopt_with(keeping(&["/sandbox"])).await.unwrap().name;
    work_in(&root(&fleet)).unwrap();
    // A gateway takes no provider away that is in use; one of another version may.
    lab(&fleet).control.fault(Fault::fail("GetProvider", Code::NotFound, "provider not found"));
    lab(&fleet).control.clear_calls();
    let (before, tree) = (recorded(&fleet, &name).await, read(&root(&fleet)));
    let refused = fleet.ask(&name, REBUILD).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(violations(&refused), ["PROVIDER_MISSING"], "and nothing else is in the way");
    assert!(refused.message().contains("vault "), "{}", refused.message());
    is_untouched(&fleet, &name, &before, &tree).await;
    assert!(snapshots(&fleet, true).await.is_empty(), "not even read");
    fleet.stop().await;
}

/// The record speaks of an incarnation that somebody has replaced since: what is there now is not its to delete.
#[tokio::test]
async fn t11_a_record_that_is_outdated_deletes_nobody() {
    let (fleet, name, _) = at_work(with_snapshots(Dialect::V0_0)).await;
    let before = recorded(&fleet, &name).await;
    let there = lab(&fleet).control.replace("coder").await.unwrap();
    let ready = lab(&fleet).control.wait_phase("coder", Phase::Ready, PATIENCE);
    assert!(ready.await);
    let tree = read(&root(&fleet));
    lab(&fleet).control.clear_calls();
    for path in [REBUILD, AUTO] {
        let refused = fleet.ask(&name, path).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(reason(&refused), "FOREIGN_SANDBOX");
        assert!(refused.message().contains(&there), "{}", refused.message());
    }
    assert_eq!(crate::given::mutations(&fleet), [""; 0]);
    assert_eq!(lab(&fleet).control.sandbox("coder").unwrap().id, there);
    assert_eq!((recorded(&fleet, &name).await, read(&root(&fleet))), (before, tree));
    assert!(snapshots(&fleet, true).await.is_empty(), "not even read");
    fleet.stop().await;
}

/// A plan is for the record that it was made from.
#[tokio::test]
async fn t11_a_plan_of_an_outdated_record_is_not_executed() {
    let (fleet, name, tree) = at_work(with_snapshots(Dialect::V0_0)).await;
    let plan = planned(&fleet, of_rebuild(&name)).await;
    let mut record = fleet.record(&name).await.unwrap();
    record.snapshot_rules.get_or_insert_default().roots = vec!["/sandbox/src".into()];
    let update = registry::UpdateSandboxRequest {
        sandbox: Some(record),
        update_mask: Some(prost_types::FieldMask { paths: vec!["snapshot_rules".into()] }),
        ..Default::default()
    };
    fleet.registry.clone().update_sandbox(update).await.unwrap();
    let before = recorded(&fleet, &name).await;
    let request =
        pb::RecoverSandboxRequest { plan_digest: plan.digest, ..super::rebuild_of(&name) };
    let refused = fleet.recovery.clone().recover_sandbox(request).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "PLAN_CHANGED"));
    is_untouched(&fleet, &name, &before, &tree).await;
    fleet.stop().await;
}

#[tokio::test]
async fn t01_of_several_snapshots_the_newest_complete_one_comes_back() {
    let fleet = Fleet::start(with_snapshots(Dialect::V0_0)).await.unwrap();
    let fails = "[ ! -e /sandbox/broken ]";
    let quiesce = registry::QuiesceHooks {
        before: vec!["/bin/sh".into(), "-c".into(), fails.into()],
        ..Default::default()
    };
    let rules = registry::SnapshotRules { quiesce: Some(quiesce), ..rules(&["/sandbox"]) };
    let request =
        pb::AdoptSandboxRequest { snapshot_rules: Some(rules), ..crate::given::adoption("coder") };
    let (name, _) = adopted_as(&fleet, "coder", request).await;
    work_in(&root(&fleet)).unwrap();
    snapshot(&fleet, &name).await;
    fs::write(root(&fleet).join("marker.txt"), "of the second").unwrap();
    let tree = read(&root(&fleet));
    let second = snapshot(&fleet, &name).await;
    // A third one is taken, and is incomplete.
    fs::write(root(&fleet).join("broken"), "").unwrap();
    let request = pb::SnapshotSandboxRequest { name: name.clone(), ..Default::default() };
    let asked = fleet.recovery.clone().snapshot_sandbox(request).await.unwrap().into_inner();
    let third = fleet.wait(&asked.recovery.unwrap().name).await.unwrap();
    assert_eq!(third.state(), State::RolledBack, "{third:#?}");
    assert_eq!((snapshots(&fleet, true).await.len(), snapshots(&fleet, false).await.len()), (3, 2));

    lose(&fleet, "coder").await;
    let ended = fleet.recover(&name, AUTO).await.unwrap();
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    let result = ended.result.unwrap();
    assert_eq!(result.snapshot_restored, second);
    assert!(result.summary.contains(&format!("restored snapshot {second}, aged ")));
    fleet.stop().await;
}

/// With a repository that holds none of it, too.
#[tokio::test]
async fn t01_without_a_snapshot_it_is_said_so() {
    let (fleet, name, _) = at_work(with_snapshots(Dialect::V0_0)).await;
    lose(&fleet, "coder").await;
    let ended = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(ended.state(), State::Degraded, "{ended:#?}");
    let result = ended.result.unwrap();
    assert_eq!(result.data.unwrap().outcome(), Outcome::Lost);
    assert!(result.summary.contains("workspace not recovered"), "{}", result.summary);
    assert!(read(&root(&fleet)).is_empty());
    fleet.stop().await;
}
