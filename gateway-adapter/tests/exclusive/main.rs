//! T16, T17, T22: adapters as real processes, killed, stopped and started again, two for one gateway. Whatever happens, an older
//! holder's effect and that of an adapter that lost its gateway never reach it, and reading goes on.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails, fails")]

mod process;
mod scene;

use std::{fs, path::Path, time::Duration};

use nix::sys::signal::Signal;
use salvor_proto::{error::received, gateway::v1::effect::Outcome};
use tokio::time::{Instant, sleep};
use tonic::Code;

use process::{PATIENCE, Process};
use scene::{LONG_LEASE, Scene};

/// The names and successes of all changes that reached the gateway.
fn changes(scene: &Scene) -> Vec<(String, String)> {
    let calls = scene.control().mutating_calls();
    calls.into_iter().map(|call| (call.method, call.name)).collect()
}

#[tokio::test]
async fn the_second_of_two_adapters_refuses_names_the_first_and_takes_over_when_it_dies() {
    let scene = Scene::open().await;
    let mut first = scene.adapter("one").await;
    let made = first.create("coder", 1).await.unwrap();
    assert_eq!(made.0.outcome(), Outcome::Applied);
    let mut second = scene.adapter("two").await;
    let refused = second.create("second", 2).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    let told = received(&refused);
    assert_eq!(told.reason.as_deref(), Some("GATEWAY_SERVED_ELSEWHERE"));
    assert!(told.metadata["holder"].starts_with("one@"), "{told:?}");
    assert!(told.metadata.contains_key("expire_time"), "{told:?}");
    assert_eq!(second.observed("coder").await, made.1, "it reads");
    assert_eq!(scene.announced().await, first.url(), "who serves is who is called");

    first.kill().await;
    let taken_over = second.create_once_it_may("second", 2).await;
    assert_eq!(taken_over.0.outcome(), Outcome::Applied);
    // The first comes back, and is the second now.
    let mut first = scene.adapter("one").await;
    let refused = first.create("third", 3).await.unwrap_err();
    assert!(received(&refused).metadata["holder"].starts_with("two@"), "{refused}");
    let made = |name: &str| ("CreateSandbox".to_owned(), name.to_owned());
    assert_eq!(changes(&scene), [made("coder"), made("second")]);
}

/// The request is with the adapter already when it is stopped; when it goes on, its lease is another one's.
#[tokio::test]
async fn an_adapter_stopped_past_its_lease_sends_nothing_when_it_goes_on() {
    let scene = Scene::open().await;
    let first = scene.adapter("one").await;
    first.clone_client().create("coder", 1).await.unwrap();
    let mut second = scene.adapter("two").await;
    first.signal(Signal::SIGSTOP);
    let mut late = first.clone_client();
    let late = tokio::spawn(async move { late.create("late", 2).await });
    let (effect, _) = second.create_once_it_may("second", 3).await;
    assert_eq!(effect.outcome(), Outcome::Applied);
    first.signal(Signal::SIGCONT);
    let refused = late.await.unwrap().unwrap_err();
    // Nor does it come later, whether or not it has heard by then who has the gateway.
    let again = first.clone_client().create("late", 4).await.unwrap_err();
    for refused in [refused, again] {
        let reason = received(&refused).reason.unwrap();
        let either = ["SERVING_NOT_SURE", "GATEWAY_SERVED_ELSEWHERE"];
        assert!(either.contains(&reason.as_str()), "{refused}");
    }
    let made = |name: &str| ("CreateSandbox".to_owned(), name.to_owned());
    assert_eq!(changes(&scene), [made("coder"), made("second")]);
    assert_eq!(first.clone_client().observed("second").await.len(), 36, "it reads");
}

#[tokio::test]
async fn a_killed_adapter_takes_its_gateway_back_at_once_and_fences_older_holders_off() {
    let scene = Scene::open().await;
    let mut adapter = scene.adapter_for("one", LONG_LEASE).await;
    let (_, id) = adapter.create("coder", 9).await.unwrap();
    adapter.kill().await;
    let mut adapter = scene.adapter_for("one", LONG_LEASE).await;
    let refused = adapter.delete("coder", &id, 8).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    assert_eq!(received(&refused).reason.as_deref(), Some("FENCED"));
    // The newest holder's effect is let pass, without the lease having had to run out.
    let deleted = adapter.delete("coder", &id, 9).await.unwrap();
    assert_eq!(deleted.outcome(), Outcome::Applied);
    let all = changes(&scene);
    assert_eq!(all.iter().filter(|(method, _)| method == "DeleteSandbox").count(), 1, "{all:?}");
}

