//! A container's files through the runtime's archive API: a directory's tree as a tar stream, in tree order.
//!
//! Invariants: the container is looked at again before each stream; paths that leave the root, or come out of order, end the
//! stream as unreadable instead of being put right. The API skips what the runtime cannot put into a tar stream (sockets)
//! without a word; that is a limit of this channel.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use bollard::Docker;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder,
};
use futures::StreamExt;
use prost_types::Timestamp;

use super::tar::{Fault, Member, Reader};
use super::trouble::Kind;
use super::{Runtime, Trouble};
use crate::workspace::Broken;

/// Of the mode in the API's answer: the type bits of Go's `fs.FileMode`.
const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stat {
    Directory,
    Symlink,
    Other,
    Missing,
}

/// The members of one root's archive.
pub(super) struct Tree {
    root: PathBuf,
    reader: Reader,
    last: Option<PathBuf>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Item {
    /// Absolute.
    pub path: PathBuf,
    /// Of a hard link: the absolute path of the member that has the content.
    pub target: Option<PathBuf>,
    /// Its header.
    pub member: Member,
}

// === impl Runtime ===

impl Runtime {
    /// What a path in a container is, symbolic links in its parents followed and itself not.
    pub(super) async fn stat(
        &self,
        docker: &Docker,
        id: &str,
        path: &str,
    ) -> Result<Stat, Trouble> {
        let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
        match self.call("stat", docker.get_container_archive_info(id, Some(options))).await {
            Ok(stat) if stat.file_mode & SYMLINK != 0 => Ok(Stat::Symlink),
            Ok(stat) if stat.file_mode & DIRECTORY != 0 => Ok(Stat::Directory),
            Ok(_) => Ok(Stat::Other),
            Err(trouble) if trouble.kind == Kind::Missing => Ok(Stat::Missing),
            Err(trouble) => Err(trouble),
        }
    }

    /// When a file was last written, to the nanosecond. `None`: it is not there, or the runtime does not tell.
    pub(super) async fn modified(
        &self,
        docker: &Docker,
        id: &str,
        path: &str,
    ) -> Result<Option<SystemTime>, Trouble> {
        let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
        match self.call("stat", docker.get_container_archive_info(id, Some(options))).await {
            Ok(stat) => {
                let told = stat.modification_time.and_then(|told| told.parse::<Timestamp>().ok());
                Ok(told.and_then(|told| told.try_into().ok()))
            }
            Err(trouble) if trouble.kind == Kind::Missing => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// The archive of one path. Nothing is asked before it is read.
    pub(super) fn archive(&self, docker: &Docker, id: &str, path: &str) -> Reader {
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let (id, socket) = (id.to_owned(), self.socket().to_owned());
        let pieces = docker.download_from_container(&id, Some(options)).map(move |piece| {
            piece.map_err(|error| Trouble::classify(&socket, "read the archive", error))
        });
        Reader::new(pieces.boxed(), self.bounds().piece)
    }

    /// A stream's fault, in words.
    pub(super) fn fault(&self, fault: Fault) -> Broken {
        let (kind, text) = match fault {
            Fault::Trouble(trouble) => return trouble.into(),
            Fault::Cut => (Kind::Lost, "the archive ended before its end".to_owned()),
            Fault::Stalled(bound) => {
                (Kind::Silent, format!("nothing of the archive came for {} s", bound.as_secs()))
            }
            Fault::Malformed(what) => {
                (Kind::Senseless, format!("the archive cannot be read: it has {what}"))
            }
        };
        self.trouble(kind, text).into()
    }
}

// === impl Tree ===

impl Tree {
    /// The members of `root`'s archive; the first is the root itself.
    pub(super) fn new(root: PathBuf, reader: Reader) -> Self {
        Self { root, reader, last: None }
    }

    /// The next member. `None` at the true end.
    pub(super) async fn next(&mut self) -> Result<Option<Item>, Fault> {
        let Some(member) = self.reader.next().await? else { return Ok(None) };
        let path = self.absolute(&member.path)?;
        // Names of one directory in byte order, parents first: then everything can be done in one pass.
        if self.last.as_ref().is_some_and(|last| *last >= path) {
            return Err(Fault::Malformed("members that are out of order"));
        }
        let target = match member.kind {
            tar::EntryType::Link => Some(self.absolute(&member.link)?),
            _ => None,
        };
        self.last = Some(path.clone());
        Ok(Some(Item { path, target, member }))
    }

    /// The next piece of the last member's content.
    pub(super) async fn piece(&mut self) -> Result<Option<bytes::Bytes>, Fault> {
        self.reader.piece().await
    }

    /// Names in the archive begin with the root's own last name.
    fn absolute(&self, name: &[u8]) -> Result<PathBuf, Fault> {
        let relative = below(name).ok_or(Fault::Malformed("a name that leaves its root"))?;
        let inside = match self.root.file_name() {
            None => relative.as_path(),
            Some(own) => {
                let own = relative.strip_prefix(own);
                own.map_err(|_| Fault::Malformed("a name that is not below its root"))?
            }
        };
        if inside.as_os_str().is_empty() {
            return Ok(self.root.clone());
        }
        Ok(self.root.join(inside))
    }
}

/// A member's name as a relative path; `None` if it leads upwards. A leading slash means nothing here.
pub(super) fn below(name: &[u8]) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}
