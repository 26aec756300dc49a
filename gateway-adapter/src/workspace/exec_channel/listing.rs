//! What GNU find prints, read as it comes.
//!
//! Invariant: no more is held than one record that is not whole yet; a record that cannot be read
//! ends the listing, since what follows could be anything.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, Bytes, BytesMut};

use super::complaints;
use super::read::{below, said, stays_below};
use crate::exec::Finished;
use crate::workspace::{Entry, Kind, Note, Reason};

/// Fields of one record, as LIST prints them.
const FIELDS: usize = 15;
/// What find ends with when it complained of something and went on.
const SOME_FAILED: i32 = 1;
/// The longest record: two paths of 4 KiB, and names of users.
const MAX_RECORD: usize = 64 << 10;

/// Finds where a command's own output begins.
pub(super) struct Start {
    line: Vec<u8>,
    held: BytesMut,
    seen: bool,
}

/// See the module.
pub(super) struct Parser {
    start: Start,
    mark: Vec<u8>,
    root: PathBuf,
    held: BytesMut,
    notes: Vec<Note>,
    ended: bool,
}

// === impl Start ===

impl Start {
    /// `mark` on a line of its own.
    pub(super) fn new(mark: &str) -> Self {
        let line = format!("\n{mark}\n").into_bytes();
        Self { line, held: BytesMut::new(), seen: false }
    }

    /// What of a piece comes after the mark.
    pub(super) fn after(&mut self, piece: Bytes) -> Bytes {
        if self.seen {
            return piece;
        }
        self.held.extend_from_slice(&piece);
        let found = self.held.windows(self.line.len()).position(|window| window == self.line);
        if let Some(at) = found {
            self.seen = true;
            self.held.advance(at + self.line.len());
            return self.held.split().freeze();
        }
        let surplus = self.held.len().saturating_sub(self.line.len());
        self.held.advance(surplus);
        Bytes::new()
    }

    /// Whether the mark came.
    pub(super) fn seen(&self) -> bool {
        self.seen
    }
}

// === impl Parser ===

impl Parser {
    pub(super) fn new(mark: &str, root: &Path) -> Self {
        Self {
            start: Start::new(mark),
            mark: mark.as_bytes().to_vec(),
            root: root.to_owned(),
            held: BytesMut::new(),
            notes: Vec::new(),
            ended: false,
        }
    }

