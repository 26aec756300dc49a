//! Every next step that is given anywhere can be typed as it is printed.

use std::time::Duration;

use clap::{Parser, error::ErrorKind};
use salvor_core::{
    Denial, Evidence, Fact, FactName, Plan, SagaKind, Timestamp, Verdict, Why,
    denial::RecordPart,
    evidence::{Asked, Channel, Dialect, IdentityPart, Phase, RecordState, RestoreMode, Retention},
    id::{SandboxPath, SnapshotName},
    plan::Inputs,
    saga::{
        Cause, Failed, ParkReason, Setback,
        capture::{Gap, NotSaved},
    },
};
use salvor_gateway_adapter::NextStep as OfAdapter;
use salvor_proto::{Error, convert, error::received, registry::v1 as registry};
use salvor_recovery_orchestrator::words::{
    NextStep as OfOrchestrator, after_park, after_setback, after_verdict, again, next_step,
};
use salvor_registry::NextStep as OfRegistry;
use tonic::Status;

use super::Cli;
use crate::next_step::NextStep;

fn nothing_known() -> Evidence {
    Evidence {
        now: Timestamp(1),
        target: NAME.parse().unwrap(),
        record: Fact::unknown(Why::NotAsked, ""),
        gateway: Fact::unknown(Why::Unavailable, ""),
        live: Fact::unknown(Why::Unavailable, ""),
        providers: Fact::unknown(Why::NotAsked, ""),
        snapshot: Fact::unknown(Why::NotAsked, ""),
        repository: true,
        compute: Fact::unknown(Why::NotAsked, ""),
        copy: Fact::unknown(Why::NotAsked, ""),
        doomed: Fact::unknown(Why::NotAsked, ""),
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
        Denial::SnapshotInUse { name: snapshot() },
        Denial::LastSnapshot { name: snapshot() },
        Denial::NotReachable { phase: Phase::Error },
        Denial::StartFirst { phase: Phase::Stopped },
        Denial::ContainerNotFound,
        Denial::PostureLocked { path: SandboxPath("/sandbox/lock".into()) },
        Denial::NothingToMerge,
        Denial::CopyExists { live: "a".into() },
        Denial::DataLossNotAccepted,
    ]);
    denials
}

/// The words of a command line as a shell reads them: quotes, and a remark behind a `#`.
pub(super) fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    assert_eq!(quote, None, "{line}");
    words.extend(word);
    words
}

fn assert_typed(step: &str) {
    assert!(step.starts_with("salvor "), "{step}");
    if let Err(error) = Cli::try_parse_from(words(step)) {
        assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{step}: {error}");
    }
}

const NAME: &str = "gateways/g/workspaces/w/sandboxes/s";

/// With all that a request can ask for.
fn all_asked() -> Asked {
    Asked {
        snapshot: Some(snapshot()),
        other_sandbox: true,
        mode: RestoreMode::MergeConfig,
        paths: vec!["/sandbox/my notes".into(), "/sandbox/it's".into()],
        roots: vec!["/sandbox/a b".into()],
        channel: Some(Channel::Runtime),
        full: true,
        retention: Some(Retention { last: 50, hourly: 0, daily: 7, weekly: 4 }),
        reclaim: true,
        ..Asked::default()
    }
}

#[test]
fn after_every_denial() {
    for saga in SagaKind::ALL {
        for denial in denials() {
            assert_typed(&next_step(saga, &denial, &nothing_known()));
            let asked = Evidence { asked: all_asked(), ..nothing_known() };
            assert_typed(&next_step(saga, &denial, &asked));
        }
    }
}

#[test]
fn what_is_asked_again_is_all_that_was_asked() {
    let snapshot = snapshot();
    let evidence = Evidence { asked: all_asked(), ..nothing_known() };
    for (saga, typed) in [
        (SagaKind::StaleRecovery, format!("salvor recover {NAME} --snapshot {snapshot}")),
        (SagaKind::Revive, format!("salvor recover {NAME} --path revive")),
        (SagaKind::Rebuild, format!("salvor rebuild {NAME} --snapshot {snapshot}")),
        (
            SagaKind::Snapshot,
            format!("salvor snapshot create {NAME} --channel runtime --full --root '/sandbox/a b'"),
        ),
        (
            SagaKind::Restore,
            format!(
                r"salvor snapshot restore {NAME} --snapshot {snapshot} --mode merge-config --path '/sandbox/my notes' --path '/sandbox/it'\''s' --from-other-sandbox"
            ),
        ),
        (
            SagaKind::Prune,
            format!(
                "salvor snapshot prune {NAME} --keep-last 50 --keep-daily 7 --keep-weekly 4 \
                 --reclaim-space"
            ),
        ),
        (SagaKind::Destroy, format!("salvor destroy {NAME}")),
        (SagaKind::Copy, format!("salvor snapshot list {NAME}")),
    ] {
        assert_eq!(again(saga, &evidence), typed);
        assert_typed(&typed);
    }
}

