//! Recoveries per second against how many are at work at once, with both stores.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use salvor_benches::{Samples, conditions, measuring};
use salvor_devgateway::{Dialect, Driver, user::Seed};
use salvor_proto::{
    recovery::v1::{
        RecoverSandboxRequest, RecoveryPath, WaitRecoveryRequest, recovery::State,
        recovery_service_client::RecoveryServiceClient,
    },
    time::duration,
};
use salvor_runtime::{
    TracedChannel,
    channel::{Endpoint, connect_lazy},
};
use salvor_testkit::{Fleet, Options, store::skipped_without_a_server, wait::PATIENCE};
use tonic::Request;

type Client = RecoveryServiceClient<TracedChannel>;

const DEFINITION: &str = "\
So many sandboxes are lost at the same time, over ten gateways, and then recovered: so many callers ask at once. Each time is from
the call of RecoverSandbox to the end as WaitRecovery tells it, at its caller, waits for its turn included; the rate is their
number by the time until the last has ended. The orchestrator's and the adapter's limits are the defaults: what is asked beyond
them queues. The gateways' sandboxes are only remembered, without processes and directories; their phases run at 1/10000 of real
time and all settle windows are zero, so that nothing is waited for on purpose. Each hundred callers share a connection.
Registry, adapter, orchestrator, gateways, and callers share one process and the cores.";
const GATEWAYS: [&str; 10] = ["g0", "g1", "g2", "g3", "g4", "g5", "g6", "g7", "g8", "g9"];
/// How many at once, and how often.
const MEASURED: [(usize, usize); 4] = [(1, 100), (10, 20), (100, 3), (1_000, 1)];
const TRIED: [(usize, usize); 2] = [(1, 1), (10, 1)];
/// Callers on one connection.
const CALLERS: usize = 100;
/// The deadline of a caller: what waits for its turn among a thousand is not lost.
const DEADLINE: Duration = Duration::from_mins(2);
/// How many are made, or lost, at a time, outside of what is measured.
const HANDS: usize = 16;

#[tokio::main]
async fn main() -> Result<()> {
    conditions("recoveries in flight");
    println!("{DEFINITION}");
    for files in [true, false] {
        if !files && skipped_without_a_server("recoveries in flight on Postgres need one") {
            continue;
        }
        println!("\n{}", if files { "SQLite" } else { "Postgres" });
        let fleet = Fleet::start(options(files)).await?;
        for (in_flight, times) in if measuring() { &MEASURED[..] } else { &TRIED[..] } {
            run(&fleet, *in_flight, *times).await?;
        }
        fleet.stop().await;
    }
    Ok(())
}

fn options(files: bool) -> Options {
    Options {
        gateways: GATEWAYS.map(|name| (name, Dialect::V0_0)).to_vec(),
        time_scale: 0.0001,
        settle: Duration::ZERO,
        ready_timeout: Duration::from_mins(5),
        lease_ttl: Duration::from_secs(30),
        undetermined_timeout: Duration::from_mins(1),
        mutation_timeout: Duration::from_mins(1),
        read_timeout: Duration::from_secs(5),
        driver: Driver::Imaginary,
        files,
        ..Options::default()
    }
}

async fn run(fleet: &Fleet, in_flight: usize, times: usize) -> Result<()> {
    let sandboxes: Vec<(&str, String)> = (0..in_flight)
        .map(|at| (GATEWAYS[at % GATEWAYS.len()], format!("s{in_flight}-{at:04}")))
        .collect();
    each(&sandboxes, |gateway, sandbox| make(fleet, gateway, sandbox)).await?;
    let orchestrator = fleet.orchestrator_service.as_ref().context("no orchestrator")?.address;
    let client =
        |_| Ok(Client::new(connect_lazy(&Endpoint::new(format!("http://{orchestrator}")))?));
    let clients = (0..in_flight.div_ceil(CALLERS)).map(client).collect::<Result<Vec<_>>>()?;
    let (mut samples, mut spent) = (Samples::default(), Duration::ZERO);
    for _ in 0..times {
        each(&sandboxes, |gateway, sandbox| lose(fleet, gateway, sandbox)).await?;
        let begun = Instant::now();
        let recoveries = sandboxes.iter().enumerate().map(|(at, (gateway, sandbox))| {
            recover(&clients[at / CALLERS], Fleet::name(gateway, sandbox))
        });
        let taken: Vec<Duration> =
            stream::iter(recoveries).buffer_unordered(in_flight).try_collect().await?;
        spent += begun.elapsed();
        for sample in taken {
            samples.push(sample);
        }
    }
    each(&sandboxes, |gateway, sandbox| lose(fleet, gateway, sandbox)).await?;
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let rate = samples.len() as f64 / spent.as_secs_f64();
    println!("{in_flight:5} in flight {rate:8.1} recoveries per s   {samples}");
    Ok(())
}

async fn each<'a, F: Future<Output = Result<()>>>(
    sandboxes: &'a [(&'static str, String)],
    work: impl Fn(&'static str, &'a str) -> F,
) -> Result<()> {
    let work = sandboxes.iter().map(|(gateway, sandbox)| work(gateway, sandbox));
    stream::iter(work).buffer_unordered(HANDS).try_collect().await
}

async fn make(fleet: &Fleet, gateway: &str, sandbox: &str) -> Result<()> {
    let image = "registry.test/agent:1".into();
    let seed = Seed { image, rules: Some([].into()), ..Seed::default() };
    fleet.sandbox(gateway, sandbox, &seed).await?;
    fleet.adopt(&Fleet::name(gateway, sandbox)).await?;
    Ok(())
}

async fn lose(fleet: &Fleet, gateway: &str, sandbox: &str) -> Result<()> {
    let control = &fleet.gateway(gateway).control;
    control.lose(sandbox).await?;
    ensure!(control.wait_absent(sandbox, PATIENCE).await, "{sandbox} is still there");
    control.clear_calls();
    Ok(())
}

async fn recover(client: &Client, name: String) -> Result<Duration> {
    let begun = Instant::now();
    let mut request = Request::new(RecoverSandboxRequest {
        name,
        path: RecoveryPath::Rebuild.into(),
        ..RecoverSandboxRequest::default()
    });
    request.set_timeout(DEADLINE);
    let accepted = client.clone().recover_sandbox(request).await?.into_inner().recovery;
    let mut recovery = accepted.context("there was nothing to do")?;
    while !recovery.done {
        ensure!(recovery.state() != State::Parked, "{recovery:#?}");
        let mut request = Request::new(WaitRecoveryRequest {
            name: recovery.name,
            timeout: Some(duration(PATIENCE)),
        });
        request.set_timeout(DEADLINE);
        let answer = client.clone().wait_recovery(request).await?.into_inner();
        recovery = answer.recovery.context("no recovery")?;
    }
    ensure!(recovery.state() == State::Succeeded, "{recovery:#?}");
    Ok(begun.elapsed())
}
