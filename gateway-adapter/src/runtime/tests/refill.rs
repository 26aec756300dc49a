//! What is written into a container, and what is kept out of other places.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tar::EntryType::{Char, Link, Regular, Symlink};
use tokio::sync::mpsc;

use super::super::RuntimeChannel;
use super::super::archive::Stat;
use super::capture::inventory;
use super::lab::{Lab, fresh_id, target};
use super::tree::LocalTree;
use crate::workspace::{Broken, Channel, Kind, Note, Reason};

const ROOT: &str = "/sandbox";

async fn unpack(channel: &RuntimeChannel, root: &str, tar: Vec<u8>) -> Result<Vec<Note>, Broken> {
    let (sender, receiver) = mpsc::channel(2);
    let size = tar.len() as u64;
    let tar = Bytes::from(tar);
    let send = async {
        let mut rest = tar;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(65_000));
            if sender.send(piece).await.is_err() {
                break;
            }
        }
        drop(sender);
    };
    tokio::join!(channel.unpack(root.into(), size, receiver), send).0
}

#[tokio::test]
async fn a_tree_comes_back_as_it_was_into_a_stopped_or_a_running_one() {
    let Some(lab) = Lab::open().await else { return };
    let tree = LocalTree::odd();
    for running in [false, true] {
        let (sandbox, id) = (target("refill"), fresh_id());
        let container = lab.made(&sandbox, &id).await;
        if running {
            lab.start(&container).await;
        }
        let channel = lab.channel(&sandbox, &id).await;
        assert_eq!(unpack(&channel, ROOT, tree.tar()).await.unwrap(), []);
        let (entries, notes) = inventory(&channel, ROOT).await;
        assert_eq!(notes, []);
        tree.compare(ROOT, &entries);
        // Twice is the same: everything is replaced.
        assert_eq!(unpack(&channel, ROOT, tree.tar()).await.unwrap(), []);
        tree.compare(ROOT, &inventory(&channel, ROOT).await.0);
    }
}

#[tokio::test]
async fn a_missing_root_is_made_and_gets_its_own_mode() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id, tree) = (target("made"), fresh_id(), LocalTree::empty());
    fs::write(tree.path().join("f"), b"1").unwrap();
    fs::set_permissions(tree.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    lab.made(&sandbox, &id).await;
    let channel = lab.channel(&sandbox, &id).await;
    assert_eq!(unpack(&channel, "/data/of/agent", tree.tar()).await.unwrap(), []);
    let (entries, _) = inventory(&channel, "/data/of/agent").await;
    assert_eq!((entries[0].mode, entries[0].uid), (0o711, 1000));
    tree.compare("/data/of/agent", &entries);
}

#[tokio::test]
async fn nothing_is_written_through_links_that_are_there() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("through"), fresh_id());
    let container = lab.made(&sandbox, &id).await;
    let live = LocalTree::empty();
    symlink("/tmp", live.path().join("out")).unwrap();
    symlink("/tmp", live.path().join("replaced")).unwrap();
    lab.fill(&container, ROOT, &live).await;
    let stream = LocalTree::empty();
    for dir in ["out", "replaced"] {
        fs::create_dir(stream.path().join(dir)).unwrap();
        fs::write(stream.path().join(dir).join("evil"), b"x").unwrap();
    }
    fs::write(stream.path().join("kept"), b"k").unwrap();
    // Without the directory's own entry the link stays, and the file would go through it.
    let tar = std::process::Command::new("tar")
        .arg("-C")
        .arg(stream.path())
        .args([
            "-cf",
            "-",
            "--no-recursion",
            "./out/evil",
            "./replaced",
            "./replaced/evil",
            "./kept",
        ])
        .output()
        .unwrap()
        .stdout;
    let channel = lab.channel(&sandbox, &id).await;
    let notes = unpack(&channel, ROOT, tar).await.unwrap();
    let said: Vec<_> = notes.iter().map(|note| (note.path.as_path(), note.reason)).collect();
    assert_eq!(said, [(Path::new("/sandbox/out/evil"), Reason::LeavesRoot)]);
    let docker = lab.runtime.connect().await.unwrap();
    let at = async |path| lab.runtime.stat(&docker, &container, path).await.unwrap();
    assert_eq!(at("/tmp/evil").await, Stat::Missing);
    assert_eq!(at("/sandbox/replaced").await, Stat::Directory);
    assert_eq!(at("/sandbox/replaced/evil").await, Stat::Other);
    assert_eq!(at("/sandbox/kept").await, Stat::Other);
}

