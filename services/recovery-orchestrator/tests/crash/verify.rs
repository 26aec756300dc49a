//! What must be true after every crash, whichever it was.

use salvor_devgateway::{Phase, user::Seed};
use salvor_proto::{
    recovery::v1::{self as pb, recovery::State},
    registry::v1 as registry,
};

use crate::{
    scene::{Before, Case, Scene, VICTIM, WORK},
    snapshots,
};

/// Asserts all of it. `what` says which crash it was.
pub(crate) async fn verify(scene: &Scene, before: &Before, recovery: &pb::Recovery, what: &str) {
    assert_eq!(recovery.state(), State::Succeeded, "{what}: {recovery:#?}");
    one_effect(scene, before, what);
    match scene.case {
        Case::Stale | Case::Rebuild | Case::Restored => remade(scene, before, recovery, what).await,
        Case::Revive => revived(scene, before, recovery, what).await,
        Case::Destroy => destroyed(scene, before, what).await,
        Case::Snapshot | Case::Refill | Case::Drill | Case::Copy | Case::Prune => {
            snapshots::verify(scene, before, recovery, what).await;
        }
    }
    let bystander = scene.fleet.record(&scene.bystander).await.unwrap();
    assert_eq!(bystander, before.bystander, "{what}: the bystander's record");
    assert!(scene.fleet.gateway("lab").control.live("other"), "{what}: the bystander");
}

/// The case's effect took place once, whether its caller learned of it or not, and no other change was asked for.
fn one_effect(scene: &Scene, before: &Before, what: &str) {
    let methods: &[&str] = match scene.case {
        Case::Stale | Case::Restored => &["CreateSandbox"],
        Case::Revive => &["StartSandbox"],
        Case::Destroy => &["DeleteSandbox"],
        Case::Rebuild => &["DeleteSandbox", "CreateSandbox"],
        // Their effects have other names, or none that the gateway knows: they are verified by themselves.
        Case::Snapshot | Case::Refill | Case::Drill | Case::Copy | Case::Prune => return,
    };
    let calls = scene.fleet.gateway("lab").control.mutating_calls();
    let ours: Vec<_> = calls.into_iter().filter(|call| call.seq >= before.calls).collect();
    let applied = |code: Option<i32>| {
        code.map_or(scene.unanswered_is_done, |code| code == tonic::Code::Ok as i32)
    };
    for method in methods {
        let done = ours.iter().filter(|call| call.method == *method && applied(call.outcome));
        let effects = done.count();
        if *method == "CreateSandbox" || scene.unanswered_is_done {
            assert_eq!(effects, 1, "{what}: {ours:?}");
        } else {
            // A start or a delete of one incarnation that came late may have been asked for again: it finds nothing to do.
            assert!((1..=2).contains(&effects), "{what}: {ours:?}");
        }
    }
    assert!(
        ours.iter().all(|call| methods.contains(&&*call.method) && call.name == VICTIM),
        "{what}: {ours:?}"
    );
}

async fn remade(scene: &Scene, before: &Before, recovery: &pb::Recovery, what: &str) {
    let control = &scene.fleet.gateway("lab").control;
    let of_the_name: Vec<_> =
        control.sandboxes().into_iter().filter(|view| view.name == VICTIM).collect();
    let [live] = &of_the_name[..] else { panic!("{what}: {of_the_name:?}") };
    assert_eq!(live.phase, Phase::Ready, "{what}");
    assert!(!live.processes.is_empty(), "{what}: it runs");
    assert!(control.orphans().is_empty(), "{what}: no container without a row");
    let note = |key: &str| live.annotations.get(key).map(String::as_str);
    assert_eq!(note("salvor.dev/recovery"), Some(&*recovery.name), "{what}: stamp");
    assert_eq!(note("salvor.dev/plan-digest"), Some(&*recovery.plan_digest), "{what}: stamp");
    assert_eq!(note("note"), Some("kept as it is"), "{what}: annotations");
    assert_ne!(live.id, before.record.live_id, "{what}");
    if scene.case.keeps_files() {
        let work = std::fs::read_to_string(live.root.join(WORK.0));
        assert_eq!(work.unwrap(), WORK.1, "{what}: what was in it");
        let data = recovery.result.as_ref().unwrap().data.as_ref().unwrap();
        assert_eq!(data.outcome(), pb::part::Outcome::Proven, "{what}");
    }
    verbatim(scene, before, &live.id, what).await;
}

async fn revived(scene: &Scene, before: &Before, recovery: &pb::Recovery, what: &str) {
    let control = &scene.fleet.gateway("lab").control;
    assert!(control.live(VICTIM), "{what}");
    let live = control.sandbox(VICTIM).unwrap();
    assert_eq!(live.id, before.record.live_id, "{what}: still the same incarnation");
    assert_eq!(recovery.result.as_ref().unwrap().live_id, live.id, "{what}");
    verbatim(scene, before, &live.id, what).await;
}

async fn destroyed(scene: &Scene, before: &Before, what: &str) {
    let control = &scene.fleet.gateway("lab").control;
    assert!(control.sandbox(VICTIM).is_none(), "{what}: it is gone");
    assert!(control.processes_of(&before.record.live_id).is_empty(), "{what}: nothing runs");
    let tombstone = scene.fleet.record(&scene.name).await.unwrap();
    assert_eq!(tombstone.state(), registry::sandbox::State::Destroyed, "{what}");
    assert!(tombstone.delete_time.is_some() && !tombstone.is_default, "{what}: {tombstone:?}");
    assert_eq!(default(scene).await, None, "{what}: default pointer");
    if !scene.unanswered_is_done {
        // The vendor deletes by name: a delete that comes late takes whoever has the name by then.
        return;
    }
    // The name can be used again.
    let made = scene.fleet.sandbox("lab", VICTIM, &Seed::default()).await;
    assert!(
        made.is_ok(),
        "{what}: {made:?} {:?} {:?}",
        control.sandboxes(),
        control.mutating_calls()
    );
    let again = scene.fleet.adopt(&scene.name).await.unwrap();
    assert_ne!(again.uid, tombstone.uid, "{what}");
    scene.material().await;
}

/// The record is active, speaks of `live`, and says everything else as before; its lease can be had.
pub(crate) async fn verbatim(scene: &Scene, before: &Before, live: &str, what: &str) {
    let after = scene.fleet.record(&scene.name).await.unwrap();
    assert_eq!(after.state(), registry::sandbox::State::Active, "{what}");
    assert_eq!(after.live_id, live, "{what}");
    let mut expected = before.record.clone();
    live.clone_into(&mut expected.live_id);
    expected.etag.clone_from(&after.etag);
    expected.revision = after.revision;
    expected.update_time = after.update_time;
    // When it was saved is no part of what it is recorded to be.
    expected.snapshot_status.clone_from(&after.snapshot_status);
    assert_eq!(after, expected, "{what}: everything else is as it was");
    assert_eq!(default(scene).await.as_deref(), Some(&*scene.name), "{what}: default pointer");
    assert_eq!(scene.material().await, before.material, "{what}: the sealed bytes");
}

async fn default(scene: &Scene) -> Option<String> {
    let request = registry::GetDefaultSandboxRequest {};
    match scene.fleet.registry.clone().get_default_sandbox(request).await {
        Ok(answer) => answer.into_inner().sandbox.map(|sandbox| sandbox.name),
        Err(status) => {
            assert_eq!(status.code(), tonic::Code::NotFound, "{status}");
            None
        }
    }
}
