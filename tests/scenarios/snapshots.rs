//! T02, T13: snapshots are taken, listed and thinned out, go back into their sandbox or into another one, and are tried out in
//! drills that can fail.

use std::time::Duration;

use salvor_proto::{
    gateway::v1 as gateway,
    recovery::v1::{self as pb, recovery::State},
    registry::v1 as registry,
    time::{duration, millis, timestamp},
};
use salvor_testkit::{Fleet, Options, wait::until};
use tonic::{Code, Status};

use crate::{
    given::{
        LAB, adopted_as, adoption, hold, lab, lose, mutations, next_step, output, reaches,
        recorded, recovery, release, steps, stop, verdict, write,
    },
    support::{AUTO, REBUILD, reason},
};

mod drills;
mod said;

pub(super) const FILE: &str = "/sandbox/notes.txt";

pub(super) fn options() -> Options {
    Options { snapshots: true, ..Options::default() }
}

pub(super) fn rules() -> registry::SnapshotRules {
    registry::SnapshotRules { roots: vec!["/sandbox".into()], ..Default::default() }
}

/// Live, with these rules and a file. Answers its name and its id.
pub(super) async fn given(fleet: &Fleet, rules: registry::SnapshotRules) -> (String, String) {
    let request = pb::AdoptSandboxRequest { snapshot_rules: Some(rules), ..adoption("coder") };
    let (name, id) = adopted_as(fleet, "coder", request).await;
    write(fleet, "coder", &id, FILE, "first").await;
    (name, id)
}

pub(super) async fn ask(fleet: &Fleet, name: &str) -> Result<pb::Recovery, Status> {
    let request = pb::SnapshotSandboxRequest { name: name.into(), ..Default::default() };
    let answer = fleet.recovery.clone().snapshot_sandbox(request).await?.into_inner();
    Ok(answer.recovery.unwrap())
}

/// Takes a complete snapshot and answers its name.
pub(super) async fn snapshot(fleet: &Fleet, name: &str) -> String {
    let ended = fleet.wait(&ask(fleet, name).await.unwrap().name).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    ended.result.unwrap().snapshot_taken
}

pub(super) async fn listed(fleet: &Fleet, with_incomplete: bool) -> Vec<String> {
    let request = gateway::ListSnapshotsRequest {
        gateway: format!("gateways/{LAB}"),
        with_incomplete,
        ..Default::default()
    };
    let page = fleet.adapter.clone().list_snapshots(request).await.unwrap().into_inner();
    assert_eq!(page.unknown, None);
    page.snapshots.into_iter().map(|snapshot| snapshot.name).collect()
}

pub(super) fn restore(name: &str, snapshot: &str) -> pb::RestoreSandboxRequest {
    pb::RestoreSandboxRequest { name: name.into(), snapshot: snapshot.into(), ..Default::default() }
}

pub(super) async fn restored(fleet: &Fleet, request: pb::RestoreSandboxRequest) -> pb::Recovery {
    let answer = fleet.recovery.clone().restore_sandbox(request).await.unwrap().into_inner();
    fleet.wait(&answer.recovery.unwrap().name).await.unwrap()
}

pub(super) async fn read(fleet: &Fleet, sandbox: &str, id: &str, path: &str) -> String {
    output(fleet, sandbox, id, &["cat", path]).await
}

/// Everything below the workspace, by name.
async fn tree(fleet: &Fleet, id: &str) -> String {
    output(fleet, "coder", id, &["/bin/sh", "-c", "cd /sandbox && find . | LC_ALL=C sort"]).await
}

#[tokio::test]
async fn t02_a_snapshot_is_taken_noted_and_listed() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, rules()).await;
    assert_eq!(fleet.status(&name).await.unwrap().data_at_risk, None, "none is known yet");
    let taken = snapshot(&fleet, &name).await;
    assert_eq!(listed(&fleet, true).await, [taken.as_str()]);
    let record = fleet.record(&name).await.unwrap();
    assert_eq!(record.state(), registry::sandbox::State::Active);
    let status = record.snapshot_status.unwrap();
    assert_eq!((status.last_complete, status.last_complete_live_id), (taken.clone(), id.clone()));
    assert_eq!(status.last_attempt_problem, "");
    assert!(status.last_attempt_time.is_some() && status.last_complete_bytes > 0);
    let at_risk = fleet.status(&name).await.unwrap().data_at_risk;
    assert!(at_risk.is_some_and(|since| since.seconds < 60), "{at_risk:?}");

    write(&fleet, "coder", &id, FILE, "second").await;
    let newer = snapshot(&fleet, &name).await;
    assert_eq!(listed(&fleet, true).await, [newer, taken]);
    fleet.stop().await;
}

