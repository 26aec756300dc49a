//! The container runtime of this machine, for tests that run sandboxes in real containers.

use std::io::Write as _;
use std::process::{Command, Stdio};

use salvor_devgateway::DockerDriver;

/// Made by `.ci/lib/sandbox-image`.
const IMAGE: &str = "salvor-test-sandbox:local";
const SOCKET: &str = "/var/run/docker.sock";

/// Sandboxes in containers that are removed with their gateway. `None`, said aloud, where there is no Docker or no image.
///
/// # Panics
/// There is none, and `SALVOR_REQUIRE_DOCKER=1` is set.
pub fn containers() -> Option<DockerDriver> {
    let mut look = Command::new("docker");
    look.args(["image", "inspect", IMAGE]).stdout(Stdio::null()).stderr(Stdio::null());
    if look.status().is_ok_and(|ended| ended.success()) {
        return Some(DockerDriver { socket: SOCKET.into(), image: IMAGE.into(), keep: false });
    }
    let why = format!("there is no Docker here, or no image {IMAGE} (run .ci/lib/sandbox-image)");
    let required = std::env::var("SALVOR_REQUIRE_DOCKER").is_ok_and(|word| word == "1");
    assert!(!required, "SALVOR_REQUIRE_DOCKER=1, and {why}");
    // Straight to the stream: the test harness keeps what the print macros write.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
    None
}
