//! Listing with GNU find, reading with GNU tar.
//!
//! A login shell may print before the command does, so what counts begins after a mark on standard
//! output. How the command ended is told on standard error by [`feed`].

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use salvor_proto::gateway::v1::{Unknown, UnknownReason};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{ExecChannel, alone, complaints, listing};
use crate::exec::{self, Feed, Finished, feed};
use crate::workspace::{Broken, Entry, Note, Reason};

/// Pieces of 4 KiB between the gateway and whoever reads.
pub(super) const QUEUE: usize = 16;
/// Input is handed on in pieces of about so many bytes.
pub(super) const PIECE: usize = 64 << 10;
/// Without a byte for so long a listing or a stream is taken for dead. Writing a marker takes no
/// time; a file system that hangs may come back.
const IDLE: Duration = Duration::from_mins(2);

/// Statuses of the scripts' own.
const IS_LINK: i32 = 71;
const IS_MISSING: i32 = 72;
const NO_TOOL: i32 = 73;
const OCCUPIED: i32 = 78;

/// A script, and whether what an earlier one may still be writing is in its way.
pub(super) enum Way<'a> {
    Reads(&'a str),
    Writes(&'a str),
}

/// `$1` is the mark, `$2` the root. A record for each entry, then the mark. Vanishing while being
/// listed is no error; what may not be read says so in its first field.
const LIST: &str = r#"
printf '\n%s\n' "$1"
[ ! -L "$2" ] || exit 71
[ -d "$2" ] && cd -P -- "$2" 2>/dev/null || exit 72
find --version >/dev/null 2>&1 || exit 73
LC_ALL=C find . -ignore_readdir_race \
  \( -type f ! -readable -o -type d ! \( -readable -executable \) \) -printf 'x\0' \
  -o -printf '.\0' , \
  -printf '%P\0%y\0%s\0%T@\0%C@\0%i\0%D\0%m\0%U\0%u\0%G\0%g\0%n\0%l\0'
s=$?
printf '%s\0' "$1"
exit $s
"#;

/// `$1` is the mark, `$2` the root; names come on standard input.
const READ: &str = r#"
printf '\n%s\n' "$1"
[ ! -L "$2" ] || exit 71
[ -d "$2" ] || exit 72
case "$(tar --version </dev/null 2>/dev/null)" in *GNU*) ;; *) exit 73 ;; esac
LC_ALL=C exec tar -C "$2" --null --no-unquote --no-recursion --hard-dereference --sparse \
  --format=gnu --quoting-style=c -T - -cf -
"#;