#[tokio::test]
async fn t02_what_cannot_be_made_consistent_is_kept_noted_and_never_restored() {
    let fleet = Fleet::start(options()).await.unwrap();
    let quiesce =
        registry::QuiesceHooks { before: vec!["/bin/false".into()], ..Default::default() };
    let broken = registry::SnapshotRules { quiesce: Some(quiesce), ..rules() };
    let (name, _) = given(&fleet, broken).await;
    let ended = fleet.wait(&ask(&fleet, &name).await.unwrap().name).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    let failure = ended.failure.unwrap();
    assert_eq!(failure.reason, "SNAPSHOT_INCOMPLETE");
    assert!(failure.message.contains("HOOK_FAILED"), "{}", failure.message);
    assert_eq!((listed(&fleet, false).await.len(), listed(&fleet, true).await.len()), (0, 1));
    let status = fleet.record(&name).await.unwrap().snapshot_status.unwrap();
    assert_eq!(status.last_complete, "");
    assert!(status.last_attempt_problem.contains("HOOK_FAILED"), "{status:#?}");

    let kept = listed(&fleet, true).await.remove(0);
    let refused = fleet.recovery.clone().restore_sandbox(restore(&name, &kept)).await.unwrap_err();
    assert_eq!(reason(&refused), "SNAPSHOT_INCOMPLETE");
    fleet.stop().await;
}

/// What a snapshot of before puts back goes by the rules of before: an exclude of later does not keep a file from being taken
/// away, so it does not keep it from being saved either.
#[tokio::test]
async fn t23_what_a_restore_takes_away_was_saved_whatever_the_rules_leave_out_by_now() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, rules()).await;
    let first = snapshot(&fleet, &name).await;
    let mut record = fleet.record(&name).await.unwrap();
    record.snapshot_rules.as_mut().unwrap().excludes.push("models/".into());
    let update = registry::UpdateSandboxRequest {
        sandbox: Some(record),
        update_mask: Some(prost_types::FieldMask { paths: vec!["snapshot_rules".into()] }),
        ..Default::default()
    };
    fleet.registry.clone().update_sandbox(update).await.unwrap();
    output(&fleet, "coder", &id, &["mkdir", "/sandbox/models"]).await;
    write(&fleet, "coder", &id, "/sandbox/models/weights", "of weeks").await;

    let ended = restored(&fleet, restore(&name, &first)).await;
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    assert!(!tree(&fleet, &id).await.contains("models"), "exactly what the snapshot holds");
    let saved = ended.result.unwrap().snapshot_taken;
    let back = restored(&fleet, restore(&name, &saved)).await;
    assert_eq!(back.state(), State::Succeeded, "{back:#?}");
    assert_eq!(read(&fleet, "coder", &id, "/sandbox/models/weights").await, "of weeks");
    fleet.stop().await;
}

