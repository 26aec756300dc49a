//! How far a piece of work is, and the wish that it end.
//!
//! Counting is a few atomic additions, so that a blocking thread can do it for each piece of a
//! stream. Invariant: counts never go back within a stage.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use salvor_proto::gateway::v1::Progress;
use salvor_proto::time;
use tokio::runtime::Handle as Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The rate is taken over so much time, by samples so far apart.
const WINDOW: Duration = Duration::from_secs(5);
const APART: Duration = Duration::from_millis(500);

/// What a piece of work reports with. Clones share one state; cheap, and usable from any thread.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    meter: Arc<Meter>,
    cancel: CancellationToken,
    aftermath: TaskTracker,
}

#[derive(Debug)]
struct Meter {
    began: Instant,
    stage: Mutex<&'static str>,
    files_done: AtomicU64,
    files_total: AtomicU64,
    bytes_done: AtomicU64,
    bytes_total: AtomicU64,
    /// Milliseconds since the beginning, when the next sample is due.
    due_ms: AtomicU64,
    samples: Mutex<VecDeque<(Instant, u64)>>,
    /// Once it is over: the rate over all of it.
    ended: Mutex<Option<u64>>,
}

// === impl Handle ===

impl Handle {
    pub(crate) fn new(cancel: CancellationToken) -> Self {
        let began = Instant::now();
        let meter = Meter {
            began,
            stage: Mutex::new("waiting"),
            files_done: AtomicU64::new(0),
            files_total: AtomicU64::new(0),
            bytes_done: AtomicU64::new(0),
            bytes_total: AtomicU64::new(0),
            due_ms: AtomicU64::new(0),
            samples: Mutex::new(VecDeque::from([(began, 0)])),
            ended: Mutex::new(None),
        };
        Self { meter: Arc::new(meter), cancel, aftermath: TaskTracker::new() }
    }

    /// Says what is being done, for people: `reading`.
    pub(crate) fn stage(&self, stage: &'static str) {
        *lock(&self.meter.stage) = stage;
    }

    /// A new stage that counts from zero, with what is known of its totals; zero is not known.
    pub(crate) fn begin(&self, stage: &'static str, files: u64, bytes: u64) {
        self.stage(stage);
        let meter = &self.meter;
        meter.files_done.store(0, Relaxed);
        meter.bytes_done.store(0, Relaxed);
        meter.files_total.store(files, Relaxed);
        meter.bytes_total.store(bytes, Relaxed);
        *lock(&meter.samples) = VecDeque::from([(Instant::now(), 0)]);
    }

    /// Counts entries.
    pub(crate) fn add_files(&self, count: u64) {
        self.meter.files_done.fetch_add(count, Relaxed);
    }

    /// Counts bytes.
    pub(crate) fn add_bytes(&self, count: u64) {
        let bytes = self.meter.bytes_done.fetch_add(count, Relaxed).saturating_add(count);
        self.meter.sample(bytes);
    }

    /// Says how far it is, in all since the stage began.
    pub(crate) fn at(&self, files: u64, bytes: u64) {
        self.meter.files_done.fetch_max(files, Relaxed);
        let before = self.meter.bytes_done.fetch_max(bytes, Relaxed);
        self.meter.sample(before.max(bytes));
    }

    /// Whether it should end.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Resolves once it should end.
    pub(crate) async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Undoes what the work did, in a task that goes on when the work is dropped. Whoever comes after it waits for that, too.
    pub(crate) fn undo<T: Send + 'static>(
        &self,
        runtime: &Runtime,
        undoing: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.aftermath.spawn_on(undoing, runtime)
    }

    /// Resolves once nothing is being undone any more.
    pub(super) async fn undone(&self) {
        self.aftermath.close();
        self.aftermath.wait().await;
    }

    pub(super) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// How far it is.
    pub(super) fn progress(&self) -> Progress {
        let meter = &self.meter;
        let (done, total) = (meter.bytes_done.load(Relaxed), meter.bytes_total.load(Relaxed));
        let ended = *lock(&meter.ended);
        let rate = ended.unwrap_or_else(|| meter.rate(Instant::now(), done));
        let remaining = (ended.is_none() && rate > 0 && total > done)
            .then(|| time::duration(Duration::from_secs((total - done).div_ceil(rate))));
        Progress {
            stage: (*lock(&meter.stage)).to_owned(),
            files_done: meter.files_done.load(Relaxed),
            files_total: meter.files_total.load(Relaxed),
            bytes_done: done,
            bytes_total: total,
            bytes_per_second: rate,
            remaining,
        }
    }

    pub(super) fn finish(&self) {
        let meter = &self.meter;
        let rate = per_second(meter.bytes_done.load(Relaxed), meter.began.elapsed());
        *lock(&meter.ended) = Some(rate);
    }
}

// === impl Meter ===

impl Meter {
    fn sample(&self, bytes: u64) {
        let now = Instant::now();
        let ms = u64::try_from(now.duration_since(self.began).as_millis()).unwrap_or(u64::MAX);
        let due = self.due_ms.load(Relaxed);
        let next = ms.saturating_add(APART.as_millis().try_into().unwrap_or(u64::MAX));
        if ms < due || self.due_ms.compare_exchange(due, next, Relaxed, Relaxed).is_err() {
            return;
        }
        let mut samples = lock(&self.samples);
        samples.push_back((now, bytes));
        while samples.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            samples.pop_front();
        }
    }

    /// Over the last seconds: from the newest sample that is as old as the window, or the oldest.
    fn rate(&self, now: Instant, bytes: u64) -> u64 {
        let samples = lock(&self.samples);
        let old = |(at, _): &&(Instant, u64)| now.saturating_duration_since(*at) >= WINDOW;
        let from = samples.iter().rev().find(old).or_else(|| samples.front());
        from.map_or(0, |(at, then)| {
            per_second(bytes.saturating_sub(*then), now.saturating_duration_since(*at))
        })
    }
}

fn per_second(bytes: u64, over: Duration) -> u64 {
    let ms = over.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / ms).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_of_the_last_seconds() {
        let handle = Handle::new(CancellationToken::new());
        let began = handle.meter.began;
        let second = |n| began + Duration::from_secs(n);
        *lock(&handle.meter.samples) =
            (0..=10).map(|n| (second(n), n * 100)).collect::<VecDeque<_>>();
        assert_eq!(handle.meter.rate(second(10), 1000), 100);
        assert_eq!(handle.meter.rate(second(15), 1000), 0, "it has stalled");
    }

    #[test]
    fn what_remains_is_said_at_the_rate_seen_and_not_after_the_end() {
        let handle = Handle::new(CancellationToken::new());
        handle.begin("reading", 2, 1 << 40);
        handle.add_files(1);
        handle.add_bytes(1 << 30);
        let progress = handle.progress();
        assert_eq!((progress.stage.as_str(), progress.files_done), ("reading", 1));
        assert!(progress.bytes_per_second > 0 && progress.remaining.is_some(), "{progress:?}");
        handle.finish();
        assert_eq!(handle.progress().remaining, None);
    }
}
