//! What processes and stores take, looked at every ten seconds.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    database::{Database, log_bytes},
    faults::restart,
    figures::{Point, Series},
    plant::Plant,
};

const EVERY: Duration = Duration::from_secs(10);
/// Samples between two lines.
const LINE: u32 = 6;
const MB: f64 = 1e6;
/// What is counted in the registry's store, and in the journal.
const RECORDS: [(&str, &str); 4] = [
    ("records, present", "SELECT count(*) FROM records WHERE superseded IS NULL"),
    ("records, all versions", "SELECT count(*) FROM records"),
    ("requests remembered", "SELECT count(*) FROM requests"),
    ("leases", "SELECT count(*) FROM leases"),
];
const JOURNAL: [(&str, &str); 4] = [
    ("recoveries", "SELECT count(*) FROM recoveries"),
    ("recoveries, open", "SELECT count(*) FROM recoveries WHERE ended = 0"),
    ("journal rows", "SELECT count(*) FROM journal"),
    ("decisions", "SELECT count(*) FROM decisions"),
];

/// All series, by what they are of.
#[derive(Debug, Default)]
pub(crate) struct Samples(Mutex<BTreeMap<String, Series>>);

/// Samples until the end.
pub(crate) async fn run(plant: Arc<Plant>, samples: Arc<Samples>, ended: CancellationToken) {
    let begun = Instant::now();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = ended.cancelled() => return,
        }
        samples.take(&plant, begun).await;
        if count % LINE == 0 {
            println!("{}", samples.line(&plant, begun));
            // Bounded, but by far too many for a run of an hour.
            plant.labs.iter().for_each(|lab| lab.control.clear_calls());
        }
        count += 1;
    }
}

impl Samples {
    fn series(&self) -> MutexGuard<'_, BTreeMap<String, Series>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, of: &str, begun: Instant, life: u32, value: f64) {
        let point = Point { at: begun.elapsed().as_secs_f64(), value, life };
        self.series().entry(of.to_owned()).or_default().push(point);
    }

    async fn take(&self, plant: &Plant, begun: Instant) {
        for service in &plant.services {
            if let Some(status) = service.ended().await {
                plant.tally.violated(&format!("{} ended by itself: {status}", service.name()));
                restart(plant, service).await;
            }
            let (name, life) = (service.name(), service.pid());
            if let Some(taken) = process(life) {
                self.push(&format!("{name}, MB resident"), begun, life, taken.resident / MB);
                self.push(&format!("{name}, MB its own"), begun, life, taken.own / MB);
                self.push(&format!("{name}, descriptors"), begun, life, taken.open);
            }
        }
        for (name, store, counts) in
            [("registry", &plant.records, RECORDS), ("journal", &plant.journal, JOURNAL)]
        {
            self.store(name, store, counts, begun).await;
        }
        for number in 1..=plant.options.adapters() {
            let file = plant.path(&format!("adapter-{number}")).join("fences.db");
            let bytes = fs::metadata(&file).map_or(0, |file| file.len()) + log_bytes(&file);
            self.push(&format!("fences.db of adapter-{number}, MB"), begun, 0, megabytes(bytes));
        }
        let snapshots = plant.path("snapshots");
        if let Ok(bytes) = tokio::task::spawn_blocking(move || below(&snapshots)).await {
            self.push("snapshots, MB", begun, 0, megabytes(bytes));
        }
    }

    /// A store that cannot be read now is read the next time.
    async fn store(&self, name: &str, store: &Database, counts: [(&str, &str); 4], begun: Instant) {
        if let Ok(bytes) = store.bytes().await {
            self.push(&format!("{name} store, MB"), begun, 0, megabytes(bytes));
        }
        if let Some(bytes) = store.log_bytes() {
            self.push(&format!("{name} store's log, MB"), begun, 0, megabytes(bytes));
        }
        for (what, query) in counts {
            if let Ok(rows) = store.number(query).await {
                self.push(what, begun, 0, f64::from(i32::try_from(rows).unwrap_or(i32::MAX)));
            }
        }
    }

    /// What there is to say each minute.
    fn line(&self, plant: &Plant, begun: Instant) -> String {
        let series = self.series();
        let now = |of: &str| series.get(of).and_then(Series::last).unwrap_or_default();
        let (recoveries, faults, errors) = plant.tally.sums();
        let processes = plant.services.iter().map(|service| {
            let resident = now(&format!("{}, MB resident", service.name()));
            let open = now(&format!("{}, descriptors", service.name()));
            format!("{} {resident:.0}/{open}", service.name())
        });
        format!(
            "{:5.1} min  {recoveries} recoveries, {} open, {faults} faults, {errors} errors; stores {:.1} and {:.1} MB; \
             MB/descriptors: {}",
            begun.elapsed().as_secs_f64() / 60.0,
            now("recoveries, open"),
            now("registry store, MB"),
            now("journal store, MB"),
            processes.collect::<Vec<_>>().join(", "),
        )
    }

    /// The table at the end.
    pub(crate) fn print(&self, length: Duration) {
        println!(
            "\n{:40} {:>12} {:>12} {:>12} {:>12}",
            "", "first quarter", "last quarter", "max", "slope per h"
        );
        for (name, series) in self.series().iter() {
            if let Some(row) = series.row(length) {
                println!(
                    "{name:40} {:13.2} {:12.2} {:12.2} {:+12.2}",
                    row.first, row.last, row.max, row.slope
                );
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / MB
}

/// What a process takes. Its program, as far as it has been run, is mapped and is not its own.
struct Taken {
    resident: f64,
    own: f64,
    open: f64,
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn process(id: u32) -> Option<Taken> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let bytes = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: f64 = value.trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024.0)
    };
    let open = fs::read_dir(format!("/proc/{id}/fd")).ok()?.count() as f64;
    Some(Taken { resident: bytes("VmRSS:")?, own: bytes("RssAnon:")?, open })
}

/// Bytes of all files below a directory.
fn below(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => below(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}