fn plan_of(saga: SagaKind) -> Plan {
    let evidence = nothing_known();
    let inputs = Inputs::of(saga, &evidence);
    Plan {
        saga_version: saga.version(),
        saga,
        digest: inputs.digest(saga, &evidence.target),
        target: evidence.target,
        verdict: Verdict::Unknown,
        inputs,
        decisions: Vec::new(),
    }
}

#[test]
fn after_every_setback_and_park() {
    let gap =
        || Gap { snapshot: snapshot(), path: None, reason: "ROOT_MISSING".to_owned(), count: 1 };
    let mut setbacks = vec![
        Setback::NeverReady(Failed { reason: "ImagePullFailed".to_owned(), exit_code: None }),
        Setback::Stranger("a".into()),
        Setback::Returned,
        Setback::NotSaved(NotSaved::Incomplete(gap())),
        Setback::NotSaved(NotSaved::Damaged(gap())),
        Setback::RecordChanged,
        Setback::Cancelled,
    ];
    setbacks.extend(Cause::ALL.map(Setback::Refused));
    setbacks.extend(Cause::ALL.map(|cause| Setback::NotSaved(NotSaved::Refused(cause))));
    for saga in SagaKind::ALL {
        for setback in &setbacks {
            let step = after_setback(&plan_of(saga), setback);
            assert_typed(&step);
            // What would overwrite or delete is only shown.
            assert!(!step.contains("--yes") && !step.contains("--accept"), "{step}");
        }
    }
    let recovery = "recoveries/0195c1f0-0000-7000-8000-000000000000".into();
    let parks =
        [ParkReason::NotReadyInTime, ParkReason::NameTaken, ParkReason::RegistryUnavailable];
    let keeps = Cause::ALL.map(ParkReason::KeepsFailing);
    let unknown = Why::ALL.map(ParkReason::Undetermined);
    for why in parks.into_iter().chain(keeps).chain(unknown) {
        assert_typed(&after_park(&recovery, why));
    }
}

#[test]
fn of_the_orchestrator() {
    use OfOrchestrator as Step;
    for step in Step::ALL {
        assert_typed(&step.of(match step {
            Step::Wait
            | Step::Retry
            | Step::RetryOrGiveUp
            | Step::Show
            | Step::Cancel
            | Step::RunThatVersion
            | Step::Retire
            | Step::RetireDamaged => "recoveries/1",
            Step::ListOpen
            | Step::Status
            | Step::Verdict
            | Step::Adopt
            | Step::AdoptOnceCreated
            | Step::AdoptIfWanted
            | Step::AdoptOnceReady
            | Step::Recover
            | Step::Plan
            | Step::PreviewPrune => NAME,
            _ => "",
        }));
    }
}

#[test]
fn of_the_adapter() {
    for step in OfAdapter::ALL {
        match step {
            OfAdapter::ShowSnapshot => assert_typed(&step.of(snapshot().as_str())),
            OfAdapter::Status
            | OfAdapter::ChooseSnapshot
            | OfAdapter::ListSnapshots
            | OfAdapter::MendRepository
            | OfAdapter::CorrectRoots
            | OfAdapter::MakeRootWritable
            | OfAdapter::TakeAnother => {
                assert_typed(&step.of(NAME));
                assert_typed(&step.alone());
            }
            _ => assert_typed(&step.alone()),
        }
    }
}

#[test]
fn of_the_registry() {
    use OfRegistry as Step;
    for step in Step::ALL {
        assert_typed(&step.of(match step {
            Step::Status
            | Step::ReadAgain
            | Step::AddKey
            | Step::RenewMaterial
            | Step::LeaveIt
            | Step::AwaitRecovery
            | Step::AcquireLease
            | Step::SnapshotEntryAgain
            | Step::OfAnEarlierRecord => NAME,
            _ => "",
        }));
    }
}

#[test]
fn of_what_the_services_share() {
    let step = |error: Error| received(&error.into()).next_step.unwrap();
    for service in ["registry", "gateway-adapter"] {
        let lost = Status::unavailable("connection refused");
        assert_typed(&step(Error::relayed(&lost, service, "ADAPTER_UNAVAILABLE")));
    }
    let newer = registry::Sandbox { name: NAME.into(), state: 99, ..Default::default() };
    assert_typed(&step(convert::record(&newer).unwrap_err()));
}

#[test]
fn of_the_command_line() {
    let verified = snapshot().to_string();
    for step in NextStep::ALL {
        assert_typed(&step.of(match step {
            NextStep::IsItMeant
            | NextStep::ListRecoveries
            | NextStep::Status
            | NextStep::Connect
            | NextStep::DeclareRoot => NAME,
            NextStep::Wait => "recoveries/1",
            NextStep::WatchSince => "7",
            NextStep::ProbeGateway | NextStep::Repin => "gateways/g",
            NextStep::VerifyLonger => &verified,
            _ => "",
        }));
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
