//! Every rule complains of a forged history that breaks it, and of nothing in one that breaks none.

mod forge;

use salvor_core::SagaKind;
use salvor_core::saga::{Ending, Setback};
use salvor_devgateway::DeedKind;
use salvor_proto::recovery::v1::recovery::State;
use salvor_proto::registry::v1::sandbox;
use salvor_recovery_orchestrator::folded::Standing;

use super::{ALL, broken};
use crate::client::record_name;
use crate::history::History;
use forge::{BYSTANDER_ID, FIRST_ID, RECOVERY, SECOND_ID, TARGET, deed, journaled, sound, stamped};

/// The rules that a history breaks.
fn rules(history: &History) -> Vec<&'static str> {
    let broken = ALL.iter().filter(|check| !(check.complaints)(history).is_empty());
    broken.map(|check| check.name).collect()
}

#[test]
fn a_sound_history_breaks_no_rule() {
    assert_eq!(broken(&sound()), Vec::<String>::new());
}

#[test]
fn a_recovery_that_goes_on_for_ever_is_found() {
    let mut history = sound();
    history.seen.told[0].set_state(State::Running);
    history.seen.told[0].done = false;
    let mut folded = history.journaled[0].folded.take().unwrap();
    folded.standing = Standing::Running;
    history.journaled[0].folded = Some(folded);
    assert_eq!(rules(&history), ["every recovery ends"]);
}

#[test]
fn a_parked_recovery_that_no_person_is_needed_for_is_found() {
    let mut history = sound();
    history.seen.told[0].set_state(State::Parked);
    history.seen.told[0].done = false;
    assert!(rules(&history).contains(&"every recovery ends"));
}

#[test]
fn a_state_that_its_journal_does_not_have_is_found() {
    let mut history = sound();
    let folded = history.journaled[0].folded.as_mut().unwrap();
    folded.standing = Standing::Ended(Ending::RolledBack(Setback::Cancelled));
    assert_eq!(rules(&history), ["a recovery is what its journal says"]);
}

#[test]
fn a_journal_that_does_not_fold_is_found() {
    let mut history = sound();
    history.journaled[0].folded = None;
    assert_eq!(rules(&history), ["a recovery is what its journal says"]);
}

#[test]
fn a_recovery_that_nobody_speaks_of_is_found() {
    let mut history = sound();
    history.seen.told.clear();
    assert_eq!(rules(&history), ["a recovery is what its journal says"]);
}

#[test]
fn a_deletion_that_nothing_permits_is_found() {
    let mut history = sound();
    history.seen.deeds.push(deed(9_000, DeedKind::Delete, TARGET, FIRST_ID));
    assert_eq!(rules(&history), ["only what a plan names is deleted"]);
}

#[test]
fn a_destroy_permits_the_deletion_of_its_own_incarnation_only() {
    let mut history = sound();
    history.seen.deeds.push(deed(9_000, DeedKind::Delete, TARGET, FIRST_ID));
    let mut destroy = journaled("recoveries/2", SagaKind::Destroy);
    history.seen.told.push(forge::told(&destroy));
    history.journaled.push(destroy.clone());
    assert_eq!(rules(&history), Vec::<&str>::new());
    destroy.live_id = Some(SECOND_ID.to_owned());
    history.journaled[1] = destroy;
    assert_eq!(rules(&history), ["only what a plan names is deleted"]);
}

#[test]
fn a_stranger_that_nobody_could_have_seen_is_the_known_race() {
    let mut history = sound();
    let stranger = "stranger";
    history.seen.deeds.push(deed(8_000, DeedKind::Create, TARGET, stranger));
    history.seen.deeds.push(deed(9_000, DeedKind::Delete, TARGET, stranger));
    assert_eq!(rules(&history), Vec::<&str>::new());
    history.seen.calls.push(forge::call(8_500, "GetSandbox", TARGET));
    assert_eq!(rules(&history), ["only what a plan names is deleted"]);
}

#[test]
fn a_start_that_nothing_permits_is_found() {
    let mut history = sound();
    history.seen.deeds.push(deed(9_000, DeedKind::Start, TARGET, SECOND_ID));
    assert_eq!(rules(&history), ["only what a plan names is started"]);
}

