//! A file's content, piece by piece.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use rustic_core::repofile::BlobType;
use rustic_core::{BlobId, DataId};

use super::repository::Indexed;
use super::{Lease, StoreError, tree};

/// Where a file's content is. For [`Store::open`](super::Store::open).
#[derive(Clone)]
pub(crate) struct Content {
    index: Arc<Indexed>,
    pieces: Arc<[DataId]>,
    size: u64,
    /// None where whoever made it holds one itself.
    #[expect(dead_code, reason = "it is held, not read")]
    lease: Option<Lease>,
}

/// A file's content, blocking: not for use inside a task. What was altered since it was written is an error, which a [`StoreError`] is the source of.
pub(crate) struct Reader {
    content: Content,
    next: usize,
    rest: Bytes,
}

// === impl Content ===

impl Content {
    /// Of a node's pieces.
    pub(super) fn new(index: Arc<Indexed>, pieces: Vec<DataId>, size: u64) -> Self {
        Self { index, pieces: pieces.into(), size, lease: None }
    }

    /// While it is there nothing is taken away that it needs.
    pub(super) fn leased(self, lease: &Lease) -> Self {
        Self { lease: Some(Arc::clone(lease)), ..self }
    }

    /// Reads it from a position on; beyond the end there is nothing.
    ///
    /// # Errors
    /// Not all of it is there.
    pub(crate) fn reader(&self, offset: u64) -> Result<Reader, StoreError> {
        let mut reader = Reader { content: self.clone(), next: 0, rest: Bytes::new() };
        let mut skip = offset;
        while let Some(piece) = self.pieces.get(reader.next) {
            let length = self.length(piece)?;
            if skip < length {
                break;
            }
            skip -= length;
            reader.next += 1;
        }
        if reader.next < self.pieces.len() && skip > 0 {
            reader.advance()?;
            // Shorter than a piece, and a piece is at most 8 MiB.
            reader.rest.advance(usize::try_from(skip).unwrap_or(0).min(reader.rest.len()));
        }
        Ok(reader)
    }

    /// Whether all of its pieces are known, and together as long as the entry says.
    pub(super) fn is_whole(&self) -> bool {
        let lengths = self.pieces.iter().map(|piece| self.length(piece));
        lengths.sum::<Result<u64, _>>().is_ok_and(|sum| sum == self.size)
    }

    /// In bytes, as its entry says.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Its pieces.
    pub(super) fn pieces(&self) -> &[DataId] {
        &self.pieces
    }

    fn length(&self, piece: &DataId) -> Result<u64, StoreError> {
        let entry = self.index.get_index_entry(piece).map_err(|_| StoreError::Missing {
            what: format!("data {} is in no pack that is there", piece.to_hex().as_str()),
        })?;
        Ok(u64::from(entry.data_length()))
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content").field("size", &self.size).finish_non_exhaustive()
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        self.size == other.size && self.pieces == other.pieces
    }
}

impl Eq for Content {}

// === impl Reader ===

impl Reader {
    fn advance(&mut self) -> Result<bool, StoreError> {
        let Some(piece) = self.content.pieces.get(self.next) else { return Ok(false) };
        self.rest = tree::blob(&self.content.index, &BlobId::from(*piece), BlobType::Data)?;
        self.next += 1;
        Ok(true)
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            if !self.advance()? {
                return Ok(0);
            }
        }
        let length = self.rest.len().min(buffer.len());
        self.rest.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("content", &self.content).finish_non_exhaustive()
    }
}
