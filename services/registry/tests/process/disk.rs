//! A registry on a disk that fails: what was answered stands, and when the disk works again so does the registry.

use std::time::Duration;

use salvor_proto::registry::v1::{CreateSandboxRequest, Sandbox};
use salvor_testkit::disk::{Disk, Fault};
use salvor_testkit::store::skipped_on_a_server;
use salvor_testkit::wait::until;
use tonic::Code;

use crate::support::{Place, Process, create, gateway, name, try_create};

/// A registry with one record, on a disk that works as yet.
async fn one_record() -> Option<(Place, Disk, Process)> {
    if skipped_on_a_server("a disk under a file") {
        return None;
    }
    let place = Place::new();
    let disk = Disk::new(place.path()).unwrap();
    let mut process = Process::start_on(&disk, &place).await;
    gateway(&mut process.client).await;
    create(&mut process.client, 0).await;
    Some((place, disk, process))
}

#[tokio::test]
async fn a_disk_that_takes_nothing_changes_nothing_and_heals_by_itself() {
    let cases = [
        (Fault::Full, Code::ResourceExhausted, "the registry's disk is full; nothing was changed"),
        (Fault::WritesFail, Code::Unavailable, "whether the change is on it is not known"),
    ];
    for (fault, code, words) in cases {
        let Some((place, disk, mut process)) = one_record().await else { return };
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
        process.kill().await;
        assert_eq!(Process::start(&place).await.list().await, after);
    }
}

#[tokio::test]
async fn a_sync_that_fails_leaves_the_change_done_or_not_and_nothing_else() {
    let Some((place, disk, mut process)) = one_record().await else { return };
    let before = process.list().await;
    disk.breaks(Fault::SyncsFail, 0).unwrap();
    let refused = try_create(&mut process.client, 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(refused.message().contains("is not known"), "{refused}");
    disk.heals().unwrap();
    process.kill().await;
    let mut process = Process::start_on(&disk, &place).await;
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

/// Whoever does not wait is told what is not known, and learns it by asking again.
#[tokio::test]
async fn a_disk_that_hangs_holds_up_writes_and_nothing_else() {
    let Some((_place, disk, mut process)) = one_record().await else { return };
    let before = process.list().await;
    disk.breaks(Fault::SyncsHang, 0).unwrap();
    let mut writer = process.another_client();
    let waits = tokio::spawn(async move { try_create(&mut writer, 1).await });
    until("a sync hangs", async || disk.hangs().then_some(())).await;
    assert_eq!(process.list().await, before, "reading needs no sync");

    let sandbox = Sandbox { name: name(2), ..Default::default() };
    let request_id = "0e7a3a52-7c8b-4c1d-9d0e-2f4b6a8c1e3d".into();
    let hurried = CreateSandboxRequest { sandbox: Some(sandbox), request_id, ..Default::default() };
    let mut request = tonic::Request::new(hurried.clone());
    request.set_timeout(Duration::from_millis(300));
    let overdue = process.client.create_sandbox(request).await.unwrap_err();
    assert_eq!(overdue.code(), Code::DeadlineExceeded, "{overdue}");
    assert!(overdue.message().contains("may have taken effect"), "{overdue}");
    assert!(!waits.is_finished());

    disk.heals().unwrap();
    let created = waits.await.unwrap().unwrap();
    let second = process.client.create_sandbox(hurried).await.unwrap().into_inner().sandbox;
    let after = process.list().await;
    assert_eq!(after, [before, vec![created, second.unwrap()]].concat());
}

#[tokio::test]
async fn short_writes_are_gone_on_with() {
    let Some((place, disk, mut process)) = one_record().await else { return };
    disk.breaks(Fault::ShortWrites, 0).unwrap();
    create(&mut process.client, 1).await;
    let after = process.list().await;
    process.kill().await;
    assert_eq!(Process::start(&place).await.list().await, after);
}

#[tokio::test]
async fn a_write_torn_by_a_crash_is_as_if_it_had_not_begun() {
    let Some((place, disk, mut process)) = one_record().await else { return };
    for torn in 0..4 {
        let before = process.list().await;
        disk.breaks(Fault::TornWrite, torn).unwrap();
        try_create(&mut process.client, 1).await.unwrap_err();
        process.died().await;
        disk.heals().unwrap();
        process = Process::start_on(&disk, &place).await;
        assert_eq!(process.list().await, before, "torn at write {torn}");
    }
    create(&mut process.client, 1).await;
}
