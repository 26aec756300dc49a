//! Every next step that the orchestrator gives can be typed as it is printed.

use std::time::Duration;

use clap::Parser;
use salvor_core::{
    Denial, Evidence, Fact, FactName, SagaKind, Timestamp, Verdict, Why,
    denial::RecordPart,
    evidence::{Asked, Dialect, IdentityPart, Phase, RecordState},
    id::{SandboxPath, SnapshotName},
};
use salvor_recovery_orchestrator::words::{after_verdict, next_step};

use super::Cli;

fn nothing_known() -> Evidence {
    Evidence {
        now: Timestamp(1),
        target: "gateways/g/workspaces/w/sandboxes/s".parse().unwrap(),
        record: Fact::unknown(Why::NotAsked, ""),
        gateway: Fact::unknown(Why::Unavailable, ""),
        live: Fact::unknown(Why::Unavailable, ""),
        providers: Fact::unknown(Why::NotAsked, ""),
        snapshot: Fact::unknown(Why::NotAsked, ""),
        repository: true,
        compute: Fact::unknown(Why::NotAsked, ""),
        copy: Fact::unknown(Why::NotAsked, ""),
        accepted_loss: None,
        asked: Asked::default(),
    }
}

fn snapshot() -> SnapshotName {
    SnapshotName(format!("gateways/g/snapshots/{}", "ab".repeat(32)))
}

fn denials() -> Vec<Denial> {
    let second = Duration::from_secs(1);
    let part = RecordPart::Spec;
    let mut denials: Vec<Denial> =
        Why::ALL.map(|why| Denial::Unknown { fact: FactName::LiveView, why }).to_vec();
    let states = [RecordState::Recovering, RecordState::Destroying, RecordState::Destroyed];
    denials.extend(states.map(|state| Denial::RecordNotActive { state }));
    denials.extend([
        Denial::EvidenceTooOld { fact: FactName::Record, age: second, max_age: second },
        Denial::RecordIncomplete { part },
        Denial::SeveralAgents { count: 2 },
        Denial::GatewayReplaced { part: IdentityPart::Store },
        Denial::GatewayWarming { healthy_for: second, required: second },
        Denial::DialectDiffers { recorded: Dialect::V0_0, live: Dialect::V0_1 },
        Denial::SandboxPresent { phase: Phase::Ready },
        Denial::SandboxAbsent,
        Denial::ForeignSandbox { recorded: "a".into(), live: "b".into(), stamped: None },
        Denial::PhaseInMotion { phase: Phase::Starting },
        Denial::AbsenceTooRecent { seen_for: second, required: second },
        Denial::NotStartable { phase: Phase::Error, reason: None },
        Denial::MaterialSealed { part },
        Denial::MaterialTooLarge { part, size_bytes: 2, max_bytes: 1 },
        Denial::ProviderMissing { provider: "p".into() },
        Denial::ProviderExpired { provider: "p".into(), at: Timestamp(1) },
        Denial::NoCompleteSnapshot { phase: Phase::Error },
        Denial::SnapshotNotFound { name: None },
        Denial::SnapshotIncomplete { name: snapshot() },
        Denial::SnapshotOfAnother {
            name: snapshot(),
            of: nothing_known().target,
            live: "a".into(),
        },
        Denial::SnapshotLacksRoot { name: snapshot(), root: SandboxPath("/sandbox".into()) },
        Denial::NotReachable { phase: Phase::Error },
        Denial::ContainerNotFound,
        Denial::PostureLocked { path: SandboxPath("/sandbox/lock".into()) },
        Denial::CopyExists { live: "a".into() },
        Denial::DataLossNotAccepted,
    ]);
    denials
}

fn assert_typed(step: &str) {
    let command = step.split('#').next().unwrap_or_default().split_whitespace();
    let parsed = Cli::try_parse_from(command);
    assert!(parsed.is_ok(), "{step}: {}", parsed.unwrap_err());
}

#[test]
fn after_every_denial() {
    for saga in SagaKind::ALL {
        for denial in denials() {
            assert_typed(&next_step(saga, &denial, &nothing_known()));
        }
    }
}

#[test]
fn after_every_verdict() {
    for verdict in [
        Verdict::Live,
        Verdict::Revivable,
        Verdict::Lost,
        Verdict::Hold,
        Verdict::Failed,
        Verdict::Foreign,
        Verdict::Unknown,
        Verdict::Destroyed,
        Verdict::Recovering,
    ] {
        assert_typed(&after_verdict(verdict, &nothing_known()));
    }
}
