//! Evidence with which a saga's table has nothing to object to. Every test starts here and breaks something.

use std::{collections::BTreeMap, time::Duration};

use salvor_core::{
    Evidence, Fact, SagaKind, Timestamp,
    evidence::{
        Asked, Compute, CopyTo, Dialect, Gateway, GatewayIdentity, Live, Phase, Policy, Posture,
        Present, Probe, Provider, ProviderState, Record, RecordState, Snapshot, Spec, SpecSummary,
    },
    id::LiveId,
    name::RecordName,
    plan::Inputs,
};

pub(super) const NOW: Timestamp = Timestamp(1_800_000_000_000);
pub(super) const RECORDED_ID: &str = "sb-recorded";

/// `ms` before now.
pub(super) const fn ago(ms: u64) -> Timestamp {
    Timestamp(NOW.0 - ms)
}

/// The snapshot that the repository holds.
pub(super) const SNAPSHOT: &str = "gateways/lab/snapshots/5a17";

/// All-good evidence for a saga.
pub(super) fn good(saga: SagaKind) -> Evidence {
    let live = match saga {
        SagaKind::StaleRecovery => Live::Absent { since: ago(60_000) },
        SagaKind::Revive => present(Phase::Stopped, true),
        // Nothing can be run in it, so that what else there is counts.
        SagaKind::Rebuild | SagaKind::Snapshot => present(Phase::Error, false),
        SagaKind::Destroy | SagaKind::Restore | SagaKind::Copy | SagaKind::Prune => {
            present(Phase::Ready, false)
        }
    };
    let mut evidence = Evidence {
        now: NOW,
        target: target(),
        record: Fact::known(record(), ago(10)),
        gateway: Fact::known(gateway(), ago(20)),
        live: Fact::known(live, ago(30)),
        providers: Fact::known(providers(), ago(40)),
        snapshot: Fact::known(Some(snapshot()), ago(50)),
        repository: true,
        compute: Fact::known(Vec::new(), ago(60)),
        copy: Fact::known(None, ago(70)),
        doomed: Fact::known(Vec::new(), ago(50)),
        asked: Asked::default(),
        accepted_loss: None,
    };
    match saga {
        SagaKind::Destroy => accept(saga, &mut evidence),
        // A locked sandbox is not written into.
        SagaKind::Restore => record_of(&mut evidence).posture = Posture::Unlocked,
        SagaKind::Copy => {
            evidence.asked.copy =
                Some(CopyTo { sandbox: "coder-copy".parse().unwrap(), keep: true });
        }
        SagaKind::Snapshot => leave(&mut evidence, false),
        SagaKind::StaleRecovery | SagaKind::Revive | SagaKind::Rebuild | SagaKind::Prune => {}
    }
    evidence
}

/// The caller accepts exactly what this would lose.
pub(super) fn accept(saga: SagaKind, evidence: &mut Evidence) {
    let digest = Inputs::of(saga, evidence).digest(saga, &evidence.target);
    evidence.accepted_loss = Some(digest);
}

pub(super) fn target() -> RecordName {
    "gateways/lab/workspaces/default/sandboxes/coder".parse().unwrap()
}

/// Complete, of the recorded incarnation, with every declared root.
pub(super) fn snapshot() -> Snapshot {
    Snapshot {
        name: SNAPSHOT.into(),
        of: target(),
        live_id: RECORDED_ID.into(),
        complete: true,
        begun: ago(600_000),
        covered: vec!["/sandbox".into()],
        excludes: Vec::new(),
        as_sealed: Vec::new(),
        files: 3,
        bytes: 70,
    }
}

