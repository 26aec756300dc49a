//! From a workspace to a snapshot: bring to rest, list, read, compare, read back, seal.
//!
//! It goes in rounds. A round lists all roots, reads what the parent does not hold unchanged, and
//! lists them again: if nothing is different, the workspace was as captured for all of that time.
//! If something is, the next round reads what changed, with the round before as its parent. After
//! the last round what is still different makes the snapshot incomplete.
//!
//! Invariants: COMPLETE is said only if every root was read to its end, no issue is left and the
//! read-back matched; whatever was begun in the sandbox is ended. Deliberately absent: who may ask,
//! and which parent and channel are meant.

mod databases;
mod produce;
mod round;
mod seal;
mod stream;
mod survey;

use std::sync::Arc;

use futures::future::BoxFuture;
use salvor_proto::Error;
use salvor_proto::error::Code;
use salvor_proto::gateway::v1 as pb;
use salvor_proto::time;
use salvor_runtime::Clock;
use tokio::runtime::Handle as Runtime;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::notes::Notes;
use super::quiesce::Unwritten;
use super::rules::Rules;
use super::{Broken, Channel, ExecChannel, Reason, quiesce};
use crate::next_step::NextStep;
use crate::operations::Handle;
use crate::permit::{Standing, reference};
use crate::store::{Archived, SnapshotId, Store};

pub(crate) use seal::seal;

/// What a capture needs.
pub(crate) struct Capture<C> {
    /// How the bytes come.
    pub channel: C,
    /// For hooks, nonces and databases; none when nothing can be run in the sandbox.
    pub exec: Option<ExecChannel>,
    /// Where to.
    pub store: Store,
    /// What.
    pub rules: Arc<Rules>,
    /// Identity, rules, channel and `request_id`. The rest is filled in.
    pub manifest: pb::Snapshot,
    /// A complete snapshot of the same incarnation; none to read everything.
    pub parent: Option<SnapshotId>,
    /// Whether to write a nonce.
    pub with_nonce: bool,
    /// Whether what is read from is still what was meant; what is different if not.
    pub still: Still,
    /// Leave for it.
    pub permit: Standing,
    /// Where to tell how far it is.
    pub handle: Handle,
    /// For what is said of when.
    pub clock: Arc<dyn Clock>,
}

/// See [`Capture::still`].
pub(crate) type Still = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What was read, before it is read back and sealed.
pub(crate) struct Taken {
    archived: Archived,
    manifest: pb::Snapshot,
    left_out: Notes,
    /// What makes it incomplete.
    pub(crate) issues: Notes,
    covered: Vec<String>,
    read: Read,
}

/// What came from the sandbox, over all rounds.
#[derive(Debug, Default, Clone, Copy)]
struct Read {
    files: u64,
    bytes: u64,
}

/// A channel that does not work at all; to whose workspace it leads, by its full name.
pub(crate) fn unreadable(broken: Broken, sandbox: &str) -> Error {
    let reason = broken.unknown.reason().as_str_name();
    let reason = reason.strip_prefix("UNKNOWN_REASON_").unwrap_or(reason);
    let text = broken.unknown.detail + ". No snapshot was taken, and nothing was changed";
    Error::new(Code::Undetermined, reason, text).next_step(NextStep::Status.of(sandbox))
}

// === impl Capture ===

impl<C: Channel> Capture<C> {
    /// Reads the workspace into the repository. What it does in the sandbox is undone before it
    /// answers; dropped in the middle, that is undone all the same.
    ///
    /// # Errors
    /// Nothing was kept: the channel or the repository does not work, or the work was cancelled.
    pub(crate) async fn take(mut self) -> Result<Taken, Error> {
        let mut ending =
            Ending::new(self.exec.clone(), Arc::clone(&self.rules), self.handle.clone());
        let handle = self.handle.clone();
        let taken = tokio::select! {
            taken = self.quiet(&mut ending) => taken,
            () = handle.cancelled() => {
                let text = "the capture was cancelled; it left at most an incomplete snapshot";
                Err(Error::new(Code::Cancelled, "CANCELLED", text))
            }
        };
        // The store stops when nothing more comes, and takes away what is not whole.
        let archiving = ending.archiving.clone();
        archiving.close();
        let (after, ()) = tokio::join!(ending.end(), archiving.wait());
        taken.map(|mut taken| {
            taken.issues.append(after);
            taken
        })
    }

