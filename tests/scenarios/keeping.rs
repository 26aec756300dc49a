//! T02, T13, T24: which snapshots stay, which go on request, and that no space is reclaimed from under anybody.

mod reclaim;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use salvor_proto::{
    recovery::v1::{self as pb, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::Fleet;
use tonic::{Code, Status};

use crate::{
    given::{lab, lose, next_step, output, verdict, write},
    snapshots::{FILE, given, listed, options, read, restore, restored, rules, snapshot, waiting},
    support::{AUTO, reason},
};

fn prune(name: &str, keep_last: i32) -> pb::PruneSandboxSnapshotsRequest {
    pb::PruneSandboxSnapshotsRequest {
        name: name.into(),
        retention: Some(registry::Retention { keep_last, ..Default::default() }),
        ..Default::default()
    }
}

async fn pruned(fleet: &Fleet, request: pb::PruneSandboxSnapshotsRequest) -> pb::Recovery {
    let answer =
        fleet.recovery.clone().prune_sandbox_snapshots(request).await.unwrap().into_inner();
    let ended = fleet.wait(&answer.recovery.unwrap().name).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    ended
}

fn delete(name: &str, snapshots: &[&str]) -> pb::DeleteSandboxSnapshotsRequest {
    pb::DeleteSandboxSnapshotsRequest {
        name: name.into(),
        snapshots: snapshots.iter().map(|&snapshot| snapshot.to_owned()).collect(),
        ..Default::default()
    }
}

async fn deleted(
    fleet: &Fleet,
    request: pb::DeleteSandboxSnapshotsRequest,
) -> Result<pb::Recovery, Status> {
    let answer = fleet.recovery.clone().delete_sandbox_snapshots(request).await?.into_inner();
    fleet.wait(&answer.recovery.unwrap().name).await
}

async fn known(fleet: &Fleet, name: &str) -> registry::SnapshotStatus {
    fleet.record(name).await.unwrap().snapshot_status.unwrap_or_default()
}

#[tokio::test]
async fn t02_rules_say_what_stays_and_the_newest_complete_one_does() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, registry::SnapshotRules { keep_last: 2, ..rules() }).await;
    let mut taken = Vec::new();
    for number in 0..4 {
        write(&fleet, "coder", &id, FILE, &format!("{number}")).await;
        taken.insert(0, snapshot(&fleet, &name).await);
    }
    assert_eq!(listed(&fleet, true).await, taken[..2]);
    let ended = pruned(&fleet, prune(&name, 1)).await;
    assert_eq!(listed(&fleet, true).await, taken[..1]);
    assert!(ended.steps[0].detail.contains(&taken[1]), "{ended:#?}");
    assert!(ended.result.unwrap().summary.contains("1 deleted, 1 kept"));
    fleet.stop().await;
}

#[tokio::test]
async fn t02_what_a_prune_would_do_is_shown_by_whoever_does_it() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, _) = given(&fleet, rules()).await;
    let old = snapshot(&fleet, &name).await;
    let new = snapshot(&fleet, &name).await;
    let before = fleet.record(&name).await.unwrap();
    let look = pb::PruneSandboxSnapshotsRequest { validate_only: true, ..prune(&name, 1) };
    let answer = fleet.recovery.clone().prune_sandbox_snapshots(look).await.unwrap().into_inner();
    assert_eq!(answer.recovery, None);
    assert!(answer.plan.unwrap().allowed);
    let preview = answer.preview.unwrap();
    assert_eq!(preview.deleted, [old.as_str()]);
    let kept: Vec<_> = preview.kept.iter().map(|kept| (&*kept.name, &kept.because[..])).collect();
    let why = ["newest complete one", "last 1", "in use"].map(str::to_owned);
    assert_eq!(kept, [(&*new, &why[..])]);
    assert_eq!(listed(&fleet, true).await, [new.as_str(), &old], "nothing was deleted");
    assert_eq!(fleet.record(&name).await.unwrap(), before);

    let ended = pruned(&fleet, prune(&name, 1)).await;
    assert!(ended.steps[0].detail.contains(&format!("deleted {old}")), "{ended:#?}");
    assert_eq!(listed(&fleet, true).await, [new.as_str()]);
    // Whoever decides it cannot be asked: then nothing is said of it.
    let mut fleet = fleet;
    fleet.kill_adapter().await;
    let look = pb::PruneSandboxSnapshotsRequest { validate_only: true, ..prune(&name, 1) };
    let unknown = fleet.recovery.clone().prune_sandbox_snapshots(look).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unavailable, "{unknown:?}");
    fleet.stop().await;
}

