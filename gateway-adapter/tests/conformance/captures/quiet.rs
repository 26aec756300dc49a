//! Hooks, nonces and databases.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use salvor_devgateway::Dialect;
use salvor_proto::gateway::v1::*;
use salvor_proto::registry::v1::{QuiesceHooks, SnapshotRules};
use sha2::{Digest, Sha256};

use super::lab::{Lab, complete, coverage, failed, issues, notes, rules, taken};
use crate::target::BOTH;

fn sh(command: &str) -> Vec<String> {
    ["/bin/sh", "-c", command].map(str::to_owned).to_vec()
}

/// Of hooks that are to end.
const LONG: Duration = Duration::from_secs(30);

fn hooked(before: &str, after: &str, timeout: Duration) -> SnapshotRules {
    let timeout = prost_types::Duration::try_from(timeout).unwrap();
    let hooks = QuiesceHooks { before: sh(before), after: sh(after), timeout: Some(timeout) };
    SnapshotRules { quiesce: Some(hooks), ..rules(&["/sandbox/work"]) }
}

#[tokio::test]
async fn hooks_stand_around_the_reading() {
    for dialect in BOTH {
        let mut lab = Lab::new(dialect).await;
        lab.write("work/file", "x");
        let before = "echo state >/sandbox/work/dumped";
        let after = "rm /sandbox/work/dumped; touch /sandbox/after";
        let snapshot = lab.take(hooked(before, after, LONG)).await;
        complete(&snapshot);
        assert_eq!(coverage(&snapshot).files, 2, "what the hook wrote is in it");
        assert!(!lab.root.join("work/dumped").exists() && lab.root.join("after").exists());
    }
}

#[tokio::test]
async fn a_hook_that_fails_or_hangs_is_noted_and_its_end_is_run() {
    let mut lab = Lab::new(Dialect::V0_1).await;
    lab.write("work/file", "x");
    let after = "echo >>/sandbox/after";
    for (before, after, timeout, says) in [
        ("echo secret >&2; exit 3", after, LONG, "ended with 3"),
        ("exec sleep 60", after, Duration::from_millis(50), "did not end within"),
        ("true", "echo >>/sandbox/after; exit 4", LONG, "after reading ended with 4"),
    ] {
        let snapshot = lab.take(hooked(before, after, timeout)).await;
        assert_eq!(issues(&snapshot), [("/bin/sh", "HOOK_FAILED")]);
        let detail = &coverage(&snapshot).issues[0].detail;
        assert!(detail.contains(says) && !detail.contains("secret"), "{detail}");
        assert_eq!(coverage(&snapshot).covered_roots, ["/sandbox/work"]);
    }
    assert_eq!(fs::read(lab.root.join("after")).unwrap(), b"\n\n\n");
}

#[tokio::test]
async fn a_cancelled_capture_undoes_what_it_began_and_keeps_nothing() {
    let mut lab = Lab::new(Dialect::V0_0).await;
    lab.write("work/file", "x");
    let reading = lab.root.join("reading").display().to_string();
    lab.before_reading(&format!("touch {reading}; exec sleep infinity"));
    let mut request = lab.request(hooked("true", "touch /sandbox/after", LONG));
    request.with_nonce = true;
    let begun = lab.begin(request).await.unwrap();
    lab.wait_file("reading").await;
    assert!(lab.root.join("work/.salvor-nonce").exists());
    let cancel = CancelOperationRequest { name: begun.name.clone() };
    lab.target.bench.client.cancel_operation(cancel).await.unwrap();
    assert_eq!(failed(lab.wait(&begun.name).await.result.unwrap()).reason, "CANCELLED");
    assert!(lab.root.join("after").exists());
    assert!(!lab.root.join("work/.salvor-nonce").exists());
    assert_eq!(lab.snapshots().await, []);
}

#[tokio::test]
async fn a_nonce_is_in_the_snapshot_and_not_in_the_workspace() {
    for dialect in BOTH {
        let mut lab = Lab::new(dialect).await;
        lab.write("work/file", "x");
        lab.write("first/.salvor-nonce", "of a capture that died");
        let reading = lab.root.join("reading").display().to_string();
        lab.before_reading(&format!("cp $3/.salvor-nonce {reading}"));
        let mut asked = rules(&["/sandbox/first", "/sandbox/work"]);
        asked.excludes = vec![".*".into()];
        let mut request = lab.request(asked);
        request.with_nonce = true;
        // `-C ROOT` comes first.
        lab.before_reading(&format!("[ ! -e $2/.salvor-nonce ] || cp $2/.salvor-nonce {reading}"));
        let snapshot = taken(lab.run(request).await);
        complete(&snapshot);
        let nonce = snapshot.nonce.as_ref().unwrap();
        assert_eq!(nonce.path, "/sandbox/first/.salvor-nonce");
        let written = fs::read(&reading).unwrap();
        assert_eq!(nonce.sha256, hex::encode(Sha256::digest(&written)));
        assert_eq!(written.len(), 64);
        assert_eq!((coverage(&snapshot).files, coverage(&snapshot).bytes), (2, 65));
        assert!(!lab.root.join("first/.salvor-nonce").exists());
        fs::remove_dir_all(lab.root.join("first")).unwrap();
        fs::create_dir_all(lab.root.join("first/.salvor-nonce/d")).unwrap();
        let mut request = lab.request(rules(&["/sandbox/first"]));
        request.with_nonce = true;
        let before = lab.snapshots().await.len();
        let failure = failed(lab.run(request).await);
        assert_eq!(failure.reason, "NONCE_NOT_WRITTEN", "a directory is never taken away");
        assert!(failure.message.contains("/sandbox/first/.salvor-nonce"), "{}", failure.message);
        assert!(failure.next_step.starts_with("salvor snapshot rules gateways/"));
        assert_eq!(lab.snapshots().await.len(), before);
    }
}

