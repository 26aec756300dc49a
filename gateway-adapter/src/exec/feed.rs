//! Running a command that reads a known number of bytes, or prints without a bound.
//!
//! Invariant: the command gets exactly the bytes that it was told of or the call fails; output and
//! input pass through bounded queues in both directions; only the marker on standard error is
//! believed. Half-closing would end the call in 0.0.x, so the request stream stays open until the
//! exit event, and `head` inside the sandbox is what ends the command's input.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use salvor_proto::Error;
use tokio::sync::{mpsc, watch};
use tonic::Status;
use uuid::Uuid;

use super::{Finished, Heard, Tail, ended};
use crate::classify::{Class, Failure, Method};
use crate::gateway::{Gateway, Healthy, Turn};
use crate::permit::Standing;
use crate::vendor::{Command, Incarnation, Inputs, MAX_PIECE, Output, Outputs};

/// `$0` is the marker, `$1` the number of bytes; the rest is the command, literally. The pipeline's
/// status is the command's.
const WRAPPER: &str = r#"head -c "$1" | { shift; "$@"; }; printf '\n%s %d\n' "$0" "$?" >&2"#;
/// The longest that a whole call may take.
const LONGEST: Duration = Duration::from_hours(24);
/// How much of standard error is kept, from its end, in bytes.
const KEPT_ERRORS: usize = 256 << 10;

/// What to run, and what it reads.
pub(crate) struct Feed {
    /// Literal arguments; the first is the program.
    pub arguments: Vec<String>,
    /// How many bytes it reads.
    pub size: u64,
    /// Exactly so many bytes, in pieces of any size.
    pub input: mpsc::Receiver<Bytes>,
    /// Gets its standard output as it comes. Closed: what it prints is dropped.
    pub output: mpsc::Sender<Bytes>,
    /// After which without a byte in either direction it counts as undetermined. It may go on.
    pub idle: Duration,
    /// Leave to write in the sandbox. Checked, with the sandbox's id, when there is no queue any more.
    pub leave: Option<Arc<Standing>>,
}

/// How far the input is, as the sending side sees it.
struct Sent {
    bytes: AtomicU64,
    wrong: watch::Sender<Option<String>>,
}

/// Runs a command to its end. `stdout` of what it answers is empty: it went to `feed.output`.
/// Cancelling, or running out of time, does not end the process; its input ends early then.
pub(crate) async fn feed(
    gateway: &Gateway,
    healthy: &Healthy,
    incarnation: &Incarnation,
    feed: Feed,
) -> Result<Finished, Failure> {
    let Feed { arguments, size, input, output, idle, leave } = feed;
    let marker = format!("salvor-{}", Uuid::new_v4().simple());
    let shell = ["/bin/sh", "-c", WRAPPER, &marker].map(str::to_owned);
    let arguments = shell.into_iter().chain([size.to_string()]).chain(arguments).collect();
    let command = Command { arguments, timeout: LONGEST };
    let sent = Arc::new(Sent { bytes: AtomicU64::new(0), wrong: watch::Sender::new(None) });
    let running = async {
        let input = pieces(input, size, Arc::clone(&sent));
        let outputs = healthy.client.exec_with_input(incarnation, command, input).await?;
        let mut wrong = sent.wrong.subscribe();
        tokio::select! {
            heard = listen(outputs, &output, &sent, idle) => heard,
            found = wrong.wait_for(Option::is_some) => {
                let why = found.ok().and_then(|why| why.clone()).unwrap_or_default();
                Err(Status::data_loss(why))
            }
        }
    };
    let turn = gateway.turn(Method::Feed).await?;
    if let Some(leave) = leave {
        Box::pin(check(gateway, (&turn, healthy), incarnation, &leave)).await?;
    }
    let sending = gateway.send((turn, healthy), Method::Feed, LONGEST, Box::pin(running));
    let heard = sending.await?;
    // The marker is on standard error: read it as if it were standard output.
    let heard = Heard { stdout: heard.stderr, stderr: heard.stdout, exit: heard.exit };
    let finished = ended(heard, &marker, LONGEST)
        .map_err(|(class, text)| Failure::new(class, format!("{}: {text}", gateway.name())))?;
    Ok(Finished { stdout: Vec::new(), stderr: finished.stdout, ..finished })
}

