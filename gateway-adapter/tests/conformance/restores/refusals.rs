//! What is not restored, and what happens then.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use salvor_devgateway::{Call, Effect as FaultEffect, Fault};
use salvor_proto::gateway::v1::effect::{Cause, Outcome};
use salvor_proto::gateway::v1::operation::Result as Ended;
use salvor_proto::gateway::v1::*;
use tonic::Code;

use super::site::{Site, all_applied, uuid, wipe};
use crate::bench::PATIENCE;
use crate::target::{BOTH, is};

/// Puts a `tar` before the sandbox's own. Takes effect until the profile that it answers is removed.
fn shadow(site: &Site, script: &str) -> PathBuf {
    let bin = site.root.with_file_name("bin");
    fs::create_dir(&bin).unwrap();
    let tar = bin.join("tar");
    fs::write(&tar, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&tar, Permissions::from_mode(0o755)).unwrap();
    let profile = site.root.with_file_name(".profile");
    fs::write(&profile, format!("PATH={}:$PATH\n", bin.display())).unwrap();
    profile
}

#[tokio::test]
async fn what_cannot_be_written_is_named_and_trying_again_works() {
    let mut site = Site::new(BOTH[0]).await;
    for name in ["a", "b", "z"] {
        site.write(name, name);
    }
    let snapshot = site.take().await;
    wipe(&site.root);
    // A tar that does not extract one of them.
    let profile = shadow(&site, "exec /bin/tar --exclude=./b \"$@\"");
    let report = site.restore(&snapshot).await;
    is(report.effect.as_ref().unwrap(), Outcome::MaybeApplied, Cause::CommandFailed);
    let failed: Vec<_> = report.failures.iter().map(|f| (&f.path[..], &f.reason[..])).collect();
    assert_eq!((failed, report.failure_count), (vec![("/sandbox/work/b", "UNWRITABLE")], 1));
    assert_eq!((report.files_written, report.bytes_written), (2, 2));
    let verified = site.verify(&snapshot).await;
    assert!(!verified.intact && verified.problem_count == 1, "{verified:?}");
    fs::remove_file(&profile).unwrap();
    let report = site.restore(&snapshot).await;
    all_applied(&report);
    assert_eq!((report.files_written, report.bytes_written), (1, 1));
}

#[tokio::test]
async fn an_altered_snapshot_is_refused_before_anything_is_touched() {
    let mut site = Site::new(BOTH[0]).await;
    site.write("file", vec![3; 300_000]);
    site.write("other", "x");
    let snapshot = site.take().await;
    let mut site = Site::on(BOTH[1], site.repository).await;
    site.write("file", "live");
    let data = site.repository.path().join("repository/data");
    let mut packs = Vec::new();
    for directory in fs::read_dir(data).unwrap() {
        packs.extend(fs::read_dir(directory.unwrap().path()).unwrap().map(|f| f.unwrap().path()));
    }
    for pack in packs {
        fs::set_permissions(&pack, Permissions::from_mode(0o644)).unwrap();
        let mut content = fs::read(&pack).unwrap();
        content[20] ^= 1;
        fs::write(&pack, content).unwrap();
    }
    site.target.control().clear_calls();
    let request = site.restoring(&snapshot);
    let reason = match site.begin(request).await {
        Ok(begun) => match site.wait(begun).await {
            Ended::Failure(failure) => failure.reason,
            other => panic!("{other:?}"),
        },
        Err(status) => salvor_proto::error::received(&status).reason.unwrap(),
    };
    assert!(reason.starts_with("SNAPSHOT_") || reason.starts_with("REPOSITORY_"), "{reason}");
    let control = site.target.control();
    let executed: Vec<_> =
        control.calls().into_iter().filter(|call| call.method.contains("Exec")).collect();
    assert!(executed.is_empty(), "{executed:?}");
    assert_eq!(site.read("file"), b"live");
}

/// Makes a request wrong.
type Change<'a> = &'a dyn Fn(&mut RestoreWorkspaceRequest);

