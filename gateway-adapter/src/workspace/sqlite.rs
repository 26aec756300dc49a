//! Consistent copies of SQLite databases, made inside the sandbox while they are written.
//!
//! A database that is read as a file while something writes it may be torn, and without its
//! write-ahead log it may be old. So it is copied by SQLite itself, under its own locks, into a
//! directory outside of the roots, and the copy's bytes take its place. Invariants: the database is
//! opened for reading only; what could not be copied is read as the files that it is, and counts
//! only if none of them changed meanwhile. Deliberately absent: any look at what is in it.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use salvor_proto::gateway::v1::Unknown;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Broken, Entry, ExecChannel, Kind};
use crate::exec::{self, Feed, Job, feed};

/// Names that databases go by.
const NAMES: [&[u8]; 5] = [b".db", b".db3", b".sqlite", b".sqlite3", b".sqlitedb"];
/// What SQLite puts beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];
/// The smallest database, in bytes: one page.
const SMALLEST: u64 = 512;
/// Databases of one snapshot that are copied; more are read as files.
const MAX_COPIES: usize = 10_000;
/// Without a word for so long the copying is taken for dead.
const IDLE: Duration = Duration::from_mins(10);
/// For making and taking away a directory.
const SHORT: Duration = Duration::from_secs(30);

/// Prints a new directory of this user's alone.
const MAKE: &str =
    r#"d=$(umask 077; mktemp -d "${TMPDIR:-/tmp}/salvor-XXXXXXXX") && printf '\n%s' "$d""#;

/// `$1` is the mark, `$2` the directory of the copies, `$3` the root; names, NUL-terminated, on
/// standard input. One line for each: its number and the copy's size, or `-`.
const COPY: &str = r#"
mark=$1; to=$2; cd "$3" || exit 1
printf '\n%s\n' "$mark"
if python3 -c 'import sqlite3' >/dev/null 2>&1; then
  exec python3 -c '
import os, sqlite3, sys, urllib.parse
to = sys.argv[1]
for n, name in enumerate(sys.stdin.buffer.read().split(b"\0")[:-1]):
    copy = os.path.join(to, sys.argv[2] + str(n))
    try:
        with open(name, "rb") as f:
            if f.read(16) != b"SQLite format 3\0":
                raise ValueError
        uri = "file:" + urllib.parse.quote(os.path.abspath(name)) + "?mode=ro"
        source = sqlite3.connect(uri, uri=True, timeout=30)
        target = sqlite3.connect(copy)
        source.backup(target, pages=-1)
        target.close(); source.close()
        print(n, os.stat(copy).st_size, flush=True)
    except Exception:
        print(n, "-", flush=True)
' "$to" "$4"
fi
command -v sqlite3 >/dev/null 2>&1 || exit 3
command -v xargs >/dev/null 2>&1 || exit 3
SALVOR_TO=$to; SALVOR_PREFIX=$4; export SALVOR_TO SALVOR_PREFIX
xargs -0 sh -c '
n=$(cat "$SALVOR_TO/count" 2>/dev/null || echo 0)
for name do
  copy=$SALVOR_TO/$SALVOR_PREFIX$n; size=-
  if [ "$(head -c 15 "$name" 2>/dev/null)" = "SQLite format 3" ] &&
    sqlite3 -readonly -cmd ".timeout 30000" "$name" "BEGIN" \
      "SELECT 1 FROM sqlite_master LIMIT 0" ".backup \"$copy\"" >/dev/null 2>&1; then
    size=$(wc -c <"$copy") || size=-
  fi
  echo "$n $size"; n=$((n+1))
done
echo "$n" >"$SALVOR_TO/count"' sh
rm -f "$to/count"
"#;

/// Whether an entry may be a database that has to be copied: by its name, or by a log beside it.
pub(crate) fn may_be_database(entry: &Entry, beside: impl Fn(&Path) -> bool) -> bool {
    let name = entry.path.as_os_str().as_bytes();
    entry.kind == Kind::File
        && entry.size >= SMALLEST
        && !BESIDE.iter().any(|end| name.ends_with(end.as_bytes()))
        && (NAMES.iter().any(|end| name.ends_with(end)) || beside(&with(&entry.path, "-wal")))
}

