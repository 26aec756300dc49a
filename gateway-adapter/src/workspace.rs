//! Workspaces: what is in them, and the ways to their bytes.
//!
//! Invariants: an entry's path is absolute, normalised, and below its root; siblings come in the order of their name's bytes
//! and parents before children, so that everything can be done in one pass; content is never held whole. What cannot be
//! read is a [`Note`], never an omission.

pub(crate) mod capture;
mod compare;
mod difference;
mod exec_channel;
#[cfg(test)]
mod many;
pub(crate) mod notes;
mod packing;
mod quiesce;
pub(crate) mod restore;
pub(crate) mod rules;
pub(crate) mod sides;
mod sqlite;
pub(crate) mod tree;
pub(crate) mod unchanged;
pub(crate) mod verify;

use std::future::ready;
use std::path::{Path, PathBuf};
use std::{fmt, time::SystemTime};

use bytes::Bytes;
use salvor_proto::gateway::v1 as pb;
use tokio::sync::mpsc;

pub(crate) use exec_channel::ExecChannel;

/// One entry of a workspace, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Absolute. May be no UTF-8.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, set-id and sticky bits included; no type bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Owner's name, where the channel knows it.
    pub user: Option<String>,
    /// Group's name, where the channel knows it.
    pub group: Option<String>,
    /// Of a regular file, in bytes; zero of all else.
    pub size: u64,
    /// Of its content, to the nanosecond where the channel knows it.
    pub modified: SystemTime,
    /// Of its inode. `None` where the channel does not know it: then nothing is taken for unchanged.
    pub changed: Option<SystemTime>,
    /// Zero where the channel does not know it: then nothing is taken for unchanged.
    pub inode: u64,
    /// Of the file system that it is on.
    pub device: u64,
    /// Hard links. Entries of one (device, inode) with more than one are the same file.
    pub links: u64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link to this target, literally. It may lead anywhere: it is never followed.
    Symlink(PathBuf),
    /// A named pipe.
    Fifo,
    /// A socket. Noted as such, since nothing listens on it after a restore.
    Socket,
    /// A device: never captured, always noted.
    Device,
}

/// Something to say of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// Absolute.
    pub path: PathBuf,
    /// What.
    pub reason: Reason,
    /// For people, without secrets.
    pub detail: String,
}

/// What there is to say of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    /// The channel may not read it.
    Unreadable,
    /// Size, times or type were different after reading it.
    ChangedWhileReading,
    /// It was listed and could not be found any more, or the other way round.
    Vanished,
    /// A device, or a kind that is not known here.
    SpecialFile,
    /// It is not below its root, or only through a symbolic link.
    LeavesRoot,
    /// The stream ended before it did.
    StreamCut,
    /// Not within its time.
    TimedOut,
    /// A quiesce hook failed.
    HookFailed,
    /// What the repository gave back is not what was read.
    ReadBackDiffers,
    /// A declared root does not exist, or is no directory.
    RootMissing,
    /// More entries than are held here.
    TooManyEntries,
    /// A rule of the record's leaves it out.
    Excluded,
    /// It belongs to one machine: a device's identity, a host's key.
    MachineBound,
    /// It holds credentials.
    Secret,
    /// It could not be written.
    Unwritable,
    /// Its content or metadata is not the snapshot's.
    Differs,
}

/// A way to read a workspace's bytes: the gateway's exec, or the container runtime. All paths are below `root`, which is
/// absolute and normalised. Dropping a future ends the work soon; a command inside the sandbox may go on.
pub(crate) trait Channel: Send + Sync + fmt::Debug {
    /// Lists everything below `root`, the root itself first. Ends early when the receiver is gone.
    ///
    /// # Errors
    /// The listing as a whole cannot be relied upon.
    fn inventory(
        &self,
        root: PathBuf,
        entries: mpsc::Sender<Entry>,
    ) -> impl Future<Output = Result<Vec<Note>, Broken>> + Send;

    /// Sends these regular files, in this order, as a tar stream of any of the common formats. Entry names are relative to
    /// `root`. A file that cannot be read is missing from the stream, or shorter than listed, and noted.
    ///
    /// # Errors
    /// The stream ended before its end.
    fn contents(
        &self,
        root: PathBuf,
        files: Vec<PathBuf>,
        tar: mpsc::Sender<Bytes>,
    ) -> impl Future<Output = Result<Vec<Note>, Broken>> + Send;

