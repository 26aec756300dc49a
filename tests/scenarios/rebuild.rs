//! T02, T08, T16 to T19: a sandbox that is there is made anew, and nothing that was in it is lost.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use salvor_devgateway::{Call, Dialect, Effect, Fault, SandboxView};
use salvor_proto::{
    gateway::v1 as gateway,
    recovery::v1::{self as pb, part::Outcome, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::{Fleet, Options, wait::PATIENCE};
use tonic::Code;

mod kept;
mod late;
mod refused;

use crate::{
    given::{LAB, adopted_as, adoption, lab, mutations, on, reaches, recorded, steps, succeeded},
    support::REBUILD,
};

pub(crate) const DELETE_AND_CREATE: [&str; 2] = ["DeleteSandbox", "CreateSandbox"];

pub(crate) fn with_snapshots(dialect: Dialect) -> Options {
    Options { snapshots: true, ..on(dialect) }
}

pub(crate) fn rules(roots: &[&str]) -> registry::SnapshotRules {
    let roots = roots.iter().map(|root| (*root).to_owned()).collect();
    registry::SnapshotRules { roots, excludes: vec!["*.tmp".into()], ..Default::default() }
}

pub(crate) fn keeping(roots: &[&str]) -> pb::AdoptSandboxRequest {
    pb::AdoptSandboxRequest { snapshot_rules: Some(rules(roots)), ..adoption("coder") }
}

/// A fleet with snapshots and a sandbox that has work in it.
pub(crate) async fn at_work(options: Options) -> (Fleet, String, Tree) {
    let fleet = Fleet::start(options).await.unwrap();
    let (name, _) = adopted_as(&fleet, "coder", keeping(&["/sandbox"])).await;
    let root = root(&fleet);
    work_in(&root).unwrap();
    let tree = read(&root);
    (fleet, name, tree)
}

/// Where the development gateway keeps the sandbox's workspace.
pub(crate) fn root(fleet: &Fleet) -> PathBuf {
    lab(fleet).control.sandbox("coder").unwrap().root
}

/// Something of everything that a workspace may hold.
pub(crate) fn work_in(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root.join("src/empty"))?;
    fs::write(root.join("marker.txt"), "written before the rebuild")?;
    fs::write(root.join("src/run.sh"), "#!/bin/sh\n")?;
    fs::set_permissions(root.join("src/run.sh"), fs::Permissions::from_mode(0o750))?;
    fs::write(root.join("a name\twith \u{fc} and\nmore"), "odd")?;
    fs::write(root.join("nothing"), "")?;
    let large: Vec<u8> = (0..600_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(root.join("large.bin"), large)?;
    symlink("src/run.sh", root.join("link"))?;
    symlink("/nowhere/at/all", root.join("dangling"))?;
    fs::hard_link(root.join("marker.txt"), root.join("src/same"))
}

/// A workspace, entry by entry: kind and permissions, time of the last change in seconds, content or target.
pub(crate) type Tree = BTreeMap<PathBuf, (u32, i64, Vec<u8>)>;

pub(crate) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let (content, time) = if meta.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                (target.into_os_string().into_encoded_bytes(), 0)
            } else if meta.is_dir() {
                open.push(path.clone());
                (Vec::new(), 0)
            } else {
                (fs::read(&path).unwrap(), meta.mtime())
            };
            let name = path.strip_prefix(root).unwrap().to_owned();
            tree.insert(name, (meta.mode(), time, content));
        }
    }
    tree
}

pub(crate) async fn snapshots(fleet: &Fleet, with_incomplete: bool) -> Vec<gateway::Snapshot> {
    let request = gateway::ListSnapshotsRequest {
        gateway: format!("gateways/{LAB}"),
        with_incomplete,
        ..Default::default()
    };
    let page = fleet.adapter.clone().list_snapshots(request).await.unwrap().into_inner();
    assert_eq!(page.unknown, None);
    page.snapshots
}

/// Takes one as a user asks for it. Answers its name.
pub(crate) async fn snapshot(fleet: &Fleet, name: &str) -> String {
    let request = pb::SnapshotSandboxRequest { name: name.into(), ..Default::default() };
    let answer = fleet.recovery.clone().snapshot_sandbox(request).await.unwrap().into_inner();
    let ended = fleet.wait(&answer.recovery.unwrap().name).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    ended.result.unwrap().snapshot_taken
}

