//! What a sandbox runs in: a directory and processes of this host, a container of its own, or nothing at all.
//!
//! All keep a sandbox's files apart from its row, under its id. Invariant: whether a container exists is answered without
//! asking anybody, so that the world can look while it holds its rows.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::config::{Config, Driver as Configured};
use crate::process::{self, Directory};

pub(crate) mod docker;
mod imaginary;

use docker::Docker;
use imaginary::Imaginary;
use tokio_util::sync::CancellationToken;

/// The exit code of a main process that was killed from outside.
const KILLED: i32 = 137;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) enum Driver {
    /// Directories here, and processes that carry their mark.
    Processes(PathBuf),
    /// Containers.
    Docker(Arc<Docker>),
    /// What is remembered of them.
    Imaginary(Arc<Imaginary>),
}

/// The files of one sandbox, and what runs beside them.
#[derive(Debug, Clone)]
pub(crate) enum Root {
    Directory(Directory),
    Container { id: String, docker: Arc<Docker> },
    Imaginary { id: String, remembered: Arc<Imaginary> },
}

/// What a container is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blueprint<'a> {
    pub(crate) name: &'a str,
    pub(crate) workspace: &'a str,
    pub(crate) command: &'a [String],
    pub(crate) env: &'a BTreeMap<String, String>,
}

/// A main process that was started.
pub(crate) enum Main {
    Process(Child),
    /// A client that waits for a container's end and prints its exit code.
    Waiting(Child),
    /// One that runs until this is cancelled.
    Imaginary(CancellationToken),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, or asked to: its exit code, 128 + n for a signal.
    Exited(i32),
    /// Its container was killed.
    Killed,
}

// === impl Driver ===

impl Driver {
    /// What the settings ask for. With containers: those of an earlier gateway on this data directory are known from here on.
    pub(crate) async fn open(config: &Config) -> io::Result<Self> {
        match &config.driver {
            Configured::Processes => Ok(Self::Processes(config.data_dir.join("containers"))),
            Configured::Docker(settings) => {
                Ok(Self::Docker(Docker::open(settings.clone(), &config.data_dir).await?))
            }
            Configured::Imaginary => Ok(Self::Imaginary(Arc::default())),
        }
    }

    /// The files of one sandbox, whether they exist or not.
    pub(crate) fn root(&self, id: &str) -> Root {
        match self {
            Self::Processes(containers) => Root::Directory(Directory::new(containers, id)),
            Self::Docker(docker) => {
                Root::Container { id: id.to_owned(), docker: Arc::clone(docker) }
            }
            Self::Imaginary(remembered) => {
                Root::Imaginary { id: id.to_owned(), remembered: Arc::clone(remembered) }
            }
        }
    }

    /// The ids of every container, with or without a row.
    pub(crate) fn ids(&self) -> Vec<String> {
        match self {
            Self::Processes(containers) => {
                let entries = std::fs::read_dir(containers).into_iter().flatten().flatten();
                entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
            }
            Self::Docker(docker) => docker.ids(),
            Self::Imaginary(remembered) => remembered.ids(),
        }
    }

    /// The live processes of one sandbox; of a container its main process.
    pub(crate) fn processes(&self, id: &str) -> Vec<i32> {
        match self {
            Self::Processes(_) => process::processes(&[id.to_owned()]),
            Self::Docker(docker) => docker.main_process(id).into_iter().collect(),
            Self::Imaginary(remembered) => remembered.runs(id).then_some(1).into_iter().collect(),
        }
    }

    /// Ends every process of these sandboxes and returns when none is left; with a grace period they are asked first.
    pub(crate) async fn end_all(&self, ids: &[String], grace: Option<Duration>) {
        match self {
            Self::Processes(_) => process::end_all(ids, grace).await,
            Self::Docker(docker) => Box::pin(docker.end_all(ids, grace)).await,
            Self::Imaginary(remembered) => ids.iter().for_each(|id| remembered.end(id)),
        }
    }

    /// As `end_all` without grace for every sandbox, where nothing can be waited for.
    pub(crate) fn end_everything_now(&self) {
        match self {
            Self::Processes(_) => process::end_all_now(&self.ids()),
            Self::Docker(docker) => docker.end_everything_now(),
            Self::Imaginary(remembered) => {
                remembered.ids().iter().for_each(|id| remembered.end(id));
            }
        }
    }