/// Adds pairs of equal numbers to two tables, one transaction each, until it is killed.
const WRITER: &str = r#"
import sqlite3, sys, os
db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
db.execute("pragma journal_mode=" + sys.argv[2])
db.execute("pragma wal_autocheckpoint=20")
db.execute("create table if not exists a (n integer, filler blob)")
db.execute("create table if not exists b (n integer, filler blob)")
n = 0
while True:
    db.execute("begin immediate")
    db.execute("insert into a values (?, randomblob(900))", (n,))
    db.execute("insert into b values (?, randomblob(900))", (n,))
    db.execute("commit")
    n += 1
    if n == 200:
        open(sys.argv[1] + ".going", "w").close()
"#;

/// Says what is wrong with a database that WRITER wrote.
const CHECKER: &str = r#"
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
a, b = [db.execute("select n from " + t + " order by n").fetchall() for t in "ab"]
assert a == b and [n for n, in a] == list(range(len(a))) and len(a) >= 200, (len(a), len(b))
"#;

struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn writer(database: &Path, mode: &str) -> Writer {
    let mut python = Command::new("/usr/bin/python3");
    python.arg("-c").arg(WRITER).arg(database).arg(mode).stderr(Stdio::null());
    Writer(python.spawn().unwrap())
}

#[tokio::test]
async fn databases_under_load_are_copied_consistently() {
    for (mode, tool) in [("wal", "python3"), ("delete", "python3"), ("wal", "sqlite3")] {
        if !Path::new("/usr/bin").join(tool).exists() {
            writeln!(io::stderr(), "skipped: no /usr/bin/{tool}").unwrap();
            continue;
        }
        let mut lab = Lab::new(Dialect::V0_1).await;
        lab.write("work/file", "x");
        lab.write("work/not.db", "no database".repeat(100));
        lab.write("work/data/plain", "x");
        let database = lab.root.join("work/data/app's.db");
        let _writer = writer(&database, mode);
        lab.wait_file("work/data/app's.db.going").await;
        if tool == "sqlite3" {
            lab.tool("python3", "exit 127");
        }
        let snapshot = lab.take(rules(&["/sandbox/work"])).await;
        assert_eq!(issues(&snapshot), [], "{mode} {tool}");
        complete(&snapshot);
        for (path, reason) in notes(&coverage(&snapshot).left_out) {
            assert!(path.starts_with("/sandbox/work/data/app's.db-"), "{path}");
            assert_eq!(reason, "EXCLUDED");
        }
        assert_eq!(coverage(&snapshot).files, 5, "no log is in it");
        let copy = lab.read(&snapshot, "/sandbox/work/data/app's.db").await;
        let alone = tempfile::tempdir().unwrap();
        fs::write(alone.path().join("db"), copy).unwrap();
        let mut checker = Command::new("/usr/bin/python3");
        checker.arg("-c").arg(CHECKER).arg(alone.path().join("db"));
        assert!(checker.status().unwrap().success(), "{mode} {tool}");
        let left = fs::read_dir(lab.root.parent().unwrap().join("tmp")).unwrap().count();
        assert_eq!(left, 0, "no copy is left behind");
    }
}

#[tokio::test]
async fn a_database_at_rest_without_tools_is_read_with_its_log() {
    let mut lab = Lab::new(Dialect::V0_0).await;
    let database = lab.root.join("work/app.db");
    lab.write("work/file", "x");
    let writer = writer(&database, "wal");
    lab.wait_file("work/app.db.going").await;
    lab.tool("python3", "exit 127");
    lab.tool("sqlite3", "exit 127");
    let snapshot = lab.take(rules(&["/sandbox/work"])).await;
    assert!(
        issues(&snapshot).iter().any(|(path, _)| path.starts_with("/sandbox/work/app.db")),
        "it is written all the time: {snapshot:?}"
    );
    drop(writer);
    let snapshot = lab.take(rules(&["/sandbox/work"])).await;
    complete(&snapshot);
    assert_eq!(notes(&coverage(&snapshot).left_out), []);
    assert!(coverage(&snapshot).files >= 4, "the log is in it");
}