pub(crate) async fn planned(fleet: &Fleet, request: pb::PlanRecoveryRequest) -> pb::Plan {
    let answer = fleet.recovery.clone().plan_recovery(request).await.unwrap();
    answer.into_inner().plan.unwrap()
}

pub(crate) fn of_rebuild(name: &str) -> pb::PlanRecoveryRequest {
    pb::PlanRecoveryRequest { name: name.into(), path: REBUILD.into(), ..Default::default() }
}

pub(crate) fn rebuild_of(name: &str) -> pb::RecoverSandboxRequest {
    pb::RecoverSandboxRequest { name: name.into(), path: REBUILD.into(), ..Default::default() }
}

pub(crate) async fn asked(fleet: &Fleet, request: pb::RecoverSandboxRequest) -> pb::Recovery {
    let answer = fleet.recovery.clone().recover_sandbox(request).await.unwrap().into_inner();
    fleet.wait(&answer.recovery.unwrap().name).await.unwrap()
}

/// Waits until the gateway has got a call of this method since the log was cleared.
async fn got(fleet: &Fleet, method: &'static str) {
    let this = |call: &Call| call.method == method;
    let control = &lab(fleet).control;
    assert!(control.wait_for_call(this, PATIENCE).await.is_some(), "no {method}");
}

/// It is live, its record speaks of it, and it holds what it held.
pub(crate) async fn is_as_it_was(fleet: &Fleet, name: &str, ended: &pb::Recovery, tree: &Tree) {
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    assert!(lab(fleet).control.live("coder"));
    let live = lab(fleet).control.sandbox("coder").unwrap();
    assert_eq!(ended.result.as_ref().unwrap().live_id, live.id);
    assert_eq!(recorded(fleet, name).await.live_id, live.id);
    assert_eq!(&read(&live.root), tree);
}

/// Nothing was done to it, and that is what is said.
pub(crate) async fn is_untouched(
    fleet: &Fleet,
    name: &str,
    before: &registry::Sandbox,
    tree: &Tree,
) {
    assert_eq!(mutations(fleet), [""; 0]);
    assert!(lab(fleet).control.live("coder"));
    assert_eq!(lab(fleet).control.sandbox("coder").unwrap().id, before.live_id);
    assert_eq!(&recorded(fleet, name).await, before);
    assert_eq!(&read(&root(fleet)), tree);
}

async fn rebuilt_whole(dialect: Dialect) {
    let (fleet, name, tree) = at_work(with_snapshots(dialect)).await;
    let before = recorded(&fleet, &name).await;
    let plan = planned(&fleet, of_rebuild(&name)).await;
    assert!(plan.allowed, "{plan:#?}");
    assert_eq!(plan.saga(), pb::Saga::Rebuild);
    let [deleting, outside, excluded, by_rule, processes] = &plan.losses[..] else {
        panic!("{:?}", plan.losses)
    };
    assert!(deleting.contains("while") && outside.contains("/sandbox"), "{:?}", plan.losses);
    assert!(excluded.contains("*.tmp") && by_rule.contains("credentials"), "{:?}", plan.losses);
    assert!(processes.contains("processes"), "{:?}", plan.losses);
    assert!(!plan.unchecked.is_empty(), "what could not be checked is named");
    let source = plan.source.as_ref().unwrap();
    assert_eq!(
        (&source.covered[..], &source.excluded[..]),
        (&["/sandbox".into()][..], &["*.tmp".into()][..])
    );

    let ended = fleet.recover(&name, REBUILD).await.unwrap();
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    assert_eq!(ended.saga(), pb::Saga::Rebuild);
    assert_eq!(
        steps(&ended),
        [
            ("claim", "claimed"),
            ("take_snapshot", "taken"),
            ("verify_snapshot", "verified"),
            ("delete", "deleted"),
            ("create", "created"),
            ("await_ready", "ready"),
            ("restore_workspace", "written"),
            ("compare_workspace", "same"),
            ("prove_policy", "proven"),
            ("prove_posture", "not_applicable"),
            ("prove_readiness", "not_applicable"),
            ("compare_again", "same"),
            ("commit", "committed"),
        ]
    );
    assert_eq!(mutations(&fleet), DELETE_AND_CREATE);
    let taken = snapshots(&fleet, true).await;
    let [only] = &taken[..] else { panic!("{taken:#?}") };
    let result = ended.result.unwrap();
    assert_eq!((&result.snapshot_taken, &result.snapshot_restored), (&only.name, &only.name));
    assert_eq!(result.data.unwrap().outcome(), Outcome::Proven);
    assert!(result.summary.contains(&only.name), "{}", result.summary);
    assert_ne!(result.live_id, before.live_id);
    fleet.stop().await;
}

