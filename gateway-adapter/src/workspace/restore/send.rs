//! A plan's entries as a stream, made as it is sent.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::plan::Item;
use crate::operations::Handle;
use crate::store::{Content, Store, StoreError};
use crate::workspace::sides::{Held, PIECE, Stopped, blocking};
use crate::workspace::{Entry, Kind, Note, Writer, packing};

/// Pieces between the repository and the channel.
const QUEUE: usize = 4;

/// What becomes of what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// It is replaced.
    Replace,
    /// It stays.
    Add,
}

/// What one entry is sent as.
struct Packed<'a> {
    path: &'a Path,
    header: Vec<u8>,
    size: u64,
    content: Option<&'a Content>,
}

/// Unpacks a plan's entries below each of their roots.
///
/// # Errors
/// Some of it may have been written.
pub(super) async fn send<C: Writer>(
    (channel, store): (&C, &Store),
    held: &Arc<Held>,
    (roots, how): (&[PathBuf], How),
    items: &BTreeMap<PathBuf, Item>,
    handle: &Handle,
) -> Result<Vec<Note>, Stopped> {
    let bytes = items.values().map(|item| content_size(held, item)).sum();
    handle.begin("writing", items.len() as u64, bytes);
    let mut notes = Vec::new();
    for root in roots {
        let below = items.iter().filter(|(path, _)| path.starts_with(root));
        let stream: Vec<Item> = below.map(|(_, item)| item.clone()).collect();
        if !stream.is_empty() {
            let sides = (channel, store);
            notes.extend(send_root(sides, (held, root, how), stream, handle).await?);
        }
    }
    Ok(notes)
}

/// How many bytes of content an item is sent with.
pub(super) fn content_size(held: &Held, item: &Item) -> u64 {
    match item {
        Item::Held(index) => held.tree.entries()[*index].size,
        Item::Link(..) | Item::Passed(_) => 0,
    }
}

fn pack<'a>(held: &'a Held, root: &Path, item: &'a Item) -> Packed<'a> {
    let relative = |path: &'a Path| path.strip_prefix(root).unwrap_or(path);
    let entry = |index: usize| &held.tree.entries()[index];
    let (entry, link, content): (&Entry, _, _) = match item {
        Item::Held(index) => (entry(*index), None, held.contents[*index].as_ref()),
        Item::Link(index, first) => (entry(*index), Some(relative(&entry(*first).path)), None),
        Item::Passed(entry) => (entry, None, None),
    };
    let header = packing::head(entry, relative(&entry.path), link);
    let size = if entry.kind == Kind::File { content_size(held, item) } else { 0 };
    Packed { path: &entry.path, header, size, content }
}

async fn send_root<C: Writer>(
    (channel, store): (&C, &Store),
    (held, root, how): (&Arc<Held>, &Path, How),
    stream: Vec<Item>,
    handle: &Handle,
) -> Result<Vec<Note>, Stopped> {
    let length = |item: &Item| {
        let packed = pack(held, root, item);
        packed.header.len() as u64 + packed.size + packing::padding(packed.size) as u64
    };
    let size = stream.iter().map(length).sum::<u64>() + packing::END.len() as u64;
    let (pieces, tar) = mpsc::channel(QUEUE);
    let (store, handle, from) = (store.clone(), handle.clone(), root.to_owned());
    let held = Arc::clone(held);
    let making =
        blocking(move || Ok(make(&store, (&held, &from), &stream, &pieces, &handle)), root);
    let unpacking = async {
        match how {
            How::Replace => channel.unpack(root.to_owned(), size, tar).await,
            How::Add => channel.add(root.to_owned(), size, tar).await,
        }
    };
    let (unpacked, made) = tokio::join!(unpacking, making);
    // A repository that fails is the cause when the channel says that its input ended early.
    made??;
    Ok(unpacked?)
}

/// Ends early, without an error, when nobody listens.
fn make(
    store: &Store,
    (held, root): (&Held, &Path),
    stream: &[Item],
    pieces: &mpsc::Sender<Bytes>,
    handle: &Handle,
) -> Result<(), StoreError> {
    let mut piece = BytesMut::with_capacity(PIECE);
    for item in stream {
        let packed = pack(held, root, item);
        piece.extend_from_slice(&packed.header);
        if let Some(content) = packed.content.filter(|_| packed.size > 0) {
            let reader = store.open(content)?;
            let mut reader = reader.take(packed.size);
            let mut left = packed.size;
            while left > 0 {
                let begin = piece.len();
                let wanted = (PIECE - begin.min(PIECE)).max(1 << 12);
                piece.resize(begin + wanted.min(usize::try_from(left).unwrap_or(wanted)), 0);
                let read = reader.read(&mut piece[begin..]).map_err(|error| {
                    let known = error.get_ref().and_then(|e| e.downcast_ref::<StoreError>());
                    known.cloned().unwrap_or_else(|| damaged(packed.path, &error.to_string()))
                })?;
                piece.truncate(begin + read);
                if read == 0 {
                    return Err(damaged(packed.path, "it ended early"));
                }
                left -= read as u64;
                handle.add_bytes(read as u64);
                if piece.len() >= PIECE && pieces.blocking_send(piece.split().freeze()).is_err() {
                    return Ok(());
                }
            }
        }
        piece.resize(piece.len() + packing::padding(packed.size), 0);
        handle.add_files(1);
        if piece.len() >= PIECE && pieces.blocking_send(piece.split().freeze()).is_err() {
            return Ok(());
        }
    }
    piece.extend_from_slice(&packing::END);
    // Nobody listens: the channel says why.
    let _ = pieces.blocking_send(piece.freeze());
    Ok(())
}

fn damaged(path: &Path, why: &str) -> StoreError {
    let path = super::shown(path);
    StoreError::Damaged { what: format!("the content of {path} cannot be read: {why}") }
}
