//! One file of a snapshot, as a stream.

use std::io::Read as _;
use std::path::{Component, Path};

use salvor_proto::Error;
use salvor_proto::gateway::v1::{ReadSnapshotFileRequest, ReadSnapshotFileResponse};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Service;
use super::repository::found;
use crate::store::{Content, SnapshotName, StoreError};

/// One message's content.
const PIECE: usize = 64 << 10;
/// Messages that wait for the caller.
const BUFFER: usize = 4;

pub(super) type Pieces = ReceiverStream<Result<ReadSnapshotFileResponse, Status>>;

impl Service {
    pub(super) async fn read_snapshot_file_inner(
        &self,
        request: ReadSnapshotFileRequest,
    ) -> Result<Pieces, Error> {
        let name = SnapshotName::parse("snapshot", &request.snapshot)?;
        let path = Path::new(&request.path);
        let plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
        if !path.is_absolute() || !path.components().all(plain) {
            return Err(Error::invalid("path", "must be absolute, without . and .."));
        }
        let store = self.store()?;
        found(store, &name).await?;
        let stored = store.entry(&name.id, path).await?;
        let content =
            stored.content.ok_or_else(|| Error::invalid("path", "must be a regular file"))?;
        let limit = if request.limit == 0 { u64::MAX } else { request.limit };
        let (sender, receiver) = mpsc::channel(BUFFER);
        spawn_blocking(move || send(&content, request.offset, limit, &sender));
        Ok(ReceiverStream::new(receiver))
    }
}

fn send(
    content: &Content,
    offset: u64,
    limit: u64,
    pieces: &mpsc::Sender<Result<ReadSnapshotFileResponse, Status>>,
) {
    let mut reader = match content.reader(offset) {
        Ok(reader) => reader.take(limit),
        // Without a receiver nobody wants to know.
        Err(error) => return drop(pieces.blocking_send(Err(Error::from(error).into()))),
    };
    loop {
        let mut piece = vec![0; PIECE];
        let sent = match reader.read(&mut piece) {
            Ok(0) => return,
            Ok(length) => {
                piece.truncate(length);
                pieces.blocking_send(Ok(ReadSnapshotFileResponse { content: piece }))
            }
            Err(error) => {
                let error = StoreError::of(&error);
                return drop(pieces.blocking_send(Err(Error::from(error).into())));
            }
        };
        if sent.is_err() {
            return;
        }
    }
}
