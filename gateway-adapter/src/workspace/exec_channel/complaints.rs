//! What GNU tar and find complain of on standard error, path by path.
//!
//! Invariant: a failure that cannot be ascribed to a path is ascribed to the root, so that none
//! gets lost.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::read::{below, said};
use crate::exec::{Finished, printable};
use crate::workspace::{Note, Reason};

/// What is kept for people of one complaint, in bytes.
const MAX_DETAIL: usize = 200;

/// Reads `/bin/tar: "name": complaint`, names quoted as in C.
pub(super) fn notes(root: &Path, finished: &Finished) -> Vec<Note> {
    let mut notes: Vec<Note> = finished
        .stderr
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let (name, rest) = unquoted(after_program(line)?, b'"')?;
            let said = printable(rest.strip_prefix(b": ").unwrap_or(rest), MAX_DETAIL);
            Some(Note { path: below(root, &name), reason: reason(&said), detail: said })
        })
        .collect();
    let lost = notes.is_empty() || finished.cut;
    if finished.status != 0 && lost {
        let detail = format!("tar ended with {}: {}", finished.status, said(finished));
        notes.push(Note { path: root.to_owned(), reason: Reason::Unreadable, detail });
    }
    notes
}

/// What find complained of and no note says yet, for people. It ended with a status other than zero;
/// `noted`: what its records said may not be read, for which it complains of what is below, too.
pub(super) fn unsaid(root: &Path, noted: &[Note], finished: &Finished) -> Option<String> {
    let noted: HashSet<&Path> = noted.iter().map(|note| note.path.as_path()).collect();
    let said_of = |path: &Path| path.ancestors().any(|above| noted.contains(above));
    let mut ascribed = false;
    for line in finished.stderr.split(|byte| *byte == b'\n') {
        let Some(complaint) = after_find(line) else { continue };
        if complained_of(root, complaint).is_some_and(|path| said_of(&path)) {
            ascribed = true;
        } else {
            return Some(printable(complaint, MAX_DETAIL));
        }
    }
    if finished.cut {
        return Some("it complained of more than is kept here".to_owned());
    }
    (!ascribed).then(|| said(finished))
}

fn after_find(line: &[u8]) -> Option<&[u8]> {
    let at = line.windows(2).position(|window| window == b": ")?;
    line[..at].ends_with(b"find").then(|| &line[at + 2..])
}

/// The path of `'./path': complaint`, quoted as find does where there is no other language.
fn complained_of(root: &Path, complaint: &[u8]) -> Option<PathBuf> {
    let (name, rest) = unquoted(complaint.strip_prefix(b"'")?, b'\'')?;
    let path = if name == b"." { root.to_owned() } else { below(root, &name) };
    rest.starts_with(b": ").then_some(path)
}

/// What comes after the program's name, as it was called, and the quote.
fn after_program(line: &[u8]) -> Option<&[u8]> {
    let at = line.windows(3).position(|window| window == b": \"")?;
    line[..at].ends_with(b"tar").then(|| &line[at + 3..])
}

fn reason(said: &str) -> Reason {
    let says = |what: &[&str]| what.iter().any(|what| said.contains(what));
    if says(&["No such file", "removed before we read it"]) {
        Reason::Vanished
    } else if says(&["shrank", "changed as we read it", "Not a directory", "Stale file handle"]) {
        Reason::ChangedWhileReading
    } else {
        Reason::Unreadable
    }
}

/// A name up to its closing quote, and what follows.
fn unquoted(line: &[u8], quote: u8) -> Option<(Vec<u8>, &[u8])> {
    let mut name = Vec::new();
    let mut at = 0;
    loop {
        match line.get(at)? {
            byte if *byte == quote => return Some((name, &line[at + 1..])),
            b'\\' => {
                let (byte, length) = escaped(&line[at + 1..])?;
                name.push(byte);
                at += 1 + length;
            }
            byte => {
                name.push(*byte);
                at += 1;
            }
        }
    }
}

fn escaped(rest: &[u8]) -> Option<(u8, usize)> {
    let first = *rest.first()?;
    let byte = match first {
        b'a' => 7,
        b'b' => 8,
        b't' => b'\t',
        b'n' => b'\n',
        b'v' => 11,
        b'f' => 12,
        b'r' => b'\r',
        b'0'..=b'7' => {
            let digits = rest.get(..3)?;
            let octal = std::str::from_utf8(digits).ok()?;
            return Some((u8::from_str_radix(octal, 8).ok()?, 3));
        }
        other => other,
    };
    Some((byte, 1))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn finished(status: i32, stderr: &[u8], cut: bool) -> Finished {
        Finished { status, stdout: Vec::new(), stderr: stderr.to_vec(), cut }
    }

    #[test]
    fn complaints_are_ascribed_to_their_paths() {
        let stderr = br#"tar: "./gone": Cannot stat: No such file or directory
tar: "./miss\n\"\377\\": Cannot open: Permission denied
/usr/bin/tar: "./log": File shrank by 12 bytes; padding with zeros
tar: "./log2": file changed as we read it
tar: "./bad": Read error at byte 0, while reading 512 bytes: Input/output error
tar: Exiting with failure status due to previous errors
"#;
        let notes = notes(Path::new("/r"), &finished(2, stderr, false));
        let found: Vec<_> = notes.iter().map(|n| (n.path.as_os_str(), n.reason)).collect();
        assert_eq!(
            found,
            [
                (OsStr::new("/r/gone"), Reason::Vanished),
                (OsStr::from_bytes(b"/r/miss\n\"\xff\\"), Reason::Unreadable),
                (OsStr::new("/r/log"), Reason::ChangedWhileReading),
                (OsStr::new("/r/log2"), Reason::ChangedWhileReading),
                (OsStr::new("/r/bad"), Reason::Unreadable),
            ]
        );
    }

    #[test]
    fn a_failure_without_a_path_is_the_roots() {
        let root = Path::new("/r");
        let oom = b"tar: memory exhausted\n";
        assert_eq!(notes(root, &finished(2, oom, false))[0].path, root);
        assert_eq!(notes(root, &finished(0, b"", false)), []);
        let known = br#"tar: "./a": Cannot open: Permission denied"#;
        assert_eq!(notes(root, &finished(2, known, true)).len(), 2, "some were dropped");
        assert!(notes(root, &finished(2, b"tar: \"./a\\", false))[0].path == root);
    }
}
