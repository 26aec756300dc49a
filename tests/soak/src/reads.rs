//! Reads, which must change nothing and hold nobody up.

use std::{sync::Arc, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use salvor_proto::recovery::v1 as pb;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::{
    clients::answer,
    load::{Target, targets},
    plant::Plant,
};

const EVERY: Duration = Duration::from_millis(400);

/// One read after another until it is over.
pub(crate) async fn run(plant: Arc<Plant>, over: CancellationToken) {
    let mut rng = StdRng::seed_from_u64(plant.options.seed ^ 0x5eed);
    let targets = targets(&plant);
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = over.cancelled() => return,
        }
        let (word, outcome) =
            read(&plant, &targets[rng.random_range(0..targets.len())], rng.random_range(0..7))
                .await;
        plant.tally.deed(word);
        match outcome {
            // A sandbox may be between its destruction and its next record.
            Err(status) if status.code() != Code::NotFound => plant.tally.error(word, &status),
            _ => {}
        }
    }
}

async fn read(plant: &Plant, target: &Target, which: u32) -> (&'static str, Result<(), Status>) {
    let clients = &plant.clients;
    let (mut recovery, name) = (clients.recovery.clone(), target.name.clone());
    match which {
        0 => ("GetStatus", clients.status(&name).await.map(drop)),
        1 => {
            let request = pb::GetVerdictRequest { name };
            ("GetVerdict", answer(recovery.get_verdict(request)).await.map(drop))
        }
        2 => {
            let request = pb::PlanRecoveryRequest { name, ..Default::default() };
            ("PlanRecovery", answer(recovery.plan_recovery(request)).await.map(drop))
        }
        3 => ("ListSandboxes, all pages", clients.list().await.map(drop)),
        4 => {
            let request = pb::ListRecoveriesRequest { sandbox: name, ..Default::default() };
            ("ListRecoveries", answer(recovery.list_recoveries(request)).await.map(drop))
        }
        5 => {
            let request =
                pb::ListDecisionsRequest { parent: name, page_size: 100, ..Default::default() };
            ("ListDecisions", answer(recovery.list_decisions(request)).await.map(drop))
        }
        _ => {
            let request = pb::ConnectSandboxRequest { name };
            ("ConnectSandbox", answer(recovery.connect_sandbox(request)).await.map(drop))
        }
    }
}
