//! Snapshots of real sandboxes, over the gateway's exec.

mod lab;
mod quiet;
mod taken_up;
mod trouble;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use salvor_devgateway::Dialect;

use self::lab::{Lab, complete, coverage, failed, issues, notes, rules, taken};
use crate::target::BOTH;

#[tokio::test]
async fn a_workspace_with_odd_names_is_captured_whole() {
    for dialect in BOTH {
        let mut lab = Lab::new(dialect).await;
        let odd: [&[u8]; 6] =
            [b"-dash", b"new\nline", b"quo\"te\\", b"\xff\xfe", b" space ", "\u{e9}".as_bytes()];
        for name in odd {
            lab.write(Path::new("odd").join(OsStr::from_bytes(name)), name);
        }
        let long = "d".repeat(200);
        lab.write(format!("{long}/{long}/{long}"), "deep");
        lab.write("empty", "");
        lab.write("exact", vec![7; 128 << 10]);
        lab.write("shut", "read-only");
        fs::set_permissions(lab.root.join("shut"), Permissions::from_mode(0o400)).unwrap();
        symlink("/nowhere/at all", lab.root.join("link")).unwrap();
        symlink("..", lab.root.join("odd/up")).unwrap();
        fs::hard_link(lab.root.join("exact"), lab.root.join("hard")).unwrap();
        let sparse = fs::File::create(lab.root.join("sparse")).unwrap();
        sparse.set_len(64 << 20).unwrap();
        sparse.write_at(b"data", 40 << 20).unwrap();
        let snapshot = lab.take(rules(&["/sandbox"])).await;
        complete(&snapshot);
        let covered = coverage(&snapshot);
        assert_eq!(covered.covered_roots, ["/sandbox"]);
        assert_eq!((covered.files, covered.others), (12, 2));
        assert_eq!(covered.directories, 4);
        assert_eq!((covered.files_unchanged, covered.bytes), (0, covered.bytes_read));
        assert_eq!(snapshot.identity.as_ref().unwrap().live_id, lab.id);
        assert_eq!(snapshot.recovery, "recoveries/7");
        assert_eq!(lab.read(&snapshot, "/sandbox/odd/new\nline").await, b"new\nline");
        assert_eq!(lab.read(&snapshot, "/sandbox/odd/-dash").await, b"-dash");
        assert_eq!(lab.read(&snapshot, "/sandbox/hard").await, vec![7; 128 << 10]);
        let sparse = lab.read(&snapshot, "/sandbox/sparse").await;
        assert_eq!(sparse.len(), 64 << 20);
        assert_eq!(sparse[(40 << 20)..(40 << 20) + 4], *b"data");
        assert_eq!(sparse.iter().filter(|byte| **byte != 0).count(), 4);
    }
}

#[tokio::test]
async fn only_what_changed_is_transferred_again() {
    let mut lab = Lab::new(Dialect::V0_1).await;
    for n in 0..20 {
        lab.write(format!("d{n}/file"), format!("content {n}").repeat(1000));
    }
    let first = lab.take(rules(&["/sandbox"])).await;
    complete(&first);
    assert_eq!(first.parent, "");
    lab.write("d7/file", "another");
    lab.write("new", "new");
    fs::remove_file(lab.root.join("d8/file")).unwrap();
    let second = lab.take(rules(&["/sandbox"])).await;
    complete(&second);
    assert_eq!(second.parent, first.name);
    let covered = coverage(&second);
    assert_eq!((covered.bytes_read, covered.files_unchanged, covered.files), (10, 18, 20));
    assert_eq!(lab.read(&second, "/sandbox/d7/file").await, b"another");
    assert_eq!(lab.read(&second, "/sandbox/d3/file").await, b"content 3".repeat(1000));
    let mut request = lab.request(rules(&["/sandbox"]));
    request.full = true;
    let full = taken(lab.run(request).await);
    complete(&full);
    assert_eq!((full.parent.as_str(), coverage(&full).files_unchanged), ("", 0));
    // The same request is the same snapshot, whoever asks when.
    let mut again = lab.request(rules(&["/sandbox"]));
    again.request_id.clone_from(&second.request_id);
    assert_eq!(taken(lab.run(again).await), second);
}

#[tokio::test]
async fn what_is_left_out_is_said() {
    let mut lab = Lab::new(Dialect::V0_0).await;
    for name in ["keep", "a.log", "target/x", ".ssh/id_rsa", ".ssh/config", "repo/.npmrc"] {
        lab.write(name, name);
    }
    lab.write(".claude/.credentials.json", "a token");
    let mut asked = rules(&["/sandbox"]);
    asked.excludes = vec!["*.log".into(), "/target/".into()];
    let snapshot = lab.take(asked).await;
    complete(&snapshot);
    assert_eq!(coverage(&snapshot).files, 3);
    let mut left = notes(&coverage(&snapshot).left_out);
    left.sort_unstable();
    assert_eq!(
        left,
        [
            ("/sandbox/.claude/.credentials.json", "SECRET"),
            ("/sandbox/.ssh/id_rsa", "SECRET"),
            ("/sandbox/a.log", "EXCLUDED"),
            ("/sandbox/target", "EXCLUDED"),
        ]
    );
}

#[tokio::test]
async fn roots_that_cannot_be_read_make_it_incomplete() {
    let mut lab = Lab::new(Dialect::V0_1).await;
    lab.write("good/file", "x");
    lab.write("file", "no directory");
    symlink("good", lab.root.join("link")).unwrap();
    let asked = rules(&["/sandbox/good", "/sandbox/gone", "/sandbox/file", "/sandbox/link"]);
    let snapshot = lab.take(asked).await;
    let mut found = issues(&snapshot);
    found.sort_unstable();
    let missing = ["/sandbox/file", "/sandbox/gone", "/sandbox/link"];
    assert_eq!(found, missing.map(|root| (root, "ROOT_MISSING")));
    assert_eq!(coverage(&snapshot).covered_roots, ["/sandbox/good"]);
    assert_eq!(coverage(&snapshot).files, 1);
    let request = lab.request(rules(&["/sandbox/gone"]));
    assert_eq!(failed(lab.run(request).await).reason, "NOTHING_READ");
    // An incomplete one is never a parent.
    let next = lab.take(rules(&["/sandbox/good"])).await;
    complete(&next);
    assert_eq!(next.parent, "");
}
