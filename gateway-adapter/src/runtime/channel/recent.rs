//! Files that were written right before they were listed.
//!
//! An archive gives times in whole seconds, so a file of a running container that is written twice within one second looks
//! the same both times. Whatever was written since shortly before the channel was opened is therefore looked at once more,
//! by itself, for its time to the nanosecond: two listings of one channel then differ if the file was written in between.
//! Where that cannot be told (a name that is not UTF-8 cannot be asked for, and there may be too many), reading waits until
//! their second is over: what is written after that has another time.

use std::time::{Duration, SystemTime};

use bollard::Docker;
use tokio::time::sleep;

use super::RuntimeChannel;
use crate::workspace::{Broken, Entry, Kind};

/// Times of the container's file system and of this process may differ by a clock tick, and by the part of a second that is
/// cut off.
const MARGIN: Duration = Duration::from_secs(2);
/// So many are looked at, about a millisecond each.
const MAX_RECENT: usize = 10_000;

/// From when on what is written counts as recent, for a channel that is opened now.
pub(super) fn begin() -> SystemTime {
    SystemTime::now().checked_sub(MARGIN).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Gives recent files their exact times, or waits until those that cannot be told are recent no longer.
pub(super) async fn refine(
    channel: &RuntimeChannel,
    docker: &Docker,
    entries: &mut [Entry],
) -> Result<(), Broken> {
    let mut untold = None;
    let recent = |entry: &&mut Entry| entry.kind == Kind::File && entry.modified >= channel.recent;
    for (at, entry) in entries.iter_mut().filter(recent).enumerate() {
        let exact = match entry.path.to_str() {
            Some(path) if at < MAX_RECENT => {
                channel.runtime().modified(docker, channel.container(), path).await?
            }
            _ => None,
        };
        match exact {
            Some(exact) => entry.modified = exact,
            None => untold = untold.max(Some(entry.modified)),
        }
    }
    if let Some(written) = untold {
        sleep(until_over(written, SystemTime::now())).await;
    }
    Ok(())
}

/// How long until a write gives another time than this one: never more than the margin. A time that somebody set beyond it
/// is none that a write gives.
fn until_over(written: SystemTime, now: SystemTime) -> Duration {
    (written + MARGIN).duration_since(now).unwrap_or_default().min(MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_that_is_not_over_is_waited_for_and_no_longer() {
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        for (written, now, wait) in [
            (10_000, 10_000, 2_000),
            (10_000, 10_900, 1_100),
            (10_000, 12_000, 0),
            (10_000, 99_000, 0),
            (99_000_000, 10_000, 2_000),
        ] {
            assert_eq!(until_over(at(written), at(now)), Duration::from_millis(wait));
        }
    }
}
