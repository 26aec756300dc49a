//! T19: one recovery of a record at a time, and all of them side by side.

use std::time::{Duration, Instant};

use salvor_devgateway::{Dialect, Effect, Fault};
use salvor_proto::{
    error::received,
    recovery::v1::{self as pb, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::{
    Fleet, Options,
    wait::{PATIENCE, until},
};
use tonic::Code;

use crate::{
    given::{
        LAB, adopted, bury, lab, lose, lost, mutations, reaches, recorded, recovery, stopped,
        succeeded, take_over, verdict,
    },
    support::{AUTO, REBUILD, reason, seed},
};

/// As many requests look at one gateway at a time.
const AT_ONCE: usize = 8;

fn with_id(name: &str, request_id: &str) -> pb::RecoverSandboxRequest {
    pb::RecoverSandboxRequest {
        name: name.to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn t19_of_ten_at_once_one_runs_and_nine_are_told_who_holds_the_record() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    verdict(&fleet, &name, pb::Verdict::Lost).await;
    // The one that runs is held in its create until all ten have been answered.
    lab(&fleet).control.fault(Fault::on("CreateSandbox", Effect::Hold));
    let asked = (0..10).map(|_| fleet.ask(&name, REBUILD));
    let (mut accepted, mut refused) = (Vec::new(), Vec::new());
    for answer in futures::future::join_all(asked).await {
        match answer {
            Ok(answer) => accepted.push(answer.recovery.unwrap().name),
            Err(status) => refused.push(status),
        }
    }
    assert_eq!((accepted.len(), refused.len()), (1, 9), "{accepted:?} {refused:?}");
    for status in refused {
        assert_eq!(status.code(), Code::Aborted);
        assert_eq!(reason(&status), "LEASE_HELD");
        let told = received(&status);
        assert_eq!(told.metadata.get("holder"), Some(&accepted[0]), "{told:#?}");
        assert!(told.next_step.unwrap().contains("--open"));
    }
    lab(&fleet).control.clear_faults();
    let recovery = fleet.wait(&accepted[0]).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    fleet.stop().await;
}

#[tokio::test]
async fn t19_recoveries_of_other_records_run_at_the_same_time() {
    let mutation_timeout = Duration::from_mins(5);
    let fleet = Fleet::start(Options { mutation_timeout, ..Options::default() }).await.unwrap();
    let (held, _) = lost(&fleet, "held").await;
    let (free, _) = lost(&fleet, "free").await;
    let (idle, _) = stopped(&fleet, "idle").await;
    let control = lab(&fleet).control.clone();
    control.clear_calls();
    control.fault(Fault::on("CreateSandbox", Effect::Hold).for_sandbox("held"));
    let open = fleet.ask(&held, REBUILD).await.unwrap().recovery.unwrap();
    let hangs = |call: &salvor_devgateway::Call| call.name == "held" && call.create.is_some();
    assert!(control.wait_for_call(hangs, PATIENCE).await.is_some());

    let (free, idle) = tokio::join!(fleet.recover(&free, REBUILD), fleet.recover(&idle, AUTO));
    assert_eq!(free.unwrap().state(), State::Succeeded);
    assert_eq!(idle.unwrap().state(), State::Succeeded);
    let request = pb::GetRecoveryRequest { name: open.name.clone() };
    let still = fleet.recovery.clone().get_recovery(request).await.unwrap().into_inner();
    assert_eq!(still.recovery.unwrap().state(), State::Running, "it has not stood in their way");
    control.clear_faults();
    assert_eq!(fleet.wait(&open.name).await.unwrap().state(), State::Succeeded);
    fleet.stop().await;
}

#[tokio::test]
async fn t19_the_same_request_answers_the_same_recovery() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let (other, _) = lost(&fleet, "other").await;
    let id = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let mut client = fleet.recovery.clone();
    let first = client.recover_sandbox(with_id(&name, id)).await.unwrap().into_inner();
    let first = first.recovery.unwrap();
    assert_eq!(first.request_id, id);
    let again = client.recover_sandbox(with_id(&name, id)).await.unwrap().into_inner();
    assert_eq!(again.recovery.unwrap().name, first.name);
    let ended = fleet.wait(&first.name).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    let late = client.recover_sandbox(with_id(&name, id)).await.unwrap().into_inner();
    let late = late.recovery.unwrap();
    assert_eq!((late.state(), late.name), (State::Succeeded, first.name));
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);

    let reused = client.recover_sandbox(with_id(&other, id)).await.unwrap_err();
    assert_eq!(
        (reused.code(), reason(&reused).as_str()),
        (Code::InvalidArgument, "REQUEST_ID_REUSED")
    );
    let malformed = client.recover_sandbox(with_id(&name, "seven")).await.unwrap_err();
    assert_eq!(malformed.code(), Code::InvalidArgument);
    fleet.stop().await;
}

#[tokio::test]
async fn t19_the_same_request_many_times_at_once_is_one_recovery() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    verdict(&fleet, &name, pb::Verdict::Lost).await;
    let id = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    let asked = (0..5).map(|_| {
        let mut client = fleet.recovery.clone();
        let request = with_id(&name, id);
        async move { client.recover_sandbox(request).await }
    });
    let mut names = std::collections::BTreeSet::new();
    for answer in futures::future::join_all(asked).await {
        match answer {
            Ok(answer) => {
                names.insert(answer.into_inner().recovery.unwrap().name);
            }
            // Not durable yet when it was asked for: the holder's name says which one it will be.
            Err(status) => {
                assert_eq!(reason(&status), "LEASE_HELD");
                names.insert(received(&status).metadata["holder"].clone());
            }
        }
    }
    assert_eq!(names.len(), 1, "{names:?}");
    let name = names.into_iter().next().unwrap();
    assert_eq!(fleet.wait(&name).await.unwrap().state(), State::Succeeded);
    assert_eq!(succeeded(&fleet, "CreateSandbox"), 1);
    fleet.stop().await;
}

