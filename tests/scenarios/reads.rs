//! T20: reads and dry runs are free of effects in every state of the world.

use std::time::Duration;

use salvor_devgateway::{Control, Dialect, Effect, Fault, Restart};
use salvor_proto::{
    gateway::v1 as gateway,
    recovery::v1::{self as pb, Verdict, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::{
    Fleet, Options,
    wait::{PATIENCE, until},
};
use tonic::Status;

use crate::{
    support::{AUTO, REBUILD, seed},
    witness::{Witness, adopted, in_both_dialects, lost, verdict},
};

/// Everything that one can ask of a sandbox without asking for a change.
async fn read_all(fleet: &Fleet, name: &str) {
    let name = name.to_owned();
    let mut api = fleet.recovery.clone();
    fleet.status(&name).await.unwrap();
    verdict(fleet, &name).await;
    for (path, destroy) in
        [(AUTO, false), (REBUILD, false), (pb::RecoveryPath::Revive, false), (AUTO, true)]
    {
        let request = pb::PlanRecoveryRequest {
            name: name.clone(),
            path: path.into(),
            destroy,
            ..Default::default()
        };
        api.plan_recovery(request).await.unwrap();
        let settle_timeout = Some(prost_types::Duration::default());
        let validate_only = true;
        // Either answer is one; what must not be is an effect.
        let _: Result<(), Status> = if destroy {
            let request = pb::DestroySandboxRequest {
                name: name.clone(),
                validate_only,
                settle_timeout,
                ..Default::default()
            };
            api.destroy_sandbox(request).await.map(drop)
        } else {
            let request = pb::RecoverSandboxRequest {
                name: name.clone(),
                path: path.into(),
                validate_only,
                settle_timeout,
                ..Default::default()
            };
            api.recover_sandbox(request).await.map(drop)
        };
    }
    api.connect_sandbox(pb::ConnectSandboxRequest { name: name.clone() }).await.unwrap();
    fleet.decisions(&name).await.unwrap();
    let request = pb::ListRecoveriesRequest { sandbox: name.clone(), ..Default::default() };
    for recovery in api.list_recoveries(request).await.unwrap().into_inner().recoveries {
        api.get_recovery(pb::GetRecoveryRequest { name: recovery.name }).await.unwrap();
    }
    fleet.record(&name).await.unwrap();
}

/// Everything that one can ask of the fleet.
async fn list_all(fleet: &Fleet) {
    fleet.recovery.clone().list_guards(pb::ListGuardsRequest {}).await.unwrap();
    let request = registry::ListSandboxesRequest { show_deleted: true, ..Default::default() };
    fleet.registry.clone().list_sandboxes(request).await.unwrap();
    let request = registry::ListGatewaysRequest::default();
    fleet.registry.clone().list_gateways(request).await.unwrap();
    for gateway in fleet.labs.keys() {
        let gateway = format!("gateways/{gateway}");
        let request = gateway::ListLiveSandboxesRequest {
            gateway: gateway.clone(),
            workspace: "-".into(),
            ..Default::default()
        };
        fleet.adapter.clone().list_live_sandboxes(request).await.unwrap();
        let request = gateway::ProbeGatewayRequest { gateway };
        fleet.adapter.clone().probe_gateway(request).await.unwrap();
    }
}

/// A sandbox in each state of the world, with the verdict that it has.
async fn every_state(fleet: &Fleet) -> Vec<(String, Verdict)> {
    let lab = fleet.gateway("lab");
    let control = &lab.control;
    let mut states = vec![
        (adopted(fleet, "lab", "ready", &seed()).await.0, Verdict::Live),
        (adopted(fleet, "dark", "unknown", &seed()).await.0, Verdict::Unknown),
    ];
    for (sandbox, verdict) in [
        ("stopped", Verdict::Revivable),
        ("broken", Verdict::Failed),
        ("foreign", Verdict::Foreign),
        ("moving", Verdict::Hold),
    ] {
        states.push((adopted(fleet, "lab", sandbox, &seed()).await.0, verdict));
    }
    lab.user.stop("stopped").await.unwrap();
    assert!(control.wait_phase("stopped", salvor_devgateway::Phase::Stopped, PATIENCE).await);
    control.fail("broken", "ImagePullFailed", "no such image").await.unwrap();
    control.replace("foreign").await.unwrap();
    control.disconnect("moving").unwrap();

    let (destroyed, _) = adopted(fleet, "lab", "destroyed", &seed()).await;
    assert_eq!(fleet.destroy(&destroyed).await.unwrap().state(), State::Succeeded);
    states.push((destroyed, Verdict::Destroyed));
    let recovering = lost(fleet, "lab", "recovering", &seed()).await;
    hang(fleet, control, &recovering).await;
    states.push((recovering, Verdict::Recovering));
    states.push((lost(fleet, "lab", "lost", &seed()).await, Verdict::Lost));
    fleet.gateway("dark").control.down(Restart::Killed).await.unwrap();
    states
}

/// Begins a recovery whose create is not answered until the faults are cleared.
async fn hang(fleet: &Fleet, control: &Control, name: &str) {
    control.fault(Fault::on("CreateSandbox", Effect::Hold).times(1));
    fleet.ask(name, REBUILD).await.unwrap();
    let create =
        |call: &salvor_devgateway::Call| call.method == "CreateSandbox" && call.outcome.is_none();
    assert!(control.wait_for_call(create, PATIENCE).await.is_some());
}

in_both_dialects! {
    async fn t20_no_read_and_no_dry_run_changes_anything_in_any_state(dialect: Dialect) {
        let gateways = vec![("lab", dialect), ("dark", dialect)];
        // Long, so that the recovery at work renews no lease and tries nothing again while it is looked at.
        let (lease_ttl, mutation_timeout) = (Duration::from_mins(5), Duration::from_mins(5));
        let options = Options { gateways, lease_ttl, mutation_timeout, ..Options::default() };
        let fleet = Fleet::start(options).await.unwrap();
        let states = every_state(&fleet).await;
        for (name, expected) in &states {
            until("the expected verdict", || async {
                (verdict(&fleet, name).await.verdict() == *expected).then_some(())
            })
            .await;
        }
        let names: Vec<&str> = states.iter().map(|(name, _)| name.as_str()).collect();
        let decisions = kept(&fleet, &names).await;
        let before = Witness::of(&fleet, &names).await;
        for name in &names {
            read_all(&fleet, name).await;
        }
        list_all(&fleet).await;
        before.assert_untouched(&fleet).await;
        assert_eq!(kept(&fleet, &names).await, decisions, "a read leaves no decision behind");
        for (name, expected) in &states {
            assert_eq!(verdict(&fleet, name).await.verdict(), *expected, "{name}");
        }
        fleet.gateway("lab").control.clear_faults();
        fleet.stop().await;
    }

    /// A recovery that waits for a person is looked at like any other.
    async fn t20_a_parked_recovery_is_not_moved_by_being_looked_at(dialect: Dialect) {
        let fleet = Fleet::start(Options {
            gateways: vec![("lab", dialect)],
            undetermined_timeout: Duration::from_millis(100),
            park_retry: Duration::from_hours(1),
            ..Options::default()
        })
        .await
        .unwrap();
        let control = &fleet.gateway("lab").control;
        let name = lost(&fleet, "lab", "coder", &seed()).await;
        // The gateway says no more once it has taken the create.
        control.fault(Fault::on("CreateSandbox", Effect::Hold));
        let accepted = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
        let create = |call: &salvor_devgateway::Call| call.method == "CreateSandbox";
        assert!(control.wait_for_call(create, PATIENCE).await.is_some());
        control.clear_faults();
        control.fault(Fault::fail("GetSandbox", tonic::Code::Unavailable, "away"));
        let recovery = fleet.wait(&accepted.name).await.unwrap();
        assert_eq!(recovery.state(), State::Parked, "{recovery:#?}");
        control.clear_faults();
        let before = Witness::of(&fleet, &[&name]).await;
        read_all(&fleet, &name).await;
        list_all(&fleet).await;
        before.assert_untouched(&fleet).await;
        let now = crate::witness::recovery(&fleet, &recovery.name).await;
        assert_eq!(now.steps, recovery.steps);
        assert_eq!(now.state(), State::Parked);
        fleet.stop().await;
    }

    /// The reporter's whole path: looking first changes nothing about what comes after.
    async fn t20_status_then_connect_then_recover_brings_it_back(dialect: Dialect) {
        let gateways = vec![("lab", dialect)];
        let fleet = Fleet::start(Options { gateways, ..Options::default() }).await.unwrap();
        let name = lost(&fleet, "lab", "coder", &seed()).await;
        let before = Witness::of(&fleet, &[&name]).await;
        fleet.status(&name).await.unwrap();
        let request = pb::ConnectSandboxRequest { name: name.clone() };
        let guidance = fleet.recovery.clone().connect_sandbox(request).await.unwrap().into_inner();
        assert!(!guidance.live && guidance.command.is_empty(), "{guidance:#?}");
        assert!(guidance.guidance.contains(&format!("salvor recover {name}")), "{guidance:#?}");
        before.assert_untouched(&fleet).await;
        assert!(fleet.recover(&name, REBUILD).await.unwrap().done);
        assert!(fleet.gateway("lab").control.live("coder"));
        fleet.stop().await;
    }
}

/// How many decisions are kept of each.
async fn kept(fleet: &Fleet, names: &[&str]) -> Vec<usize> {
    let mut counts = Vec::new();
    for name in names {
        counts.push(fleet.decisions(name).await.unwrap().len());
    }
    counts
}
