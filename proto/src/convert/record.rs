//! Records.

use std::time::Duration;

use prost::Message as _;
use salvor_core::{
    evidence::{
        Dialect, GatewayIdentity, Policy, Posture, Probe, Record, RecordState, Spec, SpecSummary,
    },
    id::{
        AgentKind, Etag, Image, LiveId, PolicyHash, ProviderName, RecordUid, RuleName, SandboxPath,
        Sha256, SnapshotName, VariableName,
    },
};
use sha2::{Digest as _, Sha256 as Hasher};

use crate::{Error, error::Code, registry::v1 as pb, time::plain};

/// The domain's view of a record.
///
/// # Errors
/// DATA_LOSS when the registry sent a state or dialect that this version has no word for: such a record must not be acted
/// upon.
pub fn record(record: &pb::Sandbox) -> Result<Record, Error> {
    Ok(Record {
        uid: text(&record.uid).map(RecordUid),
        etag: Etag(record.etag.clone()),
        state: state(record)?,
        live_id: text(&record.live_id).map(LiveId),
        identity: record.gateway_identity.as_ref().map(identity).unwrap_or_default(),
        agents: record.agents.iter().map(|agent| AgentKind(agent.kind.clone())).collect(),
        spec: record.spec.as_ref().map(|spec| self::spec(spec, &record.name)).transpose()?,
        policy: record
            .policy
            .as_ref()
            .map(|policy| self::policy(policy, &record.name))
            .transpose()?,
        posture: record.posture.as_ref().map_or(Posture::NotRecorded, posture),
        readiness: record.readiness_probe.as_ref().map(probe),
        labels: record.labels.clone(),
        annotations: record.annotations.clone(),
        snapshot_roots: record.snapshot_rules.as_ref().map_or_else(Vec::new, |rules| {
            rules.roots.iter().map(|root| SandboxPath(root.clone())).collect()
        }),
        last_snapshot: record
            .snapshot_status
            .as_ref()
            .and_then(|status| text(&status.last_complete))
            .map(SnapshotName),
        pending_restores: record.snapshot_status.as_ref().map_or_else(Vec::new, |status| {
            status.pending_restores.iter().cloned().map(SnapshotName).collect()
        }),
        snapshot_rules: snapshot_rules(record),
        snapshot_excludes: record
            .snapshot_rules
            .as_ref()
            .map_or_else(Vec::new, |rules| rules.excludes.clone()),
        config_files: record
            .config_files
            .iter()
            .map(|file| SandboxPath(file.path.clone()))
            .collect(),
        is_default: record.is_default,
    })
}

/// What a plan fixes of the rules: their digest, config files included. The steps read the rules from the record again and
/// compare.
pub fn snapshot_rules(record: &pb::Sandbox) -> Option<Sha256> {
    let rules = record.snapshot_rules.as_ref()?;
    let mut bytes = rules.encode_to_vec();
    for file in &record.config_files {
        bytes.extend(file.encode_length_delimited_to_vec());
    }
    Some(Sha256(hex::encode(Hasher::digest(&bytes))))
}

fn state(record: &pb::Sandbox) -> Result<RecordState, Error> {
    match pb::sandbox::State::try_from(record.state) {
        Ok(pb::sandbox::State::Active) => Ok(RecordState::Active),
        Ok(pb::sandbox::State::Recovering) => Ok(RecordState::Recovering),
        Ok(pb::sandbox::State::Destroying) => Ok(RecordState::Destroying),
        Ok(pb::sandbox::State::Destroyed) => Ok(RecordState::Destroyed),
        Ok(pb::sandbox::State::Unspecified) | Err(_) => {
            Err(unreadable(&record.name, "state", record.state))
        }
    }
}

fn spec(spec: &pb::Spec, name: &str) -> Result<Spec, Error> {
    Ok(Spec {
        dialect: dialect(spec.dialect, name, "spec.dialect")?,
        sha256: Sha256(spec.sha256.clone()),
        size_bytes: u64::try_from(spec.size_bytes).unwrap_or(0),
        openable: spec.openable,
        summary: spec
            .summary
            .as_ref()
            .map_or_else(|| summary(&pb::SpecSummary::default()), summary),
    })
}

fn policy(policy: &pb::Policy, name: &str) -> Result<Policy, Error> {
    Ok(Policy {
        dialect: dialect(policy.dialect, name, "policy.dialect")?,
        hash: PolicyHash(policy.policy_hash.clone()),
        sha256: Sha256(policy.sha256.clone()),
        size_bytes: u64::try_from(policy.size_bytes).unwrap_or(0),
        openable: policy.openable,
        rules: policy
            .entries
            .iter()
            .map(|entry| (RuleName(entry.name.clone()), Sha256(entry.sha256.clone())))
            .collect(),
        removed: policy.removed.iter().map(|name| RuleName(name.clone())).collect(),
    })
}

/// The domain's view of a posture.
pub fn posture(posture: &pb::Posture) -> Posture {
    match posture.mode() {
        pb::posture::Mode::Unspecified => Posture::NotRecorded,
        pb::posture::Mode::Unlocked => Posture::Unlocked,
        pb::posture::Mode::Locked => Posture::Locked {
            sealed: posture
                .sealed_paths
                .iter()
                .map(|sealed| (SandboxPath(sealed.path.clone()), Sha256(sealed.sha256.clone())))
                .collect(),
        },
    }
}

pub(super) fn identity(identity: &pb::GatewayIdentity) -> GatewayIdentity {
    GatewayIdentity {
        store_id: text(&identity.store_id),
        signing_key_id: text(&identity.signing_key_id),
        issuer: text(&identity.issuer),
        ca_sha256: text(&identity.ca_sha256).map(Sha256),
    }
}

pub(super) fn summary(summary: &pb::SpecSummary) -> SpecSummary {
    SpecSummary {
        image: Image(summary.image.clone()),
        providers: summary.providers.iter().map(|name| ProviderName(name.clone())).collect(),
        environment: summary
            .environment_names
            .iter()
            .map(|name| VariableName(name.clone()))
            .collect(),
    }
}

pub(super) fn dialect(value: i32, name: &str, field: &'static str) -> Result<Dialect, Error> {
    match pb::Dialect::try_from(value) {
        Ok(pb::Dialect::V00) => Ok(Dialect::V0_0),
        Ok(pb::Dialect::V01) => Ok(Dialect::V0_1),
        Ok(pb::Dialect::Unspecified) | Err(_) => Err(unreadable(name, field, value)),
    }
}

pub(super) fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn probe(probe: &pb::ReadinessProbe) -> Probe {
    Probe {
        command: probe.command.clone(),
        timeout: probe.timeout.as_ref().map_or(Duration::from_secs(10), plain),
    }
}

fn unreadable(name: &str, field: &'static str, value: i32) -> Error {
    Error::new(
        Code::DataLoss,
        "RECORD_UNREADABLE",
        format!(
            "{name}: {field} is {value}, which this version of salvor has no word for; nothing was done"
        ),
    )
    .next_step(format!(
        "salvor status {name}  # after this service was upgraded to the version that wrote the record"
    ))
}
