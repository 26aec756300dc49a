//! Running the binary, and reading what it says.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The binary without anything of the caller's environment that it reads.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_salvor"));
    for name in ["REGISTRY", "ORCHESTRATOR", "ADAPTER", "OUTPUT", "LOG", "OTLP_ENDPOINT"] {
        command.env_remove(format!("SALVOR_{name}"));
    }
    command
}

/// Runs it to its end.
pub(crate) fn salvor(args: &[&str]) -> Output {
    binary().args(args).output().unwrap()
}

/// What it answered.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What it said aside.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The last line of its answer.
pub(crate) fn last_line(output: &Output) -> Value {
    serde_json::from_str(stdout(output).lines().last().unwrap()).unwrap()
}

/// A running `salvor up`, killed when dropped.
pub(crate) struct Up {
    child: Child,
    /// Its first line.
    pub(crate) said: Value,
}

impl Up {
    /// Starts it on free ports.
    pub(crate) fn start(data_dir: &std::path::Path, more: &[&str]) -> Self {
        let mut command = binary();
        command.args(["up", "--output", "json", "--log", "off", "--data-dir"]).arg(data_dir);
        command.args(["--registry-port", "0", "--orchestrator-port", "0", "--adapter-port", "0"]);
        command.args(more).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { child, said: serde_json::from_str(&line).unwrap() }
    }

    /// Where something listens.
    pub(crate) fn address(&self, of: &str) -> &str {
        self.said[of].as_str().unwrap()
    }

    /// Runs another command against it, to its end.
    pub(crate) fn salvor(&self, args: &[&str]) -> Output {
        let mut command = binary();
        for service in ["registry", "orchestrator", "adapter"] {
            command.env(format!("SALVOR_{}", service.to_uppercase()), self.address(service));
        }
        command.args(args).output().unwrap()
    }

    /// Stops it where it is. Only killing it is of use then.
    pub(crate) fn stop(&self) {
        signal("STOP", self.child.id());
    }

    /// Asks it to end, and answers its exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        signal("TERM", self.child.id());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It may be over already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to one process.
pub(crate) fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").args([format!("-{name}"), process.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Runs a command for programs until it ends with `wanted`; the adapter needs a moment to hear of a gateway, the gateway to make a sandbox.
pub(crate) fn until(up: &Up, args: &[&str], wanted: i32) -> Value {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let output = up.salvor(&[args, &["-o", "json"]].concat());
        if output.status.code() == Some(wanted) {
            return last_line(&output);
        }
        assert!(Instant::now() < deadline, "{args:?}: {}{}", stdout(&output), stderr(&output));
        std::thread::sleep(Duration::from_millis(100));
    }
}
