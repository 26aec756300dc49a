//! Work that takes longer than a call should: begun once, looked at, waited for, cancelled.
//!
//! Invariants: a `request_id` names one piece of work for as long as it is kept; an operation that
//! is done never changes again; what runs and what is kept is bounded; of the work that enters one
//! sandbox there is one piece at a time, and the newest counts, since whoever asked for an older one
//! has lost the sandbox's lease or has given it up. Nothing here is durable: what came of work whose
//! adapter went away is found in the repository. Deliberately absent: what the work is.

mod meter;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::next_step::NextStep;
use futures::FutureExt;
use salvor_proto::error::{Code, received};
use salvor_proto::gateway::v1 as pb;
use salvor_proto::gateway::v1::operation::{Kind, Result as Outcome};
use salvor_proto::{Error, time};
use salvor_runtime::Clock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

pub(crate) use meter::Handle;

/// Operations at work at once, unless told otherwise: each holds a relay of a gateway and a few
/// megabytes.
pub(crate) const MAX_RUNNING: usize = 16;
/// Operations that are kept, those at work included. The contract's number.
const MAX_KEPT: usize = 1000;
/// How long work that was cancelled gets to clean up before it is dropped. One that ends the adapter waits for no longer either.
pub(crate) const CLEAN_UP: Duration = Duration::from_secs(30);
/// When to ask again while too much is at work.
const RETRY: Duration = Duration::from_secs(10);

/// The operations of one adapter. Clones share one set.
#[derive(Debug, Clone)]
pub(crate) struct Operations {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    book: Mutex<Book>,
    clock: Arc<dyn Clock>,
    running: TaskTracker,
    max_running: usize,
    closing: CancellationToken,
}

/// Every operation that is kept.
#[derive(Debug, Default)]
struct Book {
    by_id: HashMap<String, Arc<Work>>,
    oldest_first: VecDeque<Arc<Work>>,
}

/// One operation.
#[derive(Debug)]
struct Work {
    id: String,
    subject: String,
    kind: Kind,
    create_ms: u64,
    handle: Handle,
    end: watch::Sender<Option<End>>,
}

/// How one ended.
#[derive(Debug, Clone)]
struct End {
    at_ms: u64,
    outcome: Outcome,
}

/// An error of salvor's as the end of an operation.
pub(crate) fn failure(error: Error) -> pb::OperationFailure {
    let reason = error.reason().to_owned();
    let received = received(&error.into());
    let next_step = received.next_step.unwrap_or_default();
    pb::OperationFailure { reason, message: received.message, next_step }
}

// === impl Operations ===

