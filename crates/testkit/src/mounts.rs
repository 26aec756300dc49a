//! Small disks of a test's own: the test is run again, as a process that may mount what nobody else sees.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// Set in the run that may mount.
const INSIDE: &str = "SALVOR_TEST_INSIDE";
/// A user and a mount namespace of the process's own.
const NAMESPACE: [&str; 4] = ["--user", "--map-root-user", "--mount", "--"];

/// Whether this is the run of the test that may mount. If it is not, that run was made, and has passed; or there can be none
/// here, which is said aloud. `test`: its full name within its program.
///
/// # Panics
/// The other run failed; or there can be none, and `SALVOR_REQUIRE_MOUNT=1` is set.
pub fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let may = Command::new("unshare").args(NAMESPACE).arg("true").status();
    if !may.is_ok_and(|ended| ended.success()) {
        let why = "a disk of its own needs unshare and user namespaces";
        let required = std::env::var("SALVOR_REQUIRE_MOUNT").is_ok_and(|word| word == "1");
        assert!(!required, "SALVOR_REQUIRE_MOUNT=1, and {why}");
        // Straight to the stream: the test harness keeps what the print macros write.
        let _ = writeln!(std::io::stderr(), "skipped: {why}");
        return false;
    }
    let program = std::env::current_exe().unwrap_or_default();
    let mut run = Command::new("unshare");
    run.args(NAMESPACE).arg(program).args(["--exact", test]).env(INSIDE, "1");
    let (passed, said) = match run.output() {
        Ok(ended) => {
            let said = String::from_utf8_lossy(&ended.stdout).into_owned();
            let passed = ended.status.success() && said.contains("1 passed");
            (passed, said + &String::from_utf8_lossy(&ended.stderr))
        }
        Err(error) => (false, error.to_string()),
    };
    assert!(passed, "{test}: {said}");
    false
}

/// Mounts a file system of so many MiB, for as long as this process lives.
///
/// # Panics
/// It cannot be mounted.
pub fn small(directory: &Path, mebibytes: u32) {
    let size = format!("size={mebibytes}m");
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", size.as_str(), "tmpfs"]).arg(directory);
    let mounted = mount.status().is_ok_and(|ended| ended.success());
    assert!(mounted, "no file system could be mounted on {}", directory.display());
}

/// Writes into a file until nothing more fits on its disk.
///
/// # Panics
/// It cannot be made.
#[expect(clippy::expect_used, reason = "a disk that is to be filled takes a file's name")]
pub fn fill(ballast: &Path) {
    let mut file = std::fs::File::create(ballast).expect("a file on the small disk");
    while file.write_all(&[0; 4096]).is_ok() {}
    while file.write_all(&[0]).is_ok() {}
}
