//! Watching over the wire.

use salvor_proto::registry::v1::sandbox::State;
use salvor_proto::registry::v1::watch_sandboxes_response::Event;
use salvor_proto::registry::v1::*;
use tokio_stream::StreamExt;
use tonic::{Code, Streaming};

use crate::support::*;

async fn watch(
    harness: &mut Harness,
    start_revision: i64,
    parent: &str,
) -> Streaming<WatchSandboxesResponse> {
    let request = WatchSandboxesRequest { start_revision, parent: parent.into() };
    harness.client.watch_sandboxes(request).await.unwrap().into_inner()
}

/// The next change; signs of life are passed over.
async fn next(stream: &mut Streaming<WatchSandboxesResponse>) -> (i64, Event) {
    loop {
        let response = stream.next().await.unwrap().unwrap();
        match response.event.unwrap() {
            Event::Progress(_) => {}
            event => return (response.revision, event),
        }
    }
}

#[tokio::test]
async fn a_watch_shows_every_change_in_order_and_resumes_without_a_gap() {
    let mut harness = Harness::start().await;
    let start = harness.list().await.revision;
    let mut live = watch(&mut harness, 0, "").await;
    let first = live.next().await.unwrap().unwrap();
    assert_eq!((first.revision, matches!(first.event, Some(Event::Progress(_)))), (start, true));
    let created = harness.create("a").await;
    let updated = harness.client.update_sandbox(update(&created, &["live_id"])).await.sandbox();
    harness
        .client
        .set_default_sandbox(SetDefaultSandboxRequest { name: created.name.clone() })
        .await
        .unwrap();
    let delete = DeleteSandboxRequest {
        name: created.name.clone(),
        etag: updated.etag.clone(),
        ..Default::default()
    };
    let tombstone = harness.client.delete_sandbox(delete).await.sandbox();
    assert_eq!(tombstone.state(), State::Destroyed);
    let hidden = |sandbox: &Sandbox| {
        // What the tombstone's end says of its predecessors: their content is gone.
        let mut sandbox = sandbox.clone();
        sandbox.spec.as_mut().unwrap().openable = false;
        sandbox.policy.as_mut().unwrap().openable = false;
        sandbox
    };
    let defaulted = Sandbox { is_default: true, ..updated.clone() };
    let expected: Vec<Sandbox> = [&created, &updated, &defaulted, &tombstone].map(hidden).into();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (revision, event) = next(&mut live).await;
        let Event::Changed(sandbox) = event else { panic!("{event:?}") };
        seen.push((revision, hidden(&sandbox)));
    }
    let revisions: Vec<i64> = seen.iter().map(|(revision, _)| *revision).collect();
    assert_eq!(revisions, (start + 1..=start + 4).collect::<Vec<_>>());
    assert_eq!(seen.iter().map(|(_, sandbox)| sandbox.clone()).collect::<Vec<_>>(), expected);
    for (index, from) in revisions.iter().enumerate() {
        let mut resumed = watch(&mut harness, *from, "").await;
        for (revision, sandbox) in &seen[index + 1..] {
            let (again, event) = next(&mut resumed).await;
            let Event::Changed(shown) = event else { panic!("{event:?}") };
            assert_eq!((again, &hidden(&shown)), (*revision, sandbox));
        }
    }
}

#[tokio::test]
async fn a_parent_selects_what_is_watched() {
    let mut harness = Harness::start().await;
    let mut edge = watch(&mut harness, 0, "gateways/edge/workspaces/-").await;
    edge.next().await.unwrap().unwrap();
    harness.create("a").await;
    let wanted = harness.create("gateways/edge/workspaces/team/sandboxes/b").await;
    let (revision, event) = next(&mut edge).await;
    assert_eq!((revision, event), (wanted.revision, Event::Changed(wanted)));
}

#[tokio::test]
async fn a_watch_survives_a_restart_at_its_revision() {
    let mut harness = Harness::start().await;
    let created = harness.create("a").await;
    let mut harness = harness.restart(|_| {}).await;
    let mut resumed = watch(&mut harness, created.revision - 1, "").await;
    assert_eq!(next(&mut resumed).await.1, Event::Changed(created));
}

#[tokio::test]
async fn revisions_that_are_not_held_are_refused_with_the_one_to_resume_from() {
    let mut harness = Harness::start_with(|config| config.change_log_retention = 4).await;
    let mut present = harness.create("a").await;
    let bystander = harness.create("b").await;
    for index in 0..10 {
        let change = Sandbox { live_id: index.to_string(), ..present };
        present = harness.client.update_sandbox(update(&change, &["live_id"])).await.sandbox();
    }
    let request = |start_revision| WatchSandboxesRequest { start_revision, ..Default::default() };
    let answer = harness.client.watch_sandboxes(request(1)).await.map(|_| ());
    let received = refused(answer, Code::OutOfRange, "REVISION_COMPACTED");
    let oldest: i64 = received.metadata["oldest_revision"].parse().unwrap();
    assert_eq!(oldest, present.revision - 4);
    let mut resumed = watch(&mut harness, oldest, "").await;
    for revision in oldest + 1..=present.revision {
        assert_eq!(next(&mut resumed).await.0, revision);
    }
    let ahead = harness.client.watch_sandboxes(request(present.revision + 1)).await.map(|_| ());
    let received = refused(ahead, Code::OutOfRange, "REVISION_AHEAD");
    assert_eq!(received.metadata["current_revision"], present.revision.to_string());
    refused_field(harness.client.watch_sandboxes(request(-1)).await.map(|_| ()), "start_revision");
    assert_eq!(
        harness.get(&bystander.name).await.unwrap(),
        bystander,
        "compaction forgets no present record"
    );
    let database = harness.database().await;
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM records").fetch_one(&database).await.unwrap();
    assert_eq!(rows, 6, "two present ones and four of the past");
}

#[tokio::test]
async fn a_damaged_change_is_named_and_the_stream_goes_on() {
    let mut harness = Harness::start().await;
    let (a, b) = (harness.create("a").await, harness.create("b").await);
    let database = harness.database().await;
    let statement = "UPDATE records SET message = $1 WHERE name = $2";
    let damage = sqlx::query(statement).bind(vec![0xff, 0xff]).bind(&a.name);
    damage.execute(&database).await.unwrap();
    let mut stream = watch(&mut harness, a.revision - 1, "").await;
    let (revision, event) = next(&mut stream).await;
    let Event::Unreadable(unreadable) = event else { panic!("{event:?}") };
    assert_eq!((revision, &unreadable.name), (a.revision, &a.name));
    assert_eq!(next(&mut stream).await.1, Event::Changed(b));
}
