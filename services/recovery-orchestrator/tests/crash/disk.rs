//! The journal's disk fails in the middle of a recovery, and works again later: nobody has to do anything about the recovery.

use std::{cell::RefCell, collections::BTreeSet};

use futures::{StreamExt as _, future::ready, stream};
use salvor_proto::{error::received, registry::v1::AcquireLeaseRequest};
use salvor_testkit::{
    disk::{Disk, Fault},
    store::skipped_on_a_server,
    wait::until,
};
use tonic::Code;

use crate::{
    process::Process,
    scene::{Case, Scene},
    verify::verify,
};

/// How often a disk hangs in one recovery.
const HANGS: u32 = 4;

/// What the log says of each failure.
const NOTICED: &str = "the journal cannot be used";

/// The disk fails from the n-th call on, until that has been noticed. Whether it was before the end.
async fn fails_from(case: Case, fault: Fault, after: u32) -> bool {
    let what = format!("{case:?}, {fault:?} after {after}");
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path()).unwrap();
    let (mut scene, process, before) = Scene::open(case, None).await;
    process.kill().await;
    scene.start.disk = Some(disk.clone());
    let process = scene.begin(None).await;
    disk.breaks(fault, after).unwrap();
    if let Err(refused) = scene.ask().await {
        not_taken_up(&scene, fault, &refused, &what);
    }
    let failed = until("its end, or a failure", || met(&scene, &process)).await;
    disk.heals().unwrap();
    let recovery = scene.ended().await;
    verify(&scene, &before, &recovery, &what).await;
    process.kill().await;
    scene.fleet.stop().await;
    failed
}

/// The caller is told, and nothing was done.
fn not_taken_up(scene: &Scene, fault: Fault, refused: &tonic::Status, what: &str) {
    let (code, so) = match fault {
        Fault::Full => (Code::ResourceExhausted, "nothing was begun"),
        _ => (Code::Unavailable, "whether the request was taken up is not known"),
    };
    assert_eq!(refused.code(), code, "{what}: {refused}");
    assert!(refused.message().contains(so), "{what}: {refused}");
    assert!(scene.fleet.gateway("lab").control.orphans().is_empty(), "{what}");
}

async fn met(scene: &Scene, process: &Process) -> Option<bool> {
    if process.has_logged(NOTICED) {
        return Some(true);
    }
    let recoveries = scene.recoveries().await;
    recoveries.first().is_some_and(|recovery| recovery.done).then_some(false)
}

/// From every `step`-th call on, as long as there is one before the end.
async fn fails_everywhere(case: Case, fault: Fault, step: usize, at_least: usize) {
    let met = stream::iter((0..).step_by(step))
        .map(|after| fails_from(case, fault, after))
        .buffered(3)
        .take_while(|failed| ready(*failed))
        .count()
        .await;
    println!("{case:?}: {fault:?} at {met} places");
    assert!(met >= at_least, "{case:?}: {fault:?} at {met} places only");
}

#[tokio::test]
async fn a_stale_recovery_waits_for_room_on_a_full_disk() {
    if skipped_on_a_server("the disk under a file") {
        return;
    }
    fails_everywhere(Case::Stale, Fault::Full, 7, 5).await;
}

#[tokio::test]
async fn a_rebuild_goes_on_after_a_disk_that_could_not_say_what_is_on_it() {
    if skipped_on_a_server("the disk under a file") {
        return;
    }
    fails_everywhere(Case::Rebuild, Fault::SyncsFail, 3, 5).await;
}

/// A disk that takes its time, at one sync after the other: the lease is kept meanwhile, and nothing is done twice.
#[tokio::test]
async fn a_rebuild_goes_on_after_each_sync_that_hangs() {
    if skipped_on_a_server("the disk under a file") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path()).unwrap();
    let (mut scene, process, before) = Scene::open(Case::Rebuild, None).await;
    process.kill().await;
    scene.start.disk = Some(disk.clone());
    let process = scene.begin(None).await;
    let hanging = async {
        for hang in 0..HANGS {
            disk.breaks(Fault::SyncsHang, 2).unwrap();
            until("a sync hangs", async || disk.hangs().then_some(())).await;
            if hang == 2 {
                renewed_past_its_time(&scene).await;
            }
            disk.heals().unwrap();
        }
    };
    let (asked, ()) = tokio::join!(scene.ask(), hanging);
    asked.unwrap();
    let recovery = scene.ended().await;
    verify(&scene, &before, &recovery, "a disk that hangs").await;
    process.kill().await;
    scene.fleet.stop().await;
}

/// The caller's deadline passes while the commit that accepts the recovery hangs. Nobody asks again: it is at work once the commit is
/// done.
#[tokio::test]
async fn what_was_accepted_while_its_caller_left_is_at_work() {
    if skipped_on_a_server("the disk under a file") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path()).unwrap();
    let (mut scene, process, before) = Scene::open(Case::Stale, None).await;
    process.kill().await;
    scene.start.disk = Some(disk.clone());
    let process = scene.begin(None).await;
    disk.breaks(Fault::SyncsHang, 0).unwrap();
    let hung = until("a sync hangs", async || disk.hangs().then_some(()));
    tokio::select! {
        asked = scene.ask() => panic!("{asked:?}"),
        () = hung => {}
    }
    disk.heals().unwrap();
    let recovery = until("an end", async || scene.recoveries().await.into_iter().find(|r| r.done));
    verify(&scene, &before, &recovery.await, "without its caller").await;
    process.kill().await;
    scene.fleet.stop().await;
}

/// Waits for so many renewals of the record's lease that it would have run out without them.
async fn renewed_past_its_time(scene: &Scene) {
    let ends = RefCell::new(BTreeSet::new());
    until("renewals of the lease", async || {
        let request = AcquireLeaseRequest {
            sandbox: scene.name.clone(),
            holder: "somebody-else".into(),
            ttl: None,
        };
        let held = scene.fleet.registry.clone().acquire_lease(request).await.unwrap_err();
        ends.borrow_mut().insert(received(&held).metadata["expire_time"].clone());
        // Three of them are a lease's time.
        (ends.borrow().len() > 4).then_some(())
    })
    .await;
}
