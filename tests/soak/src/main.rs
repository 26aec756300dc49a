//! Runs a whole salvor as real processes under mixed load and faults, for an hour or as long as it is told; prints what its
//! processes and stores take, and checks what must hold.
//!
//! Figures are printed and never asserted. What is asserted: recoveries end once faults do, watches tell what lists tell, one
//! sandbox of a record is there, and it is the recorded one. Deliberately absent: telemetry, TLS, containers.

mod clients;
mod database;
mod drain;
mod faults;
mod figures;
mod load;
mod options;
mod plant;
mod ports;
mod reads;
mod replay;
mod sample;
mod service;
mod starts;
mod tally;
mod watch;

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Result;
use clap::Parser as _;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{options::Options, plant::Plant, sample::Samples, watch::Watcher};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let plant = Arc::new(Box::pin(Plant::start(options)).await?);
    println!("{}", plant.description());
    load::prepare(&plant).await?;
    let samples = Arc::<Samples>::default();
    Box::pin(run(&plant, &samples)).await;
    samples.print(plant.options.length());
    plant.tally.print();
    let held = plant.tally.held();
    if !held || plant.options.keep {
        println!("kept: {}", plant.keep().display());
    }
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Load and faults until the time is over, then the drain.
async fn run(plant: &Arc<Plant>, samples: &Arc<Samples>) {
    let (over, ended) = (CancellationToken::new(), CancellationToken::new());
    let (mut busy, mut watching) = (JoinSet::new(), JoinSet::new());
    for (name, away) in [("a steady watch", Duration::ZERO), ("a watch with pauses", plant.pause())]
    {
        let watcher = Watcher { name, away, plant: Arc::clone(plant) };
        watching.spawn(watcher.run(ended.clone()));
    }
    watching.spawn(sample::run(Arc::clone(plant), Arc::clone(samples), ended.clone()));
    busy.spawn(load::run(Arc::clone(plant), over.clone()));
    busy.spawn(reads::run(Arc::clone(plant), over.clone()));
    busy.spawn(faults::run(Arc::clone(plant), over.clone()));
    tokio::select! {
        () = sleep(plant.options.length()) => {}
        _ = tokio::signal::ctrl_c() => println!("interrupted: draining"),
    }
    over.cancel();
    joined(&mut busy, plant).await;
    drain::run(plant).await;
    ended.cancel();
    joined(&mut watching, plant).await;
    plant.stop().await;
}

/// A task that ended by a panic is a defect of this program's, and says so.
async fn joined(tasks: &mut JoinSet<()>, plant: &Plant) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            plant.tally.violated(&format!("the soak itself: {error}"));
        }
    }
}