#[tokio::test]
async fn t02_a_live_sandbox_is_rebuilt_without_losing_a_byte_on_0_0() {
    rebuilt_whole(Dialect::V0_0).await;
}

#[tokio::test]
async fn t02_a_live_sandbox_is_rebuilt_without_losing_a_byte_on_0_1() {
    rebuilt_whole(Dialect::V0_1).await;
}

/// The verified snapshot precedes the delete, and once rebuilt it is rebuilt again.
#[tokio::test]
async fn t02_again_and_again() {
    let (fleet, name, tree) = at_work(with_snapshots(Dialect::V0_0)).await;
    for round in 1..=3 {
        let ended = fleet.recover(&name, REBUILD).await.unwrap();
        is_as_it_was(&fleet, &name, &ended, &tree).await;
        assert_eq!(snapshots(&fleet, true).await.len(), round);
    }
    fleet.stop().await;
}

/// Created, and failed before it was ready, three times over: it waits then, and goes on by itself once the image is there.
#[tokio::test]
async fn t08_what_never_becomes_ready_is_not_made_anew_for_ever() {
    let options = Options { time_scale: 0.2, ..with_snapshots(Dialect::V0_0) };
    let (fleet, name, tree) = at_work(options).await;
    let control = lab(&fleet).control.clone();
    let old = control.sandbox("coder").unwrap().id;
    let failing = tokio::spawn({
        let control = control.clone();
        async move {
            let mut before = old;
            for _ in 0..3 {
                let another = |view: Option<&SandboxView>| view.is_some_and(|v| v.id != before);
                assert!(control.wait("coder", another, PATIENCE).await.1);
                before = control.sandbox("coder").unwrap().id;
                control.fail("coder", "ImagePullFailed", "no such image").await.unwrap();
            }
        }
    });
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    let parked = reaches(&fleet, &open.name, State::Parked).await;
    failing.await.unwrap();
    assert_eq!(parked.failure.as_ref().unwrap().reason, "NOT_READY_IN_TIME");
    let failed = steps(&parked).into_iter().filter(|step| *step == ("await_ready", "failed"));
    assert_eq!(failed.count(), 3, "{:?}", steps(&parked));

    let ended = reaches(&fleet, &open.name, State::Succeeded).await;
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    assert_eq!(snapshots(&fleet, true).await.len(), 1, "no second snapshot");
    fleet.stop().await;
}

#[tokio::test]
async fn t08_a_create_that_fails_after_the_delete_is_tried_until_it_works() {
    let (fleet, name, tree) = at_work(with_snapshots(Dialect::V0_0)).await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::fail("CreateSandbox", Code::Internal, "no room").times(4));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    let parked = fleet.wait(&open.name).await.unwrap();
    assert_eq!(parked.state(), State::Parked, "{parked:#?}");
    assert_eq!(parked.failure.unwrap().reason, "KEEPS_FAILING");
    let request = pb::CancelRecoveryRequest { name: open.name.clone() };
    let refused = fleet.recovery.clone().cancel_recovery(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "there is only forward: {refused}");

    let ended = reaches(&fleet, &open.name, State::Succeeded).await;
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    assert_eq!(snapshots(&fleet, true).await.len(), 1, "no second snapshot");
    assert_eq!(succeeded(&fleet, "DeleteSandbox"), 1);
    assert_eq!(succeeded(&fleet, "CreateSandbox"), 1);
    fleet.stop().await;
}

/// What it was planned with is what counts once there is only forward.
#[tokio::test]
async fn t08_rules_that_change_after_the_delete_do_not_strand_it() {
    let (fleet, name, tree) = at_work(with_snapshots(Dialect::V0_0)).await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::fail("CreateSandbox", Code::Internal, "no room").times(4));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    assert_eq!(fleet.wait(&open.name).await.unwrap().state(), State::Parked);
    let mut record = fleet.record(&name).await.unwrap();
    record.snapshot_rules = Some(rules(&["/sandbox/src"]));
    let update = registry::UpdateSandboxRequest {
        sandbox: Some(record),
        update_mask: Some(prost_types::FieldMask { paths: vec!["snapshot_rules".into()] }),
        ..Default::default()
    };
    fleet.registry.clone().update_sandbox(update).await.unwrap();
    let ended = reaches(&fleet, &open.name, State::Succeeded).await;
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    fleet.stop().await;
}

