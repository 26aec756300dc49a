//! The schedule over a fleet of numbers, in time that only the tests move.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use salvor_runtime::{ManualClock, Shutdown};

use super::*;

const HOUR: Duration = Duration::from_hours(1);
/// Long after every record's first moment.
const NOW: u64 = 1_000 * 3_600_000;

/// Records in name order, pages of two, and snapshots that end when the test says so.
#[derive(Default)]
struct Records {
    tried: Mutex<BTreeMap<String, Option<u64>>>,
    /// Not READY, or at work: not begun.
    resting: Mutex<BTreeSet<String>>,
    begun: Mutex<Vec<String>>,
    at_work: AtomicUsize,
    most: AtomicUsize,
    /// How many snapshots may end.
    finish: Finish,
}

struct Finish(Semaphore);

impl Default for Finish {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

struct Shared(Arc<Records>, Arc<ManualClock>);

fn name(text: &str) -> RecordName {
    let (gateway, sandbox) = text.split_once('/').unwrap();
    format!("gateways/{gateway}/workspaces/default/sandboxes/{sandbox}").parse().unwrap()
}

fn short(name: &RecordName) -> String {
    format!("{}/{}", name.gateway, name.sandbox)
}

impl Fleet for Shared {
    async fn page(&self, token: String) -> Result<Page, Error> {
        let records = self.0.tried.lock().unwrap().clone();
        let rest: Vec<_> = records.into_iter().filter(|(name, _)| **name > *token).collect();
        let page = rest.iter().take(2).map(|(text, tried)| Candidate {
            name: name(text),
            interval: HOUR,
            written: Timestamp(0),
            tried: tried.map(Timestamp),
        });
        let next = if rest.len() > 2 { rest[1].0.clone() } else { String::new() };
        Ok(Page { candidates: page.collect(), next })
    }

    async fn snapshot(&self, name: &RecordName) -> Turn {
        let Self(records, clock) = self;
        let text = short(name);
        let tried = records.tried.lock().unwrap().get(&text).copied().flatten();
        let now = Timestamp(clock.now_ms());
        if due(name, HOUR, Timestamp(0), tried.map(Timestamp), now) > now {
            return Turn::Taken;
        }
        records.begun.lock().unwrap().push(text.clone());
        let resting = records.resting.lock().unwrap().contains(&text);
        let now_at_work = records.at_work.fetch_add(1, Ordering::SeqCst) + 1;
        records.most.fetch_max(now_at_work, Ordering::SeqCst);
        if !resting {
            records.finish.0.acquire().await.unwrap().forget();
            records.tried.lock().unwrap().insert(text, Some(clock.now_ms()));
        }
        records.at_work.fetch_sub(1, Ordering::SeqCst);
        if resting { Turn::NotNow } else { Turn::Taken }
    }
}

struct Bench {
    records: Arc<Records>,
    clock: Arc<ManualClock>,
    shutdown: Shutdown,
    tasks: Tasks,
}

impl Bench {
    fn start(records: &[(&str, Option<u64>)], per_gateway: usize, in_all: usize) -> Self {
        let clock = Arc::new(ManualClock::at(salvor_runtime::clock::Timestamp(NOW)));
        let fleet = Arc::new(Records::default());
        let tried = records.iter().map(|(name, tried)| ((*name).to_owned(), *tried));
        *fleet.tried.lock().unwrap() = tried.collect();
        let shutdown = Shutdown::new();
        let tasks = shutdown.tasks();
        let settings = Settings { poll: Duration::from_secs(30), per_gateway, in_all };
        let shared = Shared(Arc::clone(&fleet), Arc::clone(&clock));
        start(shared, Arc::clone(&clock) as Arc<dyn Clock>, settings, &tasks);
        Self { records: fleet, clock, shutdown, tasks }
    }

    fn begun(&self) -> Vec<String> {
        let mut begun = self.records.begun.lock().unwrap().clone();
        begun.sort();
        begun
    }

    /// Paused time moves when nothing is left to do: so this is after all that is to happen by then.
    async fn later(&self, by: Duration) {
        self.clock.advance(by);
        sleep(by).await;
    }