    async fn quiet(&mut self, ending: &mut Ending) -> Result<Taken, Error> {
        let mut issues = Notes::default();
        let hooks = self.rules.hooks.as_ref();
        if let Some(exec) = &self.exec {
            self.handle.stage("quiescing");
            self.permit.still_allowed()?;
            quiesce::begin(exec, hooks, &mut ending.begun, &mut issues).await;
            if self.with_nonce {
                self.permit.still_allowed()?;
                let (begun, root) = (&mut ending.begun, &self.rules.first);
                let written = quiesce::write_nonce(exec, root, begun).await;
                self.manifest.nonce = Some(written.map_err(|unwritten| self.nonceless(unwritten))?);
            }
        }
        let mut taken = self.rounds(ending).await?;
        if let Err(detail) = (self.still)().await {
            taken.issues.note(&self.rules.first, Reason::ChangedWhileReading, detail);
        }
        taken.manifest.end_time = Some(time::timestamp(self.clock.now_ms()));
        taken.issues.append(issues);
        Ok(taken)
    }

    /// A drill without its nonce could not fail, so nothing is read for it.
    fn nonceless(&self, unwritten: Unwritten) -> Error {
        let sandbox = self.sandbox();
        match unwritten {
            Unwritten::Broken(broken) => unreadable(broken, &sandbox),
            Unwritten::Refused(path, detail) => {
                let text = format!(
                    "the nonce {path} could not be written: {detail}. No snapshot was taken"
                );
                Error::new(Code::Undetermined, "NONCE_NOT_WRITTEN", text)
                    .next_step(NextStep::MakeRootWritable.of(&sandbox))
            }
        }
    }

    /// Whose workspace it is, by its full name.
    fn sandbox(&self) -> String {
        full_name(&self.manifest)
    }
}

/// Whose workspace a snapshot is of; empty if it does not say.
fn full_name(manifest: &pb::Snapshot) -> String {
    let of = manifest.identity.as_ref().and_then(|identity| identity.sandbox.as_ref());
    reference("identity.sandbox", of).map_or_else(|_| String::new(), |name| name.to_string())
}

/// What has to be undone in the sandbox, in any case, and ended in the store.
struct Ending {
    begun: quiesce::Begun,
    archiving: TaskTracker,
    exec: Option<ExecChannel>,
    rules: Arc<Rules>,
    handle: Handle,
}

// === impl Ending ===

impl Ending {
    fn new(exec: Option<ExecChannel>, rules: Arc<Rules>, handle: Handle) -> Self {
        let (begun, archiving) = (quiesce::Begun::default(), TaskTracker::new());
        Self { begun, archiving, exec, rules, handle }
    }

    /// Undoes it, in a task of its own: it goes on when nobody waits any more.
    async fn end(mut self) -> Notes {
        match self.undo().and_then(|undo| self.begin(undo)) {
            Some(task) => task.await.unwrap_or_default(),
            None => Notes::default(),
        }
    }

    /// `None` where there is no runtime any more.
    fn begin(
        &self,
        undo: impl Future<Output = Notes> + Send + 'static,
    ) -> Option<JoinHandle<Notes>> {
        let runtime = Runtime::try_current().ok()?;
        Some(self.handle.undo(&runtime, undo))
    }

    fn undo(&mut self) -> Option<impl Future<Output = Notes> + Send + 'static> {
        let (exec, rules) = (self.exec.take()?, Arc::clone(&self.rules));
        let begun = std::mem::take(&mut self.begun);
        Some(async move { quiesce::end(&exec, rules.hooks.as_ref(), begun).await })
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(undo) = self.undo() {
            drop(self.begin(undo));
        }
    }
}
