//! When the next snapshot is due.

use std::time::Duration;

use salvor_core::{Timestamp, name::RecordName, schedule};

const HOUR: Duration = Duration::from_hours(1);
const HOUR_MS: u64 = 3_600_000;

fn name(number: u32) -> RecordName {
    format!("gateways/lab/workspaces/default/sandboxes/s{number}").parse().unwrap()
}

/// As of the moment at which what is known was written.
fn due(
    name: &RecordName,
    interval: Duration,
    written: Timestamp,
    tried: Option<Timestamp>,
) -> Timestamp {
    schedule::due(name, interval, written, tried, tried.unwrap_or(written))
}

#[test]
fn a_try_counts_whatever_came_of_it() {
    for tried in [0, 1, 1_800_000_000_000] {
        let next = due(&name(1), HOUR, Timestamp(9 * HOUR_MS), Some(Timestamp(tried)));
        assert_eq!(next, Timestamp(tried + HOUR_MS));
    }
    assert_eq!(due(&name(1), HOUR, Timestamp(0), Some(Timestamp(u64::MAX))), Timestamp(u64::MAX));
}

/// A year ahead at the last try, or when the rules were written: nothing is put off by that.
#[test]
fn a_clock_that_was_ahead_puts_no_snapshot_off() {
    let now = Timestamp(1_800_000_000_000);
    let ahead = now.after(HOUR * 24 * 365);
    assert_eq!(schedule::due(&name(1), HOUR, now, Some(ahead), now), now);
    assert_eq!(schedule::due(&name(1), HOUR, ahead, None, now), now);
    // Clocks of two hosts differ by a little, and then nothing is taken at once.
    let little = now.after(Duration::from_secs(5));
    assert_eq!(schedule::due(&name(1), HOUR, now, Some(little), now), little.after(HOUR));
    assert!(schedule::due(&name(1), HOUR, little, None, now) >= little);
}

#[test]
fn the_first_one_is_due_within_an_interval_and_never_before_the_rules() {
    for number in 0..200 {
        for written in [0, 1, HOUR_MS - 1, HOUR_MS, 1_800_000_000_123] {
            let Timestamp(first) = due(&name(number), HOUR, Timestamp(written), None);
            assert!((written..written + HOUR_MS).contains(&first), "{number} {written}");
            // Writing the record again until then does not put it off.
            assert_eq!(due(&name(number), HOUR, Timestamp(first), None), Timestamp(first));
            assert_eq!(due(&name(number), HOUR, Timestamp(written), None), Timestamp(first));
        }
    }
}

/// Rules that are written for a whole fleet at once are no stampede: no tenth of the interval has twice its share.
#[test]
fn a_fleet_lies_evenly_over_the_interval() {
    let mut tenths = [0_u32; 10];
    for number in 0..2_000 {
        let Timestamp(first) = due(&name(number), HOUR, Timestamp(0), None);
        tenths[usize::try_from(first * 10 / HOUR_MS).unwrap()] += 1;
    }
    assert!(tenths.iter().all(|count| (130..=270).contains(count)), "{tenths:?}");
}

#[test]
fn no_interval_is_too_short_or_too_long() {
    assert_eq!(due(&name(1), Duration::ZERO, Timestamp(5), None), Timestamp(5));
    let long = due(&name(1), Duration::MAX, Timestamp(5), None);
    assert!(long >= Timestamp(5));
}
