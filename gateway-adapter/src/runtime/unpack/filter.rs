//! Which members of a stream may be written.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tar::EntryType;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::super::archive::below;
use super::super::links::Links;
use super::super::tar::{self as stream, Fault, Member, Reader};
use crate::workspace::{Note, Reason};

/// A stream on its way through the checks.
pub(super) struct Filter<'a> {
    pub(super) root: &'a Path,
    pub(super) links: Links,
    pub(super) notes: Vec<Note>,
    /// The root's own header, which the runtime passes over.
    pub(super) own: Option<Member>,
    pub(super) patience: Duration,
    pub(super) out: mpsc::Sender<Result<Bytes, io::Error>>,
}

/// Why no more is passed on.
pub(super) enum Stop {
    /// The incoming stream.
    Fault(Fault),
    /// The runtime does not take any more; its answer says why.
    Refused,
    /// The runtime took nothing for too long.
    Stalled,
}

// === impl Filter ===

impl Filter<'_> {
    /// Passes a stream of `size` bytes on, but for what may not be written.
    pub(super) async fn pass(
        &mut self,
        incoming: mpsc::Receiver<Bytes>,
        size: u64,
    ) -> Result<(), Stop> {
        let come = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&come);
        let source = ReceiverStream::new(incoming).map(move |piece| {
            counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok(piece)
        });
        let mut reader = Reader::new(source.boxed(), self.patience);
        while let Some(member) = reader.next().await.map_err(Stop::Fault)? {
            if !self.admit(&member) {
                continue;
            }
            self.send(member.raw.clone()).await?;
            while let Some(piece) = reader.piece().await.map_err(Stop::Fault)? {
                self.send(piece).await?;
            }
            self.send(stream::padding_of(member.size)).await?;
        }
        if come.load(Ordering::Relaxed) != size {
            return Err(Stop::Fault(Fault::Malformed("another size than was stated")));
        }
        self.send(stream::end_marker()).await
    }

    /// Whether a member may be written; if not, it is noted.
    fn admit(&mut self, member: &Member) -> bool {
        use EntryType::{Continuous, Directory, Fifo, Link, Regular, Symlink};
        let leaves = "it, or what it is linked with, is not below its root but by a symbolic link";
        let Some(path) = below(&member.path) else {
            let path = self.root.join(OsStr::from_bytes(&member.path));
            return self.refuse(path, Reason::LeavesRoot, "its name leads out of the root");
        };
        if path.as_os_str().is_empty() {
            self.own = (member.kind == Directory).then(|| member.clone());
            return false;
        }
        let link = (member.kind == Link).then(|| below(&member.link));
        let out = match &link {
            Some(target) => target.as_ref().is_none_or(|target| self.links.leads_through(target)),
            None => false,
        };
        if out || self.links.leads_through(&path) {
            return self.refuse(self.root.join(path), Reason::LeavesRoot, leaves);
        }
        match member.kind {
            Symlink => self.links.link(path),
            Regular | Continuous | Directory | Fifo | Link => self.links.no_link(&path),
            _ => {
                let detail = "it is neither file, directory, link nor pipe";
                return self.refuse(self.root.join(path), Reason::SpecialFile, detail);
            }
        }
        true
    }

    fn refuse(&mut self, path: PathBuf, reason: Reason, detail: &str) -> bool {
        self.notes.push(Note { path, reason, detail: detail.to_owned() });
        false
    }

    async fn send(&self, piece: Bytes) -> Result<(), Stop> {
        if piece.is_empty() {
            return Ok(());
        }
        match timeout(self.patience, self.out.send(Ok(piece))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Stop::Refused),
            Err(_) => Err(Stop::Stalled),
        }
    }
}
