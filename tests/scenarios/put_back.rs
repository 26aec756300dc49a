//! T15, T24: what a restore does not put back is named, and can be tried again; a lock stays whatever is written around it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use salvor_devgateway::{Dialect, Fault};
use salvor_proto::{
    recovery::v1::{self as pb, part::Outcome, recovery::State},
    registry::v1::{self as registry, posture},
};
use salvor_testkit::{Fleet, wait::until};
use tonic::Code;

use crate::{
    given::{adopted_as, adoption, lab, output, recovery, steps, write},
    rebuild::{at_work, keeping, read, root, rules, snapshot, with_snapshots, work_in},
    support::{REBUILD, reason, seed},
};

const SEALED: &str = "/sandbox/policy.md";

async fn restored(fleet: &Fleet, request: pb::RestoreSandboxRequest) -> pb::Recovery {
    let answer = fleet.recovery.clone().restore_sandbox(request).await.unwrap().into_inner();
    fleet.wait(&answer.recovery.unwrap().name).await.unwrap()
}

fn restore(name: &str, snapshot: &str) -> pb::RestoreSandboxRequest {
    pb::RestoreSandboxRequest { name: name.into(), snapshot: snapshot.into(), ..Default::default() }
}

fn seal_at(root: &Path, content: &str) {
    let file = root.join("policy.md");
    // It may be there, and read-only.
    let _ = fs::remove_file(&file);
    fs::write(&file, content).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o444)).unwrap();
}

