use std::fs;
use std::path::Path;

use super::*;

fn target(name: &str) -> RecordName {
    format!("gateways/lab/workspaces/default/sandboxes/{name}").parse().unwrap()
}

fn kept_in(directory: &Path) -> Fences {
    Fences::kept_in(Some(directory.to_owned()))
}

async fn refused(fences: &Fences, name: &str, token: i64) -> Error {
    fences.raise(&target(name), token).await.unwrap_err()
}

#[tokio::test]
async fn fences_of_one_sandbox_leave_others_alone() {
    let fences = Fences::default();
    fences.raise(&target("coder"), 9).await.unwrap();
    fences.raise(&target("coder2"), 1).await.unwrap();
    assert_eq!(refused(&fences, "coder", 8).await.reason(), "FENCED");
    fences.check(&target("coder"), 9).unwrap();
    assert_eq!(fences.check(&target("coder"), 8).unwrap_err().reason(), "FENCED");
}

#[tokio::test]
async fn after_a_restart_an_older_holder_is_fenced_off() {
    let home = tempfile::tempdir().unwrap();
    let instance = {
        let fences = kept_in(home.path());
        fences.raise(&target("coder"), 7).await.unwrap();
        fences.raise(&target("coder"), 9).await.unwrap();
        fences.raise(&target("coder2"), 3).await.unwrap();
        fences.instance().await.unwrap()
    };
    let fences = kept_in(home.path());
    let error = refused(&fences, "coder", 8).await;
    assert_eq!((error.code(), error.reason()), (Code::Conflict, "FENCED"));
    assert!(error.message().contains(" 8 ") && error.message().contains(" 9,"), "{error}");
    fences.raise(&target("coder"), 9).await.unwrap();
    fences.raise(&target("coder2"), 3).await.unwrap();
    assert_eq!(refused(&fences, "coder2", 2).await.reason(), "FENCED");
    assert_eq!(fences.instance().await.unwrap(), instance, "the name of its data stays");
}

/// As after a crash: nothing is closed, and what was answered for is there.
#[tokio::test]
async fn what_was_let_pass_is_on_disk() {
    let (home, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fences = kept_in(home.path());
    for token in 1..=20 {
        fences.raise(&target("coder"), token).await.unwrap();
    }
    for file in ["fences.db", "fences.db-wal"] {
        fs::copy(home.path().join(file), copy.path().join(file)).unwrap();
    }
    let error = refused(&kept_in(copy.path()), "coder", 19).await;
    assert_eq!(error.reason(), "FENCED");
}

#[tokio::test]
async fn one_process_at_a_time_and_the_other_is_told_so() {
    let home = tempfile::tempdir().unwrap();
    let first = kept_in(home.path());
    first.raise(&target("coder"), 7).await.unwrap();
    let second = kept_in(home.path());
    let error = refused(&second, "coder", 8).await;
    assert_eq!((error.code(), error.reason()), (Code::Unavailable, "DATA_IN_USE"));
    assert_eq!(second.instance().await.unwrap_err().reason(), "DATA_IN_USE");
    drop(first);
    second.raise(&target("coder"), 8).await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_refuses_effects_until_it_is_mended() {
    let home = tempfile::tempdir().unwrap();
    {
        let fences = kept_in(home.path());
        for number in 0..200 {
            fences.raise(&target(&format!("coder-{number}")), 7).await.unwrap();
        }
        fences.close().await;
    }
    let path = home.path().join("fences.db");
    let whole = fs::read(&path).unwrap();
    // No database at all; a page that is torn; a schema of another version.
    let mut torn = whole.clone();
    torn[4096..4296].fill(0x55);
    let mut newer = whole.clone();
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes());
    for damaged in [b"not a database, by far".repeat(50), torn, newer] {
        fs::write(&path, &damaged).unwrap();
        let fences = kept_in(home.path());
        let error = refused(&fences, "coder-1", 8).await;
        assert_eq!((error.code(), error.reason()), (Code::Unavailable, "FENCES_UNUSABLE"));
        assert!(error.message().contains("fences.db"), "{error}");
        for file in ["fences.db-wal", "fences.db-shm"] {
            let _ = fs::remove_file(home.path().join(file));
        }
        // The same process goes on once it is put back.
        fs::write(&path, &whole).unwrap();
        fences.raise(&target("coder-1"), 8).await.unwrap();
        assert_eq!(refused(&fences, "coder-1", 7).await.reason(), "FENCED");
        fences.close().await;
    }
}

#[tokio::test]
async fn its_size_is_bounded_and_what_was_given_up_stays_fenced_off() {
    let home = tempfile::tempdir().unwrap();
    let fences = Fences { max: 20, ..kept_in(home.path()) };
    for token in 1..=100 {
        fences.raise(&target(&format!("coder-{token}")), token).await.unwrap();
        assert!(fences.seen().highest.len() <= 20);
    }
    drop(fences);
    let fences = kept_in(home.path());
    let floor = {
        fences.instance().await.unwrap();
        let seen = fences.seen();
        assert!(seen.highest.len() <= 20);
        seen.floor
    };
    assert!((80..100).contains(&floor), "{floor}");
    assert_eq!(refused(&fences, "coder-1", 1).await.reason(), "FENCED");
    assert_eq!(refused(&fences, "never-seen", floor).await.reason(), "FENCED");
    fences.raise(&target("never-seen"), floor + 1).await.unwrap();
    fences.raise(&target("coder-100"), 100).await.unwrap();
}
