//! Between protobuf's times and plain milliseconds.

use std::time::Duration;

/// A timestamp from milliseconds since the Unix epoch. Total: out-of-range values saturate.
pub fn timestamp(ms: u64) -> prost_types::Timestamp {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    // Below 10^9 by construction.
    let nanos = i32::try_from((ms % 1000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds, nanos }
}

/// Milliseconds since the Unix epoch. Times before it read as zero.
pub fn millis(timestamp: &prost_types::Timestamp) -> u64 {
    let seconds = u64::try_from(timestamp.seconds).unwrap_or(0);
    let millis = u64::try_from(timestamp.nanos / 1_000_000).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(millis)
}

/// A protobuf duration; saturates.
pub fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// A plain duration. Negative ones read as zero.
pub fn plain(duration: &prost_types::Duration) -> Duration {
    let seconds = u64::try_from(duration.seconds).unwrap_or(0);
    let nanos = u32::try_from(duration.nanos).unwrap_or(0).min(999_999_999);
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_survive_the_round_trip() {
        for ms in [0, 1, 999, 1000, 1_763_925_000_123] {
            assert_eq!(millis(&timestamp(ms)), ms);
        }
    }

    #[test]
    fn negative_values_read_as_zero() {
        assert_eq!(millis(&prost_types::Timestamp { seconds: -5, nanos: 0 }), 0);
        assert_eq!(plain(&prost_types::Duration { seconds: -1, nanos: -1 }), Duration::ZERO);
    }
}
