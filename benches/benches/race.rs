//! How long another client has to replace a sandbox that is being deleted, and not be noticed before it is too late.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use opentelemetry_proto::tonic::trace::v1::Span;
use salvor_benches::{Samples, conditions, rounds};
use salvor_devgateway::{Dialect, user::Seed};
use salvor_proto::recovery::v1::recovery::State;
use salvor_runtime::telemetry;
use salvor_testkit::{Fleet, Options, otlp::Receiver, wait::until};

const DEFINITION: &str = "\
A gateway deletes by name. The adapter reads the sandbox's id right before it sends the delete, and what takes the name in
between is deleted in its place. From the adapter's spans of those two calls:
at least   from the answer of the read, at the adapter, to the sending of the delete
at most    from the sending of the read to the answer of the delete: both ways over the network, and the gateway's own time
Registry, adapter, orchestrator, gateway, caller and a receiver of all spans share one process.";
const READ: &str = "openshell.v1.OpenShell/GetSandbox";
const DELETE: &str = "openshell.v1.OpenShell/DeleteSandbox";

#[tokio::main]
async fn main() -> Result<()> {
    conditions("between the last look and the delete");
    println!("{DEFINITION}");
    let receiver = Receiver::start().await?;
    let mut config = telemetry::Config::new("salvor", "0");
    config.filter = "error".into();
    config.otlp_endpoint = Some(receiver.endpoint());
    let guard = telemetry::init(&config)?;
    for dialect in [Dialect::V0_0, Dialect::V0_1] {
        let options = Options {
            gateways: vec![("lab", dialect)],
            time_scale: 0.0001,
            settle: Duration::ZERO,
            lease_ttl: Duration::from_secs(30),
            ..Options::default()
        };
        let fleet = Fleet::start(options).await?;
        for (in_flight, times) in [(1, rounds(200, 2)), (rounds(16, 2), rounds(20, 1))] {
            let asked = run(&fleet, in_flight, times).await?;
            println!("\n{dialect:?}, {in_flight} in flight, {} deletes", asked.len());
            report(&received(&receiver, &asked).await)?;
        }
        fleet.stop().await;
    }
    tokio::task::spawn_blocking(|| guard.shutdown()).await?;
    Ok(())
}

/// Makes and destroys so many sandboxes at a time, again and again. Answers the trace of each destroy.
async fn run(fleet: &Fleet, in_flight: usize, times: usize) -> Result<Vec<String>> {
    let mut traces = Vec::new();
    for round in 0..times {
        let destroyed = (0..in_flight).map(|n| destroy(fleet, format!("s{in_flight}-{round}-{n}")));
        let asked: Vec<String> =
            stream::iter(destroyed).buffer_unordered(in_flight).try_collect().await?;
        traces.extend(asked);
    }
    Ok(traces)
}

async fn destroy(fleet: &Fleet, sandbox: String) -> Result<String> {
    let image = "registry.test/agent:1".into();
    let seed = Seed { image, rules: Some([].into()), ..Seed::default() };
    fleet.sandbox("lab", &sandbox, &seed).await?;
    let name = Fleet::name("lab", &sandbox);
    fleet.adopt(&name).await?;
    let destroyed = fleet.destroy(&name).await?;
    ensure!(destroyed.state() == State::Succeeded, "{destroyed:#?}");
    Ok(destroyed.trace_id)
}

/// The spans of each trace, once its delete has arrived.
async fn received(receiver: &Receiver, asked: &[String]) -> HashMap<String, Vec<Span>> {
    until("every trace", || async {
        let mut traces = receiver.traces();
        traces.retain(|id, spans| asked.contains(id) && spans.iter().any(|s| s.name == DELETE));
        (traces.len() == asked.len()).then_some(traces)
    })
    .await
}

fn report(traces: &HashMap<String, Vec<Span>>) -> Result<()> {
    let (mut least, mut most) = (Samples::default(), Samples::default());
    for spans in traces.values() {
        let delete = spans.iter().find(|span| span.name == DELETE).context("no delete")?;
        let before = |span: &&Span| {
            span.name == READ && span.end_time_unix_nano <= delete.start_time_unix_nano
        };
        let reads = spans.iter().filter(before);
        let read = reads.max_by_key(|span| span.end_time_unix_nano).context("no read before it")?;
        let between = |from: u64, to: u64| Duration::from_nanos(to.saturating_sub(from));
        least.push(between(read.end_time_unix_nano, delete.start_time_unix_nano));
        most.push(between(read.start_time_unix_nano, delete.end_time_unix_nano));
    }
    println!("at least {least}");
    println!("at most  {most}");
    Ok(())
}
