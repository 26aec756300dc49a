//! Writes that share one commit.
//!
//! Invariant: writes are done in the order in which they came, those that wait at the same time in one transaction, and each is
//! told how it went only when the commit is done or has failed, for what it saw was the others' work. One that fails or only
//! checks leaves nothing behind and harms no other, and its revision is the next one's. If the transaction itself is lost, all
//! that had begun in it fail with it, and those that had not go on in another one; so it is if the database refuses rows that
//! were kept, as for want of room. Deliberately absent: a task that writes. Each caller's own takes a turn and does the oldest
//! that wait then; so as many turns are to come as there are writes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::seen::About;
use super::{Inner, Txn};
use crate::error::Error;

/// How many writes may wait; one more is refused.
const WAITING: usize = 1_024;
/// How many share a commit at most. Those of other replicas wait as long as it takes.
const TOGETHER: usize = 128;

/// The writes that have not begun.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<Box<dyn Member>>>,
    turn: tokio::sync::Mutex<()>,
}

/// One write of a group.
pub(super) trait Member: Send {
    /// What it will ask for.
    fn about(&self) -> &About;

    /// Does it, and keeps how it went.
    fn run<'t>(&'t mut self, txn: &'t mut Txn) -> BoxFuture<'t, ()>;

    /// Why it failed, if it did.
    fn failed(&self) -> Option<&Error>;

    /// Tells its caller how it went, or how the transaction was lost.
    fn tell(self: Box<Self>, lost: Option<Error>);
}

struct Write<T, W> {
    about: About,
    work: Option<W>,
    went: Option<Result<T, Error>>,
    caller: oneshot::Sender<Result<T, Error>>,
}

// === impl Queue ===

impl Queue {
    /// Lets `work` wait. What it answers is told how it went, by one of as many calls of [`Inner::take_turn`].
    pub(super) fn join<T, W>(
        &self,
        about: About,
        work: W,
    ) -> Result<oneshot::Receiver<Result<T, Error>>, Error>
    where
        T: Send + 'static,
        W: for<'t> FnOnce(&'t mut Txn) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == WAITING {
            return Err(sqlx::Error::PoolTimedOut.into());
        }
        let (caller, told) = oneshot::channel();
        waiting.push_back(Box::new(Write { about, work: Some(work), went: None, caller }));
        Ok(told)
    }

    fn next(&self) -> VecDeque<Box<dyn Member>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let together = waiting.len().min(TOGETHER);
        waiting.drain(..together).collect()
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

// === impl Write ===

impl<T, W> Member for Write<T, W>
where
    T: Send,
    W: for<'t> FnOnce(&'t mut Txn) -> BoxFuture<'t, Result<T, Error>> + Send,
{
    fn about(&self) -> &About {
        &self.about
    }

    fn run<'t>(&'t mut self, txn: &'t mut Txn) -> BoxFuture<'t, ()> {
        async move {
            if let Some(work) = self.work.take() {
                self.went = Some(work(txn).await);
            }
        }
        .boxed()
    }

    fn failed(&self) -> Option<&Error> {
        self.went.as_ref()?.as_ref().err()
    }

    fn tell(self: Box<Self>, lost: Option<Error>) {
        let went = lost.map(Err).or(self.went);
        // A caller that has gone away need not know.
        let _ = self.caller.send(went.unwrap_or(Err(Error::Defect("a write was passed over"))));
    }
}

// === impl Inner ===

impl Inner {
    /// Does the writes that wait by then, oldest first, and tells their callers.
    pub(super) async fn take_turn(&self) {
        let _turn = self.queue.turn.lock().await;
        let mut waiting = self.queue.next();
        while !waiting.is_empty() {
            let mut begun = Vec::with_capacity(waiting.len());
            let lost = match self.together(&mut waiting, &mut begun).await {
                Ok(Some(revision)) => {
                    self.changed.send_replace(revision);
                    None
                }
                Ok(None) => None,
                Err(error) => Some(error),
            };
            for member in begun {
                member.tell(lost.as_ref().map(Error::shared));
            }
        }
    }

    /// A transaction that has looked up what its writes will ask for.
    async fn begin_with(&self, about: Vec<About>) -> Result<Txn, Error> {
        let mut txn = self.begin().await?;
        if txn.look_up(&about).await.is_ok() {
            return Ok(txn);
        }
        // What cannot be read for one must not fail the others: each asks for itself, in a transaction that has seen no failure.
        txn.finish().await?;
        self.begin().await
    }

    /// One transaction, of all that wait unless it is lost on the way. Answers the revision if it moved.
    async fn together(
        &self,
        waiting: &mut VecDeque<Box<dyn Member>>,
        begun: &mut Vec<Box<dyn Member>>,
    ) -> Result<Option<i64>, Error> {
        let alone = waiting.len() == 1;
        let about = waiting.iter().map(|member| member.about().clone()).collect();
        let mut txn = match self.begin_with(about).await {
            Ok(txn) => txn,
            Err(error) => {
                begun.extend(waiting.drain(..));
                return Err(error);
            }
        };
        while let Some(mut member) = waiting.pop_front() {
            let done = txn.run(&mut *member, alone).await;
            begun.push(member);
            done?;
        }
        txn.finish().await
    }
}

#[cfg(test)]
mod tests;