/// A sandbox cannot be brought back from a part of it, however new that is.
#[tokio::test]
async fn t13_snapshots_of_a_part_push_no_whole_one_out() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, registry::SnapshotRules { keep_last: 1, ..rules() }).await;
    write(&fleet, "coder", &id, FILE, "whole").await;
    output(&fleet, "coder", &id, &["mkdir", "/sandbox/part"]).await;
    let whole = snapshot(&fleet, &name).await;
    let mut parts = Vec::new();
    for _ in 0..2 {
        let request = pb::SnapshotSandboxRequest {
            name: name.clone(),
            roots: vec!["/sandbox/part".into()],
            ..Default::default()
        };
        let answer = fleet.recovery.clone().snapshot_sandbox(request).await.unwrap().into_inner();
        let ended = fleet.wait(&answer.recovery.unwrap().name).await.unwrap();
        parts.insert(0, ended.result.unwrap().snapshot_taken);
    }
    assert_eq!(listed(&fleet, true).await, [&*parts[0], &*whole], "each is the last of its like");
    lose(&fleet, "coder").await;
    verdict(&fleet, &name, pb::Verdict::Lost).await;
    let ended = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    let result = ended.result.unwrap();
    assert_eq!(result.snapshot_restored, whole);
    assert_eq!(read(&fleet, "coder", &result.live_id, FILE).await, "whole");
    fleet.stop().await;
}

/// What the live incarnation was made from is older than the newest one, which is of the incarnation before.
#[tokio::test]
async fn t13_what_the_incarnation_was_made_from_stays() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, rules()).await;
    let source = snapshot(&fleet, &name).await;
    write(&fleet, "coder", &id, FILE, "not wanted").await;
    let request = pb::RecoverSandboxRequest {
        name: name.clone(),
        path: pb::RecoveryPath::Rebuild.into(),
        snapshot: source.clone(),
        ..Default::default()
    };
    let answer = fleet.recovery.clone().recover_sandbox(request).await.unwrap().into_inner();
    let rebuilt = fleet.wait(&answer.recovery.unwrap().name).await.unwrap();
    assert_eq!(rebuilt.state(), State::Succeeded, "{rebuilt:#?}");
    let saved = rebuilt.result.unwrap().snapshot_taken;
    assert_eq!(listed(&fleet, true).await, [saved.as_str(), &source]);

    let ended = pruned(&fleet, prune(&name, 1)).await;
    assert!(ended.steps[0].detail.contains(&format!("{source} (in use)")), "{ended:#?}");
    assert_eq!(listed(&fleet, true).await, [saved.as_str(), &source]);
    let refused = deleted(&fleet, delete(&name, &[&source])).await.unwrap_err();
    assert_eq!(reason(&refused), "LAST_SNAPSHOT");
    // And it is what brings the sandbox back.
    lose(&fleet, "coder").await;
    let back = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(back.state(), State::Succeeded, "{back:#?}");
    let result = back.result.unwrap();
    assert_eq!(result.snapshot_restored, source);
    assert_eq!(read(&fleet, "coder", &result.live_id, FILE).await, "first");
    fleet.stop().await;
}

/// From now on nothing called `b` is unpacked in the sandbox. Answers what has to be removed to mend that.
fn spoil(root: &Path) -> std::path::PathBuf {
    let bin = root.join("bin");
    fs::create_dir(&bin).unwrap();
    let tar = bin.join("tar");
    fs::write(&tar, "#!/bin/sh\nexec /bin/tar --exclude=./b \"$@\"\n").unwrap();
    fs::set_permissions(&tar, fs::Permissions::from_mode(0o755)).unwrap();
    let profile = root.join(".profile");
    fs::write(&profile, format!("PATH={}:$PATH\n", bin.display())).unwrap();
    profile
}

#[tokio::test]
async fn t24_what_is_still_owed_from_is_kept_until_it_is_back() {
    let fleet = Fleet::start(options()).await.unwrap();
    let roots = vec!["/sandbox/work".to_owned()];
    let rules = registry::SnapshotRules { roots, keep_last: 1, ..Default::default() };
    let (name, _) = given(&fleet, rules).await;
    let root = lab(&fleet).control.sandbox("coder").unwrap().root;
    let work = root.join("work");
    fs::create_dir(&work).unwrap();
    for file in ["a", "b"] {
        fs::write(work.join(file), file).unwrap();
    }
    let good = snapshot(&fleet, &name).await;
    fs::remove_file(work.join("b")).unwrap();
    let profile = spoil(&root);
    let degraded = restored(&fleet, restore(&name, &good)).await;
    assert_eq!(degraded.state(), State::Degraded, "{degraded:#?}");
    assert_eq!(known(&fleet, &name).await.pending_restores, [good.as_str()]);

    // Whole snapshots of a workspace that is not.
    for _ in 0..2 {
        snapshot(&fleet, &name).await;
    }
    pruned(&fleet, prune(&name, 1)).await;
    let listed_now = listed(&fleet, true).await;
    assert_eq!((listed_now.len(), &listed_now[1]), (2, &good), "{listed_now:?}");
    let refused = deleted(&fleet, delete(&name, &[&good])).await.unwrap_err();
    assert_eq!(reason(&refused), "LAST_SNAPSHOT");

    fs::remove_file(&profile).unwrap();
    let whole = restored(&fleet, restore(&name, &good)).await;
    assert_eq!(whole.state(), State::Succeeded, "{whole:#?}");
    assert_eq!(fs::read_to_string(work.join("b")).unwrap(), "b");
    assert_eq!(known(&fleet, &name).await.pending_restores, [""; 0]);
    let newest = snapshot(&fleet, &name).await;
    assert_eq!(listed(&fleet, true).await, [newest], "nothing is owed from it any more");
    fleet.stop().await;
}

