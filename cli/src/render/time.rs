//! Times and durations as people say them.

use std::time::Duration;

use prost_types::{Duration as ProtoDuration, Timestamp};
use salvor_proto::time::{millis, plain};

use super::Look;

// === impl Look ===

impl Look {
    /// How long ago: `12s`, `5m`, `3h`, `2d`; `-` if it never was.
    pub(crate) fn age(self, at: Option<&Timestamp>) -> String {
        at.map_or_else(
            || "-".to_owned(),
            |at| span(Duration::from_millis(self.now.saturating_sub(millis(at)))),
        )
    }

    /// `12s ago`, or `never`.
    pub(crate) fn ago(self, at: Option<&Timestamp>) -> String {
        at.map_or_else(|| "never".to_owned(), |_| format!("{} ago", self.age(at)))
    }
}

/// The largest unit that leaves two digits or so: `80ms`, `4.2s`, `12s`, `5m`, `3h`, `2d`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{}ms", time.as_millis()),
        1..10 => format!("{}.{}s", seconds, time.subsec_millis() / 100),
        10..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// As [`span`]; `-` if there is none.
pub(crate) fn lasting(time: Option<&ProtoDuration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| span(plain(time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_said_in_its_largest_unit() {
        for (ms, said) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_250, "1.2s"),
            (42_000, "42s"),
            (119_999, "119s"),
            (120_000, "2m"),
            (7_200_000, "2h"),
            (172_800_000, "2d"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), said);
        }
    }

    #[test]
    fn a_time_ahead_of_this_clock_is_now() {
        let look = Look::plain(1_000);
        assert_eq!(look.age(Some(&salvor_proto::time::timestamp(5_000))), "0ms");
        assert_eq!(look.ago(None), "never");
    }
}
