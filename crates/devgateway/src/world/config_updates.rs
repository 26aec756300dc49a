//! The live configuration of a sandbox: policy revisions and settings.
//!
//! The spec's policy is the baseline and never changes; what is in force is the newest revision.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use salvor_openshell_wire::splice;
use tonic::Code;

use super::phase::Phase;
use super::store::{Revision, RevisionStatus, Sandbox};
use super::{Target, World, labels, now_ms, policy, spec};
use crate::refusal::{Outcome, Refusal};

/// A supervisor polls for a new policy; this is how long it takes.
const TO_LOAD: Duration = Duration::from_millis(2500);

/// What an update asks for.
pub(crate) struct ConfigChange {
    pub(crate) policy: Option<Vec<u8>>,
    pub(crate) setting_key: String,
    /// The encoded value.
    pub(crate) setting_value: Option<Vec<u8>>,
    pub(crate) delete_setting: bool,
    pub(crate) global: bool,
    pub(crate) merges: bool,
    pub(crate) expected: u64,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What is in force.
pub(crate) struct EffectiveConfig {
    pub(crate) row: Sandbox,
    pub(crate) revision: Option<Revision>,
}

impl World {
    pub(crate) fn effective_config(&self, target: &Target) -> Outcome<EffectiveConfig> {
        let row = self.get(target)?;
        Ok(EffectiveConfig { revision: row.revisions.last().cloned(), row })
    }

    /// Applies a change and returns the row after it.
    pub(crate) fn update_config(
        self: &Arc<Self>,
        target: &Target,
        change: ConfigChange,
    ) -> Outcome<Sandbox> {
        let setting = !change.setting_key.is_empty();
        match (change.policy.is_some(), setting, change.merges) {
            (false, false, false) => {
                return Err(Refusal::invalid(
                    "one of policy, setting_key, or merge_operations must be provided",
                ));
            }
            (true, false, false) | (false, true, false) => {}
            (false, false, true) => return Err(Refusal::unimplemented("merge_operations")),
            _ => {
                return Err(Refusal::invalid(
                    "policy, setting_key, and merge_operations are mutually exclusive",
                ));
            }
        }
        if change.global {
            return Err(Refusal::unimplemented("global configuration"));
        }
        labels::check_annotations(&change.annotations)?;
        let found = self.get(target)?;
        let row = self.update(&found.id, |row| row.apply(change))?;
        self.load_later(&row);
        Ok(row)
    }

    /// Lets the supervisor pick up the newest revision, if it is pending and the sandbox ready.
    fn load_later(self: &Arc<Self>, row: &Sandbox) {
        let pending = row.revisions.last().filter(|last| last.status == RevisionStatus::Pending);
        let Some(version) = pending.map(|revision| revision.version) else { return };
        let (world, id) = (Arc::clone(self), row.id.clone());
        self.spawn(async move {
            if !world.pause(TO_LOAD).await {
                return;
            }
            // A sandbox that is not ready loads its newest revision when it connects.
            let _ = world.update(&id, |row| {
                let newest = row.revisions.last().is_some_and(|last| last.version == version);
                if row.phase != Phase::Ready || !newest {
                    return Err(Refusal::precondition("superseded"));
                }
                row.load_latest();
                Ok(())
            });
        });
    }

    /// One revision by version, 0 being the newest, and the version in force.
    pub(crate) fn revision(&self, target: &Target, version: u32) -> Outcome<(Revision, u32)> {
        let row = self.get(target)?;
        let found = match version {
            0 => row.revisions.last(),
            version => row.revisions.iter().find(|revision| revision.version == version),
        };
        let revision = found
            .cloned()
            .ok_or_else(|| Refusal::missing("no policy revision found for this sandbox"))?;
        Ok((revision, row.policy_version))
    }

    /// Every revision, newest first.
    pub(crate) fn revisions(&self, target: &Target) -> Outcome<Vec<Revision>> {
        let mut revisions = self.get(target)?.revisions;
        revisions.reverse();
        Ok(revisions)
    }
}

// === impl Sandbox ===

impl Sandbox {
    fn apply(&mut self, change: ConfigChange) -> Outcome<()> {
        if change.expected != 0 && change.expected != self.resource_version {
            return Err(Refusal::conflict("UpdateConfig", self.resource_version));
        }
        if let Some(policy) = change.policy {
            self.add_revision(policy, &change.annotations)?;
        } else if change.delete_setting {
            self.settings.remove(&change.setting_key);
            self.settings_revision += 1;
        } else {
            let value = change.setting_value;
            let value = value.ok_or_else(|| Refusal::invalid("setting_value is required"))?;
            self.settings.insert(change.setting_key, hex::encode(value));
            self.settings_revision += 1;
        }
        self.annotations.extend(change.annotations);
        Ok(())
    }

    /// The same policy with the same annotations is the same revision.
    fn add_revision(
        &mut self,
        policy: Vec<u8>,
        provenance: &BTreeMap<String, String>,
    ) -> Outcome<()> {
        let baseline = spec::look(&self.spec)?.policy;
        if let Some(baseline) = baseline {
            policy::check_live_change(&baseline, &policy)?;
        }
        let hash = policy::hash(&policy)?;
        let last = self.revisions.last();
        if last.is_some_and(|last| last.hash == hash && last.provenance == *provenance) {
            return Ok(());
        }
        let version = last.map_or(0, |last| last.version).checked_add(1);
        let version = version.ok_or_else(|| Refusal::new(Code::Internal, "too many revisions"))?;
        for revision in &mut self.revisions {
            if revision.status == RevisionStatus::Pending {
                revision.status = RevisionStatus::Superseded;
            }
        }
        self.revisions.push(Revision {
            version,
            hash,
            status: RevisionStatus::Pending,
            error: String::new(),
            created_at_ms: now_ms(),
            loaded_at_ms: 0,
            policy,
            provenance: provenance.clone(),
        });
        Ok(())
    }

    /// Encoded `EffectiveSetting`s by key: the value in field 1, sandbox scope (1) in field 2.
    pub(crate) fn effective_settings(&self) -> BTreeMap<String, Vec<u8>> {
        let encode = |value: &String| {
            let value = hex::decode(value).unwrap_or_default();
            let mut out = splice::replace_field(&[], 1, Some(&value)).unwrap_or_default();
            out.extend_from_slice(&[0x10, 0x01]);
            out
        };
        self.settings.iter().map(|(key, value)| (key.clone(), encode(value))).collect()
    }

    /// The newest revision is in force; older ones are not any more.
    pub(super) fn load_latest(&mut self) {
        let Some((last, older)) = self.revisions.split_last_mut() else { return };
        if last.status == RevisionStatus::Pending {
            last.status = RevisionStatus::Loaded;
            last.loaded_at_ms = now_ms();
            for revision in older {
                if revision.status == RevisionStatus::Loaded {
                    revision.status = RevisionStatus::Superseded;
                }
            }
        }
        if last.status == RevisionStatus::Loaded {
            self.policy_version = last.version;
        }
    }
}
