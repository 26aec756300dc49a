//! Bringing a sandbox back to what it should be: there, ready and recorded.

use std::{collections::BTreeMap, time::Duration};

use salvor_devgateway::{ControlError, Phase, user::Seed};
use salvor_proto::{
    recovery::v1::{self as pb, Verdict, recovery::State},
    registry::v1::{Retention, SnapshotRules},
    time::duration,
};
use tonic::{Code, Status};
use uuid::Uuid;

use super::Target;
use crate::{
    clients::{answer, insist},
    plant::Plant,
};

/// How long a gateway's own affairs may take.
pub(super) const GATEWAY: Duration = Duration::from_secs(15);
/// How long one who asked for a recovery waits for its end.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// Why a deed was not done.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A call's answer, or the lack of one.
    Answer(&'static str, Status),
    /// Something did not come in time.
    Late(&'static str),
}

/// Counts it.
pub(super) fn told(plant: &Plant, deed: &str, trouble: &Trouble) {
    match trouble {
        Trouble::Answer(call, status) => plant.tally.error(&format!("{deed}, {call}"), status),
        Trouble::Late(what) => plant.tally.deed(&format!("{deed}: no {what} in time")),
    }
}

pub(super) fn at(call: &'static str) -> impl Fn(Status) -> Trouble {
    move |status| Trouble::Answer(call, status)
}

pub(super) fn at_gateway(call: &'static str) -> impl Fn(ControlError) -> Trouble {
    move |error| Trouble::Answer(call, Status::not_found(error.to_string()))
}

/// One step towards a sandbox that is live and recorded. Whether it is both already.
pub(crate) async fn mend(plant: &Plant, target: &Target) -> Result<bool, Trouble> {
    let status = match plant.clients.status(&target.name).await {
        Err(status) if status.code() == Code::NotFound => {
            create(plant, target).await?;
            return adopt(plant, target, false).await.map(|()| true);
        }
        status => status.map_err(at("GetStatus"))?,
    };
    if !status.open_recovery.is_empty() {
        let what = "found open";
        ended(plant, &status.open_recovery, what).await?;
        return Ok(false);
    }
    match status.verdict() {
        Verdict::Live => return Ok(true),
        Verdict::Lost | Verdict::Revivable | Verdict::Failed => {
            recover(plant, target, "mended", pb::RecoveryPath::Auto).await?;
        }
        Verdict::Destroyed => {
            create(plant, target).await?;
            adopt(plant, target, false).await?;
        }
        other => plant.tally.deed(&format!("left alone: {}", other.as_str_name())),
    }
    Ok(false)
}

/// Makes it on its gateway, as its user, if it is not there.
pub(super) async fn create(plant: &Plant, target: &Target) -> Result<(), Trouble> {
    let lab = target.lab(plant);
    if lab.control.sandbox(&target.short).is_none() {
        let seed = Seed {
            image: "registry.test/agent:1".into(),
            environment: BTreeMap::from([("AGENT_TOKEN".into(), "s3cret-value".into())]),
            rules: Some(BTreeMap::from([("custom-git".into(), vec!["git.test".into()])])),
            labels: BTreeMap::from([("team".into(), "red".into())]),
            ..Seed::default()
        };
        lab.user.create(&target.short, &seed).await.map_err(at("the user's CreateSandbox"))?;
    }
    let ready = lab.control.wait_phase(&target.short, Phase::Ready, GATEWAY).await;
    ready.then_some(()).ok_or(Trouble::Late("ready sandbox"))
}

/// Records it.
pub(super) async fn adopt(plant: &Plant, target: &Target, rebind: bool) -> Result<(), Trouble> {
    let rules = SnapshotRules {
        roots: vec!["/sandbox".into()],
        interval: Some(duration(Duration::from_mins(5))),
        retention: Some(Retention { keep_last: 2, ..Retention::default() }),
        ..SnapshotRules::default()
    };
    let request = pb::AdoptSandboxRequest {
        name: target.name.clone(),
        request_id: Uuid::new_v4().to_string(),
        snapshot_rules: target.keeps_files.then_some(rules),
        rebind,
        ..pb::AdoptSandboxRequest::default()
    };
    let recovery = &plant.clients.recovery;
    let adopted =
        insist(
            recovery,
            &request,
            |mut to, request| async move { to.adopt_sandbox(request).await },
        );
    adopted.await.map(drop).map_err(at("AdoptSandbox"))
}

/// Asks for a recovery, accepting what its plan loses, and waits for its end.
pub(super) async fn recover(
    plant: &Plant,
    target: &Target,
    what: &str,
    path: pb::RecoveryPath,
) -> Result<(), Trouble> {
    match ask(plant, target, path).await? {
        Some(name) => ended(plant, &name, what).await,
        None => Ok(()),
    }
}

/// Asks for a recovery; none if there is nothing to do.
pub(super) async fn ask(
    plant: &Plant,
    target: &Target,
    path: pb::RecoveryPath,
) -> Result<Option<String>, Trouble> {
    let recovery = &plant.clients.recovery;
    let (name, path) = (target.name.clone(), path.into());
    let request = pb::PlanRecoveryRequest { name: name.clone(), path, ..Default::default() };
    let plan =
        insist(
            recovery,
            &request,
            |mut to, request| async move { to.plan_recovery(request).await },
        )
        .await;
    let plan = plan.map_err(at("PlanRecovery"))?.plan.unwrap_or_default();
    let accept_data_loss = if plan.losses.is_empty() { String::new() } else { plan.digest };
    let request_id = Uuid::new_v4().to_string();
    let request = pb::RecoverSandboxRequest {
        name,
        path,
        request_id,
        accept_data_loss,
        ..Default::default()
    };
    let asked =
        insist(
            recovery,
            &request,
            |mut to, request| async move { to.recover_sandbox(request).await },
        )
        .await;
    Ok(asked.map_err(at("RecoverSandbox"))?.recovery.map(|recovery| recovery.name))
}

/// Waits for a recovery's end, and counts it. A parked one is resumed once.
pub(super) async fn ended(plant: &Plant, name: &str, what: &str) -> Result<(), Trouble> {
    let mut recovery = plant.clients.wait(name, PATIENCE).await.map_err(at("WaitRecovery"))?;
    if recovery.state() == State::Parked {
        plant.tally.recovery(&format!("{what}: {}", outcome(&recovery)));
        let request = pb::RetryRecoveryRequest { name: name.to_owned() };
        let retried = answer(plant.clients.recovery.clone().retry_recovery(request)).await;
        retried.map_err(at("RetryRecovery"))?;
        recovery = plant.clients.wait(name, PATIENCE).await.map_err(at("WaitRecovery"))?;
    }
    plant.tally.recovery(&format!("{what}: {}", outcome(&recovery)));
    Ok(())
}

/// In a word or two: the state, and the reason if there is one.
pub(crate) fn outcome(recovery: &pb::Recovery) -> String {
    let state = recovery.state().as_str_name().trim_start_matches("STATE_");
    let reason = recovery.failure.as_ref().map_or("", |failure| failure.reason.as_str());
    format!("{state} {reason}").trim_end().to_owned()
}