    /// What is left once everything has ended and the gateway goes.
    pub(crate) async fn close(&self) {
        if let Self::Docker(docker) = self {
            docker.close().await;
        }
    }

    /// Lets every process of a sandbox stand still.
    pub(crate) async fn pause(&self, id: &str) {
        match self {
            Self::Processes(_) => drop(process::signal_all(&[id.to_owned()], Signal::SIGSTOP)),
            Self::Docker(docker) => docker.pause(id).await,
            Self::Imaginary(_) => {}
        }
    }

    /// Lets them go on.
    pub(crate) async fn unpause(&self, id: &str) {
        match self {
            Self::Processes(_) => drop(process::signal_all(&[id.to_owned()], Signal::SIGCONT)),
            Self::Docker(docker) => docker.unpause(id).await,
            Self::Imaginary(_) => {}
        }
    }
}

// === impl Root ===

impl Root {
    /// The workspace: what a sandbox calls `/sandbox`.
    pub(crate) fn workspace(&self) -> PathBuf {
        match self {
            Self::Directory(directory) => directory.workspace(),
            Self::Container { .. } | Self::Imaginary { .. } => docker::WORKSPACE.into(),
        }
    }

    /// Whether the container exists, running or not.
    pub(crate) fn exists(&self) -> bool {
        match self {
            Self::Directory(directory) => directory.exists(),
            Self::Container { id, docker } => docker.has(id),
            Self::Imaginary { id, remembered } => remembered.has(id),
        }
    }

    /// Makes the container if it is missing, and starts its main process.
    pub(crate) async fn launch(&self, blueprint: Blueprint<'_>) -> io::Result<Main> {
        match self {
            Self::Directory(directory) => {
                directory.create()?;
                let mut main = directory.spawn_main(blueprint.command, blueprint.env)?;
                process::shown(&mut main).await;
                Ok(Main::Process(main))
            }
            Self::Container { id, docker } => {
                Box::pin(docker.launch(id, blueprint)).await.map(Main::Waiting)
            }
            Self::Imaginary { id, remembered } => Ok(Main::Imaginary(remembered.launch(id))),
        }
    }

    /// Removes the container with its files.
    pub(crate) async fn remove(&self) -> io::Result<()> {
        match self {
            Self::Directory(directory) => directory.remove(),
            Self::Container { id, docker } => Box::pin(docker.remove(id)).await,
            Self::Imaginary { id, remembered } => {
                remembered.remove(id);
                Ok(())
            }
        }
    }

    /// `text` as a command of this sandbox must be given it.
    pub(crate) fn map(&self, text: &str) -> String {
        match self {
            Self::Directory(directory) => directory.map(text),
            Self::Container { .. } | Self::Imaginary { .. } => text.to_owned(),
        }
    }

    /// A command in the workspace with the environment of this sandbox. Its input and output are those of the command.
    pub(crate) fn command(
        &self,
        program: &str,
        env: &BTreeMap<String, String>,
    ) -> io::Result<Command> {
        match self {
            Self::Directory(directory) => Ok(directory.command(program, env)),
            Self::Container { id, docker } => Ok(docker.exec(id, program, env)),
            Self::Imaginary { .. } => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

// === impl Main ===

impl Main {
    /// Waits for its end.
    pub(crate) async fn wait(mut self) -> Ended {
        match &mut self {
            Self::Process(child) => {
                // Waiting closes the child's stdin, which would end a shell.
                let _stdin = child.stdin.take();
                Ended::Exited(child.wait().await.map_or(-1, exit_code))
            }
            Self::Waiting(child) => {
                let mut said = String::new();
                if let Some(stdout) = &mut child.stdout {
                    // What cannot be read is no exit code.
                    let _ = stdout.read_to_string(&mut said).await;
                }
                let _ = child.wait().await;
                match said.trim().parse() {
                    Ok(KILLED) | Err(_) => Ended::Killed,
                    Ok(code) => Ended::Exited(code),
                }
            }
            Self::Imaginary(main) => {
                main.cancelled().await;
                Ended::Exited(KILLED)
            }
        }
    }

    /// Ends what was started here; a container is ended by its driver.
    pub(crate) async fn abandon(mut self) {
        match &mut self {
            // One that has ended is as it should be.
            Self::Process(child) | Self::Waiting(child) => drop(child.kill().await),
            Self::Imaginary(main) => main.cancel(),
        }
    }
}

/// A signal's death counts as 128 plus its number.
fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

/// Output of a command that nobody reads.
fn silent(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}
