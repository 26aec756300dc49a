//! T16 to T19 and T22 with three registries and three orchestrators as processes that share one server: whichever is killed or
//! stopped, the others end what it had begun, with each effect once, and what comes back changes nothing.

use std::collections::BTreeSet;

use futures::{StreamExt as _, future::join_all, stream};
use nix::sys::signal::Signal;
use salvor_devgateway::{Effect, Fault};
use salvor_proto::{
    error::received,
    recovery::v1::{self as pb, recovery::State},
};
use salvor_testkit::{
    Fleet,
    cut::Way,
    store::{self, skipped_without_a_server},
    wait::{PATIENCE, until},
};

use crate::{
    process::{Process, Start},
    scene::{Before, Case, LATE, Scene, VICTIM},
    verify::verify,
};

/// How many of each service.
const REPLICAS: usize = 3;

/// A scene with as many registries and orchestrators.
struct Trio {
    scene: Scene,
    before: Before,
    orchestrators: Vec<Process>,
}

impl Trio {
    /// The first orchestrator dies after so many writes to its journal.
    async fn open(case: Case, dies_after: Option<u64>) -> Self {
        let (scene, first, before) = Scene::open_with(case, dies_after, REPLICAS).await;
        let mut orchestrators = vec![first];
        for _ in 1..REPLICAS {
            let other = Start { dies_after: None, ..scene.start.clone() };
            orchestrators.push(other.process().await);
        }
        Self { scene, before, orchestrators }
    }

    /// Asks whichever of them is there from now on.
    fn ask_any(&mut self) {
        let addresses: Vec<_> = self.orchestrators.iter().map(|process| process.address).collect();
        self.scene.fleet.use_orchestrators(&addresses).unwrap();
    }

    /// Takes the one out that has a recovery of the sandbox at work.
    async fn take_runner(&mut self) -> Process {
        let index = until("an orchestrator at work", || async {
            self.orchestrators.iter().position(|process| process.has_logged("recovery advanced"))
        })
        .await;
        let runner = self.orchestrators.remove(index);
        self.ask_any();
        runner
    }

    /// Asks for what the case is about, and waits until the gateway has this in hand and will never answer.
    async fn hangs_in(&mut self, method: &'static str, effect: Effect) {
        self.scene.unanswered_is_done = effect == Effect::HangAfter;
        let control = self.scene.fleet.gateway("lab").control.clone();
        control.fault(Fault::on(method, effect).for_sandbox(VICTIM).times(1));
        let calls = self.before.calls;
        let reached =
            control.wait_for_call(|call| call.seq >= calls && call.method == method, PATIENCE);
        tokio::select! {
            // A destroy's asker waits for its end, which does not come.
            asked = async { self.scene.ask().await.unwrap(); std::future::pending::<()>().await } => asked,
            reached = reached => assert!(reached.is_some(), "{method}"),
        }
    }

    /// Kills what is left.
    async fn stop(self) {
        drop(self.orchestrators);
        self.scene.fleet.stop().await;
    }
}

fn no_server() -> bool {
    skipped_without_a_server("replicas share a server")
}

/// One of each is killed in the midst of an effect, and nothing is started in its place. Answers the recovery, and what the agent
/// wrote in the end that wrote `late` right after that, if it did.
async fn killed_during(
    case: Case,
    method: &'static str,
    effect: Effect,
    late: bool,
) -> (pb::Recovery, Option<String>) {
    let what = format!("{case:?} with three replicas, killed during {method} with {effect:?}");
    println!("{what}");
    let mut trio = Box::pin(Trio::open(case, None)).await;
    trio.ask_any();
    trio.hangs_in(method, effect).await;
    trio.take_runner().await.kill().await;
    if late {
        trio.scene.write_late(&trio.before);
    }
    trio.scene.fleet.registry_processes.swap_remove(0).kill().await;
    let recovery = trio.scene.ended().await;
    verify(&trio.scene, &trio.before, &recovery, &what).await;
    let written = late.then(|| trio.scene.written_on().unwrap());
    trio.stop().await;
    (recovery, written)
}

/// How many snapshots a recovery has taken.
fn taken(recovery: &pb::Recovery) -> usize {
    let taken =
        |step: &&pb::StepRecord| (&*step.step, &*step.outcome) == ("take_snapshot", "taken");
    recovery.steps.iter().filter(taken).count()
}

#[tokio::test]
async fn t18_what_a_killed_orchestrator_had_in_hand_is_ended_by_another_one() {
    if no_server() {
        return;
    }
    for (case, method) in [
        (Case::Stale, "CreateSandbox"),
        (Case::Revive, "StartSandbox"),
        (Case::Destroy, "DeleteSandbox"),
    ] {
        Box::pin(killed_during(case, method, Effect::HangAfter, false)).await;
    }
}

