//! Killed from outside while the gateway has the effect in hand.

use salvor_devgateway::{Effect, Fault};
use salvor_testkit::wait::PATIENCE;

use crate::{
    scene::{Case, Scene, VICTIM},
    verify::verify,
};

async fn killed_during(case: Case, method: &'static str, effect: Effect) {
    let what = format!("{case:?} killed during {method} with {effect:?}");
    let (mut scene, process, before) = Scene::open(case, None).await;
    scene.unanswered_is_done = effect == Effect::HangAfter;
    let control = scene.fleet.gateway("lab").control.clone();
    control.fault(Fault::on(method, effect).for_sandbox(VICTIM).times(1));
    let asked = scene.ask();
    let reached =
        control.wait_for_call(|call| call.seq >= before.calls && call.method == method, PATIENCE);
    tokio::select! {
        // A destroy's asker waits for its end, which does not come.
        asked = async { asked.await.unwrap(); std::future::pending::<()>().await } => asked,
        reached = reached => assert!(reached.is_some(), "{what}"),
    }
    process.kill().await;
    let process = scene.begin(None).await;
    let recovery = scene.ended().await;
    verify(&scene, &before, &recovery, &what).await;
    process.kill().await;
    scene.fleet.stop().await;
}

#[tokio::test]
async fn an_effect_that_was_done_and_never_answered_is_not_done_again() {
    for (case, method) in [
        (Case::Stale, "CreateSandbox"),
        (Case::Revive, "StartSandbox"),
        (Case::Destroy, "DeleteSandbox"),
        (Case::Rebuild, "DeleteSandbox"),
        (Case::Rebuild, "CreateSandbox"),
    ] {
        Box::pin(killed_during(case, method, Effect::HangAfter)).await;
    }
}

/// The old request may still be on its way when the new process looks, or be gone with the one who asked.
#[tokio::test]
async fn an_effect_that_comes_late_is_not_done_twice() {
    for (case, method) in [
        (Case::Stale, "CreateSandbox"),
        (Case::Revive, "StartSandbox"),
        (Case::Destroy, "DeleteSandbox"),
        (Case::Rebuild, "CreateSandbox"),
    ] {
        Box::pin(killed_during(case, method, Effect::Delay { millis: 700 })).await;
    }
}

/// Killed while it still collects evidence: nothing is durable but a lease, which runs out.
#[tokio::test]
async fn what_was_never_durable_is_asked_for_again() {
    let (mut scene, process, before) = Scene::open(Case::Stale, None).await;
    let control = scene.fleet.gateway("lab").control.clone();
    control.fault(Fault::on("GetSandbox", Effect::Drop).for_sandbox(VICTIM));
    let looks = control
        .wait_for_call(|call| call.seq >= before.calls && call.method == "GetSandbox", PATIENCE);
    tokio::select! {
        asked = scene.ask() => panic!("{asked:?}"),
        looks = looks => assert!(looks.is_some()),
    }
    process.kill().await;
    control.clear_faults();
    let process = scene.begin(None).await;
    assert!(scene.recoveries().await.is_empty());
    assert_eq!(scene.fleet.record(&scene.name).await.unwrap(), before.record, "untouched");
    let recovery = scene.ended().await;
    verify(&scene, &before, &recovery, "asked again").await;
    process.kill().await;
    scene.fleet.stop().await;
}