impl Operations {
    /// None yet; at most `max_running` at once.
    pub(crate) fn new(clock: Arc<dyn Clock>, max_running: usize) -> Self {
        let shared = Shared {
            book: Mutex::default(),
            clock,
            running: TaskTracker::new(),
            max_running: max_running.clamp(1, MAX_KEPT),
            closing: CancellationToken::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Begins a piece of work, or answers the one that this `request_id` (a checked UUID) began
    /// before. The work should end soon after its handle is cancelled; it is dropped half a minute
    /// later. Work that enters the subject cancels what entered it before, and waits until that has
    /// ended and is undone. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// REQUEST_ID_REUSED, OPERATIONS_FULL, SERVER_DRAINING. The work was not begun.
    pub(crate) fn start<F, W>(
        &self,
        kind: Kind,
        subject: &str,
        request_id: &str,
        work: F,
    ) -> Result<pb::Operation, Error>
    where
        F: FnOnce(Handle) -> W,
        W: Future<Output = Result<Outcome, pb::OperationFailure>> + Send + 'static,
    {
        let mut book = self.book();
        if let Some(known) = book.by_id.get(request_id) {
            return if known.kind == kind && known.subject == subject {
                Ok(known.view())
            } else {
                Err(reused(request_id, known))
            };
        }
        if self.shared.closing.is_cancelled() {
            let text = "this adapter is shutting down; nothing was begun";
            return Err(Error::new(Code::Unavailable, "SERVER_DRAINING", text).retry_after(RETRY));
        }
        let before = if enters(kind) { book.inside(subject) } else { Vec::new() };
        let open = book.oldest_first.iter().filter(|work| !work.done()).count() - before.len();
        if open >= self.shared.max_running {
            return Err(full(open));
        }
        let begun = Arc::new(Work {
            id: request_id.to_owned(),
            subject: subject.to_owned(),
            kind,
            create_ms: self.shared.clock.now_ms(),
            handle: Handle::new(self.shared.closing.child_token()),
            end: watch::Sender::new(None),
        });
        book.keep(Arc::clone(&begun));
        drop(book);
        for older in &before {
            older.handle.cancel();
        }
        self.run(Arc::clone(&begun), before, work(begun.handle.clone()));
        Ok(begun.view())
    }

    fn run<W>(&self, begun: Arc<Work>, before: Vec<Arc<Work>>, work: W)
    where
        W: Future<Output = Result<Outcome, pb::OperationFailure>> + Send + 'static,
    {
        let clock = Arc::clone(&self.shared.clock);
        let task = async move {
            let work = after(before, &begun, work);
            let overdue = async {
                begun.handle.cancelled().await;
                tokio::time::sleep(CLEAN_UP).await;
            };
            let ended = tokio::select! {
                biased;
                ended = AssertUnwindSafe(work).catch_unwind() => ended.unwrap_or_else(|_| {
                    let text = "a defect of salvor's ended this work; see the adapter's log";
                    Err(failure(Error::internal(text)))
                }),
                () = overdue => Err(cancelled(&begun.subject)),
            };
            begun.handle.finish();
            let outcome = ended.unwrap_or_else(Outcome::Failure);
            begun.end.send_replace(Some(End { at_ms: clock.now_ms(), outcome }));
        };
        self.shared.running.spawn(task.in_current_span());
    }

    /// One by name.
    ///
    /// # Errors
    /// INVALID, or OPERATION_NOT_FOUND: never begun, forgotten, or of an adapter that went away.
    pub(crate) fn get(&self, name: &str) -> Result<pb::Operation, Error> {
        Ok(self.find(name)?.view())
    }

    /// Newest first, without the bulk of their results.
    pub(crate) fn list(&self, open_only: bool) -> Vec<pb::Operation> {
        let works: Vec<_> = self.book().oldest_first.iter().rev().cloned().collect();
        works.iter().filter(|work| !(open_only && work.done())).map(|work| work.summary()).collect()
    }

    /// Waits until one is done, for at most `bound`. Cancel-safe.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub(crate) async fn wait(&self, name: &str, bound: Duration) -> Result<pb::Operation, Error> {
        let work = self.find(name)?;
        let mut end = work.end.subscribe();
        // Neither way of ending early is an error: the answer is how it is now.
        let _ = tokio::time::timeout(bound, end.wait_for(Option::is_some)).await;
        Ok(work.view())
    }

    /// Asks one to end. One that is done stays as it is.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub(crate) fn cancel(&self, name: &str) -> Result<pb::Operation, Error> {
        let work = self.find(name)?;
        work.handle.cancel();
        Ok(work.view())
    }

