//! T11 to T13: whatever is wrong with the repository, what would rest on it is refused for a reason of its own, nothing is taken
//! in its place and nothing is deleted; once it is mended the same request goes through.

use std::{
    fs,
    path::{Path, PathBuf},
};

use salvor_devgateway::{Dialect, Phase};
use salvor_proto::{
    gateway::v1 as gateway,
    recovery::v1::{RecoveryPath, Verdict, recovery::State},
};
use salvor_testkit::{Fleet, Options, mounts, wait::PATIENCE};

use crate::{
    given::{LAB, adopted_as, lab, lose, mutations, on, recorded, verdict},
    rebuild::{Tree, at_work, is_as_it_was, is_untouched, keeping, read, root, snapshot, work_in},
    support::{AUTO, REBUILD, reason},
};

/// What is done to all files of a kind.
#[derive(Debug, Clone, Copy)]
enum Harm {
    Gone,
    Cut,
    Empty,
    /// One byte, so far from the end.
    Flipped(usize),
}

/// The repository's files of a kind, as they are.
struct Files(Vec<(PathBuf, Vec<u8>)>);

impl Files {
    fn of(fleet: &Fleet, kind: &str) -> Self {
        let mut found = Vec::new();
        let mut open = vec![fleet.dir().join("adapter/snapshots").join(kind)];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                found.push((path.clone(), fs::read(path).unwrap()));
            }
        }
        assert!(!found.is_empty(), "there is no {kind}");
        Self(found)
    }

    fn harm(&self, harm: Harm) {
        for (path, good) in &self.0 {
            // They may not be written to, but in the place of each there may be another one.
            fs::remove_file(path).unwrap();
            match harm {
                Harm::Gone => {}
                Harm::Cut => fs::write(path, &good[..good.len() / 2]).unwrap(),
                Harm::Empty => fs::write(path, "").unwrap(),
                Harm::Flipped(from_end) => {
                    let mut bad = good.clone();
                    bad[good.len() - from_end] ^= 1;
                    fs::write(path, bad).unwrap();
                }
            }
        }
    }

    fn heal(&self) {
        for (path, good) in &self.0 {
            let _ = fs::remove_file(path);
            fs::write(path, good).unwrap();
        }
    }
}

fn with_snapshots() -> Options {
    Options { snapshots: true, ..on(Dialect::V0_0) }
}

/// Asks, and answers the reason for which it came to nothing: at once, or having gone back.
async fn refused_for(fleet: &Fleet, name: &str, path: RecoveryPath) -> String {
    match fleet.recover(name, path).await {
        Err(status) => reason(&status),
        Ok(ended) => {
            assert_eq!(ended.state(), State::RolledBack, "{ended:#?}");
            ended.failure.unwrap().reason
        }
    }
}

/// Failed in a way that no start mends, so that there is nothing but its snapshot.
async fn failed(fleet: &Fleet) {
    let control = &lab(fleet).control;
    control.fail("coder", "ImageGone", "gone").await.unwrap();
    assert!(control.wait_phase("coder", Phase::Error, PATIENCE).await);
    control.clear_calls();
}

/// Every harm in turn, to a snapshot that a sandbox depends on.
async fn each_is_found(
    fleet: &Fleet,
    name: &str,
    path: RecoveryPath,
    harms: &[(&str, Harm, &str)],
) {
    let before = recorded(fleet, name).await;
    let there = lab(fleet).control.sandboxes().len();
    for (kind, harm, reason) in harms {
        let files = Files::of(fleet, kind);
        files.harm(*harm);
        assert_eq!(&refused_for(fleet, name, path).await, reason, "{kind} {harm:?}");
        assert_eq!(mutations(fleet), [""; 0], "{kind} {harm:?}");
        assert_eq!(recorded(fleet, name).await, before, "{kind} {harm:?}");
        assert_eq!(lab(fleet).control.sandboxes().len(), there, "{kind} {harm:?}");
        files.heal();
    }
}

