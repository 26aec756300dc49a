use salvor_core::{Limits, Planned, Request, id::SnapshotName, plan::plan};
use salvor_testkit::store::{Store, skipped_on_a_server};

use super::*;
use std::time::Duration;

mod silent;

fn evidence() -> Evidence {
    use salvor_core::{Fact, Timestamp, Why};
    Evidence {
        now: Timestamp(1_000),
        target: "gateways/g/workspaces/w/sandboxes/s".parse().unwrap(),
        record: Fact::unknown(Why::NotAsked, ""),
        gateway: Fact::unknown(Why::Unavailable, ""),
        live: Fact::unknown(Why::Unavailable, ""),
        providers: Fact::unknown(Why::NotAsked, ""),
        snapshot: Fact::unknown(Why::NotAsked, ""),
        repository: true,
        compute: Fact::unknown(Why::NotAsked, ""),
        copy: Fact::unknown(Why::NotAsked, ""),
        doomed: Fact::unknown(Why::NotAsked, ""),
        accepted_loss: None,
        asked: salvor_core::evidence::Asked::default(),
    }
}

fn header(name: &str, created_ms: u64) -> Header {
    let evidence = evidence();
    let Planned::Plan(plan) = plan(&Limits::default(), Request::Auto, &evidence) else {
        panic!("no plan");
    };
    Header {
        name: RecoveryName(name.into()),
        request_id: Some(format!("request-of-{name}")),
        plan: *plan,
        evidence,
        traceparent: None,
        created_ms,
    }
}

/// Where a test's journal is.
struct Place {
    store: Store,
    _dir: tempfile::TempDir,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    Place { store: Store::new(dir.path(), "journal"), _dir: dir }
}

async fn journal(place: &Place) -> Journal {
    Journal::open(place.store.location(), None).await.unwrap()
}

const FENCE: Fence = Fence(7);

fn row(seq: i64, terminal: bool) -> Row {
    Row { seq, at_ms: 5, event: "\"Resumed\"".into(), terminal }
}

#[tokio::test]
async fn what_was_accepted_is_read_back_after_a_restart() {
    let dir = place();
    let header = header("recoveries/a", 7);
    {
        let journal = journal(&dir).await;
        journal.accept(&header, &["ab".into()]).await.unwrap();
        journal.append(&header.name, &row(1, false), FENCE).await.unwrap();
    }
    let journal = journal(&dir).await;
    let stored = journal.recovery(&header.name).await.unwrap().unwrap();
    assert_eq!(stored.header.plan, header.plan);
    assert_eq!(stored.header.evidence, header.evidence);
    assert_eq!(stored.events.len(), 1);
    let by_request = journal.by_request("request-of-recoveries/a").await.unwrap().unwrap();
    assert_eq!(by_request.header.name, header.name);
}

#[tokio::test]
async fn of_two_writers_of_one_event_one_is_refused() {
    let dir = place();
    let journal = journal(&dir).await;
    let header = header("recoveries/a", 7);
    journal.accept(&header, &[]).await.unwrap();
    journal.append(&header.name, &row(1, false), FENCE).await.unwrap();
    let error = journal.append(&header.name, &row(1, false), FENCE).await.unwrap_err();
    assert_eq!(error.reason(), "JOURNAL_CONFLICT");
}

#[tokio::test]
async fn whoever_holds_an_older_lease_than_it_was_taken_over_with_appends_nothing() {
    let dir = place();
    let journal = journal(&dir).await;
    let header = header("recoveries/a", 7);
    journal.accept(&header, &[]).await.unwrap();
    journal.append(&header.name, &row(1, false), Fence(3)).await.unwrap();
    journal.take_over(&header.name, Fence(5)).await.unwrap();
    journal.take_over(&header.name, Fence(4)).await.unwrap();
    let error = journal.append(&header.name, &row(2, false), Fence(4)).await.unwrap_err();
    assert_eq!(error.reason(), "JOURNAL_CONFLICT");
    assert!(error.message().contains("took the recovery over"), "{error}");
    journal.append(&header.name, &row(2, false), Fence(5)).await.unwrap();
}

/// Of two that come at once with one id, for two sandboxes.
#[tokio::test]
async fn an_id_that_another_request_took_is_said_to_be_used_and_nothing_is_kept() {
    let dir = place();
    let journal = journal(&dir).await;
    let first = header("recoveries/a", 7);
    let second = Header { name: RecoveryName("recoveries/b".into()), ..first.clone() };
    journal.accept(&first, &[]).await.unwrap();
    let error = journal.accept(&second, &[]).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::Invalid, "REQUEST_ID_REUSED"));
    assert!(error.message().contains("request-of-recoveries/a"), "{error}");
    assert!(journal.recovery(&second.name).await.unwrap().is_none());
    journal.accept(&header("recoveries/c", 8), &[]).await.unwrap();
}

