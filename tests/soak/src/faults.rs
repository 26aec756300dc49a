//! What is made to go wrong, on a schedule drawn from the seed.

use std::{sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use salvor_devgateway::{Effect, Fault, Restart};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::{
    plant::{LEASE, Plant},
    service::Service,
};

/// Calls that change a gateway.
const EFFECTS: [&str; 4] = ["CreateSandbox", "DeleteSandbox", "StartSandbox", "StopSandbox"];
/// Calls that look at it.
const LOOKS: [&str; 3] = ["GetSandbox", "ListSandboxes", "ExecSandbox"];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Kill,
    Stop,
    RestartGateway,
    Misbehave,
    Terminate,
}

/// Faults as often as they are to come, in any order, and again when all have come: so each comes in a short run as well.
const DECK: [Kind; 10] = [
    Kind::Kill,
    Kind::Stop,
    Kind::Stop,
    Kind::RestartGateway,
    Kind::Terminate,
    Kind::Misbehave,
    Kind::Misbehave,
    Kind::Misbehave,
    Kind::Misbehave,
    Kind::Misbehave,
];

/// One after another until it is over.
pub(crate) async fn run(plant: Arc<Plant>, over: CancellationToken) {
    let mean = plant.options.fault_seconds;
    if mean <= 0.0 {
        return;
    }
    let mut rng = StdRng::seed_from_u64(plant.options.seed ^ 0xfa17);
    let kills = plant.options.length().mul_f64(plant.options.kill_until.clamp(0.0, 100.0) / 100.0);
    let (begun, mut deck) = (Instant::now(), Vec::new());
    loop {
        let pause = Duration::from_secs_f64(mean * rng.random_range(0.2..1.8));
        tokio::select! {
            () = sleep(pause) => {}
            () = over.cancelled() => break,
        }
        if deck.is_empty() {
            deck.extend(DECK);
            deck.shuffle(&mut rng);
        }
        let kind = match deck.pop().unwrap_or(Kind::Misbehave) {
            Kind::Terminate if plant.options.server().is_none() => Kind::RestartGateway,
            Kind::Kill if begun.elapsed() >= kills => Kind::Stop,
            kind => kind,
        };
        // To its end, so that nothing stays stopped.
        inject(&plant, kind, &mut rng).await;
    }
    calm(&plant).await;
}

async fn inject(plant: &Plant, kind: Kind, rng: &mut StdRng) {
    let service = &plant.services[rng.random_range(0..plant.services.len())];
    match kind {
        Kind::Kill => {
            plant.tally.fault(&format!("{} killed", service.name()));
            if let Err(error) = service.kill().await {
                plant.tally.violated(&format!("{} cannot be killed: {error:#}", service.name()));
            }
            sleep(Duration::from_millis(rng.random_range(0..2_000))).await;
            restart(plant, service).await;
        }
        Kind::Stop => {
            plant.tally.fault(&format!("{} stopped past its lease", service.name()));
            service.signal(Signal::SIGSTOP).await;
            sleep(LEASE.mul_f64(rng.random_range(1.2..2.2))).await;
            service.signal(Signal::SIGCONT).await;
        }
        Kind::RestartGateway => restart_gateway(plant, rng).await,
        Kind::Misbehave => misbehave(plant, rng),
        Kind::Terminate => match plant.records.terminate().await {
            Ok(ended) => {
                plant.tally.fault("connections to Postgres terminated, several at once");
                (0..ended).for_each(|_| plant.tally.fault("connections terminated"));
            }
            Err(error) => plant.tally.deed(&format!("connections not terminated: {error}")),
        },
    }
}

async fn restart_gateway(plant: &Plant, rng: &mut StdRng) {
    let lab = &plant.labs[rng.random_range(0..plant.labs.len())];
    let (how, word) = if rng.random_bool(0.3) {
        (Restart::Graceful, "gateway restarted in an orderly way")
    } else {
        (Restart::Killed, "gateway killed and restarted")
    };
    plant.tally.fault(word);
    let away = Duration::from_millis(rng.random_range(0..3_000));
    if let Err(error) = lab.control.down(how).await {
        plant.tally.violated(&format!("gateway {} does not go down: {error}", lab.name));
    }
    sleep(away).await;
    if let Err(error) = lab.control.up().await {
        plant.tally.violated(&format!("gateway {} does not come back: {error}", lab.name));
    }
}

/// A few calls at one gateway go wrong.
fn misbehave(plant: &Plant, rng: &mut StdRng) {
    let control = &plant.labs[rng.random_range(0..plant.labs.len())].control;
    let effect = EFFECTS[rng.random_range(0..EFFECTS.len())];
    let look = LOOKS[rng.random_range(0..LOOKS.len())];
    let millis = rng.random_range(200..3_000);
    let times = rng.random_range(1..5);
    let (word, fault) = match rng.random_range(0..6) {
        0 | 1 => ("replies of effects lost", Fault::on(effect, Effect::LoseReply)),
        2 => ("effects delayed", Fault::on(effect, Effect::Delay { millis })),
        3 => ("effects failed", Fault::fail(effect, Code::Unavailable, "the soak says so")),
        4 => ("looks delayed", Fault::on(look, Effect::Delay { millis })),
        _ => ("looks failed", Fault::fail(look, Code::Unavailable, "the soak says so")),
    };
    plant.tally.fault(word);
    control.fault(fault.times(times));
}

/// Starts a service anew; that it does not is a failure.
pub(crate) async fn restart(plant: &Plant, service: &Service) {
    if let Err(error) = service.restart().await {
        plant.tally.violated(&format!("it does not start again: {error:#}"));
    }
}

/// Everything runs, and nothing misbehaves any more.
async fn calm(plant: &Plant) {
    for lab in &plant.labs {
        lab.control.clear_faults();
        if let Err(error) = lab.control.up().await {
            plant.tally.violated(&format!("gateway {} does not come back: {error}", lab.name));
        }
    }
    for service in &plant.services {
        service.signal(Signal::SIGCONT).await;
        restart(plant, service).await;
    }
}
