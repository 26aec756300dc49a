//! Keeping the connection to one replica.
//!
//! Invariant: one attempt at a time, and a pause after each connection that ended and each attempt
//! that failed, with jitter (so that all callers of a replica that comes back do not come at once),
//! shorter only for a call that has no other replica.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::line::{Line, Target};
use crate::backoff::Backoff;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How each replica stands, by its index.
pub(super) type Board = Arc<watch::Sender<Vec<Standing>>>;

/// How one replica stands.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) line: Option<Line>,
    /// Attempts to connect that were begun, ever.
    pub(super) begun: u64,
    /// Which of them was the last that failed.
    pub(super) failed: u64,
    /// Why there is no line.
    pub(super) why: Cow<'static, str>,
}

impl Default for Standing {
    fn default() -> Self {
        Self { line: None, begun: 0, failed: 0, why: "it has not answered yet".into() }
    }
}

/// Who keeps one up.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) index: usize,
    pub(super) address: String,
    pub(super) target: Target,
    pub(super) board: Board,
    /// Ends a pause.
    pub(super) wanted: Arc<Notify>,
}

// === impl Keeper ===

impl Keeper {
    /// Never ends. Dropping the future closes the connection once the calls on it have ended.
    pub(super) async fn keep(self) {
        let mut backoff = Backoff::new(SHORTEST, LONGEST);
        loop {
            self.post(|standing| standing.begun += 1);
            match self.target.open().await {
                Ok(line) => {
                    let (since, ended) = (Instant::now(), line.ended.clone());
                    tracing::info!(replica = self.address, "replica is up");
                    self.post(|standing| standing.line = Some(line));
                    ended.cancelled().await;
                    self.post(|standing| {
                        standing.line = None;
                        standing.why = "its connection ended".into();
                    });
                    // One that ends its connections as soon as they are made is not up.
                    if since.elapsed() > LONGEST {
                        backoff.reset();
                    }
                }
                Err(why) => self.post(|standing| {
                    if standing.why != why {
                        tracing::warn!(replica = self.address, why, "replica cannot be reached");
                    }
                    standing.failed = standing.begun;
                    standing.why = why.into();
                }),
            }
            let pause = backoff.next_delay();
            if tokio::time::timeout(pause, self.wanted.notified()).await.is_ok() {
                tracing::debug!(replica = self.address, "a call has no other replica");
            }
        }
    }

    fn post(&self, change: impl FnOnce(&mut Standing)) {
        self.board.send_modify(|board| {
            if let Some(standing) = board.get_mut(self.index) {
                change(standing);
            }
        });
    }
}
