use salvor_proto::gateway::v1::{
    Channel, Nonce, SandboxRef, SnapshotIdentity, Unknown, UnknownReason, snapshot::State,
};
use salvor_proto::registry::v1::{ConfigFile, DrillResult, QuiesceHooks};
use salvor_proto::time::timestamp;

use super::*;

const NOW: u64 = 1_000_000_000;

fn look() -> Look {
    Look::plain(NOW)
}

fn ago(seconds: u64) -> prost_types::Timestamp {
    timestamp(NOW - seconds * 1000)
}

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

fn name(digits: &str) -> String {
    format!("gateways/lab/snapshots/{}", digits.repeat(32))
}

fn path_note(path: &str, reason: &str, detail: &str) -> PathNote {
    PathNote { path: path.into(), reason: reason.into(), detail: detail.into() }
}

fn complete() -> Snapshot {
    Snapshot {
        name: name("ab"),
        identity: Some(SnapshotIdentity {
            sandbox: Some(SandboxRef {
                gateway: "gateways/lab".into(),
                workspace: "default".into(),
                sandbox: "coder".into(),
            }),
            live_id: "id-1".into(),
        }),
        state: State::Complete.into(),
        channel: Channel::Exec.into(),
        rules: Some(Rules {
            roots: vec!["/sandbox".into()],
            excludes: vec!["*.log".into()],
            ..Default::default()
        }),
        coverage: Some(Coverage {
            files: 1_204,
            directories: 31,
            others: 2,
            bytes: 12_300_000,
            bytes_read: 45_000,
            files_unchanged: 1_200,
            bytes_stored: 9_000,
            covered_roots: vec!["/sandbox".into()],
            left_out: vec![path_note("/sandbox/x.log", "EXCLUDED", "")],
            ..Default::default()
        }),
        begin_time: Some(ago(1_020)),
        end_time: Some(ago(1_018)),
        verify_time: Some(ago(900)),
        recovery: "recoveries/r1".into(),
        nonce: Some(Nonce { path: "/sandbox/.salvor-nonce".into(), ..Default::default() }),
        ..Default::default()
    }
}

fn incomplete() -> Snapshot {
    let coverage = Coverage {
        files: 3,
        bytes: 10,
        bytes_read: 10,
        issues: vec![path_note("/sandbox/db", "CHANGED_WHILE_READING", "size 3 became 4")],
        issue_count: 2,
        ..Default::default()
    };
    Snapshot {
        name: name("cd"),
        state: State::Incomplete.into(),
        coverage: Some(coverage),
        verify_time: None,
        ..complete()
    }
}

#[test]
fn snapshots_line_up_and_an_incomplete_one_says_why() {
    let listed = Listed { with_sandbox: false, with_issue: false, wide: false };
    let expected = "\
SNAPSHOT      STATE     AGE  FILES  SIZE      READ      CHANNEL  VERIFIED
abababababab  COMPLETE  17m  1,204  12.30 MB  45.00 kB  exec     15m ago
";
    assert_eq!(list(&[complete()], listed, look()), expected);
    let listed = Listed { with_sandbox: true, with_issue: true, wide: true };
    let text = list(&[complete(), incomplete()], listed, look());
    assert!(text.contains(&"ab".repeat(32)) && text.contains("  lab/default/coder\n"), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.contains("INCOMPLETE") && last.contains("never"), "{last}");
    assert!(
        last.ends_with("/sandbox/db  CHANGED_WHILE_READING  size 3 became 4 (and 1 more)"),
        "{last}"
    );
    assert!(list(&[], listed, look()).contains("salvor snapshot create"));
}

#[test]
fn issues_that_a_list_does_not_carry_are_counted() {
    let coverage = Coverage { issue_count: 7, ..Default::default() };
    assert_eq!(first_issue(&coverage), "7 issues");
}

#[test]
fn a_snapshot_shows_what_it_covers_and_what_it_does_not() {
    let expected = format!(
        "\
snapshot   {}
sandbox    gateways/lab/workspaces/default/sandboxes/coder
live id    id-1
state      COMPLETE
read       17m ago, in 2.0s, over exec
verified   15m ago
recovery   recoveries/r1
nonce      /sandbox/.salvor-nonce
roots      /sandbox
excluded   *.log
content    1,204 files, 31 directories, 2 others, 12.30 MB
work       45.00 kB read, 1,200 files unchanged since the parent, repository grew by 9.00 kB
covered    /sandbox
left out
  - /sandbox/x.log  EXCLUDED
",
        name("ab")
    );
    assert_eq!(whole(&complete(), look()), expected);
    let text = whole(&incomplete(), look());
    assert!(
        text.ends_with(
            "issues\n  - /sandbox/db  CHANGED_WHILE_READING  size 3 became 4\n  and 1 more\n"
        ),
        "{text}"
    );
}

