//! Ending a process in order: one signal, everyone hears it, everyone is waited for with a bound.
//!
//! Invariant: a token once cancelled stays so, and [`Tasks::join`] always returns, naming what did
//! not end. Deliberately absent: killing the process; only `main` ends it.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::AbortHandle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// The wish to end, shared by everything in a process. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    /// A handle that nothing has triggered yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Triggers on SIGINT (ctrl-c) or SIGTERM from now on.
    ///
    /// # Errors
    /// If the handlers cannot be installed. Must be called inside a tokio runtime.
    pub fn on_signals(&self) -> io::Result<()> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let token = self.token.clone();
        tokio::spawn(async move {
            let name = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                () = token.cancelled() => return,
            };
            tracing::info!(signal = name, "shutting down");
            token.cancel();
        });
        Ok(())
    }

    /// Triggers the shutdown. Idempotent.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Whether it was triggered.
    pub fn is_triggered(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Resolves once triggered; at once if it already was. Owned, so it can be moved into a task.
    pub fn triggered(&self) -> WaitForCancellationFutureOwned {
        self.token.clone().cancelled_owned()
    }

    /// The token itself, to hand to code that waits in a `select!`.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// A set of background tasks that hear this shutdown.
    pub fn tasks(&self) -> Tasks {
        Tasks { token: self.token.clone(), tracker: TaskTracker::new(), running: Arc::default() }
    }
}

/// Background tasks that did not end by the deadline of [`Tasks::join`] and were aborted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("background tasks did not end in time and were aborted: {}", names.join(", "))]
pub struct Unfinished {
    /// The names given to [`Tasks::spawn`], sorted, with repetitions.
    pub names: Vec<&'static str>,
}

/// Named background tasks of one service. Clones share one set.
#[derive(Clone, Debug)]
pub struct Tasks {
    token: CancellationToken,
    tracker: TaskTracker,
    running: Arc<Mutex<Running>>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    tasks: BTreeMap<u64, (&'static str, Option<AbortHandle>)>,
}

impl Tasks {
    /// Spawns `work`, which gets the shutdown token and must end soon after it is cancelled. The
    /// caller's current span is entered on every poll. A panic ends only this task and is logged.
    pub fn spawn<F>(&self, name: &'static str, work: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = {
            let mut running = lock(&self.running);
            running.next += 1;
            let id = running.next;
            running.tasks.insert(id, (name, None));
            id
        };
        let entry = Entry { id, name, running: Arc::clone(&self.running) };
        let work = work(self.token.clone());
        let task = async move {
            let _entry = entry;
            work.await;
        };
        let abort = self.tracker.spawn(task.in_current_span()).abort_handle();
        if let Some((_, slot)) = lock(&self.running).tasks.get_mut(&id) {
            *slot = Some(abort);
        }
    }

    /// The token that tasks of this set listen to.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// How many tasks are running.
    pub fn running(&self) -> usize {
        lock(&self.running).tasks.len()
    }

    /// Waits until every task has ended, at most for `deadline`, then aborts the rest. It does not
    /// trigger the shutdown.
    ///
    /// # Errors
    /// [`Unfinished`] with the names of the aborted tasks. Dropping the future aborts nothing.
    pub async fn join(&self, deadline: Duration) -> Result<(), Unfinished> {
        self.tracker.close();
        if tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok() {
            return Ok(());
        }
        let mut names = Vec::new();
        for (name, abort) in lock(&self.running).tasks.values() {
            names.push(*name);
            if let Some(abort) = abort {
                abort.abort();
            }
        }
        names.sort_unstable();
        if names.is_empty() { Ok(()) } else { Err(Unfinished { names }) }
    }
}

struct Entry {
    id: u64,
    name: &'static str,
    running: Arc<Mutex<Running>>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.running).tasks.remove(&self.id);
        if std::thread::panicking() {
            tracing::error!(task = self.name, "background task panicked and is gone");
        }
    }
}

fn lock(running: &Mutex<Running>) -> MutexGuard<'_, Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tasks_hear_the_shutdown_and_are_joined() {
        let shutdown = Shutdown::new();
        let tasks = shutdown.tasks();
        tasks.spawn("listener", |token| async move { token.cancelled().await });
        assert_eq!(tasks.running(), 1);
        assert!(!shutdown.is_triggered());
        shutdown.trigger();
        shutdown.triggered().await;
        assert_eq!(tasks.join(Duration::from_secs(5)).await, Ok(()));
        assert_eq!(tasks.running(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_listen_is_named_and_aborted() {
        let tasks = Shutdown::new().tasks();
        tasks.spawn("deaf", |_| std::future::pending());
        tasks.spawn("quick", |_| async {});
        let unfinished = tasks.join(Duration::from_secs(1)).await.unwrap_err();
        assert_eq!(unfinished.names, ["deaf"]);
        assert_eq!(tasks.join(Duration::from_secs(1)).await, Ok(()), "it was aborted");
    }

    #[tokio::test]
    async fn a_panic_ends_only_its_own_task() {
        let shutdown = Shutdown::new();
        let tasks = shutdown.tasks();
        tasks.spawn("broken", |_| async { panic!("on purpose") });
        tasks.spawn("sound", |token| async move { token.cancelled().await });
        while tasks.running() > 1 {
            tokio::task::yield_now().await;
        }
        shutdown.trigger();
        assert_eq!(tasks.join(Duration::from_secs(5)).await, Ok(()));
    }
}
