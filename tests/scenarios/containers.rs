//! T02, T08: sandboxes in real containers. A killed one, one that somebody else stopped or paused, and one whose row the gateway
//! has lost while its container runs on: each comes back with every file.
//!
//! Without Docker or the image of `.ci/lib/sandbox-image` they say that they are skipped; with `SALVOR_REQUIRE_DOCKER=1` they
//! fail. The gateway removes its containers when the fleet is dropped.

use std::process::Command;

use salvor_devgateway::{Dialect, Driver, Phase};
use salvor_proto::{
    gateway::v1::Channel,
    recovery::v1::{self as pb, recovery::State},
    registry::v1::SnapshotRules,
};
use salvor_testkit::{Fleet, Options, docker::containers, wait::PATIENCE};

use crate::{
    given::{adopted_as, adoption, lab, lose, on, output, verdict},
    support::{AUTO, REBUILD},
};

/// How often a recovery's end is waited for, [`PATIENCE`] each time.
const WAITS: usize = 8;
/// Odd names, links of both kinds, modes and times, a sparse file, and one that is larger than any buffer.
const FILL: &str = "cd /sandbox && mkdir -p src/deep/er empty && printf '%s' one > src/a && ln src/a src/b && \
    ln -s ../src/a src/deep/soft && ln -s /nowhere dangling && head -c 3000000 /dev/urandom > big && \
    truncate -s 2M sparse && printf end >> sparse && printf '%s' odd > \"$(printf ' a\\nb\\\\\\377')\" && \
    printf '%s' x > ./-rf && chmod 4750 src/deep/er && chmod 600 big && mkfifo pipe && \
    touch -d '2001-02-03 04:05:06' src/a";
/// Each entry with all that is kept of it, then what each file holds.
const LIST: &str = "cd /sandbox && find . -mindepth 1 -printf '%P|%y|%m|%U|%G|%n|%l|' \\( -type f -printf '%s|%Ts' -o \
    -true \\) -printf '\\0' | sort -z | tr '\\0' '\\n' && find . -type f -print0 | sort -z | xargs -0 sha256sum";

/// A fleet on containers, with one adopted sandbox that has files: its name, its id, and what is in it.
async fn filled(dialect: Dialect) -> Option<(Fleet, String, String, String)> {
    let driver = Driver::Docker(containers()?);
    let options = Options { snapshots: true, driver, ..on(dialect) };
    let fleet = Fleet::start(options).await.unwrap();
    let rules = SnapshotRules { roots: vec!["/sandbox".into()], ..Default::default() };
    let request = pb::AdoptSandboxRequest { snapshot_rules: Some(rules), ..adoption("coder") };
    let (name, id) = adopted_as(&fleet, "coder", request).await;
    output(&fleet, "coder", &id, &["sh", "-c", FILL]).await;
    let files = files(&fleet, &id).await;
    assert!(files.lines().count() > 15, "{files}");
    Some((fleet, name, id, files))
}

async fn files(fleet: &Fleet, id: &str) -> String {
    let listed = lab(fleet).user.exec("coder", id, &["sh", "-c", LIST]).await.unwrap();
    assert_eq!(listed.exit, Some(0));
    String::from_utf8_lossy(&listed.stdout).into_owned()
}

/// The runtime's words for the container of a sandbox id; empty when there is none.
fn state(id: &str) -> String {
    let label = format!("label=openshell.ai/sandbox-id={id}");
    let listed = Command::new("docker")
        .args(["ps", "--all", "--filter", &label, "--format", "{{.State}}"])
        .output()
        .unwrap();
    String::from_utf8(listed.stdout).unwrap().trim().to_owned()
}

