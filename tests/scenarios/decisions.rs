//! T25: every guard in every refusal leaves a kept decision and a span, and the error says what to do next.

use std::{collections::BTreeSet, time::Duration};

use salvor_devgateway::{Dialect, Fault, Restart};
use salvor_proto::{
    recovery::v1::{self as pb, RecoveryPath, Saga, recovery::State},
    registry::v1 as registry,
    time::duration,
};
use salvor_runtime::telemetry::{TestExporter, attr, test_exporter};
use salvor_testkit::{Fleet, Options, wait::until};
use tonic::{Code, Status};

use crate::{
    support::{AUTO, REBUILD, seed},
    witness::{
        Refused, Witness, adopted, destroy_refused, formed, guards, in_both_dialects, lost, owner,
        recovery, refused, registered, verdict, whole,
    },
};

const REVIVE: RecoveryPath = RecoveryPath::Revive;

/// Which guard of which saga refused with which reason.
#[derive(Default)]
struct Reached(BTreeSet<(&'static str, String, String)>);

impl Reached {
    fn take(&mut self, refused: &Refused) {
        let saga = refused.recovery.saga().as_str_name();
        let no = pb::decision::Result::Refuse;
        for decision in refused.decisions.iter().filter(|d| d.result() == no) {
            self.0.insert((saga, decision.guard.clone(), decision.reason.clone()));
        }
    }

    /// Every guard of the saga refused somewhere, but for these.
    async fn assert_all_of(&self, fleet: &Fleet, saga: Saga, but: &[&str]) {
        for guard in guards(fleet, saga).await {
            let reached =
                self.0.iter().any(|(of, id, _)| *of == saga.as_str_name() && *id == guard.id);
            assert_ne!(reached, but.contains(&guard.id.as_str()), "{} of {saga:?}", guard.id);
        }
    }
}

/// A recovery of a record that lacks everything but its name.
async fn bare(fleet: &Fleet) -> String {
    let name = Fleet::name("lab", "bare");
    let sandbox = registry::Sandbox { name: name.clone(), ..Default::default() };
    let request = registry::CreateSandboxRequest { sandbox: Some(sandbox), ..Default::default() };
    fleet.registry.clone().create_sandbox(request).await.unwrap();
    name
}

/// Two agents, of which a recovery would have to choose one.
async fn crowded(fleet: &Fleet) -> String {
    fleet.sandbox("lab", "crowded", &seed()).await.unwrap();
    let name = Fleet::name("lab", "crowded");
    let agent = |kind: &str| registry::Agent { kind: kind.into(), version: String::new() };
    let request = pb::AdoptSandboxRequest {
        name: name.clone(),
        agents: vec![agent("claude-code"), agent("codex")],
        ..Default::default()
    };
    fleet.adopt_with(request).await.unwrap();
    name
}

/// A lost sandbox, and a repository's place with something else in it, so that nobody knows what snapshots there are.
async fn without_its_repository(dialect: Dialect) -> Refused {
    let gateways = vec![("lab", dialect)];
    let options = Options { gateways, snapshots: true, ..Options::default() };
    let fleet = Fleet::start(options).await.unwrap();
    let name = lost(&fleet, "lab", "coder", &seed()).await;
    let place = fleet.dir().join("adapter/snapshots");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("somebody's"), "precious").unwrap();
    until("an absence that has settled", || async {
        (verdict(&fleet, &name).await.verdict() == pb::Verdict::Lost).then_some(())
    })
    .await;
    let before = Witness::of(&fleet, &[&name]).await;
    let refused =
        refused_at_once(&fleet, &name, AUTO, Code::Unavailable, "SNAPSHOTS_UNKNOWN").await;
    before.assert_untouched(&fleet).await;
    fleet.stop().await;
    refused
}

in_both_dialects! {
    /// Refusals of every path, each one whole; together they reach every guard that a world on the wire can reach.
    async fn t25_every_guard_refuses_somewhere_and_every_refusal_is_whole(dialect: Dialect) {
        let gateways = vec![("lab", dialect), ("dark", dialect)];
        let fleet = Fleet::start(Options { gateways, ..Options::default() }).await.unwrap();
        let control = &fleet.gateway("lab").control;
        let mut reached = Reached::default();
        let bare = bare(&fleet).await;
        let crowded = crowded(&fleet).await;
        let (ready, _) = adopted(&fleet, "lab", "ready", &seed()).await;
        let (foreign, _) = adopted(&fleet, "lab", "foreign", &seed()).await;
        let (moving, _) = adopted(&fleet, "lab", "moving", &seed()).await;
        let (dark, _) = adopted(&fleet, "dark", "coder", &seed()).await;
        control.replace("foreign").await.unwrap();
        control.disconnect("moving").unwrap();
        fleet.gateway("dark").control.down(Restart::Killed).await.unwrap();
        let gone = lost(&fleet, "lab", "gone", &seed()).await;
        let names = [&bare, &crowded, &ready, &foreign, &moving, &dark, &gone].map(String::as_str);
        let before = Witness::of(&fleet, &names).await;

        let (no, unsaid) = (Code::FailedPrecondition, Code::Unavailable);
        for (name, path, code, reason) in [
            (&bare, REBUILD, no, "RECORD_INCOMPLETE"),
            (&bare, REVIVE, no, "RECORD_INCOMPLETE"),
            (&crowded, REBUILD, no, "SEVERAL_AGENTS"),
            (&crowded, REVIVE, no, "SEVERAL_AGENTS"),
            (&ready, REBUILD, no, "NO_COMPLETE_SNAPSHOT"),
            (&ready, REVIVE, no, "NOT_STARTABLE"),
            (&gone, REVIVE, no, "SANDBOX_ABSENT"),
            (&foreign, REBUILD, no, "FOREIGN_SANDBOX"),
            (&foreign, AUTO, no, "FOREIGN_SANDBOX"),
            (&foreign, REVIVE, no, "FOREIGN_SANDBOX"),
            (&moving, REVIVE, no, "PHASE_IN_MOTION"),
            (&dark, REBUILD, unsaid, "GATEWAY_UNAVAILABLE"),
            (&dark, AUTO, unsaid, "GATEWAY_UNAVAILABLE"),
            (&dark, REVIVE, unsaid, "GATEWAY_UNAVAILABLE"),
        ] {
            reached.take(&refused_at_once(&fleet, name, path, code, reason).await);
        }
        reached.take(&destroy_refused(&fleet, &foreign, no, "FOREIGN_SANDBOX").await);
        reached.take(&destroy_refused(&fleet, &dark, unsaid, "GATEWAY_UNAVAILABLE").await);
        let request = pb::DestroySandboxRequest { name: ready.clone(), ..Default::default() };
        let status = fleet.recovery.clone().destroy_sandbox(request).await.unwrap_err();
        reached.take(&whole(&fleet, &ready, &status, no, "DATA_LOSS_NOT_ACCEPTED").await);
        let request = pb::RecoverSandboxRequest {
            name: gone.clone(),
            snapshot: format!("gateways/lab/snapshots/{}", "0e".repeat(32)),
            ..Default::default()
        };
        let status = fleet.recovery.clone().recover_sandbox(request).await.unwrap_err();
        reached.take(&whole(&fleet, &gone, &status, no, "SNAPSHOT_NOT_FOUND").await);
        before.assert_untouched(&fleet).await;

        reached.take(&without_its_repository(dialect).await);
        // A runtime that says nothing is not in this world.
        let but = ["record_is_active", "compute_is_known"];
        // A record that is not active is held by a recovery or a tombstone, which answer before any plan is made.
        reached.assert_all_of(&fleet, Saga::StaleRecovery, &but).await;
        reached.assert_all_of(&fleet, Saga::Revive, &["record_is_active"]).await;
        reached.assert_all_of(&fleet, Saga::Destroy, &["record_is_active"]).await;
        fleet.stop().await;
    }

    /// What time alone may lift says when to ask again, and is refused only when there is no time left to wait.
    async fn t25_a_hold_says_when_to_ask_again(dialect: Dialect) {
        let settle = Duration::from_secs(5);
        let options = Options { gateways: vec![("lab", dialect)], settle, ..Options::default() };
        let fleet = Fleet::start(options).await.unwrap();
        let name = lost(&fleet, "lab", "coder", &seed()).await;
        let before = Witness::of(&fleet, &[&name]).await;
        let no = Code::FailedPrecondition;
        let young = refused_at_once(&fleet, &name, REBUILD, no, "ABSENCE_TOO_RECENT").await;
        let delay = young.said.retry.unwrap();
        assert!(delay <= settle, "{delay:?}");
        let held: Vec<_> =
            young.decisions.iter().filter(|d| d.guard == "absence_has_settled").collect();
        assert!(held[0].retry_delay.is_some(), "{held:#?}");

        let control = &fleet.gateway("lab").control;
        control.down(Restart::Killed).await.unwrap();
        until("an adapter that has noticed", || async {
            let heartbeat = registered(&fleet, "lab").await.heartbeat?;
            (!heartbeat.healthy).then_some(())
        })
        .await;
        control.up().await.unwrap();
        until("an answer", || async {
            (verdict(&fleet, &name).await.verdict() != pb::Verdict::Unknown).then_some(())
        })
        .await;
        let warming = refused_at_once(&fleet, &name, REBUILD, no, "GATEWAY_WARMING").await;
        assert!(warming.said.retry.is_some());
        before.assert_untouched(&fleet).await;
        fleet.stop().await;
    }

    /// One span per decision, under its recovery, with what it was decided on; a refusal is no error of the span's.
    async fn t25_every_kept_decision_is_one_span(dialect: Dialect) {
        let spans = test_exporter();
        let gateways = vec![("lab", dialect)];
        let fleet = Fleet::start(Options { gateways, ..Options::default() }).await.unwrap();
        let name = lost(&fleet, "lab", "coder", &seed()).await;

        let control = &fleet.gateway("lab").control;
        control.fault(Fault::fail("GetSandbox", Code::Unavailable, "away"));
        let no = refused(&fleet, &name, REBUILD, Code::Unavailable, "GATEWAY_UNAVAILABLE").await;
        shown(&spans, &name, &no.recovery, &no.decisions);
        control.clear_faults();
        let yes = fleet.recover(&name, REBUILD).await.unwrap();
        assert_eq!(yes.state(), State::Succeeded, "{yes:#?}");
        shown(&spans, &name, &yes, &fleet.decisions(&yes.name).await.unwrap());
        fleet.stop().await;
    }
}

/// As [`refused`], without time for anything to settle.
async fn refused_at_once(
    fleet: &Fleet,
    name: &str,
    path: RecoveryPath,
    code: Code,
    reason: &str,
) -> Refused {
    let Err(status) = at_once(fleet, name, path, false).await else {
        panic!("{path:?} of {name} ought to be {reason}");
    };
    whole(fleet, name, &status, code, reason).await
}

async fn at_once(
    fleet: &Fleet,
    name: &str,
    path: RecoveryPath,
    validate_only: bool,
) -> Result<pb::RecoverSandboxResponse, Status> {
    let request = pb::RecoverSandboxRequest {
        name: name.to_owned(),
        path: path.into(),
        validate_only,
        settle_timeout: Some(duration(Duration::ZERO)),
        ..Default::default()
    };
    Ok(fleet.recovery.clone().recover_sandbox(request).await?.into_inner())
}

fn shown(spans: &TestExporter, name: &str, recovery: &pb::Recovery, decisions: &[pb::Decision]) {
    let all = spans.spans();
    let of_recovery = all.iter().filter(|span| {
        span.name().starts_with("guard ")
            && span.attribute(attr::RECOVERY_ID).as_deref() == Some(&recovery.name)
    });
    assert_eq!(of_recovery.count(), decisions.len(), "spans and decisions of {}", recovery.name);
    for decision in decisions {
        let of_guard =
            spans.with(&format!("guard {}", decision.guard), attr::DECISION_ID, &decision.name);
        assert_eq!(of_guard.len(), 1, "{}", decision.name);
        let span = &of_guard[0];
        let said = |key: &str| span.attribute(key).unwrap_or_default();
        let refused = decision.result() == pb::decision::Result::Refuse;
        assert_eq!(said(attr::GUARD_ID), decision.guard);
        assert_eq!(said(attr::GUARD_RESULT), if refused { "refuse" } else { "allow" });
        assert_eq!(said(attr::GUARD_REASON), decision.reason);
        assert_eq!(said(attr::GUARD_PHASE), "plan");
        assert_eq!(said(attr::SANDBOX_NAME), name);
        assert_eq!(said(attr::GATEWAY_NAME), owner(name));
        assert!(!said(attr::EVIDENCE_SOURCE).is_empty());
        assert!(said(attr::EVIDENCE_AGE_MS).parse::<u64>().is_ok());
        assert_eq!(said(attr::PLAN_DIGEST), recovery.plan_digest);
        assert_eq!(span.0.span_context.span_id().to_string(), decision.span_id);
        assert_eq!(span.trace_id(), recovery.trace_id);
        assert!(!span.is_error(), "a refusal is a result");
    }
}

/// A dry run gives the report of the real call, and keeps nothing.
#[tokio::test]
async fn t25_a_dry_run_fails_where_the_real_call_would_and_keeps_nothing() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted(&fleet, "lab", "coder", &seed()).await;
    let status = at_once(&fleet, &name, REBUILD, true).await.unwrap_err();
    let dry = formed(&status, Code::FailedPrecondition, "NO_COMPLETE_SNAPSHOT");
    assert!(!dry.metadata.contains_key("recovery"), "{dry:?}");
    assert!(fleet.decisions(&name).await.unwrap().is_empty());
    let real =
        refused(&fleet, &name, REBUILD, Code::FailedPrecondition, "NO_COMPLETE_SNAPSHOT").await;
    assert_eq!(dry.message, real.said.message);
    assert_eq!(dry.violations, real.said.violations);
    fleet.stop().await;
}