    /// The entries that are whole with this piece.
    ///
    /// # Errors
    /// What it printed is no listing.
    pub(super) fn push(&mut self, piece: &Bytes) -> Result<Vec<Entry>, String> {
        let piece = self.start.after(piece.clone());
        self.held.extend_from_slice(&piece);
        let mut entries = Vec::new();
        while let Some(record) = self.record()? {
            let fields: Vec<&[u8]> = record.split(|byte| *byte == 0).take(FIELDS).collect();
            let (entry, readable) = entry(&self.root, &fields)?;
            if !fields.get(1).is_some_and(|name| stays_below(name)) {
                self.leaves_root(entry.path);
                continue;
            }
            if !readable {
                self.unreadable(&entry);
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// The next record that is whole. Notes the end.
    fn record(&mut self) -> Result<Option<Bytes>, String> {
        let mut ends = self.held.iter().enumerate().filter(|(_, byte)| **byte == 0);
        let first = ends.next().map(|(at, _)| at);
        if first.is_some_and(|at| self.held[..at] == self.mark) {
            self.ended = true;
        }
        if self.ended {
            self.held.clear();
            return Ok(None);
        }
        match ends.nth(FIELDS - 2) {
            Some((at, _)) => Ok(Some(self.held.split_to(at + 1).freeze())),
            None if self.held.len() > MAX_RECORD => {
                Err("find printed a record that is too long".into())
            }
            None => Ok(None),
        }
    }

    fn leaves_root(&mut self, path: PathBuf) {
        let detail = "the sandbox's find names it as below the root, and it is not".to_owned();
        self.notes.push(Note { path, reason: Reason::LeavesRoot, detail });
    }

    fn unreadable(&mut self, entry: &Entry) {
        let what = if entry.kind == Kind::Directory { "directory" } else { "file" };
        let (mode, uid) = (entry.mode, entry.uid);
        let detail = format!("this {what} has mode {mode:o} and owner {uid}, and may not be read");
        self.notes.push(Note { path: entry.path.clone(), reason: Reason::Unreadable, detail });
    }

    /// What is to be noted, once find has ended.
    ///
    /// # Errors
    /// It did not come to its end.
    pub(super) fn end(mut self, finished: &Finished) -> Result<Vec<Note>, String> {
        if !self.ended || !matches!(finished.status, 0 | SOME_FAILED) {
            let (status, said) = (finished.status, said(finished));
            return Err(format!("the listing was not whole; find ended with {status}: {said}"));
        }
        // What it may not read it has said entry by entry. Anything else is about all of it.
        if finished.status != 0
            && let Some(unsaid) = complaints::unsaid(&self.root, &self.notes, finished)
        {
            let detail = format!("find ended with {}: {unsaid}", finished.status);
            let path = self.root.clone();
            self.notes.push(Note { path, reason: Reason::Unreadable, detail });
        }
        Ok(self.notes)
    }
}

fn entry(root: &Path, fields: &[&[u8]]) -> Result<(Entry, bool), String> {
    let [flag, name, kind, size, modified, changed, inode, device, rest @ ..] = fields else {
        return Err("find printed a record without all of its fields".into());
    };
    let [mode, uid, user, gid, group, links, target] = rest else {
        return Err("find printed a record without all of its fields".into());
    };
    let readable = match *flag {
        b"." => true,
        b"x" => false,
        _ => return Err("find printed something that is no record".into()),
    };
    let kind = match *kind {
        b"f" => Kind::File,
        b"d" => Kind::Directory,
        b"l" => Kind::Symlink(PathBuf::from(OsStr::from_bytes(target))),
        b"p" => Kind::Fifo,
        b"s" => Kind::Socket,
        // Devices, doors, and what find does not know.
        _ => Kind::Device,
    };
    let size = if kind == Kind::File { number(size)? } else { 0 };
    let narrow = |field: &[u8]| -> Result<u32, String> {
        u32::try_from(number(field)?)
            .map_err(|_| String::from("find printed a number that is too big"))
    };
    let mode = std::str::from_utf8(mode).ok().and_then(|mode| u32::from_str_radix(mode, 8).ok());
    let entry = Entry {
        path: below(root, name),
        kind,
        mode: mode.ok_or("find printed a mode that is none")?,
        uid: narrow(uid)?,
        gid: narrow(gid)?,
        user: owner(user),
        group: owner(group),
        size,
        modified: instant(modified)?,
        changed: Some(instant(changed)?),
        inode: number(inode)?,
        device: number(device)?,
        links: number(links)?,
    };
    Ok((entry, readable))
}

fn number(field: &[u8]) -> Result<u64, String> {
    let number = std::str::from_utf8(field).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| "find printed a number that is none".into())
}

/// A name; find prints the number where there is none.
fn owner(field: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(field).ok()?;
    let named = !name.is_empty() && !name.bytes().all(|byte| byte.is_ascii_digit());
    named.then(|| name.to_owned())
}

/// `-2.5000000000` is half a second after two seconds before the epoch: the fraction always counts
/// forwards.
fn instant(field: &[u8]) -> Result<SystemTime, String> {
    let parse = || {
        let text = std::str::from_utf8(field).ok()?;
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
        let nanos = Duration::from_nanos(digits.parse().ok()?);
        let whole = Duration::from_secs(seconds.trim_start_matches('-').parse().ok()?);
        let base = if seconds.starts_with('-') {
            UNIX_EPOCH.checked_sub(whole)
        } else {
            UNIX_EPOCH.checked_add(whole)
        };
        base?.checked_add(nanos)
    };
    parse().ok_or_else(|| "find printed a time that is none".into())
}

#[cfg(test)]
mod tests;
