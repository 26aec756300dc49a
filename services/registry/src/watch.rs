//! The stream of changes.
//!
//! Invariant: it shows every change after its start, in order and once, or ends with an error that says so. It reads the
//! log from its own position whenever it is asked for more, so that a slow reader holds one batch and no more.
//! Deliberately absent: filtering by anything but the parent.

use std::collections::VecDeque;
use std::future::Future;
use std::time::Duration;

use futures::Stream;
use futures::stream::try_unfold;
use salvor_proto::registry::v1::WatchSandboxesResponse;
use salvor_proto::registry::v1::watch_sandboxes_response::{Event, Progress, Unreadable};
use salvor_runtime::database::at_once;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use crate::error::Error;
use crate::seal::KeyRing;
use crate::store::{Batch, Change, Query, Store};

/// A stream is never silent for longer; the contract says 15 s.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// What a watch reads from.
pub(crate) trait Log: Send + Sync + 'static {
    /// The first changes after `after`. Dropping the future reads nothing and loses nothing.
    fn changes(
        &self,
        query: &Query,
        after: i64,
    ) -> impl Future<Output = Result<Batch, Error>> + Send;

    /// Tells, perhaps needlessly, that there may be more to read.
    fn subscribe(&self) -> watch::Receiver<i64>;

    /// What decides which contents can be opened.
    fn keys(&self) -> &KeyRing;
}

struct Watch<L> {
    log: L,
    query: Query,
    /// Everything up to here was read from the log.
    position: i64,
    batch: VecDeque<WatchSandboxesResponse>,
    changed: watch::Receiver<i64>,
    /// When the next sign of life is due.
    due: Instant,
}

/// The changes after `start`, which must be a revision and not zero. The first sign of life comes at once.
pub(crate) fn stream(
    log: impl Log,
    query: Query,
    start: i64,
) -> impl Stream<Item = Result<WatchSandboxesResponse, Status>> + Send {
    let changed = log.subscribe();
    let due = Instant::now();
    let watch = Watch { log, query, position: start, batch: VecDeque::new(), changed, due };
    try_unfold(watch, |mut watch| async move {
        let response = watch.next().await.map_err(Status::from)?;
        Ok(Some((response, watch)))
    })
}

impl Log for Store {
    fn changes(
        &self,
        query: &Query,
        after: i64,
    ) -> impl Future<Output = Result<Batch, Error>> + Send {
        at_once(Store::changes(self, query, after))
    }

    fn subscribe(&self) -> watch::Receiver<i64> {
        Store::subscribe(self)
    }

    fn keys(&self) -> &KeyRing {
        Store::keys(self)
    }
}

// === impl Watch ===

impl<L: Log> Watch<L> {
    async fn next(&mut self) -> Result<WatchSandboxesResponse, Error> {
        loop {
            if let Some(response) = self.batch.pop_front() {
                self.due = Instant::now() + PROGRESS_EVERY;
                return Ok(response);
            }
            // Before the log is read, so that a change during the read wakes the wait below.
            self.changed.borrow_and_update();
            let read = self.log.changes(&self.query, self.position).await?;
            self.position = read.upto;
            self.batch = read.found.into_iter().map(|change| self.response(&change)).collect();
            if !self.batch.is_empty() || read.more {
                continue;
            }
            if Instant::now() >= self.due {
                self.due = Instant::now() + PROGRESS_EVERY;
                let event = Some(Event::Progress(Progress {}));
                return Ok(WatchSandboxesResponse { revision: self.position, event });
            }
            // Late or early, the log is read again.
            let _ = timeout_at(self.due, self.changed.changed()).await;
        }
    }

    fn response(&self, change: &Change) -> WatchSandboxesResponse {
        let event = match change.sandbox(self.log.keys()) {
            Ok(sandbox) => Event::Changed(sandbox),
            Err(_) => Event::Unreadable(Unreadable { name: change.name.clone() }),
        };
        WatchSandboxesResponse { revision: change.revision, event: Some(event) }
    }
}

#[cfg(test)]
mod tests;