#[tokio::test]
async fn what_is_open_is_what_was_allowed_and_has_no_end() {
    let dir = place();
    let journal = journal(&dir).await;
    let names = async || {
        let open = journal.open_recoveries().await.unwrap();
        open.into_iter().map(|name| name.0).collect::<Vec<_>>()
    };
    let mut refused = header("recoveries/refused", 7);
    refused.plan.decisions.truncate(1);
    assert!(!refused.plan.allowed(), "nothing is known");
    journal.accept(&refused, &[]).await.unwrap();
    let mut allowed = header("recoveries/a", 7);
    allowed.plan.decisions.clear();
    journal.accept(&allowed, &[]).await.unwrap();
    journal.append(&allowed.name, &row(1, false), FENCE).await.unwrap();
    assert_eq!(names().await, ["recoveries/a"]);
    journal.append(&allowed.name, &row(2, true), FENCE).await.unwrap();
    assert_eq!(names().await, [""; 0]);
}

#[tokio::test]
async fn what_was_asked_to_go_back_is_known_until_it_is_asked_to_go_on() {
    let dir = place();
    let journal = journal(&dir).await;
    let header = header("recoveries/a", 7);
    journal.accept(&header, &[]).await.unwrap();
    assert!(!journal.is_asked_to_cancel(&header.name).await.unwrap());
    for at in [1, 2] {
        journal.ask_to_cancel(&header.name, at).await.unwrap();
    }
    assert!(journal.is_asked_to_cancel(&header.name).await.unwrap());
    journal.forget_cancellation(&header.name).await.unwrap();
    assert!(!journal.is_asked_to_cancel(&header.name).await.unwrap());
}

/// One orchestrator waits for what another one writes.
#[tokio::test]
async fn a_wait_is_woken_by_whoever_writes() {
    let dir = place();
    let (one, other) = (journal(&dir).await, journal(&dir).await);
    let writer = if one.is_shared() { &other } else { &one };
    let header = header("recoveries/a", 7);
    let mut waiting = one.waiting(&header.name);
    waiting.begin();
    writer.accept(&header, &[]).await.unwrap();
    writer.append(&header.name, &row(1, false), FENCE).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), waiting.changed()).await.unwrap();
}

#[tokio::test]
async fn every_decision_is_kept_with_its_evidence() {
    let dir = place();
    let journal = journal(&dir).await;
    let header = header("recoveries/a", 7);
    journal.accept(&header, &[]).await.unwrap();
    let filter = DecisionFilter {
        parent: header.target().to_string(),
        refused_only: false,
        after: 0,
        limit: 100,
    };
    let kept = journal.decisions(&filter).await.unwrap();
    let decisions: Vec<_> = kept.iter().map(|d| d.decision.clone()).collect();
    assert_eq!(decisions, header.plan.decisions);
}