#[tokio::test]
async fn only_the_named_complete_snapshot_of_the_named_sandbox_is_restored() {
    let mut site = Site::new(BOTH[1]).await;
    site.write("file", "x");
    let snapshot = site.take().await;
    site.write("file", "live");
    site.target.control().clear_calls();
    let other_id = |request: &mut RestoreWorkspaceRequest| {
        request.expected_identity.as_mut().unwrap().live_id = uuid();
    };
    let other_name = |request: &mut RestoreWorkspaceRequest| {
        let identity = request.expected_identity.as_mut().unwrap();
        identity.sandbox.as_mut().unwrap().sandbox = "another".into();
    };
    let unknown = |request: &mut RestoreWorkspaceRequest| {
        let (gateway, _) = request.snapshot.split_once("/snapshots/").unwrap();
        request.snapshot = format!("{gateway}/snapshots/{}", "0".repeat(64));
    };
    let elsewhere = |request: &mut RestoreWorkspaceRequest| {
        let (_, id) = request.snapshot.split_once("/snapshots/").unwrap();
        request.snapshot = format!("gateways/elsewhere/snapshots/{id}");
    };
    let short = |request: &mut RestoreWorkspaceRequest| request.snapshot.truncate(60);
    let permit = |request: &mut RestoreWorkspaceRequest| {
        request.permit.as_mut().unwrap().effect = "snapshot".into();
    };
    let leaves = |request: &mut RestoreWorkspaceRequest| request.paths = vec!["/etc".into()];
    let cases: [(Change<'_>, Code, &str); 7] = [
        (&other_id, Code::FailedPrecondition, "SNAPSHOT_OF_ANOTHER"),
        (&other_name, Code::FailedPrecondition, "SNAPSHOT_OF_ANOTHER"),
        (&unknown, Code::NotFound, "SNAPSHOT_NOT_FOUND"),
        (&elsewhere, Code::FailedPrecondition, "SNAPSHOT_OF_ANOTHER"),
        (&short, Code::InvalidArgument, "INVALID_FIELD"),
        (&permit, Code::FailedPrecondition, "PERMIT_MISMATCH"),
        (&leaves, Code::InvalidArgument, "INVALID_FIELD"),
    ];
    for (change, code, reason) in cases {
        let mut request = site.restoring(&snapshot);
        change(&mut request);
        let status = site.begin(request).await.unwrap_err();
        let received = salvor_proto::error::received(&status);
        assert_eq!((status.code(), received.reason.as_deref()), (code, Some(reason)), "{status:?}");
    }
    // The sandbox itself is another one by now.
    let mut request = site.restoring(&snapshot);
    request.live_id = uuid();
    let Ended::Failure(failure) = site.run(request).await else { panic!("restored") };
    assert_eq!(failure.reason, "OTHER_INCARNATION");
    let calls = site.target.control().calls();
    assert!(calls.iter().all(|call| !call.method.contains("Exec")), "{calls:?}");
    assert_eq!(site.read("file"), b"live");
}

#[tokio::test]
async fn a_cut_stream_leaves_something_that_a_second_restore_completes() {
    for dialect in BOTH {
        let mut site = Site::new(dialect).await;
        site.write("a", vec![1; 900_000]);
        site.write("b", vec![2; 900_000]);
        let snapshot = site.take().await;
        wipe(&site.root);
        let control = site.target.control();
        control.fault(Fault::on("ExecSandboxInteractive", FaultEffect::LoseReply).times(1));
        let request = site.restoring(&snapshot);
        match site.run(request).await {
            // The very first look was cut: nothing was touched, and nothing is claimed.
            Ended::Failure(failure) => assert!(failure.message.contains("Nothing was written")),
            Ended::Restore(report) => {
                assert_ne!(report.effect.unwrap().outcome(), Outcome::Applied);
            }
            other => panic!("{other:?}"),
        }
        all_applied(&site.restore(&snapshot).await);
        assert_eq!((site.read("a"), site.read("b")), (vec![1; 900_000], vec![2; 900_000]));
    }
}

#[tokio::test]
async fn a_restore_can_be_cancelled_and_asked_for_again() {
    let mut site = Site::new(BOTH[0]).await;
    site.write("a", vec![1; 500_000]);
    let snapshot = site.take().await;
    wipe(&site.root);
    let control = site.target.control();
    control.clear_calls();
    control.fault(Fault::on("ExecSandboxInteractive", FaultEffect::Drop).times(1));
    let request = site.restoring(&snapshot);
    let begun = site.begin(request).await.unwrap().unwrap();
    let hit = |call: &Call| call.method == "ExecSandboxInteractive";
    assert!(control.wait_for_call(hit, PATIENCE).await.is_some());
    let cancel = CancelOperationRequest { name: begun.name.clone() };
    site.target.bench.client.cancel_operation(cancel).await.unwrap();
    let Ended::Failure(failure) = site.wait(Some(begun)).await else { panic!("it went on") };
    assert_eq!(failure.reason, "CANCELLED");
    all_applied(&site.restore(&snapshot).await);
    assert_eq!(site.read("a"), vec![1; 500_000]);
}

#[tokio::test]
async fn a_restore_that_is_cancelled_at_work_says_that_something_may_be_written() {
    let mut site = Site::new(BOTH[1]).await;
    site.write("a", vec![1; 500_000]);
    let snapshot = site.take().await;
    wipe(&site.root);
    // A tar that never ends, and reads nothing.
    let profile =
        shadow(&site, "[ \"$1\" = --version ] && exec /bin/tar \"$@\"\nexec sleep infinity");
    let control = site.target.control();
    control.clear_calls();
    let request = site.restoring(&snapshot);
    let begun = site.begin(request).await.unwrap().unwrap();
    let unpacks = |call: &Call| call.command.iter().any(|word| word.contains("-xf -"));
    assert!(control.wait_for_call(unpacks, PATIENCE).await.is_some());
    let cancel = CancelOperationRequest { name: begun.name.clone() };
    site.target.bench.client.cancel_operation(cancel).await.unwrap();
    let Ended::Restore(report) = site.wait(Some(begun)).await else { panic!("no report") };
    assert_eq!(report.effect.unwrap().outcome(), Outcome::MaybeApplied);
    assert_eq!(report.files_written, 0);
    fs::remove_file(&profile).unwrap();
    all_applied(&site.restore(&snapshot).await);
    assert_eq!(site.read("a"), vec![1; 500_000]);
}