    async fn end(self) {
        self.shutdown.trigger();
        self.records.finish.0.add_permits(1000);
        self.tasks.join(Duration::from_secs(5)).await.unwrap();
    }
}

fn ago(duration: Duration) -> u64 {
    NOW - u64::try_from(duration.as_millis()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_taken_and_nothing_else() {
    let bench = Bench::start(
        &[("g/due", Some(ago(HOUR))), ("g/fresh", Some(ago(HOUR / 2))), ("h/new", None)],
        2,
        8,
    );
    bench.later(Duration::from_secs(1)).await;
    assert_eq!(bench.begun(), ["g/due", "h/new"]);
    bench.records.finish.0.add_permits(2);
    bench.later(HOUR / 4).await;
    assert_eq!(bench.begun(), ["g/due", "h/new"], "one is enough");
    bench.later(HOUR / 4).await;
    assert_eq!(bench.begun(), ["g/due", "g/fresh", "h/new"]);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn no_gateway_gets_more_than_its_share_and_all_together_no_more_than_theirs() {
    let names = ["g/a", "g/b", "g/c", "g/d", "h/a", "h/b", "h/c", "i/a"];
    let due: Vec<_> = names.iter().map(|&name| (name, Some(ago(HOUR * 2)))).collect();
    let bench = Bench::start(&due, 2, 3);
    bench.later(Duration::from_secs(1)).await;
    assert_eq!(bench.begun(), ["g/a", "g/b", "h/a"]);
    for _ in 0..names.len() {
        bench.records.finish.0.add_permits(1);
        bench.later(Duration::from_secs(31)).await;
    }
    bench.later(Duration::from_secs(31)).await;
    assert_eq!(bench.begun(), names, "each of them once");
    assert_eq!(bench.records.most.load(Ordering::SeqCst), 3);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_begun_waits_longer_each_time_and_harms_no_other() {
    let bench =
        Bench::start(&[("g/down", Some(ago(HOUR * 2))), ("g/up", Some(ago(HOUR * 2)))], 1, 1);
    bench.records.resting.lock().unwrap().insert("g/down".to_owned());
    bench.records.finish.0.add_permits(1000);
    for _ in 0..(30 * 60 / 30) {
        bench.later(Duration::from_secs(30)).await;
    }
    let begun = bench.begun();
    let count = |name: &str| begun.iter().filter(|begun| *begun == name).count();
    // After 30 s, 1, 2, 4, 8 and 16 min: not once in each of sixty rounds.
    assert!((4..=7).contains(&count("g/down")), "{begun:?}");
    assert_eq!(count("g/up"), 1);
    bench.records.resting.lock().unwrap().clear();
    bench.later(HOUR).await;
    bench.later(Duration::from_mins(1)).await;
    assert!(
        bench.records.tried.lock().unwrap()["g/down"] > Some(ago(HOUR * 2)),
        "it gets its turn again"
    );
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_puts_nothing_off() {
    let bench = Bench::start(&[("g/a", Some(NOW)), ("g/down", Some(ago(HOUR)))], 2, 8);
    bench.records.resting.lock().unwrap().insert("g/down".to_owned());
    bench.records.finish.0.add_permits(1000);
    bench.later(Duration::from_secs(1)).await;
    assert_eq!(bench.begun(), ["g/down"]);
    bench.records.resting.lock().unwrap().clear();
    bench.clock.set(salvor_runtime::clock::Timestamp(ago(HOUR * 24 * 30)));
    bench.later(Duration::from_secs(31)).await;
    assert_eq!(bench.begun(), ["g/a", "g/down", "g/down"]);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_is_off_asks_nobody() {
    let clock = Arc::new(ManualClock::at(salvor_runtime::clock::Timestamp(NOW)));
    let records = Arc::new(Records::default());
    let tasks = Shutdown::new().tasks();
    let off = Settings { poll: Duration::ZERO, ..Settings::default() };
    start(Shared(Arc::clone(&records), Arc::clone(&clock)), clock, off, &tasks);
    assert_eq!(tasks.running(), 0);
}
