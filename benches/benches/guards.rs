//! Each saga's whole guard table over one set of evidence. Aim: under 10 µs.

use std::{collections::BTreeMap, hint::black_box, time::Instant};

use salvor_benches::{Samples, conditions, rounds};
use salvor_core::{
    Evidence, Fact, Limits, SagaKind, Timestamp,
    check::evaluate,
    evidence::{
        Asked, Dialect, Gateway, GatewayIdentity, Live, Phase, Policy, Posture, Present, Provider,
        ProviderState, Record, RecordState, Spec, SpecSummary,
    },
    guards,
    plan::Inputs,
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
/// Evaluations in one sample.
const BATCH: u32 = 200;

fn main() -> anyhow::Result<()> {
    conditions("guard tables: one evaluation of every guard of a saga, decisions made");
    for saga in [SagaKind::StaleRecovery, SagaKind::Revive, SagaKind::Rebuild, SagaKind::Destroy] {
        let good = evidence(saga)?;
        let nothing = unknown(&good);
        measure(saga, "all is known", &good);
        measure(saga, "nothing is known", &nothing);
    }
    Ok(())
}

fn measure(saga: SagaKind, what: &str, evidence: &Evidence) {
    let (table, limits) = (guards::table(saga), Limits::default());
    let sample = |_| {
        let begun = Instant::now();
        for _ in 0..BATCH {
            black_box(evaluate(table, &limits, black_box(evidence)));
        }
        begun.elapsed() / BATCH
    };
    let samples: Samples = (0..rounds(5_000, 2)).map(sample).collect();
    let us = |percent| samples.percentile(percent).as_secs_f64() * 1e6;
    let refused = evaluate(table, &limits, evidence).iter().filter(|d| !d.allows()).count();
    println!(
        "{:15} {what:17} {:2} guards, {refused:2} refuse   p50 {:6.2} µs   p99 {:6.2} µs",
        saga.as_str(),
        table.len(),
        us(50),
        us(99)
    );
}

/// Evidence with which a saga's guards have to go all the way. A rebuild's last one refuses whatever is known.
fn evidence(saga: SagaKind) -> anyhow::Result<Evidence> {
    let ago = |ms: u64| Timestamp(NOW.0 - ms);
    let present = |phase, startable| {
        Live::Present(Present {
            live_id: "sb-recorded".into(),
            phase,
            reason: None,
            instance: None,
            stamp: None,
            startable,
            spec: summary(),
        })
    };
    let live = match saga {
        SagaKind::StaleRecovery => Live::Absent { since: ago(60_000) },
        SagaKind::Revive => present(Phase::Stopped, true),
        SagaKind::Rebuild => present(Phase::Error, false),
        SagaKind::Destroy
        | SagaKind::Snapshot
        | SagaKind::Restore
        | SagaKind::Copy
        | SagaKind::Prune => present(Phase::Ready, false),
    };
    let gateway = Gateway {
        version: "0.1.5".to_owned(),
        dialect: Dialect::V0_1,
        identity: identity(),
        healthy_since: ago(3_600_000),
    };
    let provider = |name: &str| Provider {
        name: name.into(),
        state: ProviderState::Existing { expires: None },
    };
    let mut evidence = Evidence {
        now: NOW,
        target: "gateways/lab/workspaces/default/sandboxes/coder".parse()?,
        record: Fact::known(record(), ago(10)),
        gateway: Fact::known(gateway, ago(20)),
        live: Fact::known(live, ago(30)),
        providers: Fact::known(vec![provider("anthropic"), provider("github")], ago(40)),
        snapshot: Fact::known(None, NOW),
        repository: true,
        compute: Fact::known(Vec::new(), NOW),
        copy: Fact::known(None, NOW),
        doomed: Fact::known(Vec::new(), NOW),
        accepted_loss: None,
        asked: Asked::default(),
    };
    let digest =
        Inputs::of(SagaKind::Destroy, &evidence).digest(SagaKind::Destroy, &evidence.target);
    evidence.accepted_loss = Some(digest);
    Ok(evidence)
}

fn unknown(good: &Evidence) -> Evidence {
    use salvor_core::Why;
    Evidence {
        record: Fact::unknown(Why::NotAsked, "not asked"),
        gateway: Fact::unknown(Why::Unavailable, "away"),
        live: Fact::unknown(Why::Unavailable, "away"),
        providers: Fact::unknown(Why::NotAsked, "not asked"),
        ..good.clone()
    }
}

fn record() -> Record {
    let rules = (0..50).map(|rule| (format!("rule-{rule}").as_str().into(), "aa".into()));
    Record {
        uid: None,
        etag: "7-ab".into(),
        state: RecordState::Active,
        live_id: Some("sb-recorded".into()),
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
            rules: rules.collect(),
            removed: Vec::new(),
        }),
        posture: Posture::Locked { sealed: BTreeMap::from([("/lock".into(), "5ea1".into())]) },
        readiness: None,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        snapshot_roots: vec!["/sandbox".into()],
        last_snapshot: None,
        pending_restores: Vec::new(),
        snapshot_rules: None,
        snapshot_excludes: Vec::new(),
        config_files: Vec::new(),
        is_default: true,
    }
}

fn identity() -> GatewayIdentity {
    GatewayIdentity { store_id: Some("store-1".to_owned()), ..GatewayIdentity::default() }
}

fn summary() -> SpecSummary {
    SpecSummary {
        image: "example/agent:1".into(),
        providers: vec!["anthropic".into(), "github".into()],
        environment: vec!["TOKEN".into()],
    }
}
