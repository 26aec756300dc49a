//! A sandbox's processes: started in its directory, found again by a mark, and killed for good.
//!
//! Every process carries its sandbox's id in the environment, and children inherit it, so a
//! scan of `/proc` finds what a container runtime would find in a cgroup, even after `setsid`.
//! A process that cleans its environment and leaves its session escapes the scan.
//!
//! Deliberately absent: isolation. A sandbox here is a directory; its commands run as the user
//! of the gateway. Paths under `/sandbox` are mapped by text, see [`Directory::map`].

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// The environment variable that marks a sandbox's processes.
const MARK: &str = "OPENSHELL_SANDBOX_ID";
/// The workspace's path inside a real sandbox.
const INSIDE: &str = "/sandbox";
/// Where a fresh environment looks for programs.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How often a kill is repeated before the scan gives up on an unkillable process.
const KILL_ROUNDS: usize = 400;
const POLL: Duration = Duration::from_millis(5);

/// A sandbox's directory: `sandbox/` is the workspace, `tmp/` its temporary files.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    id: String,
    dir: PathBuf,
}

// === impl Directory ===

impl Directory {
    pub(crate) fn new(containers: &Path, id: &str) -> Self {
        Self { id: id.to_owned(), dir: containers.join(id) }
    }

    /// The workspace: what a real sandbox calls `/sandbox`.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.dir.join("sandbox")
    }

    /// Whether the container exists, running or not.
    pub(crate) fn exists(&self) -> bool {
        self.workspace().is_dir()
    }

    pub(crate) fn create(&self) -> io::Result<()> {
        fs::create_dir_all(self.workspace())?;
        fs::create_dir_all(self.dir.join("tmp"))
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// `text` with `/sandbox` replaced by the workspace's real path where it is a whole path
    /// component at the start of a path: `/sandbox`, `/sandbox/a`, `if=/sandbox/a`, but not
    /// `/opt/sandbox` or `/sandboxes`. Paths that a program builds itself are not seen, and
    /// output shows real paths.
    pub(crate) fn map(&self, text: &str) -> String {
        let real = self.workspace().to_string_lossy().into_owned();
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(INSIDE) {
            let (before, after) = (&rest[..at], &rest[at + INSIDE.len()..]);
            let last = before.chars().next_back().or_else(|| out.chars().next_back());
            let starts = last.is_none_or(|c| !is_path_char(c));
            let ends = after.chars().next().is_none_or(|c| c == '/' || !is_path_char(c));
            out.push_str(before);
            out.push_str(if starts && ends { &real } else { INSIDE });
            rest = after;
        }
        out + rest
    }

    /// A command in the workspace with the environment of this sandbox, marked as its own.
    pub(crate) fn command(&self, program: &str, env: &BTreeMap<String, String>) -> Command {
        let home = self.workspace();
        let mut command = Command::new(program);
        command
            .current_dir(&home)
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .env("SHELL", "/bin/bash")
            .env("TMPDIR", self.dir.join("tmp"))
            .envs(env.iter().map(|(key, value)| (key, self.map(value))))
            .env("HOME", &home)
            .env("OPENSHELL_SANDBOX", "1")
            .env(MARK, &self.id)
            .process_group(0)
            .stdin(Stdio::piped());
        command
    }

    /// Starts the main process. Its stdin stays open and silent, as a terminal nobody types in.
    pub(crate) fn spawn_main(
        &self,
        argv: &[String],
        env: &BTreeMap<String, String>,
    ) -> io::Result<Child> {
        let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        self.command(&self.map(program), env)
            .args(arguments.iter().map(|argument| self.map(argument)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }
}

/// Waits until a scan finds a process that was just started: until its program is set up, its environment reads as empty.
pub(crate) async fn shown(child: &mut Child) {
    let Some(pid) = child.id() else { return };
    for _ in 0..KILL_ROUNDS {
        let empty = fs::read(format!("/proc/{pid}/environ")).is_ok_and(|read| read.is_empty());
        // That of one that has ended does, too.
        if !empty || !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        sleep(POLL).await;
    }
}

fn is_path_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-')
}

/// The live processes of the sandboxes `ids`.
pub(crate) fn processes(ids: &[String]) -> Vec<i32> {
    if ids.is_empty() {
        return Vec::new();
    }
    let marks: Vec<String> = ids.iter().map(|id| format!("{MARK}={id}")).collect();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|entry| marks.iter().any(|mark| mark.as_bytes() == entry))
        })
        .collect()
}