    /// Cancels all, takes no more, and waits until the last has ended and what it did in a sandbox
    /// is undone, for half a minute at most.
    pub(crate) async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.running.close();
        let left = async {
            self.shared.running.wait().await;
            let ended: Vec<_> = self.book().oldest_first.iter().cloned().collect();
            for work in ended {
                work.left().await;
            }
        };
        if tokio::time::timeout(CLEAN_UP, left).await.is_err() {
            tracing::warn!("work was cut off before all that it did in its sandbox was undone");
        }
    }

    fn find(&self, name: &str) -> Result<Arc<Work>, Error> {
        let Some(id) = name.strip_prefix("operations/").filter(|id| !id.is_empty()) else {
            return Err(Error::invalid("name", "must read operations/{operation}"));
        };
        self.book().by_id.get(id).cloned().ok_or_else(|| {
            let text = format!(
                "this adapter knows no {name}: it was never begun here, or the adapter was \
                 restarted since. A finished snapshot is in the repository"
            );
            Error::not_found("OPERATION_NOT_FOUND", text).next_step(NextStep::AskForItAgain.alone())
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it does something in the sandbox.
fn enters(kind: Kind) -> bool {
    matches!(kind, Kind::Snapshot | Kind::Restore | Kind::Delete)
}

/// The work, once what was there before it has left.
async fn after<W>(
    before: Vec<Arc<Work>>,
    begun: &Work,
    work: W,
) -> Result<Outcome, pb::OperationFailure>
where
    W: Future<Output = Result<Outcome, pb::OperationFailure>>,
{
    for older in before {
        tokio::select! {
            () = older.left() => {}
            () = begun.handle.cancelled() => return Err(cancelled(&begun.subject)),
        }
    }
    work.await
}

fn reused(id: &str, known: &Work) -> Error {
    let (kind, subject) = (known.kind.as_str_name(), &known.subject);
    let text = format!(
        "request_id {id} names an operation of {kind} on {subject} already. Nothing was begun"
    );
    Error::new(Code::Invalid, "REQUEST_ID_REUSED", text).next_step(NextStep::FreshId.alone())
}

fn full(open: usize) -> Error {
    let text = format!(
        "{open} operations are at work in this adapter, as many as it does at once. Nothing was \
         begun"
    );
    Error::new(Code::Exhausted, "OPERATIONS_FULL", text).retry_after(RETRY)
}

/// The end of work that was cancelled.
pub(crate) fn cancelled(subject: &str) -> pb::OperationFailure {
    let text = format!("the work on {subject} was cancelled before its end");
    let error = Error::new(Code::Cancelled, "CANCELLED", text);
    failure(error.next_step(NextStep::AskAgain.alone()))
}

// === impl Book ===

impl Book {
    /// What has entered a subject, and has not ended.
    fn inside(&self, subject: &str) -> Vec<Arc<Work>> {
        let same = |work: &&Arc<Work>| enters(work.kind) && work.subject == subject;
        self.oldest_first.iter().filter(same).filter(|work| !work.done()).cloned().collect()
    }

    /// Room is made by what ended first; fewer run than are kept, so there is always one.
    fn keep(&mut self, work: Arc<Work>) {
        if self.oldest_first.len() >= MAX_KEPT
            && let Some(at) = self.oldest_first.iter().position(|work| work.done())
            && let Some(forgotten) = self.oldest_first.remove(at)
        {
            self.by_id.remove(&forgotten.id);
        }
        self.by_id.insert(work.id.clone(), Arc::clone(&work));
        self.oldest_first.push_back(work);
    }
}

// === impl Work ===

impl Work {
    fn done(&self) -> bool {
        self.end.borrow().is_some()
    }

    /// Resolves once it has ended, and what it did in the sandbox is undone.
    async fn left(&self) {
        // The sender is this work's own.
        let _ = self.end.subscribe().wait_for(Option::is_some).await;
        self.handle.undone().await;
    }

    fn view(&self) -> pb::Operation {
        // Read before the progress, so that what is done shows its last progress.
        let end = self.end.borrow().clone();
        pb::Operation {
            name: format!("operations/{}", self.id),
            subject: self.subject.clone(),
            kind: self.kind.into(),
            done: end.is_some(),
            progress: Some(self.handle.progress()),
            create_time: Some(time::timestamp(self.create_ms)),
            end_time: end.as_ref().map(|end| time::timestamp(end.at_ms)),
            result: end.map(|end| end.outcome),
        }
    }

    fn summary(&self) -> pb::Operation {
        let mut view = self.view();
        match &mut view.result {
            Some(Outcome::Snapshot(snapshot)) => {
                if let Some(coverage) = &mut snapshot.coverage {
                    (coverage.left_out, coverage.issues) = (Vec::new(), Vec::new());
                }
            }
            Some(Outcome::Restore(report)) => report.failures = Vec::new(),
            Some(Outcome::Verification(report)) => report.problems = Vec::new(),
            _ => {}
        }
        view
    }
}

#[cfg(test)]
mod tests;
