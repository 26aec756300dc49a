//! Writing with GNU tar, taking away with rm, comparing with sha256sum.
//!
//! Symbolic links are never followed. tar puts a directory in the place of a link when the stream has
//! an entry for it, so whoever makes a stream gives one for every directory on the way. A removal
//! goes to the directory that it is in first, and looks where it has arrived.
//!
//! Owners are set where the sandbox's user may; where not, tar complains, writes all the same, and
//! the read-back finds another owner.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::read::{
    PIECE, QUEUE, Way, below, hand_on, mark, named, root_trouble, run, said, unreadable,
};
use super::{ExecChannel, complaints};
use crate::exec::Finished;
use crate::workspace::{Broken, Note, Reason};

/// The most paths, and about the most bytes of them, that one command takes away.
pub(super) const BATCH: usize = 2000;
const BATCH_BYTES: usize = 512 << 10;
/// What is said of what is there still.
const NOT_GONE: &str = "could not be taken away, or is behind a symbolic link";
/// Lines of sha256sum: the digest, two characters, and a path.
const MAX_LINE: usize = 64 << 10;
/// What xargs says when one of its commands failed.
const SOME_FAILED: i32 = 123;
/// The list of a removal came shorter than it was sent.
const LIST_CUT: i32 = 74;

/// `$2` is the root, `$3` one more option, or none. The directory itself may be made; what is above it is not looked at.
const UNPACK: &str = r#"
[ ! -L "$2" ] || exit 71
mkdir -p -- "$2" || exit 72
case "$(tar --version </dev/null 2>/dev/null)" in *GNU*) ;; *) exit 73 ;; esac
unset TAR_OPTIONS
LC_ALL=C exec tar -C "$2" --quoting-style=c --same-owner --numeric-owner --preserve-permissions \
  --delay-directory-restore --warning=no-timestamp ${3-} -xf -
"#;

/// `$1` is the mark, `$2` the root, `$3` the length of the list, `$4` a script for some of its words, after `$1`, the root. With a
/// list that is cut nothing may be done, since what is left of a path may be another one: so it is read whole, in octal, and
/// measured. Prints the paths that it could not do it with.
const LISTED: &str = r#"
printf '\n%s\n' "$1"
[ ! -L "$2" ] || exit 71
cd -P -- "$2" || exit 72
LC_ALL=C; export LC_ALL
list=$(cat)
[ "${#list}" -eq "$3" ] || exit 74
printf %b "$list" | xargs -0 -r -n 99 /bin/sh -c "$4" sh "$PWD"
"#;

/// Takes paths away.
const REMOVE: &str = r#"
  base=${1%/}; shift
  away() {
    rm -rf -- "$1" 2>/dev/null && return
    mode=$(stat -c %a .) && chmod u+rwx . 2>/dev/null
    find "$1" -type d -exec chmod u+rwx {} + 2>/dev/null
    rm -rf -- "$1"; gone=$?
    chmod "$mode" . 2>/dev/null
    return "$gone"
  }
  for path; do
    parent=$base${path%/*}
    [ -e "$parent" ] || [ -L "$parent" ] || continue
    if cd -P -- "$parent/" 2>/dev/null && [ "${PWD%/}" = "$parent" ] && away "./${path##*/}"
    then :; else printf "%s\0" "$path"; fi
  done
"#;

/// `$1` is the mark, `$2` the root; names come on standard input.
const DIGEST: &str = r#"
printf '\n%s\n' "$1"
[ ! -L "$2" ] || exit 71
cd -- "$2" || exit 72
sha256sum -z </dev/null >/dev/null 2>&1 || exit 73
LC_ALL=C exec xargs -0 -r sha256sum -z --
"#;

pub(super) async fn unpack(
    channel: &ExecChannel,
    root: PathBuf,
    size: u64,
    tar: mpsc::Receiver<Bytes>,
) -> Result<Vec<Note>, Broken> {
    extract(channel, UNPACK, root, (size, tar)).await
}

