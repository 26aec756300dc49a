//! The gateway's exec as a way to a workspace's bytes. Needs a READY sandbox with a POSIX shell,
//! GNU find and GNU tar.
//!
//! Invariants: roots travel as arguments, everything else as bytes on stdin and stdout relative to
//! its root, so no name is too odd; how a command ended is told by a marker, never by the
//! gateway's exit code.

mod alone;
mod complaints;
mod dress;
mod listing;
mod read;
mod replace;
mod write;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

pub(crate) use read::{below, stays_below};

use super::{Broken, Channel, Entry, Note, Writer};
use crate::classify::Failure;
use crate::exec;
use crate::gateway::{Gateway, Healthy};
use crate::permit::Standing;
use crate::vendor::Incarnation;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct ExecChannel {
    /// Whose exec it is.
    pub gateway: Arc<Gateway>,
    /// As it was just probed.
    pub healthy: Healthy,
    /// The only one that is looked into.
    pub incarnation: Incarnation,
    /// Leave to write there. `None`: whoever has the channel only reads, or checks for itself.
    pub leave: Option<Arc<Standing>>,
}

// === impl ExecChannel ===

impl Channel for ExecChannel {
    async fn inventory(
        &self,
        root: PathBuf,
        entries: mpsc::Sender<Entry>,
    ) -> Result<Vec<Note>, Broken> {
        read::inventory(self, root, entries).await
    }

    async fn contents(
        &self,
        root: PathBuf,
        files: Vec<PathBuf>,
        tar: mpsc::Sender<Bytes>,
    ) -> Result<Vec<Note>, Broken> {
        read::contents(self, root, files, tar).await
    }

    async fn digests(
        &self,
        root: PathBuf,
        files: Vec<PathBuf>,
        found: mpsc::Sender<(PathBuf, [u8; 32])>,
    ) -> Result<Vec<Note>, Broken> {
        write::digests(self, root, files, found).await
    }
}

impl Writer for ExecChannel {
    async fn unpack(
        &self,
        root: PathBuf,
        size: u64,
        tar: mpsc::Receiver<Bytes>,
    ) -> Result<Vec<Note>, Broken> {
        write::unpack(self, root, size, tar).await
    }

    async fn add(
        &self,
        root: PathBuf,
        size: u64,
        tar: mpsc::Receiver<Bytes>,
    ) -> Result<Vec<Note>, Broken> {
        write::add(self, root, size, tar).await
    }

    async fn dress(&self, root: PathBuf, directories: Vec<Entry>) -> Result<Vec<Note>, Broken> {
        dress::dress(self, root, directories).await
    }

    async fn remove(&self, root: PathBuf, paths: Vec<PathBuf>) -> Result<Vec<Note>, Broken> {
        write::remove(self, root, paths).await
    }

    async fn replace(
        &self,
        root: PathBuf,
        like: Entry,
        content: (Bytes, Option<[u8; 32]>),
    ) -> Result<Vec<Note>, Broken> {
        replace::replace(self, root, like, content).await
    }
}

// === impl Broken ===

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self { unknown: exec::unknown(&failure) }
    }
}

#[cfg(test)]
mod tests;
