//! A modest number of worlds; `.ci/run` runs many more.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use salvor_simulation::{Options, Report, run_many};

/// Worlds from `from` on, in order of their seeds; each must have come to something.
fn worlds(from: u64, seeds: u64) -> Result<Vec<Report>> {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_salvor-simulation"));
    let mut reports = Vec::new();
    run_many(&Options { program, from, seeds, at_once: 2 }, |seed, report| {
        reports.push(report.with_context(|| format!("seed {seed}")));
    })?;
    let mut reports = reports.into_iter().collect::<Result<Vec<_>>>()?;
    reports.sort_by_key(|report| report.seed);
    Ok(reports)
}

#[test]
fn no_world_breaks_a_rule() -> Result<()> {
    for report in worlds(0, 24)? {
        let seed = report.seed;
        let replay = format!("replay: cargo run -p salvor-simulation -- --seed {seed}");
        assert_eq!(report.broken, Vec::<String>::new(), "{replay}");
        assert!(report.recoveries.values().sum::<usize>() > 0, "seed {seed}: nothing was asked");
    }
    Ok(())
}

#[test]
fn one_seed_is_one_world() -> Result<()> {
    let first = worlds(1_000, 4)?;
    assert_eq!(first, worlds(1_000, 4)?);
    assert!(first.windows(2).all(|pair| pair[0].digest != pair[1].digest), "{first:#?}");
    Ok(())
}
