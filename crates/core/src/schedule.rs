//! When a record's next snapshot is due. Pure; the orchestrator asks again and again.
//!
//! | what is known | due |
//! |---|---|
//! | there was a try, complete or not | one interval after it ended |
//! | there was none | at the record's own moment within the interval, the first one after its rules were written |
//! | by that it would be more than two intervals from now | now: what is known was written by a clock that was ahead |
//!
//! A record's own moment comes from its name: those of a fleet whose rules are written all at once lie evenly over the
//! interval, and are the same for every orchestrator and after every restart. A try that failed counts as a try, so that what
//! keeps failing is tried once an interval, like everything else.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::{Timestamp, name::RecordName};

/// When the next snapshot of `name` is due, as of `now`. `written`: when its record was last written; `tried`: when the last try
/// ended. An interval of zero is taken for one of a millisecond.
pub fn due(
    name: &RecordName,
    interval: Duration,
    written: Timestamp,
    tried: Option<Timestamp>,
    now: Timestamp,
) -> Timestamp {
    let next = match tried {
        Some(tried) => tried.after(interval),
        None => first(name, interval, written),
    };
    // Clocks that differ by less are no reason for a whole fleet to be read at once.
    if next > now.after(interval.saturating_mul(2)) { now } else { next }
}

fn first(name: &RecordName, interval: Duration, written: Timestamp) -> Timestamp {
    let interval = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
    let (moment, within) = (own(name) % interval, written.0 % interval);
    let wait = if moment >= within { moment - within } else { interval - (within - moment) };
    Timestamp(written.0.saturating_add(wait))
}

/// A number that is the same wherever it is made.
fn own(name: &RecordName) -> u64 {
    let digest = Sha256::digest(name.to_string());
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}
