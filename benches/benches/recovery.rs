//! Control-plane time of a stale recovery: what remains of it without the gateway.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use opentelemetry_proto::tonic::trace::v1::Span;
use salvor_benches::{Samples, conditions, rounds};
use salvor_devgateway::user::Seed;
use salvor_proto::recovery::v1::{self as pb, recovery::State};
use salvor_runtime::telemetry;
use salvor_testkit::{
    Fleet, Options,
    otlp::Receiver,
    wait::{PATIENCE, until},
};
use tracing::{Instrument as _, info_span};

const DEFINITION: &str = "\
total          from the call of RecoverSandbox to the answer of WaitRecovery, at the caller
gateway        of it: while at least one of the adapter's calls to the gateway was open
phase wait     of it: while step await_ready paused between two looks at the gateway
control plane  = total - gateway - phase wait: salvor's own work, its RPCs, commits and pauses elsewhere
The gateway's phases run at 1/10000 of their real time and both settle windows are zero, so that nothing is waited for.
Registry, adapter, orchestrator, gateway, caller and a receiver of all spans share one process.";

#[tokio::main]
async fn main() -> Result<()> {
    conditions("stale recovery, control-plane time");
    println!("{DEFINITION}");
    let receiver = Receiver::start().await?;
    let mut config = telemetry::Config::new("salvor", "0");
    // The gateway says so when a sandbox is taken away under its hands, which is what happens here.
    config.filter = "error,salvor_devgateway=off".into();
    config.otlp_endpoint = Some(receiver.endpoint());
    let guard = telemetry::init(&config)?;
    let options = Options {
        time_scale: 0.0001,
        settle: Duration::ZERO,
        lease_ttl: Duration::from_secs(30),
        ready_timeout: Duration::from_mins(1),
        ..Options::default()
    };
    let fleet = Fleet::start(options).await?;
    for (in_flight, times) in [(1, rounds(200, 2)), (rounds(64, 4), rounds(5, 1))] {
        let asked = run(&fleet, in_flight, times).await?;
        let traces = received(&receiver, &asked).await;
        println!("\n{in_flight} in flight, {} recoveries", asked.len());
        report(&traces)?;
    }
    fleet.stop().await;
    tokio::task::spawn_blocking(|| guard.shutdown()).await?;
    Ok(())
}

/// Loses and recovers so many sandboxes at a time, again and again. Answers the trace of each recovery.
async fn run(fleet: &Fleet, in_flight: usize, times: usize) -> Result<Vec<String>> {
    let names: Vec<String> = (0..in_flight).map(|n| format!("s{in_flight}-{n}")).collect();
    for sandbox in &names {
        fleet.sandbox("lab", sandbox, &seed()).await?;
        fleet.adopt(&Fleet::name("lab", sandbox)).await?;
    }
    let control = &fleet.gateway("lab").control;
    let mut traces = Vec::new();
    for _ in 0..times {
        for sandbox in &names {
            control.lose(sandbox).await?;
            ensure!(control.wait_absent(sandbox, PATIENCE).await, "{sandbox} is still there");
        }
        control.clear_calls();
        let recoveries = names.iter().map(|sandbox| recover(fleet, sandbox));
        let asked: Vec<String> =
            stream::iter(recoveries).buffer_unordered(in_flight).try_collect().await?;
        traces.extend(asked);
    }
    for sandbox in &names {
        control.lose(sandbox).await?;
    }
    Ok(traces)
}

fn seed() -> Seed {
    Seed { image: "registry.test/agent:1".into(), rules: Some([].into()), ..Seed::default() }
}

async fn recover(fleet: &Fleet, sandbox: &str) -> Result<String> {
    let name = Fleet::name("lab", sandbox);
    let span = info_span!(target: "salvor_benches", parent: None, "caller");
    let asked = fleet.recover_to_the_end(&name, pb::RecoveryPath::Rebuild);
    let recovery = asked.instrument(span).await?;
    ensure!(recovery.state() == State::Succeeded, "{recovery:#?}");
    Ok(recovery.trace_id)
}

/// The spans of each trace, once all of them have arrived.
async fn received(receiver: &Receiver, asked: &[String]) -> HashMap<String, Vec<Span>> {
    until("every trace", || async {
        let mut traces = receiver.traces();
        traces.retain(|id, spans| asked.contains(id) && spans.iter().any(|s| s.name == "caller"));
        (traces.len() == asked.len()).then_some(traces)
    })
    .await
}

fn report(traces: &HashMap<String, Vec<Span>>) -> Result<()> {
    let mut parts: [Samples; 4] = Default::default();
    let mut calls: HashMap<String, (usize, Duration)> = HashMap::new();
    for spans in traces.values() {
        let named = |name: &str| spans.iter().find(|span| span.name == name);
        let total = length(named("caller").context("no caller")?);
        let gateway: Vec<_> = spans.iter().filter(|s| is_gateway(s)).map(bounds).collect();
        let waited = named("step await_ready").context("no await_ready")?;
        let below = spans.iter().filter(|s| s.parent_span_id == waited.span_id).map(bounds);
        let phase = length(waited).saturating_sub(covered(below.collect()));
        let gateway = covered(gateway);
        let rest = total.saturating_sub(gateway).saturating_sub(phase);
        for (samples, part) in parts.iter_mut().zip([total, gateway, phase, rest]) {
            samples.push(part);
        }
        for span in spans.iter().filter(|span| span.kind == 3 || span.name.starts_with("step ")) {
            let (count, spent) = calls.entry(span.name.clone()).or_default();
            *count += 1;
            *spent += length(span);
        }
    }
    for (name, samples) in ["total", "gateway", "phase wait", "control plane"].iter().zip(&parts) {
        println!("{name:14} {samples}");
    }
    itemise(calls, traces.len());
    Ok(())
}

/// Where the time goes, per recovery: steps hold the calls that they make.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn itemise(calls: HashMap<String, (usize, Duration)>, recoveries: usize) {
    let mut calls: Vec<_> = calls.into_iter().collect();
    calls.sort_by_key(|(_, (_, spent))| std::cmp::Reverse(*spent));
    let each = |value: f64| value / recoveries as f64;
    println!("  mean per recovery:   calls       ms");
    for (name, (count, spent)) in calls {
        let name = name.rsplit('.').next().unwrap_or(&name);
        println!("  {name:52} {:5.1} {:8.2}", each(count as f64), each(spent.as_secs_f64() * 1e3));
    }
}

fn is_gateway(span: &Span) -> bool {
    span.name.starts_with("openshell.v1.")
}

const fn bounds(span: &Span) -> (u64, u64) {
    (span.start_time_unix_nano, span.end_time_unix_nano)
}

const fn length(span: &Span) -> Duration {
    Duration::from_nanos(span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano))
}

/// How much time intervals cover together, each moment once.
fn covered(mut intervals: Vec<(u64, u64)>) -> Duration {
    intervals.sort_unstable();
    let (mut sum, mut end) = (0, 0);
    for (from, to) in intervals {
        sum += to.saturating_sub(from.max(end));
        end = end.max(to);
    }
    Duration::from_nanos(sum)
}
