//! Wall-clock time as a port, so that tests choose it.
//!
//! Invariant: only [`SystemClock`] reads the system's time. Deliberately absent: a monotonic
//! clock (use tokio's, which tests can pause) and any time zone.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, UTC.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if the wall clock was set back in between.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}ms", self.0)
    }
}

/// Where a process takes the time of day from.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The wall-clock time. It may go backwards when the host's clock is set.
    fn now(&self) -> Timestamp;

    /// [`now`](Self::now) as bare milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64 {
        self.now().0
    }
}

/// The host's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ms: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self { now_ms: AtomicU64::new(now.0) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.now_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// Sets the clock, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.now_ms.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.load(Ordering::SeqCst))
    }
}

/// The host's clock, off by what it is told: for trying what a clock that is set does.
#[derive(Debug, Default)]
pub struct OffsetClock {
    ahead_ms: AtomicI64,
}

impl OffsetClock {
    /// From now on it is so many milliseconds ahead of the host's clock, or behind it.
    pub fn set(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::SeqCst);
    }
}

impl Clock for OffsetClock {
    fn now(&self) -> Timestamp {
        let ahead_ms = self.ahead_ms.load(Ordering::SeqCst);
        Timestamp(SystemClock.now_ms().saturating_add_signed(ahead_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_moves_only_when_told() {
        let clock = ManualClock::at(Timestamp(1_000));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_millis(250));
        assert_eq!(clock.now_ms(), 1_250);
        clock.set(Timestamp(10));
        assert_eq!(clock.now_ms(), 10);
    }

    #[test]
    fn a_clock_set_back_gives_no_negative_age() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(9).since(Timestamp(5)), Duration::from_millis(4));
    }

    #[test]
    fn an_offset_clock_is_off_by_what_it_is_told() {
        let clock = OffsetClock::default();
        clock.set(3_600_000);
        assert!(clock.now().since(SystemClock.now()) > Duration::from_secs(3_599));
        clock.set(-3_600_000);
        assert!(SystemClock.now().since(clock.now()) > Duration::from_secs(3_599));
    }

    #[test]
    fn system_clock_is_past_the_year_2020() {
        assert!(SystemClock.now() > Timestamp(1_577_836_800_000));
    }
}