    /// SHA-256 of each of these regular files, in any order. One that cannot be read is noted.
    ///
    /// # Errors
    /// As for `contents`.
    fn digests(
        &self,
        root: PathBuf,
        files: Vec<PathBuf>,
        found: mpsc::Sender<(PathBuf, [u8; 32])>,
    ) -> impl Future<Output = Result<Vec<Note>, Broken>> + Send;
}

/// A channel through which a workspace is written, too: the gateway's exec alone.
pub(crate) trait Writer: Channel {
    /// Unpacks a tar stream of `size` bytes below `root`: owner, mode and times as in the stream, existing entries replaced,
    /// nothing outside of `root` touched, symbolic links never followed. `root` is created if it is missing.
    ///
    /// # Errors
    /// Some of it may have been written.
    fn unpack(
        &self,
        root: PathBuf,
        size: u64,
        tar: mpsc::Receiver<Bytes>,
    ) -> impl Future<Output = Result<Vec<Note>, Broken>> + Send;

    /// Unpacks as [`unpack`](Self::unpack) does what does not exist. Existing entries stay as they are, those included that came
    /// a moment ago: what is below a symbolic link that came in a directory's place is written where that leads, over nothing.
    ///
    /// # Errors
    /// This channel cannot, or some of it may have been written.
    fn add(
        &self,
        root: PathBuf,
        size: u64,
        tar: mpsc::Receiver<Bytes>,
    ) -> impl Future<Output = Result<Vec<Note>, Broken>> + Send {
        let _ = (size, tar);
        cannot(&root, "write and leave what is there as it is")
    }

    /// Gives directories their mode and time, in this order, if they are directories.
    ///
    /// # Errors
    /// This channel cannot, or some of them may have them.
    fn dress(
        &self,
        root: PathBuf,
        directories: Vec<Entry>,
    ) -> impl Future<Output = Result<Vec<Note>, Broken>> + Send {
        let _ = directories;
        cannot(&root, "give a directory its mode and time")
    }

    /// Takes entries away, directories with all that is in them.
    ///
    /// # Errors
    /// Some of them may be gone.
    fn remove(
        &self,
        root: PathBuf,
        paths: Vec<PathBuf>,
    ) -> impl Future<Output = Result<Vec<Note>, Broken>> + Send;

    /// Puts a regular file in another one's place at once: written beside it, then renamed, so that
    /// there is never half of it. Its directory must be there. `like` has its path, mode and owner. Beside the content stands the
    /// SHA-256 of what it takes the place of: if what is there has it not any more, or is there and should not be, it stays, and
    /// that is noted.
    ///
    /// # Errors
    /// It is not known whether it did. There is the old file or the new one.
    fn replace(
        &self,
        root: PathBuf,
        like: Entry,
        content: (Bytes, Option<[u8; 32]>),
    ) -> impl Future<Output = Result<Vec<Note>, Broken>> + Send;
}

/// What a channel answers that has no way to do something.
fn cannot(
    path: &Path,
    what: &str,
) -> impl Future<Output = Result<Vec<Note>, Broken>> + Send + use<> {
    let detail = format!("{}: this channel cannot {what}", path.display());
    let reason = pb::UnknownReason::Unimplemented.into();
    ready(Err(Broken { unknown: pb::Unknown { reason, detail } }))
}

/// A channel that does not work: not about one path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", unknown.detail)]
pub(crate) struct Broken {
    /// Why, as a read says it.
    pub unknown: pb::Unknown,
}

// === impl Reason ===

impl Reason {
    /// Its stable name on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "UNREADABLE",
            Self::ChangedWhileReading => "CHANGED_WHILE_READING",
            Self::Vanished => "VANISHED",
            Self::SpecialFile => "SPECIAL_FILE",
            Self::LeavesRoot => "LEAVES_ROOT",
            Self::StreamCut => "STREAM_CUT",
            Self::TimedOut => "TIMED_OUT",
            Self::HookFailed => "HOOK_FAILED",
            Self::ReadBackDiffers => "READ_BACK_DIFFERS",
            Self::RootMissing => "ROOT_MISSING",
            Self::TooManyEntries => "TOO_MANY_ENTRIES",
            Self::Excluded => "EXCLUDED",
            Self::MachineBound => "MACHINE_BOUND",
            Self::Secret => "SECRET",
            Self::Unwritable => "UNWRITABLE",
            Self::Differs => "DIFFERS",
        }
    }
}