/// A tombstone is not brought back, and both a recover and a plan say what can be done about it.
#[tokio::test]
async fn t25_a_tombstone_refuses_with_a_next_step_that_fits_it() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted(&fleet, "lab", "coder", &seed()).await;
    assert_eq!(fleet.destroy(&name).await.unwrap().state(), State::Succeeded);
    let before = Witness::of(&fleet, &[&name]).await;
    let status = at_once(&fleet, &name, REBUILD, true).await.unwrap_err();
    let said = formed(&status, Code::FailedPrecondition, "RECORD_NOT_ACTIVE");
    let step = said.next_step.unwrap();
    assert!(step.contains("salvor adopt"), "{step}");
    let status = fleet.ask(&name, REBUILD).await.unwrap_err();
    let said = crate::support::reason(&status);
    assert!(matches!(&*said, "RECORD_NOT_ACTIVE" | "SANDBOX_DESTROYED"), "{status:?}");
    before.assert_untouched(&fleet).await;
    fleet.stop().await;
}

/// The same request id is the same refusal, not another one.
#[tokio::test]
async fn t25_a_repeated_request_repeats_its_refusal() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, _) = adopted(&fleet, "lab", "coder", &seed()).await;
    let request = pb::RecoverSandboxRequest {
        name: name.clone(),
        path: REBUILD.into(),
        request_id: "0193a4c5-0000-7000-8000-000000000001".into(),
        ..Default::default()
    };
    let first = fleet.recovery.clone().recover_sandbox(request.clone()).await.unwrap_err();
    let again = fleet.recovery.clone().recover_sandbox(request).await.unwrap_err();
    let reason = "NO_COMPLETE_SNAPSHOT";
    let first = whole(&fleet, &name, &first, Code::FailedPrecondition, reason).await;
    let again = whole(&fleet, &name, &again, Code::FailedPrecondition, reason).await;
    assert_eq!(first.said, again.said);
    let recovery = recovery(&fleet, &first.recovery.name).await;
    assert_eq!(fleet.decisions(&name).await.unwrap().len(), first.decisions.len(), "{recovery:?}");
    fleet.stop().await;
}
