//! A tar stream, read entry by entry as it comes, and written again.
//!
//! Invariants: nothing but headers is held; a stream counts as whole only with its end marker, since a runtime that fails in
//! the middle just stops sending; the next piece has its own deadline and the whole has none. Reads ustar, PAX and GNU
//! long names; sparse members, which no runtime sends, are refused rather than misread.

use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;
use tar::EntryType;
use tokio::time::timeout;

use super::trouble::Trouble;
use parse::{Extensions, header, is_extension, is_zero};
use write::padding;

pub(super) use write::{end_marker, file_header, padding_of};

mod parse;
mod write;

/// Tar's unit.
const BLOCK: usize = 512;
/// The largest extension header, in bytes. Paths end at 4 KiB on Linux; extended attributes may be longer.
const MAX_EXTENSION: u64 = 1 << 20;
/// What follows the end marker is padding; more than this is not.
const MAX_PADDING: usize = 1 << 20;

/// Where the bytes come from.
pub(super) type Source = BoxStream<'static, Result<Bytes, Trouble>>;

/// See the module.
pub(super) struct Reader {
    source: Source,
    patience: Duration,
    held: Bytes,
    /// Of the present member's content, not read yet.
    content: u64,
    /// After it, up to the next header.
    padding: u64,
    ended: bool,
}

/// One member's header, its extensions applied.
#[derive(Debug, Clone)]
pub(super) struct Member {
    /// As written, without a trailing slash.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryType,
    /// Where a link leads, as written.
    pub link: Vec<u8>,
    /// Permission bits only.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub user: Option<String>,
    pub group: Option<String>,
    /// Of its content in this stream, in bytes.
    pub size: u64,
    pub modified: SystemTime,
}

/// Why a stream cannot be read on.
#[derive(Debug)]
pub(super) enum Fault {
    /// It ended before its end.
    Cut,
    /// Nothing came for so long.
    Stalled(Duration),
    /// It is no tar stream that is read here.
    Malformed(&'static str),
    /// The runtime's word.
    Trouble(Trouble),
}

// === impl Reader ===

impl Reader {
    /// Reads a stream whose next piece comes within `patience`.
    pub(super) fn new(source: Source, patience: Duration) -> Self {
        Self { source, patience, held: Bytes::new(), content: 0, padding: 0, ended: false }
    }

    /// The next member; what was not read of the one before is skipped. `None` at the stream's true end.
    pub(super) async fn next(&mut self) -> Result<Option<Member>, Fault> {
        while self.piece().await?.is_some() {}
        self.skip(self.padding).await?;
        self.padding = 0;
        let mut extensions = Extensions::default();
        loop {
            let block = self.exactly(BLOCK).await?;
            if is_zero(&block) {
                self.finish().await?;
                return Ok(None);
            }
            let header = header(&block)?;
            let size = header.entry_size().map_err(|_| Fault::Malformed("a size"))?;
            let kind = header.entry_type();
            if is_extension(kind) {
                let whole = self.extension(size).await?;
                extensions.take(kind, &whole)?;
                continue;
            }
            let member = extensions.member(&header, size)?;
            self.content = member.size;
            self.padding = padding(member.size);
            return Ok(Some(member));
        }
    }

    /// The next piece of the present member's content; `None` at its end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.content == 0 {
            return Ok(None);
        }
        self.fill().await?;
        let most = usize::try_from(self.content).unwrap_or(usize::MAX).min(self.held.len());
        let piece = self.held.split_to(most);
        self.content -= piece.len() as u64;
        Ok(Some(piece))
    }

    /// The rest of the stream must be the end marker's second half and padding.
    async fn finish(&mut self) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        if !is_zero(&self.exactly(BLOCK).await?) {
            return Err(Fault::Malformed("one zero block in the middle"));
        }
        let mut rest = 0;
        loop {
            rest += self.held.len();
            if rest > MAX_PADDING || !is_zero(&self.held) {
                return Err(Fault::Malformed("something after its end"));
            }
            self.held = Bytes::new();
            match self.fill().await {
                Ok(()) => {}
                Err(Fault::Cut) => break,
                Err(fault) => return Err(fault),
            }
        }
        self.ended = true;
        Ok(())
    }

    async fn extension(&mut self, size: u64) -> Result<Bytes, Fault> {
        if size > MAX_EXTENSION {
            return Err(Fault::Malformed("an extension header of this size"));
        }
        let padded = usize::try_from(size + padding(size)).unwrap_or(usize::MAX);
        let mut whole = self.exactly(padded).await?;
        whole.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(whole)
    }

    /// Exactly so many bytes.
    async fn exactly(&mut self, len: usize) -> Result<Bytes, Fault> {
        if self.held.len() >= len {
            return Ok(self.held.split_to(len));
        }
        let mut whole = BytesMut::with_capacity(len);
        while whole.len() < len {
            self.fill().await?;
            let most = (len - whole.len()).min(self.held.len());
            whole.extend_from_slice(&self.held.split_to(most));
        }
        Ok(whole.freeze())
    }

    async fn skip(&mut self, mut len: u64) -> Result<(), Fault> {
        while len > 0 {
            self.fill().await?;
            let most = usize::try_from(len).unwrap_or(usize::MAX).min(self.held.len());
            self.held.advance(most);
            len -= most as u64;
        }
        Ok(())
    }

    /// Returns with at least one byte held.
    async fn fill(&mut self) -> Result<(), Fault> {
        while self.held.is_empty() {
            match timeout(self.patience, self.source.next()).await {
                Ok(Some(Ok(piece))) => self.held = piece,
                Ok(Some(Err(trouble))) => return Err(Fault::Trouble(trouble)),
                Ok(None) => return Err(Fault::Cut),
                Err(_) => return Err(Fault::Stalled(self.patience)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