/// What `docker VERB` prints of the container of a sandbox id, running or not.
fn docker(verb: &[&str], id: &str) -> String {
    let label = format!("label=openshell.ai/sandbox-id={id}");
    let listed = Command::new("docker")
        .args(["ps", "--all", "--quiet", "--filter", &label])
        .output()
        .unwrap();
    let container = String::from_utf8(listed.stdout).unwrap().trim().to_owned();
    let done = Command::new("docker").args(verb).arg(&container).output().unwrap();
    assert!(done.status.success());
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

fn restart_policy(id: &str) -> String {
    docker(&["inspect", "--format", "{{.HostConfig.RestartPolicy.Name}}"], id)
}

/// Asks for a recovery and waits for its end: reading and writing a workspace takes its time.
async fn recover(fleet: &Fleet, name: &str, path: pb::RecoveryPath) -> pb::Recovery {
    let begun = fleet.ask(name, path).await.unwrap();
    ended(fleet, &begun.recovery.unwrap().name).await
}

async fn ended(fleet: &Fleet, recovery: &str) -> pb::Recovery {
    for _ in 0..WAITS {
        let now = fleet.wait(recovery).await.unwrap();
        if now.state() != State::Running {
            return now;
        }
    }
    panic!("{recovery} has not ended")
}

/// It succeeded, with every file, as a new incarnation. Answers its id.
async fn back(fleet: &Fleet, recovery: pb::Recovery, old_id: &str, before: &str) -> String {
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    let id = recovery.result.unwrap().live_id;
    assert_ne!(id, old_id);
    assert_eq!(state(&id), "running");
    assert_eq!(files(fleet, &id).await, before);
    id
}

/// Something else than salvor ends the container or holds it; the gateway shows an error and cannot start it.
async fn rebuilt_after(verb: &[&str]) {
    let Some((fleet, name, id, before)) = filled(Dialect::V0_0).await else { return };
    docker(verb, &id);
    assert!(lab(&fleet).control.wait_phase("coder", Phase::Error, PATIENCE).await);
    let recovery = recover(&fleet, &name, AUTO).await;
    back(&fleet, recovery, &id, &before).await;
    assert_eq!(state(&id), "", "the old incarnation was deleted through its gateway");
    fleet.stop().await;
}

#[tokio::test]
async fn a_killed_container_loses_nothing() {
    rebuilt_after(&["kill"]).await;
}

#[tokio::test]
async fn a_container_that_somebody_else_stopped_loses_nothing() {
    rebuilt_after(&["stop", "--time", "1"]).await;
}

#[tokio::test]
async fn a_paused_container_loses_nothing() {
    rebuilt_after(&["pause"]).await;
}

#[tokio::test]
async fn a_live_container_is_rebuilt_with_all_that_is_in_it() {
    let Some((fleet, name, id, before)) = filled(Dialect::V0_0).await else { return };
    let recovery = recover(&fleet, &name, REBUILD).await;
    back(&fleet, recovery, &id, &before).await;
    fleet.stop().await;
}

#[tokio::test]
async fn a_killed_container_is_started_again_where_the_gateway_can() {
    let Some((fleet, name, id, before)) = filled(Dialect::V0_1).await else { return };
    docker(&["kill"], &id);
    assert!(lab(&fleet).control.wait_phase("coder", Phase::Error, PATIENCE).await);
    let recovery = recover(&fleet, &name, AUTO).await;
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(recovery.result.unwrap().live_id, id, "it is the same one");
    assert_eq!(files(&fleet, &id).await, before);
    fleet.stop().await;
}

/// The gateway loses the row, and the container runs on.
#[tokio::test]
async fn an_orphan_is_stopped_and_kept_and_its_files_come_along() {
    let Some((fleet, name, id, before)) = filled(Dialect::V0_0).await else { return };
    lab(&fleet).control.orphan("coder").unwrap();
    verdict(&fleet, &name, pb::Verdict::Lost).await;
    assert_eq!(state(&id), "running");
    let recovery = recover(&fleet, &name, AUTO).await;
    back(&fleet, recovery, &id, &before).await;
    assert_eq!(state(&id), "exited", "it is stopped, and kept");
    fleet.stop().await;
}

/// At rest when it is looked at; a boot of its host would start it beside its successor.
#[tokio::test]
async fn an_orphan_at_rest_will_not_come_back_beside_its_successor() {
    let Some((fleet, name, id, before)) = filled(Dialect::V0_0).await else { return };
    lab(&fleet).control.orphan("coder").unwrap();
    docker(&["update", "--restart", "always"], &id);
    docker(&["stop", "--time", "1"], &id);
    verdict(&fleet, &name, pb::Verdict::Lost).await;
    assert_eq!((state(&id).as_str(), restart_policy(&id).as_str()), ("exited", "always"));
    let recovery = recover(&fleet, &name, AUTO).await;
    back(&fleet, recovery, &id, &before).await;
    assert_eq!((state(&id).as_str(), restart_policy(&id).as_str()), ("exited", "no"));
    fleet.stop().await;
}

/// What was written after the last snapshot is in the leftover container only.
#[tokio::test]
async fn an_orphan_is_newer_than_its_last_snapshot() {
    let Some((fleet, name, id, _)) = filled(Dialect::V0_0).await else { return };
    let request = pb::SnapshotSandboxRequest { name: name.clone(), ..Default::default() };
    let begun = fleet.recovery.clone().snapshot_sandbox(request).await.unwrap().into_inner();
    let taken = ended(&fleet, &begun.recovery.unwrap().name).await;
    assert_eq!(taken.state(), State::Succeeded, "{taken:#?}");
    output(&fleet, "coder", &id, &["sh", "-c", "printf later > /sandbox/later"]).await;
    let before = files(&fleet, &id).await;
    lab(&fleet).control.orphan("coder").unwrap();
    verdict(&fleet, &name, pb::Verdict::Lost).await;
    let recovery = recover(&fleet, &name, AUTO).await;
    back(&fleet, recovery, &id, &before).await;
    fleet.stop().await;
}

/// With the container gone as well, the newest snapshot is what there is.
#[tokio::test]
async fn without_its_container_the_newest_snapshot_comes_back() {
    let Some((fleet, name, id, before)) = filled(Dialect::V0_0).await else { return };
    let request = pb::SnapshotSandboxRequest {
        name: name.clone(),
        channel: Channel::Runtime.into(),
        ..Default::default()
    };
    let begun = fleet.recovery.clone().snapshot_sandbox(request).await.unwrap().into_inner();
    let taken = ended(&fleet, &begun.recovery.unwrap().name).await;
    assert_eq!(taken.state(), State::Succeeded, "{taken:#?}");
    lose(&fleet, "coder").await;
    assert_eq!(state(&id), "");
    let recovery = recover(&fleet, &name, AUTO).await;
    back(&fleet, recovery, &id, &before).await;
    fleet.stop().await;
}
