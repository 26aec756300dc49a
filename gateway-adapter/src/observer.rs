//! What changes on a live sandbox flows into its record.
//!
//! Invariant: only spec and policy are ever written from observation, only of the same incarnation
//! that the record speaks of while it is READY on the gateway that the record is bound to, and
//! only into an ACTIVE record, compare-and-swap. Whatever does not fit is left for the next round.
//! Deliberately absent: live ids, phases and absences; nothing seen makes a record claim less.

use std::collections::BTreeSet;

use prost_types::FieldMask;
use salvor_core::name::RecordName;
use salvor_proto::gateway::v1::Phase;
use salvor_proto::registry::v1::sandbox::State;
use salvor_proto::registry::v1::{
    ListSandboxesRequest, Policy, Sandbox, Spec, UpdateSandboxRequest,
};
use tonic::Status;

use crate::directory::Directory;
use crate::gateway::{Gateway, Healthy, differing};
use crate::policy;
use crate::vendor::{Incarnation, Place};
use crate::view;

/// Records of one page of the registry's list.
const PAGE: i32 = 200;

/// What one round did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    /// Records that were held against their live sandbox.
    pub compared: usize,
    /// Records that were changed.
    pub updated: usize,
    /// Records that the registry did not take; they come again.
    pub left: usize,
}

// === impl Round ===

impl Round {
    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            compared: self.compared + other.compared,
            updated: self.updated + other.updated,
            left: self.left + other.left,
        }
    }
}

/// Goes once through the records of one gateway. Stops at the first sign that the gateway or the
/// registry is away.
pub(crate) async fn round(directory: &Directory, gateway: &Gateway) -> Round {
    let mut round = Round::default();
    if let Err(reason) = pages(directory, gateway, &mut round).await {
        tracing::debug!(gateway = gateway.name(), reason, "the observer's round ended early");
    }
    round
}