#[tokio::test]
async fn t02_snapshots_are_deleted_by_name_and_the_last_one_if_that_is_said() {
    let fleet = Fleet::start(options()).await.unwrap();
    let quiesce =
        registry::QuiesceHooks { before: vec!["/bin/false".into()], ..Default::default() };
    let broken = registry::SnapshotRules { quiesce: Some(quiesce), ..rules() };
    let (name, _) = given(&fleet, rules()).await;
    let old = snapshot(&fleet, &name).await;
    let last = snapshot(&fleet, &name).await;
    set_rules(&fleet, &name, broken).await;
    let request = pb::SnapshotSandboxRequest { name: name.clone(), ..Default::default() };
    let answer = fleet.recovery.clone().snapshot_sandbox(request).await.unwrap().into_inner();
    fleet.wait(&answer.recovery.unwrap().name).await.unwrap();
    let incomplete = listed(&fleet, true).await.remove(0);
    assert_ne!(incomplete, last);

    let refused = deleted(&fleet, delete(&name, &[&old, &last])).await.unwrap_err();
    assert_eq!((refused.code(), &*reason(&refused)), (Code::FailedPrecondition, "LAST_SNAPSHOT"));
    assert!(next_step(&refused).contains(&format!("salvor snapshot delete {last} --allow-last")));
    let unknown = format!("gateways/lab/snapshots/{}", "ab".repeat(32));
    let refused = deleted(&fleet, delete(&name, &[&old, &unknown])).await.unwrap_err();
    assert_eq!(reason(&refused), "SNAPSHOT_NOT_FOUND");
    let dry = pb::DeleteSandboxSnapshotsRequest {
        validate_only: true,
        ..delete(&name, &[&old, &incomplete])
    };
    let answer = fleet.recovery.clone().delete_sandbox_snapshots(dry).await.unwrap().into_inner();
    assert!(answer.plan.unwrap().allowed && answer.recovery.is_none());
    assert_eq!(listed(&fleet, true).await.len(), 3, "nothing was deleted");

    let ended = deleted(&fleet, delete(&name, &[&old, &incomplete])).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    assert_eq!(listed(&fleet, true).await, [last.as_str()]);
    assert_eq!(known(&fleet, &name).await.last_complete, last);
    let request = pb::DeleteSandboxSnapshotsRequest { allow_last: true, ..delete(&name, &[&last]) };
    assert_eq!(deleted(&fleet, request).await.unwrap().state(), State::Succeeded);
    assert_eq!(listed(&fleet, true).await, [""; 0]);
    let status = known(&fleet, &name).await;
    assert_eq!((status.last_complete.as_str(), status.last_complete_time), ("", None));
    assert_eq!(fleet.status(&name).await.unwrap().data_at_risk, None, "nothing is safe any more");
    fleet.stop().await;
}

#[tokio::test]
async fn t13_what_an_open_recovery_rests_on_is_not_deleted_at_all() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, _) = given(&fleet, rules()).await;
    let (old, _) = (snapshot(&fleet, &name).await, snapshot(&fleet, &name).await);
    // Another sandbox is to get its content, and waits for what is in it to be read.
    let (other, id) = crate::given::adopted_as(
        &fleet,
        "other",
        pb::AdoptSandboxRequest {
            snapshot_rules: Some(waiting()),
            ..crate::given::adoption("other")
        },
    )
    .await;
    let request = pb::RestoreSandboxRequest { allow_other_sandbox: true, ..restore(&other, &old) };
    let answer = fleet.recovery.clone().restore_sandbox(request).await.unwrap().into_inner();
    let open = answer.recovery.unwrap().name;
    let request = pb::DeleteSandboxSnapshotsRequest { allow_last: true, ..delete(&name, &[&old]) };
    let refused = deleted(&fleet, request.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), "SNAPSHOT_IN_USE", "{refused:?}");
    assert!(listed(&fleet, true).await.contains(&old));
    write(&fleet, "other", &id, "/sandbox/go", "").await;
    let ended = fleet.wait(&open).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    assert_eq!(deleted(&fleet, request).await.unwrap().state(), State::Succeeded);
    assert!(!listed(&fleet, true).await.contains(&old));
    fleet.stop().await;
}

/// As `salvor snapshot rules` does.
async fn set_rules(fleet: &Fleet, name: &str, rules: registry::SnapshotRules) {
    let mut record = fleet.record(name).await.unwrap();
    record.snapshot_rules = Some(rules);
    let request = registry::UpdateSandboxRequest {
        sandbox: Some(record),
        update_mask: Some(prost_types::FieldMask { paths: vec!["snapshot_rules".into()] }),
        ..Default::default()
    };
    fleet.registry.clone().update_sandbox(request).await.unwrap();
}
