//! A disk that is full. It has to be mounted: as the superuser, or in namespaces of its own, where the test is run again. Where
//! neither is allowed it is skipped, unless `SALVOR_REQUIRE_MOUNT=1` is set.

use std::env;
use std::io::{self, Write as _};
use std::process::Command;

use super::*;

const TEST: &str = "store::tests::full::a_full_disk_is_said_and_harms_no_snapshot";
/// Set in the run that may mount.
const INSIDE: &str = "SALVOR_TEST_INSIDE";

/// A file system of a few megabytes, for as long as it lives.
struct Small(PathBuf);

impl Small {
    /// `None`: the test was run elsewhere, or cannot be.
    fn mounted(path: &Path, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let size = format!("size={megabytes}m");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", size.as_str(), "none"])
            .arg(path)
            .output();
        if mount.is_ok_and(|done| done.status.success()) {
            return Some(Self(path.to_owned()));
        }
        assert!(env::var_os(INSIDE).is_none(), "nothing can be mounted in a namespace of its own");
        if !elsewhere() {
            let required = env::var("SALVOR_REQUIRE_MOUNT").is_ok_and(|word| word == "1");
            assert!(!required, "SALVOR_REQUIRE_MOUNT=1, and nothing can be mounted here");
            // Past the test's captured output.
            let _ = io::stderr().write_all(b"skipped: no file system can be mounted here\n");
        }
        None
    }
}

/// Whether the test could be run, and passed, where it may mount.
fn elsewhere() -> bool {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--"]);
        command
    };
    if !unshare().arg("true").status().is_ok_and(|done| done.success()) {
        return false;
    }
    let mut run = unshare();
    run.arg(env::current_exe().unwrap()).args(["--exact", TEST]).env(INSIDE, "1");
    let done = run.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
    true
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_harms_no_snapshot() {
    let lab = Lab::new();
    let Some(_disk) = Small::mounted(&lab.repository(), 12) else { return };
    lab.write("a", noise(1 << 20, 1));
    let first = lab.capture(None).await;
    lab.write("b", noise(20 << 20, 2));
    let (parent, given) = items(&lab.root(), None)();
    let error = lab.archive(parent, given).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    let listing = lab.reopened().list().await.unwrap();
    assert_eq!((listing.snapshots, listing.foreign), (vec![first.sealed], 0));
    assert!(lab.reopened().verify(&first.id, quiet()).await.unwrap().intact);
    assert_eq!(half_written(&lab.repository()), Vec::<PathBuf>::new());
}

fn half_written(repository: &Path) -> Vec<PathBuf> {
    let data = paths(&repository.join("data"));
    let half =
        |path: &PathBuf| path.is_file() && path.file_name().is_none_or(|name| name.len() != 64);
    data.into_iter().filter(half).collect()
}
