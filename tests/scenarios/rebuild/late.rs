//! T02, T16: what is written between the snapshot and the delete, and what a start-up writes over after the restore.

use std::{fs, time::Duration};

use salvor_devgateway::{Call, Dialect, Effect, Fault, Phase};
use salvor_proto::{
    recovery::v1::{self as pb, part::Outcome, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::{Fleet, Options, wait::PATIENCE};

use super::{
    DELETE_AND_CREATE, asked, at_work, is_as_it_was, is_untouched, of_rebuild, planned, read,
    rebuild_of, root, rules, snapshots, with_snapshots, work_in,
};
use crate::{
    given::{adopted_as, adoption, lab, mutations, recorded, steps, stop},
    support::REBUILD,
};

fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

/// A sandbox with work in it, whose agent does `after` each time that it is let go again.
async fn let_go(options: Options, before: &str, after: &str) -> (Fleet, String) {
    let quiesce =
        registry::QuiesceHooks { before: shell(before), after: shell(after), ..Default::default() };
    let rules = registry::SnapshotRules { quiesce: Some(quiesce), ..rules(&["/sandbox"]) };
    let fleet = Fleet::start(options).await.unwrap();
    let adoption = pb::AdoptSandboxRequest { snapshot_rules: Some(rules), ..adoption("coder") };
    let (name, _) = adopted_as(&fleet, "coder", adoption).await;
    work_in(&root(&fleet)).unwrap();
    (fleet, name)
}

/// The hook after the snapshot writes once: what it wrote is in a second snapshot, and in the new sandbox.
async fn saved_again(dialect: Dialect) {
    let after = "[ -e /sandbox/late.txt ] || echo late >/sandbox/late.txt";
    let (fleet, name) = let_go(with_snapshots(dialect), "true", after).await;
    let before = read(&root(&fleet));
    let ended = fleet.recover(&name, REBUILD).await.unwrap();
    let mut tree = read(&root(&fleet));
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    tree.retain(|path, _| before.contains_key(path));
    assert_eq!(tree, before);
    assert_eq!(fs::read_to_string(root(&fleet).join("late.txt")).unwrap(), "late\n");
    let steps = steps(&ended);
    let deletes: Vec<_> = steps.iter().filter(|(step, _)| *step == "delete").collect();
    assert_eq!(deletes, [&("delete", "changed"), &("delete", "deleted")], "{steps:?}");
    assert_eq!(snapshots(&fleet, true).await.len(), 2, "a fresh one");
    assert_eq!(mutations(&fleet), DELETE_AND_CREATE);
    fleet.stop().await;
}

#[tokio::test]
async fn t16_what_is_written_between_snapshot_and_delete_is_saved_too_on_0_0() {
    saved_again(Dialect::V0_0).await;
}

#[tokio::test]
async fn t16_what_is_written_between_snapshot_and_delete_is_saved_too_on_0_1() {
    saved_again(Dialect::V0_1).await;
}

/// An agent that writes each time is not deleted, and whoever asked is told what to do.
#[tokio::test]
async fn t16_an_agent_that_never_rests_is_not_deleted() {
    let (fleet, name) =
        let_go(with_snapshots(Dialect::V0_0), "true", "echo again >>/sandbox/late.txt").await;
    let before = recorded(&fleet, &name).await;
    let ended = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    let failure = ended.failure.unwrap();
    assert_eq!(failure.reason, "WORKSPACE_KEEPS_CHANGING", "{}", failure.message);
    assert!(failure.message.contains("nothing was deleted"), "{}", failure.message);
    assert!(failure.next_step.starts_with(&format!("salvor snapshot rules {name}")));
    assert_eq!(snapshots(&fleet, true).await.len(), 3, "three times, and no more");
    is_untouched(&fleet, &name, &before, &read(&root(&fleet))).await;
    fleet.stop().await;
}

/// Hooks keep the agent at rest from the last look to the delete. If that does not come about, it is let go.
#[tokio::test]
async fn t16_an_agent_is_let_go_when_it_is_not_deleted() {
    // Left out of snapshots, so that it is no change.
    let (before, after) = ("echo rests >/sandbox/state.tmp", "echo works >/sandbox/state.tmp");
    let (fleet, name) = let_go(with_snapshots(Dialect::V0_0), before, after).await;
    let control = &lab(&fleet).control;
    let denied = Effect::Fail {
        code: tonic::Code::PermissionDenied as i32,
        message: "not allowed to".into(),
    };
    control.fault(Fault::on("DeleteSandbox", denied).times(1));
    let ended = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    let state = fs::read_to_string(root(&fleet).join("state.tmp"));
    assert_eq!(state.unwrap(), "works\n");
    fleet.stop().await;
}

/// A row that is only in a database's log is no change of the database's file. It is found all the same, and saved.
#[tokio::test]
async fn t16_a_row_that_is_only_in_a_databases_log_is_saved_too() {
    let write = |row: u32| {
        format!(
            "import os, sqlite3\nc = sqlite3.connect('/sandbox/work.db')\n\
             c.execute('pragma journal_mode=wal')\n\
             c.execute('create table if not exists t(x)')\n\
             c.execute('insert into t values({row})')\nc.commit()\nos._exit(0)"
        )
    };
    let (first, second) = (write(1), write(2));
    let before = format!("[ -e /sandbox/work.db ] || exec python3 -c \"{first}\"");
    let after = format!(
        "[ -e /sandbox/state.tmp ] || {{ touch /sandbox/state.tmp; exec python3 -c \"{second}\"; }}"
    );
    let (fleet, name) = let_go(with_snapshots(Dialect::V0_0), &before, &after).await;
    let ended = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    let steps = steps(&ended);
    let deletes: Vec<_> = steps.iter().filter(|(step, _)| *step == "delete").collect();
    assert_eq!(deletes, [&("delete", "changed"), &("delete", "deleted")], "{steps:?}");
    let rows =
        "import sqlite3; print(sqlite3.connect('work.db').execute('select x from t').fetchall())";
    let mut python = std::process::Command::new("python3");
    let read = python.args(["-c", rows]).current_dir(root(&fleet)).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&read.stdout), "[(1,), (2,)]\n", "{read:?}");
    fleet.stop().await;
}

