//! T14: the policy after a recovery is the recorded one: no entry more, no entry less.

use std::collections::BTreeMap;

use salvor_devgateway::{
    Dialect, Effect, Fault,
    user::{Seed, policy},
};
use salvor_proto::{
    recovery::v1::{part::Outcome, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::{Fleet, Options, wait::until};
use tonic::Code;

use crate::{
    given::{LAB, adopted, fleet_on, lab, lose, lost, mutations, on, policy_in_force, recorded},
    support::{AUTO, seed},
};

fn rules(names: &[&str]) -> BTreeMap<String, Vec<String>> {
    names.iter().map(|&name| (name.to_owned(), vec![format!("{name}.test")])).collect()
}

fn names(policy: &registry::Policy) -> Vec<&str> {
    let mut names: Vec<_> = policy.entries.iter().map(|entry| entry.name.as_str()).collect();
    names.sort_unstable();
    names
}

/// What was recorded, and what is in force after a recovery.
async fn before_and_after(
    fleet: &Fleet,
    rules: Option<BTreeMap<String, Vec<String>>>,
) -> (registry::Policy, registry::Policy) {
    let seed = Seed { rules, ..seed() };
    fleet.sandbox(LAB, "coder", &seed).await.unwrap();
    let name = Fleet::name(LAB, "coder");
    let recorded = fleet.adopt(&name).await.unwrap().policy.unwrap();
    lose(fleet, "coder").await;
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    let result = recovery.result.unwrap();
    assert_eq!(result.policy.unwrap().outcome(), Outcome::Proven);
    (recorded, policy_in_force(fleet, "coder", &result.live_id).await)
}

#[tokio::test]
async fn t14_built_in_and_custom_entries_come_back_exactly() {
    for dialect in [Dialect::V0_0, Dialect::V0_1] {
        let fleet = fleet_on(dialect).await;
        let (before, after) = before_and_after(&fleet, Some(rules(&["pypi", "custom"]))).await;
        assert_eq!(names(&before), ["custom", "pypi"]);
        assert_eq!(before.policy_hash, after.policy_hash);
        assert_eq!(before.entries, after.entries);
        fleet.stop().await;
    }
}

#[tokio::test]
async fn t14_a_policy_without_entries_is_recorded_and_comes_back_as_such() {
    let fleet = Fleet::lab().await.unwrap();
    let (before, after) = before_and_after(&fleet, Some(BTreeMap::new())).await;
    assert!(before.entries.is_empty() && !before.policy_hash.is_empty(), "{before:#?}");
    assert_eq!(before.policy_hash, after.policy_hash);
    assert!(after.entries.is_empty());
    fleet.stop().await;
}

#[tokio::test]
async fn t14_the_gateways_own_default_is_recorded_as_what_it_was() {
    let fleet = Fleet::lab().await.unwrap();
    let (before, after) = before_and_after(&fleet, None).await;
    assert!(!before.policy_hash.is_empty());
    assert_eq!(before.policy_hash, after.policy_hash);
    fleet.stop().await;
}

/// The policy at create and the one in force differ: the user took an entry out and put one in.
async fn removed_stays_removed(dialect: Dialect) {
    let observe_interval = std::time::Duration::from_millis(50);
    let fleet = Fleet::start(Options { observe_interval, ..on(dialect) }).await.unwrap();
    let (name, _) = adopted(&fleet, "coder").await;
    lab(&fleet).user.set_policy("coder", policy(&rules(&["pypi", "late"]))).await.unwrap();
    let recorded = until("the change in the record", || async {
        let recorded = fleet.record(&name).await.unwrap().policy.unwrap();
        (names(&recorded) == ["late", "pypi"]).then_some(recorded)
    })
    .await;
    assert_eq!(recorded.removed, ["custom-git"]);
    lose(&fleet, "coder").await;
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    let after = policy_in_force(&fleet, "coder", &recovery.result.unwrap().live_id).await;
    assert_eq!(after.policy_hash, recorded.policy_hash);
    assert_eq!(names(&after), ["late", "pypi"], "nothing that was removed is back");
    assert_eq!(fleet.record(&name).await.unwrap().policy.unwrap().removed, ["custom-git"]);
    fleet.stop().await;
}

#[tokio::test]
async fn t14_what_was_removed_while_it_lived_does_not_come_back_on_0_0() {
    removed_stays_removed(Dialect::V0_0).await;
}

#[tokio::test]
async fn t14_what_was_removed_while_it_lived_does_not_come_back_on_0_1() {
    removed_stays_removed(Dialect::V0_1).await;
}

/// Between create and proof somebody sets another policy.
async fn changed_on_the_way(fleet: &Fleet) -> String {
    let (name, _) = adopted(fleet, "coder").await;
    crate::given::stop(fleet, "coder").await;
    // It comes up with another policy than the recorded one.
    lab(fleet).user.set_policy("coder", policy(&rules(&["evil"]))).await.unwrap();
    lab(fleet).control.clear_calls();
    name
}

#[tokio::test]
async fn t14_another_policy_in_force_is_replaced_by_the_recorded_one() {
    let fleet = Fleet::lab().await.unwrap();
    let name = changed_on_the_way(&fleet).await;
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["StartSandbox", "UpdateConfig"]);
    let result = recovery.result.unwrap();
    assert_eq!(result.policy.unwrap().outcome(), Outcome::Proven);
    let after = policy_in_force(&fleet, "coder", &result.live_id).await;
    let recorded = fleet.record(&name).await.unwrap().policy.unwrap();
    assert_eq!(after.policy_hash, recorded.policy_hash);
    assert_eq!(names(&after), ["custom-git", "pypi"]);
    fleet.stop().await;
}

#[tokio::test]
async fn t14_a_policy_that_cannot_be_applied_is_owed_and_said() {
    let fleet = Fleet::lab().await.unwrap();
    let name = changed_on_the_way(&fleet).await;
    let before = recorded(&fleet, &name).await;
    let control = &lab(&fleet).control;
    control.fault(Fault::fail("UpdateConfig", Code::InvalidArgument, "not on a live sandbox"));
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Degraded, "{recovery:#?}");
    let part = recovery.result.unwrap().policy.unwrap();
    assert_eq!(part.outcome(), Outcome::Pending);
    assert!(part.message.contains("not the recorded one"), "{}", part.message);
    assert_eq!(recorded(&fleet, &name).await, before, "the obligation stays");
    fleet.stop().await;
}

#[tokio::test]
async fn t14_a_lost_reply_to_setting_the_policy_is_read_back() {
    let fleet = Fleet::lab().await.unwrap();
    let name = changed_on_the_way(&fleet).await;
    lab(&fleet).control.fault(Fault::on("UpdateConfig", Effect::LoseReply).times(1));
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["StartSandbox", "UpdateConfig"]);
    fleet.stop().await;
}

#[tokio::test]
async fn t14_create_carries_the_recorded_policy_from_the_first_moment() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let recovery = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(mutations(&fleet), ["CreateSandbox"], "no policy was set afterwards");
    let view = lab(&fleet).control.sandbox("coder").unwrap();
    assert_eq!(view.policy_version, 1);
    let recorded = fleet.record(&name).await.unwrap().policy.unwrap();
    assert_eq!(view.policy_hash, recorded.policy_hash);
    fleet.stop().await;
}
