//! A tree of files on this machine: what a container is filled with, and what is compared with.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use crate::workspace::{Entry, Kind};

pub(super) struct LocalTree(TempDir);

impl LocalTree {
    pub(super) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Odd names, links of both kinds, a sparse file, a big one, modes and times of all sorts.
    pub(super) fn odd() -> Self {
        let tree = Self::empty();
        let root = tree.path();
        let names: [&[u8]; 9] = [
            b"-rf",
            b"a b",
            b"quote'\"",
            b"line\nbreak",
            b"back\\slash",
            b"\xff\xfe",
            "é🦀".as_bytes(),
            b".hidden",
            b"a.d",
        ];
        for name in names {
            fs::write(root.join(OsStr::from_bytes(name)), name).unwrap();
        }
        let deep: PathBuf = (0..6).map(|_| "d".repeat(60)).collect();
        fs::create_dir_all(root.join("a").join(&deep)).unwrap();
        fs::write(root.join("a").join(&deep).join("n".repeat(230)), b"deep").unwrap();
        fs::create_dir(root.join("empty")).unwrap();
        fs::write(root.join("nothing"), b"").unwrap();
        let noise: Vec<u8> =
            (0..20_000_003_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        fs::write(root.join("big"), noise).unwrap();
        let mut sparse = File::create(root.join("sparse")).unwrap();
        sparse.seek(SeekFrom::Start(5 << 20)).unwrap();
        sparse.write_all(b"end").unwrap();
        fs::hard_link(root.join("big"), root.join("a/big-too")).unwrap();
        fs::hard_link(root.join("big"), root.join("zbig")).unwrap();
        fs::hard_link(
            root.join(OsStr::from_bytes(b"\xff\xfe")),
            root.join(OsStr::from_bytes(b"\xff\xff")),
        )
        .unwrap();
        symlink("/etc/passwd", root.join("out")).unwrap();
        symlink("nowhere/at all", root.join("dangling")).unwrap();
        assert!(Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
        fs::set_permissions(root.join("nothing"), Permissions::from_mode(0o4000)).unwrap();
        fs::set_permissions(root.join("empty"), Permissions::from_mode(0o1777)).unwrap();
        let old = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        // Of a recent one with such a name the runtime cannot be asked when it was written.
        for name in [OsStr::new(".hidden"), OsStr::from_bytes(b"\xff\xfe")] {
            File::open(root.join(name)).unwrap().set_modified(old).unwrap();
        }
        tree
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// As the system's tar writes it, the root included, all of it user 1000's.
    pub(super) fn tar(&self) -> Vec<u8> {
        let made = Command::new("tar")
            .args(["--format=posix", "--numeric-owner", "--owner=1000", "--group=1000", "-C"])
            .arg(self.path())
            .args(["-cf", "-", "."])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        made.stdout
    }

    /// The regular files, below `root`, in tree order.
    pub(super) fn files(&self, root: &str) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = Vec::new();
        let mut open = vec![self.path().to_owned()];
        while let Some(dir) = open.pop() {
            for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    open.push(entry.path());
                } else if kind.is_file() {
                    files.push(
                        Path::new(root).join(entry.path().strip_prefix(self.path()).unwrap()),
                    );
                }
            }
        }
        files.sort();
        files
    }

    pub(super) fn content(&self, below: &Path) -> Vec<u8> {
        fs::read(self.path().join(below)).unwrap()
    }

    /// Every entry of an inventory of `root` is as it is here, and none is missing. The root's own line is left aside.
    pub(super) fn compare(&self, root: &str, entries: &[Entry]) {
        let mut seen = 0;
        let mut same: BTreeMap<u64, u64> = BTreeMap::new();
        assert_eq!(entries[0].path, Path::new(root));
        assert!(entries.windows(2).all(|pair| pair[0].path < pair[1].path), "not in tree order");
        for entry in &entries[1..] {
            let below = entry.path.strip_prefix(root).unwrap();
            let local = fs::symlink_metadata(self.path().join(below))
                .unwrap_or_else(|_| panic!("{below:?} is not in the tree"));
            seen += 1;
            let kind = local.file_type();
            let wanted = if kind.is_file() {
                Kind::File
            } else if kind.is_dir() {
                Kind::Directory
            } else if kind.is_symlink() {
                Kind::Symlink(fs::read_link(self.path().join(below)).unwrap())
            } else {
                Kind::Fifo
            };
            assert_eq!(entry.kind, wanted, "{below:?}");
            assert_eq!((entry.uid, entry.gid), (1000, 1000), "{below:?}");
            let seconds = entry.modified.duration_since(UNIX_EPOCH).unwrap().as_secs();
            assert_eq!(i64::try_from(seconds).unwrap(), local.mtime(), "{below:?}");
            if !kind.is_symlink() {
                assert_eq!(entry.mode, local.mode() & 0o7777, "{below:?}");
            }
            if kind.is_file() {
                assert_eq!(entry.size, local.len(), "{below:?}");
                assert_eq!(entry.links, local.nlink(), "{below:?}");
            }
            if entry.links > 1 {
                let here = *same.entry(entry.inode).or_insert(local.ino());
                assert_eq!(here, local.ino(), "{below:?} is another file than its links");
            }
            assert_eq!(entry.changed, None, "no channel may claim what it does not know");
        }
        assert_eq!(seen, count(self.path()), "entries are missing");
    }
}

fn count(dir: &Path) -> usize {
    let mut all = 0;
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        all += 1;
        if entry.file_type().unwrap().is_dir() {
            all += count(&entry.path());
        }
    }
    all
}