/// What runs once the sandbox is filled, here its probe, writes over a file of the snapshot: that is found and named.
#[tokio::test]
async fn t02_a_start_up_that_overwrites_what_was_restored_is_named() {
    let fleet = Fleet::start(with_snapshots(Dialect::V0_0)).await.unwrap();
    let spoil =
        "cd /sandbox; [ ! -e marker.txt ] || { echo mine >marker.txt; echo >made-since.txt; }";
    let adoption = pb::AdoptSandboxRequest {
        snapshot_rules: Some(rules(&["/sandbox"])),
        readiness_probe: Some(registry::ReadinessProbe {
            command: shell(spoil),
            ..Default::default()
        }),
        ..adoption("coder")
    };
    let (name, _) = adopted_as(&fleet, "coder", adoption).await;
    work_in(&root(&fleet)).unwrap();
    let ended = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(ended.state(), State::Degraded, "{ended:#?}");
    assert!(steps(&ended).contains(&("compare_workspace", "same")), "{:?}", steps(&ended));
    assert!(steps(&ended).contains(&("compare_again", "differs")), "{:?}", steps(&ended));
    let data = ended.result.unwrap().data.unwrap();
    assert_eq!(data.outcome(), Outcome::Pending);
    let said = &data.message;
    assert!(said.contains("/sandbox/marker.txt") && said.contains("CHANGED_SINCE"), "{said}");
    assert!(!said.contains("made-since"), "what was made since is nobody's loss: {said}");
    fleet.stop().await;
}

/// It could not be read when its loss was accepted. While the delete was in doubt its user has started it: now it has files that
/// somebody works on, and nobody has given those up.
#[tokio::test]
async fn t16_what_has_come_alive_since_its_loss_was_accepted_is_not_deleted() {
    let options =
        Options { mutation_timeout: Duration::from_secs(5), ..with_snapshots(Dialect::V0_0) };
    let (fleet, name, tree) = at_work(options).await;
    stop(&fleet, "coder").await;
    let plan = planned(&fleet, of_rebuild(&name)).await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("DeleteSandbox", Effect::Drop).times(1));
    let request = pb::RecoverSandboxRequest { accept_data_loss: plan.digest, ..rebuild_of(&name) };
    let (ended, ()) = tokio::join!(asked(&fleet, request), async {
        let deletes = |call: &Call| call.method == "DeleteSandbox";
        assert!(control.wait_for_call(deletes, PATIENCE).await.is_some());
        lab(&fleet).user.start("coder").await.unwrap();
        assert!(control.wait_phase("coder", Phase::Ready, PATIENCE).await);
    });
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    let failure = ended.failure.unwrap();
    assert_eq!(failure.reason, "WORKSPACE_KEEPS_CHANGING", "{}", failure.message);
    assert_eq!(mutations(&fleet), ["DeleteSandbox", "StartSandbox"], "and the delete was dropped");
    assert_eq!(read(&root(&fleet)), tree);
    fleet.stop().await;
}