#[tokio::test]
async fn names_and_links_that_lead_out_are_left_out() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id) = (target("leaves"), fresh_id());
    let container = lab.made(&sandbox, &id).await;
    let mut builder = tar::Builder::new(Vec::new());
    let mut put = |name: &[u8], kind: tar::EntryType, link: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        builder.append(&header, std::io::empty()).unwrap();
    };
    put(b"../up", Regular, b"");
    put(b"a/../../up", Regular, b"");
    put(b"soft", Symlink, b"/tmp");
    put(b"soft/evil", Regular, b"");
    put(b"hard", Link, b"soft/evil");
    put(b"hard-up", Link, b"../etc/passwd");
    put(b"null", Char, b"");
    put(b"fine", Regular, b"");
    let channel = lab.channel(&sandbox, &id).await;
    let notes = unpack(&channel, ROOT, builder.into_inner().unwrap()).await.unwrap();
    let mut said: Vec<_> = notes.into_iter().map(|note| (note.path, note.reason)).collect();
    said.sort();
    let mut wanted: Vec<(PathBuf, Reason)> =
        ["../up", "a/../../up", "soft/evil", "hard", "hard-up"]
            .map(|name| (Path::new(ROOT).join(name), Reason::LeavesRoot))
            .into();
    wanted.push((Path::new(ROOT).join("null"), Reason::SpecialFile));
    wanted.sort();
    assert_eq!(said, wanted);
    let (entries, _) = inventory(&channel, ROOT).await;
    let names: Vec<_> = entries.iter().map(|entry| entry.path.to_str().unwrap()).collect();
    assert_eq!(names, ["/sandbox", "/sandbox/fine", "/sandbox/soft"]);
    let docker = lab.runtime.connect().await.unwrap();
    for path in ["/tmp/evil", "/up"] {
        assert_eq!(lab.runtime.stat(&docker, &container, path).await.unwrap(), Stat::Missing);
    }
}

#[tokio::test]
async fn a_root_that_is_a_link_and_a_cut_stream_are_refused() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id, tree) = (target("refused"), fresh_id(), LocalTree::odd());
    let container = lab.made(&sandbox, &id).await;
    let live = LocalTree::empty();
    symlink("/tmp", live.path().join("root")).unwrap();
    lab.fill(&container, ROOT, &live).await;
    let channel = lab.channel(&sandbox, &id).await;
    let broken = unpack(&channel, "/sandbox/root", tree.tar()).await.unwrap_err();
    assert!(broken.unknown.detail.contains("nothing was written"), "{broken}");
    let mut cut = tree.tar();
    cut.truncate(cut.len() / 2);
    let broken = unpack(&channel, ROOT, cut).await.unwrap_err();
    assert!(broken.unknown.detail.contains("before its end"), "{broken}");
}

#[tokio::test]
async fn removing_needs_a_running_one_and_follows_no_link() {
    let Some(lab) = Lab::open().await else { return };
    let (sandbox, id, tree) = (target("remove"), fresh_id(), LocalTree::odd());
    let container = lab.made(&sandbox, &id).await;
    fs::create_dir(tree.path().join("full")).unwrap();
    fs::write(tree.path().join("full/f"), b"1").unwrap();
    symlink("/etc", tree.path().join("etc")).unwrap();
    lab.fill(&container, ROOT, &tree).await;
    let channel = lab.channel(&sandbox, &id).await;
    let mut files = tree.files(ROOT);
    files.extend(["full", "out", "dangling", "pipe"].map(|name| Path::new(ROOT).join(name)));
    let notes = channel.remove(ROOT.into(), files.clone()).await.unwrap();
    assert_eq!(notes.len(), files.len());
    assert!(notes.iter().all(|note| note.reason == Reason::Unwritable));

    lab.start(&container).await;
    let outside = ["/sandbox/etc/passwd", "/etc/group", "/sandbox"].map(PathBuf::from);
    files.extend(outside.clone());
    let notes = channel.remove(ROOT.into(), files).await.unwrap();
    let said: Vec<_> = notes.into_iter().map(|note| (note.path, note.reason)).collect();
    assert_eq!(said, outside.map(|path| (path, Reason::LeavesRoot)));
    let (entries, _) = inventory(&channel, ROOT).await;
    let left: Vec<_> = entries.iter().filter(|entry| entry.kind != Kind::Directory).collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].path, Path::new("/sandbox/etc"));
    let docker = lab.runtime.connect().await.unwrap();
    for path in ["/etc/passwd", "/etc/group"] {
        assert_eq!(lab.runtime.stat(&docker, &container, path).await.unwrap(), Stat::Other);
    }
}
