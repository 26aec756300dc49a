//! Rules about records.

use std::collections::BTreeMap;

use salvor_proto::registry::v1::{Policy, Sandbox, Spec, sandbox::State};

use crate::history::History;

/// No recovery, failure or crash changes what a record says but for its state, the incarnation that it speaks of, and what
/// other clients change. That is also what going back verbatim means.
pub(super) fn survive(history: &History) -> Vec<String> {
    let mut complaints = Vec::new();
    for version in &history.seen.versions {
        let Some(before) = history.seen.before.get(&version.name) else { continue };
        if version.revision < before.revision || version.state() == State::Destroyed {
            continue;
        }
        if said(version) != said(before) {
            complaints.push(format!(
                "{} says something else at revision {}: {}",
                version.name,
                version.revision,
                difference(&said(version), &said(before))
            ));
        }
    }
    complaints
}

/// The words in which two records differ.
fn difference(now: &Sandbox, then: &Sandbox) -> String {
    let (now, then) = (format!("{now:?}"), format!("{then:?}"));
    let differ = now.split(", ").zip(then.split(", ")).filter(|(now, then)| now != then);
    let texts = differ.map(|(now, then)| format!("{now} instead of {then}"));
    texts.collect::<Vec<_>>().join(", ")
}

/// A record without what a recovery, bookkeeping or this world's other clients may change. Of a spec, what it means: a
/// gateway hands the same one out in other bytes once it was created anew.
fn said(record: &Sandbox) -> Sandbox {
    let spec = record.spec.clone().map(|spec| Spec {
        observe_time: None,
        sha256: String::new(),
        // Only the present version's bytes are kept, and a tombstone has none.
        openable: true,
        ..spec
    });
    let policy =
        record.policy.clone().map(|policy| Policy { observe_time: None, openable: true, ..policy });
    Sandbox {
        etag: String::new(),
        revision: 0,
        generation: 0,
        state: 0,
        update_time: None,
        live_id: String::new(),
        is_default: false,
        automatic_recovery: 0,
        recovery: String::new(),
        spec,
        policy,
        ..record.clone()
    }
}

/// A record speaks of the incarnation that it always spoke of, or of one that bears the stamp of a recovery of its own; at
/// the end it is in no state in between unless something is still open on it.
pub(super) fn live_ids(history: &History) -> Vec<String> {
    let stamped: BTreeMap<&str, &str> = history
        .seen
        .deeds
        .iter()
        .filter_map(|deed| Some((deed.id.as_str(), super::deeds::stamp(deed)?)))
        .collect();
    let mut complaints = Vec::new();
    for version in &history.seen.versions {
        let Some(before) = history.seen.before.get(&version.name) else { continue };
        if version.revision < before.revision || version.live_id == before.live_id {
            continue;
        }
        let maker = stamped.get(version.live_id.as_str());
        let own = maker.is_some_and(|maker| {
            history.journaled.iter().any(|r| r.name == **maker && r.target == version.name)
        });
        if !own {
            complaints.push(format!(
                "{} speaks of {} at revision {}, which no recovery of it made",
                version.name, version.live_id, version.revision
            ));
        }
    }
    complaints.extend(history.seen.after.values().filter_map(|record| in_between(history, record)));
    complaints
}

/// A record is marked by recoveries of its own alone, and none takes over what another one has marked.
pub(super) fn marks(history: &History) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut marked: BTreeMap<&str, &str> = BTreeMap::new();
    for version in &history.seen.versions {
        let (name, by) = (version.name.as_str(), version.recovery.as_str());
        if !matches!(version.state(), State::Recovering | State::Destroying) {
            marked.remove(name);
            continue;
        }
        if !history.journaled.iter().any(|r| r.name == by && r.target == name) {
            complaints.push(format!("{name} is marked by {by:?}, which is no recovery of it"));
        }
        match marked.insert(name, by) {
            Some(before) if before != by => complaints
                .push(format!("{name} was marked by {before} and is marked by {by} right after")),
            _ => {}
        }
    }
    complaints
}

fn in_between(history: &History, record: &Sandbox) -> Option<String> {
    let open = history.seen.told.iter().any(|told| told.sandbox == record.name && !told.done);
    let between = matches!(record.state(), State::Recovering | State::Destroying);
    (between && !open).then(|| format!("{} is left {:?}", record.name, record.state()))
}

/// Nothing happens to a bystander, and the default is who it was, unless that is destroyed.
pub(super) fn bystanders(history: &History) -> Vec<String> {
    let mut complaints = Vec::new();
    for name in &history.bystanders {
        let (before, after) = (history.seen.before.get(name), history.seen.after.get(name));
        if before != after {
            complaints.push(format!("the record of {name} was {before:?} and is {after:?}"));
        }
        let live = before.map(|record| record.live_id.as_str()).unwrap_or_default();
        let done: Vec<_> =
            history.seen.deeds.iter().filter(|deed| deed.id == live).skip(1).collect();
        if !done.is_empty() {
            complaints.push(format!("{name} was touched: {done:?}"));
        }
        if !history.seen.sandboxes.iter().any(|view| view.id == live) {
            complaints.push(format!("{name} is gone"));
        }
    }
    let destroyed = |name: &String| {
        history.seen.after.get(name).is_some_and(|record| record.state() == State::Destroyed)
    };
    let expected = history.seen.default_before.clone().filter(|name| !destroyed(name));
    if history.seen.default_after != expected {
        let now = &history.seen.default_after;
        complaints.push(format!("the default is {now:?} instead of {expected:?}"));
    }
    complaints
}
