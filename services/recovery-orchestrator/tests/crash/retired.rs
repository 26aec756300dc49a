//! Killed right after any write of a retirement, it ends all the same: the record is free, and nothing was touched.

use salvor_proto::{
    recovery::v1::{self as pb, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::{store, wait::until};

use crate::scene::{Case, Scene};

/// Writes of a retirement: that it is given up, and that the record is free.
const WRITES: u64 = 2;

/// Left behind by a version that is gone, right after it asked for a create.
async fn left_behind() -> (Scene, pb::Recovery) {
    // Its header, the claim and its outcome, and that a create is asked for.
    let (mut scene, process, _) = Scene::open(Case::Stale, Some(4)).await;
    let _ = scene.ask().await;
    process.died().await;
    let journal = store::open(scene.fleet.journal()).await;
    let plan = sqlx::query_scalar::<_, String>("SELECT plan FROM recoveries").fetch_one(&journal);
    let mut plan: serde_json::Value = serde_json::from_str(&plan.await.unwrap()).unwrap();
    plan["saga_version"] = 1.into();
    let written = sqlx::query("UPDATE recoveries SET plan = $1").bind(plan.to_string());
    assert_eq!(written.execute(&journal).await.unwrap().rows_affected(), 1);
    let process = scene.begin(None).await;
    process.logged("an open recovery is left as it is").await;
    let recoveries = scene.recoveries().await;
    assert_eq!((recoveries.len(), recoveries[0].state()), (1, State::Stranded), "{recoveries:#?}");
    process.kill().await;
    (scene, recoveries[0].clone())
}

async fn retire(scene: &Scene, open: &pb::Recovery) -> Result<pb::Recovery, tonic::Status> {
    let request = pb::RetireRecoveryRequest {
        name: open.name.clone(),
        etag: open.etag.clone(),
        ..pb::RetireRecoveryRequest::default()
    };
    let answer = scene.fleet.recovery.clone().retire_recovery(request).await?;
    Ok(answer.into_inner().recovery.unwrap())
}

async fn killed_after(write: u64) {
    let (mut scene, open) = left_behind().await;
    let process = scene.begin(Some(write)).await;
    // The lease of the one that died before runs out by itself. What the caller is told depends on when this one dies.
    until("its death", || async { retire(&scene, &open).await.err().filter(died) }).await;
    process.died().await;
    let mut process = scene.begin(None).await;
    let ended = scene.fleet.wait(&open.name).await.unwrap();
    assert_eq!((ended.state(), ended.done), (State::Retired, true), "{write}: {ended:#?}");
    let doubts = ended.retirement.unwrap().doubts;
    assert_eq!(doubts.iter().map(|doubt| &*doubt.step).collect::<Vec<_>>(), ["create"]);
    let record = scene.fleet.record(&scene.name).await.unwrap();
    assert_eq!(record.state(), registry::sandbox::State::Active, "after write {write}");
    let control = &scene.fleet.gateway("lab").control;
    assert!(control.orphans().is_empty());
    // Neither is it retired twice, nor gone on with.
    process.kill().await;
    process = scene.begin(None).await;
    let again = retire(&scene, &open).await.unwrap_err();
    assert_eq!(again.code(), tonic::Code::FailedPrecondition, "{again}");
    assert_eq!(scene.appends(&open.name).await, 4 + WRITES);
    process.kill().await;
    scene.fleet.stop().await;
}

/// Its process is gone, and not only the lease held.
fn died(status: &tonic::Status) -> bool {
    status.code() != tonic::Code::Aborted
}

#[tokio::test]
async fn a_retirement_survives_sigkill_after_every_write() {
    for write in 1..=WRITES {
        killed_after(write).await;
    }
}
