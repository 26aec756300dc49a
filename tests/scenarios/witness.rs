//! What a refusal must leave as it was, and what it must say. Shared by the scenarios of refusals.

use std::collections::BTreeSet;

use prost::Message as _;
use salvor_devgateway::{Control, DevGateway, Running, user::Seed};
use salvor_proto::{
    error::{DOMAIN, Received, received},
    recovery::v1 as pb,
    registry::v1 as registry,
};
use salvor_testkit::{
    Fleet,
    wait::{PATIENCE, until},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt as _};

/// The same scenario once in each dialect.
macro_rules! in_both_dialects {
    ($($(#[doc = $doc:literal])* async fn $name:ident($dialect:ident: Dialect) $body:block)+) => {$(
        $(#[doc = $doc])*
        mod $name {
            use super::*;

            async fn scenario($dialect: Dialect) $body

            #[tokio::test]
            async fn in_0_0() {
                scenario(Dialect::V0_0).await;
            }

            #[tokio::test]
            async fn in_0_1() {
                scenario(Dialect::V0_1).await;
            }
        }
    )+};
}
pub(crate) use in_both_dialects;

/// How everything was before a request.
pub(crate) struct Witness {
    records: Vec<(String, Stored)>,
    revision: i64,
    controls: Vec<Control>,
}

/// A record's bytes, and its entry; a tombstone has none.
type Stored = (Vec<u8>, Option<registry::EntrySnapshot>);

/// A refusal, checked in form.
pub(crate) struct Refused {
    /// What the error says.
    pub said: Received,
    /// The decisions kept of it, refusals and allows.
    pub decisions: Vec<pb::Decision>,
    /// Its row among the recoveries.
    pub recovery: pb::Recovery,
}

// === impl Witness ===

impl Witness {
    /// Remembers these records as they are now, and forgets the gateways' calls.
    pub(crate) async fn of(fleet: &Fleet, names: &[&str]) -> Self {
        let mut records = Vec::new();
        for name in names {
            records.push(((*name).to_owned(), stored(fleet, name).await));
        }
        let controls: Vec<_> = fleet.labs.values().map(|lab| lab.control.clone()).collect();
        for control in &controls {
            control.clear_calls();
        }
        Self { records, revision: revision(fleet).await, controls }
    }

    /// Watches a gateway that the scenario started itself, too.
    pub(crate) fn and(mut self, control: &Control) -> Self {
        control.clear_calls();
        self.controls.push(control.clone());
        self
    }

    /// No gateway was changed or entered, and the registry holds what it held, byte for byte.
    pub(crate) async fn assert_untouched(&self, fleet: &Fleet) {
        for control in &self.controls {
            let touching: Vec<_> = control
                .calls()
                .into_iter()
                .filter(|call| call.mutating || call.method.starts_with("Exec"))
                .collect();
            assert!(touching.is_empty(), "{touching:?}");
        }
        for (name, (bytes, entry)) in &self.records {
            let (bytes_now, entry_now) = stored(fleet, name).await;
            assert_eq!(&bytes_now, bytes, "the record of {name} changed");
            let fixed = |entry: &registry::EntrySnapshot| {
                (entry.etag.clone(), entry.revision, entry.was_default)
            };
            assert_eq!(entry_now.as_ref().map(fixed), entry.as_ref().map(fixed), "{name}");
        }
        assert_eq!(revision(fleet).await, self.revision, "the registry's revision moved");
    }
}

async fn stored(fleet: &Fleet, name: &str) -> Stored {
    let record = fleet.record(name).await.unwrap();
    let request = registry::SnapshotEntryRequest { name: name.to_owned() };
    let entry = match record.state() {
        registry::sandbox::State::Destroyed => None,
        _ => fleet.registry.clone().snapshot_entry(request).await.unwrap().into_inner().snapshot,
    };
    (record.encode_to_vec(), entry)
}

/// The registry's global revision.
pub(crate) async fn revision(fleet: &Fleet) -> i64 {
    let request = registry::ListSandboxesRequest { page_size: 1, ..Default::default() };
    fleet.registry.clone().list_sandboxes(request).await.unwrap().into_inner().revision
}

// === refusals ===

/// Asks for a recovery, which must be refused with this code and reason, and checks that the error is whole: one ErrorInfo,
/// a violation per denial, a next step, words that the call log bears out, and decisions that were kept.
pub(crate) async fn refused(
    fleet: &Fleet,
    name: &str,
    path: pb::RecoveryPath,
    code: Code,
    reason: &str,
) -> Refused {
    let Err(status) = fleet.ask(name, path).await else {
        panic!("{path:?} of {name} ought to be {reason}");
    };
    whole(fleet, name, &status, code, reason).await
}

/// As [`refused`], for a destroy that accepts the losses its plan names.
pub(crate) async fn destroy_refused(
    fleet: &Fleet,
    name: &str,
    code: Code,
    reason: &str,
) -> Refused {
    let Err(status) = fleet.destroy(name).await else {
        panic!("a destroy of {name} ought to be {reason}");
    };
    whole(fleet, name, &status, code, reason).await
}

/// Checks a refusal's form, and reads what was kept of it.
pub(crate) async fn whole(
    fleet: &Fleet,
    name: &str,
    status: &Status,
    code: Code,
    reason: &str,
) -> Refused {
    let said = formed(status, code, reason);
    assert_eq!(said.metadata["sandbox"], name);
    assert_eq!(said.metadata["gateway"], owner(name));
    assert!(said.metadata["plan_digest"].len() == 64, "{said:?}");
    assert!(!said.metadata["verdict"].is_empty(), "{said:?}");
    let untouched = format!("Nothing was changed on {} or in the record", owner(name));
    assert!(said.message.contains(&untouched), "{}", said.message);
    assert!(said.message.contains(name), "{}", said.message);
    let recovery = recovery(fleet, &said.metadata["recovery"]).await;
    let decisions = fleet.decisions(&recovery.name).await.unwrap();
    kept(fleet, &said, &recovery, &decisions).await;
    Refused { said, decisions, recovery }
}

/// Checks what every error of salvor's is: one ErrorInfo of its domain, with a stable reason and a next step; and of a
/// refusal: one violation per denial, and when to ask again if time may help.
pub(crate) fn formed(status: &Status, code: Code, reason: &str) -> Received {
    assert_eq!(received(status).reason.as_deref(), Some(reason), "{status:?}");
    assert_eq!(status.code(), code, "{status:?}");
    let details = status.get_error_details_vec();
    let infos: Vec<_> = details
        .iter()
        .filter_map(|detail| match detail {
            ErrorDetail::ErrorInfo(info) => Some(info),
            _ => None,
        })
        .collect();
    assert_eq!(infos.len(), 1, "{details:?}");
    assert_eq!(infos[0].domain, DOMAIN);
    assert!(reason.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'));
    let said = received(status);
    assert!(said.next_step.as_ref().is_some_and(|step| !step.is_empty()), "{said:?}");
    let mut guards = BTreeSet::new();
    for violation in &said.violations {
        assert!(guards.insert(violation.guard.clone()), "{} twice", violation.guard);
        let (led_by, sentence) = violation.description.split_once(": ").unwrap();
        assert!(!led_by.is_empty() && !sentence.is_empty(), "{violation:?}");
    }
    if let Some(first) = said.violations.first() {
        assert!(first.description.starts_with(&format!("{reason}: ")), "{first:?}");
    }
    if code == Code::Unavailable {
        assert!(said.retry.is_some(), "what is not known may be known later: {said:?}");
    }
    said
}

/// Of a refusal, every decision is kept, in table order, and the refusals among them are the error's violations.
async fn kept(fleet: &Fleet, said: &Received, recovery: &pb::Recovery, decisions: &[pb::Decision]) {
    assert_eq!(recovery.state(), pb::recovery::State::Refused);
    assert!(recovery.done && recovery.steps.is_empty(), "{recovery:#?}");
    let failure = recovery.failure.as_ref().unwrap();
    assert_eq!(Some(&failure.reason), said.reason.as_ref());
    assert_eq!(Some(&failure.next_step), said.next_step.as_ref());
    let table = guards(fleet, recovery.saga()).await;
    let ids: Vec<_> = decisions.iter().map(|decision| decision.guard.as_str()).collect();
    let expected: Vec<_> = table.iter().map(|guard| guard.id.as_str()).collect();
    assert_eq!(ids, expected, "one decision per row of the table");
    for (decision, guard) in decisions.iter().zip(&table) {
        assert_eq!(decision.claim, guard.claim);
        assert_eq!(decision.phase, "plan");
        assert_eq!(decision.name, format!("{}/decisions/{}", recovery.name, decision.guard));
        assert!(decision.decide_time.is_some());
        assert!(!decision.evidence.is_empty(), "{decision:#?}");
        for fact in &decision.evidence {
            assert!(!fact.name.is_empty(), "{decision:#?}");
            assert_ne!(fact.value.is_empty(), fact.unknown.is_empty(), "{decision:#?}");
        }
    }
    let refusals: Vec<_> = decisions
        .iter()
        .filter(|decision| decision.result() == pb::decision::Result::Refuse)
        .map(|decision| {
            assert!(!decision.reason.is_empty() && !decision.message.is_empty());
            (decision.guard.clone(), format!("{}: {}", decision.reason, decision.message))
        })
        .collect();
    let violations: Vec<_> =
        said.violations.iter().map(|v| (v.guard.clone(), v.description.clone())).collect();
    assert_eq!(refusals, violations, "one violation per denial");
    assert_eq!(failure.denials.len(), refusals.len());
}

/// The guards of one saga, in table order.
pub(crate) async fn guards(fleet: &Fleet, saga: pb::Saga) -> Vec<pb::list_guards_response::Guard> {
    let request = pb::ListGuardsRequest {};
    let mut all = fleet.recovery.clone().list_guards(request).await.unwrap().into_inner().guards;
    all.retain(|guard| guard.saga() == saga);
    all
}

/// One recovery.
pub(crate) async fn recovery(fleet: &Fleet, name: &str) -> pb::Recovery {
    let request = pb::GetRecoveryRequest { name: name.to_owned() };
    fleet.recovery.clone().get_recovery(request).await.unwrap().into_inner().recovery.unwrap()
}

/// A plan, allowed or not.
pub(crate) async fn plan(fleet: &Fleet, name: &str, path: pb::RecoveryPath) -> pb::Plan {
    let request =
        pb::PlanRecoveryRequest { name: name.to_owned(), path: path.into(), ..Default::default() };
    fleet.recovery.clone().plan_recovery(request).await.unwrap().into_inner().plan.unwrap()
}

/// The verdict, with what it rests on.
pub(crate) async fn verdict(fleet: &Fleet, name: &str) -> pb::GetVerdictResponse {
    let request = pb::GetVerdictRequest { name: name.to_owned() };
    fleet.recovery.clone().get_verdict(request).await.unwrap().into_inner()
}

/// `gateways/{gateway}` of a record's name.
pub(crate) fn owner(name: &str) -> String {
    name.split("/workspaces/").next().unwrap().to_owned()
}

// === worlds ===

/// A sandbox that was adopted and is ready. Answers its full name and its id.
pub(crate) async fn adopted(
    fleet: &Fleet,
    gateway: &str,
    sandbox: &str,
    seed: &Seed,
) -> (String, String) {
    let id = fleet.sandbox(gateway, sandbox, seed).await.unwrap();
    let name = Fleet::name(gateway, sandbox);
    fleet.adopt(&name).await.unwrap();
    (name, id)
}

/// A sandbox that was adopted and then lost behind its gateway's back. Answers its full name.
pub(crate) async fn lost(fleet: &Fleet, gateway: &str, sandbox: &str, seed: &Seed) -> String {
    let (name, _) = adopted(fleet, gateway, sandbox, seed).await;
    lose(&fleet.gateway(gateway).control, sandbox).await;
    name
}

/// Loses a sandbox and waits until its row is gone.
pub(crate) async fn lose(control: &Control, sandbox: &str) {
    control.lose(sandbox).await.unwrap();
    assert!(control.wait_absent(sandbox, PATIENCE).await);
}

/// Waits until a loss is believed, so that nothing but what a scenario adds is in the way.
pub(crate) async fn believed(fleet: &Fleet, name: &str) {
    until("a settled absence", || async {
        (verdict(fleet, name).await.verdict() == pb::Verdict::Lost).then_some(())
    })
    .await;
}

/// A gateway of the scenario's own, not registered yet.
pub(crate) async fn start(config: salvor_devgateway::Config) -> Running {
    DevGateway::start(salvor_devgateway::Config { time_scale: 0.02, ..config }).await.unwrap()
}

/// Registers a gateway.
pub(crate) async fn register(
    fleet: &Fleet,
    gateway: &str,
    endpoint: &str,
    credentials: Option<registry::GatewayCredentials>,
) {
    let gateway = registry::Gateway {
        name: format!("gateways/{gateway}"),
        endpoint: endpoint.to_owned(),
        credentials,
        ..Default::default()
    };
    let request = registry::RegisterGatewayRequest { gateway: Some(gateway), ..Default::default() };
    fleet.registry.clone().register_gateway(request).await.unwrap();
}

/// Waits until a gateway is healthy and pinned, as its record says.
pub(crate) async fn healthy(fleet: &Fleet, gateway: &str) {
    until("a healthy gateway", || async {
        let found = registered(fleet, gateway).await;
        let beat = found.heartbeat?;
        (beat.healthy && found.pinned_identity.is_some()).then_some(())
    })
    .await;
}

/// A gateway as registered.
pub(crate) async fn registered(fleet: &Fleet, gateway: &str) -> registry::Gateway {
    let request = registry::GetGatewayRequest { name: format!("gateways/{gateway}") };
    fleet.registry.clone().get_gateway(request).await.unwrap().into_inner().gateway.unwrap()
}

/// Changes fields of a gateway's registration.
pub(crate) async fn reregister(
    fleet: &Fleet,
    gateway: &str,
    fields: &[&str],
    change: impl FnOnce(&mut registry::Gateway),
) {
    let mut found = registered(fleet, gateway).await;
    change(&mut found);
    let request = registry::UpdateGatewayRequest {
        gateway: Some(found),
        update_mask: Some(prost_types::FieldMask {
            paths: fields.iter().map(|&field| field.to_owned()).collect(),
        }),
    };
    fleet.registry.clone().update_gateway(request).await.unwrap();
}