/// A disk that is not mounted holds no snapshots, which is not that there are none.
#[tokio::test]
async fn t03_a_repository_that_is_away_is_no_empty_one() {
    let mut fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, rules()).await;
    snapshot(&fleet, &name).await;
    lose(&fleet, "coder").await;
    let (repository, aside) = (fleet.adapter_data("snapshots"), fleet.adapter_data("aside"));
    std::fs::rename(&repository, &aside).unwrap();
    fleet.restart_adapter().await.unwrap();
    let before = recorded(&fleet, &name).await;
    let refused = settled_refusal(&fleet, &name).await;
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "SNAPSHOTS_GONE"));
    assert!(next_step(&refused).starts_with("salvor snapshot list"), "{refused:?}");
    assert!(!repository.join("config").exists(), "no new one is made in its place");

    // Nor is another one that is there instead: the record names what it lacks.
    std::fs::write(fleet.adapter_data("repositories"), "").unwrap();
    fleet.restart_adapter().await.unwrap();
    let refused = settled_refusal(&fleet, &name).await;
    assert_eq!(reason(&refused), "SNAPSHOTS_GONE", "{refused:?}");
    assert!(repository.join("config").exists(), "it was given up, and made anew");
    assert_eq!(recorded(&fleet, &name).await, before);
    assert_eq!(mutations(&fleet), [""; 0]);

    std::fs::remove_dir_all(&repository).unwrap();
    std::fs::rename(&aside, &repository).unwrap();
    std::fs::write(fleet.adapter_data("repositories"), "").unwrap();
    fleet.restart_adapter().await.unwrap();
    let ended = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    let back = ended.result.unwrap().live_id;
    assert_ne!(back, id);
    assert_eq!(read(&fleet, "coder", &back, FILE).await, "first");
    fleet.stop().await;
}

/// Why a lost sandbox is not recovered.
async fn settled_refusal(fleet: &Fleet, name: &str) -> Status {
    verdict(fleet, name, pb::Verdict::Lost).await;
    fleet.ask(name, AUTO).await.unwrap_err()
}

/// Reading that goes on until somebody makes `/sandbox/go`.
pub(super) fn waiting() -> registry::SnapshotRules {
    let wait = "while [ ! -e /sandbox/go ]; do sleep 0.02; done";
    let quiesce = registry::QuiesceHooks {
        before: vec!["/bin/sh".into(), "-c".into(), wait.into()],
        after: Vec::new(),
        timeout: Some(duration(Duration::from_mins(1))),
    };
    registry::SnapshotRules { quiesce: Some(quiesce), ..rules() }
}

#[tokio::test]
async fn t08_a_snapshot_at_work_is_named_to_whoever_wants_the_sandbox() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, waiting()).await;
    let first = ask(&fleet, &name).await.unwrap();
    let second = ask(&fleet, &name).await.unwrap_err();
    let rebuild = fleet.ask(&name, REBUILD).await.unwrap_err();
    for refused in [second, rebuild] {
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "LEASE_HELD"));
        let details = salvor_proto::error::received(&refused);
        assert_eq!(details.metadata.get("holder"), Some(&first.name), "{details:?}");
    }
    write(&fleet, "coder", &id, "/sandbox/go", "").await;
    assert_eq!(fleet.wait(&first.name).await.unwrap().state(), State::Succeeded);
    fleet.stop().await;
}

#[tokio::test]
async fn t08_a_rebuild_at_work_is_named_to_whoever_wants_a_snapshot() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, waiting()).await;
    let rebuild = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    until("the reading", || async {
        let now = recovery(&fleet, &rebuild.name).await;
        (now.state() == State::Running && now.phase == "saving").then_some(())
    })
    .await;
    let refused = ask(&fleet, &name).await.unwrap_err();
    assert_eq!(reason(&refused), "LEASE_HELD", "{refused:?}");
    write(&fleet, "coder", &id, "/sandbox/go", "").await;
    let ended = fleet.wait(&rebuild.name).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    assert_eq!(listed(&fleet, true).await.len(), 1);
    fleet.stop().await;
}

#[tokio::test]
async fn t12_a_copy_is_a_sandbox_of_its_own_and_its_source_is_only_read() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, rules()).await;
    let taken = snapshot(&fleet, &name).await;
    write(&fleet, "coder", &id, FILE, "later").await;
    let before = recorded(&fleet, &name).await;
    let to =
        |copy: &str| pb::RestoreSandboxRequest { copy_to: copy.into(), ..restore(&name, &taken) };
    let copied = restored(&fleet, to("coder-2")).await;
    assert_eq!(copied.state(), State::Succeeded, "{copied:#?}");
    let result = copied.result.unwrap();
    let copy = Fleet::name(LAB, "coder-2");
    assert_eq!((result.copy.as_str(), result.snapshot_restored.as_str()), (&*copy, &*taken));
    assert_eq!(read(&fleet, "coder-2", &result.live_id, FILE).await, "first");
    assert_eq!(read(&fleet, "coder", &id, FILE).await, "later");
    assert_eq!(recorded(&fleet, &name).await, before);
    let record = fleet.record(&copy).await.unwrap();
    assert_eq!((record.live_id, record.snapshot_rules), (result.live_id, Some(rules())));
    // It is one like any other: it can be read itself.
    snapshot(&fleet, &copy).await;

    let taken_name = fleet.recovery.clone().restore_sandbox(to("coder-2")).await.unwrap_err();
    assert_eq!(reason(&taken_name), "COPY_EXISTS");
    // A record alone takes the name, too: its sandbox may come back.
    lab(&fleet).control.lose("coder-2").await.unwrap();
    let recorded_name = fleet.recovery.clone().restore_sandbox(to("coder-2")).await.unwrap_err();
    assert_eq!(reason(&recorded_name), "COPY_EXISTS");
    fleet.stop().await;
}

