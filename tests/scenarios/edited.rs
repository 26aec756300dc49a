//! T08, T18: what others write into a record while a recovery of it is parked stands, whichever way that goes; and what the
//! recovery goes by is not theirs to write.

use std::time::Duration;

use salvor_devgateway::{Dialect, Effect, Fault};
use salvor_proto::{
    recovery::v1::{self as pb, recovery::State},
    registry::v1::{self as registry, posture, sandbox},
};
use salvor_testkit::{
    Fleet, Options,
    wait::{PATIENCE, until},
};
use tonic::{Code, Status};

use crate::{
    given::{bury, hold, lab, lost, mutations, next_step, on, reaches, release, take_over},
    rebuild::{at_work, is_as_it_was, with_snapshots},
    resume::retry,
    snapshots,
    support::{REBUILD, reason},
};

/// Nothing resumes but on request.
const LONG: Duration = Duration::from_mins(1);

async fn update(
    fleet: &Fleet,
    record: registry::Sandbox,
    field: &str,
    fence_token: i64,
) -> Result<registry::Sandbox, Status> {
    let update = registry::UpdateSandboxRequest {
        sandbox: Some(record),
        update_mask: Some(prost_types::FieldMask { paths: vec![field.to_owned()] }),
        fence_token,
        ..Default::default()
    };
    let answer = fleet.registry.clone().update_sandbox(update).await?.into_inner();
    Ok(answer.sandbox.unwrap())
}

/// Writes as whoever takes the lease may: the way out when no recovery is left to give a record back.
async fn update_as_holder(fleet: &Fleet, record: registry::Sandbox, field: &str) {
    let name = record.name.clone();
    let fence_token = hold(fleet, &name).await;
    update(fleet, record, field, fence_token).await.unwrap();
    release(fleet, &name, fence_token).await;
}

fn locked(mut record: registry::Sandbox) -> registry::Sandbox {
    let posture = record.posture.get_or_insert_default();
    posture.set_mode(posture::Mode::Locked);
    posture.set_proof(posture::Proof::Pending);
    record
}

fn labelled(mut record: registry::Sandbox) -> registry::Sandbox {
    record.labels.insert("owner".into(), "somebody".into());
    record
}

/// A recovery that has made its sandbox, and waits for it to be ready until somebody asks.
async fn parked_after_its_create() -> (Fleet, String, pb::Recovery) {
    let options = Options {
        time_scale: 1.0,
        ready_timeout: Duration::from_millis(50),
        park_retry: LONG,
        ..on(Dialect::V0_0)
    };
    let fleet = Fleet::start(options).await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    reaches(&fleet, &open.name, State::Parked).await;
    (fleet, name, open)
}

/// An obligation that was taken on while nobody looked would be lost, or not be kept on the way: it is not taken on.
#[tokio::test]
async fn t18_what_a_parked_recovery_goes_by_is_refused_to_others_and_the_rest_is_kept() {
    let (fleet, name, open) = parked_after_its_create().await;
    let marked = fleet.record(&name).await.unwrap();
    assert_eq!(marked.state(), sandbox::State::Recovering);

    let refused = update(&fleet, locked(marked.clone()), "posture", 0).await.unwrap_err();
    let (name_, etag) = (name.clone(), marked.etag.clone());
    let delete = registry::DeleteSandboxRequest { name: name_, etag, ..Default::default() };
    let undeleted = fleet.registry.clone().delete_sandbox(delete).await.unwrap_err();
    for refused in [refused, undeleted] {
        let said = (refused.code(), reason(&refused));
        assert_eq!(said, (Code::FailedPrecondition, "RECORD_NOT_ACTIVE".to_owned()));
        let list = format!("salvor recoveries list --open --sandbox {name}");
        assert!(next_step(&refused).starts_with(&list), "{refused:?}");
    }
    let marked = update(&fleet, labelled(marked), "labels", 0).await.unwrap();
    update_as_holder(&fleet, locked(marked), "posture").await;

    let cancel = pb::CancelRecoveryRequest { name: open.name.clone() };
    fleet.recovery.clone().cancel_recovery(cancel).await.unwrap();
    reaches(&fleet, &open.name, State::RolledBack).await;
    let after = fleet.record(&name).await.unwrap();
    assert_eq!(after.state(), sandbox::State::Active);
    assert_eq!(after.labels["owner"], "somebody");
    assert_eq!(after.posture.unwrap().mode(), posture::Mode::Locked, "the obligation stands");
    fleet.stop().await;
}

