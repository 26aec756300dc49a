//! States that scenarios begin with, and what they look at afterwards.

use salvor_devgateway::{Dialect, Phase};
use salvor_proto::{
    error::received,
    recovery::v1::{self as pb, recovery::State},
    registry::v1 as registry,
};
use salvor_testkit::{Fleet, Options, fleet::Lab, wait::PATIENCE, wait::until};

use crate::support::seed;

/// The one gateway of most scenarios.
pub(crate) const LAB: &str = "lab";

/// One gateway of this wire.
pub(crate) fn on(dialect: Dialect) -> Options {
    Options { gateways: vec![(LAB, dialect)], ..Options::default() }
}

/// A fleet with one gateway of this wire.
pub(crate) async fn fleet_on(dialect: Dialect) -> Fleet {
    Fleet::start(on(dialect)).await.unwrap()
}

/// The gateway.
pub(crate) fn lab(fleet: &Fleet) -> &Lab {
    fleet.gateway(LAB)
}

/// The request that adopts a sandbox of the one gateway.
pub(crate) fn adoption(sandbox: &str) -> pb::AdoptSandboxRequest {
    pb::AdoptSandboxRequest { name: Fleet::name(LAB, sandbox), ..Default::default() }
}

/// Live and recorded. Answers its full name and its id.
pub(crate) async fn adopted(fleet: &Fleet, sandbox: &str) -> (String, String) {
    adopted_as(fleet, sandbox, adoption(sandbox)).await
}

/// Live and recorded as asked.
pub(crate) async fn adopted_as(
    fleet: &Fleet,
    sandbox: &str,
    request: pb::AdoptSandboxRequest,
) -> (String, String) {
    let id = fleet.sandbox(LAB, sandbox, &seed()).await.unwrap();
    fleet.adopt_with(request).await.unwrap();
    lab(fleet).control.clear_calls();
    (Fleet::name(LAB, sandbox), id)
}

/// Recorded, then lost behind the gateway's back. Answers its full name and its former id.
pub(crate) async fn lost(fleet: &Fleet, sandbox: &str) -> (String, String) {
    lost_as(fleet, sandbox, adoption(sandbox)).await
}

/// Recorded as asked, then lost.
pub(crate) async fn lost_as(
    fleet: &Fleet,
    sandbox: &str,
    request: pb::AdoptSandboxRequest,
) -> (String, String) {
    let known = adopted_as(fleet, sandbox, request).await;
    lose(fleet, sandbox).await;
    known
}

/// Its container is removed and its row pruned.
pub(crate) async fn lose(fleet: &Fleet, sandbox: &str) {
    let control = &lab(fleet).control;
    control.lose(sandbox).await.unwrap();
    assert!(control.wait_absent(sandbox, PATIENCE).await);
    control.clear_calls();
}

/// Recorded, then stopped by its user.
pub(crate) async fn stopped(fleet: &Fleet, sandbox: &str) -> (String, String) {
    let known = adopted(fleet, sandbox).await;
    stop(fleet, sandbox).await;
    known
}

/// Its user stops it.
pub(crate) async fn stop(fleet: &Fleet, sandbox: &str) {
    let lab = lab(fleet);
    lab.user.stop(sandbox).await.unwrap();
    assert!(lab.control.wait_phase(sandbox, Phase::Stopped, PATIENCE).await);
    lab.control.clear_calls();
}

/// Writes a file into a live sandbox.
pub(crate) async fn write(fleet: &Fleet, sandbox: &str, id: &str, path: &str, text: &str) {
    let script = format!("printf %s '{text}' > {path}");
    let done = lab(fleet).user.exec(sandbox, id, &["/bin/sh", "-c", &script]).await.unwrap();
    assert_eq!(done.exit, Some(0), "{path} was not written");
}

/// What a command prints in a live sandbox.
pub(crate) async fn output(fleet: &Fleet, sandbox: &str, id: &str, command: &[&str]) -> String {
    let done = lab(fleet).user.exec(sandbox, id, command).await.unwrap();
    assert_eq!(done.exit, Some(0), "{command:?}");
    String::from_utf8(done.stdout).unwrap()
}

/// The policy in force, as the adapter reads it.
pub(crate) async fn policy_in_force(fleet: &Fleet, sandbox: &str, id: &str) -> registry::Policy {
    use salvor_proto::gateway::v1 as gateway;
    let request = gateway::GetEffectivePolicyRequest {
        sandbox: Some(gateway::SandboxRef {
            gateway: format!("gateways/{LAB}"),
            workspace: "default".into(),
            sandbox: sandbox.into(),
        }),
        live_id: id.into(),
        with_content: false,
    };
    let answer = fleet.adapter.clone().get_effective_policy(request).await.unwrap().into_inner();
    match answer.result.unwrap() {
        gateway::get_effective_policy_response::Result::Policy(policy) => policy,
        gateway::get_effective_policy_response::Result::Unknown(why) => panic!("{why:?}"),
    }
}

