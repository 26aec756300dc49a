//! Killed by itself right after the n-th write to the journal, for every n that there is.

use futures::{StreamExt as _, stream};
use salvor_proto::recovery::v1::recovery::State;
use tokio::sync::Semaphore;

use crate::{
    scene::{Case, LATE, Scene},
    verify::verify,
};

/// So many fleets at a time, over all tests.
static FEW: Semaphore = Semaphore::const_new(4);

/// Nothing happens to it. Answers how often its journal was written.
async fn undisturbed(case: Case) -> u64 {
    let (scene, process, before) = Scene::open(case, None).await;
    scene.ask().await.unwrap();
    let recovery = scene.ended().await;
    verify(&scene, &before, &recovery, "undisturbed").await;
    process.kill().await;
    let appends = scene.appends(&recovery.name).await;
    scene.fleet.stop().await;
    appends
}

/// Whether its agent could write between the two processes; what it wrote is there in the end.
async fn killed_after(case: Case, append: u64) -> bool {
    let _one_of_few = FEW.acquire().await.unwrap();
    let what = format!("{case:?} killed after append {append}");
    println!("{what}");
    let (mut scene, process, before) = Scene::open(case, Some(append)).await;
    // What the caller was told depends on when it died.
    let _ = scene.ask().await;
    process.died().await;
    let wrote = case == Case::Rebuild && scene.write_on(&before);
    let process = scene.begin(None).await;
    let recovery = scene.ended().await;
    verify(&scene, &before, &recovery, &what).await;
    if wrote {
        assert_eq!(scene.written_on().unwrap(), LATE.1, "{what}: what was written meanwhile");
    }
    process.kill().await;
    scene.fleet.stop().await;
    wrote
}

/// Answers after how many of the kills the sandbox was still there, and written to.
async fn killed_after_every_append(case: Case, at_least: u64) -> usize {
    let appends = undisturbed(case).await;
    println!("{case:?}: {appends} writes");
    assert!(appends >= at_least, "{case:?} has only {appends} writes");
    stream::iter(1..=appends)
        .map(|append| killed_after(case, append))
        .buffer_unordered(4)
        .filter(|wrote| std::future::ready(*wrote))
        .count()
        .await
}

#[tokio::test]
async fn a_stale_recovery_survives_sigkill_after_every_append() {
    let _ = killed_after_every_append(Case::Stale, 10).await;
}

#[tokio::test]
async fn a_rebuild_survives_sigkill_after_every_append() {
    // Its header, the claim, the snapshot, its verification, and what was intended each time.
    let written_to = killed_after_every_append(Case::Rebuild, 19).await;
    assert!(written_to >= 7, "written to after {written_to} of the kills");
}

#[tokio::test]
async fn a_stale_recovery_from_a_snapshot_survives_sigkill_after_every_append() {
    let _ = killed_after_every_append(Case::Restored, 15).await;
}

#[tokio::test]
async fn a_revival_survives_sigkill_after_every_append() {
    let _ = killed_after_every_append(Case::Revive, 10).await;
}

#[tokio::test]
async fn a_destroy_survives_sigkill_after_every_append() {
    let _ = killed_after_every_append(Case::Destroy, 6).await;
}

#[tokio::test]
async fn a_snapshot_survives_sigkill_after_every_append() {
    let _ = killed_after_every_append(Case::Snapshot, 5).await;
}

#[tokio::test]
async fn a_restore_survives_sigkill_after_every_append() {
    let _ = killed_after_every_append(Case::Refill, 8).await;
}

#[tokio::test]
async fn a_drill_survives_sigkill_after_every_append() {
    let _ = killed_after_every_append(Case::Drill, 8).await;
}

#[tokio::test]
async fn a_copy_survives_sigkill_after_every_append() {
    let _ = killed_after_every_append(Case::Copy, 8).await;
}

#[tokio::test]
async fn a_prune_survives_sigkill_after_every_append() {
    let _ = killed_after_every_append(Case::Prune, 3).await;
}

/// What a process that is gone has read back is read back again by the next one, before it makes anything.
#[tokio::test]
async fn a_snapshot_that_is_altered_after_it_was_verified_makes_no_sandbox() {
    let _one_of_few = FEW.acquire().await.unwrap();
    // The header, the claim's intent and outcome, and that the snapshot is intact.
    let (mut scene, process, before) = Scene::open(Case::Restored, Some(4)).await;
    let _ = scene.ask().await;
    process.died().await;
    scene.alter_snapshots();
    let process = scene.begin(None).await;
    let recovery = scene.ended().await;
    let outcomes: Vec<_> = recovery.steps.iter().map(|step| step.outcome.as_str()).collect();
    assert!(outcomes.contains(&"verified") && outcomes.contains(&"damaged"), "{outcomes:?}");
    assert_eq!(recovery.state(), State::RolledBack, "{recovery:#?}");
    assert_eq!(recovery.failure.unwrap().reason, "SNAPSHOT_DAMAGED");
    let calls = scene.fleet.gateway("lab").control.mutating_calls();
    assert!(calls.iter().all(|call| call.seq < before.calls), "{calls:?}");
    process.kill().await;
    scene.fleet.stop().await;
}

/// Every process dies after a few writes. Each gets one effect further: what the one before intended is looked into, the next
/// effect intended, and its outcome written. A rebuild needs some more of them, since every process saves anew what it is to
/// delete.
#[tokio::test]
async fn a_recovery_gets_to_its_end_though_every_process_dies_young() {
    for (case, writes) in
        [(Case::Stale, 3), (Case::Revive, 3), (Case::Destroy, 3), (Case::Rebuild, 6)]
    {
        let _one_of_few = FEW.acquire().await.unwrap();
        let (mut scene, process, before) = Scene::open(case, Some(writes)).await;
        let _ = scene.ask().await;
        process.died().await;
        let mut deaths = 1;
        let (process, recovery) = loop {
            let process = scene.begin(Some(writes)).await;
            if let Some(recovery) = ended_before_it_dies(&scene).await {
                break (process, recovery);
            }
            process.died().await;
            deaths += 1;
            assert!(deaths < 20, "{case:?} does not get on");
        };
        assert!(deaths > 1, "{case:?}");
        verify(&scene, &before, &recovery, &format!("{case:?} with {deaths} deaths")).await;
        drop(process);
        scene.fleet.stop().await;
    }
}

async fn ended_before_it_dies(scene: &Scene) -> Option<salvor_proto::recovery::v1::Recovery> {
    let request = salvor_proto::recovery::v1::ListRecoveriesRequest {
        sandbox: scene.name.clone(),
        ..Default::default()
    };
    let listed = scene.fleet.recovery.clone().list_recoveries(request).await.ok()?.into_inner();
    let name = &listed.recoveries.first()?.name;
    scene.fleet.wait(name).await.ok().filter(|recovery| recovery.done)
}