#[tokio::test]
async fn t19_a_recovery_and_a_destroy_of_one_record_exclude_each_other() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    verdict(&fleet, &name, pb::Verdict::Lost).await;
    lab(&fleet).control.fault(Fault::on("CreateSandbox", Effect::Hold));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    let request = pb::DestroySandboxRequest { name: name.clone(), ..Default::default() };
    let refused = fleet.recovery.clone().destroy_sandbox(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused:?}");
    assert_eq!(received(&refused).metadata["holder"], open.name);
    lab(&fleet).control.clear_faults();
    assert_eq!(fleet.wait(&open.name).await.unwrap().state(), State::Succeeded);
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    fleet.stop().await;
}

#[tokio::test]
async fn t19_many_records_lost_at_once_come_back_side_by_side() {
    let fleet = Fleet::lab().await.unwrap();
    let control = lab(&fleet).control.clone();
    let names: Vec<String> = (0..5).map(|n| format!("agent-{n}")).collect();
    for name in &names {
        adopted(&fleet, name).await;
    }
    for name in &names {
        control.lose(name).await.unwrap();
    }
    for name in &names {
        assert!(control.wait_absent(name, PATIENCE).await);
    }
    control.clear_calls();
    let recoveries = names.iter().map(|name| {
        let name = Fleet::name(LAB, name);
        let fleet = &fleet;
        async move { fleet.recover(&name, REBUILD).await.unwrap() }
    });
    for recovery in futures::future::join_all(recoveries).await {
        assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    }
    assert_eq!(succeeded(&fleet, "CreateSandbox"), names.len());
    assert!(names.iter().all(|name| control.live(name)));
    fleet.stop().await;
}

#[tokio::test]
async fn t19_an_open_recovery_of_one_record_is_no_reason_to_refuse_another() {
    let fleet = Fleet::lab().await.unwrap();
    let id = fleet.sandbox(LAB, "plain", &seed()).await.unwrap();
    let (open, _) = lost(&fleet, "open").await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::Drop).for_sandbox("open").times(1));
    fleet.ask(&open, REBUILD).await.unwrap();
    let plain = Fleet::name(LAB, "plain");
    assert_eq!(fleet.adopt(&plain).await.unwrap().live_id, id);
    let before = recorded(&fleet, &plain).await;
    lose(&fleet, "plain").await;
    assert_eq!(fleet.recover(&plain, AUTO).await.unwrap().state(), State::Succeeded);
    assert_eq!(recorded(&fleet, &plain).await.uid, before.uid);
    // An orderly end would wait for the call that hangs.
    drop(fleet);
}

/// Two recoveries and room for one: the first is held in its create, the second waits for its turn.
async fn one_waits(lease_ttl: Duration) -> (Fleet, pb::Recovery, pb::Recovery) {
    let options = Options { max_running: 1, lease_ttl, ..Options::default() };
    let fleet = Fleet::start(options).await.unwrap();
    let (first, _) = lost(&fleet, "first").await;
    let (second, _) = lost(&fleet, "second").await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::Hold).for_sandbox("first"));
    let first = fleet.ask(&first, REBUILD).await.unwrap().recovery.unwrap();
    let held = |call: &salvor_devgateway::Call| call.create.is_some();
    assert!(control.wait_for_call(held, PATIENCE).await.is_some());
    let second = fleet.ask(&second, REBUILD).await.unwrap().recovery.unwrap();
    (fleet, first, second)
}