#[tokio::test]
async fn t02_a_restore_replaces_exactly_and_keeps_what_was_there() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, rules()).await;
    let taken = snapshot(&fleet, &name).await;
    let before = tree(&fleet, &id).await;
    write(&fleet, "coder", &id, FILE, "spoilt").await;
    write(&fleet, "coder", &id, "/sandbox/stray", "not in it").await;

    let back = restored(&fleet, restore(&name, &taken)).await;
    assert_eq!(back.state(), State::Succeeded, "{back:#?}");
    assert_eq!(read(&fleet, "coder", &id, FILE).await, "first");
    assert_eq!(tree(&fleet, &id).await, before);
    let result = back.result.unwrap();
    assert_eq!((result.live_id.as_str(), result.snapshot_restored.as_str()), (&*id, &*taken));
    assert!(result.summary.contains(&result.snapshot_taken), "{}", result.summary);
    // What it took the place of is not lost.
    let undone = restored(&fleet, restore(&name, &result.snapshot_taken)).await;
    assert_eq!(undone.state(), State::Succeeded, "{undone:#?}");
    assert_eq!(read(&fleet, "coder", &id, "/sandbox/stray").await, "not in it");
    fleet.stop().await;
}

#[tokio::test]
async fn t02_what_can_overwrite_nothing_needs_no_snapshot_first() {
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, rules()).await;
    write(&fleet, "coder", &id, "/sandbox/gone", "again").await;
    let taken = snapshot(&fleet, &name).await;
    write(&fleet, "coder", &id, FILE, "kept").await;
    output(&fleet, "coder", &id, &["rm", "/sandbox/gone"]).await;
    let skip = pb::RestoreSandboxRequest {
        mode: gateway::RestoreMode::SkipExisting.into(),
        ..restore(&name, &taken)
    };
    let back = restored(&fleet, skip).await;
    assert_eq!(back.state(), State::Succeeded, "{back:#?}");
    assert!(!steps(&back).iter().any(|(step, _)| *step == "take_snapshot"), "{back:#?}");
    assert_eq!(read(&fleet, "coder", &id, FILE).await, "kept");
    assert_eq!(read(&fleet, "coder", &id, "/sandbox/gone").await, "again");
    assert_eq!(listed(&fleet, true).await.len(), 1);
    let said = back.result.unwrap().data.unwrap().message;
    assert!(said.starts_with("what was missing was restored from snapshot"), "{said}");
    assert!(said.contains("no content was compared, and what existed was left"), "{said}");
    assert!(!said.contains("every file compared"), "{said}");

    // Some of it only: that is said, too.
    let part = pb::RestoreSandboxRequest { paths: vec![FILE.into()], ..restore(&name, &taken) };
    let back = restored(&fleet, part).await;
    assert_eq!(back.state(), State::Succeeded, "{back:#?}");
    let said = back.result.unwrap().data.unwrap().message;
    let compared = format!("every file at or below {FILE} compared; nothing else was looked at");
    assert!(said.contains(&compared), "{said}");
    fleet.stop().await;
}

