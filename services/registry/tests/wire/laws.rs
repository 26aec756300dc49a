//! Laws that hold for every history.

use std::collections::BTreeMap;

use proptest::prelude::*;
use salvor_proto::registry::v1::watch_sandboxes_response::Event;
use salvor_proto::registry::v1::*;
use tokio_stream::StreamExt;

use crate::support::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// One thing that somebody does. What does not apply does nothing.
#[derive(Debug, Clone)]
enum Act {
    Create(usize),
    Change(usize, u8),
    Delete(usize),
    Default(Option<usize>),
    Copy(usize),
    Restore(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let name = 0..NAMES.len();
    prop_oneof![
        3 => name.clone().prop_map(Act::Create),
        4 => (name.clone(), any::<u8>()).prop_map(|(name, value)| Act::Change(name, value)),
        1 => name.clone().prop_map(Act::Delete),
        1 => proptest::option::of(name.clone()).prop_map(Act::Default),
        1 => name.clone().prop_map(Act::Copy),
        1 => name.prop_map(Act::Restore),
    ]
}

type Copies = BTreeMap<usize, EntrySnapshot>;

async fn perform(harness: &mut Harness, copies: &mut Copies, act: &Act) {
    let client = &mut harness.client.clone();
    match *act {
        Act::Create(name) => {
            let given = Sandbox { spec: None, policy: None, ..sandbox(NAMES[name]) };
            let request = CreateSandboxRequest {
                sandbox: Some(given),
                claim_default: true,
                ..Default::default()
            };
            let _ = client.create_sandbox(request).await;
        }
        Act::Change(name, value) => {
            let Ok(present) = harness.get(&record(NAMES[name])).await else { return };
            let change = Sandbox { live_id: value.to_string(), ..present };
            let _ = client.update_sandbox(update(&change, &["live_id"])).await;
        }
        Act::Delete(name) => {
            let Ok(present) = harness.get(&record(NAMES[name])).await else { return };
            let request = DeleteSandboxRequest {
                name: present.name,
                etag: present.etag,
                ..Default::default()
            };
            let _ = client.delete_sandbox(request).await;
        }
        Act::Default(name) => {
            let name = name.map(|name| record(NAMES[name])).unwrap_or_default();
            let _ = client.set_default_sandbox(SetDefaultSandboxRequest { name }).await;
        }
        Act::Copy(name) => {
            let request = SnapshotEntryRequest { name: record(NAMES[name]) };
            if let Ok(response) = client.snapshot_entry(request).await {
                copies.insert(name, response.into_inner().snapshot.unwrap());
            }
        }
        Act::Restore(name) => {
            let Some(snapshot) = copies.get(&name).cloned() else { return };
            let Ok(present) = harness.get(&record(NAMES[name])).await else { return };
            let request = RestoreEntryRequest {
                snapshot: Some(snapshot),
                etag: present.etag,
                fence_token: 0,
            };
            let _ = client.restore_entry(request).await;
        }
    }
}

fn by_name(sandboxes: Vec<Sandbox>) -> BTreeMap<String, Sandbox> {
    sandboxes.into_iter().map(|sandbox| (sandbox.name.clone(), sandbox)).collect()
}

/// Goes through the pages of a list that was begun with `page`.
async fn rest_of_pages(
    harness: &mut Harness,
    request: &ListSandboxesRequest,
    page: ListSandboxesResponse,
) -> BTreeMap<String, Sandbox> {
    let (mut shown, mut token) = (page.sandboxes, page.next_page_token);
    while !token.is_empty() {
        let request = ListSandboxesRequest { page_token: token, ..request.clone() };
        let next = harness.client.list_sandboxes(request).await.unwrap().into_inner();
        assert_eq!(next.revision, page.revision);
        shown.extend(next.sandboxes);
        token = next.next_page_token;
    }
    by_name(shown)
}

async fn history_holds(before: Vec<Act>, after: Vec<Act>, page_size: i32) {
    let mut harness = Harness::start().await;
    let mut copies = Copies::new();
    for act in &before {
        perform(&mut harness, &mut copies, act).await;
    }
    let start = harness.list().await;
    let request = ListSandboxesRequest { page_size, show_deleted: true, ..Default::default() };
    let page = harness.client.list_sandboxes(request.clone()).await.unwrap().into_inner();
    let watch = WatchSandboxesRequest { start_revision: start.revision, ..Default::default() };
    let mut stream = harness.client.watch_sandboxes(watch).await.unwrap().into_inner();
    for act in &after {
        perform(&mut harness, &mut copies, act).await;
    }
    let paged = rest_of_pages(&mut harness, &request, page).await;
    assert_eq!(
        paged,
        by_name(start.sandboxes.clone()),
        "the pages show the revision of the first one"
    );

    let end = harness.list().await;
    let mut replayed = by_name(start.sandboxes);
    let mut position = start.revision;
    while position < end.revision {
        let response = stream.next().await.unwrap().unwrap();
        match response.event.unwrap() {
            Event::Changed(sandbox) => {
                assert_eq!(response.revision, position + 1, "in order, once, without a gap");
                replayed.insert(sandbox.name.clone(), sandbox);
            }
            Event::Progress(_) => assert_eq!(response.revision, position),
            Event::Unreadable(unreadable) => panic!("{unreadable:?}"),
        }
        position = response.revision;
    }
    let end = by_name(end.sandboxes);
    assert_eq!(
        replayed, end,
        "the list at the start and the changes since give the list at the end"
    );
    assert!(end.values().filter(|sandbox| sandbox.is_default).count() <= 1);
}

/// Writers that each add their labels to one record, reading again whenever they were too late.
async fn no_update_is_lost(writers: usize, each: usize) {
    let mut harness = Harness::start().await;
    let name = harness.create("a").await.name;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let (mut client, name) = (harness.client.clone(), name.clone());
        tasks.spawn(async move {
            for index in 0..each {
                loop {
                    let get = GetSandboxRequest { name: name.clone(), show_deleted: false };
                    let mut present = client.get_sandbox(get).await.sandbox();
                    present.labels.insert(format!("{writer}-{index}"), String::new());
                    match client.update_sandbox(update(&present, &["labels"])).await {
                        Ok(_) => break,
                        Err(status) => {
                            assert_eq!(status.code(), tonic::Code::Aborted, "{status:?}");
                        }
                    }
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let after = harness.get(&name).await.unwrap();
    assert_eq!(after.labels.len(), writers * each);
    assert_eq!(after.generation, i64::try_from(1 + writers * each).unwrap());
}

fn run(law: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(law);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn lists_pages_and_watches_tell_one_story(
        before in proptest::collection::vec(act(), 0..12),
        after in proptest::collection::vec(act(), 0..24),
        page_size in 1..4,
    ) {
        run(history_holds(before, after, page_size));
    }

    #[test]
    fn concurrent_updates_are_one_after_the_other(writers in 1_usize..6, each in 1_usize..5) {
        run(no_update_is_lost(writers, each));
    }
}
