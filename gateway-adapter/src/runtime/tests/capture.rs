//! What is read out of a container is what is in it, whatever state it is in.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use salvor_proto::gateway::v1::UnknownReason;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::super::RuntimeChannel;
use super::lab::{Lab, fresh_id, target};
use super::tree::LocalTree;
use crate::workspace::{Broken, Channel, Entry, Note, Reason};

const ROOT: &str = "/sandbox";

pub(super) async fn inventory(channel: &RuntimeChannel, root: &str) -> (Vec<Entry>, Vec<Note>) {
    let (sender, mut receiver) = mpsc::channel(8);
    let collect = async {
        let mut all = Vec::new();
        while let Some(entry) = receiver.recv().await {
            all.push(entry);
        }
        all
    };
    let (notes, entries) = tokio::join!(channel.inventory(root.into(), sender), collect);
    (entries, notes.unwrap())
}

async fn contents(
    channel: &RuntimeChannel,
    files: Vec<PathBuf>,
) -> (Result<Vec<Note>, Broken>, Vec<u8>) {
    let (sender, mut receiver) = mpsc::channel::<Bytes>(4);
    let collect = async {
        let mut all = Vec::new();
        while let Some(piece) = receiver.recv().await {
            all.extend_from_slice(&piece);
        }
        all
    };
    tokio::join!(channel.contents(ROOT.into(), files, sender), collect)
}

/// The stream holds exactly these files, in this order, byte for byte, by the tar crate's reading.
fn same_contents(tar: &[u8], files: &[PathBuf], tree: &LocalTree) {
    use std::io::Read;
    let mut archive = tar::Archive::new(tar);
    let mut left = files.iter();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = left.next().expect("more files than were asked for").strip_prefix(ROOT).unwrap();
        assert_eq!(entry.path().unwrap(), path);
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        assert!(content == tree.content(path), "{path:?} has another content");
    }
    assert_eq!(left.next(), None, "files are missing");
}

async fn same(channel: &RuntimeChannel, tree: &LocalTree, state: &str) {
    let (entries, notes) = inventory(channel, ROOT).await;
    assert_eq!(notes, [], "{state}");
    tree.compare(ROOT, &entries);
    let files = tree.files(ROOT);
    let (notes, tar) = contents(channel, files.clone()).await;
    assert_eq!(notes.unwrap(), [], "{state}");
    same_contents(&tar, &files, tree);
}

#[tokio::test]
async fn created_running_paused_killed_and_started_again() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id, tree) = (target("states"), fresh_id(), LocalTree::odd());
    let container = lab.made(&sandbox, &id).await;
    lab.fill(&container, ROOT, &tree).await;
    let channel = lab.channel(&sandbox, &id).await;
    same(&channel, &tree, "created").await;
    lab.start(&container).await;
    same(&channel, &tree, "running").await;
    lab.docker.pause_container(&container).await.unwrap();
    same(&channel, &tree, "paused").await;
    lab.docker.unpause_container(&container).await.unwrap();
    lab.kill(&container).await;
    same(&channel, &tree, "killed").await;
}

#[tokio::test]
async fn only_the_wanted_files_come_and_the_others_are_noted() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id, tree) = (target("wanted"), fresh_id(), LocalTree::odd());
    let container = lab.made(&sandbox, &id).await;
    lab.fill(&container, ROOT, &tree).await;
    let channel = lab.channel(&sandbox, &id).await;
    let wanted: Vec<PathBuf> = ["-rf", "a/big-too", "gone", "out", "zbig"]
        .iter()
        .map(|name| Path::new(ROOT).join(name))
        .collect();
    let (notes, tar) = contents(&channel, wanted.clone()).await;
    let said: Vec<_> = notes.unwrap().into_iter().map(|note| (note.path, note.reason)).collect();
    let missing =
        [(wanted[2].clone(), Reason::Vanished), (wanted[3].clone(), Reason::ChangedWhileReading)];
    assert_eq!(said, missing);
    same_contents(&tar, &[wanted[0].clone(), wanted[1].clone(), wanted[4].clone()], &tree);
}

