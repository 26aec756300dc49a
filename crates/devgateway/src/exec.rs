//! Commands in a sandbox, with the habits of the vendor's exec.
//!
//! Habits kept on purpose, because clients must live with them: output comes in pieces of at
//! most 4096 bytes under back-pressure, the exit event is last, death by signal reports 1, a
//! timeout reports 124 as if it were an exit, and nothing ever kills the remote process: not
//! the timeout, not a cancelled call, not a lost connection.
//!
//! Deliberately absent: a terminal. With `tty` stderr merges into stdout, and sizes are ignored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Code;

use crate::config::Dialect;
use crate::driver::Root;
use crate::refusal::{Outcome, Refusal};
use crate::world::phase::Phase;
use crate::world::{Session, Target, World, environment_of, rules};

/// Largest piece of output in one event.
const CHUNK: usize = 4096;
/// Events between the process and the client; beyond it the process waits.
const QUEUED: usize = 16;
/// How long a background child that holds stdout delays the exit event.
const HELD_OUTPUT: Duration = Duration::from_millis(2500);
/// The exit code of a timeout.
const TIMED_OUT: i32 = 124;

/// A command as either dialect states it.
#[derive(Clone)]
pub(crate) struct Command {
    pub(crate) argv: Vec<String>,
    pub(crate) workdir: String,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) tty: bool,
    pub(crate) login_shell: bool,
}

/// Where a command's standard input comes from.
pub(crate) enum Input {
    /// These bytes, then the end.
    Whole(Vec<u8>),
    /// Pieces as they come; the channel's end is the client's half-close.
    Stream {
        pieces: mpsc::Receiver<Vec<u8>>,
        /// The relay closes once so many bytes have reached the command.
        cut: Option<u64>,
    },
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    Exit(i32),
}

/// The events of one command; the last is an exit or a refusal.
pub(crate) type Events = mpsc::Receiver<Outcome<Event>>;

/// Everything that one running exec needs.
struct Run {
    command: Command,
    input: Input,
    /// Report 1 for a success, as the vendor's supervisor sometimes does.
    misreport: bool,
    half_close_kills: bool,
    session: Session,
    grace: Duration,
    _relay: OwnedSemaphorePermit,
}

/// Starts a command in a ready sandbox. Dropping the events leaves the process running.
pub(crate) fn start(
    world: &Arc<World>,
    target: &Target,
    command: Command,
    input: Input,
    misreport: bool,
) -> Outcome<Events> {
    rules::check_exec(&command.argv, &command.environment, &command.workdir)?;
    let row = world.get(target)?;
    let session = world.session(&row.id);
    let (Phase::Ready, Some(session)) = (row.phase, session) else {
        return Err(Refusal::precondition("sandbox is not ready"));
    };
    let relay = Arc::clone(&session.relays).try_acquire_owned().map_err(|_| {
        Refusal::new(
            Code::Unavailable,
            format!(
                "supervisor relay failed: code: 'Some resource has been exhausted', message: \
                 \"per-sandbox relay limit reached (32 in flight for {})\"",
                row.id
            ),
        )
    })?;
    let root = world.root(&row.id);
    let mut environment = environment_of(&row);
    environment.extend(command.environment.clone());
    let child = spawn(&root, &command, &environment)?;
    let (events, receiver) = mpsc::channel(QUEUED);
    let run = Run {
        half_close_kills: world.config.dialect == Dialect::V0_0
            && matches!(input, Input::Stream { .. }),
        command,
        input,
        misreport,
        session,
        grace: world.config.scaled(HELD_OUTPUT).max(Duration::from_millis(100)),
        _relay: relay,
    };
    world.tasks.spawn(run.drive(child, events));
    Ok(receiver)
}

/// The refusal of an exec whose container went away under it.
fn relay_closed() -> Refusal {
    Refusal::new(Code::Unavailable, "exec relay closed before the command reported an exit status")
}

fn spawn(root: &Root, command: &Command, env: &BTreeMap<String, String>) -> Outcome<Child> {
    let words: Vec<String> = command.argv.iter().map(|word| quote(&root.map(word))).collect();
    let mut script = words.join(" ");
    if !command.workdir.is_empty() {
        script = format!("cd {} && {script}", quote(&root.map(&command.workdir)));
    }
    if command.tty {
        script = format!("{{ {script}; }} 2>&1");
    }
    let flags = if command.login_shell { "-lc" } else { "-c" };
    let started = root.command("/bin/bash", env).and_then(|mut shell| {
        shell.args([flags, &script]);
        shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        shell.spawn()
    });
    started.map_err(|error| {
        Refusal::new(Code::Internal, format!("failed to establish ssh transport: {error}"))
    })
}

