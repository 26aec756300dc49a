//! Exponential backoff with full jitter.
//!
//! Invariant: every delay lies in `0..=ceiling`, the ceiling doubles from `base` and never passes
//! `max`, and one seed always gives one sequence. Deliberately absent: the sleeping and the
//! decision whether to try again, which belong to the caller.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A bounded sequence of delays, drawn uniformly from below a doubling ceiling ("full jitter").
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    attempt: u32,
    state: u64,
}

impl Backoff {
    /// A sequence that is the same for the same seed, for tests and simulations.
    pub fn seeded(base: Duration, max: Duration, seed: u64) -> Self {
        Self { base, max: max.max(base), attempt: 0, state: seed }
    }

    /// A sequence whose seed comes from the operating system, so that a fleet does not march in
    /// step after a common failure.
    pub fn new(base: Duration, max: Duration) -> Self {
        Self::seeded(base, max, RandomState::new().hash_one(0_u8))
    }

    /// How many delays were drawn since the start or the last [`reset`](Self::reset).
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// The upper bound of the next delay.
    pub fn ceiling(&self) -> Duration {
        let factor = 1_u32.checked_shl(self.attempt).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }

    /// Draws the next delay and raises the ceiling.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = u64::try_from(self.ceiling().as_nanos()).unwrap_or(u64::MAX);
        self.attempt = self.attempt.saturating_add(1);
        let drawn = self.draw();
        Duration::from_nanos(ceiling.checked_add(1).map_or(drawn, |span| drawn % span))
    }

    /// Starts over with the lowest ceiling; the random sequence goes on.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to spread load.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn one_seed_gives_one_sequence_and_another_seed_another() {
        let draw = |seed| {
            let mut backoff = Backoff::seeded(BASE, MAX, seed);
            (0..20).map(|_| backoff.next_delay()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn delays_stay_below_a_doubling_ceiling_that_never_passes_the_maximum() {
        let mut backoff = Backoff::seeded(BASE, MAX, 1);
        for attempt in 0..200_u32 {
            let expected = BASE.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX));
            assert_eq!(backoff.ceiling(), expected.min(MAX));
            assert!(backoff.next_delay() <= expected.min(MAX));
        }
        assert_eq!(backoff.attempt(), 200);
        backoff.reset();
        assert_eq!(backoff.ceiling(), BASE);
    }

    #[test]
    fn delays_use_the_whole_range() {
        let mut backoff = Backoff::seeded(MAX, MAX, 3);
        let drawn: Vec<_> = (0..1_000).map(|_| backoff.next_delay()).collect();
        assert!(drawn.iter().any(|delay| *delay < MAX / 10));
        assert!(drawn.iter().any(|delay| *delay > MAX / 10 * 9));
    }

    #[test]
    fn a_maximum_below_the_base_is_raised_to_it() {
        assert_eq!(Backoff::seeded(MAX, BASE, 0).ceiling(), MAX);
    }
}