async fn pages(directory: &Directory, gateway: &Gateway, round: &mut Round) -> Result<(), String> {
    let healthy = gateway.probe().await.found.map_err(|unknown| unknown.detail)?;
    let said = |status: Status| status.message().to_owned();
    let parent = format!("{}/workspaces/-", gateway.name());
    let mut page_token = String::new();
    loop {
        let request = ListSandboxesRequest {
            parent: parent.clone(),
            page_size: PAGE,
            page_token,
            ..ListSandboxesRequest::default()
        };
        let page = directory.registry().list_sandboxes(request).await.map_err(said)?.into_inner();
        for record in page.sandboxes {
            let Some(update) = compare(gateway, &healthy, &record, round).await? else { continue };
            match directory.registry().update_sandbox(update).await {
                Ok(_) => round.updated += 1,
                Err(status) => {
                    let (sandbox, reason) = (record.name.as_str(), status.message());
                    tracing::debug!(sandbox, reason, "an observation was not taken");
                    round.left += 1;
                }
            }
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        page_token = page.next_page_token;
    }
}

/// What to write of one record, if anything. An error is the gateway's and ends the round.
async fn compare(
    gateway: &Gateway,
    healthy: &Healthy,
    record: &Sandbox,
    round: &mut Round,
) -> Result<Option<UpdateSandboxRequest>, String> {
    let Some(place) = eligible(gateway, healthy, record) else { return Ok(None) };
    let row = match gateway.get(healthy, &place).await {
        Ok(row) if row.id == record.live_id && row.phase == Phase::Ready => row,
        Ok(_) => return Ok(None),
        Err(failure) if failure.is_about_the_sandbox() => return Ok(None),
        Err(failure) => return Err(failure.detail),
    };
    round.compared += 1;
    let live = view::spec(&row, healthy.version.dialect, gateway.now_ms());
    let spec = live.filter(|live| differs(record.spec.as_ref(), live));
    let incarnation = Incarnation { place: place.clone(), id: row.id.clone() };
    let policy = match policy::of_row(gateway, healthy, &row, &place).await {
        Ok(live) => changed_policy(record.policy.as_ref(), live),
        Err(_) => None,
    };
    // A revision that is not loaded yet may still fail, and a gateway-wide one is not the sandbox's.
    let policy = match policy {
        Some(policy) if is_its_own(gateway, &incarnation, &policy).await => Some(policy),
        _ => None,
    };
    Ok(update(record, spec, policy))
}

/// Where to look, if the record may be written from what is seen.
fn eligible(gateway: &Gateway, healthy: &Healthy, record: &Sandbox) -> Option<Place> {
    if record.state() != State::Active || record.live_id.is_empty() {
        return None;
    }
    let bound = record.gateway_identity.clone().unwrap_or_default();
    if differing(&bound, &healthy.identity).is_some() {
        return None;
    }
    let name: RecordName = record.name.parse().ok()?;
    (name.owner().to_string() == gateway.name())
        .then(|| Place { workspace: name.workspace.to_string(), sandbox: name.sandbox.to_string() })
}

fn differs(recorded: Option<&Spec>, live: &Spec) -> bool {
    recorded.is_none_or(|spec| spec.sha256 != live.sha256 || spec.dialect != live.dialect)
}

async fn is_its_own(gateway: &Gateway, incarnation: &Incarnation, policy: &Policy) -> bool {
    let read = policy::in_force(gateway, incarnation, false).await;
    read.is_ok_and(|read| {
        read.loaded && !read.global && read.policy.policy_hash == policy.policy_hash
    })
}

/// The policy to record, if the live one is another: with what has disappeared since.
fn changed_policy(recorded: Option<&Policy>, mut live: Policy) -> Option<Policy> {
    let Some(recorded) = recorded else { return Some(live) };
    let same = recorded.policy_hash == live.policy_hash
        && recorded.sha256 == live.sha256
        && recorded.dialect == live.dialect;
    if same {
        return None;
    }
    let present: BTreeSet<&String> = live.entries.iter().map(|entry| &entry.name).collect();
    let once = recorded.entries.iter().map(|entry| &entry.name).chain(&recorded.removed);
    let removed: BTreeSet<String> = once.filter(|name| !present.contains(name)).cloned().collect();
    live.removed = removed.into_iter().collect();
    Some(live)
}

fn update(
    record: &Sandbox,
    spec: Option<Spec>,
    policy: Option<Policy>,
) -> Option<UpdateSandboxRequest> {
    let mut paths = Vec::new();
    paths.extend(spec.as_ref().map(|_| "spec".to_owned()));
    paths.extend(policy.as_ref().map(|_| "policy".to_owned()));
    if paths.is_empty() {
        return None;
    }
    let sandbox = Sandbox {
        name: record.name.clone(),
        etag: record.etag.clone(),
        spec,
        policy,
        ..Sandbox::default()
    };
    Some(UpdateSandboxRequest {
        sandbox: Some(sandbox),
        update_mask: Some(FieldMask { paths }),
        ..UpdateSandboxRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use salvor_proto::registry::v1::PolicyEntry;

    use super::*;

    fn policy(hash: &str, entries: &[&str], removed: &[&str]) -> Policy {
        let entry = |name: &&str| PolicyEntry { name: (*name).into(), sha256: String::new() };
        Policy {
            policy_hash: hash.into(),
            entries: entries.iter().map(entry).collect(),
            removed: removed.iter().map(ToString::to_string).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn removed_gains_what_disappeared_and_loses_what_came_back() {
        let recorded = policy("1", &["a", "b"], &["c", "d"]);
        let live = policy("2", &["b", "c"], &[]);
        let changed = changed_policy(Some(&recorded), live).unwrap();
        assert_eq!(changed.removed, ["a", "d"]);
    }

    #[test]
    fn the_same_policy_is_not_written_and_a_first_one_is() {
        let live = policy("1", &["a"], &[]);
        assert_eq!(changed_policy(Some(&policy("1", &["a"], &["b"])), live.clone()), None);
        assert_eq!(changed_policy(None, live.clone()), Some(live));
    }

    #[test]
    fn only_what_differs_is_in_the_mask() {
        let record = Sandbox { name: "n".into(), etag: "e".into(), ..Default::default() };
        assert!(update(&record, None, None).is_none());
        let written = update(&record, None, Some(Policy::default())).unwrap();
        assert_eq!(written.update_mask.unwrap().paths, ["policy"]);
        assert_eq!(written.fence_token, 0);
    }
}
