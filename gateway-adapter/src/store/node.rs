//! Between an [`Entry`] and restic's node.
//!
//! Invariant: an entry comes back as it went in, to the nanosecond, except that a time of change that was not known is stored
//! as the capture's own time ([`Stamp`]), which no file can have had, and comes back as not known.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::SystemTime;

use rustic_core::jiff::Timestamp;
use rustic_core::repofile::{Metadata, Node, NodeType};

use super::StoreError;
use crate::workspace::{Entry, Kind};

// Modes are stored as Go's `os.FileMode` has them.
const GO_DIRECTORY: u32 = 1 << 31;
const GO_SYMLINK: u32 = 1 << 27;
const GO_DEVICE: u32 = 1 << 26;
const GO_FIFO: u32 = 1 << 25;
const GO_SOCKET: u32 = 1 << 24;
const GO_SETUID: u32 = 1 << 23;
const GO_SETGID: u32 = 1 << 22;
const GO_STICKY: u32 = 1 << 20;

/// Stands for a time of change that is not known: the snapshot's own time. Unlike any parent's, so that an entry that bears it is never
/// taken for unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(pub(super) Timestamp);

/// A time that restic's format cannot hold, which is every one outside of the years 0 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unstorable;

/// A node without content, and whether all of the entry's times could be stored.
pub(super) fn from_entry(entry: &Entry, stamp: Stamp) -> (Node, Result<(), Unstorable>) {
    let (modified, storable) = time(entry.modified);
    let changed = entry.changed.map(|changed| time(changed).0);
    let (kind, go) = match &entry.kind {
        Kind::File => (NodeType::File, 0),
        Kind::Directory => (NodeType::Dir, GO_DIRECTORY),
        Kind::Symlink(target) => (NodeType::from_link(target), GO_SYMLINK),
        Kind::Fifo => (NodeType::Fifo, GO_FIFO),
        Kind::Socket => (NodeType::Socket, GO_SOCKET),
        Kind::Device => (NodeType::Dev { device: 0 }, GO_DEVICE),
    };
    let meta = Metadata {
        mode: Some(go | go_bits(entry.mode)),
        mtime: Some(modified),
        // restic would set the beginning of time; it does the same without --with-atime.
        atime: Some(modified),
        ctime: Some(changed.unwrap_or(stamp.0)),
        uid: Some(entry.uid),
        gid: Some(entry.gid),
        user: entry.user.clone(),
        group: entry.group.clone(),
        inode: entry.inode,
        device_id: entry.device,
        size: entry.size,
        links: entry.links,
        extended_attributes: Vec::new(),
    };
    let name = entry.path.file_name().unwrap_or_default();
    (Node::new_node(name, kind, meta), storable)
}

/// The entry at `path` that a node stands for.
pub(super) fn to_entry(path: &Path, node: &Node, stamp: Stamp) -> Entry {
    let meta = &node.meta;
    let kind = match &node.node_type {
        NodeType::File => Kind::File,
        NodeType::Dir => Kind::Directory,
        link @ NodeType::Symlink { .. } => Kind::Symlink(link.to_link().to_owned()),
        NodeType::Fifo => Kind::Fifo,
        NodeType::Socket => Kind::Socket,
        NodeType::Dev { .. } | NodeType::Chardev { .. } => Kind::Device,
    };
    let modified = meta.mtime.map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    Entry {
        path: path.to_owned(),
        kind,
        mode: unix_bits(meta.mode.unwrap_or(0)),
        uid: meta.uid.unwrap_or(0),
        gid: meta.gid.unwrap_or(0),
        user: meta.user.clone(),
        group: meta.group.clone(),
        size: meta.size,
        modified,
        changed: meta.ctime.filter(|ctime| *ctime != stamp.0).map(SystemTime::from),
        inode: meta.inode,
        device: meta.device_id,
        links: meta.links,
    }
}

/// A node's name, if it is one: it cannot lead anywhere else.
pub(super) fn name(node: &Node) -> Result<std::borrow::Cow<'_, OsStr>, StoreError> {
    let name = node.name();
    let bytes = name.as_bytes();
    if matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') || bytes.contains(&0) {
        return Err(StoreError::Damaged { what: format!("an entry is called {:?}", node.name) });
    }
    Ok(name)
}

fn time(time: SystemTime) -> (Timestamp, Result<(), Unstorable>) {
    // The bounds of what restic reads: 0000-01-01 and 9999-12-31.
    const FIRST: i64 = -62_167_219_200;
    const LAST: i64 = 253_402_207_200;
    match Timestamp::try_from(time) {
        Ok(time) if (FIRST..LAST).contains(&time.as_second()) => (time, Ok(())),
        _ => (Timestamp::UNIX_EPOCH, Err(Unstorable)),
    }
}

const fn go_bits(mode: u32) -> u32 {
    let mut go = mode & 0o777;
    if mode & 0o4000 != 0 {
        go |= GO_SETUID;
    }
    if mode & 0o2000 != 0 {
        go |= GO_SETGID;
    }
    if mode & 0o1000 != 0 {
        go |= GO_STICKY;
    }
    go
}

const fn unix_bits(go: u32) -> u32 {
    let mut mode = go & 0o777;
    if go & GO_SETUID != 0 {
        mode |= 0o4000;
    }
    if go & GO_SETGID != 0 {
        mode |= 0o2000;
    }
    if go & GO_STICKY != 0 {
        mode |= 0o1000;
    }
    mode
}