/// The sandbox is gone, and only forward is left: from what the recovery saved, whatever the record says by now.
#[tokio::test]
async fn t08_a_record_that_changes_after_the_delete_does_not_strand_it() {
    let options = Options { park_retry: LONG, ..with_snapshots(Dialect::V0_0) };
    let (fleet, name, tree) = at_work(options).await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::fail("CreateSandbox", Code::Internal, "no room").times(3));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    assert_eq!(fleet.wait(&open.name).await.unwrap().state(), State::Parked);
    let mut record = fleet.record(&name).await.unwrap();
    let planned = record.spec.clone().unwrap().sha256;
    record.spec.as_mut().unwrap().content = b"of nothing that was planned".to_vec();
    update_as_holder(&fleet, record, "spec").await;
    update_as_holder(&fleet, locked(fleet.record(&name).await.unwrap()), "posture").await;

    let ended = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(ended.name, open.name);
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    let after = fleet.record(&name).await.unwrap();
    assert_ne!(after.spec.unwrap().sha256, planned, "what was written stands");
    let posture = after.posture.unwrap();
    assert_eq!(
        (posture.mode(), posture.proof()),
        (posture::Mode::Locked, posture::Proof::Pending),
        "and what nobody has proven is not said to be"
    );
    fleet.stop().await;
}

/// By whoever took its lease. What was created stays; that no time mends it is said, and it can be given up.
#[tokio::test]
async fn t18_of_a_record_destroyed_by_hand_it_is_said_that_a_step_is_refused() {
    let (fleet, name, open) = parked_after_its_create().await;
    let fence_token = hold(&fleet, &name).await;
    bury(&fleet, &name, fence_token).await;
    release(&fleet, &name, fence_token).await;

    let waits = until("a refused step", || async {
        retry(&fleet, &open.name).await.unwrap();
        let waits = fleet.wait(&open.name).await.unwrap();
        let why = waits.failure.as_ref().map(|failure| failure.reason.as_str());
        (why == Some("REGISTRY_UNAVAILABLE")).then_some(waits)
    })
    .await;
    let failure = waits.failure.unwrap();
    let said = "refuses the next step; the orchestrator's log says which";
    assert!(failure.message.ends_with(said), "{failure:#?}");
    let next = format!("salvor recoveries retry {}  # after what", open.name);
    assert!(failure.next_step.starts_with(&next), "{failure:#?}");
    let (name, etag) = (waits.name, waits.etag);
    let request = pb::RetireRecoveryRequest { name, etag, ..Default::default() };
    let retired = fleet.recovery.clone().retire_recovery(request).await.unwrap().into_inner();
    let retirement = retired.recovery.unwrap().retirement.unwrap();
    assert_eq!(retirement.reason, "RECORD_DESTROYED", "{retirement:#?}");
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    fleet.stop().await;
}

/// There is nothing left to write down what was read in: that is no reason to wait.
#[tokio::test]
async fn t21_a_record_destroyed_while_its_workspace_is_read_leaves_nothing_open() {
    let fleet = Fleet::start(snapshots::options()).await.unwrap();
    let (name, _) = snapshots::given(&fleet, snapshots::rules()).await;
    let control = lab(&fleet).control.clone();
    let reading = "ExecSandboxInteractive";
    control.fault(Fault::on(reading, Effect::Hold));
    let open = snapshots::ask(&fleet, &name).await.unwrap();
    assert!(control.wait_for_call(|call| call.method == reading, PATIENCE).await.is_some());
    let fence_token = take_over(&fleet, &name).await;
    bury(&fleet, &name, fence_token).await;
    control.clear_faults();
    let ended = reaches(&fleet, &open.name, State::Succeeded).await;
    let taken = ended.result.unwrap().snapshot_taken;
    assert!(snapshots::listed(&fleet, false).await.contains(&taken));
    assert_eq!(fleet.record(&name).await.unwrap().state(), sandbox::State::Destroyed);
    fleet.stop().await;
}

/// As it is when the recovery's last write into the record was answered to nobody, and the record speaks of another one since.
#[tokio::test]
async fn t17_what_a_record_came_to_say_after_the_commit_stands() {
    let (fleet, name, open) = parked_after_its_create().await;
    let mut record = fleet.record(&name).await.unwrap();
    assert_eq!((record.state(), &record.recovery), (sandbox::State::Recovering, &open.name));
    record.set_state(sandbox::State::Active);
    let fence_token = hold(&fleet, &name).await;
    let unmarked = update(&fleet, record, "state", fence_token).await.unwrap();
    let bound = registry::Sandbox { live_id: "of-another-recovery".into(), ..unmarked };
    update(&fleet, bound, "live_id", fence_token).await.unwrap();
    release(&fleet, &name, fence_token).await;

    let ended = until("its end", || async {
        retry(&fleet, &open.name).await.ok();
        let now = fleet.wait(&open.name).await.unwrap();
        now.done.then_some(now)
    })
    .await;
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    assert_eq!(fleet.record(&name).await.unwrap().live_id, "of-another-recovery");
    fleet.stop().await;
}