/// The snapshot itself, which the record names: that it cannot be read, or is not there, is not that there is none.
const ITSELF: [(&str, Harm, &str); 4] = [
    ("snapshots", Harm::Gone, "SNAPSHOTS_GONE"),
    ("snapshots", Harm::Cut, "SNAPSHOT_UNREADABLE"),
    ("snapshots", Harm::Empty, "SNAPSHOT_UNREADABLE"),
    ("snapshots", Harm::Flipped(7), "SNAPSHOT_UNREADABLE"),
];

/// What is wrong with what a snapshot needs: found by reading all of it, before anything is done.
const UNDER_IT: [(&str, Harm, &str); 8] = [
    ("index", Harm::Gone, "SNAPSHOT_DAMAGED"),
    ("index", Harm::Cut, "SNAPSHOT_DAMAGED"),
    ("index", Harm::Empty, "SNAPSHOT_DAMAGED"),
    ("data", Harm::Gone, "SNAPSHOT_DAMAGED"),
    ("data", Harm::Cut, "SNAPSHOT_DAMAGED"),
    ("data", Harm::Flipped(1), "SNAPSHOT_DAMAGED"),
    ("data", Harm::Flipped(30), "SNAPSHOT_DAMAGED"),
    ("data", Harm::Flipped(200), "SNAPSHOT_DAMAGED"),
];

#[tokio::test]
async fn t13_a_rebuild_deletes_nothing_for_a_snapshot_that_is_damaged() {
    let (fleet, name, tree) = at_work(with_snapshots()).await;
    snapshot(&fleet, &name).await;
    failed(&fleet).await;
    each_is_found(&fleet, &name, REBUILD, &UNDER_IT).await;
    each_is_found(&fleet, &name, REBUILD, &ITSELF).await;
    assert_eq!(read(&root(&fleet)), tree, "what there is of it is still there");
    let ended = fleet.recover(&name, REBUILD).await.unwrap();
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    fleet.stop().await;
}

#[tokio::test]
async fn t13_a_lost_sandbox_is_not_made_for_a_snapshot_that_is_damaged() {
    let (fleet, name, tree) = at_work(with_snapshots()).await;
    snapshot(&fleet, &name).await;
    lose(&fleet, "coder").await;
    each_is_found(&fleet, &name, AUTO, &UNDER_IT).await;
    each_is_found(&fleet, &name, AUTO, &ITSELF).await;
    let ended = fleet.recover(&name, AUTO).await.unwrap();
    is_as_it_was(&fleet, &name, &ended, &tree).await;
    fleet.stop().await;
}

/// What the adapter says of its repository.
async fn says(fleet: &Fleet) -> String {
    let request = gateway::ListSnapshotsRequest {
        gateway: format!("gateways/{LAB}"),
        ..gateway::ListSnapshotsRequest::default()
    };
    let page = fleet.adapter.clone().list_snapshots(request).await.unwrap().into_inner();
    assert!(page.snapshots.is_empty(), "{page:?}");
    page.unknown.map(|unknown| unknown.detail).unwrap_or_default()
}

