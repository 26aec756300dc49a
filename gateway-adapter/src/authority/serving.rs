//! Of which gateways this adapter holds the serving lease, and until when it is sure of that.
//!
//! Invariant: sure is less than the registry grants: counted from before the lease was asked for, with a margin, by two clocks.
//! The monotonic one cannot be set, and the wall clock goes on while the host sleeps; whichever says first that it is over is
//! believed. So a process that was stopped, or a host that slept, knows on waking that it holds nothing any more. Deliberately
//! absent: asking for leases; that is the keeper's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::next_step::NextStep;
use salvor_proto::Error;
use salvor_proto::error::Code;
use salvor_runtime::{Clock, SystemClock};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long an effect waits for the registry's word: right after a start, or after a clock was set, it is on its way.
const WORD: Duration = Duration::from_secs(3);
/// This part of a lease's time is not relied on: it covers clocks of other speeds, and what is on its way to the gateway.
const MARGIN: u32 = 5;

/// See the module.
#[derive(Debug)]
pub(crate) struct Serving {
    gateways: Mutex<HashMap<String, watch::Sender<State>>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// The registry has not said anything yet.
    Asking,
    /// It is ours, at least until then.
    Held { epoch: i64, until: Instant, until_ms: u64 },
    /// It was, and by one of the clocks its time is over. It is asked for again.
    Doubted { epoch: i64 },
    /// It is not.
    NotHeld(Box<Error>),
}

/// Who has a gateway instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// The holder's name.
    pub(crate) holder: String,
    /// By the registry's clock, as text.
    pub(crate) until: String,
}

/// News of one gateway.
#[derive(Debug)]
pub(crate) struct Changes(watch::Receiver<State>);

// === impl Changes ===

impl Changes {
    /// Waits for the next one; for ever once the gateway is forgotten.
    pub(crate) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

// === impl Serving ===

impl Default for Serving {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl Serving {
    /// Serves nothing yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { gateways: Mutex::default(), clock }
    }

    /// When a lease is about to be asked for, by both clocks.
    pub(crate) fn now(&self) -> (Instant, u64) {
        (Instant::now(), self.clock.now_ms())
    }

    /// Takes a lease that was asked for at `asked` and given for `ttl`.
    pub(crate) fn held(&self, gateway: &str, epoch: i64, asked: (Instant, u64), ttl: Duration) {
        let sure = ttl.saturating_sub(ttl / MARGIN);
        let sure_ms = u64::try_from(sure.as_millis()).unwrap_or(u64::MAX);
        let (until, until_ms) = (asked.0 + sure, asked.1.saturating_add(sure_ms));
        self.state(gateway).send_replace(State::Held { epoch, until, until_ms });
    }

    /// It is asked for: until there is an answer nothing is sent.
    pub(crate) fn asking(&self, gateway: &str) {
        self.state(gateway).send_replace(State::Asking);
    }

    /// Another adapter serves it.
    pub(crate) fn elsewhere(&self, gateway: &str, elsewhere: &Elsewhere) {
        let Elsewhere { holder, until } = elsewhere;
        let text = format!(
            "{gateway} is served by the adapter {holder}, which holds it until {until} unless it \
             renews; this one only reads. Nothing was sent to the gateway"
        );
        let error = Error::new(Code::Busy, "GATEWAY_SERVED_ELSEWHERE", text)
            .with("holder", holder.clone())
            .with("expire_time", until.clone())
            .next_step(NextStep::ListGateways.alone());
        self.not_held(gateway, error);
    }

    /// It is not held, because of that.
    pub(crate) fn not_held(&self, gateway: &str, error: Error) {
        self.state(gateway).send_replace(State::NotHeld(Box::new(error)));
    }

    /// The epoch under which it is held, if it surely is.
    pub(crate) fn epoch(&self, gateway: &str) -> Option<i64> {
        let state = self.state(gateway).borrow().clone();
        match state {
            State::Held { epoch, until, until_ms } if self.is_before(until, until_ms) => {
                Some(epoch)
            }
            _ => None,
        }
    }

    /// Forgets a gateway that is no longer served. Answers the epoch that may still be held.
    pub(crate) fn forget(&self, gateway: &str) -> Option<i64> {
        let state = self.lock().remove(gateway)?;
        match *state.borrow() {
            State::Held { epoch, .. } | State::Doubted { epoch } => Some(epoch),
            State::Asking | State::NotHeld(_) => None,
        }
    }

    /// Every gateway that is known here.
    pub(crate) fn gateways(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// What is said of a gateway from now on.
    pub(crate) fn changes(&self, gateway: &str) -> Changes {
        Changes(self.state(gateway).subscribe())
    }

    /// Waits a moment for the registry's word, if there is none yet, or if what it gave is over by one of the clocks: after a
    /// clock was set forward, or a host slept, nothing but asking again says whether it is still ours.
    pub(crate) async fn settled(&self, gateway: &str) {
        let state = self.state(gateway);
        state.send_if_modified(|state| match *state {
            State::Held { epoch, until, until_ms } if !self.is_before(until, until_ms) => {
                *state = State::Doubted { epoch };
                true
            }
            _ => false,
        });
        let mut states = state.subscribe();
        let told = |state: &State| !matches!(state, State::Asking | State::Doubted { .. });
        // Without a word nothing is sent, which is what is said then.
        let _ = timeout(WORD, states.wait_for(told)).await;
    }

    /// Waits until an effect doubts what was held.
    pub(crate) async fn doubted(&self, gateway: &str) {
        let mut states = self.state(gateway).subscribe();
        let doubted = states.wait_for(|state| matches!(state, State::Doubted { .. })).await.is_ok();
        if !doubted {
            std::future::pending::<()>().await;
        }
    }

    /// Refuses unless the gateway is surely ours.
    ///
    /// # Errors
    /// GATEWAY_SERVED_ELSEWHERE, SERVING_NOT_SURE.
    pub(crate) fn check(&self, gateway: &str) -> Result<(), Error> {
        let state = self.state(gateway).borrow().clone();
        match state {
            State::Held { until, until_ms, .. } if self.is_before(until, until_ms) => Ok(()),
            State::NotHeld(error) => Err(*error),
            State::Held { .. } | State::Doubted { .. } => {
                Err(not_sure(gateway, "could not renew its serving lease"))
            }
            State::Asking => Err(not_sure(gateway, "has not got its serving lease yet")),
        }
    }

    fn is_before(&self, until: Instant, until_ms: u64) -> bool {
        Instant::now() < until && self.clock.now_ms() < until_ms
    }

    fn state(&self, gateway: &str) -> watch::Sender<State> {
        let mut gateways = self.lock();
        let state =
            gateways.entry(gateway.to_owned()).or_insert_with(|| watch::Sender::new(State::Asking));
        state.clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<State>>> {
        self.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_sure(gateway: &str, why: &str) -> Error {
    let text = format!(
        "this adapter {why} of {gateway}, so another one may serve it by now: it only reads. \
         Nothing was sent to the gateway"
    );
    Error::new(Code::Unavailable, "SERVING_NOT_SURE", text)
        .next_step(NextStep::ReachRegistry.alone())
}

#[cfg(test)]
mod tests;