pub(super) fn record() -> Record {
    Record {
        uid: Some("b7e0".into()),
        etag: "7-ab".into(),
        state: RecordState::Active,
        live_id: Some(RECORDED_ID.into()),
        identity: identity(),
        agents: vec!["claude-code".into()],
        spec: Some(Spec {
            dialect: Dialect::V0_1,
            sha256: "5bec".into(),
            size_bytes: 900,
            openable: true,
            summary: summary(),
        }),
        policy: Some(Policy {
            dialect: Dialect::V0_1,
            hash: "p-1".into(),
            sha256: "b011".into(),
            size_bytes: 300,
            openable: true,
            rules: BTreeMap::from([("github".into(), "aa".into())]),
            removed: vec!["pypi".into()],
        }),
        posture: Posture::Locked {
            sealed: BTreeMap::from([("/sandbox/lock".into(), "5ea1".into())]),
        },
        readiness: Some(Probe {
            command: vec!["true".to_owned()],
            timeout: Duration::from_secs(5),
        }),
        labels: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
        annotations: BTreeMap::from([("note".to_owned(), "b".to_owned())]),
        snapshot_roots: vec!["/sandbox".into()],
        last_snapshot: None,
        pending_restores: Vec::new(),
        snapshot_rules: Some("0a1e".into()),
        snapshot_excludes: Vec::new(),
        config_files: vec!["/sandbox/config.json".into()],
        is_default: true,
    }
}

pub(super) fn identity() -> GatewayIdentity {
    GatewayIdentity {
        store_id: Some("store-1".to_owned()),
        signing_key_id: Some("key-1".to_owned()),
        issuer: Some("issuer-1".to_owned()),
        ca_sha256: Some("ca-1".into()),
    }
}

pub(super) fn gateway() -> Gateway {
    Gateway {
        version: "0.1.5".to_owned(),
        dialect: Dialect::V0_1,
        identity: identity(),
        healthy_since: ago(3_600_000),
    }
}

pub(super) fn present(phase: Phase, startable: bool) -> Live {
    Live::Present(Present {
        live_id: LiveId::from(RECORDED_ID),
        phase,
        reason: None,
        instance: Some("i-1".into()),
        stamp: None,
        startable,
        spec: summary(),
    })
}

pub(super) fn providers() -> Vec<Provider> {
    let provider = |name: &str, expires| Provider {
        name: name.into(),
        state: ProviderState::Existing { expires },
    };
    vec![
        provider("anthropic", None),
        provider("github", Some(Timestamp(NOW.0 + 1))),
        provider("unrelated", Some(ago(1))),
    ]
}

fn summary() -> SpecSummary {
    SpecSummary {
        image: "example/agent:1".into(),
        providers: vec!["anthropic".into(), "github".into()],
        environment: vec!["TOKEN".into()],
    }
}

/// The record, to break it.
pub(super) fn record_of(evidence: &mut Evidence) -> &mut Record {
    match &mut evidence.record {
        Fact::Known { value, .. } => value,
        Fact::Unknown { .. } => panic!("the record is unknown already"),
    }
}

/// The gateway, to break it.
pub(super) fn gateway_of(evidence: &mut Evidence) -> &mut Gateway {
    match &mut evidence.gateway {
        Fact::Known { value, .. } => value,
        Fact::Unknown { .. } => panic!("the gateway is unknown already"),
    }
}

/// The present sandbox, to break it.
pub(super) fn present_of(evidence: &mut Evidence) -> &mut Present {
    match &mut evidence.live {
        Fact::Known { value: Live::Present(present), .. } => present,
        _ => panic!("no sandbox is present"),
    }
}

/// The snapshot, to break it.
pub(super) fn snapshot_of(evidence: &mut Evidence) -> &mut Snapshot {
    match &mut evidence.snapshot {
        Fact::Known { value: Some(snapshot), .. } => snapshot,
        _ => panic!("there is no snapshot"),
    }
}

/// Another statement of the repository.
pub(super) fn hold(evidence: &mut Evidence, snapshot: Option<Snapshot>) {
    evidence.snapshot = Fact::known(snapshot, ago(50));
}

/// A container of the recorded incarnation at the host's runtime.
pub(super) fn leave(evidence: &mut Evidence, running: bool) {
    let container = Compute { id: "c-1".into(), running };
    evidence.compute = Fact::known(vec![container], ago(60));
}

/// Another statement of the gateway.
pub(super) fn see(evidence: &mut Evidence, live: Live) {
    evidence.live = Fact::known(live, ago(30));
}