/// The methods of the mutating calls since the log was cleared.
pub(crate) fn mutations(fleet: &Fleet) -> Vec<String> {
    lab(fleet).control.mutating_calls().into_iter().map(|call| call.method).collect()
}

/// So many calls of a method have succeeded.
pub(crate) fn succeeded(fleet: &Fleet, method: &str) -> usize {
    let calls = lab(fleet).control.mutating_calls();
    calls.iter().filter(|call| call.method == method && call.succeeded()).count()
}

/// A record's content: all of it but which write it was.
pub(crate) fn content(mut record: registry::Sandbox) -> registry::Sandbox {
    record.etag.clear();
    record.revision = 0;
    record.update_time = None;
    record
}

/// The record's content as it stands.
pub(crate) async fn recorded(fleet: &Fleet, name: &str) -> registry::Sandbox {
    content(fleet.record(name).await.unwrap())
}

/// Waits until the verdict is this one: an absence has to settle.
pub(crate) async fn verdict(fleet: &Fleet, name: &str, wanted: pb::Verdict) -> pb::SandboxStatus {
    until(wanted.as_str_name(), || async {
        let status = fleet.status(name).await.unwrap();
        (status.verdict() == wanted).then_some(status)
    })
    .await
}

/// Reads a recovery.
pub(crate) async fn recovery(fleet: &Fleet, name: &str) -> pb::Recovery {
    let request = pb::GetRecoveryRequest { name: name.to_owned() };
    fleet.recovery.clone().get_recovery(request).await.unwrap().into_inner().recovery.unwrap()
}

/// Waits until a recovery is in this state.
pub(crate) async fn reaches(fleet: &Fleet, name: &str, wanted: State) -> pb::Recovery {
    until(wanted.as_str_name(), || async {
        let now = recovery(fleet, name).await;
        (now.state() == wanted).then_some(now)
    })
    .await
}

/// The steps of a recovery with their outcomes.
pub(crate) fn steps(recovery: &pb::Recovery) -> Vec<(&str, &str)> {
    recovery.steps.iter().map(|step| (step.step.as_str(), step.outcome.as_str())).collect()
}

/// The reasons of all violations of a refusal.
pub(crate) fn violations(status: &tonic::Status) -> Vec<String> {
    let violations = received(status).violations;
    violations
        .iter()
        .map(|v| v.description.split(':').next().unwrap_or_default().to_owned())
        .collect()
}

/// What an error says to run next.
pub(crate) fn next_step(status: &tonic::Status) -> String {
    received(status).next_step.unwrap_or_default()
}

// === the record's lease ===

/// Takes the lease of a record. Answers its fence token.
pub(crate) async fn hold(fleet: &Fleet, name: &str) -> i64 {
    hold_as(fleet, name, "of-the-test").await
}

/// Takes it as this holder.
pub(crate) async fn hold_as(fleet: &Fleet, name: &str, holder: &str) -> i64 {
    let (sandbox, holder) = (name.to_owned(), holder.to_owned());
    let request = registry::AcquireLeaseRequest { sandbox, holder, ttl: None };
    let answer = fleet.registry.clone().acquire_lease(request).await.unwrap();
    answer.into_inner().lease.unwrap().fence_token
}

/// Who holds it.
pub(crate) async fn held_by(fleet: &Fleet, name: &str) -> String {
    let (sandbox, holder) = (name.to_owned(), "somebody-else".to_owned());
    let request = registry::AcquireLeaseRequest { sandbox, holder, ttl: None };
    let held = fleet.registry.clone().acquire_lease(request).await.unwrap_err();
    received(&held).metadata["holder"].clone()
}

/// Takes it over from whoever has it, as another process does that goes on under the same name. Answers its fence token.
pub(crate) async fn take_over(fleet: &Fleet, name: &str) -> i64 {
    let holder = held_by(fleet, name).await;
    hold_as(fleet, name, &holder).await
}

/// Gives it back.
pub(crate) async fn release(fleet: &Fleet, name: &str, fence_token: i64) {
    let request = registry::ReleaseLeaseRequest { sandbox: name.to_owned(), fence_token };
    fleet.registry.clone().release_lease(request).await.unwrap();
}

/// The record is destroyed by whoever holds its lease.
pub(crate) async fn bury(fleet: &Fleet, name: &str, fence_token: i64) {
    let etag = fleet.record(name).await.unwrap().etag;
    let request = registry::DeleteSandboxRequest {
        name: name.to_owned(),
        etag,
        fence_token,
        ..registry::DeleteSandboxRequest::default()
    };
    fleet.registry.clone().delete_sandbox(request).await.unwrap();
}
