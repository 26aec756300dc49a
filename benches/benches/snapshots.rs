//! The snapshot store against `restic backup` and `tar | zstd -3`: the same tree, the same disk, one after the other.
//!
//! Each run is a process of its own, whose peak memory is read while it runs. The store reads all that it wrote back, which
//! the others do not do; it is given with that and without. What the store reads goes nowhere, what restic restores to disk.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use salvor_benches::{conditions, measuring};
use salvor_gateway_adapter::measure::Measured;
use salvor_gateway_adapter::{PasswordSource, RepositoryConfig};

/// Set for the processes that use the store.
const CHILD: &str = "SALVOR_BENCH_SNAPSHOT";

/// One way of keeping a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Store,
    Restic,
    Tar,
}

/// What a process took.
#[derive(Debug, Clone, Copy)]
struct Taken {
    time: Duration,
    /// In KiB.
    memory: u64,
}

#[derive(Debug)]
struct Place {
    home: tempfile::TempDir,
}

#[tokio::main]
async fn main() -> Result<()> {
    if let Ok(task) = env::var(CHILD) {
        return child(&task).await;
    }
    conditions(
        "snapshots of a local tree: this store (with read-back), restic backup, tar | zstd -3",
    );
    let (megabytes, large) = if measuring() { (1000, 100 << 20) } else { (4, 1 << 20) };
    for (what, size) in [("many small files", 16 << 10), ("few large files", large)] {
        let place = Place { home: tempfile::tempdir()? };
        let count = (megabytes << 20) / size;
        place.fill(count, size)?;
        println!("{what}: {count} of {} KiB, half of it compressible", size >> 10);
        place.row("first", megabytes)?;
        // One in a hundred, and at least one.
        for at in 0..count.div_ceil(100) {
            place.write(at * 100 % count, size, 1)?;
        }
        place.row("1 % changed", megabytes)?;
        place.reading(megabytes)?;
    }
    Ok(())
}

// === impl Place ===

impl Place {
    fn tree(&self) -> PathBuf {
        self.home.path().join("tree")
    }

    fn at(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    fn fill(&self, count: usize, size: usize) -> Result<()> {
        fs::write(self.at("password"), "bench\n")?;
        (0..count).try_for_each(|at| self.write(at, size, 0))
    }

    fn write(&self, at: usize, size: usize, round: u64) -> Result<()> {
        let directory = self.tree().join(format!("{:03}", at / 256));
        fs::create_dir_all(&directory)?;
        let mut file = fs::File::create(directory.join(format!("{at:06}")))?;
        let mut state = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (round << 40) | 1;
        let mut left = size;
        while left > 0 {
            // 8 KiB of noise, 8 KiB of text.
            let mut piece = Vec::with_capacity(16 << 10);
            while piece.len() < 8 << 10 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                piece.extend(state.to_le_bytes());
            }
            let mut text = String::new();
            while text.len() < 8 << 10 {
                let length = text.len();
                writeln!(text, "line {length} of file {at}")?;
            }
            piece.extend(&text.as_bytes()[..8 << 10]);
            piece.truncate(left);
            file.write_all(&piece)?;
            left -= piece.len();
        }
        Ok(())
    }

    fn row(&self, what: &str, megabytes: usize) -> Result<()> {
        let mut restic = None;
        for tool in [Tool::Restic, Tool::Tar, Tool::Store] {
            let Some(mut taken) = self.keep(tool)? else {
                println!("  {what:15} {tool:?}: not installed");
                continue;
            };
            match tool {
                Tool::Restic => restic = Some(taken),
                // The shell's, which is nobody's question.
                Tool::Tar => taken.memory = 0,
                Tool::Store => {}
            }
            print(what, &format!("{tool:?}"), megabytes, taken, restic);
            if tool == Tool::Store {
                let seconds = fs::read_to_string(self.at("reading-back"))?.parse()?;
                let time = taken.time.saturating_sub(Duration::from_secs_f64(seconds));
                let taken = Taken { time, memory: 0 };
                print("  not read back", "Store", megabytes, taken, restic);
            }
        }
        Ok(())
    }

