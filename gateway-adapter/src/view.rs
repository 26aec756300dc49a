//! The vendor's rows in the contract's words.
//!
//! Invariant: a spec is decoded only as a copy and only to be looked at; what leaves here of its
//! environment is names, and of its command the first argument.

use prost::Message;
use salvor_openshell_wire::{splice, v0_0};
use salvor_proto::gateway::v1::Present;
use salvor_proto::registry::v1::{Policy, PolicyEntry, Spec, SpecSummary};
use salvor_proto::time;
use sha2::{Digest, Sha256};

use crate::dialect::{Dialect, Version};
use crate::stamp;
use crate::vendor::{Effective, Row};

/// `SandboxPolicy.network_policies`, in both dialects.
const NETWORK_POLICIES: u32 = 5;

/// Lower-case hex SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A row as a present sandbox.
pub(crate) fn present(row: &Row, version: Version) -> Present {
    let spec = row.spec.as_deref().unwrap_or_default();
    Present {
        live_id: row.id.clone(),
        phase: row.phase.into(),
        reason: row.reason.clone(),
        message: row.message.clone(),
        exit_code: row.exit_code,
        instance_id: row.instance_id.clone(),
        stamp: stamp::read(&row.annotations),
        labels: row.labels.clone(),
        annotations: stamp::strip(&row.annotations),
        spec_summary: Some(summary(spec)),
        spec_sha256: sha256(spec),
        startable: version.startable(row.phase, &row.reason),
    }
}

/// A row's spec with its bytes, for a record. `None` if it has none.
pub(crate) fn spec(row: &Row, dialect: Dialect, at_ms: u64) -> Option<Spec> {
    let content = row.spec.clone()?;
    Some(Spec {
        dialect: dialect.proto().into(),
        sha256: sha256(&content),
        size_bytes: i64::try_from(content.len()).unwrap_or(i64::MAX),
        summary: Some(summary(&content)),
        observe_time: Some(time::timestamp(at_ms)),
        content,
        openable: false,
    })
}

/// The policy in force, with its bytes if asked for. `None` if the gateway gave none, or one that
/// is no message.
pub(crate) fn policy(
    effective: &Effective,
    dialect: Dialect,
    at_ms: u64,
    with_content: bool,
) -> Option<Policy> {
    let content = effective.policy.as_deref()?;
    Some(Policy {
        dialect: dialect.proto().into(),
        policy_hash: effective.hash.clone(),
        sha256: sha256(content),
        size_bytes: i64::try_from(content.len()).unwrap_or(i64::MAX),
        entries: entries(content)?,
        removed: Vec::new(),
        observe_time: Some(time::timestamp(at_ms)),
        content: if with_content { content.to_vec() } else { Vec::new() },
        openable: false,
    })
}

/// The named rules of a policy by content, in the order of their names.
fn entries(policy: &[u8]) -> Option<Vec<PolicyEntry>> {
    let mut entries = Vec::new();
    for field in splice::fields(policy) {
        let field = field.ok()?;
        if let (NETWORK_POLICIES, Some(entry)) = (field.number, field.payload) {
            entries.push(named(entry)?);
        }
    }
    entries.sort_by(|one: &PolicyEntry, other| one.name.cmp(&other.name));
    Some(entries)
}

/// One entry of the map: key in field 1, rule in field 2.
fn named(entry: &[u8]) -> Option<PolicyEntry> {
    let (mut name, mut rule): (&[u8], &[u8]) = (&[], &[]);
    for field in splice::fields(entry) {
        let field = field.ok()?;
        match (field.number, field.payload) {
            (1, Some(payload)) => name = payload,
            (2, Some(payload)) => rule = payload,
            _ => {}
        }
    }
    Some(PolicyEntry { name: String::from_utf8(name.to_vec()).ok()?, sha256: sha256(rule) })
}

/// What a spec says, without secrets. The fields read here are the same in both dialects. A spec
/// that does not decode says nothing.
pub(crate) fn summary(spec: &[u8]) -> SpecSummary {
    let spec = v0_0::SandboxSpec::decode(spec).unwrap_or_default();
    let template = spec.template.unwrap_or_default();
    let mut names: Vec<String> =
        spec.environment.into_keys().chain(template.environment.into_keys()).collect();
    names.sort_unstable();
    names.dedup();
    let digest = template.image.split_once('@').map(|(_, digest)| digest.to_owned());
    SpecSummary {
        image_digest: digest.unwrap_or_default(),
        image: template.image,
        providers: spec.providers,
        environment_names: names,
        command: spec.command.into_iter().next().unwrap_or_default(),
        gpu: spec.resource_requirements.is_some_and(|resources| resources.gpu.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use salvor_openshell_wire::v0_1;

    use super::*;

    #[test]
    fn a_summary_names_variables_and_shows_no_value_or_argument() {
        let template = v0_1::SandboxTemplate {
            image: "lab/agent@sha256:abc".into(),
            environment: BTreeMap::from([("B".into(), "hunter2".into())]),
            ..Default::default()
        };
        let spec = v0_1::SandboxSpec {
            template: Some(template),
            environment: BTreeMap::from([("A".into(), "hunter2".into())]),
            providers: vec!["claude".into()],
            command: vec!["run".into(), "--token=hunter2".into()],
            ..Default::default()
        };
        let summary = summary(&spec.encode_to_vec());
        assert_eq!(summary.environment_names, ["A", "B"]);
        assert_eq!(summary.image_digest, "sha256:abc");
        assert_eq!(summary.command, "run");
        assert!(!format!("{summary:?}").contains("hunter2"));
    }

    #[test]
    fn entries_are_named_and_digested_one_by_one() {
        let policy = v0_0::SandboxPolicy {
            network_policies: BTreeMap::from([
                ("web".into(), b"two".to_vec()),
                ("api".into(), b"one".to_vec()),
            ]),
            ..Default::default()
        };
        let found = entries(&policy.encode_to_vec()).unwrap();
        let expected = [("api", sha256(b"one")), ("web", sha256(b"two"))]
            .map(|(name, sha256)| PolicyEntry { name: name.into(), sha256 });
        assert_eq!(found, expected);
        assert_eq!(entries(&[]), Some(vec![]));
        assert_eq!(entries(&[0xff]), None);
    }
}
