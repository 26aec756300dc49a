//! What changes on a live sandbox flows into its record, and nothing else does.

use std::{collections::BTreeMap, time::Duration};

use salvor_devgateway::{Dialect, Effect, Fault, Phase, Restart, user::policy};
use salvor_proto::{recovery::v1::recovery::State, registry::v1 as registry};
use salvor_testkit::{Fleet, Options, wait::PATIENCE, wait::until};

use crate::{
    given::{LAB, adopted, lab, lost, mutations, on, reaches, recorded, stop},
    support::{REBUILD, seed},
};

async fn observed(dialect: Dialect) -> Fleet {
    let observe_interval = Duration::from_millis(50);
    Fleet::start(Options { observe_interval, ..on(dialect) }).await.unwrap()
}

fn rules(names: &[&str]) -> Vec<u8> {
    let rules: BTreeMap<_, _> =
        names.iter().map(|&name| (name.to_owned(), vec![format!("{name}.test")])).collect();
    policy(&rules)
}

async fn recorded_policy(fleet: &Fleet, name: &str) -> registry::Policy {
    fleet.record(name).await.unwrap().policy.unwrap()
}

/// Waits until the record's policy has these entries and these are removed.
async fn flows(fleet: &Fleet, name: &str, entries: &[&str], removed: &[&str]) {
    until("the policy in the record", || async {
        let policy = recorded_policy(fleet, name).await;
        let mut held: Vec<_> = policy.entries.iter().map(|entry| entry.name.as_str()).collect();
        held.sort_unstable();
        (held == entries && policy.removed == removed).then_some(())
    })
    .await;
}

/// A whole round of the observer has gone by: what it makes of this witness shows in the record.
async fn a_round(fleet: &Fleet, witness: &str, mark: &str) {
    lab(fleet).user.set_policy(witness, rules(&[mark])).await.unwrap();
    let name = Fleet::name(LAB, witness);
    for mark in [mark, "again"] {
        lab(fleet).user.set_policy(witness, rules(&[mark])).await.unwrap();
        until("the witness's record", || async {
            let policy = recorded_policy(fleet, &name).await;
            (policy.entries.len() == 1 && policy.entries[0].name == mark).then_some(())
        })
        .await;
    }
}

async fn what_changes_flows_in(dialect: Dialect) {
    let fleet = observed(dialect).await;
    let (name, _) = adopted(&fleet, "coder").await;
    let before = recorded(&fleet, &name).await;
    let user = &lab(&fleet).user;
    user.set_policy("coder", rules(&["pypi", "new"])).await.unwrap();
    flows(&fleet, &name, &["new", "pypi"], &["custom-git"]).await;
    user.set_policy("coder", rules(&["custom-git"])).await.unwrap();
    flows(&fleet, &name, &["custom-git"], &["new", "pypi"]).await;
    user.set_policy("coder", rules(&[])).await.unwrap();
    flows(&fleet, &name, &[], &["custom-git", "new", "pypi"]).await;

    let mut after = recorded(&fleet, &name).await;
    assert!(after.generation >= before.generation);
    after.policy.clone_from(&before.policy);
    after.generation = before.generation;
    // The gateway writes a policy that was set back into its spec.
    after.spec.clone_from(&before.spec);
    assert_eq!(after, before, "nothing but spec and policy");
    fleet.stop().await;
}

#[tokio::test]
async fn t14_a_changed_policy_flows_into_the_record_with_what_was_removed_on_0_0() {
    what_changes_flows_in(Dialect::V0_0).await;
}

#[tokio::test]
async fn t14_a_changed_policy_flows_into_the_record_with_what_was_removed_on_0_1() {
    what_changes_flows_in(Dialect::V0_1).await;
}

#[tokio::test]
async fn t20_what_stays_as_it_is_is_not_written_again() {
    let fleet = observed(Dialect::V0_0).await;
    let (name, _) = adopted(&fleet, "coder").await;
    adopted(&fleet, "witness").await;
    let before = fleet.record(&name).await.unwrap();
    a_round(&fleet, "witness", "one").await;
    a_round(&fleet, "witness", "two").await;
    let policy_calls = lab(&fleet).control.mutating_calls();
    assert!(policy_calls.iter().all(|call| call.name == "witness"), "{policy_calls:?}");
    assert_eq!(fleet.record(&name).await.unwrap(), before, "not even a new revision");
    fleet.stop().await;
}

