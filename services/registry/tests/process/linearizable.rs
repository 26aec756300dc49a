//! Concurrent clients, and registries that are killed under them again and again: one order explains all that they saw. On a
//! server there are three at a time, and the clients go on with those that are left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use prost_types::FieldMask;
use salvor_proto::registry::v1::watch_sandboxes_response::Event;
use salvor_proto::registry::v1::{
    GetSandboxRequest, ListSandboxesRequest, Sandbox, UpdateSandboxRequest, WatchSandboxesRequest,
};
use salvor_testkit::store;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::StreamExt;
use tonic::Code;

use crate::history::{Call, Version, What, contradictions};
use crate::support::{Client, Place, Process, client_of, create, gateway, name};

const RECORDS: usize = 3;
const CLIENTS: usize = 6;
/// So many registries on a server.
const REPLICAS: usize = 3;
const ROUNDS: usize = 5;
/// Calls after which the registry is killed, while others are on their way.
const CALLS: usize = 150;
/// The register.
const LABEL: &str = "value";

/// One client of one round, until that is over.
struct Hand {
    over: Arc<AtomicBool>,
    client: Client,
    who: String,
    clock: Arc<AtomicU64>,
    calls: UnboundedSender<Call>,
}

impl Hand {
    async fn work(mut self) {
        for turn in 0.. {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let record = (turn * 7 + self.who.len()) % RECORDS;
            let Some(seen) = self.read(record).await else { continue };
            // A read now and then is followed by no write.
            if turn % 4 != 3 {
                self.write(record, seen, turn).await;
            }
        }
    }

    fn now(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    fn done(&self, begun: u64, record: usize, what: What) {
        let call = Call { begun, ended: self.now(), record, what };
        // Nobody counts any more once the registry is being killed.
        let _ = self.calls.send(call);
    }

    async fn read(&mut self, record: usize) -> Option<Sandbox> {
        let begun = self.now();
        let request = GetSandboxRequest { name: name(record), show_deleted: false };
        let seen = self.client.get_sandbox(request).await.ok()?.into_inner().sandbox.unwrap();
        self.done(begun, record, What::Read(version(&seen)));
        Some(seen)
    }

    async fn write(&mut self, record: usize, seen: Sandbox, turn: usize) {
        let value = format!("{}-{turn}", self.who);
        let on = seen.revision;
        let labels = [(LABEL.to_owned(), value.clone())].into();
        let begun = self.now();
        let request = UpdateSandboxRequest {
            sandbox: Some(Sandbox { labels, ..seen }),
            update_mask: Some(FieldMask { paths: vec!["labels".into()] }),
            ..Default::default()
        };
        let answer = self.client.update_sandbox(request).await;
        let what = match answer {
            Ok(written) => What::Wrote { on, now: version(&written.into_inner().sandbox.unwrap()) },
            Err(status) if status.code() == Code::Aborted => What::Refused(value),
            Err(_) => What::Unanswered,
        };
        self.done(begun, record, what);
    }
}

fn version(record: &Sandbox) -> Version {
    let value = record.labels.get(LABEL).cloned().unwrap_or_else(|| record.name.clone());
    Version { revision: record.revision, value }
}

async fn started(place: &Place) -> Vec<Process> {
    let count = if store::postgres().is_some() { REPLICAS } else { 1 };
    let mut registries = Vec::new();
    for _ in 0..count {
        registries.push(Process::start(place).await);
    }
    registries
}

fn client_of_all(registries: &[Process]) -> Client {
    let urls: Vec<_> = registries.iter().map(|one| format!("http://{}", one.address)).collect();
    client_of(&urls.join(","))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_explains_what_concurrent_clients_saw_across_sigkill() {
    let place = Place::new();
    let clock = Arc::new(AtomicU64::new(0));
    let mut history = Vec::new();
    let mut start = 0;
    for round in 0..ROUNDS {
        let mut registries = started(&place).await;
        let client = client_of_all(&registries);
        if round == 0 {
            gateway(&mut client.clone()).await;
            for record in 0..RECORDS {
                start = create(&mut client.clone(), record).await.revision;
            }
        }
        let (calls, mut told) = unbounded_channel();
        let over = Arc::new(AtomicBool::new(false));
        let hands: Vec<_> = (0..CLIENTS)
            .map(|hand| {
                let (clock, calls, client) = (Arc::clone(&clock), calls.clone(), client.clone());
                let who = format!("round{round}{}", "i".repeat(hand));
                tokio::spawn(Hand { over: Arc::clone(&over), client, who, clock, calls }.work())
            })
            .collect();
        drop(calls);
        // One after the other is killed, while calls are on their way.
        let share = CALLS / registries.len();
        while let Some(registry) = registries.pop() {
            let enough = history.len() + share;
            while history.len() < enough {
                history.push(told.recv().await.unwrap());
            }
            over.store(registries.is_empty(), Ordering::SeqCst);
            registry.kill().await;
        }
        for hand in hands {
            hand.await.unwrap();
        }
        while let Some(call) = told.recv().await {
            history.push(call);
        }
    }
    assert_eq!(contradictions(&history), [] as [String; 0]);
    let refused = history.iter().filter(|call| matches!(call.what, What::Refused(_))).count();
    assert!(refused > 0, "they never met, and nothing was shown");
    replayed(&mut Process::start(&place).await.client, &history, start).await;
}

/// A watch from the beginning shows every answered write where it was answered, and comes to what a list shows.
async fn replayed(client: &mut Client, history: &[Call], start: i64) {
    let request = ListSandboxesRequest { page_size: 1000, ..Default::default() };
    let listed = client.list_sandboxes(request).await.unwrap().into_inner();
    let request = WatchSandboxesRequest { start_revision: start, ..Default::default() };
    let mut watch = client.watch_sandboxes(request).await.unwrap().into_inner();
    let mut shown = BTreeMap::new();
    let mut state = BTreeMap::new();
    let mut last = start;
    while last < listed.revision {
        let change = watch.next().await.unwrap().unwrap();
        let Some(Event::Changed(record)) = change.event else { continue };
        assert_eq!(change.revision, last + 1, "none is left out");
        last = change.revision;
        shown.insert(last, version(&record));
        state.insert(record.name.clone(), version(&record));
    }
    for call in history {
        if let What::Wrote { now, .. } = &call.what {
            assert_eq!(shown.get(&now.revision), Some(now), "{call:?}");
        }
    }
    let expected: BTreeMap<_, _> =
        listed.sandboxes.iter().map(|record| (record.name.clone(), version(record))).collect();
    assert_eq!(state, expected);
}
