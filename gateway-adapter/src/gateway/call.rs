//! Every call to a gateway: bounded in number and time, traced, classified.
//!
//! Whoever changes something takes its turn first, then looks and checks, and sends in that turn:
//! between the last look and the sending there is no queue.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use salvor_runtime::rpc::code_name;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};
use tracing::{Instrument as _, info_span};

use super::ids::REST;
use super::{Gateway, Healthy, Link};
use crate::classify::{Class, Failure, Method, Origin, origin};

/// The calls that one gateway gets at once, and those that may wait.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Semaphore,
    waiting: AtomicUsize,
    in_flight: usize,
    may_wait: usize,
}

/// One of the calls that a gateway gets at once, taken before there is anything to send.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _slot: SemaphorePermit<'a>,
}

/// A place in the queue, given back when dropped.
struct Queued<'a>(&'a AtomicUsize);

// === impl Slots ===

impl Slots {
    /// At most `in_flight` at once, and at most `may_wait` behind them.
    pub(crate) fn new(in_flight: usize, may_wait: usize) -> Self {
        let in_flight = in_flight.clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Semaphore::new(in_flight), waiting: AtomicUsize::new(0), in_flight, may_wait }
    }

    /// Waits for a slot. `None` when too many wait already. Cancel-safe.
    async fn take(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(slot) = self.free.try_acquire() {
            return Some(slot);
        }
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let queued = Queued(&self.waiting);
        if before >= self.may_wait {
            return None;
        }
        let slot = self.free.acquire().await.ok();
        drop(queued);
        slot
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

// === impl Gateway ===

impl Gateway {
    /// Waits for the turn to send something, for as long as a mutation may take.
    ///
    /// # Errors
    /// It did not come: nothing was sent.
    pub(crate) async fn turn(&self, method: Method) -> Result<Turn<'_>, Failure> {
        self.turn_until(method, Instant::now() + self.limits().mutation).await
    }

    async fn turn_until(&self, method: Method, deadline: Instant) -> Result<Turn<'_>, Failure> {
        match timeout_at(deadline, self.slots.take()).await {
            Ok(Some(slot)) => Ok(Turn { _slot: slot }),
            Ok(None) => Err(self.crowded(method, "too many others wait already")),
            Err(_) => Err(self.crowded(method, "none of them ended in time")),
        }
    }

    /// Does one call within `bound`, the wait for its turn included. Cancelling it does not take
    /// back what was sent.
    pub(super) async fn call<T>(
        &self,
        link: &Link,
        method: Method,
        bound: Duration,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + bound;
        let turn = self.turn_until(method, deadline).await?;
        self.answered((&turn, link), method, (bound, deadline), work).await
    }

    /// Does one call in a turn that was waited for. `bound` is for the answer alone.
    pub(super) async fn call_in<T>(
        &self,
        at: (&Turn<'_>, &Link),
        method: Method,
        bound: Duration,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Failure> {
        self.answered(at, method, (bound, Instant::now() + bound), work).await
    }

    async fn answered<T>(
        &self,
        (_turn, link): (&Turn<'_>, &Link),
        method: Method,
        (bound, deadline): (Duration, Instant),
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Failure> {
        let span = info_span!(
            "gateway.call",
            otel.name = format!("openshell.v1.OpenShell/{}", method.name()),
            otel.kind = "client",
            rpc.system.name = "grpc",
            rpc.method = format!("openshell.v1.OpenShell/{}", method.name()),
            rpc.response.status_code = tracing::field::Empty,
            server.address = link.endpoint,
        );
        let answered = timeout_at(deadline, work.instrument(span.clone())).await;
        let code = match &answered {
            Ok(Ok(_)) => Code::Ok,
            Ok(Err(status)) => status.code(),
            Err(_) => Code::DeadlineExceeded,
        };
        span.record("rpc.response.status_code", code_name(code));
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(self.failed(link, method, &status).await),
            Err(_) => Err(self.late(method, bound)),
        }
    }

    /// [`call`](Self::call) on the connection of a probe.
    pub(crate) async fn exchange<T>(
        &self,
        healthy: &Healthy,
        method: Method,
        bound: Duration,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Failure> {
        self.call(&healthy.link, method, bound, work).await
    }

    /// [`exchange`](Self::exchange) in a turn that was waited for, and that ends with it. `bound` is
    /// for the answer alone.
    pub(crate) async fn send<T>(
        &self,
        (turn, healthy): (Turn<'_>, &Healthy),
        method: Method,
        bound: Duration,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Failure> {
        self.call_in((&turn, &healthy.link), method, bound, work).await
    }

    /// The `request_id` to send with an effect: `asked`, or none to a gateway that has no room for more.
    pub(crate) fn request_id(&self, asked: &str) -> String {
        self.ids.to_send(asked)
    }

    /// [`send`](Self::send) for an effect that goes under `request_id`, as that function gave it.
    pub(crate) async fn send_effect<T>(
        &self,
        request_id: &str,
        at: (Turn<'_>, &Healthy),
        method: Method,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Failure> {
        let remembers = at.1.version.capabilities().request_ids;
        let answered = self.send(at, method, self.limits().mutation, work).await;
        answered.map_err(|failure| {
            if failure.class != Class::Exhausted || request_id.is_empty() || !remembers {
                return failure;
            }
            self.ids.are_spent();
            let minutes = REST.as_secs() / 60;
            tracing::warn!(gateway = %self.name, minutes, "no room for request ids: sending none");
            let text = "perhaps it admits no more request ids of this caller";
            let detail = format!("{}; {text}: for {minutes} min it gets none", failure.detail);
            Failure::new(failure.class, detail)
        })
    }

    async fn failed(&self, link: &Link, method: Method, status: &Status) -> Failure {
        let mut failure = Failure::of(method, status);
        if origin(status) == Origin::Transport
            && let Some(refusal) = link.transport.refusal().await
        {
            failure = Failure::new(Class::TlsFailed, refusal.to_string());
        }
        Failure::new(
            failure.class,
            format!("{} at {}: {}", self.name, link.endpoint, failure.detail),
        )
    }

    fn late(&self, method: Method, bound: Duration) -> Failure {
        let (name, method, ms) = (&self.name, method.name(), bound.as_millis());
        let detail = format!("{name}: {method} was not answered within {ms} ms");
        Failure::new(Class::DeadlineExceeded, detail)
    }

    fn crowded(&self, method: Method, why: &str) -> Failure {
        let (name, method, count) = (&self.name, method.name(), self.slots.in_flight);
        let detail = format!(
            "{name}: {method} was not sent: {count} calls of this adapter are in flight and {why}"
        );
        Failure::new(Class::RateLimited, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_queue_is_bounded_and_given_back() {
        let slots = Slots::new(1, 1);
        let held = slots.take().await.unwrap();
        let mut second = Box::pin(slots.take());
        assert!(futures::poll!(&mut second).is_pending());
        assert!(slots.take().await.is_none(), "a third one has no place");
        drop(second);
        let mut third = Box::pin(slots.take());
        assert!(futures::poll!(&mut third).is_pending(), "the place was given back");
        drop(held);
        assert!(third.await.is_some());
        assert_eq!(slots.waiting.load(Ordering::Acquire), 0);
    }
}
