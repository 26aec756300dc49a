//! Evidence with which a saga's table has nothing to object to. Every test starts here and breaks something.

use std::{collections::BTreeMap, time::Duration};

use salvor_core::{
    Evidence, Fact, SagaKind, Timestamp,
    evidence::{
        Dialect, Gateway, GatewayIdentity, Live, Phase, Policy, Posture, Present, Probe, Provider,
        ProviderState, Record, RecordState, Spec, SpecSummary,
    },
    id::LiveId,
    plan::Inputs,
};

pub(super) const NOW: Timestamp = Timestamp(1_800_000_000_000);
pub(super) const RECORDED_ID: &str = "sb-recorded";

/// `ms` before now.
pub(super) const fn ago(ms: u64) -> Timestamp {
    Timestamp(NOW.0 - ms)
}

/// All-good evidence for a saga. The rebuild's table refuses by design where there is a sandbox to lose: its last row is
/// the only one that does, and no evidence pleases it.
pub(super) fn good(saga: SagaKind) -> Evidence {
    let live = match saga {
        SagaKind::StaleRecovery => Live::Absent { since: ago(60_000) },
        SagaKind::Revive => present(Phase::Stopped, true),
        SagaKind::Rebuild => present(Phase::Error, false),
        SagaKind::Destroy => present(Phase::Ready, false),
    };
    let mut evidence = Evidence {
        now: NOW,
        target: "gateways/lab/workspaces/default/sandboxes/coder".parse().unwrap(),
        record: Fact::known(record(), ago(10)),
        gateway: Fact::known(gateway(), ago(20)),
        live: Fact::known(live, ago(30)),
        providers: Fact::known(providers(), ago(40)),
        accepted_loss: None,
    };
    if saga == SagaKind::Destroy {
        accept(&mut evidence);
    }
    evidence
}

/// The caller accepts exactly what destroying this would lose.
pub(super) fn accept(evidence: &mut Evidence) {
    let digest = Inputs::of(evidence).digest(SagaKind::Destroy, &evidence.target);
    evidence.accepted_loss = Some(digest);
}

pub(super) fn record() -> Record {
    Record {
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

/// Another statement of the gateway.
pub(super) fn see(evidence: &mut Evidence, live: Live) {
    evidence.live = Fact::known(live, ago(30));
}
