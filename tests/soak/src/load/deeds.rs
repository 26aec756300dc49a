//! What is done to a sandbox that is live and recorded.

use rand::{RngExt as _, rngs::StdRng};
use salvor_devgateway::Phase;
use salvor_proto::{
    recovery::v1::{self as pb, RecoveryPath},
    registry::v1::UpdateSandboxRequest,
};
use tokio::time::{Duration, sleep};
use uuid::Uuid;

use super::{
    Target,
    mend::{GATEWAY, Trouble, adopt, ask, at, at_gateway, create, ended, recover},
};
use crate::{
    clients::{answer, insist},
    plant::Plant,
};

/// See [`Deed::word`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Lose,
    Stop,
    Kill,
    Label,
    Replace,
    Cancel,
    Snapshot,
    Rebuild,
    Prune,
}

/// How often each is drawn.
const WEIGHTS: [(Deed, u32); 9] = [
    (Deed::Lose, 30),
    (Deed::Stop, 15),
    (Deed::Kill, 6),
    (Deed::Label, 25),
    (Deed::Replace, 7),
    (Deed::Cancel, 6),
    (Deed::Snapshot, 4),
    (Deed::Rebuild, 5),
    (Deed::Prune, 2),
];

/// The next one.
pub(super) fn draw(rng: &mut StdRng, keeps_files: bool) -> Deed {
    let mut at = rng.random_range(0..WEIGHTS.iter().map(|(_, weight)| weight).sum());
    let drawn = WEIGHTS.iter().find(|(_, weight)| {
        let hit = at < *weight;
        at = at.saturating_sub(*weight);
        hit
    });
    match drawn.map_or(Deed::Label, |(deed, _)| *deed) {
        Deed::Snapshot | Deed::Rebuild | Deed::Prune if !keeps_files => Deed::Lose,
        deed => deed,
    }
}

impl Deed {
    /// For people.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Lose => "lost and recovered",
            Self::Stop => "stopped and revived",
            Self::Kill => "killed and recovered",
            Self::Label => "labelled",
            Self::Replace => "destroyed, made anew and adopted",
            Self::Cancel => "lost, and its recovery cancelled",
            Self::Snapshot => "written to and snapshotted",
            Self::Rebuild => "rebuilt with its files",
            Self::Prune => "snapshots pruned",
        }
    }

    /// Does it, and waits for its end.
    pub(super) async fn perform(
        self,
        plant: &Plant,
        target: &Target,
        dice: u64,
    ) -> Result<(), Trouble> {
        let control = &target.lab(plant).control;
        match self {
            Self::Lose => {
                lose(plant, target).await?;
                recover(plant, target, self.word(), RecoveryPath::Rebuild).await
            }
            Self::Stop => {
                let user = &target.lab(plant).user;
                user.stop(&target.short).await.map_err(at("the user's StopSandbox"))?;
                if !control.wait_phase(&target.short, Phase::Stopped, GATEWAY).await {
                    return Err(Trouble::Late("stopped sandbox"));
                }
                recover(plant, target, self.word(), RecoveryPath::Auto).await
            }
            Self::Kill => {
                control.kill(&target.short).await.map_err(at_gateway("a kill"))?;
                control.wait_phase(&target.short, Phase::Error, GATEWAY).await;
                recover(plant, target, self.word(), RecoveryPath::Auto).await
            }
            Self::Label => label(plant, target, dice).await,
            Self::Replace => replace(plant, target).await,
            Self::Cancel => cancel(plant, target, dice).await,
            Self::Snapshot => snapshot(plant, target, dice).await,
            Self::Rebuild => recover(plant, target, self.word(), RecoveryPath::Rebuild).await,
            Self::Prune => prune(plant, target).await,
        }
    }
}

/// Its container vanishes behind the gateway's back.
async fn lose(plant: &Plant, target: &Target) -> Result<(), Trouble> {
    let control = &target.lab(plant).control;
    control.lose(&target.short).await.map_err(at_gateway("a loss"))?;
    let gone = control.wait_absent(&target.short, GATEWAY).await;
    gone.then_some(()).ok_or(Trouble::Late("absence"))
}

