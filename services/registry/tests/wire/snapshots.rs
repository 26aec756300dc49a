//! SnapshotEntry and RestoreEntry.

use salvor_proto::registry::v1::sandbox::State;
use salvor_proto::registry::v1::*;
use tonic::Code;

use crate::support::*;

impl Harness {
    async fn snapshot(&mut self, name: &str) -> EntrySnapshot {
        let request = SnapshotEntryRequest { name: name.into() };
        self.client.snapshot_entry(request).await.unwrap().into_inner().snapshot.unwrap()
    }

    async fn delete(&mut self, sandbox: &Sandbox) -> Sandbox {
        let request = DeleteSandboxRequest {
            name: sandbox.name.clone(),
            etag: sandbox.etag.clone(),
            ..Default::default()
        };
        self.client.delete_sandbox(request).await.sandbox()
    }

    async fn make_default(&mut self, name: &str) {
        self.client
            .set_default_sandbox(SetDefaultSandboxRequest { name: name.into() })
            .await
            .unwrap();
    }

    async fn content(&mut self, name: &str) -> Vec<u8> {
        let lease = self.acquire(name, "h").await.unwrap();
        let request = OpenSandboxMaterialRequest {
            name: name.into(),
            fence_token: lease.fence_token,
            copy: None,
        };
        let opened = self.client.open_sandbox_material(request).await.unwrap().into_inner();
        self.client
            .release_lease(ReleaseLeaseRequest {
                sandbox: name.into(),
                fence_token: lease.fence_token,
            })
            .await
            .unwrap();
        opened.spec.unwrap().content
    }
}

fn restore(snapshot: &EntrySnapshot, etag: &str) -> RestoreEntryRequest {
    RestoreEntryRequest { snapshot: Some(snapshot.clone()), etag: etag.into(), fence_token: 0 }
}

/// What a restore brings back: everything but what each write sets.
fn content(sandbox: &Sandbox) -> Sandbox {
    Sandbox {
        etag: String::new(),
        revision: 0,
        generation: 0,
        update_time: None,
        is_default: false,
        ..sandbox.clone()
    }
}

#[tokio::test]
async fn a_changed_record_comes_back_verbatim_and_no_other_is_touched() {
    let mut harness = Harness::start().await;
    let (a, b) = (harness.create("a").await, harness.create("b").await);
    let snapshot = harness.snapshot(&a.name).await;
    assert_eq!(
        (&snapshot.etag, snapshot.revision, snapshot.was_default),
        (&a.etag, a.revision, false)
    );
    let mut change = a.clone();
    change.spec.as_mut().unwrap().content = b"other".to_vec();
    change.labels.insert("x".into(), "y".into());
    let changed =
        harness.client.update_sandbox(update(&change, &["spec", "labels"])).await.sandbox();
    refused(
        harness.client.restore_entry(restore(&snapshot, &a.etag)).await,
        Code::Aborted,
        "ETAG_MISMATCH",
    );
    refused_field(harness.client.restore_entry(restore(&snapshot, "")).await, "etag");
    assert_eq!(harness.get(&a.name).await.unwrap(), changed);
    let restored = harness.client.restore_entry(restore(&snapshot, &changed.etag)).await.sandbox();
    assert_eq!(content(&restored), content(&a));
    assert!(restored.revision > changed.revision && restored.generation > changed.generation);
    assert!(restored.etag != changed.etag && restored.etag != a.etag);
    assert_eq!(harness.content(&a.name).await, SECRET);
    assert_eq!(harness.get(&b.name).await.unwrap(), b);
}

#[tokio::test]
async fn a_destroyed_record_comes_back_as_it_was() {
    let mut harness = Harness::start().await;
    let a = harness.create("a").await;
    let snapshot = harness.snapshot(&a.name).await;
    let tombstone = harness.delete(&a).await;
    refused(
        harness.client.restore_entry(restore(&snapshot, &a.etag)).await,
        Code::Aborted,
        "ETAG_MISMATCH",
    );
    let restored = harness.client.restore_entry(restore(&snapshot, "")).await.sandbox();
    assert_eq!(content(&restored), content(&a));
    assert_eq!((restored.state(), restored.delete_time), (State::Active, None));
    assert!(restored.revision > tombstone.revision);
    assert_eq!(harness.content(&a.name).await, SECRET);
}

#[tokio::test]
async fn the_default_is_reclaimed_only_if_it_was_its_own_and_is_free_or_its_own_still() {
    let mut harness = Harness::start().await;
    let (a, b) = (harness.create("a").await, harness.create("b").await);
    harness.make_default(&a.name).await;
    let was_default = harness.snapshot(&a.name).await;
    assert!(was_default.was_default);
    let mut present = harness.get(&a.name).await.unwrap();
    // (was it the default, who is the default now) -> reclaimed, default after
    let was_not = EntrySnapshot { ..harness.snapshot(&b.name).await };
    for (now, reclaimed, after) in
        [(a.name.as_str(), true, a.name.as_str()), ("", true, &a.name), (&b.name, false, &b.name)]
    {
        harness.make_default(now).await;
        let request = restore(&was_default, &present.etag);
        let response = harness.client.restore_entry(request).await.unwrap().into_inner();
        assert_eq!(response.default_reclaimed, reclaimed, "{now}");
        present = response.sandbox.unwrap();
        assert_eq!(present.is_default, after == a.name);
        let default =
            harness.client.get_default_sandbox(GetDefaultSandboxRequest {}).await.sandbox();
        assert_eq!(default.name, after);
    }
    harness.make_default("").await;
    let response =
        harness.client.restore_entry(restore(&was_not, &b.etag)).await.unwrap().into_inner();
    assert!(!response.default_reclaimed && !response.sandbox.unwrap().is_default);
}

