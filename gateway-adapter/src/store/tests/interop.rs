//! The `restic` program reads our snapshots. Skipped where it is not installed, unless `SALVOR_REQUIRE_RESTIC` is set.

use std::env;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use super::*;

fn missing() -> bool {
    if Command::new("restic").arg("version").output().is_ok_and(|done| done.status.success()) {
        return false;
    }
    assert!(env::var_os("SALVOR_REQUIRE_RESTIC").is_none(), "restic is required and not installed");
    // Past the test's captured output.
    let _ = io::stderr().write_all(b"skipped: restic is not installed (SALVOR_REQUIRE_RESTIC)\n");
    true
}

impl Lab {
    fn restic(&self, arguments: &[&str]) -> String {
        let done = Command::new("restic")
            .args(["--no-cache", "--repo", self.repository().to_str().unwrap()])
            .arg("--password-file")
            .arg(self.home.path().join("password"))
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        text(&done.stdout)
    }
}

#[tokio::test]
async fn restic_checks_lists_compares_and_restores() {
    if missing() {
        return;
    }
    let lab = Lab::new();
    let root = lab.root();
    lab.write("a.txt", "a");
    lab.write("dir/empty", "");
    lab.write("dir/zeros", vec![0; 3 << 20]);
    lab.write("dir/large", noise(12 << 20, 1));
    lab.write("new\nline \"quoted\" back\\slash ü", "x");
    lab.write("-dash", "x");
    fs::hard_link(root.join("a.txt"), root.join("hard")).unwrap();
    symlink("a.txt", root.join("link")).unwrap();
    symlink("/nowhere/../at all", root.join("dangling")).unwrap();
    fs::create_dir_all(root.join("deep/er")).unwrap();
    let mode = |name: &str, mode| {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("deep", 0o2750);
    mode("a.txt", 0o4711);
    let old = fs::File::options().write(true).open(root.join("a.txt")).unwrap();
    old.set_modified(UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123_456_789)).unwrap();
    let first = lab.capture(None).await;
    lab.write("dir/added", "new");
    fs::remove_file(root.join("-dash")).unwrap();
    let second = lab.capture(Some(&first.id)).await;
    assert_eq!(second.sealed.state(), State::Complete, "{:?}", second.notes);

    let checked = lab.restic(&["check", "--read-data"]);
    assert!(checked.contains("no errors were found"), "{checked}");
    let snapshots: serde_json::Value =
        serde_json::from_str(&lab.restic(&["snapshots", "--json"])).unwrap();
    let ids: Vec<_> = snapshots.as_array().unwrap().iter().map(|s| s["id"].clone()).collect();
    assert_eq!(ids, [first.id.as_str(), second.id.as_str()]);
    assert_eq!(snapshots[0]["hostname"], "lab");
    assert_eq!(snapshots[0]["paths"][0], root.to_str().unwrap());
    let listed = lab.restic(&["ls", second.id.as_str()]);
    assert!(listed.contains(&format!("{}/dir/large", root.display())), "{listed}");
    let compared = lab.restic(&["diff", first.id.as_str(), second.id.as_str()]);
    assert!(compared.contains(&format!("+    {}/dir/added", root.display())), "{compared}");
    assert!(compared.contains(&format!("-    {}/-dash", root.display())), "{compared}");
    let target = lab.home.path().join("restored");
    lab.restic(&["restore", second.id.as_str(), "--target", target.to_str().unwrap()]);
    assert_restored(&root, &target.join(root.strip_prefix("/").unwrap()));
}

/// Two trees that differ only in inodes and times of change.
fn assert_restored(original: &Path, restored: &Path) {
    let bare = |root: &Path| -> Vec<Entry> {
        let inodes: Vec<u64> = paths(root).iter().map(|path| entry(path).inode).collect();
        let first = |inode| inodes.iter().position(|other| *other == inode).unwrap() as u64;
        let bare = |path: &PathBuf| {
            let entry = entry(path);
            Entry {
                path: path.strip_prefix(root).unwrap().to_owned(),
                changed: None,
                // Which of them are the same file.
                inode: first(entry.inode),
                ..entry
            }
        };
        paths(root).iter().map(bare).collect()
    };
    assert_eq!(bare(original), bare(restored));
    for path in paths(original).iter().filter(|path| path.is_file()) {
        let other = restored.join(path.strip_prefix(original).unwrap());
        assert!(fs::read(path).unwrap() == fs::read(other).unwrap(), "{}", path.display());
    }
}

/// And the other way round: what restic does to a repository does not disturb ours.
#[tokio::test]
async fn a_repository_that_restic_made_and_used_is_used() {
    if missing() {
        return;
    }
    let lab = Lab::new();
    lab.write("a", noise(50_000, 1));
    lab.restic(&["init"]);
    let root = lab.root();
    lab.restic(&["backup", root.to_str().unwrap()]);
    let captured = lab.capture(None).await;
    assert_eq!(captured.sealed.state(), State::Complete, "{:?}", captured.notes);
    // restic's has the same pieces: nothing of the file was stored twice.
    assert!(captured.counts.bytes_stored < 25_000, "{:?}", captured.counts);
    let listing = lab.store.list().await.unwrap();
    assert_eq!((listing.snapshots.len(), listing.foreign), (1, 1));
    lab.restic(&["forget", "--prune", "--keep-last", "1", "--group-by", "host"]);
    let checked = lab.restic(&["check", "--read-data"]);
    assert!(checked.contains("no errors were found"), "{checked}");
    assert_same(&lab.walked(&captured.id).await, &root);
    assert!(lab.store.verify(&captured.id, quiet()).await.unwrap().intact);
}