/// The delete was asked for and never came: the sandbox lives on, and so does its agent.
#[tokio::test]
async fn t16_a_rebuild_whose_delete_did_not_happen_is_saved_anew_by_another_one() {
    if no_server() {
        return;
    }
    let killed = killed_during(Case::Rebuild, "DeleteSandbox", Effect::Drop, true);
    let (recovery, written) = Box::pin(killed).await;
    assert_eq!(written.as_deref(), Some(LATE.1), "what was written after the first snapshot");
    assert!(taken(&recovery) >= 2, "{recovery:#?}");
}

/// The delete is done: from there it goes on with what was saved, whether the create was done or never came.
#[tokio::test]
async fn t17_a_rebuild_is_gone_on_with_by_another_one_after_the_delete() {
    if no_server() {
        return;
    }
    for (method, effect) in [
        ("DeleteSandbox", Effect::HangAfter),
        ("CreateSandbox", Effect::Drop),
        ("CreateSandbox", Effect::HangAfter),
    ] {
        let killed = killed_during(Case::Rebuild, method, effect, false);
        let (recovery, _) = Box::pin(killed).await;
        assert_eq!(taken(&recovery), 1, "{method}: {recovery:#?}");
    }
}

/// Stopped past its lease with an effect in hand. Another one has ended the recovery, through an adapter that was restarted, when
/// it goes on.
async fn stopped_during(case: Case, method: &'static str, effect: Effect) {
    let what = format!("{case:?} with three replicas, stopped during {method} with {effect:?}");
    let mut trio = Box::pin(Trio::open(case, None)).await;
    trio.ask_any();
    trio.hangs_in(method, effect).await;
    let stopped = trio.take_runner().await;
    stopped.signal(Signal::SIGSTOP);
    trio.scene.fleet.restart_adapter().await.unwrap();
    let recovery = trio.scene.ended().await;
    let control = trio.scene.fleet.gateway("lab").control.clone();
    let (calls, record) =
        (control.mutating_calls().len(), trio.scene.fleet.record(&trio.scene.name).await.unwrap());
    stopped.signal(Signal::SIGCONT);
    stopped.logged("recovery left the runner").await;
    assert_eq!(control.mutating_calls().len(), calls, "{what}: it changes nothing");
    assert_eq!(trio.scene.fleet.record(&trio.scene.name).await.unwrap(), record, "{what}");
    verify(&trio.scene, &trio.before, &recovery, &what).await;
    drop(stopped);
    trio.stop().await;
}

#[tokio::test]
async fn t22_one_that_is_stopped_past_its_lease_is_replaced_and_changes_nothing_when_it_goes_on() {
    if no_server() {
        return;
    }
    for (case, method, effect) in [
        (Case::Stale, "CreateSandbox", Effect::HangAfter),
        (Case::Stale, "CreateSandbox", Effect::Drop),
        (Case::Rebuild, "DeleteSandbox", Effect::HangAfter),
        (Case::Rebuild, "CreateSandbox", Effect::HangAfter),
    ] {
        Box::pin(stopped_during(case, method, effect)).await;
    }
}

/// Two of three registries are stopped, which take connections and answer nothing, and go on later.
#[tokio::test]
async fn t22_registries_that_are_stopped_and_go_on_later_lose_nothing() {
    if no_server() {
        return;
    }
    let mut trio = Box::pin(Trio::open(Case::Stale, None)).await;
    trio.ask_any();
    trio.hangs_in("CreateSandbox", Effect::Delay { millis: 700 }).await;
    for registry in &trio.scene.fleet.registry_processes[..2] {
        registry.signal(Signal::SIGSTOP);
    }
    let recovery = trio.scene.ended().await;
    for registry in &trio.scene.fleet.registry_processes[..2] {
        registry.signal(Signal::SIGCONT);
    }
    verify(&trio.scene, &trio.before, &recovery, "two registries stopped").await;
    trio.stop().await;
}

/// One orchestrator, by a way to its journal's server, whose create the gateway has in hand until its faults are cleared.
async fn held_in_its_create() -> (Scene, Before, Way, Process) {
    let (mut scene, first, before) = Box::pin(Scene::open_with(Case::Stale, None, 1)).await;
    first.kill().await;
    let way = scene.by_a_way().await;
    let process = scene.begin(None).await;
    let control = scene.fleet.gateway("lab").control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::Hold).for_sandbox(VICTIM));
    scene.ask().await.unwrap();
    let asked = control
        .wait_for_call(|call| call.seq >= before.calls && call.method == "CreateSandbox", PATIENCE);
    assert!(asked.await.is_some());
    (scene, before, way, process)
}