/// Puts a `tar` that never extracts `src/run.sh` before the sandbox's own, until the profile that it answers is removed.
fn leaving_out(root: &Path) -> PathBuf {
    let bin = root.with_file_name("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("tar"), "#!/bin/sh\nexec /bin/tar --exclude=./src/run.sh \"$@\"\n").unwrap();
    fs::set_permissions(bin.join("tar"), Permissions::from_mode(0o755)).unwrap();
    let profile = root.join(".profile");
    fs::write(&profile, format!("PATH={}:$PATH\n", bin.display())).unwrap();
    profile
}

async fn is_locked(fleet: &Fleet, name: &str) {
    let posture = fleet.record(name).await.unwrap().posture.unwrap();
    assert_eq!((posture.mode(), posture.proof()), (posture::Mode::Locked, posture::Proof::Proven));
    let mode = fs::metadata(root(fleet).join("policy.md")).unwrap().permissions().mode();
    assert_eq!(mode & 0o222, 0, "the sealed file is read-only");
}

/// A rebuild that waits with its new sandbox live and nothing put back yet.
async fn waiting_to_fill(fleet: &Fleet, name: &str) -> String {
    let control = lab(fleet).control.clone();
    control.fault(Fault::fail("CreateSandbox", Code::Internal, "no room").times(4));
    let open = fleet.ask(name, REBUILD).await.unwrap().recovery.unwrap().name;
    assert_eq!(fleet.wait(&open).await.unwrap().state(), State::Parked);
    control.fault(Fault::fail("ExecSandboxInteractive", Code::Unavailable, "relay down"));
    until("a sandbox that cannot be filled", || async {
        let now = recovery(fleet, &open).await;
        let tried = steps(&now).iter().any(|(step, _)| *step == "await_ready");
        (tried && now.state() == State::Parked).then_some(())
    })
    .await;
    open
}

/// Its end, once it can go on.
async fn gone_on_with(fleet: &Fleet, open: &str) -> pb::Recovery {
    until("an end", || async {
        let now = recovery(fleet, open).await;
        if now.state() == State::Parked {
            let retry = pb::RetryRecoveryRequest { name: open.to_owned() };
            // One that goes on by itself in this moment needs none.
            let _ = fleet.recovery.clone().retry_recovery(retry).await;
        }
        now.done.then_some(now)
    })
    .await
}

#[tokio::test]
async fn t24_an_item_that_is_not_put_back_is_named_and_trying_again_works() {
    let fleet = Fleet::start(with_snapshots(Dialect::V0_0)).await.unwrap();
    fleet.sandbox("lab", "coder", &seed()).await.unwrap();
    work_in(&root(&fleet)).unwrap();
    seal_at(&root(&fleet), "as sealed");
    // What is left out by rule is not taken away by a restore, either.
    let excludes = vec![".profile".to_owned()];
    let sealing = pb::AdoptSandboxRequest {
        seal_paths: vec![SEALED.into()],
        snapshot_rules: Some(registry::SnapshotRules { excludes, ..rules(&["/sandbox"]) }),
        ..adoption("coder")
    };
    let name = fleet.adopt_with(sealing).await.unwrap().name;
    let tree = read(&root(&fleet));

    let open = waiting_to_fill(&fleet, &name).await;
    let profile = leaving_out(&root(&fleet));
    lab(&fleet).control.clear_faults();
    let ended = gone_on_with(&fleet, &open).await;
    assert_eq!(ended.state(), State::Degraded, "{ended:#?}");
    let result = ended.result.unwrap();
    let data = result.data.unwrap();
    assert_eq!(data.outcome(), Outcome::Pending);
    assert!(data.message.contains("/sandbox/src/run.sh"), "{}", data.message);
    assert!(!result.snapshot_taken.is_empty());
    assert_eq!(result.snapshot_restored, result.snapshot_taken, "the one that holds it is named");
    assert!(result.snapshot_restored_time.is_some());
    let retry = format!("salvor snapshot restore {name} --snapshot {}", result.snapshot_taken);
    assert!(data.message.contains(&retry), "{}", data.message);
    is_locked(&fleet, &name).await;

    // It still cannot be: that is said again, and changes nothing of how to go on.
    let again = restored(&fleet, restore(&name, &result.snapshot_taken)).await;
    assert_eq!(again.state(), State::Degraded, "{again:#?}");
    assert_eq!(again.result.unwrap().snapshot_restored, result.snapshot_taken);
    is_locked(&fleet, &name).await;

    fs::remove_file(profile).unwrap();
    let back = restored(&fleet, restore(&name, &result.snapshot_taken)).await;
    assert_eq!(back.state(), State::Succeeded, "{back:#?}");
    assert!(steps(&back).contains(&("prove_posture", "proven")), "{back:#?}");
    assert_eq!(back.result.unwrap().posture.unwrap().outcome(), Outcome::Proven);
    is_locked(&fleet, &name).await;
    assert_eq!(read(&root(&fleet)), tree);
    fleet.stop().await;
}

/// What is replaced is a sandbox with a record of its own: saved first, written in place, never deleted.
#[tokio::test]
async fn t12_a_copy_takes_the_place_of_a_sandbox_only_when_asked_to() {
    let fleet = Fleet::start(with_snapshots(Dialect::V0_0)).await.unwrap();
    let (name, id) = adopted_as(&fleet, "coder", keeping(&["/sandbox"])).await;
    write(&fleet, "coder", &id, "/sandbox/notes", "of the first").await;
    let taken = snapshot(&fleet, &name).await;
    let other =
        pb::AdoptSandboxRequest { name: Fleet::name("lab", "coder-2"), ..keeping(&["/sandbox"]) };
    let (target, there) = adopted_as(&fleet, "coder-2", other).await;
    write(&fleet, "coder-2", &there, "/sandbox/notes", "of the second").await;
    fleet.sandbox("lab", "stray", &seed()).await.unwrap();
    lab(&fleet).control.clear_calls();

    let to = |copy: &str, replace_existing| pb::RestoreSandboxRequest {
        copy_to: copy.into(),
        replace_existing,
        ..restore(&name, &taken)
    };
    let client = fleet.recovery.clone();
    // Without being asked to; and what nobody recorded is nobody's to replace.
    for request in [to("coder-2", false), to("stray", true)] {
        let refused = client.clone().restore_sandbox(request).await.unwrap_err();
        assert_eq!(reason(&refused), "COPY_EXISTS");
    }
    let plan = pb::RestoreSandboxRequest { validate_only: true, ..to("coder-2", true) };
    let plan = client.clone().restore_sandbox(plan).await.unwrap().into_inner().plan.unwrap();
    assert_eq!((plan.sandbox.as_str(), plan.saga()), (&*target, pb::Saga::Restore));
    assert!(plan.steps.iter().any(|step| step == "verify_snapshot"), "{plan:#?}");
    assert_eq!(crate::given::mutations(&fleet), [""; 0]);

    let request_id = "0b1f5a52-3d0c-4b8e-9d0a-0d9f5ad0c7b1".to_owned();
    let request = pb::RestoreSandboxRequest { request_id, ..to("coder-2", true) };
    let replaced = restored(&fleet, request.clone()).await;
    assert_eq!(replaced.state(), State::Succeeded, "{replaced:#?}");
    assert_eq!(restored(&fleet, request).await.name, replaced.name, "the same request again");
    let result = replaced.result.unwrap();
    assert_eq!((result.live_id.as_str(), &*result.snapshot_restored), (&*there, &*taken));
    let notes = ["cat", "/sandbox/notes"];
    assert_eq!(output(&fleet, "coder-2", &there, &notes).await, "of the first");
    let calls = crate::given::mutations(&fleet);
    assert!(!calls.iter().any(|call| call.contains("Delete") || call.contains("Create")));
    // What it took the place of is saved, and not taken for the first one's.
    let before = result.snapshot_taken;
    let foreign = pb::RestoreSandboxRequest { snapshot: before.clone(), ..to("coder-2", true) };
    let refused = client.clone().restore_sandbox(foreign).await.unwrap_err();
    assert_eq!(reason(&refused), "SNAPSHOT_OF_ANOTHER");
    let undone = restored(&fleet, restore(&target, &before)).await;
    assert_eq!(undone.state(), State::Succeeded, "{undone:#?}");
    assert_eq!(output(&fleet, "coder-2", &there, &notes).await, "of the second");
    fleet.stop().await;
}

#[tokio::test]
async fn t15_a_snapshot_from_before_the_lock_is_not_written_over_it() {
    let fleet = Fleet::start(with_snapshots(Dialect::V0_1)).await.unwrap();
    let (name, _) = adopted_as(&fleet, "coder", keeping(&["/sandbox"])).await;
    work_in(&root(&fleet)).unwrap();
    seal_at(&root(&fleet), "before the lock");
    let older = snapshot(&fleet, &name).await;
    seal_at(&root(&fleet), "as sealed");
    let locking = pb::AdoptSandboxRequest {
        rebind: true,
        seal_paths: vec![SEALED.into()],
        ..adoption("coder")
    };
    fleet.adopt_with(locking).await.unwrap();
    let tree = read(&root(&fleet));
    lab(&fleet).control.clear_calls();

    let client = fleet.recovery.clone();
    let refused = client.clone().restore_sandbox(restore(&name, &older)).await.unwrap_err();
    let said = (refused.code(), reason(&refused));
    assert_eq!(said, (Code::FailedPrecondition, "POSTURE_LOCKED".into()));
    assert!(refused.message().contains(SEALED), "{}", refused.message());
    assert_eq!(crate::given::mutations(&fleet), [""; 0]);
    assert_eq!(read(&root(&fleet)), tree);

    // What does not touch the sealed file can be put back.
    fs::write(root(&fleet).join("marker.txt"), "spoilt").unwrap();
    let paths = vec!["/sandbox/marker.txt".to_owned()];
    let part =
        restored(&fleet, pb::RestoreSandboxRequest { paths, ..restore(&name, &older) }).await;
    assert_eq!(part.state(), State::Succeeded, "{part:#?}");
    assert_eq!(
        fs::read_to_string(root(&fleet).join("marker.txt")).unwrap(),
        "written before the rebuild"
    );
    is_locked(&fleet, &name).await;
    fleet.stop().await;
}

/// It can never be put back, so nothing is begun: not even what is there now is read.
#[tokio::test]
async fn t24_a_path_that_the_snapshot_does_not_hold_is_refused_at_once() {
    let (fleet, name, _) = at_work(with_snapshots(Dialect::V0_0)).await;
    let snapshot = snapshot(&fleet, &name).await;
    let held = "/sandbox/src/run.sh".to_owned();
    let request = pb::RestoreSandboxRequest {
        paths: vec![held.clone(), "/sandbox/no-such-thing".into()],
        ..restore(&name, &snapshot)
    };
    for validate_only in [true, false] {
        let request = pb::RestoreSandboxRequest { validate_only, ..request.clone() };
        let refused = fleet.recovery.clone().restore_sandbox(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let problem = format!(
            "paths[1]: /sandbox/no-such-thing: {snapshot} holds nothing there; nothing was begun"
        );
        assert_eq!(refused.message(), problem);
    }
    assert_eq!(fleet.status(&name).await.unwrap().open_recovery, "");
    // A file and a directory of it are held.
    let paths = vec![held, "/sandbox/src".into()];
    let ended = restored(&fleet, pb::RestoreSandboxRequest { paths, ..request }).await;
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    fleet.stop().await;
}

/// It cannot go back any more, and could go on. Nothing of what it made is touched, and the way is free.
#[tokio::test]
async fn t24_what_is_waited_for_no_longer_can_be_given_up() {
    let (fleet, name, tree) = at_work(with_snapshots(Dialect::V0_0)).await;
    let open = waiting_to_fill(&fleet, &name).await;
    let waits = recovery(&fleet, &open).await;
    let mut orchestrator = fleet.recovery.clone();
    let cancel = pb::CancelRecoveryRequest { name: open.clone() };
    let refused = orchestrator.cancel_recovery(cancel).await.unwrap_err();
    assert_eq!(reason(&refused), "PAST_POINT_OF_NO_RETURN");
    let request = pb::RetireRecoveryRequest { name: open, etag: waits.etag, ..Default::default() };
    let refused = orchestrator.retire_recovery(request.clone()).await.unwrap_err();
    assert_eq!(reason(&refused), "RECOVERY_RESUMABLE");

    let request = pb::RetireRecoveryRequest { give_up: true, ..request };
    let retired = orchestrator.retire_recovery(request).await.unwrap().into_inner();
    assert_eq!(retired.recovery.unwrap().state(), State::Retired);
    let retirement = retired.retirement.unwrap();
    assert_eq!(retirement.reason, "GIVEN_UP");
    let [snapshot] = &retirement.snapshots[..] else { panic!("{retirement:#?}") };
    assert!(lab(&fleet).control.live("coder"), "what it made stays");

    lab(&fleet).control.clear_faults();
    fleet.adopt_with(pb::AdoptSandboxRequest { rebind: true, ..adoption("coder") }).await.unwrap();
    // It was taken of the incarnation that the record spoke of before.
    let request = restore(&name, snapshot);
    let request = pb::RestoreSandboxRequest { allow_other_sandbox: true, ..request };
    let back = restored(&fleet, request).await;
    assert_eq!(back.state(), State::Succeeded, "{back:#?}");
    assert_eq!(read(&root(&fleet)), tree);
    fleet.stop().await;
}
