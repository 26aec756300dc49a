//! What a journal asks for without saying what came of it, whichever version wrote it.
//!
//! Where an event is one of this version's saga, that says what it is about; otherwise its name does, as far as names go: what
//! cannot be told to have come to an end is in doubt.

use std::collections::{BTreeMap, BTreeSet};

use salvor_core::{
    SagaKind,
    id::SnapshotName,
    retirement::Doubt,
    saga::{
        Narrate as _, Saga, copy::Copy, destroy::Destroy, entry::is_entry, prune::Prune,
        rebuild::Rebuild, restore::Restore, revive::Revive, snapshot::Snapshot,
        stale::StaleRecovery,
    },
};
use serde_json::Value;

use crate::journal::{Found, Row};

/// Steps that change the registry only, where the record itself shows what came of them.
const OF_THE_RECORD: [&str; 7] =
    ["claim", "begin", "note", "commit", "register", "bury", "restore_record"];

/// What is in doubt, in the order in which it was asked for.
pub(super) fn of(found: &Found) -> Vec<Doubt> {
    let rows: Vec<&Row> = found.events.iter().filter(|row| !is_entry(&row.event)).collect();
    let told = match found.header.as_ref().ok().map(|header| header.saga()) {
        Some(SagaKind::StaleRecovery) => told::<StaleRecovery>(&rows),
        Some(SagaKind::Revive) => told::<Revive>(&rows),
        Some(SagaKind::Destroy) => told::<Destroy>(&rows),
        Some(SagaKind::Rebuild) => told::<Rebuild>(&rows),
        Some(SagaKind::Snapshot) => told::<Snapshot>(&rows),
        Some(SagaKind::Restore) => told::<Restore>(&rows),
        Some(SagaKind::Copy) => told::<Copy>(&rows),
        Some(SagaKind::Prune) => told::<Prune>(&rows),
        None => rows.iter().map(|row| by_name(row)).collect(),
    };
    open(told)
}

fn open(told: Vec<Told>) -> Vec<Doubt> {
    let mut open = BTreeMap::new();
    for Told { seq, step, what } in told {
        match what {
            What::Asked => {
                open.insert(step, seq);
            }
            What::Doubtful => {
                open.entry(step).or_insert(seq);
            }
            What::Over => open.retain(|asked, _| !ends(&step, asked)),
        }
    }
    let mut doubts: Vec<Doubt> = open
        .into_iter()
        .filter(|(step, _)| !OF_THE_RECORD.contains(&step.as_str()))
        .map(|(step, seq)| Doubt { step, seq })
        .collect();
    doubts.sort_by_key(|doubt| doubt.seq);
    doubts
}

/// The snapshots of its gateway that its events name.
pub(super) fn snapshots(found: &Found) -> Vec<SnapshotName> {
    let prefix = format!("{}/snapshots/", found.target.owner());
    let strings = found.events.iter().flat_map(|row| row.event.split('"'));
    let names: BTreeSet<&str> = strings.filter(|text| text.starts_with(&prefix)).collect();
    names.into_iter().map(SnapshotName::from).collect()
}

struct Told {
    seq: i64,
    step: String,
    what: What,
}

enum What {
    Asked,
    Doubtful,
    Over,
}

fn told<S: Saga>(rows: &[&Row]) -> Vec<Told> {
    let of = |row: &&Row| {
        let Ok(event) = serde_json::from_str::<S::Event>(&row.event) else {
            return Some(by_name(row));
        };
        let what = match event.outcome() {
            "intended" => What::Asked,
            "doubtful" => What::Doubtful,
            _ => What::Over,
        };
        Some(Told { seq: row.seq, step: event.step()?.to_owned(), what })
    };
    rows.iter().filter_map(of).collect()
}

/// Whether an outcome of one step ends what was asked for in the other: its own, one that is found out by looking, or one that
/// is told by its name alone, as `created` is of `create`.
fn ends(step: &str, asked: &str) -> bool {
    let found_out = step.strip_prefix("resolve_").unwrap_or(step);
    found_out.starts_with(asked) || asked.starts_with(&format!("{found_out}_"))
}

/// By the event's own name: `CreateIntended`, `{"Capture":"Intended"}`. Nobody knows what one asks for that is no JSON.
fn by_name(row: &Row) -> Told {
    let Ok(event) = serde_json::from_str::<Value>(&row.event) else {
        return Told { seq: row.seq, step: "unreadable".to_owned(), what: What::Asked };
    };
    let (mut name, mut inner) = (String::new(), &event);
    while let Value::Object(fields) = inner
        && let (1, Some((variant, next))) = (fields.len(), fields.iter().next())
    {
        name.push_str(variant);
        inner = next;
    }
    name.push_str(inner.as_str().unwrap_or_default());
    let (step, what) = if let Some((step, _)) = name.split_once("Intended") {
        (step, What::Asked)
    } else if let Some((step, _)) = name.split_once("Doubtful") {
        (step, What::Doubtful)
    } else {
        (name.as_str(), What::Over)
    };
    Told { seq: row.seq, step: snake(step), what }
}

fn snake(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(events: &[&str]) -> Vec<Row> {
        let row = |(seq, event): (i64, &&str)| Row {
            seq,
            at_ms: 5,
            event: (*event).to_owned(),
            terminal: false,
        };
        (1..).zip(events).map(row).collect()
    }

    /// By this version's words, and by names alone.
    fn doubtful(events: &[&str]) -> (Vec<String>, Vec<String>) {
        let rows = rows(events);
        let rows: Vec<&Row> = rows.iter().collect();
        let shown = |told: Vec<Told>| {
            open(told).into_iter().map(|doubt| format!("{} {}", doubt.step, doubt.seq)).collect()
        };
        (shown(told::<StaleRecovery>(&rows)), shown(rows.iter().map(|r| by_name(r)).collect()))
    }

    #[test]
    fn what_was_asked_for_is_in_doubt_until_its_outcome_is_known() {
        let claimed = ["\"ClaimIntended\"", "{\"Claimed\":{}}", "\"CreateIntended\""];
        for (more, doubt) in [
            (&[][..], true),
            (&["{\"CreateDoubtful\":\"GatewayFailed\"}"], true),
            (&["{\"CreateDoubtful\":\"GatewayFailed\"}", "{\"Parked\":\"NotReadyInTime\"}"], true),
            (&["{\"Created\":\"sb-2\"}"], false),
            (&["{\"CreateRefused\":\"Invalid\"}"], false),
        ] {
            let events = [&claimed[..], more].concat();
            let wanted: Vec<String> = doubt.then(|| "create 3".to_owned()).into_iter().collect();
            assert_eq!(doubtful(&events), (wanted.clone(), wanted), "{events:?}");
        }
        // That it was found out by looking is a matter of this version's words.
        let found = [&claimed[..], &["{\"CreateDoubtful\":\"GatewayFailed\"}", "\"NotCreated\""]];
        assert_eq!(doubtful(&found.concat()), (vec![], vec!["create 3".to_owned()]));
    }

    #[test]
    fn what_cannot_be_read_is_in_doubt_where_it_asks_for_something() {
        let (known, named) = doubtful(&["\"TeleportIntended\"", "{\"Capture\":\"Intended\"}", "{"]);
        assert_eq!(known, ["teleport 1", "take_snapshot 2", "unreadable 3"]);
        assert_eq!(named, ["teleport 1", "capture 2", "unreadable 3"]);
    }

    #[test]
    fn what_only_the_record_shows_is_none() {
        assert_eq!(doubtful(&["\"ClaimIntended\""]), (vec![], vec![]));
    }
}