#[tokio::test]
async fn an_adapter_that_is_ended_gives_its_gateway_to_the_next_at_once() {
    let scene = Scene::open().await;
    let first = scene.adapter_for("one", LONG_LEASE).await;
    first.clone_client().create("coder", 1).await.unwrap();
    first.end().await;
    let mut second = scene.adapter_for("two", LONG_LEASE).await;
    second.create("second", 2).await.unwrap();
}

/// Waits until there is such a file.
async fn appears(file: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while !file.exists() {
        assert!(Instant::now() < deadline, "there is no {}", file.display());
        sleep(Duration::from_millis(20)).await;
    }
}

/// Ended with a capture in hand whose undo the test holds for so long: meanwhile it keeps the gateway, and then it gives it away.
async fn ended_with_a_capture_in_hand(lease: Duration, held: Duration) {
    let scene = Scene::open().await;
    let mut first = scene.adapter_for("one", lease).await;
    let (_, id) = first.create("coder", 1).await.unwrap();
    let root = scene.ready("coder").await;
    fs::create_dir(root.join("work")).unwrap();
    let before = "touch /sandbox/begun; exec sleep 60";
    let after = "touch /sandbox/undoing; until [ -e /sandbox/go ]; do sleep 0.05; done";
    first.capture("coder", &id, 2, (before, after)).await;
    appears(&root.join("begun")).await;
    first.signal(Signal::SIGTERM);
    appears(&root.join("undoing")).await;
    let mut second = scene.adapter_for("two", lease).await;
    let until = Instant::now() + held;
    while Instant::now() < until {
        let refused = second.create("second", 3).await.unwrap_err();
        let told = received(&refused);
        assert_eq!(told.reason.as_deref(), Some("GATEWAY_SERVED_ELSEWHERE"), "{refused}");
        assert!(first.is_running());
        sleep(Duration::from_millis(200)).await;
    }
    fs::write(root.join("go"), "").unwrap();
    first.ended().await;
    second.create_once_it_may("second", 3).await;
}

#[tokio::test]
async fn an_adapter_that_is_ended_undoes_its_capture_and_gives_its_gateway_to_the_next_at_once() {
    Box::pin(ended_with_a_capture_in_hand(LONG_LEASE, Duration::from_secs(6))).await;
}

#[tokio::test]
async fn an_adapter_that_is_ended_keeps_its_gateway_past_a_lease_until_its_capture_is_undone() {
    let lease = Duration::from_secs(9);
    Box::pin(ended_with_a_capture_in_hand(lease, lease + Duration::from_secs(1))).await;
}

#[tokio::test]
async fn two_adapters_on_one_data_directory_are_found_out() {
    let scene = Scene::open().await;
    let mut first = scene.adapter("one").await;
    let (_, id) = first.create("coder", 1).await.unwrap();
    let mut second = scene.adapter("one").await;
    let refused = second.delete("coder", &id, 2).await.unwrap_err();
    assert_eq!(received(&refused).reason.as_deref(), Some("DATA_IN_USE"), "{refused}");
    assert_eq!(second.observed("coder").await, id, "it reads");
    let deleted = first.delete("coder", &id, 2).await.unwrap();
    assert_eq!(deleted.outcome(), Outcome::Applied);
}

#[tokio::test]
async fn with_a_damaged_memory_it_only_reads_and_says_so() {
    let scene = Scene::open().await;
    let mut adapter = scene.adapter("one").await;
    let (_, id) = adapter.create("coder", 7).await.unwrap();
    adapter.end().await;
    let file = scene.data("one").join("fences.db");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, b"no database".repeat(1000)).unwrap();
    let mut adapter = scene.adapter("one").await;
    let refused = adapter.delete("coder", &id, 8).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(received(&refused).reason.as_deref(), Some("FENCES_UNUSABLE"));
    assert!(refused.message().contains("fences.db"), "{refused}");
    assert_eq!(adapter.observed("coder").await, id, "it reads");
    // Put back, it goes on without a restart, from where it was.
    fs::write(&file, whole).unwrap();
    let fenced = Process::until_not(&mut adapter, "FENCES_UNUSABLE", &id, 6).await;
    assert_eq!(received(&fenced).reason.as_deref(), Some("FENCED"), "{fenced}");
    assert_eq!(adapter.delete("coder", &id, 7).await.unwrap().outcome(), Outcome::Applied);
}