pub(super) async fn inventory(
    channel: &ExecChannel,
    root: PathBuf,
    entries: mpsc::Sender<Entry>,
) -> Result<Vec<Note>, Broken> {
    let (given, list) = mpsc::channel(1);
    drop(given);
    let (pieces, mut printed) = mpsc::channel(QUEUE);
    let mark = mark();
    let running = run(channel, Way::Reads(LIST), &mark, &root, (0, list), pieces);
    let parsing = async {
        let mut parser = listing::Parser::new(&mark, &root);
        while let Some(piece) = printed.recv().await {
            for entry in parser.push(&piece)? {
                if entries.send(entry).await.is_err() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(parser))
    };
    let parsed = async { parsing.await.map_err(|problem: String| unreadable(channel, problem)) };
    let (finished, parser) = tokio::try_join!(running, parsed)?;
    // Whoever listens has enough.
    let Some(parser) = parser else { return Ok(Vec::new()) };
    root_trouble(channel, &root, &finished, "find")?.map_or_else(
        || parser.end(&finished).map_err(|problem| unreadable(channel, problem)),
        |note| Ok(vec![note]),
    )
}

pub(super) async fn contents(
    channel: &ExecChannel,
    root: PathBuf,
    files: Vec<PathBuf>,
    tar: mpsc::Sender<Bytes>,
) -> Result<Vec<Note>, Broken> {
    let size = files.iter().map(|file| named(&root, file).len() as u64).sum();
    let (names, list) = mpsc::channel(2);
    let (pieces, printed) = mpsc::channel(QUEUE);
    let mark = mark();
    let naming = async {
        let mut piece = BytesMut::with_capacity(PIECE);
        for file in &files {
            piece.extend_from_slice(&named(&root, file));
            // Nobody reads on: how the command ended says why.
            if piece.len() >= PIECE && names.send(piece.split().freeze()).await.is_err() {
                return;
            }
        }
        let _ = names.send(piece.freeze()).await;
        drop(names);
    };
    let running = run(channel, Way::Reads(READ), &mark, &root, (size, list), pieces);
    let working = async {
        let ((), finished, begun) = tokio::join!(naming, running, hand_on(printed, &mark, &tar));
        finished.map(|finished| (finished, begun))
    };
    let (finished, begun) = tokio::select! {
        ended = working => ended?,
        // Whoever reads has enough; the command ends when its output is dropped.
        () = tar.closed() => return Ok(Vec::new()),
    };
    if let Some(note) = root_trouble(channel, &root, &finished, "tar")? {
        return Ok(vec![note]);
    }
    if !begun {
        return Err(unreadable(channel, "tar printed nothing".into()));
    }
    Ok(complaints::notes(&root, &finished))
}

/// Passes on what comes after the mark. Whether it came.
pub(super) async fn hand_on(
    mut printed: mpsc::Receiver<Bytes>,
    mark: &str,
    tar: &mpsc::Sender<Bytes>,
) -> bool {
    let mut start = listing::Start::new(mark);
    while let Some(piece) = printed.recv().await {
        let piece = start.after(piece);
        if !piece.is_empty() && tar.send(piece).await.is_err() {
            break;
        }
    }
    start.seen()
}

pub(super) async fn run(
    channel: &ExecChannel,
    way: Way<'_>,
    mark: &str,
    root: &Path,
    (size, input): (u64, mpsc::Receiver<Bytes>),
    output: mpsc::Sender<Bytes>,
) -> Result<Finished, Broken> {
    let root = root.to_str().ok_or_else(|| unreadable(channel, "a root is no UTF-8".into()))?;
    let (arguments, leave) = match way {
        Way::Reads(script) => {
            (["/bin/sh", "-c", script, "sh", mark, root].map(str::to_owned).to_vec(), None)
        }
        Way::Writes(script) => (alone::arguments(script, mark, root), channel.leave.clone()),
    };
    let job = Feed { arguments, size, input, output, idle: IDLE, leave };
    Ok(feed(&channel.gateway, &channel.healthy, &channel.incarnation, job).await?)
}

/// What the scripts say themselves.
pub(super) fn root_trouble(
    channel: &ExecChannel,
    root: &Path,
    finished: &Finished,
    tool: &str,
) -> Result<Option<Note>, Broken> {
    let detail = match finished.status {
        IS_LINK => "the root is a symbolic link; declare what it leads to",
        IS_MISSING => "the root does not exist, is no directory, or cannot be reached",
        NO_TOOL => return Err(unreadable(channel, format!("the sandbox has no GNU {tool}"))),
        OCCUPIED => return Err(unreadable(channel, alone::OCCUPIED.to_owned())),
        _ => return Ok(None),
    };
    let (path, detail) = (root.to_owned(), detail.to_owned());
    Ok(Some(Note { path, reason: Reason::RootMissing, detail }))
}

pub(super) fn unreadable(channel: &ExecChannel, mut problem: String) -> Broken {
    let sandbox = &channel.incarnation.place.sandbox;
    problem.insert_str(0, &format!("{}: {sandbox}: ", channel.gateway.name()));
    Broken { unknown: Unknown { reason: UnknownReason::Unreadable.into(), detail: problem } }
}

/// As tar takes it: a leading dash is no option, and the name is relative.
pub(super) fn named(root: &Path, file: &Path) -> Vec<u8> {
    let relative = file.strip_prefix(root).unwrap_or(file);
    [b"./", relative.as_os_str().as_bytes(), b"\0"].concat()
}

/// A new word, greater than every earlier one of this host.
pub(super) fn mark() -> String {
    format!("salvor-begin-{}", Uuid::now_v7().simple())
}

/// The end of what a command printed on standard error, for people.
pub(super) fn said(finished: &Finished) -> String {
    exec::printable(&finished.stderr, 256)
}

/// Whether a name that a tool printed stays below the root that it is relative to. The tools print none that does not; whoever
/// puts something in their place may.
pub(crate) fn stays_below(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"./").unwrap_or(name);
    let mut parts = name.split(|byte| *byte == b'/');
    name.is_empty() || parts.all(|part| !matches!(part, b"" | b"." | b".."))
}

/// A name that a tool printed, below its root.
pub(crate) fn below(root: &Path, name: &[u8]) -> PathBuf {
    let name = name.strip_prefix(b"./").unwrap_or(name);
    if name.is_empty() { root.to_owned() } else { root.join(OsStr::from_bytes(name)) }
}
