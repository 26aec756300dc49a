//! What must be true after a crash of a saga over snapshots.

use std::fs;

use salvor_proto::{gateway::v1 as gateway, recovery::v1 as pb};

use crate::{
    scene::{BYSTANDER, Before, COPY, Case, Scene, VICTIM, WORK},
    verify::verbatim,
};

pub(crate) async fn verify(scene: &Scene, before: &Before, recovery: &pb::Recovery, what: &str) {
    only_what_was_asked_for(scene, before, what);
    let result = recovery.result.as_ref().unwrap();
    let listed = listed(scene).await;
    match scene.case {
        // A snapshot whose taker died may be there twice; the record names the one that counts.
        Case::Snapshot | Case::Refill => assert!(listed.contains(&result.snapshot_taken), "{what}"),
        Case::Prune => assert_eq!(listed, before.prepared[1..], "{what}"),
        _ => assert_eq!(listed, before.prepared, "{what}: the source was only read"),
    }
    match scene.case {
        Case::Drill => drilled(scene, before, recovery, what).await,
        Case::Copy => copied(scene, before, recovery, what).await,
        _ => {}
    }
    still_there(scene, before, what).await;
}

/// The sandbox itself is the one that it was, live and with its work.
async fn still_there(scene: &Scene, before: &Before, what: &str) {
    let control = &scene.fleet.gateway("lab").control;
    assert!(control.live(VICTIM), "{what}");
    let live = control.sandbox(VICTIM).unwrap();
    assert_eq!(live.id, before.record.live_id, "{what}: still the same incarnation");
    let work = fs::read_to_string(live.root.join(WORK.0)).unwrap();
    assert_eq!(work, WORK.1, "{what}: what is in it");
    verbatim(scene, before, &live.id, what).await;
}

/// No sandbox but a copy was made or deleted, and none of them twice.
fn only_what_was_asked_for(scene: &Scene, before: &Before, what: &str) {
    let calls = scene.fleet.gateway("lab").control.mutating_calls();
    let ours = calls.iter().filter(|call| call.seq >= before.calls && call.succeeded());
    let of = |method: &str| ours.clone().filter(|call| call.method == method).collect::<Vec<_>>();
    let (created, deleted) = (of("CreateSandbox"), of("DeleteSandbox"));
    let expected = match scene.case {
        Case::Drill => (1, 1),
        Case::Copy => (1, 0),
        _ => (0, 0),
    };
    assert_eq!((created.len(), deleted.len()), expected, "{what}: {calls:?}");
    let strangers = created.iter().chain(&deleted);
    assert!(strangers.clone().all(|call| call.name != VICTIM && call.name != BYSTANDER), "{what}");
}

async fn drilled(scene: &Scene, before: &Before, recovery: &pb::Recovery, what: &str) {
    let status = scene.fleet.record(&scene.name).await.unwrap().snapshot_status.unwrap();
    let drill = status.last_drill.unwrap();
    assert!(drill.passed, "{what}: {drill:?}");
    assert_eq!((&drill.recovery, &drill.snapshot), (&recovery.name, &before.prepared[0]), "{what}");
    assert_eq!(names(scene), [VICTIM, BYSTANDER], "{what}: the throw-away sandbox is gone");
}

async fn copied(scene: &Scene, before: &Before, recovery: &pb::Recovery, what: &str) {
    assert_eq!(names(scene), [VICTIM, COPY, BYSTANDER], "{what}");
    let control = &scene.fleet.gateway("lab").control;
    assert!(control.live(COPY), "{what}");
    let copy = control.sandbox(COPY).unwrap();
    assert_eq!(fs::read_to_string(copy.root.join(WORK.0)).unwrap(), WORK.1, "{what}");
    let name = &recovery.result.as_ref().unwrap().copy;
    let record = scene.fleet.record(name).await.unwrap();
    assert_eq!(record.live_id, copy.id, "{what}");
    assert_ne!(record.uid, before.record.uid, "{what}: a record of its own");
}

fn names(scene: &Scene) -> Vec<String> {
    let views = scene.fleet.gateway("lab").control.sandboxes();
    let mut names: Vec<_> = views.into_iter().map(|view| view.name).collect();
    names.sort();
    names
}

/// The complete snapshots of the sandbox, oldest first.
async fn listed(scene: &Scene) -> Vec<String> {
    let request =
        gateway::ListSnapshotsRequest { gateway: "gateways/lab".into(), ..Default::default() };
    let listed = scene.fleet.adapter.clone().list_snapshots(request).await.unwrap().into_inner();
    assert_eq!(listed.unknown, None);
    listed.snapshots.into_iter().rev().map(|snapshot| snapshot.name).collect()
}
