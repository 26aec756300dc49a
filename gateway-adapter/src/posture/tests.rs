use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::*;
use crate::view::sha256;

fn sealed(path: &Path, content: &[u8]) -> SealedPath {
    SealedPath { path: path.to_str().unwrap().to_owned(), sha256: sha256(content) }
}

fn run(batch: &[SealedPath], seal: bool) -> Findings {
    let arguments = command(batch, seal);
    let output = Command::new(&arguments[0]).args(&arguments[1..]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    read(batch, &[b"welcome to this shell\n", &output.stdout[..]].concat())
}

fn states(findings: &Findings) -> Vec<State> {
    findings.paths.iter().map(SealedPathView::state).collect()
}

fn file(directory: &Path, name: &str, content: &[u8], mode: u32) -> SealedPath {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    sealed(&path, content)
}

#[test]
fn every_state_is_told_of_real_files_with_odd_names() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut changed = file(directory, "changed", b"new", 0o444);
    changed.sha256 = sha256(b"old");
    symlink(directory.join("changed"), directory.join("link")).unwrap();
    symlink("nowhere", directory.join("dangling")).unwrap();
    let batch = [
        file(directory, "a b\n$(x)'\"\\*", b"", 0o444),
        file(directory, "-rf", b"x", 0o644),
        changed,
        sealed(&directory.join("gone/deeper"), b"x"),
        sealed(&directory.join("link"), b"new"),
        sealed(&directory.join("dangling"), b"x"),
        sealed(directory, b""),
        sealed(&directory.join("changed/below"), b"x"),
    ];
    let findings = run(&batch, false);
    let expected = [
        State::Sealed,
        State::Writable,
        State::Changed,
        State::Missing,
        State::NotRegular,
        State::NotRegular,
        State::NotRegular,
        State::Unspecified,
    ];
    assert_eq!(states(&findings), expected);
    assert_eq!(findings.paths[2].sha256, sha256(b"new"));
    assert!(!findings.changed);
}

#[test]
fn sealing_touches_only_what_matches_its_digest() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let mut changed = file(directory, "changed", b"new", 0o666);
    changed.sha256 = sha256(b"old");
    let batch = [file(directory, "open", b"x", 0o664), changed];
    let findings = run(&batch, true);
    assert_eq!(states(&findings), [State::Sealed, State::Changed]);
    assert!(findings.changed);
    let mode = |name: &str| fs::metadata(directory.join(name)).unwrap().permissions().mode();
    assert_eq!((mode("open") & 0o777, mode("changed") & 0o777), (0o444, 0o666));
    assert!(!run(&batch, true).changed, "a second time changes nothing");
}

#[test]
fn what_is_not_printed_is_not_known() {
    let batch = [sealed(Path::new("/a"), b"a"), sealed(Path::new("/b"), b"b")];
    let lines = [
        "",
        "salvor-path 1 file 444",
        "salvor-path 9 file 444 - 0",
        "salvor-path 0 file 444 - 0",
        "salvor-path x file 444 - 0",
    ];
    for line in lines {
        let findings = read(&batch, line.as_bytes());
        assert_eq!(states(&findings), [State::Unspecified; 2], "{line}");
    }
}

#[test]
fn paths_must_be_absolute_and_normal_and_digests_whole() {
    let digest = sha256(b"");
    let posture = |path: &str, sha256: &str| Posture {
        sealed_paths: vec![SealedPath { path: path.into(), sha256: sha256.into() }],
        ..Default::default()
    };
    assert!(check(&posture("/etc/a b", &digest)).is_ok());
    for path in ["", "a", "/", "/a/", "/a//b", "/a/../b", "/./a", "/a\0"] {
        assert!(check(&posture(path, &digest)).is_err(), "{path:?}");
    }
    for digest in ["", "abc", &digest.to_uppercase()] {
        assert!(check(&posture("/a", digest)).is_err(), "{digest:?}");
    }
}

#[test]
fn batches_fit_one_exec_and_lose_nothing() {
    let long = |index: usize| SealedPath {
        path: format!("/{index}/{}", "x".repeat(4000)),
        sha256: sha256(b""),
    };
    let paths: Vec<SealedPath> = (0..256).map(long).collect();
    let batches = batches(&paths);
    assert_eq!(batches.concat(), paths);
    for batch in batches {
        assert!(crate::exec::check(&command(batch, true)).is_ok());
    }
}
