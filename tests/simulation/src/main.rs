//! Runs worlds: one by its seed, or many.

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use salvor_simulation::{History, Options, Report, Script, broken, run, run_many};

/// Runs the real services in simulated worlds under faults, and checks what must hold.
#[derive(Debug, Parser)]
struct Arguments {
    /// Run this one world, and tell what happens in it.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// With --seed: tell it as one line of JSON.
    #[arg(long, requires = "seed")]
    json: bool,
    /// With --seed: tell everything that its digest covers, a line each.
    #[arg(long, requires = "seed", conflicts_with = "json")]
    trace: bool,
    /// With --seed: no trouble but a lost sandbox.
    #[arg(long, requires = "seed")]
    calm: bool,
    /// Run so many worlds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// Begin with this seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    }
}

fn one(seed: u64, arguments: &Arguments) -> Result<ExitCode> {
    let script = if arguments.calm { Script::calm(seed) } else { Script::draw(seed) };
    if !arguments.json {
        print!("{script}");
    }
    let history = run(&script)?;
    let report = report(seed, &history);
    if arguments.trace {
        history.lines().iter().for_each(|line| println!("{line}"));
    }
    if arguments.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        tell(&history, &report);
    }
    Ok(if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(seed: u64, history: &History) -> Report {
    let mut recoveries = BTreeMap::new();
    for recovery in &history.seen.told {
        let state = recovery.state().as_str_name().trim_start_matches("STATE_").to_lowercase();
        *recoveries.entry(state).or_default() += 1;
    }
    let (digest, virtual_ms) = (history.digest(), history.virtual_ms);
    Report { seed, digest, virtual_ms, recoveries, broken: broken(history) }
}

fn tell(history: &History, report: &Report) {
    for call in history.seen.calls.iter().filter(|call| call.mutating) {
        println!("  {:>6} ms  {call:?}", call.at_ms);
    }
    for recovery in &history.journaled {
        println!("  {} {:?} of {}", recovery.name, recovery.saga, recovery.target);
        for step in recovery.folded.iter().flat_map(|folded| &folded.steps) {
            println!("    {:>6} ms  {} {} {}", step.at_ms, step.step, step.outcome, step.detail);
        }
    }
    println!("  {} ms, {:?}, digest {}", report.virtual_ms, report.recoveries, report.digest);
    for complaint in &report.broken {
        println!("BROKEN {complaint}");
    }
}

fn many(arguments: &Arguments) -> Result<ExitCode> {
    let program = std::env::current_exe().context("where is this program?")?;
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options { program, from: arguments.from, seeds: arguments.seeds, at_once };
    let (begun, mut failed, mut sum) = (uptime()?, 0_u64, BTreeMap::<String, usize>::new());
    run_many(&options, |seed, report| match report {
        Ok(report) => {
            for (state, count) in report.recoveries {
                *sum.entry(state).or_default() += count;
            }
            if !report.broken.is_empty() {
                failed += 1;
                println!("seed {seed} FAILED\n  {}", report.broken.join("\n  "));
                println!("  replay: cargo run --release -p salvor-simulation -- --seed {seed}");
            }
        }
        Err(error) => {
            failed += 1;
            println!("seed {seed} FAILED: {error:#}");
            println!("  replay: cargo run --release -p salvor-simulation -- --seed {seed}");
        }
    })?;
    let took = uptime()? - begun;
    let (seeds, rate) = (arguments.seeds, seeds_per_second(arguments.seeds, took));
    println!("{seeds} seeds, {failed} failed, {took:.1} s, {rate:.1} seeds/s; recoveries: {sum:?}");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn seeds_per_second(seeds: u64, seconds: f64) -> f64 {
    seeds as f64 / seconds.max(0.01)
}

/// Seconds since the machine's start. The clocks of this process are those of simulated worlds.
fn uptime() -> Result<f64> {
    let text = fs::read_to_string("/proc/uptime").context("no /proc/uptime")?;
    text.split(' ').next().and_then(|seconds| seconds.parse().ok()).context("no uptime")
}
