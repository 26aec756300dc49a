//! Contents of files that have several names, kept for the names that come later in the tree.
//!
//! An archive has the content once, and while it is open the runtime answers nothing else about the container. So what a
//! later hard link needs is kept in a nameless temporary file on this host, gone with the last handle on it.

use std::collections::HashMap;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// Read again in pieces of so many bytes.
const PIECE: u64 = 64 << 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Spool {
    file: Option<File>,
    kept: HashMap<PathBuf, Kept>,
    end: u64,
}

/// A part of the spool: where it is and how much of it is left to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    at: u64,
    pub(super) left: u64,
}

// === impl Spool ===

impl Spool {
    /// What follows is the content of `path`.
    pub(super) fn begin(&mut self, path: PathBuf) {
        self.kept.insert(path, Kept { at: self.end, left: 0 });
    }

    /// The next piece of the content of `path`, which was begun last.
    pub(super) async fn write(&mut self, path: &Path, piece: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::from_std(tempfile::tempfile()?)),
        };
        file.seek(SeekFrom::Start(self.end)).await?;
        file.write_all(piece).await?;
        file.flush().await?;
        self.end += piece.len() as u64;
        if let Some(kept) = self.kept.get_mut(path) {
            kept.left += piece.len() as u64;
        }
        Ok(())
    }

    /// The content of `path`, if it is kept.
    pub(super) fn find(&self, path: &Path) -> Option<Kept> {
        self.kept.get(path).copied()
    }

    /// The next piece of a content; `None` at its end.
    pub(super) async fn read(&mut self, kept: &mut Kept) -> io::Result<Option<Bytes>> {
        let length = kept.left.min(PIECE);
        let (Some(file), false) = (&mut self.file, length == 0) else { return Ok(None) };
        file.seek(SeekFrom::Start(kept.at)).await?;
        let mut piece = BytesMut::zeroed(usize::try_from(length).unwrap_or(0));
        file.read_exact(&mut piece).await?;
        kept.at += length;
        kept.left -= length;
        Ok(Some(piece.freeze()))
    }
}