#[tokio::test]
async fn lists_are_newest_first_and_go_on_where_they_ended() {
    let dir = place();
    let journal = journal(&dir).await;
    for (name, ms) in [("recoveries/a", 1), ("recoveries/b", 2), ("recoveries/c", 2)] {
        journal.accept(&header(name, ms), &[]).await.unwrap();
    }
    let list = async |before| {
        let filter = RecoveryFilter { before, limit: 2, ..RecoveryFilter::default() };
        let found = journal.list(&filter).await.unwrap();
        found.iter().map(|s| s.header.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(None).await, ["recoveries/c", "recoveries/b"]);
    assert_eq!(list(Some((2, "recoveries/b".into()))).await, ["recoveries/a"]);
}

#[tokio::test]
async fn each_recovery_of_a_page_has_its_own_events_in_order() {
    let place = place();
    let journal = journal(&place).await;
    let names = ["recoveries/a", "recoveries/b", "recoveries/c"];
    for (at, name) in (1..).zip(names) {
        journal.accept(&header(name, at), &[]).await.unwrap();
    }
    for seq in 1..=12 {
        journal.append(&RecoveryName(names[2].into()), &row(seq, false), FENCE).await.unwrap();
        if seq <= 3 {
            journal
                .append(&RecoveryName(names[0].into()), &row(seq, seq == 3), FENCE)
                .await
                .unwrap();
        }
    }
    let mut filter = RecoveryFilter { limit: 2, ..RecoveryFilter::default() };
    let mut found = journal.list_found(&filter).await.unwrap();
    filter.before = Some((found[1].created_ms, found[1].name.to_string()));
    found.extend(journal.list_found(&filter).await.unwrap());
    let seqs = |found: &Found| found.events.iter().map(|row| row.seq).collect::<Vec<_>>();
    let listed: Vec<_> = found.iter().map(|found| (found.name.as_str(), seqs(found))).collect();
    let all = |count| (1..=count).collect::<Vec<i64>>();
    assert_eq!(listed, [(names[2], all(12)), (names[1], all(0)), (names[0], all(3))]);
    for found in &found {
        let alone = journal.found(&found.name).await.unwrap().unwrap();
        assert_eq!(alone.revision(), found.revision());
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_nothing_is_kept() {
    if skipped_on_a_server("a full disk, of a file") {
        return;
    }
    let dir = place();
    let journal = journal(&dir).await;
    sqlx::query("PRAGMA max_page_count = 1").execute(journal.db.writer()).await.unwrap();
    let mut big = header("recoveries/a", 7);
    big.traceparent = Some("x".repeat(1 << 20));
    let error = journal.accept(&big, &[]).await.unwrap_err();
    assert_eq!(error.reason(), "STORAGE_FULL");
    assert!(error.message().contains("nothing was begun"), "{error}");
    assert!(journal.recovery(&big.name).await.unwrap().is_none());
}

/// What is open is not to lose the snapshot that it rests on, whoever prunes.
#[tokio::test]
async fn what_open_recoveries_name_is_in_use_and_what_ended_ones_name_is_not() {
    let dir = place();
    let journal = journal(&dir).await;
    let name = |digit: char| format!("gateways/g/snapshots/{}", String::from(digit).repeat(64));
    let mut at = 0;
    let mut open = async |recovery: &str, planned: Option<String>, taken: String, ended: bool| {
        at += 1;
        let mut header = header(recovery, at);
        header.plan.decisions.clear();
        header.plan.inputs.asked.snapshot = planned.map(SnapshotName);
        journal.accept(&header, &[]).await.unwrap();
        let event = format!("{{\"Capture\":{{\"Taken\":{{\"saved\":{{\"name\":\"{taken}\"}}}}}}}}");
        let row = Row { seq: 1, at_ms: 5, event, terminal: ended };
        journal.append(&header.name, &row, FENCE).await.unwrap();
    };
    for number in 0..300 {
        open(&format!("recoveries/ended-{number}"), Some(name('e')), name('f'), true).await;
        open(&format!("recoveries/open-{number}"), None, name('a'), false).await;
    }
    open("recoveries/own", Some(name('d')), name('d'), false).await;
    open("recoveries/planned", Some(name('b')), name('c'), false).await;
    let own = RecoveryName("recoveries/own".into());
    let found = journal.snapshots_in_use(&evidence().target, Some(&own)).await.unwrap();
    let expected = ['a', 'b', 'c'].map(|digit| SnapshotName(name(digit)));
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}

/// A prune is told of one sandbox's: those of a whole fleet would be more than it takes.
#[tokio::test]
async fn what_others_have_taken_is_not_named_and_what_they_were_planned_with_is() {
    let dir = place();
    let journal = journal(&dir).await;
    let name = |gateway: &str, digit: u32| format!("gateways/{gateway}/snapshots/{digit:064x}");
    for number in 0..300 {
        let mut header = header(&format!("recoveries/{number}"), number.into());
        header.plan.decisions.clear();
        let gateway = if number % 2 == 0 { "g" } else { "elsewhere" };
        header.plan.target =
            format!("gateways/{gateway}/workspaces/w/sandboxes/s{number}").parse().unwrap();
        let planned = (number < 4).then(|| SnapshotName(name(gateway, number)));
        header.plan.inputs.asked.snapshot = planned;
        journal.accept(&header, &[]).await.unwrap();
        let event = format!("{{\"Taken\":\"{}\"}}", name("g", 1000 + number));
        let row = Row { seq: 1, at_ms: 5, event, terminal: false };
        journal.append(&header.name, &row, FENCE).await.unwrap();
    }
    let found = journal.snapshots_in_use(&evidence().target, None).await.unwrap();
    let expected = [0, 2].map(|number| SnapshotName(name("g", number)));
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}

/// The whole of it is what is compared: its header, each event, and how many there are.
#[tokio::test]
async fn of_an_append_and_a_retirement_one_is_refused() {
    let dir = place();
    let journal = journal(&dir).await;
    let header = header("recoveries/a", 7);
    journal.accept(&header, &[]).await.unwrap();
    let revision = async || journal.found(&header.name).await.unwrap().unwrap().revision();
    let empty = revision().await;
    journal.append(&header.name, &row(1, false), FENCE).await.unwrap();
    let first = revision().await;
    assert!(empty.starts_with("0-") && first.starts_with("1-"), "{empty} {first}");
    journal.append(&header.name, &row(2, false), FENCE).await.unwrap();
    for stale in [&empty, &first, "2-ab", ""] {
        let error = journal.retire(&header.name, stale, &row(3, false)).await.unwrap_err();
        assert_eq!((error.code(), error.reason()), (Code::Conflict, "RECOVERY_CHANGED"));
    }
    let now = revision().await;
    journal.retire(&header.name, &now, &row(3, false)).await.unwrap();
    let late = journal.append(&header.name, &row(3, false), FENCE).await.unwrap_err();
    assert_eq!(late.reason(), "JOURNAL_CONFLICT", "whoever was at work finds its number taken");
    let again = journal.retire(&header.name, &now, &row(4, false)).await.unwrap_err();
    assert_eq!(again.reason(), "RECOVERY_CHANGED");
    assert_eq!(journal.found(&header.name).await.unwrap().unwrap().events.len(), 3);
}

#[tokio::test]
async fn every_stored_byte_is_in_the_revision() {
    let dir = place();
    let journal = journal(&dir).await;
    let header = header("recoveries/a", 7);
    journal.accept(&header, &[]).await.unwrap();
    journal.append(&header.name, &row(1, false), FENCE).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    seen.insert(journal.found(&header.name).await.unwrap().unwrap().revision());
    for changed in [
        "UPDATE recoveries SET plan = plan || ' '",
        "UPDATE recoveries SET evidence = evidence || ' '",
        "UPDATE recoveries SET request_id = 'b'",
        "UPDATE recoveries SET traceparent = 'c'",
        "UPDATE recoveries SET created_ms = 8",
        "UPDATE recoveries SET allowed = 1 - allowed",
        "UPDATE journal SET event = '\"Resumed\" '",
        "UPDATE journal SET at_ms = 6",
        "UPDATE journal SET terminal = 1",
    ] {
        sqlx::query(changed).execute(journal.db.writer()).await.unwrap();
        let now = journal.found(&header.name).await.unwrap().unwrap().revision();
        assert!(seen.insert(now), "{changed}");
    }
}

#[tokio::test]
async fn what_ended_long_ago_is_forgotten_whole_and_what_is_open_stays() {
    let dir = place();
    let journal = journal(&dir).await;
    for number in 0..250_u64 {
        let mut header = header(&format!("recoveries/{number:03}"), number);
        let decisions = std::mem::take(&mut header.plan.decisions);
        journal.accept(&header, &[]).await.unwrap();
        header.plan.decisions = decisions;
        // Every tenth is open.
        let ends = row(1, number % 10 != 0);
        journal.append(&header.name, &ends, FENCE).await.unwrap();
    }
    while journal.forget_beyond(20).await.unwrap() {}
    let filter = RecoveryFilter { limit: 1000, ..RecoveryFilter::default() };
    let left = journal.list(&filter).await.unwrap();
    let numbers: Vec<u64> = left.iter().rev().map(|stored| stored.header.created_ms).collect();
    let expected: Vec<u64> = (0..250).filter(|number| *number >= 230 || number % 10 == 0).collect();
    assert_eq!(numbers, expected);
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM journal")
        .fetch_one(journal.db.readers())
        .await
        .unwrap();
    assert_eq!(rows, i64::try_from(expected.len()).unwrap());
    assert!(!journal.forget_beyond(20).await.unwrap());
}

#[tokio::test]
async fn a_page_begins_in_an_index_however_deep_it_is() {
    if skipped_on_a_server("it explains itself as SQLite does") {
        return;
    }
    let dir = place();
    let journal = journal(&dir).await;
    for (open_only, of_one, search) in [
        (false, false, "recoveries_by_time ((created_ms,name)<(?,?))"),
        (false, true, "recoveries_by_sandbox (sandbox=? AND created_ms<?)"),
        (true, false, "recoveries_open ((created_ms,name)<(?,?))"),
    ] {
        let plan = format!("EXPLAIN QUERY PLAN {}", schema::page(&journal.db, open_only, of_one));
        let rows = sqlx::query(sqlx::AssertSqlSafe(plan)).fetch_all(journal.db.readers()).await;
        let step: String = sqlx::Row::get(&rows.unwrap()[0], 3);
        assert!(step.contains(search), "{step}");
    }
    let plan = format!("EXPLAIN QUERY PLAN {}", schema::decisions(&journal.db, false));
    let rows = sqlx::query(sqlx::AssertSqlSafe(plan)).fetch_all(journal.db.readers()).await;
    let steps: Vec<String> = rows.unwrap().iter().map(|row| sqlx::Row::get(row, 3)).collect();
    assert!(steps[0].contains("decisions_of_sandbox (sandbox=? AND rowid>?)"), "{steps:?}");
    assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
}
