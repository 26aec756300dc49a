//! Stopped for longer than its lease lasts, with an effect in hand; somebody else has the lease when it goes on.

use nix::sys::signal::Signal;
use salvor_devgateway::{Effect, Fault};
use salvor_testkit::{store::skipped_on_a_server, wait::PATIENCE};

use crate::{
    scene::{Case, Scene, VICTIM},
    verify::verify,
};

async fn stopped_during(case: Case, method: &'static str, effect: Effect) {
    let what = format!("{case:?} stopped during {method} with {effect:?}");
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
    process.signal(Signal::SIGSTOP);
    // Free because it has run out: nobody gave it back.
    let token = scene.hold().await;
    let (record, calls) = (scene.fleet.record(&scene.name).await.unwrap(), ours(&scene, &before));
    process.signal(Signal::SIGCONT);
    process.logged("the lease is lost").await;
    // It looks for open recoveries every second, and finds this one's lease taken.
    process.logged("could not be taken up yet").await;
    assert_eq!(scene.fleet.record(&scene.name).await.unwrap(), record, "{what}");
    assert_eq!(ours(&scene, &before), calls, "{what}: nothing is done under another one's lease");
    scene.release(token).await;
    let recovery = scene.ended().await;
    verify(&scene, &before, &recovery, &what).await;
    process.kill().await;
    scene.fleet.stop().await;
}

/// What the gateway was asked to change since.
fn ours(scene: &Scene, before: &crate::scene::Before) -> Vec<String> {
    let calls = scene.fleet.gateway("lab").control.mutating_calls();
    calls.into_iter().filter(|call| call.seq >= before.calls).map(|call| call.method).collect()
}

#[tokio::test]
async fn an_orchestrator_stopped_past_its_lease_changes_nothing_when_it_goes_on() {
    for (case, method) in [
        (Case::Stale, "CreateSandbox"),
        (Case::Revive, "StartSandbox"),
        (Case::Destroy, "DeleteSandbox"),
        (Case::Rebuild, "DeleteSandbox"),
        (Case::Rebuild, "CreateSandbox"),
    ] {
        Box::pin(stopped_during(case, method, Effect::HangAfter)).await;
    }
}

#[tokio::test]
async fn stopped_with_a_request_that_never_arrived_it_asks_again_under_a_new_lease() {
    for (case, method) in [(Case::Stale, "CreateSandbox"), (Case::Rebuild, "DeleteSandbox")] {
        Box::pin(stopped_during(case, method, Effect::Drop)).await;
    }
}

/// A second one on the same file would take the first one's work for what a crash left.
#[tokio::test]
async fn a_second_orchestrator_on_one_journal_file_is_refused() {
    if skipped_on_a_server("a journal's file is one process's") {
        return;
    }
    let (scene, process, _) = Box::pin(Scene::open(Case::Stale, None)).await;
    let refused = scene.start.refused().await;
    assert!(refused.contains("is in use: another process uses it"), "{refused}");
    assert!(refused.contains("--database-url"), "{refused}");
    process.kill().await;
    let mut scene = scene;
    scene.begin(None).await.kill().await;
    scene.fleet.stop().await;
}
