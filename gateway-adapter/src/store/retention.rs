//! Which snapshots stay.
//!
//! Invariants: the newest complete snapshot stays, and so does each that is in use, whatever the rules say; a complete one goes
//! only when no rule keeps it. One of a part of the workspace is judged among its like, so that it never takes the place of one
//! that the sandbox could be brought back from. Times are UTC. Deliberately absent: a clock and a repository.

use std::collections::HashSet;

use salvor_proto::registry::v1::Retention;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Incomplete ones older than this go, once there is a newer complete one.
const INCOMPLETE_MS: u64 = 7 * DAY_MS;
/// And so do those beyond so many of the newest.
const INCOMPLETE_LAST: usize = 5;

/// One snapshot, as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// Its name.
    pub name: String,
    /// When its reading began, in milliseconds since the epoch.
    pub begun: u64,
    /// Whether it may be selected.
    pub complete: bool,
    /// Whether it covers all that the record declares.
    pub whole: bool,
    /// Whether something refers to it.
    pub in_use: bool,
}

/// What becomes of one: it goes if nothing keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Its name.
    pub name: String,
    /// What keeps it, for people.
    pub because: Vec<String>,
}

/// The verdict on each, newest first. An incomplete snapshot goes only if a complete one is newer, and it is older than seven
/// days or not among the five newest incomplete ones: until then it may be all that there is to salvage.
pub(super) fn verdicts(held: Vec<Held>, rules: &Retention, now: u64) -> Vec<Verdict> {
    let (parts, whole) = held.into_iter().partition(|held| held.complete && !held.whole);
    let mut verdicts = among(whole, rules, now);
    verdicts.extend(among(parts, rules, now));
    verdicts.sort_by(|(a, _), (b, _)| b.cmp(a));
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}

/// The verdicts among some that are alike, each with when it began.
fn among(mut held: Vec<Held>, rules: &Retention, now: u64) -> Vec<(u64, Verdict)> {
    held.sort_by(|a, b| (b.begun, &b.name).cmp(&(a.begun, &a.name)));
    let newest = held.iter().find(|held| held.complete).map(|held| held.begun);
    let mut periods = [
        Period::new("last", rules.keep_last, |_, position| position),
        Period::new("hourly", rules.keep_hourly, |begun, _| begun / HOUR_MS),
        Period::new("daily", rules.keep_daily, |begun, _| begun / DAY_MS),
        // The epoch was a Thursday; weeks begin on Monday.
        Period::new("weekly", rules.keep_weekly, |begun, _| (begun / DAY_MS + 3) / 7),
    ];
    let (mut complete, mut incomplete) = (0, 0);
    let verdict = |held: Held| {
        let mut because = Vec::new();
        if held.complete {
            if complete == 0 {
                because.push("newest complete one".to_owned());
            }
            because.extend(periods.iter_mut().filter_map(|p| p.keeps(held.begun, complete)));
            complete += 1;
        } else {
            incomplete += 1;
            let superseded = newest.is_some_and(|newest| newest > held.begun);
            let old = now.saturating_sub(held.begun) > INCOMPLETE_MS;
            if !superseded {
                because.push("no complete one is newer".to_owned());
            } else if !old && incomplete <= INCOMPLETE_LAST {
                because.push("incomplete and recent".to_owned());
            }
        }
        if held.in_use {
            because.push("in use".to_owned());
        }
        (held.begun, Verdict { name: held.name, because })
    };
    held.into_iter().map(verdict).collect()
}

/// Keeps the newest snapshot of each of so many periods that have one.
struct Period {
    name: &'static str,
    left: usize,
    seen: HashSet<u64>,
    of: fn(u64, u64) -> u64,
}

// === impl Period ===

impl Period {
    fn new(name: &'static str, keep: i32, of: fn(u64, u64) -> u64) -> Self {
        Self { name, left: usize::try_from(keep).unwrap_or(0), seen: HashSet::new(), of }
    }

    fn keeps(&mut self, begun: u64, position: u64) -> Option<String> {
        if self.left == 0 || !self.seen.insert((self.of)(begun, position)) {
            return None;
        }
        self.left -= 1;
        Some(if self.name == "last" {
            format!("last {}", position + 1)
        } else {
            self.name.to_owned()
        })
    }
}

#[cfg(test)]
mod tests;
