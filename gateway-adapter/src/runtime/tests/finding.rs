//! Containers are found by their labels, exactly, or it is said that this is not known.

use std::sync::Arc;

use salvor_proto::gateway::v1::UnknownReason;
use salvor_proto::gateway::v1::compute::State;

use super::super::{Bounds, Runtime, RuntimeChannel, RuntimeSettings};
use super::lab::{Lab, Make, fresh_id, labels, target};

#[tokio::test]
async fn neither_names_nor_beginnings_of_ids_are_taken_for_the_id() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("twin"), fresh_id());
    let longer = format!("{id}-0");
    let (one, other) = (lab.running(&sandbox, &id).await, lab.made(&sandbox, &longer).await);
    // Named like the sandbox's, and labelled by nobody.
    let name = format!("openshell-default--twin-{}", fresh_id());
    lab.make(Make { name: Some(name.clone()), ..Make::default() }).await;

    let found = lab.runtime.find(&id).await.unwrap();
    assert_eq!(found.iter().map(|found| &found.id).collect::<Vec<_>>(), [&one]);
    assert_eq!((found[0].state, found[0].exit_code), (State::Running, None));
    assert_eq!(found[0].name, format!("openshell-default--twin-{id}"));
    assert_eq!(found[0].image, "salvor-test-sandbox:local");
    let found = lab.runtime.find(&longer).await.unwrap();
    assert_eq!(found.iter().map(|found| &found.id).collect::<Vec<_>>(), [&other]);
    assert_eq!(found[0].state, State::Created);
    for nothing in [&id[..8], &name, &fresh_id()] {
        assert!(lab.runtime.find(nothing).await.unwrap().is_empty(), "{nothing}");
    }
}

#[tokio::test]
async fn every_state_has_its_name() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("named"), fresh_id());
    let container = lab.running(&sandbox, &id).await;
    lab.docker.pause_container(&container).await.unwrap();
    assert_eq!(lab.runtime.find(&id).await.unwrap()[0].state, State::Paused);
    lab.docker.unpause_container(&container).await.unwrap();
    lab.kill(&container).await;
    let found = lab.runtime.find(&id).await.unwrap().remove(0);
    assert_eq!((found.state, found.exit_code), (State::Exited, Some(137)));
}

#[tokio::test]
async fn a_label_alone_or_another_managers_is_not_enough() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("foreign"), fresh_id());
    let mut other = labels(&sandbox, &id);
    other[0].1 = "someone-else".into();
    lab.make(Make { labels: other, ..Make::default() }).await;
    lab.make(Make { labels: labels(&sandbox, &id).split_off(1), ..Make::default() }).await;
    assert!(lab.runtime.find(&id).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_same_id_under_another_name_is_found_and_not_used() {
    let Some(lab) = Lab::open().await else { return };
    let id = fresh_id();
    lab.running(&target("other"), &id).await;
    assert_eq!(lab.runtime.find(&id).await.unwrap().len(), 1);
    let channel = RuntimeChannel::find(&lab.runtime, &target("meant"), &id).await.unwrap();
    assert!(channel.is_none());
}

#[tokio::test]
async fn two_with_one_id_are_no_channel() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("double"), fresh_id());
    for _ in 0..2 {
        lab.make(Make { labels: labels(&sandbox, &id), ..Make::default() }).await;
    }
    let broken = RuntimeChannel::find(&lab.runtime, &sandbox, &id).await.unwrap_err();
    assert_eq!(broken.unknown.reason(), UnknownReason::Inconsistent);
    assert!(broken.unknown.detail.contains("2 containers"), "{broken}");
}

#[tokio::test]
async fn a_runtime_that_is_away_is_not_known_to_have_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("gone.sock");
    let dead = dir.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    for socket in [gone, dead] {
        let settings =
            RuntimeSettings { socket: socket.clone(), gateways: Vec::new(), live: false };
        let runtime = Arc::new(Runtime::new(settings, Bounds::default()));
        let unknown = runtime.find(&fresh_id()).await.unwrap_err().unknown();
        assert_eq!(unknown.reason(), UnknownReason::Unavailable);
        assert!(unknown.detail.contains(&*socket.to_string_lossy()), "{}", unknown.detail);
        let broken = RuntimeChannel::find(&runtime, &target("any"), "id").await.unwrap_err();
        assert_eq!(broken.unknown.reason(), UnknownReason::Unavailable);
    }
}

#[tokio::test]
async fn a_runtime_that_does_not_answer_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("silent.sock");
    let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let settings = RuntimeSettings { socket, gateways: Vec::new(), live: false };
    let bounds = Bounds { call: std::time::Duration::from_millis(50), ..Bounds::default() };
    let unknown = Runtime::new(settings, bounds).find("id").await.unwrap_err().unknown();
    assert_eq!(unknown.reason(), UnknownReason::DeadlineExceeded);
}