/// [`unpack`], but what is there stays.
pub(super) async fn add(
    channel: &ExecChannel,
    root: PathBuf,
    size: u64,
    tar: mpsc::Receiver<Bytes>,
) -> Result<Vec<Note>, Broken> {
    let script = format!("set -- \"$1\" \"$2\" --skip-old-files\n{UNPACK}");
    extract(channel, &script, root, (size, tar)).await
}

async fn extract(
    channel: &ExecChannel,
    script: &str,
    root: PathBuf,
    tar: (u64, mpsc::Receiver<Bytes>),
) -> Result<Vec<Note>, Broken> {
    let (printed, _) = mpsc::channel(1);
    let finished = run(channel, Way::Writes(script), &mark(), &root, tar, printed).await?;
    if let Some(note) = root_trouble(channel, &root, &finished, "tar")? {
        return Ok(vec![note]);
    }
    let mut notes = complaints::notes(&root, &finished);
    for note in &mut notes {
        note.reason = Reason::Unwritable;
    }
    Ok(notes)
}

pub(super) async fn remove(
    channel: &ExecChannel,
    root: PathBuf,
    paths: Vec<PathBuf>,
) -> Result<Vec<Note>, Broken> {
    let mut notes = Vec::new();
    let mut list = String::new();
    for (index, path) in paths.iter().enumerate() {
        if path == &root || !path.starts_with(&root) {
            let (path, detail) = (path.clone(), "is not below its root".into());
            notes.push(Note { path, reason: Reason::LeavesRoot, detail });
            continue;
        }
        octal(&root, path, &mut list);
        if list.len() >= BATCH_BYTES || index % BATCH == BATCH - 1 {
            let list = std::mem::take(&mut list);
            notes.extend(listed(channel, &root, (list, REMOVE), NOT_GONE).await?);
        }
    }
    if !list.is_empty() {
        notes.extend(listed(channel, &root, (list, REMOVE), NOT_GONE).await?);
    }
    Ok(notes)
}

/// Runs a script with a list of words, and notes each path that it prints.
pub(super) async fn listed(
    channel: &ExecChannel,
    root: &Path,
    (list, script): (String, &str),
    detail: &str,
) -> Result<Vec<Note>, Broken> {
    let size = list.len() as u64;
    let (given, input) = mpsc::channel(1);
    let (pieces, printed) = mpsc::channel(QUEUE);
    let (rest, mut left) = mpsc::channel(QUEUE);
    let mark = mark();
    // `run` gives a script its mark and its root; the others are one more line of it.
    let script = format!("set -- \"$1\" \"$2\" {size} '{script}'\n{LISTED}");
    let running = run(channel, Way::Writes(&script), &mark, root, (size, input), pieces);
    let giving = async move {
        let _ = given.send(list.into()).await;
    };
    let hearing = after(printed, &mark, rest);
    let gathering = async {
        let mut names = BytesMut::new();
        while let Some(piece) = left.recv().await {
            names.extend_from_slice(&piece);
        }
        names
    };
    let (finished, (), begun, names) = tokio::join!(running, giving, hearing, gathering);
    let finished = finished?;
    if let Some(note) = root_trouble(channel, root, &finished, "tar")? {
        return Ok(vec![note]);
    }
    if finished.status == LIST_CUT || !begun {
        return Err(unreadable(channel, "the list of what to change was cut on its way".into()));
    }
    if !matches!(finished.status, 0 | SOME_FAILED) {
        return Err(ended(channel, "changing entries", &finished));
    }
    let names = names[..].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names
        .map(|name| Note {
            path: below(root, name.strip_prefix(b"/").unwrap_or(name)),
            reason: Reason::Unwritable,
            detail: detail.to_owned(),
        })
        .collect())
}