/// Sends a signal to every live process of the sandboxes `ids`; how many there were.
pub(crate) fn signal_all(ids: &[String], signal: Signal) -> usize {
    let pids = processes(ids);
    for pid in &pids {
        // A process that is gone by now is what the signal wanted.
        let _ = kill(Pid::from_raw(*pid), signal);
    }
    pids.len()
}

/// Ends every process of the sandboxes `ids` and returns when none is left.
///
/// With a grace period they are asked first. Cancelling leaves some of them running.
pub(crate) async fn end_all(ids: &[String], grace: Option<Duration>) {
    if let Some(grace) = grace {
        let deadline = Instant::now() + grace;
        signal_all(ids, Signal::SIGTERM);
        signal_all(ids, Signal::SIGCONT);
        while Instant::now() < deadline && !processes(ids).is_empty() {
            sleep(POLL).await;
        }
    }
    for _ in 0..KILL_ROUNDS {
        if signal_all(ids, Signal::SIGKILL) == 0 {
            return;
        }
        sleep(POLL).await;
    }
    tracing::error!(?ids, "processes of a sandbox did not die");
}

/// As [`end_all`] without grace, for a place that cannot wait: one scan after the other.
pub(crate) fn end_all_now(ids: &[String]) {
    for _ in 0..KILL_ROUNDS {
        if signal_all(ids, Signal::SIGKILL) == 0 {
            return;
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_the_workspace_where_it_is_a_path_of_its_own() {
        let root = Directory::new(Path::new("/data"), "id");
        for (text, mapped) in [
            ("/sandbox", "/data/id/sandbox"),
            ("/sandbox/a b", "/data/id/sandbox/a b"),
            ("tar -C '/sandbox' -cf - .", "tar -C '/data/id/sandbox' -cf - ."),
            ("if=/sandbox/x;cat /sandbox/y", "if=/data/id/sandbox/x;cat /data/id/sandbox/y"),
            ("/opt/sandbox", "/opt/sandbox"),
            ("/sandboxes", "/sandboxes"),
            ("/sandbox-old", "/sandbox-old"),
            ("/sandbox/sandbox", "/data/id/sandbox/sandbox"),
            ("", ""),
        ] {
            assert_eq!(root.map(text), mapped, "{text}");
        }
    }

    #[tokio::test]
    async fn what_has_started_is_found_at_once_and_what_has_ended_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::new(dir.path(), "6c1d9c64-process-test");
        root.create().unwrap();
        let ids = ["6c1d9c64-process-test".to_owned()];
        for _ in 0..50 {
            let argv = ["sleep", "1000"].map(str::to_owned);
            let mut child = root.spawn_main(&argv, &BTreeMap::new()).unwrap();
            shown(&mut child).await;
            assert_eq!(processes(&ids).len(), 1);
            end_all(&ids, None).await;
            child.wait().await.unwrap();
            shown(&mut child).await;
        }
    }

    #[tokio::test]
    async fn finds_and_ends_every_descendant_even_in_a_session_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let root = Directory::new(dir.path(), "5b0c9c64-process-test");
        root.create().unwrap();
        let script = "setsid sleep 1000 & sleep 1000 & wait";
        let argv = ["/bin/sh", "-c", script].map(str::to_owned);
        let mut child = root.spawn_main(&argv, &BTreeMap::new()).unwrap();
        let ids = ["5b0c9c64-process-test".to_owned()];
        while processes(&ids).len() < 3 {
            tokio::task::yield_now().await;
        }

        end_all(&ids, None).await;

        assert_eq!(processes(&ids), Vec::<i32>::new());
        assert!(!child.wait().await.unwrap().success());
    }
}