#[tokio::test]
async fn t08_a_stranger_that_takes_the_name_after_the_delete_is_left_alone() {
    let (fleet, name, tree) = at_work(with_snapshots(Dialect::V0_0)).await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::Hold).times(1));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    got(&fleet, "CreateSandbox").await;
    let stranger = lab(&fleet).user.create("coder", &crate::support::seed()).await.unwrap();
    control.clear_faults();
    let parked = reaches(&fleet, &open.name, State::Parked).await;
    assert_eq!(parked.failure.unwrap().reason, "NAME_TAKEN_BY_STRANGER");
    assert_eq!(control.sandbox("coder").unwrap().id, stranger);
    // Whoever it is goes away; what was saved is still there.
    lab(&fleet).user.delete("coder").await.unwrap();
    let ended = reaches(&fleet, &open.name, State::Succeeded).await;
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    assert_eq!(snapshots(&fleet, true).await.len(), 1);
    fleet.stop().await;
}

#[tokio::test]
async fn t17_restarted_after_the_delete_it_goes_on_from_the_same_snapshot() {
    let (mut fleet, name, tree) = at_work(with_snapshots(Dialect::V0_0)).await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::Delay { millis: 300 }).times(1));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    got(&fleet, "CreateSandbox").await;
    fleet.restart_orchestrator().await.unwrap();
    let ended = fleet.wait(&open.name).await.unwrap();
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    assert_eq!(mutations(&fleet), DELETE_AND_CREATE);
    assert_eq!(snapshots(&fleet, true).await.len(), 1);
    fleet.stop().await;
}

#[tokio::test]
async fn t18_a_lost_reply_to_the_create_is_adopted() {
    let (fleet, name, tree) = at_work(with_snapshots(Dialect::V0_1)).await;
    lab(&fleet).control.fault(Fault::on("CreateSandbox", Effect::LoseReply).times(1));
    let ended = fleet.recover(&name, REBUILD).await.unwrap();
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    assert!(steps(&ended).contains(&("resolve_create", "adopted")), "{ended:#?}");
    assert_eq!(mutations(&fleet), DELETE_AND_CREATE);
    fleet.stop().await;
}

/// A delete that never arrived leaves the sandbox alive: what it has written since is in the snapshot that counts.
#[tokio::test]
async fn t16_what_is_written_after_a_delete_that_never_came_is_not_lost() {
    let options = Options {
        mutation_timeout: std::time::Duration::from_secs(1),
        ..with_snapshots(Dialect::V0_0)
    };
    let (fleet, name, _) = at_work(options).await;
    lab(&fleet).control.fault(Fault::on("DeleteSandbox", Effect::Drop).times(1));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    got(&fleet, "DeleteSandbox").await;
    fs::write(root(&fleet).join("late.txt"), "written after the first snapshot").unwrap();
    let tree = read(&root(&fleet));
    let ended = fleet.wait(&open.name).await.unwrap();
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    assert_eq!(snapshots(&fleet, true).await.len(), 2, "a fresh one");
    assert_eq!(succeeded(&fleet, "DeleteSandbox"), 1);
    fleet.stop().await;
}

#[tokio::test]
async fn t19_ten_at_once_are_one() {
    let (fleet, name, tree) = at_work(with_snapshots(Dialect::V0_0)).await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::Hold));
    let asked = futures::future::join_all((0..10).map(|_| fleet.ask(&name, REBUILD))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = asked.into_iter().partition(Result::is_ok);
    assert_eq!(taken.len(), 1, "{taken:#?}");
    let open = taken.into_iter().next().unwrap().unwrap().recovery.unwrap();
    for status in refused.into_iter().map(Result::unwrap_err) {
        assert!(status.message().contains(&open.name), "it names the holder: {status}");
    }
    control.clear_faults();
    let ended = fleet.wait(&open.name).await.unwrap();
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    assert_eq!(mutations(&fleet), DELETE_AND_CREATE);
    fleet.stop().await;
}
