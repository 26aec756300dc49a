//! A disk that is full. Needs to mount one; skipped where that is not allowed.

use std::io::{self, Write as _};
use std::process::Command;

use super::*;

/// A file system of a few megabytes, for as long as it lives.
struct Small(PathBuf);

impl Small {
    fn mounted(path: &Path, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let size = format!("size={megabytes}m");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", size.as_str(), "none"])
            .arg(path)
            .output();
        let mounted = mount.is_ok_and(|done| done.status.success());
        if !mounted {
            // Past the test's captured output.
            let _ = io::stderr().write_all(b"skipped: no file system can be mounted here\n");
        }
        mounted.then(|| Self(path.to_owned()))
    }
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