/// Neither a live sandbox is rebuilt nor a lost one made anew while nobody can tell which snapshots there are.
#[tokio::test]
async fn t13_a_repository_that_does_not_open_refuses_both_and_says_why() {
    let (mut fleet, live, tree) = at_work(with_snapshots()).await;
    let (gone, _) = adopted_as(&fleet, "gone", of("gone")).await;
    snapshot(&fleet, &live).await;
    snapshot(&fleet, &gone).await;
    lose(&fleet, "gone").await;
    let (before, of_gone) = (recorded(&fleet, &live).await, recorded(&fleet, &gone).await);
    let key = fleet.dir().join("adapter/snapshots.key");
    let password = Files(vec![(key.clone(), fs::read(&key).unwrap())]);
    let wrong = |path: &Path| fs::write(path, "battery staple\n").unwrap();
    for (what, files, harm, said) in [
        ("a wrong password", &password, None, "the password does not open"),
        ("no password", &password, Some(Harm::Empty), "cannot be read: it is empty"),
        ("a cut key", &Files::of(&fleet, "keys"), Some(Harm::Cut), "is damaged"),
        ("no key", &Files::of(&fleet, "keys"), Some(Harm::Gone), "it has no key file"),
        (
            "an altered configuration",
            &Files::of(&fleet, "config"),
            Some(Harm::Flipped(9)),
            "is damaged",
        ),
        (
            "no configuration",
            &Files::of(&fleet, "config"),
            Some(Harm::Gone),
            "is no restic repository",
        ),
    ] {
        match harm {
            Some(harm) => files.harm(harm),
            None => wrong(&key),
        }
        // It was open, and what opens it is read only once.
        fleet.restart_adapter().await.unwrap();
        verdict(&fleet, &gone, Verdict::Lost).await;
        lab(&fleet).control.clear_calls();
        let detail = says(&fleet).await;
        assert!(detail.contains(said), "{what}: {detail}");
        assert_eq!(refused_for(&fleet, &live, REBUILD).await, "SNAPSHOTS_UNKNOWN", "{what}");
        assert_eq!(refused_for(&fleet, &gone, AUTO).await, "SNAPSHOTS_UNKNOWN", "{what}");
        is_untouched(&fleet, &live, &before, &tree).await;
        assert_eq!(recorded(&fleet, &gone).await, of_gone, "{what}");
        files.heal();
    }
    fleet.restart_adapter().await.unwrap();
    let ended = fleet.recover(&live, REBUILD).await.unwrap();
    is_as_it_was(&fleet, &live, &ended, &tree).await;
    let ended = fleet.recover(&gone, AUTO).await.unwrap();
    assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
    fleet.stop().await;
}

fn of(sandbox: &str) -> salvor_proto::recovery::v1::AdoptSandboxRequest {
    let name = Fleet::name(LAB, sandbox);
    salvor_proto::recovery::v1::AdoptSandboxRequest { name, ..keeping(&["/sandbox"]) }
}

/// The repository's disk is full: what is live cannot be saved, and so is not touched; what was saved is still there.
#[tokio::test]
async fn t11_a_full_disk_under_the_repository_deletes_nothing() {
    if mounts::inside("damaged::t11_a_full_disk_under_the_repository_deletes_nothing") {
        full_disk().await;
    }
}

async fn full_disk() {
    let fleet = Fleet::start(with_snapshots()).await.unwrap();
    let disk = fleet.dir().join("adapter/snapshots");
    fs::create_dir(&disk).unwrap();
    mounts::small(&disk, 16);
    let (name, _) = adopted_as(&fleet, "coder", keeping(&["/sandbox"])).await;
    work_in(&root(&fleet)).unwrap();
    let first = snapshot(&fleet, &name).await;
    let saved = read(&root(&fleet));
    fs::write(root(&fleet).join("later.bin"), (0..=255).collect::<Vec<u8>>()).unwrap();
    let tree: Tree = read(&root(&fleet));
    let ballast = disk.join("ballast");
    mounts::fill(&ballast);
    let before = recorded(&fleet, &name).await;
    assert_eq!(refused_for(&fleet, &name, REBUILD).await, "REPOSITORY_FULL");
    is_untouched(&fleet, &name, &before, &tree).await;

    // What is lost comes back from what was saved before, which needs no room.
    lose(&fleet, "coder").await;
    let ended = fleet.recover(&name, AUTO).await.unwrap();
    is_as_it_was(&fleet, &name, &ended, &saved).await;
    assert_eq!(ended.result.unwrap().snapshot_restored, first);
    fs::remove_file(&ballast).unwrap();
    let ended = fleet.recover(&name, REBUILD).await.unwrap();
    is_as_it_was(&fleet, &name, &ended, &saved).await;
    fleet.stop().await;
}