#[test]
fn intact_damaged_and_unknown_are_three_things() {
    let report = VerifyReport { intact: true, files: 3, bytes: 10, ..Default::default() };
    let expected = "\
snapshot   x
result     intact
looked at  3 files, 10 B
";
    assert_eq!(verified("x", &report, look()), expected);
    let damaged = VerifyReport {
        intact: false,
        problems: vec![path_note("/a", "READ_BACK_DIFFERS", "")],
        problem_count: 1,
        ..report.clone()
    };
    let text = verified("x", &damaged, look());
    assert!(text.contains("damaged") && text.contains("  - /a  READ_BACK_DIFFERS\n"), "{text}");
    let unknown = Unknown {
        reason: UnknownReason::Unavailable.into(),
        detail: "the repository is away".into(),
    };
    let text = verified("x", &VerifyReport { unknown: Some(unknown), ..report }, look());
    assert!(text.contains("unknown, UNAVAILABLE: the repository is away"), "{text}");
    assert!(!text.contains("intact"));
}

#[test]
fn differences_are_marked_by_kind() {
    let change = |path: &str, kind: Kind| Change {
        path: path.into(),
        kind: kind.into(),
        base_size: 1,
        other_size: 2,
    };
    let changes = [
        change("/a", Kind::Added),
        change("/b", Kind::Removed),
        change("/c", Kind::Content),
        change("/d", Kind::Metadata),
        change("/e", Kind::Type),
    ];
    let expected = "\
+ /a  2 B
- /b  1 B
M /c  1 B -> 2 B
m /d  mode, owner or time
T /e  another type of entry
";
    assert_eq!(diff(&changes, look()), expected);
    assert_eq!(diff(&[], look()), "no difference\n");
}

fn record() -> Sandbox {
    Sandbox {
        name: "gateways/lab/workspaces/default/sandboxes/coder".into(),
        snapshot_rules: Some(Rules {
            roots: vec!["/sandbox".into()],
            interval: Some(seconds(3_600)),
            retention: Some(Retention { keep_last: 3, keep_daily: 7, ..Default::default() }),
            quiesce: Some(QuiesceHooks { before: vec!["sync".into()], ..Default::default() }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[test]
fn rules_are_shown_in_words() {
    let expected = "\
sandbox    gateways/lab/workspaces/default/sandboxes/coder
roots      /sandbox
taken      every 60m
kept       3 last, 7 daily
before     sync
";
    assert_eq!(rules(&record(), look()), expected);
    let file = ConfigFile {
        path: "/sandbox/app.json".into(),
        format: "json".into(),
        runtime_owned_keys: vec!["auth.token".into(), "session".into()],
    };
    let merging = Sandbox { config_files: vec![file], ..record() };
    let said = "merged     /sandbox/app.json (json), the runtime's: auth.token, session\n";
    assert_eq!(rules(&merging, look()), format!("{expected}{said}"));
    let without = Sandbox { snapshot_rules: None, ..record() };
    let text = rules(&without, look());
    assert!(text.contains("none: it has no snapshots"), "{text}");
    assert!(
        text.contains("next: salvor snapshot rules --snapshot-root /sandbox gateways/lab/"),
        "{text}"
    );
}

#[test]
fn what_is_at_risk_is_said_and_silence_means_that_nothing_was_promised() {
    let drill = DrillResult {
        snapshot: name("ab"),
        time: Some(ago(7_200)),
        passed: true,
        with_nonce: true,
        message: "12 files".into(),
        ..Default::default()
    };
    let status = Known {
        last_complete: name("ab"),
        last_complete_bytes: 12_300_000,
        last_attempt_time: Some(ago(60)),
        last_attempt_problem: "HOOK_FAILED: sync exited with 1".into(),
        last_drill: Some(drill),
        ..Default::default()
    };
    let seen = Sandbox { snapshot_status: Some(status), ..record() };
    let expected = "\
snapshot   data at risk: 17m, since abababababab (12.30 MB)
last try   60s ago, not complete: HOOK_FAILED: sync exited with 1
drill      passed 2h ago, with a nonce, from abababababab: 12 files
";
    assert_eq!(known(&seen, Some(&seconds(17 * 60)), look()), expected);
    let never = known(&record(), None, look());
    assert_eq!(never, "snapshot   data at risk: all of it; no complete one is known\n");
    assert_eq!(known(&Sandbox::default(), None, look()), "");
}