#[tokio::test]
async fn t06_another_incarnation_never_flows_in() {
    let fleet = observed(Dialect::V0_0).await;
    let (name, id) = adopted(&fleet, "coder").await;
    adopted(&fleet, "witness").await;
    let before = fleet.record(&name).await.unwrap();
    let stranger = lab(&fleet).control.replace("coder").await.unwrap();
    assert_ne!(stranger, id);
    assert!(lab(&fleet).control.wait_phase("coder", Phase::Ready, PATIENCE).await);
    lab(&fleet).user.set_policy("coder", rules(&["evil"])).await.unwrap();
    a_round(&fleet, "witness", "one").await;
    a_round(&fleet, "witness", "two").await;
    assert_eq!(fleet.record(&name).await.unwrap(), before);
    fleet.stop().await;
}

#[tokio::test]
async fn t20_what_is_absent_failed_or_stopped_makes_no_record_say_less() {
    let fleet = observed(Dialect::V0_0).await;
    adopted(&fleet, "witness").await;
    let (gone, _) = lost(&fleet, "gone").await;
    let (failed, _) = adopted(&fleet, "failed").await;
    let (stopped, _) = adopted(&fleet, "stopped").await;
    let names = [gone, failed, stopped];
    let mut before = Vec::new();
    for name in &names {
        before.push(fleet.record(name).await.unwrap());
    }
    lab(&fleet).control.kill("failed").await.unwrap();
    stop(&fleet, "stopped").await;
    a_round(&fleet, "witness", "one").await;
    a_round(&fleet, "witness", "two").await;
    for (name, before) in names.iter().zip(before) {
        assert_eq!(fleet.record(name).await.unwrap(), before);
    }
    fleet.stop().await;
}

#[tokio::test]
async fn t20_an_answer_without_its_spec_makes_no_record_say_less() {
    let fleet = observed(Dialect::V0_0).await;
    let (name, _) = adopted(&fleet, "coder").await;
    adopted(&fleet, "witness").await;
    let before = fleet.record(&name).await.unwrap();
    lab(&fleet).control.fault(Fault::on("GetSandbox", Effect::OmitSpec).for_sandbox("coder"));
    a_round(&fleet, "witness", "one").await;
    a_round(&fleet, "witness", "two").await;
    assert_eq!(fleet.record(&name).await.unwrap(), before);
    fleet.stop().await;
}

#[tokio::test]
async fn t20_nothing_is_written_while_a_recovery_holds_the_record() {
    let undetermined_timeout = Duration::from_millis(300);
    let park_retry = Duration::from_mins(1);
    let observe_interval = Duration::from_millis(50);
    let options =
        Options { observe_interval, undetermined_timeout, park_retry, ..on(Dialect::V0_0) };
    let fleet = Fleet::start(options).await.unwrap();
    adopted(&fleet, "witness").await;
    let (name, _) = lost(&fleet, "coder").await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::on("CreateSandbox", Effect::HangAfter).times(1));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    until("it is made", || async { control.sandbox("coder").map(drop) }).await;
    control.down(Restart::Killed).await.unwrap();
    reaches(&fleet, &open.name, State::Parked).await;
    control.up().await.unwrap();
    for sandbox in ["coder", "witness"] {
        assert!(control.wait_phase(sandbox, Phase::Ready, PATIENCE).await);
    }
    // What the recovery has not proven yet is changed under it.
    lab(&fleet).user.set_policy("coder", rules(&["evil"])).await.unwrap();
    let before = fleet.record(&name).await.unwrap();
    assert_eq!(before.state(), registry::sandbox::State::Recovering);
    a_round(&fleet, "witness", "one").await;
    a_round(&fleet, "witness", "two").await;
    assert_eq!(fleet.record(&name).await.unwrap(), before);

    control.clear_calls();
    let ended = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    assert_eq!(mutations(&fleet), ["UpdateConfig"], "the recorded policy is put back in force");
    flows(&fleet, &name, &["custom-git", "pypi"], &[]).await;
    fleet.stop().await;
}

#[tokio::test]
async fn t21_what_is_destroyed_is_not_observed_back_into_a_record() {
    let fleet = observed(Dialect::V0_0).await;
    let (name, _) = adopted(&fleet, "coder").await;
    adopted(&fleet, "witness").await;
    fleet.destroy(&name).await.unwrap();
    let tombstone = fleet.record(&name).await.unwrap();
    // The name is used again by somebody who does not want it recorded.
    fleet.sandbox(LAB, "coder", &seed()).await.unwrap();
    a_round(&fleet, "witness", "one").await;
    a_round(&fleet, "witness", "two").await;
    assert_eq!(fleet.record(&name).await.unwrap(), tombstone);
    fleet.stop().await;
}
