//! A registry on a disk that fails: what was answered stands, and when the disk works again so does the registry.

use std::os::unix::process::ExitStatusExt as _;

use salvor_testkit::disk::{Disk, Fault};
use tempfile::TempDir;
use tonic::Code;

use crate::support::{Process, create, gateway, try_create};

/// A registry with one record, on a disk that works as yet.
async fn one_record() -> (TempDir, Disk, Process) {
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::new(directory.path()).unwrap();
    let mut process = Process::start_on(&disk, directory.path());
    gateway(&mut process.client).await;
    create(&mut process.client, 0).await;
    (directory, disk, process)
}

#[tokio::test]
async fn a_disk_that_takes_nothing_changes_nothing_and_heals_by_itself() {
    let cases = [
        (Fault::Full, Code::ResourceExhausted, "the registry's disk is full; nothing was changed"),
        (Fault::WritesFail, Code::Unavailable, "whether the change is on it is not known"),
    ];
    for (fault, code, words) in cases {
        let (directory, disk, mut process) = one_record().await;
        let before = process.list().await;
        // Whichever write of the change it is.
        for after in 0..4 {
            disk.breaks(fault, after).unwrap();
            let refused = try_create(&mut process.client, 1).await.unwrap_err();
            assert_eq!(refused.code(), code, "{refused}");
            assert!(refused.message().contains(words), "{refused}");
            assert_eq!(process.list().await, before, "reading needs no room");
            disk.heals().unwrap();
        }
        create(&mut process.client, 1).await;
        let after = process.list().await;
        assert_eq!(after.len(), 2);
        drop(process);
        assert_eq!(Process::start(directory.path()).list().await, after);
    }
}

#[tokio::test]
async fn a_sync_that_fails_leaves_the_change_done_or_not_and_nothing_else() {
    let (directory, disk, mut process) = one_record().await;
    let before = process.list().await;
    disk.breaks(Fault::SyncsFail, 0).unwrap();
    let refused = try_create(&mut process.client, 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(refused.message().contains("is not known"), "{refused}");
    disk.heals().unwrap();
    drop(process);
    let mut process = Process::start_on(&disk, directory.path());
    let found = process.list().await;
    assert_eq!(found[..1], before[..]);
    if found.len() == 1 {
        create(&mut process.client, 1).await;
    } else {
        let again = try_create(&mut process.client, 1).await.unwrap_err();
        assert_eq!(again.code(), Code::AlreadyExists, "{again}");
    }
    assert_eq!(process.list().await.len(), 2);
}

#[tokio::test]
async fn short_writes_are_gone_on_with() {
    let (directory, disk, mut process) = one_record().await;
    disk.breaks(Fault::ShortWrites, 0).unwrap();
    create(&mut process.client, 1).await;
    let after = process.list().await;
    drop(process);
    assert_eq!(Process::start(directory.path()).list().await, after);
}

#[tokio::test]
async fn a_write_torn_by_a_crash_is_as_if_it_had_not_begun() {
    let (directory, disk, mut process) = one_record().await;
    for torn in 0..4 {
        let before = process.list().await;
        disk.breaks(Fault::TornWrite, torn).unwrap();
        try_create(&mut process.client, 1).await.unwrap_err();
        assert_eq!(process.ended().signal(), Some(9));
        disk.heals().unwrap();
        process = Process::start_on(&disk, directory.path());
        assert_eq!(process.list().await, before, "torn at write {torn}");
    }
    create(&mut process.client, 1).await;
}
