//! T01, T11 to T13, T15, T23: what a rebuild does not do, what it says then, and what comes back from an older snapshot.

use std::{fs, os::unix::fs::PermissionsExt as _};

use salvor_devgateway::{Dialect, Effect, Fault, user::Seed};
use salvor_proto::{
    recovery::v1::{self as pb, part::Outcome, recovery::State},
    registry::v1::posture,
};
use salvor_testkit::{Fleet, wait::PATIENCE, wait::until};
use tonic::Code;

use super::{
    DELETE_AND_CREATE, Tree, asked, at_work, is_as_it_was, is_untouched, keeping, of_rebuild,
    planned, read, rebuild_of, root, snapshot, snapshots, with_snapshots, work_in,
};
use crate::{
    given::{
        LAB, adopted_as, lab, lose, mutations, next_step, recorded, recovery, steps, stop, verdict,
        violations,
    },
    support::{AUTO, REBUILD, reason, seed},
};

#[tokio::test]
async fn t12_a_declared_path_that_cannot_be_read_stops_it_before_the_delete() {
    let fleet = Fleet::start(with_snapshots(Dialect::V0_0)).await.unwrap();
    let request = keeping(&["/sandbox", "/salvor-test-not-there"]);
    let (name, _) = adopted_as(&fleet, "coder", request).await;
    work_in(&root(&fleet)).unwrap();
    let (before, tree) = (recorded(&fleet, &name).await, read(&root(&fleet)));
    // Accepting losses is for sandboxes that cannot be read; it does not make an incomplete snapshot a complete one.
    let digest = planned(&fleet, of_rebuild(&name)).await.digest;
    for accept_data_loss in [String::new(), digest] {
        let request = pb::RecoverSandboxRequest { accept_data_loss, ..rebuild_of(&name) };
        let ended = asked(&fleet, request).await;
        assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
        let failure = ended.failure.unwrap();
        assert_eq!(failure.reason, "SNAPSHOT_INCOMPLETE");
        assert!(failure.message.contains("/salvor-test-not-there"), "{}", failure.message);
        is_untouched(&fleet, &name, &before, &tree).await;
    }
    assert!(snapshots(&fleet, false).await.is_empty(), "listed only on request");
    let kept = snapshots(&fleet, true).await;
    assert_eq!(kept.len(), 2, "{kept:#?}");

    // Nor can it be selected.
    let named = pb::RecoverSandboxRequest { snapshot: kept[0].name.clone(), ..rebuild_of(&name) };
    let refused = fleet.recovery.clone().recover_sandbox(named).await.unwrap_err();
    assert_eq!(reason(&refused), "SNAPSHOT_INCOMPLETE");
    is_untouched(&fleet, &name, &before, &tree).await;
    fleet.stop().await;
}

/// Every pack of the repository, one byte of each another one.
fn alter(fleet: &Fleet) {
    let mut packs = 0;
    let mut open = vec![fleet.dir().join("adapter")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.components().any(|part| part.as_os_str() == "data") {
                let mut bytes = fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
                fs::write(&path, bytes).unwrap();
                packs += 1;
            }
        }
    }
    assert!(packs > 0, "there is no repository to alter");
}

/// Failed in a way that no start mends, with nothing that could be read.
async fn failed(fleet: &Fleet) {
    let control = &lab(fleet).control;
    control.fail("coder", "ImageGone", "gone").await.unwrap();
    let phase = salvor_devgateway::Phase::Error;
    assert!(control.wait_phase("coder", phase, PATIENCE).await);
    control.clear_calls();
}

#[tokio::test]
async fn t13_an_altered_snapshot_is_found_before_anything_is_touched() {
    let (fleet, name, tree) = at_work(with_snapshots(Dialect::V0_0)).await;
    let taken = snapshot(&fleet, &name).await;
    failed(&fleet).await;
    alter(&fleet);
    let before = recorded(&fleet, &name).await;
    let ended = asked(&fleet, rebuild_of(&name)).await;
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    let failure = ended.failure.unwrap();
    assert_eq!(failure.reason, "SNAPSHOT_DAMAGED", "{}", failure.message);
    assert!(failure.message.contains(&taken), "{}", failure.message);
    assert_eq!(mutations(&fleet), [""; 0]);
    assert_eq!(recorded(&fleet, &name).await, before);
    assert_eq!(read(&root(&fleet)), tree, "what there is of it is still there");
    fleet.stop().await;
}