#[tokio::test]
async fn t22_a_recovery_that_waits_for_its_turn_keeps_its_lease() {
    let lease_ttl = Duration::from_secs(4);
    let (fleet, first, second) = one_waits(lease_ttl).await;
    let waiting = Instant::now();
    while waiting.elapsed() < lease_ttl + lease_ttl / 4 {
        let request = registry::AcquireLeaseRequest {
            sandbox: second.sandbox.clone(),
            holder: "somebody-else".into(),
            ttl: None,
        };
        let refused = fleet.registry.clone().acquire_lease(request).await.unwrap_err();
        // Which orchestrator has it at work, where there may be several, is said behind it.
        let received = received(&refused);
        assert_eq!(received.metadata["holder"].split('@').next(), Some(&*second.name));
    }
    assert!(!recovery(&fleet, &first.name).await.done);
    lab(&fleet).control.clear_faults();
    assert_eq!(fleet.wait(&second.name).await.unwrap().state(), State::Succeeded);
    assert_eq!(mutations(&fleet), ["CreateSandbox", "CreateSandbox"]);
    fleet.stop().await;
}

/// Its record was destroyed while it waited, by somebody who took the lease over: there is nothing left to bring back.
#[tokio::test]
async fn t21_a_record_destroyed_before_its_recovery_began_sends_it_back() {
    let (fleet, first, second) = one_waits(Duration::from_secs(5)).await;
    let name = second.sandbox.clone();
    let fence_token = take_over(&fleet, &name).await;
    bury(&fleet, &name, fence_token).await;
    lab(&fleet).control.clear_faults();
    let ended = reaches(&fleet, &second.name, State::RolledBack).await;
    assert_eq!(ended.failure.unwrap().reason, "RECORD_CHANGED");
    assert_eq!(fleet.wait(&first.name).await.unwrap().state(), State::Succeeded);
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    assert_eq!(fleet.record(&name).await.unwrap().state(), registry::sandbox::State::Destroyed);
    fleet.stop().await;
}

/// Of an orchestrator with a journal of its own, which got the lease while this one did not renew it.
#[tokio::test]
async fn t19_a_record_that_another_recovery_has_marked_is_left_to_it() {
    let (fleet, first, second) = one_waits(Duration::from_secs(5)).await;
    let name = second.sandbox.clone();
    let fence_token = take_over(&fleet, &name).await;
    let mut record = fleet.record(&name).await.unwrap();
    record.set_state(registry::sandbox::State::Recovering);
    record.recovery = "recoveries/of-another".into();
    let paths = vec!["state".to_owned(), "recovery".to_owned()];
    let update = registry::UpdateSandboxRequest {
        sandbox: Some(record),
        update_mask: Some(prost_types::FieldMask { paths }),
        fence_token,
        ..Default::default()
    };
    fleet.registry.clone().update_sandbox(update).await.unwrap();
    lab(&fleet).control.clear_faults();
    let ended = reaches(&fleet, &second.name, State::RolledBack).await;
    assert_eq!(ended.failure.unwrap().reason, "RECORD_CHANGED");
    let record = fleet.record(&name).await.unwrap();
    assert_eq!(record.state(), registry::sandbox::State::Recovering);
    assert_eq!(record.recovery, "recoveries/of-another");
    assert_eq!(fleet.wait(&first.name).await.unwrap().state(), State::Succeeded);
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    fleet.stop().await;
}

#[tokio::test]
async fn t08_cancelled_while_it_waits_for_its_turn_nothing_was_touched() {
    let (fleet, first, second) = one_waits(Duration::from_secs(5)).await;
    let before = recorded(&fleet, &second.sandbox).await;
    let request = pb::CancelRecoveryRequest { name: second.name.clone() };
    fleet.recovery.clone().cancel_recovery(request).await.unwrap();
    let ended = fleet.wait(&second.name).await.unwrap();
    assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
    let failure = ended.failure.unwrap();
    assert_eq!(failure.reason, "CANCELLED");
    assert_eq!(failure.next_step, format!("salvor recover {}", second.sandbox));
    assert_eq!(recorded(&fleet, &second.sandbox).await, before);
    lab(&fleet).control.clear_faults();
    assert_eq!(fleet.wait(&first.name).await.unwrap().state(), State::Succeeded);
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    fleet.stop().await;
}