/// The journal's server goes away in the midst of an effect, and comes back: nobody has to do anything about the recovery.
#[tokio::test]
async fn a_recovery_goes_on_when_the_server_that_was_gone_is_back() {
    if no_server() {
        return;
    }
    let (scene, before, way, process) = Box::pin(held_in_its_create()).await;
    let control = scene.fleet.gateway("lab").control.clone();
    way.cut();
    control.clear_faults();
    process.logged("the journal cannot be used").await;
    way.mend();
    ended_by_itself(scene, &before, process, "with a server that was gone").await;
}

/// The journal's server goes silent with a write in hand, which it makes: what is sent to it vanishes, and a new connection finds one
/// that answers. The lease is kept meanwhile, so nobody else would end the recovery.
#[tokio::test]
async fn a_recovery_goes_on_when_the_server_has_gone_silent() {
    if no_server() {
        return;
    }
    let (scene, before, way, process) = Box::pin(held_in_its_create()).await;
    let control = scene.fleet.gateway("lab").control.clone();
    let beside = store::open(scene.fleet.journal()).await;
    let mut holder = beside.begin().await.unwrap();
    // Writes wait for it, and reads do not.
    sqlx::raw_sql("LOCK TABLE journal IN SHARE MODE").execute(&mut *holder).await.unwrap();
    control.clear_faults();
    store::somebody_waits_for(&mut holder, &beside).await;
    way.swallow();
    holder.commit().await.unwrap();
    process.logged("the journal cannot be used").await;
    ended_by_itself(scene, &before, process, "with a server that went silent").await;
}

/// Waits for its end, for which nobody does anything.
async fn ended_by_itself(scene: Scene, before: &Before, process: Process, what: &str) {
    let recovery = until("an end", || async {
        let request =
            pb::ListRecoveriesRequest { sandbox: scene.name.clone(), ..Default::default() };
        let listed = scene.fleet.recovery.clone().list_recoveries(request).await.ok()?;
        listed.into_inner().recoveries.into_iter().find(|recovery| recovery.done)
    })
    .await;
    verify(&scene, before, &recovery, what).await;
    process.kill().await;
    scene.fleet.stop().await;
}

/// The one that was asked dies right after its n-th write; the others are there already. Answers whether its agent could write
/// before one of them went on; what it wrote is there in the end.
async fn killed_after(case: Case, append: u64, appends: u64) -> bool {
    let what = format!("{case:?} with three replicas, killed after append {append} of {appends}");
    println!("{what}");
    let mut trio = Box::pin(Trio::open(case, Some(append))).await;
    // What the caller was told depends on when it died.
    let _ = trio.scene.ask().await;
    trio.orchestrators.remove(0).died().await;
    // They wait until the lease of the one that died has run out.
    let wrote = case == Case::Rebuild && trio.scene.write_on(&trio.before);
    trio.ask_any();
    let recovery = trio.scene.ended().await;
    verify(&trio.scene, &trio.before, &recovery, &what).await;
    if wrote {
        assert_eq!(trio.scene.written_on().unwrap(), LATE.1, "{what}: what was written meanwhile");
    }
    trio.stop().await;
    wrote
}

/// Nothing happens to it. Answers what its journal holds after its header.
async fn undisturbed(case: Case) -> Vec<String> {
    let trio = Box::pin(Trio::open(case, None)).await;
    trio.scene.ask().await.unwrap();
    let recovery = trio.scene.ended().await;
    let events = trio.scene.events(&recovery.name).await;
    trio.stop().await;
    events
}

/// Kills it after each of these. Answers after how many of them the sandbox was still there, and written to.
async fn killed_after_each(case: Case, kills: Vec<u64>, appends: u64) -> usize {
    stream::iter(kills)
        .map(|append| killed_after(case, append, appends))
        .buffer_unordered(2)
        .filter(|wrote| std::future::ready(*wrote))
        .count()
        .await
}

#[tokio::test]
async fn t17_a_recovery_is_taken_over_after_every_append() {
    if no_server() {
        return;
    }
    let appends = 1 + Box::pin(undisturbed(Case::Stale)).await.len() as u64;
    assert!(appends >= 10, "only {appends} writes");
    let _ = killed_after_each(Case::Stale, (1..=appends).collect(), appends).await;
}