/// A stopped sandbox cannot be read, but it can be started. What was written since the snapshot is in no other place.
#[tokio::test]
async fn t23_what_a_start_makes_readable_is_not_made_anew_from_an_older_snapshot() {
    let (fleet, name, _) = at_work(with_snapshots(Dialect::V0_0)).await;
    let taken = snapshot(&fleet, &name).await;
    fs::write(root(&fleet).join("since"), "in no snapshot").unwrap();
    let tree = read(&root(&fleet));
    stop(&fleet, "coder").await;
    lab(&fleet).control.clear_calls();
    for named in [String::new(), taken] {
        let request = pb::RecoverSandboxRequest { snapshot: named, ..rebuild_of(&name) };
        let refused = fleet.recovery.clone().recover_sandbox(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(reason(&refused), "START_FIRST");
        assert_eq!(next_step(&refused), format!("salvor recover {name}"));
    }
    assert_eq!(mutations(&fleet), [""; 0]);
    let ended = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(ended.saga(), pb::Saga::Revive);
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    fleet.stop().await;
}

#[tokio::test]
async fn t23_a_failed_sandbox_is_rebuilt_from_its_snapshot_or_with_its_loss_accepted() {
    let (fleet, name, tree) = at_work(with_snapshots(Dialect::V0_0)).await;
    failed(&fleet).await;
    // Nothing holds it.
    let refused = fleet.ask(&name, REBUILD).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "NO_COMPLETE_SNAPSHOT");
    assert_eq!(mutations(&fleet), [""; 0]);
    let plan = planned(&fleet, of_rebuild(&name)).await;
    assert!(plan.losses.iter().any(|loss| loss.contains("every file")), "{:?}", plan.losses);

    let wrong = "0".repeat(64);
    let request = pb::RecoverSandboxRequest { accept_data_loss: wrong, ..rebuild_of(&name) };
    let refused = fleet.recovery.clone().recover_sandbox(request).await.unwrap_err();
    assert_eq!(violations(&refused).len(), 1, "{refused:?}");
    assert_eq!(mutations(&fleet), [""; 0]);

    let request = pb::RecoverSandboxRequest { accept_data_loss: plan.digest, ..rebuild_of(&name) };
    let ended = asked(&fleet, request).await;
    assert_eq!(ended.state(), State::Degraded, "{ended:#?}");
    assert_eq!(ended.result.unwrap().data.unwrap().outcome(), Outcome::Lost);
    assert_eq!(mutations(&fleet), DELETE_AND_CREATE);

    // With a snapshot of it, all that was in that comes back.
    work_in(&root(&fleet)).unwrap();
    let fresh = read(&root(&fleet));
    let paths = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(&fresh), paths(&tree));
    let taken = snapshot(&fleet, &name).await;
    failed(&fleet).await;
    let ended = fleet.recover(&name, AUTO).await.unwrap();
    is_as_it_was(&fleet, &name, &ended, &fresh).await;
    assert_eq!(ended.saga(), pb::Saga::Rebuild);
    assert_eq!(ended.result.unwrap().snapshot_restored, taken);
    fleet.stop().await;
}

/// Cancelled before the delete, nothing was touched.
#[tokio::test]
async fn t11_cancelled_while_it_is_read_it_goes_back() {
    let (fleet, name, tree) = at_work(with_snapshots(Dialect::V0_0)).await;
    let before = recorded(&fleet, &name).await;
    let control = lab(&fleet).control.clone();
    let reading = "ExecSandboxInteractive";
    control.fault(Fault::on(reading, Effect::Hold));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    until("its reading", || async {
        (recovery(&fleet, &open.name).await.phase == "saving").then_some(())
    })
    .await;
    let request = pb::CancelRecoveryRequest { name: open.name.clone() };
    fleet.recovery.clone().cancel_recovery(request).await.unwrap();
    control.clear_faults();
    let ended = fleet.wait(&open.name).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    is_untouched(&fleet, &name, &before, &tree).await;
    fleet.stop().await;
}

/// What the gateway would refuse, as far as can be known, is refused before the delete.
#[tokio::test]
async fn t11_a_credential_that_has_run_out_is_found_before_the_delete() {
    let fleet = Fleet::start(with_snapshots(Dialect::V0_0)).await.unwrap();
    lab(&fleet).user.create_provider("vault", Some(1_000)).await.unwrap();
    let with_provider = Seed { providers: vec!["vault".into()], ..seed() };
    fleet.sandbox(LAB, "coder", &with_provider).await.unwrap();
    let name = fleet.adopt_with(keeping(&["/sandbox"])).await.unwrap().name;
    work_in(&root(&fleet)).unwrap();
    lab(&fleet).control.clear_calls();
    let (before, tree) = (recorded(&fleet, &name).await, read(&root(&fleet)));
    let refused = fleet.ask(&name, REBUILD).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "PROVIDER_EXPIRED");
    is_untouched(&fleet, &name, &before, &tree).await;
    assert!(snapshots(&fleet, true).await.is_empty(), "not even read");
    fleet.stop().await;
}