/// The gateway keeps it waiting for evidence, under the record's lease. Its caller goes away: the lease is free at once, and nothing
/// was begun.
#[tokio::test]
async fn t19_who_goes_away_while_evidence_is_collected_leaves_the_record_free() {
    let lease_ttl = Duration::from_mins(5);
    let fleet = Fleet::start(Options { lease_ttl, ..Options::default() }).await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let control = lab(&fleet).control.clone();
    control.clear_calls();
    control.fault(Fault::on("GetSandbox", Effect::Hold));
    tokio::select! {
        asked = fleet.ask(&name, REBUILD) => panic!("{asked:?}"),
        look = control.wait_for_call(|call| call.method == "GetSandbox", PATIENCE) => {
            assert!(look.is_some());
        }
    }
    let lease = until("a free record", || async {
        let request = registry::AcquireLeaseRequest {
            sandbox: name.clone(),
            holder: "somebody-else".into(),
            ttl: None,
        };
        fleet.registry.clone().acquire_lease(request).await.ok()?.into_inner().lease
    })
    .await;
    control.clear_faults();
    let fence_token = lease.fence_token;
    let release = registry::ReleaseLeaseRequest { sandbox: name.clone(), fence_token };
    fleet.registry.clone().release_lease(release).await.unwrap();
    let recovered = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(recovered.state(), State::Succeeded, "{recovered:#?}");
    let kept = pb::ListRecoveriesRequest { sandbox: name, ..Default::default() };
    let kept = fleet.recovery.clone().list_recoveries(kept).await.unwrap().into_inner();
    assert_eq!(kept.recoveries.len(), 1, "{:#?}", kept.recoveries);
    fleet.stop().await;
}

/// A gateway that answers nothing has all the places that it gets, and another one's recoveries go on.
#[tokio::test]
async fn t22_a_gateway_that_answers_nothing_holds_up_no_other() {
    let gateways = vec![("lab", Dialect::V0_0), ("other", Dialect::V0_0)];
    // A quarter of them is one.
    let options = Options { gateways, max_running: 4, ..Options::default() };
    let fleet = Fleet::start(options).await.unwrap();
    let (held, _) = lost(&fleet, "held").await;
    let (waits, _) = lost(&fleet, "waits").await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::Hold));
    let held = fleet.ask(&held, REBUILD).await.unwrap().recovery.unwrap();
    let create = |call: &salvor_devgateway::Call| call.create.is_some();
    assert!(control.wait_for_call(create, PATIENCE).await.is_some());
    let waits = fleet.ask(&waits, REBUILD).await.unwrap().recovery.unwrap();
    let free = crate::witness::lost(&fleet, "other", "free", &seed()).await;
    assert_eq!(fleet.recover(&free, REBUILD).await.unwrap().state(), State::Succeeded);
    control.clear_faults();
    for open in [held, waits] {
        assert_eq!(fleet.wait(&open.name).await.unwrap().state(), State::Succeeded);
    }
    fleet.stop().await;
}

/// One more is asked for than look at a gateway at a time. It waits, holds nothing meanwhile, and leaves nothing when its caller
/// goes away; the others are not held up by it.
#[tokio::test]
async fn t22_who_goes_away_while_it_waits_to_look_leaves_nothing_behind() {
    let fleet = Fleet::lab().await.unwrap();
    let control = lab(&fleet).control.clone();
    let mut names = Vec::new();
    for at in 0..=AT_ONCE {
        names.push(lost(&fleet, &format!("s{at}")).await.0);
    }
    let last = names.pop().unwrap();
    control.clear_calls();
    control.fault(Fault::on("GetSandbox", Effect::Hold));
    let asked = futures::future::join_all(names.iter().map(|name| fleet.ask(name, REBUILD)));
    let one_more = async {
        until("all of them at their look", || async {
            let looks = control.calls().iter().filter(|call| call.method == "GetSandbox").count();
            (looks == AT_ONCE).then_some(())
        })
        .await;
        let mut request = tonic::Request::new(pb::RecoverSandboxRequest {
            name: last.clone(),
            path: REBUILD.into(),
            ..Default::default()
        });
        request.set_timeout(Duration::from_millis(300));
        let gone = fleet.recovery.clone().recover_sandbox(request).await.unwrap_err();
        assert_eq!(gone.code(), Code::DeadlineExceeded, "{gone:?}");
        assert!(!control.calls().iter().any(|call| call.name == format!("s{AT_ONCE}")));
        control.clear_faults();
    };
    let (answers, ()) = futures::future::join(asked, one_more).await;
    for answer in answers {
        let recovery = answer.unwrap().recovery.unwrap();
        assert_eq!(fleet.wait(&recovery.name).await.unwrap().state(), State::Succeeded);
    }
    let kept = pb::ListRecoveriesRequest { sandbox: last.clone(), ..Default::default() };
    let kept = fleet.recovery.clone().list_recoveries(kept).await.unwrap().into_inner();
    assert!(kept.recoveries.is_empty(), "{kept:#?}");
    // Nobody holds its record.
    let recovered = fleet.recover(&last, REBUILD).await.unwrap();
    assert_eq!(recovered.state(), State::Succeeded, "{recovered:#?}");
    assert_eq!(mutations(&fleet).len(), AT_ONCE + 1);
    fleet.stop().await;
}