#[tokio::test]
async fn an_altered_snapshot_or_one_of_another_record_is_refused() {
    let mut harness = Harness::start().await;
    let (a, b) = (harness.create("a").await, harness.create("b").await);
    let snapshot = harness.snapshot(&a.name).await;
    let mut flipped = snapshot.clone();
    let last = flipped.sealed.len() - 1;
    flipped.sealed[last] ^= 1;
    let mut short = snapshot.clone();
    short.sealed.truncate(10);
    for altered in [
        flipped,
        short,
        EntrySnapshot { sealed: Vec::new(), ..snapshot.clone() },
        EntrySnapshot { name: b.name.clone(), ..snapshot.clone() },
        EntrySnapshot { etag: b.etag.clone(), ..snapshot.clone() },
        EntrySnapshot { revision: snapshot.revision + 1, ..snapshot.clone() },
        EntrySnapshot { was_default: true, ..snapshot.clone() },
    ] {
        for etag in [&a.etag, &b.etag] {
            let answer = harness.client.restore_entry(restore(&altered, etag)).await;
            refused(answer, Code::InvalidArgument, "SNAPSHOT_ALTERED");
        }
    }
    harness.delete(&a).await;
    let second = harness.create("a").await;
    let answer = harness.client.restore_entry(restore(&snapshot, &second.etag)).await;
    let received = refused(answer, Code::FailedPrecondition, "SNAPSHOT_OF_OTHER_RECORD");
    assert_eq!(
        (&received.metadata["snapshot_uid"], &received.metadata["current_uid"]),
        (&a.uid, &second.uid)
    );
    assert_eq!(harness.get(&a.name).await.unwrap(), second);
    assert_eq!(harness.get(&b.name).await.unwrap(), b);
    refused_field(harness.client.restore_entry(RestoreEntryRequest::default()).await, "snapshot");
}

#[tokio::test]
async fn a_snapshot_needs_the_key_that_sealed_it_and_outlives_a_restart() {
    let mut harness = Harness::start().await;
    let a = harness.create("a").await;
    let snapshot = harness.snapshot(&a.name).await;
    let mut harness = harness.restart(|config| config.keys = keys(OTHER_KEY)).await;
    let answer = harness.client.restore_entry(restore(&snapshot, &a.etag)).await;
    refused(answer, Code::FailedPrecondition, "SEAL_KEY_MISSING");
    let mut harness = harness.restart(|config| config.keys = keys(KEY)).await;
    harness.client.restore_entry(restore(&snapshot, &a.etag)).await.unwrap();
    let missing = SnapshotEntryRequest { name: record("no") };
    refused(harness.client.snapshot_entry(missing).await, Code::NotFound, "SANDBOX_NOT_FOUND");
}

/// Its recovery may have ended since, and would never take the mark off.
#[tokio::test]
async fn a_mark_comes_back_to_the_holder_of_a_lease_only() {
    let mut harness = Harness::start().await;
    let created = harness.create("a").await;
    let lease = harness.acquire(&created.name, "recoveries/1").await.unwrap();
    let fence_token = lease.fence_token;
    let mut marked = Sandbox { recovery: "recoveries/1".into(), ..created };
    marked.set_state(State::Recovering);
    let mark = UpdateSandboxRequest { fence_token, ..update(&marked, &["state", "recovery"]) };
    let marked = harness.client.update_sandbox(mark).await.sandbox();
    let snapshot = harness.snapshot(&marked.name).await;
    let held = RestoreEntryRequest { fence_token, ..restore(&snapshot, &marked.etag) };
    let back = harness.client.restore_entry(held).await.unwrap().into_inner().sandbox.unwrap();
    assert_eq!((back.state(), &*back.recovery), (State::Recovering, "recoveries/1"));

    let mut freed = Sandbox { recovery: String::new(), ..back };
    freed.set_state(State::Active);
    let free = UpdateSandboxRequest { fence_token, ..update(&freed, &["state", "recovery"]) };
    let freed = harness.client.update_sandbox(free).await.sandbox();
    let release = ReleaseLeaseRequest { sandbox: lease.sandbox, fence_token };
    harness.client.release_lease(release).await.unwrap();
    let later = harness.client.restore_entry(restore(&snapshot, &freed.etag)).await;
    let back = later.unwrap().into_inner().sandbox.unwrap();
    assert_eq!((back.state(), &*back.recovery), (State::Active, ""));
    assert_eq!(content(&back), content(&freed));
}
