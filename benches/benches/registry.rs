//! The registry over loopback: reads, and writes that are on the disk when they are answered.

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use salvor_benches::{Samples, conditions, rounds};
use salvor_proto::registry::v1 as pb;
use salvor_testkit::{Fleet, Options};

const RECORDS: usize = 64;
/// What SQLite writes at the least for one commit: a frame of its log with a page.
const PAGE: usize = 4096 + 24;

#[tokio::main]
async fn main() -> Result<()> {
    conditions("registry over loopback, SQLite in WAL mode with synchronous=FULL");
    let fleet =
        Fleet::start(Options { orchestrator: false, files: true, ..Options::default() }).await?;
    let before = disk(fleet.dir())?;
    let mut records = Vec::new();
    for index in 0..RECORDS {
        records.push(create(&fleet, index).await?);
    }
    for callers in [1, 16, 64] {
        let work = |round: usize| read(&fleet, &records[round % RECORDS].name);
        report("GetSandbox", callers, rounds(20_000, 64), work).await?;
    }
    for callers in [1, 16, 64] {
        let share = rounds(4_000, 64) / callers;
        let begun = Instant::now();
        let mut samples = Samples::default();
        let writers = records.iter_mut().take(callers);
        let writers = writers.map(|record| write(&fleet, record, share));
        for taken in futures::future::try_join_all(writers).await? {
            for sample in taken {
                samples.push(sample);
            }
        }
        print("UpdateSandbox", callers, &samples, begun.elapsed());
    }
    let after = disk(fleet.dir())?;
    println!(
        "raw append of {PAGE} bytes with fdatasync, one at a time: before {before}; after {after}"
    );
    fleet.stop().await;
    Ok(())
}

async fn report<F: Future<Output = Result<()>>>(
    what: &str,
    callers: usize,
    rounds: usize,
    work: impl Fn(usize) -> F,
) -> Result<()> {
    let begun = Instant::now();
    let timed = |round| {
        let work = work(round);
        async move {
            let begun = Instant::now();
            work.await.map(|()| begun.elapsed())
        }
    };
    let samples: Vec<Duration> =
        stream::iter(0..rounds).map(timed).buffer_unordered(callers).try_collect().await?;
    print(what, callers, &samples.into_iter().collect(), begun.elapsed());
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn print(what: &str, callers: usize, samples: &Samples, took: Duration) {
    let rate = samples.len() as f64 / took.as_secs_f64();
    println!("{what:14} {callers:3} in flight {rate:9.0} per s   {samples}");
}

async fn create(fleet: &Fleet, index: usize) -> Result<pb::Sandbox> {
    let spec = pb::Spec { dialect: 1, content: vec![7; 2_000], ..Default::default() };
    let sandbox = pb::Sandbox {
        name: Fleet::name("lab", &format!("s{index:03}")),
        spec: Some(spec),
        ..Default::default()
    };
    let request = pb::CreateSandboxRequest { sandbox: Some(sandbox), ..Default::default() };
    let answer = fleet.registry.clone().create_sandbox(request).await?.into_inner();
    answer.sandbox.context("no record")
}

async fn read(fleet: &Fleet, name: &str) -> Result<()> {
    let request = pb::GetSandboxRequest { name: name.to_owned(), show_deleted: false };
    fleet.registry.clone().get_sandbox(request).await?;
    Ok(())
}

async fn write(fleet: &Fleet, record: &mut pb::Sandbox, rounds: usize) -> Result<Vec<Duration>> {
    let mut samples = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let mut sandbox = record.clone();
        sandbox.labels.insert("round".to_owned(), round.to_string());
        // What the last answer redacted is not sent back.
        sandbox.spec = None;
        let mask = vec!["labels".to_owned()];
        let request = pb::UpdateSandboxRequest {
            sandbox: Some(sandbox),
            update_mask: Some(prost_types::FieldMask { paths: mask }),
            ..Default::default()
        };
        let begun = Instant::now();
        let answer = fleet.registry.clone().update_sandbox(request).await?.into_inner();
        samples.push(begun.elapsed());
        *record = answer.sandbox.context("no record")?;
    }
    Ok(samples)
}

/// What the disk itself can do at this time, as text.
fn disk(dir: &Path) -> Result<String> {
    let path = dir.join("fsync");
    let mut file = File::create(&path)?;
    let count = rounds(500, 5);
    // As SQLite's log is after a while: the space is there already.
    file.write_all(&vec![0; PAGE * count])?;
    file.sync_all()?;
    let mut samples = Samples::default();
    let all = Instant::now();
    for index in 0..count {
        let begun = Instant::now();
        file.write_all_at(&[1; PAGE], (index * PAGE) as u64)?;
        file.sync_data()?;
        samples.push(begun.elapsed());
    }
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let rate = count as f64 / all.elapsed().as_secs_f64();
    Ok(format!("{rate:.0} per s ({samples})"))
}
