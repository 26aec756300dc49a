//! The load: deeds at a bounded rate, each on a sandbox that no other deed is on.

mod deeds;
mod mend;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::Mutex,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::mend::{mend, outcome};
use crate::plant::{Lab, Plant};
use deeds::{Deed, draw};

/// No deed takes longer, whatever goes wrong.
const LONGEST: Duration = Duration::from_mins(4);
/// So many sandboxes have workspaces that are kept.
const KEEPERS: usize = 8;

/// One sandbox of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Of its gateway.
    pub(crate) lab: usize,
    /// Its name there.
    pub(crate) short: String,
    /// Its record's name.
    pub(crate) name: String,
    /// Whether snapshots are taken of it.
    pub(crate) keeps_files: bool,
}

impl Target {
    pub(crate) fn lab<'a>(&self, plant: &'a Plant) -> &'a Lab {
        &plant.labs[self.lab]
    }
}

/// All sandboxes that there are ever.
pub(crate) fn targets(plant: &Plant) -> Vec<Target> {
    let target = |index: usize| {
        let lab = index % plant.labs.len();
        let short = format!("agent-{index}");
        let gateway = plant.labs[lab].name;
        let name = format!("gateways/{gateway}/workspaces/default/sandboxes/{short}");
        Target { lab, short, name, keeps_files: index < KEEPERS }
    };
    (0..plant.options.sandboxes).map(target).collect()
}

/// Makes and records every sandbox, before anything goes wrong.
pub(crate) async fn prepare(plant: &Arc<Plant>) -> Result<()> {
    for target in targets(plant) {
        let mut tries = 0;
        while !mend(plant, &target).await.unwrap_or(false) {
            tries += 1;
            anyhow::ensure!(tries < 60, "{} cannot be prepared", target.name);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let record = plant.clients.record(&target.name).await?;
        record.with_context(|| format!("{} has no record", target.name))?;
    }
    Ok(())
}

/// Deeds until it is over, and until those have ended.
pub(crate) async fn run(plant: Arc<Plant>, over: CancellationToken) {
    let mut rng = StdRng::seed_from_u64(plant.options.seed);
    let targets: Vec<_> =
        targets(&plant).into_iter().map(|target| Arc::new(Mutex::new(target))).collect();
    let mut ticks = interval(Duration::from_secs_f64(1.0 / plant.options.rate.max(0.01)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut busy = JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = over.cancelled() => break,
        }
        while busy.try_join_next().is_some() {}
        let target = Arc::clone(&targets[rng.random_range(0..targets.len())]);
        let Ok(target) = target.try_lock_owned() else { continue };
        let deed = draw(&mut rng, target.keeps_files);
        let (plant, dice) = (Arc::clone(&plant), rng.random());
        busy.spawn(async move { perform(&plant, &target, deed, dice).await });
    }
    while busy.join_next().await.is_some() {}
}

/// Does it, once the sandbox is as it should be.
async fn perform(plant: &Plant, target: &Target, deed: Deed, dice: u64) {
    let done = async {
        if mend(plant, target).await? {
            plant.tally.deed(deed.word());
            deed.perform(plant, target, dice).await?;
        }
        Ok(())
    };
    match timeout(LONGEST, done).await {
        Ok(Ok(())) => {}
        Ok(Err(trouble)) => mend::told(plant, deed.word(), &trouble),
        Err(_) => plant.tally.deed("given up after minutes"),
    }
}
