//! Running a command in a sandbox, and knowing how it ended.
//!
//! The gateway's own exit code is not trustworthy: it says 1 for commands that succeeded, and 124
//! for a timeout that is no exit at all. So the command is wrapped in a shell that prints a marker
//! with the true status at the end, and only the marker is believed. Invariant: what is kept of
//! the output is bounded, and nothing is retried, because a command whose answer was lost may
//! still be running. Commands with input, or with output of any length, are in [`mod@feed`].

mod feed;

use std::collections::VecDeque;
use std::time::Duration;

use futures::StreamExt;
use salvor_proto::gateway::v1::{Unknown, UnknownReason};
use uuid::Uuid;

use crate::classify::{Class, Failure, Method};
use crate::gateway::{Gateway, Healthy};
use crate::vendor::{Command, Incarnation, Output, Outputs};

pub(crate) use feed::{Feed, feed};

/// `$0` is the marker; the command is literal and quoted by nobody else.
const WRAPPER: &str = r#""$@"; printf '\n%s %d\n' "$0" "$?""#;
/// Limits of the vendor's exec, in bytes and in number, with room for the wrapper.
const MAX_ARGUMENT: usize = 32 << 10;
const MAX_ARGUMENTS: usize = 1000;
const MAX_COMMAND: usize = 192 << 10;
/// How much longer than the command's own time the whole call may take.
const GRACE: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Clone)]
pub(crate) struct Job {
    /// Literal arguments; the first is the program.
    pub arguments: Vec<String>,
    /// After which it counts as undetermined. It may go on.
    pub timeout: Duration,
    /// How much of each output stream is kept, from its end, in bytes.
    pub keep: usize,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Its true exit status, 128 + n for a signal.
    pub status: i32,
    /// The end of its standard output, without the marker.
    pub stdout: Vec<u8>,
    /// The end of its standard error.
    pub stderr: Vec<u8>,
    /// Whether the beginning of its standard output was dropped.
    pub cut: bool,
}

/// The end of a stream of bytes.
struct Tail {
    bytes: VecDeque<u8>,
    keep: usize,
    cut: bool,
}

/// A stream's pieces as they came in.
struct Heard {
    stdout: Tail,
    stderr: Tail,
    exit: Option<i32>,
}

/// Whether the vendor would take these arguments; what is wrong if not.
pub(crate) fn check(arguments: &[String]) -> Result<(), String> {
    let total: usize = arguments.iter().map(String::len).sum();
    if arguments.first().is_none_or(String::is_empty) {
        Err("must name a program".into())
    } else if arguments.len() > MAX_ARGUMENTS {
        Err(format!("must have at most {MAX_ARGUMENTS} arguments"))
    } else if arguments.iter().any(|argument| argument.len() > MAX_ARGUMENT) {
        Err(format!("an argument is longer than {MAX_ARGUMENT} bytes"))
    } else if total > MAX_COMMAND {
        Err(format!("must be at most {MAX_COMMAND} bytes long in all"))
    } else if arguments.iter().any(|argument| argument.contains('\0')) {
        Err("must not hold a NUL character".into())
    } else {
        Ok(())
    }
}

/// Runs `job` to its end. Cancelling, or running out of time, does not end the process.
pub(crate) async fn run(
    gateway: &Gateway,
    healthy: &Healthy,
    incarnation: &Incarnation,
    job: Job,
) -> Result<Finished, Failure> {
    let marker = format!("salvor-{}", Uuid::new_v4().simple());
    let shell = ["/bin/sh", "-c", WRAPPER, &marker].map(str::to_owned);
    let arguments = shell.into_iter().chain(job.arguments).collect();
    let command = Command { arguments, timeout: job.timeout };
    let bound = job.timeout.saturating_add(GRACE);
    let running = async {
        let outputs = healthy.client.exec(incarnation, command).await?;
        listen(outputs, job.keep.saturating_add(marker.len() + 32)).await
    };
    let heard = gateway.exchange(healthy, Method::Exec, bound, running).await?;
    ended(heard, &marker, job.timeout)
        .map_err(|(class, text)| Failure::new(class, format!("{}: {text}", gateway.name())))
}

async fn listen(mut outputs: Outputs, keep: usize) -> Result<Heard, tonic::Status> {
    let mut heard = Heard { stdout: Tail::new(keep), stderr: Tail::new(keep), exit: None };
    while let Some(output) = outputs.next().await {
        match output? {
            Output::Stdout(piece) => heard.stdout.push(&piece),
            Output::Stderr(piece) => heard.stderr.push(&piece),
            Output::Exit(code) => heard.exit = Some(code),
        }
    }
    Ok(heard)
}

fn ended(heard: Heard, marker: &str, timeout: Duration) -> Result<Finished, (Class, String)> {
    let cut = heard.stdout.cut;
    let mut stdout = heard.stdout.into_bytes();
    if let Some((at, status)) = marked(&stdout, marker) {
        stdout.truncate(at);
        return Ok(Finished { status, stdout, stderr: heard.stderr.into_bytes(), cut });
    }
    match heard.exit {
        Some(124) => {
            let seconds = timeout.as_secs_f64();
            let text = format!("the command did not end within {seconds} s; it may still run");
            Err((Class::DeadlineExceeded, text))
        }
        _ => Err((
            Class::Unreadable,
            "the command's output ended without its status, so how it ended is not known".into(),
        )),
    }
}

/// Where the marker's line begins, and the status on it. The last one counts: a command can print
/// anything before it.
fn marked(stdout: &[u8], marker: &str) -> Option<(usize, i32)> {
    let line = format!("\n{marker} ");
    let at = stdout.windows(line.len()).rposition(|window| window == line.as_bytes())?;
    let rest = &stdout[at + line.len()..];
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let status = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((at, status))
}

/// The last `limit` bytes of what a person may see: printable characters and line breaks.
pub(crate) fn printable(bytes: &[u8], limit: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown: String = text
        .chars()
        .map(|c| if c == '\n' || c == '\t' || !c.is_control() { c } else { '.' })
        .collect();
    let shown = shown.trim_end();
    let mut begin = shown.len().saturating_sub(limit);
    while !shown.is_char_boundary(begin) {
        begin += 1;
    }
    shown[begin..].to_owned()
}

/// A failure of a sandbox's exec as a read's answer. A phase in which nothing runs is said as it
/// is: unavailable, not unexpected.
pub(crate) fn unknown(failure: &Failure) -> Unknown {
    let mut unknown = failure.unknown();
    if failure.class == Class::WrongPhase {
        unknown.reason = UnknownReason::Unavailable.into();
    }
    unknown
}

// === impl Tail ===

impl Tail {
    fn new(keep: usize) -> Self {
        Self { bytes: VecDeque::new(), keep, cut: false }
    }

    fn push(&mut self, piece: &[u8]) {
        self.bytes.extend(piece);
        if self.bytes.len() > self.keep {
            let surplus = self.bytes.len() - self.keep;
            self.bytes.drain(..surplus);
            self.cut = true;
        }
    }

    fn into_bytes(self) -> Vec<u8> {
        self.bytes.into()
    }
}

#[cfg(test)]
mod tests;