    fn reading(&self, megabytes: usize) -> Result<()> {
        let target = self.at("restored");
        let arguments = ["restore", "latest", "--target", &target, "--repo", &self.at("restic")];
        let mut restic = Command::new("restic");
        restic.args(arguments).arg("--password-file").arg(self.at("password"));
        let restic = if installed("restic") { Some(run(restic.arg("--no-cache"))?) } else { None };
        if let Some(restic) = restic {
            print("read", "Restic", megabytes, restic, Some(restic));
        }
        print("read", "Store", megabytes, run(&mut self.child("read")?)?, restic);
        Ok(())
    }

    fn keep(&self, tool: Tool) -> Result<Option<Taken>> {
        let tree = self.tree().display().to_string();
        let mut command = match tool {
            Tool::Store => self.child("capture")?,
            Tool::Restic if !installed("restic") => return Ok(None),
            Tool::Tar if !installed("zstd") => return Ok(None),
            Tool::Restic => {
                let (repository, password) = (self.at("restic"), self.at("password"));
                let set = ["--no-cache", "--repo", &repository, "--password-file", &password];
                if !Path::new(&repository).exists() {
                    run(Command::new("restic").args(set).arg("init"))?;
                }
                let mut command = Command::new("restic");
                command.args(set).args(["backup", &tree]);
                command
            }
            Tool::Tar => {
                let mut command = Command::new("sh");
                let pipe = "tar -cf - \"$1\" | zstd -q -3 -f -o \"$2\" - && sync \"$2\"";
                command.args(["-c", pipe, "sh", &tree, &self.at("tar.zst")]);
                command
            }
        };
        Ok(Some(run(&mut command)?))
    }

    fn child(&self, task: &str) -> Result<Command> {
        let mut command = Command::new(env::current_exe().context("own program")?);
        command.env(CHILD, task).current_dir(self.home.path());
        Ok(command)
    }
}

/// In the directory of its place; the last snapshot's name is in a file there.
async fn child(task: &str) -> Result<()> {
    let home = env::current_dir()?;
    let config = RepositoryConfig {
        repository: home.join("repository").display().to_string(),
        options: std::collections::BTreeMap::new(),
        password: PasswordSource::File(home.join("password")),
    };
    let measured = Measured::new(config, &home.join("tree"));
    let last = fs::read_to_string(home.join("last")).ok();
    if task == "read" {
        let name = last.context("nothing was captured")?;
        measured.read(&name).await.map_err(anyhow::Error::msg)?;
        return Ok(());
    }
    let captured = measured.capture(last.as_deref()).await;
    let (name, reading_back) = captured.map_err(anyhow::Error::msg)?;
    fs::write(home.join("reading-back"), reading_back.as_secs_f64().to_string())?;
    Ok(fs::write(home.join("last"), name)?)
}

fn installed(program: &str) -> bool {
    Command::new(program).arg("--help").output().is_ok()
}

/// Runs a process to its end. Its peak memory is the last that was seen of it, at most 5 ms before its end.
fn run(command: &mut Command) -> Result<Taken> {
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn()?;
    let mut memory = 0;
    let status = loop {
        memory = memory.max(peak(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    ensure!(status.success(), "{command:?}: {status}");
    Ok(Taken { time: begun.elapsed(), memory })
}

/// In KiB.
fn peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "sizes are small")]
fn print(what: &str, tool: &str, megabytes: usize, taken: Taken, restic: Option<Taken>) {
    let seconds = taken.time.as_secs_f64();
    let rate = megabytes as f64 / seconds;
    let memory = match taken.memory / 1024 {
        0 => String::new(),
        mib => format!("{mib} MiB"),
    };
    let ratio = restic.map_or_else(String::new, |restic| {
        format!("   {:5.2} times restic's rate", restic.time.as_secs_f64() / seconds)
    });
    println!("  {what:15} {tool:7} {seconds:8.2} s {rate:8.1} MB/s {memory:>9}{ratio}");
}
