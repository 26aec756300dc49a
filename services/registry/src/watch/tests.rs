use std::sync::Mutex;

use futures::StreamExt;
use prost::Message;
use salvor_proto::registry::v1::Sandbox;
use tonic::Code;

use super::*;

/// A log in memory, so that time can stand still.
struct Memory {
    changes: Mutex<Vec<Change>>,
    compacted: Mutex<i64>,
    reads: Mutex<Vec<i64>>,
    changed: watch::Sender<i64>,
    keys: KeyRing,
}

const BATCH: usize = 2;

impl Memory {
    fn new() -> std::sync::Arc<Self> {
        let keys = KeyRing::parse(&"ab".repeat(32)).unwrap();
        std::sync::Arc::new(Self {
            changes: Mutex::default(),
            compacted: Mutex::default(),
            reads: Mutex::default(),
            changed: watch::Sender::new(0),
            keys,
        })
    }

    fn write(&self, name: &str) -> i64 {
        let mut changes = self.changes.lock().unwrap();
        let revision = i64::try_from(changes.len()).unwrap() + 1;
        let sandbox = Sandbox { name: name.into(), ..Sandbox::default() };
        changes.push(Change::sealed(&sandbox, sandbox.encode_to_vec(), revision));
        revision
    }

    fn wake(&self) {
        self.changed.send_replace(0);
    }
}

impl Log for std::sync::Arc<Memory> {
    async fn changes(&self, _query: &Query, after: i64) -> Result<Batch, Error> {
        self.reads.lock().unwrap().push(after);
        let oldest = *self.compacted.lock().unwrap();
        if after < oldest {
            return Err(Error::Compacted { asked: after, oldest });
        }
        let changes = self.changes.lock().unwrap();
        let found: Vec<Change> =
            changes.iter().filter(|change| change.revision > after).take(BATCH).cloned().collect();
        let more = found.len() == BATCH;
        let upto = match found.last() {
            Some(last) if more => last.revision,
            _ => i64::try_from(changes.len()).unwrap(),
        };
        Ok(Batch { found, upto, more })
    }

    fn subscribe(&self) -> watch::Receiver<i64> {
        self.changed.subscribe()
    }

    fn keys(&self) -> &KeyRing {
        &self.keys
    }
}

fn is_progress(response: &WatchSandboxesResponse) -> bool {
    matches!(response.event, Some(Event::Progress(_)))
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_shows_a_sign_of_life_at_once_and_at_least_every_15_seconds() {
    let log = Memory::new();
    let mut stream = Box::pin(stream(log.clone(), Query::default(), 0));
    assert!(is_progress(&stream.next().await.unwrap().unwrap()));
    for _ in 0..5 {
        let asked = Instant::now();
        let response = stream.next().await.unwrap().unwrap();
        assert!(is_progress(&response));
        assert!(asked.elapsed() > Duration::ZERO && asked.elapsed() <= Duration::from_secs(15));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_shown_without_waiting_and_puts_the_next_sign_of_life_off() {
    let log = Memory::new();
    let mut stream = Box::pin(stream(log.clone(), Query::default(), 0));
    stream.next().await.unwrap().unwrap();
    let started = Instant::now();
    let writer = log.clone();
    let waiting = tokio::spawn(async move { (stream.next().await.unwrap().unwrap(), stream) });
    tokio::time::sleep(Duration::from_secs(7)).await;
    writer.write("one");
    writer.wake();
    let (response, mut stream) = waiting.await.unwrap();
    assert_eq!((response.revision, started.elapsed()), (1, Duration::from_secs(7)));
    let response = stream.next().await.unwrap().unwrap();
    assert!(is_progress(&response) && response.revision == 1);
    assert_eq!(started.elapsed(), Duration::from_secs(7) + PROGRESS_EVERY);
}

#[tokio::test(start_paused = true)]
async fn a_lost_wake_up_delays_a_change_but_never_loses_it() {
    let log = Memory::new();
    let mut stream = Box::pin(stream(log.clone(), Query::default(), 0));
    stream.next().await.unwrap().unwrap();
    log.write("one");
    let response = stream.next().await.unwrap().unwrap();
    assert_eq!((response.revision, is_progress(&response)), (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_one_batch_and_gets_everything_in_order() {
    let log = Memory::new();
    for index in 0..7 {
        log.write(&index.to_string());
    }
    let mut stream = Box::pin(stream(log.clone(), Query::default(), 0));
    for revision in 1..=7 {
        assert_eq!(stream.next().await.unwrap().unwrap().revision, revision);
        let read = log.reads.lock().unwrap().iter().max().copied().unwrap();
        assert!(read < revision, "nothing was read beyond the batch in hand");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_falls_behind_compaction_is_told_so_and_the_stream_ends() {
    let log = Memory::new();
    log.write("one");
    log.write("two");
    log.write("three");
    let mut stream = Box::pin(stream(log.clone(), Query::default(), 0));
    stream.next().await.unwrap().unwrap();
    *log.compacted.lock().unwrap() = 3;
    stream.next().await.unwrap().unwrap();
    let status = stream.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(stream.next().await.is_none());
}
