//! What happens, for its spans to be looked at afterwards.

use std::{collections::BTreeMap, time::Duration};

use salvor_devgateway::{Dialect, Effect, Fault, user::Seed};
use salvor_proto::recovery::v1::{self as pb, recovery::State};
use salvor_testkit::{Fleet, Options, wait::PATIENCE};
use tracing::{Instrument as _, info_span};

use crate::secrets::{self, SECRET};

/// A recovery as the services tell of it: what its spans are compared with.
#[derive(Debug)]
pub(crate) struct Told {
    /// Its full name.
    pub(crate) name: String,
    /// `recovery <saga>`; `None` for one that was refused and never ran.
    pub(crate) saga: Option<&'static str>,
    /// The trace in which the caller asked for it.
    pub(crate) trace_id: String,
    pub(crate) decisions: Vec<pb::Decision>,
    /// Step, attempt, outcome; one that waited among them.
    pub(crate) steps: Vec<(String, i32, String)>,
    /// Method and `traceparent` of each call that changed the gateway for it.
    pub(crate) effects: Vec<(String, String)>,
}

fn seed() -> Seed {
    Seed {
        image: "registry.test/agent:1".into(),
        environment: BTreeMap::from([("AGENT_TOKEN".into(), SECRET.into())]),
        rules: Some(BTreeMap::from([("pypi".into(), vec!["pypi.test".into()])])),
        ..Seed::default()
    }
}

async fn adopted(fleet: &Fleet, gateway: &str, sandbox: &str) -> String {
    fleet.sandbox(gateway, sandbox, &seed()).await.unwrap();
    let name = Fleet::name(gateway, sandbox);
    fleet.adopt(&name).await.unwrap();
    fleet.gateway(gateway).control.clear_calls();
    name
}

async fn lost(fleet: &Fleet, gateway: &str, sandbox: &str) -> String {
    let name = adopted(fleet, gateway, sandbox).await;
    let control = &fleet.gateway(gateway).control;
    control.lose(sandbox).await.unwrap();
    assert!(control.wait_absent(sandbox, PATIENCE).await);
    name
}

/// A stale recovery on each wire, a revival, a destroy and a refusal.
pub(crate) async fn tell() -> Vec<Told> {
    let gateways = vec![("old", Dialect::V0_0), ("new", Dialect::V0_1)];
    let fleet = Fleet::start(Options { gateways, ..Options::default() }).await.unwrap();
    let mut told = Vec::new();
    for gateway in ["old", "new"] {
        let name = lost(&fleet, gateway, "coder").await;
        let recovery = asked(&fleet, &name, pb::RecoveryPath::Rebuild).await;
        assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
        told.push(tell_of(&fleet, gateway, &recovery, "recovery stale_recovery").await);
        let spec = fleet.gateway(gateway).control.sandbox("coder").unwrap().spec;
        assert!(secrets::holds(&spec), "the secret did come back");
    }
    let name = adopted(&fleet, "old", "sleeper").await;
    fleet.gateway("old").user.stop("sleeper").await.unwrap();
    fleet.gateway("old").control.clear_calls();
    let recovery = asked(&fleet, &name, pb::RecoveryPath::Auto).await;
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    told.push(tell_of(&fleet, "old", &recovery, "recovery revive").await);
    told.push(refused(&fleet, &name).await);
    let destroyed = async { fleet.destroy(&name).await.unwrap() }.instrument(caller()).await;
    assert_eq!(destroyed.state(), State::Succeeded, "{destroyed:#?}");
    told.push(tell_of(&fleet, "old", &destroyed, "recovery destroy").await);
    for service in ["orchestrator", "registry"] {
        secrets::in_files(&fleet.dir().join(service));
    }
    fleet.stop().await;
    told
}

/// A stale recovery that has to wait, since its gateway falls silent after the create, and is taken up again.
pub(crate) async fn resumed() -> Told {
    let options = Options { ready_timeout: Duration::from_millis(200), ..Options::default() };
    let fleet = Fleet::start(options).await.unwrap();
    let name = lost(&fleet, "lab", "coder").await;
    let control = &fleet.gateway("lab").control;
    let asking = asked(&fleet, &name, pb::RecoveryPath::Rebuild);
    control.fault(Fault::on("CreateSandbox", Effect::Hold));
    let silence = async {
        let create = control.wait_for_call(|call| call.method == "CreateSandbox", PATIENCE).await;
        assert!(create.is_some());
        control.clear_faults();
        control.fault(Fault::fail("GetSandbox", tonic::Code::Unavailable, "away"));
        control.fault(Fault::fail("ListSandboxes", tonic::Code::Unavailable, "away"));
    };
    let (recovery, ()) = tokio::join!(asking, silence);
    assert_eq!(recovery.state(), State::Parked, "{recovery:#?}");
    control.clear_faults();
    let recovery = ended(&fleet, &recovery.name).await;
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    let told = tell_of(&fleet, "lab", &recovery, "recovery stale_recovery").await;
    fleet.stop().await;
    told
}

/// It is looked at again by itself, and may be found waiting more than once.
async fn ended(fleet: &Fleet, name: &str) -> pb::Recovery {
    salvor_testkit::wait::until("its end", || async {
        Some(fleet.wait(name).await.unwrap()).filter(|recovery| recovery.done)
    })
    .await
}

/// A live sandbox is not rebuilt. The refusal has its decisions, and names the recovery that they are kept under.
async fn refused(fleet: &Fleet, name: &str) -> Told {
    let asking = fleet.ask(name, pb::RecoveryPath::Rebuild);
    let span = caller();
    let trace_id = trace_id(&span);
    let error = asking.instrument(span).await.unwrap_err();
    let metadata = salvor_proto::error::received(&error).metadata;
    let name = metadata.get("recovery").unwrap().clone();
    let decisions = fleet.decisions(&name).await.unwrap();
    assert!(decisions.iter().any(|decision| !decision.reason.is_empty()), "{decisions:?}");
    Told { name, saga: None, trace_id, decisions, steps: Vec::new(), effects: Vec::new() }
}

async fn asked(fleet: &Fleet, name: &str, path: pb::RecoveryPath) -> pb::Recovery {
    let span = caller();
    let trace_id = trace_id(&span);
    let recovery = fleet.recover(name, path).instrument(span).await.unwrap();
    assert_eq!(recovery.trace_id, trace_id, "it goes on in its caller's trace");
    recovery
}

/// The program that asks.
fn caller() -> tracing::Span {
    info_span!(target: "salvor_tests", parent: None, "caller")
}

fn trace_id(span: &tracing::Span) -> String {
    let traceparent = salvor_runtime::telemetry::traceparent_of(span).unwrap();
    traceparent.split('-').nth(1).unwrap().to_owned()
}

async fn tell_of(
    fleet: &Fleet,
    gateway: &str,
    recovery: &pb::Recovery,
    saga: &'static str,
) -> Told {
    let calls = fleet.gateway(gateway).control.mutating_calls();
    let effects: Vec<_> = calls
        .into_iter()
        .map(|call| (call.method, call.metadata.get("traceparent").unwrap().clone()))
        .collect();
    assert_eq!(effects.len(), 1, "{effects:?}");
    fleet.gateway(gateway).control.clear_calls();
    let steps = recovery.steps.iter();
    Told {
        name: recovery.name.clone(),
        saga: Some(saga),
        trace_id: recovery.trace_id.clone(),
        decisions: fleet.decisions(&recovery.name).await.unwrap(),
        steps: steps.map(|s| (s.step.clone(), s.attempt, s.outcome.clone())).collect(),
        effects,
    }
}
