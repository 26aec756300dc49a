//! What is asked of the storage, and what comes of it when files go away meanwhile.

use std::io::{self, ErrorKind::NotFound};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use rustic_core::repofile::BlobType;
use rustic_core::{
    BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend,
};

use super::*;
use crate::store::backend::Checked;
use crate::store::repository::Opened;
use crate::store::tree;

/// A storage that counts what is read whole of it, and shows index files that are gone already.
#[derive(Debug)]
struct Watched {
    inner: Arc<Checked>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    reads: Vec<FileType>,
    /// So many lists of index files are from before they were all written anew, as this one.
    stale: usize,
}

const GONE: u32 = 1000;

impl Watched {
    /// The lab's repository on such a storage.
    async fn on(lab: &Lab, stale: usize) -> (Arc<Self>, Opened) {
        let place = Arc::clone(&lab.store.place);
        let mut opened = spawn_blocking(move || place.open()).await.unwrap().unwrap();
        let seen = Mutex::new(Seen { stale, ..Seen::default() });
        let watched = Arc::new(Self { inner: Arc::clone(&opened.storage), seen });
        opened.storage =
            Arc::new(Checked::new(Arc::clone(&watched) as Arc<dyn WriteBackend>, None));
        opened.summaries = Arc::default();
        (watched, opened)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    fn reads(&self, tpe: FileType) -> usize {
        self.seen().reads.iter().filter(|read| **read == tpe).count()
    }
}

impl ReadBackend for Watched {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        let mut seen = self.seen();
        if tpe == FileType::Index && seen.stale > 0 {
            seen.stale -= 1;
            let name = format!("{:064x}", seen.stale + 1);
            return Ok(vec![(name.parse().unwrap(), GONE)]);
        }
        self.inner.list_with_size(tpe)
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        self.seen().reads.push(tpe);
        let gone = |error| {
            RusticError::with_source(
                ErrorKind::Backend,
                format!("{error}"),
                io::Error::from(NotFound),
            )
        };
        self.inner.read_full(tpe, id).map_err(gone)
    }

    fn read_partial(
        &self,
        tpe: FileType,
        id: &Id,
        cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        self.inner.read_partial(tpe, id, cacheable, offset, length)
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.inner.warmup_path(tpe, id)
    }
}

impl WriteBackend for Watched {
    fn write_bytes(
        &self,
        tpe: FileType,
        id: &Id,
        cacheable: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        self.inner.write_bytes(tpe, id, cacheable, content)
    }

    fn remove(&self, tpe: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        self.inner.remove(tpe, id, cacheable)
    }
}

#[tokio::test]
async fn a_snapshot_that_was_listed_is_not_read_again() {
    let lab = Lab::new();
    lab.write("a", "1");
    let first = lab.capture(None).await;
    let (watched, opened) = Watched::on(&lab, 0).await;
    let list = || {
        let opened = opened.clone();
        async move {
            let listed = spawn_blocking(move || snapshots::list(&opened)).await.unwrap().unwrap();
            listed.snapshots.into_iter().map(|snapshot| snapshot.name).collect::<Vec<_>>()
        }
    };
    assert_eq!(list().await, [&*first.sealed.name]);
    assert_eq!(watched.reads(FileType::Snapshot), 1);
    lab.write("a", "2");
    let second = lab.capture(None).await;
    let names = [second.sealed.name.clone(), first.sealed.name.clone()];
    assert_eq!(list().await, names);
    assert_eq!(list().await, names);
    assert_eq!(watched.reads(FileType::Snapshot), 2, "only the new one was read");
    lab.store.delete(&first.id).await.unwrap();
    assert_eq!(list().await, [second.sealed.name]);
    assert_eq!(watched.reads(FileType::Snapshot), 2);
}

#[tokio::test]
async fn an_index_that_was_written_anew_while_it_was_read_is_whole() {
    let lab = Lab::new();
    lab.write("a", noise(10_000, 1));
    let captured = lab.capture(None).await;
    for (stale, whole) in [(0, true), (1, true), (2, true), (1000, false)] {
        let (_, opened) = Watched::on(&lab, stale).await;
        let id = captured.id.clone();
        let read = spawn_blocking(move || {
            let index = opened.load()?.index;
            let top = snapshots::get(&opened, &id)?.file.tree;
            tree::blob(&index, &top.into(), BlobType::Tree)
        });
        // What never settles is said of the storage, and not of the snapshot.
        let expected = match read.await.unwrap() {
            Ok(_) => whole,
            Err(error) => !whole && matches!(error, StoreError::Unreachable { .. }),
        };
        assert!(expected, "{stale}");
    }
}
