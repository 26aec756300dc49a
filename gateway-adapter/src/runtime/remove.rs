//! Taking entries away. The archive API only adds, so this needs a running container and its `rm`.
//!
//! Invariants: paths go in as data, never as words of a shell; what would be reached through a symbolic link stays; what is
//! not seen to be gone is noted.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bytes::{BufMut, BytesMut};
use futures::StreamExt;
use salvor_proto::gateway::v1::compute::State;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::Trouble;
use super::channel::RuntimeChannel;
use super::trouble::Kind;
use super::unpack::live_links;
use crate::workspace::{Broken, Note, Reason};

/// Reads exactly as many bytes as it is told, so that it ends although its input stays open.
const SCRIPT: &str = r#"head -c "$1" | xargs -0 rm -rf --"#;
/// How much of what the command complains of is kept, in bytes.
const KEPT: usize = 512;

/// See [`crate::workspace::Channel::remove`].
pub(super) async fn remove(
    channel: &RuntimeChannel,
    root: PathBuf,
    paths: Vec<PathBuf>,
) -> Result<Vec<Note>, Broken> {
    let (docker, container) = channel.open().await?;
    if container.state != State::Running {
        let detail = "its container does not run, and the runtime can only add to it";
        return Ok(paths.into_iter().map(|path| note(path, Reason::Unwritable, detail)).collect());
    }
    let links = live_links(channel, &docker, &root).await?;
    let mut notes = Vec::new();
    let mut names = BytesMut::new();
    let mut asked = Vec::new();
    for path in paths {
        match path.strip_prefix(&root) {
            Ok(below) if below != Path::new("") && !links.leads_through(below) => {
                names.put_slice(b"./");
                names.put_slice(below.as_os_str().as_bytes());
                names.put_u8(0);
                asked.push(path);
            }
            _ => notes.push(note(
                path,
                Reason::LeavesRoot,
                "it is not below its root, or only by a symbolic link",
            )),
        }
    }
    if asked.is_empty() {
        return Ok(notes);
    }
    let ended = run(channel, &docker, &root, &names).await?;
    if ended.status != Some(0) {
        notes.extend(remaining(channel, &docker, &root, asked, &ended.said).await?);
    }
    Ok(notes)
}

struct Ended {
    status: Option<i64>,
    said: String,
}

/// Runs the command as the container's root user, and waits for its end.
async fn run(
    channel: &RuntimeChannel,
    docker: &Docker,
    root: &Path,
    names: &[u8],
) -> Result<Ended, Broken> {
    let runtime = channel.runtime();
    let length = names.len().to_string();
    let root = channel.text(root)?;
    let options = CreateExecOptions {
        cmd: Some(vec!["sh", "-c", SCRIPT, "sh", &length]),
        user: Some("0"),
        working_dir: Some(root),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..CreateExecOptions::default()
    };
    let exec = runtime.call("exec", docker.create_exec(channel.container(), options)).await?;
    let starting = docker.start_exec(&exec.id, None::<StartExecOptions>);
    let StartExecResults::Attached { mut output, mut input } =
        runtime.call("start the exec", starting).await?
    else {
        return Err(runtime.trouble(Kind::Senseless, "it started an exec detached").into());
    };
    let patience = runtime.bounds().piece;
    let silent = || runtime.trouble(Kind::Silent, "rm neither ended nor said anything");
    let write = async {
        // A command that has ended does not read on; its status says how it ended.
        let _ = timeout(patience, input.write_all(names)).await;
        let _ = timeout(patience, input.flush()).await;
    };
    let read = async {
        let mut said = Vec::new();
        loop {
            match timeout(patience, output.next()).await {
                Err(_) => return Err(silent()),
                Ok(None) => return Ok(said),
                Ok(Some(Ok(piece))) => {
                    let left = KEPT.saturating_sub(said.len());
                    let piece = piece.into_bytes();
                    said.extend_from_slice(&piece[..piece.len().min(left)]);
                }
                Ok(Some(Err(error))) => {
                    return Err(Trouble::classify(runtime.socket(), "read the exec", error));
                }
            }
        }
    };
    let ((), said) = tokio::join!(write, read);
    let said = String::from_utf8_lossy(&said?).trim().to_owned();
    let status = runtime.call("inspect the exec", docker.inspect_exec(&exec.id)).await?.exit_code;
    Ok(Ended { status, said })
}

/// Which of the paths are still there.
async fn remaining(
    channel: &RuntimeChannel,
    docker: &Docker,
    root: &Path,
    mut asked: Vec<PathBuf>,
    said: &str,
) -> Result<Vec<Note>, Broken> {
    asked.sort();
    let mut notes = Vec::new();
    let Ok(mut tree) = channel.tree(docker, root).await? else { return Ok(notes) };
    while let Some(item) = tree.next().await.map_err(|fault| channel.fault(fault))? {
        if asked.binary_search(&item.path).is_ok() {
            notes.push(note(item.path, Reason::Unwritable, &format!("it is still there: {said}")));
        }
    }
    Ok(notes)
}

fn note(path: PathBuf, reason: Reason, detail: &str) -> Note {
    Note { path, reason, detail: detail.to_owned() }
}
