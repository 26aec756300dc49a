//! Snapshots back into sandboxes, and what is said of it.

mod cuts;
mod meanwhile;
mod modes;
mod refusals;
mod site;

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::target::BOTH;

use site::{Site, all_applied, seen, wipe};

/// A small generator: the same tree for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Files, directories, links and odd names, modes and times.
fn grow(directory: &Path, dice: &mut Dice, depth: u64) {
    const NAMES: [&[u8]; 8] =
        [b"plain", b"-rf", b"new\nline", b"\xff\xfe", b"back\\slash", b" space ", b"\"q'", b"*?$"];
    let mut files: Vec<PathBuf> = Vec::new();
    for index in 0..3 + dice.roll(5) {
        let mut name = NAMES[usize::try_from(dice.roll(8)).unwrap()].to_vec();
        name.extend(index.to_string().bytes());
        if dice.roll(6) == 0 {
            name.extend([b'x'; 200]);
        }
        let path = directory.join(OsStr::from_bytes(&name));
        let mode = [0o644, 0o600, 0o755, 0o4711, 0o444][usize::try_from(dice.roll(5)).unwrap()];
        match dice.roll(10) {
            0 | 1 if depth > 0 => {
                fs::create_dir(&path).unwrap();
                grow(&path, dice, depth - 1);
                fs::set_permissions(&path, Permissions::from_mode(0o500 | (mode & 0o77))).unwrap();
            }
            2 => symlink("../no where/\u{e9}", &path).unwrap(),
            3 if !files.is_empty() => {
                let other = &files[usize::try_from(dice.roll(files.len() as u64)).unwrap()];
                fs::hard_link(other, &path).unwrap();
            }
            _ => {
                let size = [0, 1, 511, 512, 513, 70_000][usize::try_from(dice.roll(6)).unwrap()];
                let content: Vec<u8> =
                    (0..size).map(|_| u8::try_from(dice.roll(256)).unwrap()).collect();
                fs::write(&path, content).unwrap();
                fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
                let time = std::time::UNIX_EPOCH
                    + std::time::Duration::new(
                        dice.roll(2_000_000_000),
                        7 * u32::try_from(dice.roll(100_000_000)).unwrap(),
                    );
                fs::File::open(&path).unwrap().set_modified(time).unwrap();
                files.push(path);
            }
        }
    }
}

#[tokio::test]
async fn a_wiped_workspace_comes_back_byte_for_byte() {
    for (seed, dialect) in [(1, BOTH[0]), (2, BOTH[1]), (3, BOTH[0])] {
        let mut site = Site::new(dialect).await;
        grow(&site.root, &mut Dice(0x9e37_79b9_7f4a_7c15 + seed), 3);
        let before = seen(&site.root);
        let snapshot = site.take().await;
        wipe(&site.root);
        let report = site.restore(&snapshot).await;
        all_applied(&report);
        assert_eq!(seen(&site.root), before, "seed {seed}");
        // The root itself was there.
        assert_eq!(report.files_written, before.len() as u64 - 1);
        assert!(site.verify(&snapshot).await.intact);
        // Again: nothing is sent, and it is the same.
        site.target.control().clear_calls();
        let report = site.restore(&snapshot).await;
        all_applied(&report);
        assert_eq!((report.files_written, report.bytes_written, report.files_removed), (0, 0, 0));
        assert_eq!(report.files_skipped, before.len() as u64);
        assert_eq!(seen(&site.root), before);
        // Changed in every way that counts.
        let mut dice = Dice(77);
        let paths: Vec<PathBuf> =
            before.keys().filter(|path| !path.as_os_str().is_empty()).cloned().collect();
        for path in paths {
            let path = site.root.join(path);
            let Ok(meta) = path.symlink_metadata() else { continue };
            match (dice.roll(4), meta.is_dir()) {
                (0, true) => fs::remove_dir_all(&path).unwrap(),
                (0, false) => {
                    fs::remove_file(&path).unwrap();
                    fs::create_dir(&path).unwrap();
                    fs::write(path.join("inside"), "x").unwrap();
                }
                (1, true) => fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap(),
                (1, false) if meta.is_file() => fs::write(&path, "changed").unwrap(),
                _ => {}
            }
        }
        assert!(!site.verify(&snapshot).await.intact);
        all_applied(&site.restore(&snapshot).await);
        assert_eq!(seen(&site.root), before, "seed {seed}");
    }
}

#[tokio::test]
async fn what_the_snapshot_does_not_hold_is_taken_away_but_what_it_left_out_stays() {
    let mut site = Site::new(BOTH[0]).await;
    site.write("kept", "kept");
    site.write("cache/blob", "left out");
    let snapshot = site.take_with(false, &["cache/"]).await;
    site.write("new/deep/file", "new");
    site.write("cache/more", "left out too");
    site.write("other/cache/x", "left out, in a directory of its own");
    site.write("other/file", "new");
    symlink("/etc/passwd", site.path("link")).unwrap();
    let report = site.restore(&snapshot).await;
    all_applied(&report);
    assert_eq!((report.files_removed, report.files_written), (5, 0), "{report:?}");
    assert_eq!(site.read("cache/blob"), b"left out");
    assert_eq!(site.read("cache/more"), b"left out too");
    assert_eq!(site.read("other/cache/x"), b"left out, in a directory of its own");
    assert!(!site.path("other/file").exists() && !site.path("new").exists());
    assert!(site.path("link").symlink_metadata().is_err());
}

#[tokio::test]
async fn links_planted_in_the_way_are_replaced_and_not_followed() {
    let mut site = Site::new(BOTH[1]).await;
    site.write("dir/sub/file", "the snapshot's");
    site.write("file", "the snapshot's");
    let snapshot = site.take().await;
    let outside = site.root.with_file_name("outside");
    fs::create_dir_all(outside.join("sub")).unwrap();
    for name in ["sub/file", "victim"] {
        fs::write(outside.join(name), "untouched").unwrap();
    }
    fs::remove_dir_all(site.path("dir")).unwrap();
    symlink(&outside, site.path("dir")).unwrap();
    fs::remove_file(site.path("file")).unwrap();
    symlink(outside.join("victim"), site.path("file")).unwrap();
    symlink(&outside, site.path("more")).unwrap();
    all_applied(&site.restore(&snapshot).await);
    assert_eq!(site.read("dir/sub/file"), b"the snapshot's");
    assert!(site.path("dir").symlink_metadata().unwrap().is_dir());
    assert!(site.path("file").symlink_metadata().unwrap().is_file());
    for name in ["sub/file", "victim"] {
        assert_eq!(fs::read(outside.join(name)).unwrap(), b"untouched");
    }
}