/// Changes a label of its record, as whoever read it last.
async fn label(plant: &Plant, target: &Target, dice: u64) -> Result<(), Trouble> {
    let record = plant.clients.record(&target.name).await.map_err(at("GetSandbox"))?;
    let Some(mut record) = record else { return Ok(()) };
    record.labels.insert("soak".to_owned(), format!("{}", dice % 1_000));
    let mut request = UpdateSandboxRequest {
        sandbox: Some(record),
        request_id: Uuid::new_v4().to_string(),
        ..UpdateSandboxRequest::default()
    };
    request.update_mask.get_or_insert_default().paths = vec!["labels".to_owned()];
    let registry = &plant.clients.registry;
    let updated =
        insist(
            registry,
            &request,
            |mut to, request| async move { to.update_sandbox(request).await },
        )
        .await;
    updated.map(drop).map_err(at("UpdateSandbox"))
}

/// Takes it away for good, makes another one of its name, and records that.
async fn replace(plant: &Plant, target: &Target) -> Result<(), Trouble> {
    let recovery = &plant.clients.recovery;
    let name = target.name.clone();
    let request =
        pb::PlanRecoveryRequest { name: name.clone(), destroy: true, ..Default::default() };
    let plan =
        insist(
            recovery,
            &request,
            |mut to, request| async move { to.plan_recovery(request).await },
        )
        .await;
    let accept_data_loss = plan.map_err(at("PlanRecovery"))?.plan.unwrap_or_default().digest;
    let request_id = Uuid::new_v4().to_string();
    let request =
        pb::DestroySandboxRequest { name, request_id, accept_data_loss, ..Default::default() };
    let asked =
        insist(
            recovery,
            &request,
            |mut to, request| async move { to.destroy_sandbox(request).await },
        )
        .await;
    if let Some(open) = asked.map_err(at("DestroySandbox"))?.recovery {
        ended(plant, &open.name, "destroyed").await?;
    }
    if plant.clients.record(&target.name).await.map_err(at("GetSandbox"))?.is_some() {
        return Ok(());
    }
    create(plant, target).await?;
    adopt(plant, target, false).await
}

/// Asks for a recovery, and right after that it go back.
async fn cancel(plant: &Plant, target: &Target, dice: u64) -> Result<(), Trouble> {
    lose(plant, target).await?;
    let Some(name) = ask(plant, target, RecoveryPath::Rebuild).await? else { return Ok(()) };
    sleep(Duration::from_millis(dice % 200)).await;
    let request = pb::CancelRecoveryRequest { name: name.clone() };
    // Often too late, which is an answer as well.
    if let Err(status) = answer(plant.clients.recovery.clone().cancel_recovery(request)).await {
        plant.tally.error("CancelRecovery", &status);
    }
    ended(plant, &name, Deed::Cancel.word()).await
}

/// Its agent writes a little, and that is saved.
async fn snapshot(plant: &Plant, target: &Target, dice: u64) -> Result<(), Trouble> {
    if let Some(live) = target.lab(plant).control.sandbox(&target.short) {
        let file = live.root.join(format!("work-{}.txt", dice % 4));
        let text = format!("{dice:016x} ").repeat(2_000);
        let written = tokio::fs::write(file, text).await;
        if let Err(error) = written {
            plant.tally.deed(&format!("the agent could not write: {error}"));
        }
    }
    let (name, request_id) = (target.name.clone(), Uuid::new_v4().to_string());
    let request = pb::SnapshotSandboxRequest { name, request_id, ..Default::default() };
    let recovery = &plant.clients.recovery;
    let asked =
        insist(
            recovery,
            &request,
            |mut to, request| async move { to.snapshot_sandbox(request).await },
        )
        .await;
    match asked.map_err(at("SnapshotSandbox"))?.recovery {
        Some(open) => ended(plant, &open.name, Deed::Snapshot.word()).await,
        None => Ok(()),
    }
}

/// Snapshots go that no rule keeps, and so does what none needs any more.
async fn prune(plant: &Plant, target: &Target) -> Result<(), Trouble> {
    let request = pb::PruneSandboxSnapshotsRequest {
        name: target.name.clone(),
        request_id: Uuid::new_v4().to_string(),
        reclaim_space: true,
        ..pb::PruneSandboxSnapshotsRequest::default()
    };
    let recovery = &plant.clients.recovery;
    let asked = insist(recovery, &request, |mut to, request| async move {
        to.prune_sandbox_snapshots(request).await
    })
    .await;
    match asked.map_err(at("PruneSandboxSnapshots"))?.recovery {
        Some(open) => ended(plant, &open.name, Deed::Prune.word()).await,
        None => Ok(()),
    }
}
