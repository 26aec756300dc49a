//! Snapshot rules field by field, and who may say what of a record's snapshots.

use prost_types::Duration;
use salvor_proto::registry::v1::*;
use salvor_proto::time::timestamp;
use tonic::Code;

use crate::support::*;

type Break = fn(&mut SnapshotRules);

fn rules() -> SnapshotRules {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    SnapshotRules {
        roots: vec!["/sandbox".into(), "/sandbox2".into()],
        excludes: ["*.log", "/target/", "!keep.log", "\\#odd", "a[0-9]b", "**/cache/**"]
            .map(str::to_owned)
            .to_vec(),
        interval: seconds(60),
        keep_last: 3,
        quiesce: Some(QuiesceHooks {
            before: words("sync -f /sandbox"),
            after: words("true"),
            timeout: seconds(600),
        }),
        retention: Some(Retention { keep_last: 0, keep_hourly: 10_000, ..Default::default() }),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the messages have it")]
fn seconds(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

fn hooks(rules: &mut SnapshotRules) -> &mut QuiesceHooks {
    rules.quiesce.as_mut().unwrap()
}

fn keep(rules: &mut SnapshotRules) -> &mut Retention {
    rules.retention.as_mut().unwrap()
}

fn numbered(count: usize, prefix: &str) -> Vec<String> {
    (0..count).map(|index| format!("{prefix}{index}")).collect()
}

/// What is broken, and the field below `sandbox.snapshot_rules` that is blamed.
const CASES: &[(Break, &str)] = &[
    (|r| r.roots[0] = "sandbox".into(), "roots[0]"),
    (|r| r.roots[0] = "/".into(), "roots[0]"),
    (|r| r.roots[1] = "/sandbox/".into(), "roots[1]"),
    (|r| r.roots[1] = "/sandbox/../etc".into(), "roots[1]"),
    (|r| r.roots[1] = "/sand\0box".into(), "roots[1]"),
    (|r| r.roots[1] = "/sand\nbox".into(), "roots[1]"),
    (|r| r.roots[1] = format!("/{}", "x".repeat(4096)), "roots[1]"),
    (|r| r.roots[1] = "/sandbox".into(), "roots[1]"),
    (|r| r.roots[1] = "/sandbox/home".into(), "roots[1]"),
    (|r| r.roots = vec!["/a/b/c".into(), "/z".into(), "/a".into()], "roots[2]"),
    (|r| r.roots = numbered(65, "/"), "roots"),
    (|r| r.roots = Vec::new(), "roots"),
    (|r| r.excludes[0] = String::new(), "excludes[0]"),
    (|r| r.excludes[1] = "# not a pattern".into(), "excludes[1]"),
    (|r| r.excludes[2] = "two\nlines".into(), "excludes[2]"),
    (|r| r.excludes[0] = "x\0".into(), "excludes[0]"),
    (|r| r.excludes[0] = "[z-a]".into(), "excludes[0]"),
    (|r| r.excludes[0] = "x".repeat(4097), "excludes[0]"),
    (|r| r.excludes = numbered(257, "x"), "excludes"),
    (|r| r.interval = seconds(59), "interval"),
    (|r| r.interval = seconds(-60), "interval"),
    (|r| r.interval = seconds(i64::MAX), "interval"),
    (|r| r.interval = Some(Duration { seconds: 60, nanos: -1 }), "interval"),
    (|r| r.keep_last = -1, "keep_last"),
    (|r| r.keep_last = 10_001, "keep_last"),
    (|r| hooks(r).before = vec![String::new(), "x".into()], "quiesce.before"),
    (|r| hooks(r).after = vec![String::new()], "quiesce.after"),
    (|r| hooks(r).before = vec!["x".repeat((32 << 10) + 1)], "quiesce.before"),
    (|r| hooks(r).after = vec!["x".repeat(32 << 10); 7], "quiesce.after"),
    (|r| hooks(r).after = vec!["x".into(); 1001], "quiesce.after"),
    (|r| hooks(r).before.push("a\0b".into()), "quiesce.before"),
    (|r| hooks(r).timeout = seconds(0), "quiesce.timeout"),
    (|r| hooks(r).timeout = seconds(601), "quiesce.timeout"),
    (|r| hooks(r).timeout = seconds(-1), "quiesce.timeout"),
    (|r| *keep(r) = Retention::default(), "retention"),
    (|r| keep(r).keep_last = -1, "retention.keep_last"),
    (|r| keep(r).keep_hourly = 10_001, "retention.keep_hourly"),
    (|r| keep(r).keep_daily = i32::MAX, "retention.keep_daily"),
    (|r| keep(r).keep_weekly = i32::MIN, "retention.keep_weekly"),
];

#[tokio::test]
async fn a_bad_rule_is_blamed_by_its_path_on_create_and_on_update() {
    let mut harness = Harness::start().await;
    let good = harness.create("good").await;
    let before = harness.list().await;
    for (damage, field) in CASES {
        let field = format!("sandbox.snapshot_rules.{field}");
        let mut bad = rules();
        damage(&mut bad);
        let change = Sandbox { snapshot_rules: Some(bad.clone()), ..good.clone() };
        let answer = harness.client.update_sandbox(update(&change, &["snapshot_rules"])).await;
        let message = answer.as_ref().unwrap_err().message();
        assert!(message.len() < 1000, "short, whatever was given: {}", message.len());
        refused_field(answer, &field);
        let sandbox = Sandbox { snapshot_rules: Some(bad), ..sandbox("bad") };
        let request = CreateSandboxRequest { sandbox: Some(sandbox), ..Default::default() };
        refused_field(harness.client.create_sandbox(request).await, &field);
    }
    assert_eq!(harness.list().await, before, "nothing was stored");
}

#[tokio::test]
async fn rules_within_the_limits_are_kept_as_given() {
    let mut harness = Harness::start().await;
    let mut present = harness.create("a").await;
    let only_after = QuiesceHooks { after: vec!["true".into()], ..Default::default() };
    for given in [
        rules(),
        SnapshotRules { quiesce: Some(only_after), retention: None, ..rules() },
        SnapshotRules { roots: numbered(64, "/"), excludes: numbered(256, "x"), ..rules() },
        SnapshotRules { excludes: vec!["x".repeat(4096)], ..rules() },
        SnapshotRules::default(),
    ] {
        present.snapshot_rules = Some(given.clone());
        let request = update(&present, &["snapshot_rules"]);
        present = harness.client.update_sandbox(request).await.sandbox();
        assert_eq!(present.snapshot_rules, Some(given));
    }
}

fn snapshot(digit: &str) -> String {
    format!("gateways/lab/snapshots/{}", digit.repeat(64))
}

fn status() -> SnapshotStatus {
    SnapshotStatus {
        last_complete: snapshot("a"),
        last_complete_time: Some(timestamp(5_000)),
        last_complete_bytes: 7,
        last_complete_live_id: "6f0f2f6e-2d67-4c8e-9d2c-0d8b1a3f9a10".into(),
        last_attempt_time: Some(timestamp(9_000)),
        pending_restores: vec![snapshot("c")],
        last_attempt_problem: "one root was unreadable:\n/sandbox/x".into(),
        last_drill: Some(DrillResult {
            snapshot: snapshot("b"),
            time: Some(timestamp(6_000)),
            passed: true,
            with_nonce: true,
            message: "12 files, and the nonce".into(),
            recovery: "recoveries/0190".into(),
        }),
    }
}

fn fenced(sandbox: &Sandbox, lease: &Lease) -> UpdateSandboxRequest {
    let fence_token = lease.fence_token;
    UpdateSandboxRequest { fence_token, ..update(sandbox, &["snapshot_status"]) }
}

#[tokio::test]
async fn what_is_known_of_snapshots_is_written_under_a_lease_and_is_no_wish_of_the_owners() {
    let mut harness = Harness::start().await;
    let given = Sandbox { snapshot_status: Some(status()), ..sandbox("a") };
    let request = CreateSandboxRequest { sandbox: Some(given), ..Default::default() };
    let created = harness.client.create_sandbox(request).await.sandbox();
    assert_eq!(created.snapshot_status, None, "output only: a client's word is not taken");

    let known = Sandbox { snapshot_status: Some(status()), ..created.clone() };
    let without = harness.client.update_sandbox(update(&known, &["snapshot_status"])).await;
    refused(without, Code::FailedPrecondition, "FENCE_TOKEN_REQUIRED");
    let beside = update(&known, &["labels", "snapshot_status"]);
    refused(
        harness.client.update_sandbox(beside).await,
        Code::FailedPrecondition,
        "FENCE_TOKEN_REQUIRED",
    );
    let lease = harness.acquire(&created.name, "recoveries/1").await.unwrap();
    let stale = Lease { fence_token: lease.fence_token + 1, ..lease.clone() };
    refused(harness.client.update_sandbox(fenced(&known, &stale)).await, Code::Aborted, "FENCED");
    assert_eq!(harness.get(&created.name).await.unwrap(), created);

    let after = harness.client.update_sandbox(fenced(&known, &lease)).await.sandbox();
    assert_eq!(after.snapshot_status, Some(status()));
    assert_eq!(after.generation, created.generation);
    let release =
        ReleaseLeaseRequest { sandbox: created.name.clone(), fence_token: lease.fence_token };
    harness.client.release_lease(release).await.unwrap();

    // A write that does not name it leaves it, whatever it carries.
    let other = Sandbox { snapshot_status: None, live_id: "other".into(), ..after };
    let after = harness.client.update_sandbox(update(&other, &["live_id"])).await.sandbox();
    assert_eq!(after.snapshot_status, Some(status()));
    let lease = harness.acquire(&created.name, "recoveries/2").await.unwrap();
    let cleared = Sandbox { snapshot_status: None, ..after };
    let after = harness.client.update_sandbox(fenced(&cleared, &lease)).await.sandbox();
    assert_eq!((after.snapshot_status, after.generation), (None, created.generation));
}

#[tokio::test]
async fn what_is_known_of_snapshots_comes_back_verbatim_and_survives_a_restart() {
    let mut harness = Harness::start().await;
    let created = harness.create("a").await;
    let lease = harness.acquire(&created.name, "recoveries/1").await.unwrap();
    let known = Sandbox { snapshot_status: Some(status()), ..created.clone() };
    let known = harness.client.update_sandbox(fenced(&known, &lease)).await.sandbox();
    let copy = SnapshotEntryRequest { name: created.name.clone() };
    let copy = harness.client.snapshot_entry(copy).await.unwrap().into_inner().snapshot;
    let cleared = Sandbox { snapshot_status: None, ..known };
    let cleared = harness.client.update_sandbox(fenced(&cleared, &lease)).await.sandbox();
    assert_eq!(cleared.snapshot_status, None);
    let restore =
        RestoreEntryRequest { snapshot: copy, etag: cleared.etag, fence_token: lease.fence_token };
    let restored = harness.client.restore_entry(restore).await.sandbox();
    assert_eq!(restored.snapshot_status, Some(status()));
    let mut harness = harness.restart(|_| {}).await;
    assert_eq!(harness.get(&created.name).await.unwrap(), restored);
}

type Misstate = fn(&mut SnapshotStatus);

/// What is wrong, and the field below `sandbox.snapshot_status` that is blamed.
const MISSTATED: &[(Misstate, &str)] = &[
    (|s| s.last_complete = "latest".into(), "last_complete"),
    (|s| s.last_complete = snapshot("a").replace("lab", "edge"), "last_complete"),
    (|s| s.last_complete.truncate(60), "last_complete"),
    (|s| s.last_complete = snapshot("A"), "last_complete"),
    (|s| s.last_complete_time.as_mut().unwrap().seconds = i64::MAX, "last_complete_time"),
    (|s| s.last_complete_live_id = "x".repeat(129), "last_complete_live_id"),
    (|s| s.last_attempt_time.as_mut().unwrap().nanos = -1, "last_attempt_time"),
    (|s| s.last_attempt_problem = "x".repeat(4097), "last_attempt_problem"),
    (|s| s.last_drill.as_mut().unwrap().snapshot = "b".into(), "last_drill.snapshot"),
    (|s| s.last_drill.as_mut().unwrap().message = "x".repeat(4097), "last_drill.message"),
    (|s| s.last_drill.as_mut().unwrap().recovery = "r\n".into(), "last_drill.recovery"),
];

#[tokio::test]
async fn even_the_holder_of_the_lease_is_held_to_the_form() {
    let mut harness = Harness::start().await;
    let created = harness.create("a").await;
    let lease = harness.acquire(&created.name, "recoveries/1").await.unwrap();
    for (damage, field) in MISSTATED {
        let mut said = status();
        damage(&mut said);
        let change = Sandbox { snapshot_status: Some(said), ..created.clone() };
        let answer = harness.client.update_sandbox(fenced(&change, &lease)).await;
        refused_field(answer, &format!("sandbox.snapshot_status.{field}"));
    }
    assert_eq!(harness.get(&created.name).await.unwrap(), created);
}