/// [`hand_on`], and then the end.
async fn after(printed: mpsc::Receiver<Bytes>, mark: &str, rest: mpsc::Sender<Bytes>) -> bool {
    hand_on(printed, mark, &rest).await
}

/// A path below its root as `printf %b` reads it, with a slash before it and a NUL after it.
pub(super) fn octal(root: &Path, path: &Path, list: &mut String) {
    use std::fmt::Write;
    let relative = path.strip_prefix(root).unwrap_or(path);
    list.push('/');
    for byte in relative.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            list.push(char::from(*byte));
        } else {
            let _ = write!(list, "\\0{byte:03o}");
        }
    }
    list.push_str("\\0000");
}

pub(super) async fn digests(
    channel: &ExecChannel,
    root: PathBuf,
    files: Vec<PathBuf>,
    found: mpsc::Sender<(PathBuf, [u8; 32])>,
) -> Result<Vec<Note>, Broken> {
    let size = files.iter().map(|file| named(&root, file).len() as u64).sum();
    let (names, list) = mpsc::channel(2);
    let (pieces, printed) = mpsc::channel(QUEUE);
    let (rest, lines) = mpsc::channel(QUEUE);
    let mark = mark();
    let naming = async {
        let mut piece = BytesMut::with_capacity(PIECE);
        for file in &files {
            piece.extend_from_slice(&named(&root, file));
            if piece.len() >= PIECE && names.send(piece.split().freeze()).await.is_err() {
                return;
            }
        }
        let _ = names.send(piece.freeze()).await;
        drop(names);
    };
    let running = run(channel, Way::Reads(DIGEST), &mark, &root, (size, list), pieces);
    let hearing = after(printed, &mark, rest);
    let (finished, (), begun, told) =
        tokio::join!(running, naming, hearing, tell(&root, lines, &found));
    let finished = finished?;
    if let Some(note) = root_trouble(channel, &root, &finished, "sha256sum")? {
        return Ok(vec![note]);
    }
    if !begun || !matches!(finished.status, 0 | SOME_FAILED) {
        return Err(ended(channel, "taking digests", &finished));
    }
    let told = told.map_err(|problem| unreadable(channel, problem))?;
    let missing = files.into_iter().filter(|file| !told.contains(file));
    Ok(missing
        .map(|path| {
            let detail = "could not be read to take its digest".into();
            Note { path, reason: Reason::Unreadable, detail }
        })
        .collect())
}

/// Reads `DIGEST  NAME\0` and passes it on. Answers the paths.
async fn tell(
    root: &Path,
    mut lines: mpsc::Receiver<Bytes>,
    found: &mpsc::Sender<(PathBuf, [u8; 32])>,
) -> Result<HashSet<PathBuf>, String> {
    let mut told = HashSet::new();
    let mut held = BytesMut::new();
    while let Some(piece) = lines.recv().await {
        held.extend_from_slice(&piece);
        while let Some(end) = held.iter().position(|byte| *byte == 0) {
            let line = held.split_to(end + 1);
            let (path, digest) = told_by(root, &line[..end])
                .ok_or_else(|| "sha256sum printed something else than a digest".to_owned())?;
            told.insert(path.clone());
            // Nobody listens: the command is heard to its end all the same.
            let _ = found.send((path, digest)).await;
        }
        if held.len() > MAX_LINE {
            return Err("sha256sum printed a line without an end".into());
        }
    }
    if held.is_empty() { Ok(told) } else { Err("sha256sum was cut in a line".into()) }
}

fn told_by(root: &Path, line: &[u8]) -> Option<(PathBuf, [u8; 32])> {
    let (digest, name) = line.split_at_checked(66)?;
    let digest = hex::decode(&digest[..64]).ok()?.try_into().ok()?;
    Some((below(root, name), digest))
}

fn ended(channel: &ExecChannel, what: &str, finished: &Finished) -> Broken {
    unreadable(channel, format!("{what} ended with {}: {}", finished.status, said(finished)))
}