/// Locked before, locked after: the sealed file comes back as it was, and is proven.
#[tokio::test]
async fn t15_a_locked_sandbox_is_locked_after_its_rebuild() {
    let fleet = Fleet::start(with_snapshots(Dialect::V0_0)).await.unwrap();
    fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    let sealed = root(&fleet).join("policy.md");
    fs::write(&sealed, "as sealed").unwrap();
    fs::set_permissions(&sealed, fs::Permissions::from_mode(0o444)).unwrap();
    let request = pb::AdoptSandboxRequest {
        seal_paths: vec!["/sandbox/policy.md".into()],
        ..keeping(&["/sandbox"])
    };
    let before = fleet.adopt_with(request).await.unwrap();
    lab(&fleet).control.clear_calls();
    let tree = read(&root(&fleet));
    let ended = fleet.recover(&before.name, REBUILD).await.unwrap();
    is_as_it_was(&fleet, &before.name, &ended, &tree).await;
    assert!(steps(&ended).contains(&("prove_posture", "proven")), "{ended:#?}");
    let after = fleet.record(&before.name).await.unwrap().posture.unwrap();
    assert_eq!(after.proof(), posture::Proof::Proven);
    assert_eq!(after.sealed_paths, before.posture.unwrap().sealed_paths);
    fleet.stop().await;
}

/// Lost, it comes back with its last good state; the result says which, and of when.
async fn lost_and_restored(dialect: Dialect) {
    let (fleet, name, tree) = at_work(with_snapshots(dialect)).await;
    let taken = snapshot(&fleet, &name).await;
    fs::write(root(&fleet).join("later.txt"), "after the snapshot").unwrap();
    lose(&fleet, "coder").await;
    let ended = fleet.recover(&name, AUTO).await.unwrap();
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    assert_eq!(ended.saga(), pb::Saga::StaleRecovery);
    assert_eq!(
        steps(&ended)[..6],
        [
            ("claim", "claimed"),
            ("verify_snapshot", "verified"),
            ("create", "created"),
            ("await_ready", "ready"),
            ("restore_workspace", "written"),
            ("compare_workspace", "same"),
        ]
    );
    let result = ended.result.unwrap();
    assert_eq!((result.snapshot_restored, result.snapshot_taken), (taken.clone(), String::new()));
    assert!(result.summary.contains(&format!("restored snapshot {taken}, aged ")));
    assert!(!result.summary.contains("no data lost"), "{}", result.summary);
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    assert_eq!(snapshots(&fleet, true).await.len(), 1, "no snapshot is tried");

    // And once more, from the same one: the sandbox was filled from it.
    lose(&fleet, "coder").await;
    let again = fleet.recover(&name, AUTO).await.unwrap();
    is_as_it_was(&fleet, &name, &again, &tree).await;
    assert_eq!(again.result.unwrap().snapshot_restored, taken);
    fleet.stop().await;
}

#[tokio::test]
async fn t01_a_lost_sandbox_comes_back_with_its_last_good_state_on_0_0() {
    lost_and_restored(Dialect::V0_0).await;
}

#[tokio::test]
async fn t01_a_lost_sandbox_comes_back_with_its_last_good_state_on_0_1() {
    lost_and_restored(Dialect::V0_1).await;
}

/// A snapshot of a sandbox that had the name before is not this one's.
#[tokio::test]
async fn t01_another_incarnations_snapshot_is_not_put_back() {
    let (fleet, name, _) = at_work(with_snapshots(Dialect::V0_0)).await;
    let old = snapshot(&fleet, &name).await;
    fleet.destroy(&name).await.unwrap();
    let (name, _) = adopted_as(&fleet, "coder", keeping(&["/sandbox"])).await;
    lose(&fleet, "coder").await;
    verdict(&fleet, &name, pb::Verdict::Lost).await;
    let named = pb::RecoverSandboxRequest { snapshot: old, ..rebuild_of(&name) };
    let refused = fleet.recovery.clone().recover_sandbox(named).await.unwrap_err();
    assert_eq!(reason(&refused), "SNAPSHOT_OF_ANOTHER", "{refused}");
    let ended = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(ended.state(), State::Degraded, "{ended:#?}");
    assert_eq!(ended.result.unwrap().data.unwrap().outcome(), Outcome::Lost);
    assert!(read(&root(&fleet)).is_empty());
    fleet.stop().await;
}

/// Damaged, the snapshot stops the recovery before a sandbox is made that it could never fill.
#[tokio::test]
async fn t13_an_altered_snapshot_makes_no_sandbox() {
    let (fleet, name, _) = at_work(with_snapshots(Dialect::V0_0)).await;
    let taken = snapshot(&fleet, &name).await;
    lose(&fleet, "coder").await;
    alter(&fleet);
    let before = recorded(&fleet, &name).await;
    let ended = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    let failure = ended.failure.unwrap();
    assert_eq!(failure.reason, "SNAPSHOT_DAMAGED", "{}", failure.message);
    assert!(failure.message.contains(&taken), "{}", failure.message);
    assert_eq!(mutations(&fleet), [""; 0]);
    assert_eq!(recorded(&fleet, &name).await, before);
    fleet.stop().await;
}