/// What belongs to a database and is made anew from it.
pub(crate) fn beside(database: &Path) -> [PathBuf; 3] {
    BESIDE.map(|end| with(database, end))
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(end);
    name.into()
}

/// A directory for copies.
///
/// # Errors
/// There is none, and nothing is left behind.
pub(crate) async fn make_directory(channel: &ExecChannel) -> Result<PathBuf, Broken> {
    let job = Job { arguments: shell(MAKE, &[]), timeout: SHORT, keep: 8 << 10 };
    let ran = exec::run(&channel.gateway, &channel.healthy, &channel.incarnation, job).await?;
    // A login shell may have printed before.
    let printed = ran.stdout.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let path = PathBuf::from(OsString::from_vec(printed.to_vec()));
    if ran.status == 0 && path.is_absolute() && path.to_str().is_some() {
        return Ok(path);
    }
    let said = exec::printable(&ran.stderr, 256);
    let detail = format!("no directory for copies of databases could be made: {said}");
    Err(Broken { unknown: Unknown { detail, ..Unknown::default() } })
}

/// Takes a directory of copies away.
///
/// # Errors
/// It may still be there.
pub(crate) async fn remove(channel: &ExecChannel, directory: &Path) -> Result<(), Broken> {
    let path = directory.to_string_lossy();
    let arguments = shell(r#"rm -rf -- "$1""#, &[&path]);
    let job = Job { arguments, timeout: SHORT, keep: 1 << 10 };
    exec::run(&channel.gateway, &channel.healthy, &channel.incarnation, job).await?;
    Ok(())
}

/// Copies the databases among `names`, which are below `root`. Those that are none, or cannot be
/// copied, are not in the answer.
///
/// # Errors
/// Nothing was copied, or nobody knows what.
pub(crate) async fn copy(
    channel: &ExecChannel,
    directory: &Path,
    root: (usize, &Path),
    names: &[PathBuf],
) -> Result<Vec<(PathBuf, PathBuf, u64)>, Broken> {
    let (index, root) = root;
    let names = &names[..names.len().min(MAX_COPIES)];
    let mut list = BytesMut::new();
    for name in names {
        list.extend_from_slice(b"./");
        list.extend_from_slice(name.strip_prefix(root).unwrap_or(name).as_os_str().as_bytes());
        list.extend_from_slice(b"\0");
    }
    let prefix = format!("{index}-");
    let mark = format!("salvor-begin-{}", Uuid::new_v4().simple());
    let arguments =
        shell(COPY, &[&mark, &directory.to_string_lossy(), &root.to_string_lossy(), &prefix]);
    let size = list.len() as u64;
    let (input, fed) = mpsc::channel(1);
    let (output, mut printed) = mpsc::channel::<Bytes>(16);
    let job = Feed { arguments, size, input: fed, output, idle: IDLE, leave: None };
    let given = async {
        let _ = input.send(list.freeze()).await;
    };
    let heard = async {
        let mut text = Vec::new();
        while let Some(piece) = printed.recv().await {
            text.extend_from_slice(&piece);
            let surplus = text.len().saturating_sub(32 * MAX_COPIES);
            text.drain(..surplus);
        }
        text
    };
    let running = feed(&channel.gateway, &channel.healthy, &channel.incarnation, job);
    let ((), heard, ran) = tokio::join!(given, heard, running);
    ran?;
    let heard = String::from_utf8_lossy(&heard);
    let lines = heard.split_once(&format!("\n{mark}\n")).map_or("", |(_, lines)| lines);
    let copied = lines.lines().filter_map(|line| {
        let (number, size) = line.split_once(' ')?;
        let number: usize = number.parse().ok()?;
        let copy = directory.join(format!("{prefix}{number}"));
        Some((names.get(number)?.clone(), copy, size.trim().parse().ok()?))
    });
    Ok(copied.collect())
}

fn shell(script: &str, arguments: &[&str]) -> Vec<String> {
    let fixed = ["/bin/sh", "-c", script, "sh"];
    fixed.iter().chain(arguments).map(ToString::to_string).collect()
}