#[test]
fn a_create_without_a_stamp_is_found() {
    let mut history = sound();
    history.seen.calls.push(forge::call(9_000, "CreateSandbox", TARGET));
    assert_eq!(rules(&history), ["every create is stamped, and known"]);
}

#[test]
fn a_create_by_a_plan_that_did_not_say_so_is_found() {
    let mut history = sound();
    history.journaled[0].digest = "another".to_owned();
    assert_eq!(rules(&history), ["every create is stamped, and known"]);
}

#[test]
fn two_sandboxes_of_one_record_are_found_unless_one_was_hidden() {
    let mut history = sound();
    history.seen.deeds.push(stamped(9_000, TARGET, "third"));
    history.seen.orphans.push("third".to_owned());
    assert_eq!(rules(&history), ["no two of a record's sandboxes run"]);
    history.seen.orphaned.push("third".to_owned());
    assert_eq!(rules(&history), Vec::<&str>::new());
}

#[test]
fn a_create_at_another_gateway_is_found() {
    let mut history = sound();
    for deed in &mut history.seen.deeds {
        deed.store_id = "another".to_owned();
    }
    assert_eq!(rules(&history), ["only the pinned gateway is touched"]);
}

#[test]
fn a_fence_token_that_falls_is_found_for_one_record_only() {
    let mut history = sound();
    history.sent.push(forge::sent(&record_name("other"), 1));
    assert_eq!(rules(&history), Vec::<&str>::new());
    history.sent.push(forge::sent(&record_name(TARGET), 1));
    assert_eq!(rules(&history), ["fence tokens never fall"]);
}

#[test]
fn a_record_that_says_something_else_is_found() {
    let mut history = sound();
    let version = history.seen.versions.last_mut().unwrap();
    version.labels.insert("team".to_owned(), "another".to_owned());
    assert_eq!(rules(&history), ["records say what they said"]);
}

#[test]
fn a_record_that_speaks_of_a_stranger_is_found() {
    let mut history = sound();
    history.seen.versions.last_mut().unwrap().live_id = "stranger".to_owned();
    assert_eq!(rules(&history), ["records speak of what a recovery made"]);
}

#[test]
fn a_record_that_is_left_in_between_is_found() {
    let mut history = sound();
    let record = history.seen.after.get_mut(&record_name(TARGET)).unwrap();
    record.set_state(sandbox::State::Recovering);
    assert_eq!(rules(&history), ["records speak of what a recovery made"]);
}

#[test]
fn a_mark_of_nobody_and_one_that_was_taken_over_are_found() {
    let mut history = sound();
    history.seen.versions[2].recovery = "recoveries/nobody".to_owned();
    assert_eq!(rules(&history), ["a mark is its own recovery's"]);
    let mut history = sound();
    let second = journaled("recoveries/2", SagaKind::Revive);
    let mut taken_over = history.seen.versions[2].clone();
    taken_over.recovery.clone_from(&second.name);
    history.seen.told.push(forge::told(&second));
    history.journaled.push(second);
    history.seen.versions.insert(3, taken_over);
    assert_eq!(rules(&history), ["a mark is its own recovery's"]);
}

#[test]
fn a_touched_bystander_is_found() {
    let mut history = sound();
    history.seen.deeds.push(deed(9_000, DeedKind::Stop, "bystander", BYSTANDER_ID));
    assert_eq!(rules(&history), ["bystanders and the default stay"]);
    let mut history = sound();
    history.seen.sandboxes.retain(|view| view.id != BYSTANDER_ID);
    assert_eq!(rules(&history), ["bystanders and the default stay"]);
    let mut history = sound();
    history.seen.after.get_mut(&record_name("bystander")).unwrap().revision += 1;
    assert_eq!(rules(&history), ["bystanders and the default stay"]);
}

#[test]
fn a_default_that_moved_is_found() {
    let mut history = sound();
    history.seen.default_after = Some(record_name("bystander"));
    assert_eq!(rules(&history), ["bystanders and the default stay"]);
}

#[test]
fn the_digest_covers_what_happened_and_when() {
    let digest = sound().digest();
    assert_eq!(digest, sound().digest());
    let mut later = sound();
    later.seen.calls[0].at_ms += 1;
    assert_ne!(digest, later.digest());
    let mut other = sound();
    other.seen.deeds[0].id = RECOVERY.to_owned();
    assert_ne!(digest, other.digest());
}