#[tokio::test]
async fn t02_nothing_is_written_where_what_is_there_cannot_be_saved() {
    let fleet = Fleet::start(options()).await.unwrap();
    // The first reading succeeds, and no other.
    let once = "[ ! -e /tmp/$PPID.never ] && [ ! -e /sandbox/.read ] && touch /sandbox/.read";
    let quiesce = registry::QuiesceHooks {
        before: vec!["/bin/sh".into(), "-c".into(), once.into()],
        ..Default::default()
    };
    let (name, id) =
        given(&fleet, registry::SnapshotRules { quiesce: Some(quiesce), ..rules() }).await;
    let taken = snapshot(&fleet, &name).await;
    write(&fleet, "coder", &id, FILE, "newer").await;
    let back = restored(&fleet, restore(&name, &taken)).await;
    assert_eq!(back.state(), State::RolledBack, "{back:#?}");
    assert_eq!(back.failure.unwrap().reason, "SNAPSHOT_INCOMPLETE");
    assert_eq!(read(&fleet, "coder", &id, FILE).await, "newer", "nothing was written");
    let status = fleet.record(&name).await.unwrap().snapshot_status.unwrap();
    assert_eq!(status.last_complete, taken);
    assert!(status.last_attempt_problem.contains("HOOK_FAILED"), "{status:#?}");
    fleet.stop().await;
}

/// Writes into the record, as the orchestrator does, that the last try was long ago.
async fn tried_long_ago(fleet: &Fleet, name: &str) {
    let fence_token = hold(fleet, name).await;
    let mut record = fleet.record(name).await.unwrap();
    record.snapshot_status.get_or_insert_default().last_attempt_time = Some(timestamp(1));
    let update = registry::UpdateSandboxRequest {
        sandbox: Some(record),
        update_mask: Some(prost_types::FieldMask { paths: vec!["snapshot_status".into()] }),
        fence_token,
        ..Default::default()
    };
    fleet.registry.clone().update_sandbox(update).await.unwrap();
    release(fleet, name, fence_token).await;
}

#[tokio::test]
async fn t02_what_is_due_is_taken_without_being_asked_for() {
    let mut fleet = Fleet::start(options()).await.unwrap();
    let hourly =
        registry::SnapshotRules { interval: Some(duration(Duration::from_hours(1))), ..rules() };
    let (name, _) = given(&fleet, hourly).await;
    tried_long_ago(&fleet, &name).await;
    let schedule = Duration::from_millis(50);
    let scheduled = fleet.restart_orchestrator_with(|options| options.schedule = schedule);
    scheduled.await.unwrap();
    let status = until("a scheduled snapshot", || async {
        let status = fleet.record(&name).await.unwrap().snapshot_status?;
        (!status.last_complete.is_empty()).then_some(status)
    })
    .await;
    assert!(status.last_attempt_time.as_ref().is_some_and(|time| millis(time) > 1));
    assert_eq!(listed(&fleet, true).await, [status.last_complete], "one, until the next is due");
    fleet.stop().await;
}

#[tokio::test]
async fn t23_a_start_that_fails_goes_on_to_a_rebuild_from_a_complete_snapshot() {
    use salvor_devgateway::Fault;
    let fleet = Fleet::start(options()).await.unwrap();
    let (name, id) = given(&fleet, rules()).await;
    let taken = snapshot(&fleet, &name).await;
    stop(&fleet, "coder").await;
    let refused = Fault::fail("StartSandbox", Code::FailedPrecondition, "no capacity");
    lab(&fleet).control.fault(refused);
    let revive = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(
        (revive.saga(), revive.state()),
        (pb::Saga::Revive, State::RolledBack),
        "{revive:#?}"
    );
    let next = until("what follows", || async {
        let request = pb::GetRecoveryRequest { name: revive.name.clone() };
        let shown = fleet.recovery.clone().get_recovery(request).await.unwrap().into_inner();
        let next = shown.recovery.unwrap().failure.unwrap().next_step;
        next.strip_prefix("salvor recoveries wait ").map(str::to_owned)
    })
    .await;
    let rebuild = reaches(&fleet, &next, State::Succeeded).await;
    assert_eq!(rebuild.saga(), pb::Saga::Rebuild);
    let result = rebuild.result.unwrap();
    assert_eq!(result.snapshot_restored, taken);
    assert_ne!(result.live_id, id);
    assert_eq!(read(&fleet, "coder", &result.live_id, FILE).await, "first");
    fleet.stop().await;
}
