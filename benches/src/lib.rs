//! What the benchmarks share: samples, and the conditions under which they were taken.
//!
//! Figures are printed and never asserted. Outside `cargo bench` each benchmark runs a few rounds only, so that it cannot rot.

use std::time::Duration;

/// Durations of single rounds.
#[derive(Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The smallest sample that is not exceeded by `percent` of them; zero if there is none.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(rank).copied().unwrap_or_default()
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<T: IntoIterator<Item = Duration>>(samples: T) -> Self {
        Self(samples.into_iter().collect())
    }
}

impl std::fmt::Display for Samples {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        write!(f, "p50 {:8.2} ms   p99 {:8.2} ms   n {}", ms(50), ms(99), self.len())
    }
}

/// Whether figures are wanted: under `cargo bench`, and not when everything is merely built and tried.
pub fn measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// So many rounds when measuring; `few` otherwise.
pub fn rounds(many: usize, few: usize) -> usize {
    if measuring() { many } else { few }
}

/// Prints what the figures that follow are worth.
pub fn conditions(what: &str) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let build = if cfg!(debug_assertions) { "dev profile: no figures" } else { "bench profile" };
    println!("## {what}");
    println!("{cores} cores, load {load} at the start, {build}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples: Samples = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(samples.percentile(50), Duration::from_millis(100));
        assert_eq!(samples.percentile(99), Duration::from_millis(198));
        assert_eq!(samples.percentile(100), Duration::from_millis(200));
        assert_eq!(Samples::default().percentile(99), Duration::ZERO);
    }
}