/// One dialect runs commands by name: what has the name now must be what is meant.
async fn check(
    gateway: &Gateway,
    (turn, healthy): (&Turn<'_>, &Healthy),
    incarnation: &Incarnation,
    leave: &Standing,
) -> Result<(), Failure> {
    let Incarnation { place, id } = incarnation;
    let row = gateway.get_in(turn, healthy, place).await?;
    if row.id != *id {
        let (name, sandbox) = (gateway.name(), &place.sandbox);
        let text = format!("{name}: {sandbox} is {} and not {id}; nothing was sent", row.id);
        return Err(Failure::new(Class::Contradictory, text));
    }
    let refused = |error: Error| Failure::new(Class::PermissionDenied, error.message());
    leave.still_allowed().map_err(refused)
}

/// The input, cut into pieces that a gateway takes, and held to its size.
fn pieces(input: mpsc::Receiver<Bytes>, size: u64, sent: Arc<Sent>) -> Inputs {
    let whole = stream::unfold((input, size, sent), async |(mut input, left, sent)| {
        if left == 0 {
            return None;
        }
        let Some(mut piece) = input.recv().await else {
            sent.wrong.send_replace(Some(format!("the input ended {left} bytes too early")));
            return None;
        };
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if length > left {
            // The command reads no further; the producer's count was wrong, and so may be its bytes.
            sent.wrong.send_replace(Some(format!("the input is {} bytes longer", length - left)));
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        sent.bytes.fetch_add(length, Ordering::Relaxed);
        Some((piece, (input, left.saturating_sub(length), sent)))
    });
    let cut = whole.flat_map(|mut piece| {
        let mut parts = Vec::with_capacity(piece.len().div_ceil(MAX_PIECE));
        while !piece.is_empty() {
            parts.push(piece.split_to(piece.len().min(MAX_PIECE)));
        }
        stream::iter(parts)
    });
    cut.boxed()
}

async fn listen(
    mut outputs: Outputs,
    output: &mpsc::Sender<Bytes>,
    sent: &Sent,
    idle: Duration,
) -> Result<Heard, Status> {
    let mut heard = Heard { stdout: Tail::new(0), stderr: Tail::new(KEPT_ERRORS), exit: None };
    let mut seen = 0;
    loop {
        let Ok(next) = tokio::time::timeout(idle, outputs.next()).await else {
            let bytes = sent.bytes.load(Ordering::Relaxed);
            if std::mem::replace(&mut seen, bytes) == bytes {
                let seconds = idle.as_secs_f64();
                let text = format!("the command neither read nor printed for {seconds} s");
                return Err(Status::deadline_exceeded(text));
            }
            continue;
        };
        match next.transpose()? {
            Some(Output::Stdout(piece)) => {
                // Nobody listens any more: the command is read to its end all the same.
                let _ = output.send(piece.into()).await;
            }
            Some(Output::Stderr(piece)) => heard.stderr.push(&piece),
            Some(Output::Exit(code)) => heard.exit = Some(code),
            None => return Ok(heard),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(given: &[&'static [u8]], size: u64) -> (Vec<Bytes>, Option<String>) {
        let (sender, receiver) = mpsc::channel(16);
        for piece in given {
            sender.try_send(Bytes::from_static(piece)).unwrap();
        }
        drop(sender);
        let sent = Arc::new(Sent { bytes: AtomicU64::new(0), wrong: watch::Sender::new(None) });
        let got = futures::executor::block_on(pieces(receiver, size, Arc::clone(&sent)).collect());
        let wrong = sent.wrong.borrow().clone();
        (got, wrong)
    }

    #[test]
    fn input_is_held_to_its_size() {
        assert_eq!(fed(&[], 0), (vec![], None));
        let (got, wrong) = fed(&[b"ab", b"c"], 3);
        assert_eq!((got.concat(), wrong), (b"abc".to_vec(), None));
        let (got, wrong) = fed(&[b"ab"], 3);
        assert_eq!(got.concat(), b"ab");
        assert!(wrong.unwrap().contains("1 bytes too early"));
        let (got, wrong) = fed(&[b"abcd"], 3);
        assert_eq!(got.concat(), b"abc");
        assert!(wrong.is_some());
    }

    #[test]
    fn pieces_fit_a_message() {
        let big: &'static [u8] = vec![7; 2 * MAX_PIECE + 1].leak();
        let (got, wrong) = fed(&[big], big.len() as u64);
        assert_eq!(got.iter().map(Bytes::len).collect::<Vec<_>>(), [MAX_PIECE, MAX_PIECE, 1]);
        assert!(wrong.is_none());
    }
}
