//! When something began, by a clock that cannot be set.
//!
//! Invariant: nothing has lasted for longer, by what is told of it, than the monotonic clock says, but for [`SLACK`]. A host that
//! was suspended has a monotonic clock that stood still, which only makes what lasts younger.

use std::time::Duration;

use tokio::time::Instant;

/// The two clocks are read one after the other, and the wall clock is told in whole milliseconds. A clock that was set by less is
/// taken for one that was not.
const SLACK: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Began {
    at: Instant,
    at_ms: u64,
}

// === impl Began ===

impl Began {
    /// Now, which is `now_ms` by the wall clock.
    pub(super) fn at(now_ms: u64) -> Self {
        Self { at: Instant::now(), at_ms: now_ms }
    }

    /// When that was by the wall clock that shows `now_ms`: as was noted then, unless it was set meanwhile.
    pub(crate) fn ms(self, now_ms: u64) -> u64 {
        let lasted = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let by_length = now_ms.saturating_sub(lasted);
        if u128::from(by_length.abs_diff(self.at_ms)) < SLACK.as_millis() {
            self.at_ms
        } else {
            by_length
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_stays_when_it_was_until_the_wall_clock_is_set() {
        const HOUR_MS: u64 = 3_600_000;
        let began = Began::at(10 * HOUR_MS);
        tokio::time::advance(Duration::from_millis(1_500)).await;
        for off in [0, 1, 99] {
            assert_eq!(began.ms(10 * HOUR_MS + 1_500 + off), 10 * HOUR_MS);
            assert_eq!(began.ms(10 * HOUR_MS + 1_500 - off), 10 * HOUR_MS);
        }
        // It has lasted for 1.5 s, whatever the clock shows.
        assert_eq!(began.ms(11 * HOUR_MS), 11 * HOUR_MS - 1_500);
        assert_eq!(began.ms(9 * HOUR_MS), 9 * HOUR_MS - 1_500);
        assert_eq!(began.ms(0), 0);
    }
}
