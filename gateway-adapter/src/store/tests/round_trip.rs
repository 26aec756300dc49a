//! What goes in comes out.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use super::*;

#[tokio::test]
async fn a_workspace_comes_back_byte_for_byte() {
    let lab = Lab::new();
    let root = lab.root();
    lab.write("a.txt", "a");
    lab.write("a/b", "after a.txt in a listing, before it in a tree");
    lab.write("empty", "");
    lab.write("zeros", vec![0; 9 << 20]);
    lab.write("large", noise(20 << 20, 1));
    lab.write("-leading dash", "x");
    lab.write("new\nline \"quoted\" back\\slash", "x");
    lab.write(&"n".repeat(255), "x");
    fs::write(root.join(OsStr::from_bytes(b"no utf-8 \xff\xfe")), "x").unwrap();
    fs::create_dir_all(root.join("deep/er/empty directory")).unwrap();
    fs::hard_link(root.join("a.txt"), root.join("a hard link")).unwrap();
    symlink("a.txt", root.join("link")).unwrap();
    symlink("/etc/../nowhere", root.join("dangling")).unwrap();
    symlink(OsStr::from_bytes(b"\xff"), root.join("link to no utf-8")).unwrap();
    let _socket = UnixListener::bind(root.join("socket")).unwrap();
    nix_fifo(&root.join("fifo"));
    let mode = |name: &str, mode| {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("a", 0o1777);
    mode("empty", 0o4755);
    mode("deep", 0o2700);
    let old = fs::File::options().write(true).open(root.join("a.txt")).unwrap();
    old.set_modified(UNIX_EPOCH - Duration::from_nanos(1_500_000_001)).unwrap();

    let captured = lab.capture(None).await;
    assert_eq!(captured.notes, vec![]);
    assert_eq!(captured.failed, vec![]);
    assert_eq!(captured.sealed.state(), State::Complete);
    assert_same(&lab.walked(&captured.id).await, &root);
    let stored = lab.walked(&captured.id).await;
    let by_name = |name: &str| stored.iter().find(|s| s.entry.path == root.join(name)).unwrap();
    assert_eq!(by_name("a.txt").entry.inode, by_name("a hard link").entry.inode);
    assert_eq!(by_name("a.txt").entry.links, 2);
}

#[tokio::test]
async fn only_asked_for_paths_and_ranges_are_read() {
    let lab = Lab::new();
    let big = noise(9 << 20, 7);
    let path = lab.write("d/big", &big);
    lab.write("d/other", "x");
    lab.write("d-after", "x");
    let captured = lab.capture(None).await;
    let found = walked(&lab.store, &captured.id, vec![lab.root().join("d")]).await.unwrap();
    let names: Vec<_> = found.iter().map(|stored| stored.entry.path.clone()).collect();
    let root = lab.root();
    assert_eq!(names, [root.join("d"), root.join("d/big"), root.join("d/other")]);
    let stored = lab.store.entry(&captured.id, &path).await.unwrap();
    let content = stored.content.unwrap();
    for offset in [0, 1, 700_000, 5 << 20, (9 << 20) - 1, 9 << 20, 20 << 20] {
        let mut read = Vec::new();
        content.reader(offset).unwrap().read_to_end(&mut read).unwrap();
        let at = usize::try_from(offset).unwrap().min(big.len());
        assert!(read == big[at..], "from {offset}");
    }
    for absent in ["nothing", "d/big/below", "../outside"] {
        let error = lab.store.entry(&captured.id, &root.join(absent)).await.unwrap_err();
        assert!(matches!(error, StoreError::PathNotFound { .. }), "{error}");
    }
}

#[tokio::test]
async fn manifests_are_read_as_they_were_sealed() {
    let lab = Lab::new();
    lab.write("a", "a");
    let captured = lab.capture(None).await;
    let sealed = captured.sealed;
    assert_eq!(sealed.request_id, "request");
    assert_eq!(sealed.name, format!("gateways/lab/snapshots/{}", captured.id));
    for store in [lab.store.clone(), lab.reopened()] {
        assert_eq!(store.get(&captured.id).await.unwrap(), sealed);
        let listing = store.list().await.unwrap();
        // The provisional one is gone.
        assert_eq!((listing.snapshots, listing.foreign), (vec![sealed.clone()], 0));
    }
    let unknown = "0".repeat(64).parse().unwrap();
    assert_eq!(lab.store.get(&unknown).await, Err(StoreError::NotFound(unknown)));
}

#[tokio::test]
async fn unchanged_files_are_not_read_and_still_there() {
    let lab = Lab::new();
    for n in 0..20 {
        lab.write(&format!("d{}/f{n}", n % 3), noise(10_000, n));
    }
    let first = lab.capture(None).await;
    lab.write("d1/f1", "changed");
    fs::remove_file(lab.root().join("d2/f2")).unwrap();
    lab.write("d2/new", "new");
    let second = lab.capture(Some(&first.id)).await;
    assert_eq!(second.counts.files, 20);
    assert_eq!(second.counts.files_unchanged, 18);
    assert_eq!(second.counts.bytes_read, 10);
    assert_eq!(second.notes, vec![]);
    assert_same(&lab.walked(&second.id).await, &lab.root());
    // A third one has two generations of parents.
    let third = lab.capture(Some(&second.id)).await;
    assert_eq!((third.counts.files_unchanged, third.counts.bytes_read), (20, 0));
    assert_same(&lab.walked(&third.id).await, &lab.root());
}

/// rustic compares less than salvor does: what it would take for unchanged is read all the same.
#[tokio::test]
async fn what_is_given_to_be_read_is_read() {
    let lab = Lab::new();
    let path = lab.write("a", "old content");
    let first = lab.capture(None).await;
    let parent = lab.store.parent(&first.id).await.unwrap();
    let known = entry(&path);
    for (what, changed, inode) in [
        ("as before", known.changed, known.inode),
        ("no inode", known.changed, 0),
        ("no time of change", None, known.inode),
        ("neither", None, 0),
    ] {
        let entry = Entry { changed, inode, ..known.clone() };
        assert_eq!(parent_says(&lab, &first.id, &entry).await, what == "as before", "{what}");
        let parent = lab.store.parent(&first.id).await.unwrap();
        let items = vec![
            Item::Entry(super::entry(&lab.root())),
            Item::File(entry.clone(), Box::new(&b"new content"[..])),
            Item::End,
        ];
        let archived = lab.archive(Some(parent), items).await.unwrap();
        let captured = lab.finish(archived).await;
        assert_eq!(captured.sealed.state(), State::Complete, "{what}: {:?}", captured.notes);
        let stored = lab.store.entry(&captured.id, &path).await.unwrap();
        assert_eq!(content(&stored), b"new content", "{what}");
        // And never taken for unchanged by the next one, whose content it is not known to have.
        assert!(!parent_says(&lab, &captured.id, &entry).await || changed.is_none(), "{what}");
    }
    drop(parent);
}

async fn parent_says(lab: &Lab, id: &SnapshotId, entry: &Entry) -> bool {
    let mut parent = lab.store.parent(id).await.unwrap();
    let entry = entry.clone();
    spawn_blocking(move || parent.unchanged(&entry)).await.unwrap()
}

fn nix_fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}
