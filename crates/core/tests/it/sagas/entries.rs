//! The laws of entries, for every saga: they stand between its events and change nothing of them, and nothing follows the last.

use salvor_core::{
    Fact, Timestamp, Why,
    retirement::{Doubt, Look, Retirement},
    saga::{
        Saga, copy, destroy,
        entry::{Entry, Irregular, Life, NotAnEvent, events, is_entry, life},
        fold, prune, rebuild, restore, revive, snapshot, stale,
    },
};

use super::{events as samples, snapshots};

pub(super) fn retirement() -> Retirement {
    Retirement {
        reason: "SAGA_VERSION_OLDER".to_owned(),
        message: "too old".to_owned(),
        look: Look {
            now: Timestamp(7),
            record: Fact::known(None, Timestamp(6)),
            gateway: Fact::unknown(Why::NotRegistered, "gateways/lab"),
            live: Fact::unknown(Why::NotRegistered, "gateways/lab"),
            copy: None,
        },
        doubts: vec![Doubt { step: "create".to_owned(), seq: 3 }],
        snapshots: vec!["gateways/lab/snapshots/5a17".into()],
        revision: "3-ab".to_owned(),
        request_id: None,
        by: "0.1.0".to_owned(),
    }
}

fn row(entry: &Entry) -> String {
    serde_json::to_string(entry).unwrap()
}

fn retiring() -> String {
    row(&Entry::Retiring(Box::new(retirement())))
}

fn retired() -> String {
    row(&Entry::Retired { unmarked: true })
}

fn continued(saga_version: u32) -> String {
    row(&Entry::Continued { saga_version })
}

fn lives(began: u32, rows: &[String]) -> Result<Life, Irregular> {
    life(began, rows.iter().map(String::as_str))
}

/// With every event of a saga that there is, whatever it may follow.
fn held<S: Saga>(sample: &[S::Event], journal: &[S::Event]) {
    let text = |event: &S::Event| serde_json::to_string(event).unwrap();
    assert!(sample.iter().all(|event| !is_entry(&text(event))), "{:?}", S::KIND);
    let rows: Vec<String> = journal.iter().map(text).collect();
    let state = fold::<S>(journal).unwrap();
    for at in 0..=rows.len() {
        let mut mixed = rows.clone();
        mixed.insert(at, continued(8));
        let read = events::<S>(mixed.iter().map(String::as_str)).unwrap();
        assert_eq!(fold::<S>(&read).unwrap(), state, "{:?} at {at}", S::KIND);
        let whole = Life { version: 8, retirement: None, retired: false };
        assert_eq!(lives(7, &mixed), Ok(whole));
    }
    let mut given_up = [rows, vec![retiring()]].concat();
    ends::<S>(sample, &given_up, &[retiring(), continued(9)]);
    given_up.push(retired());
    let life = lives(1, &given_up).unwrap();
    assert_eq!((life.retirement, life.retired), (Some(retirement()), true));
    ends::<S>(sample, &given_up, &[retiring(), retired(), continued(9)]);
}

/// Nothing of the saga, and none of these entries, can follow.
fn ends<S: Saga>(sample: &[S::Event], rows: &[String], entries: &[String]) {
    let next = sample.iter().map(|event| serde_json::to_string(event).unwrap());
    for next in next.chain(entries.iter().cloned()) {
        let more = [rows, std::slice::from_ref(&next)].concat();
        assert_eq!(lives(1, &more), Err(Irregular::Misplaced(more.len())), "{next}");
    }
}

#[test]
fn nothing_follows_a_retirement_and_no_saga_ever_sees_one() {
    held::<stale::StaleRecovery>(&samples::stale(), &[stale::Event::ClaimIntended]);
    held::<rebuild::Rebuild>(&samples::rebuild(), &[rebuild::Event::ClaimIntended]);
    held::<revive::Revive>(&samples::revive(), &[revive::Event::ClaimIntended]);
    held::<destroy::Destroy>(&samples::destroy(), &[destroy::Event::ClaimIntended]);
    held::<snapshot::Snapshot>(&snapshots::of_a_snapshot(), &[]);
    held::<restore::Restore>(&snapshots::of_a_restore(), &[]);
    held::<copy::Copy>(&snapshots::of_a_copy(), &[]);
    held::<prune::Prune>(&snapshots::of_a_prune(), &[prune::Event::Intended]);
}

#[test]
fn only_a_newer_version_continues() {
    for version in [0, 1, 2] {
        assert_eq!(lives(2, &[continued(version)]), Err(Irregular::Misplaced(1)), "{version}");
    }
    assert_eq!(lives(2, &[continued(3), continued(5)]).unwrap().version, 5);
    assert_eq!(lives(2, &[continued(3), continued(3)]), Err(Irregular::Misplaced(2)));
    assert_eq!(lives(2, &[retired()]), Err(Irregular::Misplaced(1)), "it was not given up");
}

/// What a version writes that is not there yet is told from what nobody can have written.
#[test]
fn what_has_no_word_here_is_newer_and_what_is_no_json_is_damage() {
    for newer in ["{\"handed_over\":{\"to\":\"b\"}}", "\"compacted\"", "{\"retired\":\"twice\"}"] {
        assert_eq!(lives(1, &[newer.to_owned()]), Err(Irregular::Newer(1)), "{newer}");
    }
    for torn in ["{\"retiring\":{\"rea", "\"cont"] {
        assert_eq!(lives(1, &[torn.to_owned()]), Err(Irregular::Unreadable(1)), "{torn}");
    }
    for event in ["\"Nonsense\"", "null", "{}", "", "{", "7", "[]"] {
        assert_eq!(lives(1, &[event.to_owned()]).unwrap().version, 1, "{event}");
        let NotAnEvent { row, .. } = events::<prune::Prune>(["\"Intended\"", event]).unwrap_err();
        assert_eq!(row, 2, "{event}");
    }
}

/// A journal that nothing can go on with ends all the same, whatever stands in it.
#[test]
fn what_is_given_up_is_not_read_any_more() {
    for before in
        ["{\"handed_over\":{}}", "\"cont", "\"Nonsense\"", "null", &continued(0), &retired()]
    {
        let open = [before.to_owned(), retiring()];
        let life = lives(3, &open).unwrap();
        assert_eq!((life.version, life.retirement, life.retired), (3, Some(retirement()), false));
        let over = [open.as_slice(), &[retired()]].concat();
        assert!(lives(3, &over).unwrap().retired, "{before}");
        assert_eq!(
            lives(3, &[over, vec![before.to_owned()]].concat()),
            Err(Irregular::Misplaced(4))
        );
    }
}

/// They outlive every version, so they only ever grow, as the golden files of events do.
#[test]
fn entries_are_stored_as_ever() {
    let lines = [continued(2), retiring(), row(&Entry::Retired { unmarked: false }), retired()];
    let golden: Vec<&str> = include_str!("golden/entries.jsonl").lines().collect();
    assert_eq!(lines.to_vec(), golden, "as it should read:\n{}\n", lines.join("\n"));
    for line in golden {
        assert_eq!(row(&serde_json::from_str(line).unwrap()), line);
    }
}
