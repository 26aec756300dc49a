//! What clients saw of versioned registers, and whether one order explains all of it.
//!
//! A record is a register with compare-and-swap whose answers name the version that they speak of. The versions are then the
//! order to check (no search is needed): it must agree with real time, each write must have followed the version that it
//! was conditional on, and nobody may see what was refused. That is linearizability of every register; versions are numbered
//! over all of them, so it is that of the registry.

use std::collections::BTreeMap;

/// One call of one client.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// When it began and when it ended, counted over all clients.
    pub(crate) begun: u64,
    pub(crate) ended: u64,
    /// Of which record.
    pub(crate) record: usize,
    pub(crate) what: What,
}

/// What was asked, and what came of it.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// It was at this version.
    Read(Version),
    /// It was at version `on` and is at this one.
    Wrote { on: i64, now: Version },
    /// It was refused: this value was never written.
    Refused(String),
    /// Nobody answered: it may have been written.
    Unanswered,
}

/// A value, and the revision at which it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) revision: i64,
    pub(crate) value: String,
}

/// All that is wrong with a history, a line each.
pub(crate) fn contradictions(history: &[Call]) -> Vec<String> {
    let mut found = Vec::new();
    let records = history.iter().map(|call| call.record).max().map_or(0, |last| last + 1);
    for record in 0..records {
        let calls: Vec<&Call> = history.iter().filter(|call| call.record == record).collect();
        let versions = versions(&calls, &mut found);
        refused_are_unseen(&calls, &versions, &mut found);
        writes_follow_what_they_name(&calls, &versions, &mut found);
    }
    real_time_is_kept(history, &mut found);
    found
}

/// Everyone sees the same value at a version, and a value at one version only.
fn versions(calls: &[&Call], found: &mut Vec<String>) -> BTreeMap<i64, String> {
    let mut versions = BTreeMap::new();
    let mut revisions = BTreeMap::new();
    for call in calls {
        let (What::Read(version) | What::Wrote { now: version, .. }) = &call.what else { continue };
        let Version { revision, value } = version;
        if *versions.entry(*revision).or_insert_with(|| value.clone()) != *value {
            found.push(format!("two values at one version: {call:?}"));
        }
        if *revisions.entry(value.clone()).or_insert(*revision) != *revision {
            found.push(format!("one value at two versions: {call:?}"));
        }
    }
    versions
}

fn refused_are_unseen(calls: &[&Call], versions: &BTreeMap<i64, String>, found: &mut Vec<String>) {
    for call in calls {
        if let What::Refused(value) = &call.what
            && versions.values().any(|seen| seen == value)
        {
            found.push(format!("refused and written: {call:?}"));
        }
    }
}

/// Between a write and the version that it was conditional on there is no other.
fn writes_follow_what_they_name(
    calls: &[&Call],
    versions: &BTreeMap<i64, String>,
    found: &mut Vec<String>,
) {
    for call in calls {
        let What::Wrote { on, now } = &call.what else { continue };
        let before = versions.range(..now.revision).next_back().map(|(revision, _)| *revision);
        if before != Some(*on) {
            found
                .push(format!("written on a version that was not the last ({before:?}): {call:?}"));
        }
    }
}

/// A call that began after another one's end sees nothing older; a write is newer than all that ended before it.
fn real_time_is_kept(history: &[Call], found: &mut Vec<String>) {
    let mut ends: Vec<(u64, usize, i64)> = Vec::new();
    let mut begins = Vec::new();
    for call in history {
        match &call.what {
            What::Read(version) => begins.push((call.begun, call, version.revision, false)),
            What::Wrote { now, .. } => begins.push((call.begun, call, now.revision, true)),
            What::Refused(_) | What::Unanswered => continue,
        }
        let (What::Read(version) | What::Wrote { now: version, .. }) = &call.what else { continue };
        ends.push((call.ended, call.record, version.revision));
    }
    ends.sort_unstable();
    begins.sort_unstable_by_key(|(begun, ..)| *begun);
    let (mut newest, mut ended) = (BTreeMap::new(), ends.into_iter().peekable());
    for (begun, call, revision, wrote) in begins {
        while let Some((_, record, revision)) = ended.next_if(|(end, ..)| *end < begun) {
            let newest = newest.entry(record).or_insert(revision);
            *newest = revision.max(*newest);
        }
        let of_record = newest.get(&call.record).copied().unwrap_or(0);
        let of_all = newest.values().copied().max().unwrap_or(0);
        // Revisions count over all records, so a write is the newest of all.
        if revision < of_record || (wrote && revision <= of_all) {
            found.push(format!("older than what had been seen before ({of_record}): {call:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(revision: i64, value: &str) -> Version {
        Version { revision, value: value.to_owned() }
    }

    fn call((begun, ended): (u64, u64), what: What) -> Call {
        Call { begun, ended, record: 0, what }
    }

    fn wrote(on: i64, revision: i64, value: &str) -> What {
        What::Wrote { on, now: version(revision, value) }
    }

    /// What `a`, read at 1, went through.
    fn sound() -> Vec<Call> {
        vec![
            call((1, 2), What::Read(version(1, "a"))),
            call((3, 6), wrote(1, 2, "b")),
            // At the same time: either is right.
            call((4, 5), What::Read(version(1, "a"))),
            call((4, 7), What::Read(version(2, "b"))),
            call((3, 8), What::Refused("c".to_owned())),
            call((9, 10), What::Unanswered),
            // The unanswered one was written after all.
            call((11, 12), What::Read(version(3, "d"))),
            call((13, 14), wrote(3, 5, "e")),
        ]
    }

    #[test]
    fn one_order_explains_a_sound_history() {
        assert_eq!(contradictions(&sound()), [] as [String; 0]);
    }

    #[test]
    fn every_contradiction_is_found() {
        for (wrong, what) in [
            (call((20, 21), What::Read(version(5, "x"))), "two values at one version"),
            (call((20, 21), What::Read(version(9, "b"))), "one value at two versions"),
            (call((20, 21), What::Read(version(6, "c"))), "refused and written"),
            (call((20, 21), wrote(3, 6, "f")), "was not the last"),
            (call((20, 21), What::Read(version(3, "d"))), "older than"),
            (call((20, 21), wrote(3, 4, "f")), "older than"),
        ] {
            let mut history = sound();
            history.push(wrong);
            let found = contradictions(&history);
            assert!(found.iter().any(|line| line.contains(what)), "{what}: {found:?}");
        }
    }
}