#[tokio::test]
async fn digests_are_of_the_content() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id, tree) = (target("digests"), fresh_id(), LocalTree::odd());
    let container = lab.made(&sandbox, &id).await;
    lab.fill(&container, ROOT, &tree).await;
    let channel = lab.channel(&sandbox, &id).await;
    let files = tree.files(ROOT);
    let (sender, mut receiver) = mpsc::channel(64);
    let notes = channel.digests(ROOT.into(), files.clone(), sender).await.unwrap();
    assert_eq!(notes, []);
    for file in files {
        let (path, digest) = receiver.recv().await.unwrap();
        assert_eq!(path, file);
        let content = tree.content(file.strip_prefix(ROOT).unwrap());
        assert_eq!(digest.as_slice(), Sha256::digest(content).as_slice(), "{path:?}");
    }
    assert!(receiver.recv().await.is_none());
}

#[tokio::test]
async fn a_file_written_twice_within_a_second_looks_different() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("racy"), fresh_id());
    let container = lab.running(&sandbox, &id).await;
    let tree = LocalTree::empty();
    std::fs::write(tree.path().join("old"), b"1").unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::open(tree.path().join("old")).unwrap().set_modified(old).unwrap();
    lab.fill(&container, ROOT, &tree).await;
    let channel = lab.channel(&sandbox, &id).await;
    let mut looks = Vec::new();
    for content in [b"one", b"two", b"six"] {
        std::fs::write(tree.path().join("new"), content).unwrap();
        lab.fill(&container, ROOT, &tree).await;
        let (entries, notes) = inventory(&channel, ROOT).await;
        assert_eq!(notes, []);
        looks.push([&entries[1], &entries[2]].map(|entry| (entry.size, entry.modified)));
    }
    for pair in looks.windows(2) {
        assert_ne!(pair[0][0], pair[1][0], "written in between");
        assert_eq!(pair[0][1], pair[1][1], "not written in between");
    }
    let again = inventory(&channel, ROOT).await.0;
    assert_eq!((again[1].size, again[1].modified), looks[2][0], "not written in between");
}

#[tokio::test]
async fn a_root_that_is_no_directory_is_noted_and_not_followed() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("roots"), fresh_id());
    let container = lab.made(&sandbox, &id).await;
    lab.fill(&container, ROOT, &LocalTree::odd()).await;
    let channel = lab.channel(&sandbox, &id).await;
    for (root, word) in [
        ("/nowhere", "not exist"),
        ("/sandbox/out", "symbolic link"),
        ("/bin", "symbolic link"),
        ("/sandbox/big", "no directory"),
    ] {
        let (entries, notes) = inventory(&channel, root).await;
        assert_eq!(entries, [], "{root}");
        assert_eq!(notes.len(), 1, "{root}");
        assert_eq!(
            (notes[0].reason, notes[0].path.as_path()),
            (Reason::RootMissing, Path::new(root))
        );
        assert!(notes[0].detail.contains(word), "{root}: {}", notes[0].detail);
    }
}

#[tokio::test]
async fn a_container_that_goes_away_underneath_is_no_end() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id, tree) = (target("cut"), fresh_id(), LocalTree::odd());
    let container = lab.made(&sandbox, &id).await;
    lab.fill(&container, ROOT, &tree).await;
    let channel = lab.channel(&sandbox, &id).await;
    let force = bollard::query_parameters::RemoveContainerOptionsBuilder::new().force(true).build();
    lab.docker.remove_container(&container, Some(force)).await.unwrap();
    let (sender, _receiver) = mpsc::channel(8);
    let broken = channel.inventory(ROOT.into(), sender).await.unwrap_err();
    assert_eq!(broken.unknown.reason(), UnknownReason::Unexpected, "{broken}");
    assert!(broken.unknown.detail.contains(&container), "{broken}");
}

#[tokio::test]
async fn dropping_a_reader_ends_it() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id, tree) = (target("dropped"), fresh_id(), LocalTree::odd());
    let container = lab.made(&sandbox, &id).await;
    lab.fill(&container, ROOT, &tree).await;
    let channel = lab.channel(&sandbox, &id).await;
    let (sender, mut receiver) = mpsc::channel(1);
    let reading = channel.contents(ROOT.into(), tree.files(ROOT), sender);
    let first = async {
        let first = receiver.recv().await;
        drop(receiver);
        first
    };
    let (ended, first) = tokio::join!(reading, first);
    assert!(ended.is_ok() && first.is_some());
}
