//! When the next snapshot is due.

use std::time::Duration;

use salvor_core::{Timestamp, name::RecordName, schedule::due};

const HOUR: Duration = Duration::from_hours(1);
const HOUR_MS: u64 = 3_600_000;

fn name(number: u32) -> RecordName {
    format!("gateways/lab/workspaces/default/sandboxes/s{number}").parse().unwrap()
}

#[test]
fn a_try_counts_whatever_came_of_it() {
    for tried in [0, 1, 1_800_000_000_000] {
        let next = due(&name(1), HOUR, Timestamp(9 * HOUR_MS), Some(Timestamp(tried)));
        assert_eq!(next, Timestamp(tried + HOUR_MS));
    }
    assert_eq!(due(&name(1), HOUR, Timestamp(0), Some(Timestamp(u64::MAX))), Timestamp(u64::MAX));
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
