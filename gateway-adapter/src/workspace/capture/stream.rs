//! From one tar stream to one reader a file, in order.
//!
//! Invariants: a file's bytes go on as they come, through a queue of a few pieces; a file whose
//! stream ends early is an error of its reader, never a short file; a reader that is dropped early
//! costs the rest of its file, not the stream.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use crate::workspace::exec_channel::{below, stays_below};
use crate::workspace::notes::MAX_NOTES;

/// A file goes on in pieces of so many bytes, so many of which may wait.
const PIECE: usize = 64 << 10;
const QUEUE: usize = 4;

/// A tar stream as it comes, for a blocking thread.
pub(super) struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

/// The files of a stream, one ahead.
pub(super) struct Files<'a, R: Read> {
    root: &'a Path,
    entries: tar::Entries<'a, R>,
    ahead: Option<(PathBuf, tar::Entry<'a, R>)>,
    /// Names that lead out of the root: what has them is not taken.
    strays: Vec<PathBuf>,
    /// The stream is over, or nothing of it can be made out any more.
    over: bool,
}

/// One file's content.
pub(super) struct Content {
    receiver: Receiver<io::Result<Bytes>>,
    piece: Bytes,
    ended: bool,
}

/// Writes one file's content.
pub(super) struct Filling(SyncSender<io::Result<Bytes>>);

/// A content that is filled from elsewhere.
pub(super) fn content() -> (Filling, Content) {
    let (sender, receiver) = sync_channel(QUEUE);
    (Filling(sender), Content { receiver, piece: Bytes::new(), ended: false })
}

// === impl Pieces ===

impl Pieces {
    pub(super) fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self { receiver, piece: Bytes::new() }
    }

    /// Takes what is left, so that its sender comes to its end.
    pub(super) fn drain(&mut self) {
        while self.receiver.blocking_recv().is_some() {}
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

// === impl Files ===

impl<'a, R: Read> Files<'a, R> {
    /// The files of an archive whose names are relative to `root`.
    ///
    /// # Errors
    /// The archive was read from before.
    pub(super) fn new(root: &'a Path, archive: &'a mut tar::Archive<R>) -> io::Result<Self> {
        Ok(Self { root, entries: archive.entries()?, ahead: None, strays: Vec::new(), over: false })
    }

    /// The next file, if it is this one. Any other stays where it is: this one was not sent.
    pub(super) fn next_if(&mut self, path: &Path) -> Option<tar::Entry<'a, R>> {
        self.look();
        self.ahead.take_if(|(ahead, _)| ahead == path).map(|(_, entry)| entry)
    }

    /// Reads on to the end. What led out of the root: the first of it, since one is enough to make a snapshot incomplete.
    pub(super) fn strays(mut self) -> Vec<PathBuf> {
        while !self.over {
            self.ahead = None;
            self.look();
        }
        self.strays
    }

    fn look(&mut self) {
        while self.ahead.is_none() && !self.over {
            match self.entries.next() {
                Some(Ok(entry)) => {
                    let name = entry.path_bytes();
                    let path = below(self.root, &name);
                    if stays_below(&name) {
                        drop(name);
                        self.ahead = Some((path, entry));
                    } else if self.strays.len() < MAX_NOTES {
                        self.strays.push(path);
                    }
                }
                Some(Err(_)) | None => self.over = true,
            }
        }
    }
}

/// Hands a file on, to its end or until nobody reads it. Bytes handed on; an error if it is not
/// whole.
pub(super) fn fill<R: Read>(
    from: &mut tar::Entry<'_, R>,
    to: &Filling,
    on_bytes: impl Fn(u64),
) -> io::Result<u64> {
    let size = from.size();
    let mut done = 0;
    loop {
        let mut piece = vec![0; PIECE];
        let length = match from.read(&mut piece) {
            Ok(length) => length,
            Err(error) => return Err(to.fail(error)),
        };
        if length == 0 {
            break;
        }
        piece.truncate(length);
        done += length as u64;
        on_bytes(length as u64);
        if to.0.send(Ok(piece.into())).is_err() {
            return Ok(done);
        }
    }
    if done == size {
        // An empty piece is the end; nobody may be there to hear it.
        let _ = to.0.send(Ok(Bytes::new()));
        return Ok(done);
    }
    Err(to.fail(io::ErrorKind::UnexpectedEof.into()))
}

// === impl Filling ===

impl Filling {
    fn fail(&self, error: io::Error) -> io::Error {
        let kind = error.kind();
        let _ = self.0.send(Err(error));
        kind.into()
    }
}

// === impl Content ===

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended {
            match self.receiver.recv() {
                Ok(Ok(piece)) if piece.is_empty() => self.ended = true,
                Ok(Ok(piece)) => self.piece = piece,
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let length = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(names: &[&str]) -> Vec<u8> {
        let mut archive = Vec::new();
        for name in names {
            let mut header = tar::Header::new_gnu();
            // By hand: the writer of the library refuses such names.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(1);
            header.set_entry_type(tar::EntryType::Regular);
            header.set_cksum();
            archive.extend_from_slice(header.as_bytes());
            archive.extend_from_slice(&[b'x'; 512]);
        }
        archive.extend_from_slice(&[0; 1024]);
        archive
    }

    #[test]
    fn what_leads_out_is_named_and_what_stands_behind_it_is_read() {
        let bytes = stream(&["./a", "../evil", "/etc/passwd", "./d/../../up", "./b", "./c/../z"]);
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut files = Files::new(Path::new("/r"), &mut archive).unwrap();
        for wanted in ["/r/a", "/r/b"] {
            assert!(files.next_if(Path::new(wanted)).is_some(), "{wanted}");
        }
        let strays = files.strays();
        let strays: Vec<&str> = strays.iter().filter_map(|path| path.to_str()).collect();
        assert_eq!(strays, ["/r/../evil", "/etc/passwd", "/r/d/../../up", "/r/c/../z"]);
    }
}