/// From two writes before its delete is intended to the outcome of its create after every one, and elsewhere after every third: all
/// of them take minutes. After every one there is one process after the other in `appends`.
#[tokio::test]
async fn t16_t17_a_rebuild_is_taken_over_around_its_delete_and_create() {
    if no_server() {
        return;
    }
    let events = Box::pin(undisturbed(Case::Rebuild)).await;
    // The first event is the second write.
    let written = |event: &str| {
        let found = events.iter().position(|stored| stored.contains(event));
        found.unwrap_or_else(|| panic!("no {event} in {events:?}")) as u64 + 2
    };
    let closely = written("DeleteIntended") - 2..=written("\"Created\"");
    let appends = 1 + events.len() as u64;
    let kills: Vec<_> =
        (1..=appends).filter(|append| closely.contains(append) || append % 3 == 1).collect();
    println!("{closely:?} closely of {appends}");
    let before_the_delete = kills.iter().filter(|append| **append <= closely.start() + 2).count();
    let written_to = killed_after_each(Case::Rebuild, kills, appends).await;
    // Not after each, where the test itself was held up for longer than a lease.
    assert!(written_to > before_the_delete / 2, "{written_to} of {before_the_delete}");
}

#[tokio::test]
async fn t19_of_ten_at_once_at_three_orchestrators_one_runs_and_nine_are_told_which() {
    if no_server() {
        return;
    }
    let mut trio = Box::pin(Trio::open(Case::Stale, None)).await;
    trio.ask_any();
    let control = trio.scene.fleet.gateway("lab").control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::Hold).for_sandbox(VICTIM));
    let fleet: &Fleet = &trio.scene.fleet;
    let asked = (0..10).map(|_| fleet.ask(&trio.scene.name, pb::RecoveryPath::Rebuild));
    let (accepted, refused): (Vec<_>, Vec<_>) =
        join_all(asked).await.into_iter().partition(Result::is_ok);
    assert_eq!(accepted.len(), 1, "{accepted:?}");
    let holders: BTreeSet<_> = refused
        .into_iter()
        .map(|refused| received(&refused.unwrap_err()).metadata["holder"].clone())
        .collect();
    let one = accepted.into_iter().next().unwrap().unwrap().recovery.unwrap().name;
    assert_eq!(holders.into_iter().collect::<Vec<_>>(), [one]);
    control.clear_faults();
    let recovery = trio.scene.ended().await;
    verify(&trio.scene, &trio.before, &recovery, "ten at once").await;
    trio.stop().await;
}

/// One request, sent to all three again and again until each has answered it.
#[tokio::test]
async fn t19_the_same_request_at_three_orchestrators_is_one_recovery() {
    if no_server() {
        return;
    }
    let mut trio = Box::pin(Trio::open(Case::Stale, None)).await;
    trio.ask_any();
    let fleet: &Fleet = &trio.scene.fleet;
    let asked = (0..12).map(|_| {
        until("an answer", || {
            let mut recovery = fleet.recovery.clone();
            let request = pb::RecoverSandboxRequest {
                name: trio.scene.name.clone(),
                path: pb::RecoveryPath::Rebuild.into(),
                request_id: "7c9e6679-7425-40de-944b-e07fc1f90ae7".into(),
                ..Default::default()
            };
            async move {
                match recovery.recover_sandbox(request).await {
                    Ok(answer) => answer.into_inner().recovery,
                    Err(status) => {
                        let reason = received(&status).reason;
                        assert_eq!(reason.as_deref(), Some("LEASE_HELD"), "{status}");
                        None
                    }
                }
            }
        })
    });
    let names: BTreeSet<_> = join_all(asked).await.into_iter().map(|one| one.name).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let recovery = trio.scene.ended().await;
    verify(&trio.scene, &trio.before, &recovery, "the same request at three").await;
    trio.stop().await;
}

/// Asked of one orchestrator that it be cancelled, while another one has it at work.
#[tokio::test]
async fn t08_a_cancellation_reaches_whichever_has_it_at_work() {
    if no_server() {
        return;
    }
    let mut trio = Box::pin(Trio::open(Case::Rebuild, None)).await;
    let control = trio.scene.fleet.gateway("lab").control.clone();
    // Until the snapshot is there, there is a way back.
    let reading = "ExecSandboxInteractive";
    control.fault(Fault::on(reading, Effect::Hold));
    trio.scene.ask().await.unwrap();
    let open = trio.scene.recoveries().await.remove(0);
    trio.orchestrators.rotate_left(1);
    let elsewhere: Vec<_> = trio.orchestrators[..2].iter().map(|process| process.address).collect();
    trio.scene.fleet.use_orchestrators(&elsewhere).unwrap();
    assert!(control.wait_for_call(|call| call.method == reading, PATIENCE).await.is_some());
    let request = pb::CancelRecoveryRequest { name: open.name.clone() };
    trio.scene.fleet.recovery.clone().cancel_recovery(request).await.unwrap();
    control.clear_faults();
    let ended = trio.scene.fleet.wait(&open.name).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    assert_eq!(ended.failure.unwrap().reason, "CANCELLED");
    let record = trio.scene.fleet.record(&trio.scene.name).await.unwrap();
    assert_eq!(record.live_id, trio.before.record.live_id);
    trio.stop().await;
}