/// One word for a POSIX shell, literally.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

// === impl Run ===

impl Run {
    async fn drive(mut self, mut child: Child, events: mpsc::Sender<Outcome<Event>>) {
        let over = self.session.over.clone();
        if over.is_cancelled() {
            // The container went down between the check and the start.
            let _ = child.kill().await;
            let _ = events.send(Err(relay_closed())).await;
            return;
        }
        let exited = CancellationToken::new();
        let half_closed = CancellationToken::new();
        let cut = CancellationToken::new();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let call = Call { events, exited: exited.clone(), over: CancellationToken::new() };
        let pumps = TaskTracker::new();
        if let Some(out) = out {
            pumps.spawn(pump(out, Event::Stdout, call.clone(), self.grace));
        }
        if let Some(err) = err {
            pumps.spawn(pump(err, Event::Stderr, call.clone(), self.grace));
        }
        pumps.close();
        let input = std::mem::replace(&mut self.input, Input::Whole(Vec::new()));
        if let Some(stdin) = child.stdin.take() {
            tokio::spawn(feed(stdin, input, over.clone(), half_closed.clone(), cut.clone()));
        }
        let timeout = self.command.timeout;
        let timed_out = async {
            match timeout {
                Some(timeout) => sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let half_close = async {
            if self.half_close_kills {
                half_closed.cancelled().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let finished = async {
            let status = child.wait().await;
            exited.cancel();
            pumps.wait().await;
            status.ok().and_then(|status| status.code()).unwrap_or(1)
        };
        let last = tokio::select! {
            biased;
            () = over.cancelled() => Err(relay_closed()),
            () = cut.cancelled() => Err(relay_closed()),
            code = finished => Ok(Event::Exit(if self.misreport && code == 0 { 1 } else { code })),
            () = half_close => Err(relay_closed()),
            () = timed_out => Ok(Event::Exit(TIMED_OUT)),
        };
        // Nothing may follow the last event, and nothing may keep the stream open.
        call.over.cancel();
        pumps.wait().await;
        let _ = call.events.send(last).await;
        drop(call);
        // The process goes on; it must be reaped when it ends.
        let _ = child.wait().await;
    }
}

/// What the pumps of one call share.
#[derive(Clone)]
struct Call {
    events: mpsc::Sender<Outcome<Event>>,
    /// The command itself has ended; a child of it may still hold the pipes.
    exited: CancellationToken,
    /// The call has its last event; output is of no interest any more.
    over: CancellationToken,
}

/// Moves output to the client; without a client it is read and dropped, so the process goes on.
async fn pump(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    wrap: fn(Vec<u8>) -> Event,
    call: Call,
    grace: Duration,
) {
    let mut buffer = [0_u8; CHUNK];
    loop {
        let quiet = async {
            call.exited.cancelled().await;
            sleep(grace).await;
        };
        let read = tokio::select! {
            biased;
            () = call.over.cancelled() => break,
            read = from.read(&mut buffer) => read,
            () = quiet => break,
        };
        let len = match read {
            Ok(0) | Err(_) => return,
            Ok(len) => len,
        };
        tokio::select! {
            biased;
            () = call.over.cancelled() => break,
            _ = call.events.send(Ok(wrap(buffer[..len].to_vec()))) => {}
        }
    }
    drop(call);
    // A background child still holds the pipe: keep it from being broken under it.
    tokio::spawn(async move { while !matches!(from.read(&mut buffer).await, Ok(0) | Err(_)) {} });
}

/// Moves input to the process, then closes its standard input.
async fn feed(
    mut stdin: ChildStdin,
    input: Input,
    over: CancellationToken,
    half_closed: CancellationToken,
    cut_off: CancellationToken,
) {
    match input {
        Input::Whole(bytes) => {
            // A process that does not read is its own affair.
            let _ = stdin.write_all(&bytes).await;
        }
        Input::Stream { mut pieces, cut } => {
            let mut left = cut;
            loop {
                if left == Some(0) {
                    return cut_off.cancel();
                }
                let piece = tokio::select! {
                    () = over.cancelled() => return,
                    piece = pieces.recv() => piece,
                };
                let Some(mut piece) = piece else { break };
                if let Some(left) = &mut left {
                    piece.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= piece.len() as u64;
                }
                if stdin.write_all(&piece).await.is_err() {
                    // Drain, so that the client is not blocked by a process that stopped reading.
                    while pieces.recv().await.is_some() {}
                    break;
                }
            }
            half_closed.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_literal_for_the_shell() {
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $HOME; *"), r"'it'\''s $HOME; *'");
    }
}
