//! A leftover container is ended for good and kept; anything else is left alone.

use salvor_core::name::RecordName;
use salvor_proto::gateway::v1::compute::State;
use salvor_proto::gateway::v1::effect::{Cause, Outcome};
use salvor_proto::gateway::v1::{self as pb, Effect};

use super::super::{Bounds, Runtime, RuntimeSettings, stop};
use super::lab::{Lab, Make, fresh_id, labels, target};
use crate::authority::Authority;
use crate::permit::{Permit, Verb};

fn permit(target: &RecordName, token: i64) -> Permit {
    let sandbox = pb::SandboxRef {
        gateway: target.owner().to_string(),
        workspace: target.workspace.to_string(),
        sandbox: target.sandbox.to_string(),
    };
    let permit = pb::Permit {
        recovery: "recoveries/r".into(),
        plan_digest: "d".into(),
        decision_id: "1".into(),
        fence_token: token,
        effect: "stop_compute".into(),
        sandbox: Some(sandbox),
    };
    Permit::check(Some(permit), target, Verb::StopCompute).unwrap()
}

async fn stopped(runtime: &Runtime, target: &RecordName, live_id: &str, id: &str) -> Effect {
    let authority = Authority::over(&target.owner().to_string());
    let cleared = permit(target, 1).clear(&authority).await.unwrap();
    stop(runtime, cleared, live_id, id).await.unwrap()
}

fn said(effect: &Effect) -> (Outcome, Cause) {
    (effect.outcome(), effect.cause())
}

const APPLIED: (Outcome, Cause) = (Outcome::Applied, Cause::Unspecified);

#[tokio::test]
async fn a_running_one_ends_stays_and_does_not_come_back() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("running"), fresh_id());
    let make = Make { labels: labels(&sandbox, &id), restart_always: true, ..Make::default() };
    let container = lab.make(make).await;
    lab.start(&container).await;
    let effect = stopped(&lab.runtime, &sandbox, &id, &container).await;
    assert_eq!(said(&effect), APPLIED, "{}", effect.detail);
    let kept = lab.runtime.container(&container).await.unwrap();
    assert_eq!((kept.state, lab.restart_policy(&container).await), (State::Exited, "no"));
    // Once more is the same.
    assert_eq!(said(&stopped(&lab.runtime, &sandbox, &id, &container).await), APPLIED);
}

#[tokio::test]
async fn a_paused_one_is_killed_where_it_stands() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("paused"), fresh_id());
    // It would leave a file behind if it were asked to end.
    let command = vec![
        "bash",
        "-c",
        "trap 'touch /sandbox/acted; exit' TERM; touch /sandbox/set; while :; do sleep 0.05; done",
    ];
    let container =
        lab.make(Make { labels: labels(&sandbox, &id), command, ..Make::default() }).await;
    lab.start(&container).await;
    let docker = lab.runtime.connect().await.unwrap();
    let exists = async |path| {
        lab.runtime.stat(&docker, &container, path).await.unwrap()
            != super::super::archive::Stat::Missing
    };
    while !exists("/sandbox/set").await {
        tokio::task::yield_now().await;
    }
    lab.docker.pause_container(&container).await.unwrap();
    let effect = stopped(&lab.runtime, &sandbox, &id, &container).await;
    assert_eq!(said(&effect), APPLIED, "{}", effect.detail);
    let kept = lab.runtime.container(&container).await.unwrap();
    assert_eq!((kept.state, kept.exit_code), (State::Exited, Some(137)));
    assert!(!exists("/sandbox/acted").await, "it was let go on");
}

#[tokio::test]
async fn one_that_never_ran_is_kept_from_running_by_itself() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("created"), fresh_id());
    let make = Make { labels: labels(&sandbox, &id), restart_always: true, ..Make::default() };
    let container = lab.make(make).await;
    assert_eq!(said(&stopped(&lab.runtime, &sandbox, &id, &container).await), APPLIED);
    let kept = lab.runtime.container(&container).await.unwrap();
    assert_eq!((kept.state, lab.restart_policy(&container).await), (State::Created, "no"));
}

#[tokio::test]
async fn whatever_does_not_bear_the_labels_is_left_alone() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("mine"), fresh_id());
    let bare = lab.make(Make::default()).await;
    let other = lab.make(Make { labels: labels(&sandbox, &fresh_id()), ..Make::default() }).await;
    let named = lab.make(Make { labels: labels(&target("theirs"), &id), ..Make::default() }).await;
    for container in [bare, other, named] {
        lab.start(&container).await;
        let effect = stopped(&lab.runtime, &sandbox, &id, &container).await;
        assert_eq!(said(&effect), (Outcome::NotApplied, Cause::OtherIncarnation));
        assert!(effect.detail.contains(&container), "{}", effect.detail);
        let state = lab.runtime.container(&container).await.unwrap().state;
        assert_eq!(state, State::Running);
    }
}

#[tokio::test]
async fn one_that_would_be_removed_by_stopping_it_is_left_alone() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("fleeting"), fresh_id());
    let make = Make { labels: labels(&sandbox, &id), auto_remove: true, ..Make::default() };
    let container = lab.make(make).await;
    lab.start(&container).await;
    let effect = stopped(&lab.runtime, &sandbox, &id, &container).await;
    assert_eq!(said(&effect), (Outcome::NotApplied, Cause::Invalid));
    assert_eq!(lab.runtime.container(&container).await.unwrap().state, State::Running);
}

#[tokio::test]
async fn the_beginning_of_an_id_is_none() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("short"), fresh_id());
    let container = lab.running(&sandbox, &id).await;
    let effect = stopped(&lab.runtime, &sandbox, &id, &container[..12]).await;
    assert_eq!(said(&effect), (Outcome::NotApplied, Cause::NotFound));
    assert_eq!(lab.runtime.container(&container).await.unwrap().state, State::Running);
}

#[tokio::test]
async fn with_the_runtime_away_nothing_was_done() {
    let settings =
        RuntimeSettings { socket: "/nowhere/sock".into(), gateways: Vec::new(), live: false };
    let runtime = Runtime::new(settings, Bounds::default());
    let effect = stopped(&runtime, &target("away"), "id", &"0".repeat(64)).await;
    assert_eq!(said(&effect), (Outcome::NotApplied, Cause::GatewayFailed));
    assert!(effect.detail.contains("not stopped"), "{}", effect.detail);
}

#[tokio::test]
async fn a_newer_holder_is_the_only_one_who_may() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("fenced"), fresh_id());
    let container = lab.running(&sandbox, &id).await;
    let authority = Authority::over(&sandbox.owner().to_string());
    let older = permit(&sandbox, 1).clear(&authority).await.unwrap();
    drop(permit(&sandbox, 2).clear(&authority).await.unwrap());
    let refused = stop(&lab.runtime, older, &id, &container).await.unwrap_err();
    assert_eq!(refused.reason(), "FENCED");
    assert_eq!(lab.runtime.container(&container).await.unwrap().state, State::Running);
}
