//! Rules about what was done at the gateway.

use std::collections::{BTreeMap, BTreeSet};

use salvor_core::SagaKind;
use salvor_devgateway::{Call, Deed, DeedKind};

use crate::client::record_name;
use crate::history::{History, Journaled};

/// Names the recovery that made a sandbox, in its annotations.
const STAMP: &str = "salvor.dev/recovery";
/// Names the plan by which it was made.
const DIGEST: &str = "salvor.dev/plan-digest";

/// The recovery that a sandbox says to be made by.
pub(super) fn stamp(deed: &Deed) -> Option<&str> {
    deed.annotations.get(STAMP).map(String::as_str)
}

/// What is deleted is what a destroy's plan names, or what a recovery made itself. The gateway deletes by name only: one
/// that came after the adapter's last look at the name is the known race, and no broken rule.
pub(super) fn deletes(history: &History) -> Vec<String> {
    let of_kind = history.seen.deeds.iter().filter(|deed| deed.kind == DeedKind::Delete);
    let wrong = of_kind.filter(|deed| {
        let record = record_name(&deed.name);
        let named = history.journaled.iter().any(|recovery| {
            recovery.target == record
                && recovery.saga == SagaKind::Destroy
                && recovery.live_id.as_ref() == Some(&deed.id)
        });
        let own = stamp(deed).is_some_and(|maker| {
            history
                .journaled
                .iter()
                .any(|recovery| recovery.name == maker && recovery.target == record)
        });
        !named && !own && (was_seen(history, deed) || !may_delete(history, &record))
    });
    wrong.map(|deed| format!("nothing permits the deletion of {} {}", deed.name, deed.id)).collect()
}

/// Whether any recovery of a record deletes something at all.
fn may_delete(history: &History, record: &str) -> bool {
    let deletes = [SagaKind::Destroy, SagaKind::StaleRecovery];
    let mut own = history.journaled.iter().filter(|recovery| recovery.target == record);
    own.any(|recovery| deletes.contains(&recovery.saga))
}

/// Whether the gateway could have told of this incarnation before it was deleted.
fn was_seen(history: &History, deleted: &Deed) -> bool {
    let mine = |deed: &&Deed| deed.kind == DeedKind::Create && deed.id == deleted.id;
    let Some(made) = history.seen.deeds.iter().find(mine) else { return true };
    let look = |call: &&Call| {
        call.method == "GetSandbox"
            && call.name == deleted.name
            && call.succeeded()
            && call.at_ms > made.at_ms
            && call.at_ms < deleted.at_ms
    };
    history.seen.calls.iter().any(|call| look(&call))
}

/// What is started is what a revive's plan names.
pub(super) fn starts(history: &History) -> Vec<String> {
    let of_kind = history.seen.deeds.iter().filter(|deed| deed.kind == DeedKind::Start);
    let wrong = of_kind.filter(|deed| {
        !history.journaled.iter().any(|recovery| {
            recovery.target == record_name(&deed.name)
                && recovery.saga == SagaKind::Revive
                && recovery.live_id.as_ref() == Some(&deed.id)
        })
    });
    wrong.map(|deed| format!("nothing permits the start of {} {}", deed.name, deed.id)).collect()
}

/// What salvor creates bears the stamp of a recovery that its journal knows, with that one's plan, and no recovery creates a
/// second one while its first is there.
pub(super) fn creates(history: &History) -> Vec<String> {
    let mut complaints = Vec::new();
    let asked = history.seen.calls.iter().filter(|call| call.method == "CreateSandbox");
    let first = history.seen.before.len();
    for call in asked.filter(|call| call.succeeded()).skip(first) {
        if !call.create.as_ref().is_some_and(|create| create.annotations.contains_key(STAMP)) {
            complaints.push(format!("{call:?} bears no stamp"));
        }
    }
    for deed in history.seen.deeds.iter().filter(|deed| deed.kind == DeedKind::Create) {
        let Some(maker) = stamp(deed) else { continue };
        let digest = deed.annotations.get(DIGEST);
        let known = |recovery: &&Journaled| {
            recovery.name == maker
                && recovery.target == record_name(&deed.name)
                && recovery.saga == SagaKind::StaleRecovery
                && Some(&recovery.digest) == digest
        };
        if !history.journaled.iter().any(|recovery| known(&recovery)) {
            complaints.push(format!("{} was made by {maker}, whose plan did not say so", deed.id));
        }
    }
    complaints
}

/// Of a record's sandboxes that salvor made, at most one is there in the end, with or without a row. A row that was taken
/// away behind everybody's back leaves a container that only the host's runtime could show.
pub(super) fn doubles(history: &History) -> Vec<String> {
    let there: BTreeSet<&str> = history
        .seen
        .sandboxes
        .iter()
        .map(|view| view.id.as_str())
        .chain(history.seen.orphans.iter().map(String::as_str))
        .filter(|id| !history.seen.orphaned.iter().any(|orphaned| orphaned == id))
        .collect();
    let mut running: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for deed in history.seen.deeds.iter().filter(|deed| deed.kind == DeedKind::Create) {
        if stamp(deed).is_some() && there.contains(deed.id.as_str()) {
            running.entry(&deed.name).or_default().push(&deed.id);
        }
    }
    let doubled = running.into_iter().filter(|(_, ids)| ids.len() > 1);
    doubled.map(|(name, ids)| format!("{name} is there more than once: {ids:?}")).collect()
}

/// What is stamped was made at the gateway that the plan was about.
pub(super) fn gateway(history: &History) -> Vec<String> {
    let stamped = history.seen.deeds.iter().filter_map(|deed| Some((deed, stamp(deed)?)));
    let wrong = stamped.filter(|(deed, maker)| {
        let plan = history.journaled.iter().find(|recovery| recovery.name == *maker);
        plan.is_some_and(|plan| plan.store_id.as_ref() != Some(&deed.store_id))
    });
    wrong.map(|(deed, maker)| format!("{maker} touched another gateway: {deed:?}")).collect()
}

/// Whoever sends under a token, nobody sends under an older one for the same record afterwards.
pub(super) fn fences(history: &History) -> Vec<String> {
    let mut highest: BTreeMap<&str, i64> = BTreeMap::new();
    let mut complaints = Vec::new();
    for sent in &history.sent {
        let seen = highest.entry(&sent.sandbox).or_insert(sent.fence_token);
        if sent.fence_token < *seen {
            complaints.push(format!("{sent:?} was sent after one under token {seen}"));
        }
        *seen = sent.fence_token.max(*seen);
    }
    complaints
}
