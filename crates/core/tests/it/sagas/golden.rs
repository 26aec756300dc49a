//! How events are stored. Journals outlive versions, so these files only ever grow: a line that changes is a journal that
//! can no longer be read.

use std::fmt::Debug;

use salvor_core::saga::{Cause, Narrate};
use serde::{Serialize, de::DeserializeOwned};

use super::events;

pub(super) fn stored_as<E>(events: &[E], golden: &str)
where
    E: Serialize + DeserializeOwned + PartialEq + Debug + Narrate,
{
    let lines: Vec<String> = events.iter().map(|e| serde_json::to_string(e).unwrap()).collect();
    let stored: Vec<&str> = golden.lines().collect();
    assert_eq!(lines, stored, "as it should read:\n{}\n", lines.join("\n"));
    for (event, line) in events.iter().zip(stored) {
        assert_eq!(event, &serde_json::from_str::<E>(line).unwrap(), "{line}");
        reads_well(event);
    }
}

/// A row of a list of steps: a word for what came of it, and a sentence without the insides of the program.
fn reads_well<E: Narrate + Debug>(event: &E) {
    let snake = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    assert!(snake(event.outcome()) && !event.outcome().is_empty(), "{event:?}");
    assert!(event.step().is_none_or(snake), "{event:?}");
    let detail = event.detail();
    assert!(!detail.contains("{ ") && !detail.contains("Some("), "{event:?}: {detail}");
    let intent = format!("{event:?}").contains("Intended");
    assert_eq!(intent, event.outcome() == "intended", "{event:?}");
}

#[test]
fn a_stale_recoverys_journal_is_stored_as_ever() {
    stored_as(&events::stale(), include_str!("golden/stale.jsonl"));
}

#[test]
fn a_rebuilds_journal_is_stored_as_ever() {
    stored_as(&events::rebuild(), include_str!("golden/rebuild.jsonl"));
}

#[test]
fn a_revives_journal_is_stored_as_ever() {
    stored_as(&events::revive(), include_str!("golden/revive.jsonl"));
}

#[test]
fn a_destroys_journal_is_stored_as_ever() {
    stored_as(&events::destroy(), include_str!("golden/destroy.jsonl"));
}

/// They stand in events of every saga. What people read of one is a sentence that tells it from all others.
#[test]
fn causes_are_stored_as_ever_and_each_says_what_it_is() {
    let stored = Cause::ALL.map(|cause| serde_json::to_string(&cause).unwrap());
    let golden: Vec<&str> = include_str!("golden/causes.jsonl").lines().collect();
    assert_eq!(stored.to_vec(), golden);
    for cause in Cause::ALL {
        let others = || Cause::ALL.into_iter().filter(|other| *other != cause);
        assert!(others().all(|other| other.sentence() != cause.sentence()), "{cause:?}");
        assert!(others().all(|other| other.as_str() != cause.as_str()), "{cause:?}");
        assert!(!cause.remedy().is_empty() && !cause.remedy().contains('#'), "{cause:?}");
    }
}

#[test]
fn what_is_not_an_event_is_not_read_as_one() {
    use salvor_core::saga::{destroy, rebuild, revive, stale};
    for line in ["\"Deleted2\"", "{}", "null", "{\"Created\":7}", "\"Created\"", ""] {
        assert!(serde_json::from_str::<stale::Event>(line).is_err(), "{line}");
        assert!(serde_json::from_str::<rebuild::Event>(line).is_err(), "{line}");
        assert!(serde_json::from_str::<revive::Event>(line).is_err(), "{line}");
        assert!(serde_json::from_str::<destroy::Event>(line).is_err(), "{line}");
    }
}
