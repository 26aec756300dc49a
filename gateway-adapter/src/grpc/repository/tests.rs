use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use salvor_proto::gateway::v1::operation::Result as Outcome;
use salvor_proto::gateway::v1::{
    Operation, Permit as Leave, ReadSnapshotFileRequest, SandboxRef, VerifyReport,
};
use salvor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use salvor_runtime::channel::{Endpoint, connect_lazy};
use salvor_runtime::{Clock, SystemClock};

use super::*;
use crate::directory::Directory;
use crate::gateway::Way;
use crate::operations::{self, Operations};
use crate::store::tests::{Lab, noise};

const REQUEST: &str = "7d444840-9dc0-11d1-b245-5ffdce74fad2";

/// A service whose gateways nobody asks for.
fn service(store: Option<Store>) -> Service {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let channel = connect_lazy(&Endpoint::new("http://127.0.0.1:1")).unwrap();
    let registry = RegistryServiceClient::new(channel);
    let directory = Directory::new("test".into(), registry, Way::default(), Arc::clone(&clock));
    let operations = Operations::new(Arc::clone(&clock), operations::MAX_RUNNING);
    Service::new(Arc::new(directory), Arc::default(), store, None, operations, clock)
}

fn sandbox() -> SandboxRef {
    SandboxRef {
        gateway: "gateways/lab".into(),
        workspace: "default".into(),
        sandbox: "coder".into(),
    }
}

fn leave(sandbox: SandboxRef, fence_token: i64) -> Leave {
    Leave {
        recovery: "recoveries/1".into(),
        plan_digest: "d".into(),
        decision_id: "x".into(),
        fence_token,
        effect: "delete_snapshot".into(),
        sandbox: Some(sandbox),
    }
}

fn all() -> ListSnapshotsRequest {
    ListSnapshotsRequest { gateway: "gateways/lab".into(), ..ListSnapshotsRequest::default() }
}

async fn ended(service: &Service, operation: Option<Operation>) -> Outcome {
    let name = operation.unwrap().name;
    let ended = service.operations.wait(&name, Duration::from_mins(1)).await.unwrap();
    ended.result.unwrap()
}

#[tokio::test]
async fn snapshots_are_listed_in_pages_and_by_request() {
    let lab = Lab::new();
    lab.write("a", "a");
    let mut names = Vec::new();
    for _ in 0..3 {
        names.insert(0, lab.capture(None).await.sealed.name);
    }
    let service = service(Some(lab.store.clone()));
    let (mut found, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListSnapshotsRequest { page_size: 2, page_token, ..all() };
        let page = service.list_snapshots_inner(request).await.unwrap();
        assert!(page.unknown.is_none() && page.snapshots.len() <= 2);
        found.extend(page.snapshots.into_iter().map(|snapshot| snapshot.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, names);
    let count =
        async |request| service.list_snapshots_inner(request).await.unwrap().snapshots.len();
    assert_eq!(count(ListSnapshotsRequest { request_id: "request".into(), ..all() }).await, 3);
    assert_eq!(count(ListSnapshotsRequest { request_id: "other".into(), ..all() }).await, 0);
    assert_eq!(count(ListSnapshotsRequest { sandbox: Some(sandbox()), ..all() }).await, 3);
    let other = SandboxRef { sandbox: "other".into(), ..sandbox() };
    assert_eq!(count(ListSnapshotsRequest { sandbox: Some(other), ..all() }).await, 0);
    assert_eq!(count(ListSnapshotsRequest { gateway: "gateways/b".into(), ..all() }).await, 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_unknown_and_not_empty() {
    let answer = service(None).list_snapshots_inner(all()).await.unwrap();
    assert_eq!(answer.unknown.unwrap().reason(), UnknownReason::NotRegistered);
    let lab = Lab::new();
    lab.write("../password", "wrong from now on");
    std::fs::write(lab.root().join("../password"), "").unwrap();
    let answer = service(Some(lab.store.clone())).list_snapshots_inner(all()).await.unwrap();
    assert_eq!(answer.unknown.unwrap().reason(), UnknownReason::Unauthenticated);
    let get = GetSnapshotRequest { name: format!("gateways/lab/snapshots/{}", "a".repeat(64)) };
    let error = service(None).get_snapshot_inner(get).await.unwrap_err();
    assert_eq!(error.reason(), "NO_REPOSITORY");
}

#[tokio::test]
async fn a_snapshot_answers_to_its_own_gateway_alone() {
    let lab = Lab::new();
    lab.write("a", "a");
    let sealed = lab.capture(None).await.sealed;
    let service = service(Some(lab.store.clone()));
    let get = async |name: String| service.get_snapshot_inner(GetSnapshotRequest { name }).await;
    assert_eq!(get(sealed.name.clone()).await.unwrap().snapshot.unwrap(), sealed);
    let elsewhere = sealed.name.replace("lab", "other");
    assert_eq!(get(elsewhere).await.unwrap_err().reason(), "SNAPSHOT_NOT_FOUND");
    for wrong in ["latest", &sealed.name[..60]] {
        assert_eq!(get(wrong.to_owned()).await.unwrap_err().reason(), "INVALID_FIELD");
    }
}

#[tokio::test]
async fn deletes_need_a_fitting_permit_and_spare_the_last_one() {
    let lab = Lab::new();
    lab.write("a", "a");
    let old = lab.capture(None).await.sealed.name;
    let new = lab.capture(None).await.sealed.name;
    let service = service(Some(lab.store.clone()));
    let delete = async |name: &str, permit, allow_last| {
        let request = DeleteSnapshotRequest { name: name.to_owned(), permit, allow_last };
        service.delete_snapshot_inner(request).await.map_err(|error| error.reason().to_owned())
    };
    let other = SandboxRef { sandbox: "other".into(), ..sandbox() };
    let refused = |reason: &str| Err(reason.to_owned());
    assert_eq!(delete(&old, None, true).await, refused("INVALID_FIELD"));
    assert_eq!(delete(&old, Some(leave(other, 1)), true).await, refused("PERMIT_MISMATCH"));
    assert_eq!(delete(&new, Some(leave(sandbox(), 1)), false).await, refused("LAST_SNAPSHOT"));
    assert_eq!(service.list_snapshots_inner(all()).await.unwrap().snapshots.len(), 2);
    assert!(delete(&old, Some(leave(sandbox(), 2)), false).await.is_ok());
    assert_eq!(delete(&new, Some(leave(sandbox(), 1)), true).await, refused("FENCED"));
    assert!(delete(&new, Some(leave(sandbox(), 2)), true).await.is_ok());
    assert_eq!(service.list_snapshots_inner(all()).await.unwrap().snapshots.len(), 0);
}

#[tokio::test]
async fn long_work_is_an_operation() {
    let lab = Lab::new();
    lab.write("a", noise(10_000, 1));
    let old = lab.capture(None).await.sealed.name;
    let new = lab.capture(None).await.sealed.name;
    let service = service(Some(lab.store.clone()));
    let verify = VerifySnapshotRequest { snapshot: new.clone(), request_id: REQUEST.into() };
    let begun = service.verify_snapshot_inner(verify).unwrap();
    let Outcome::Verification(report) = ended(&service, begun.operation).await else { panic!() };
    let expected = VerifyReport { intact: true, files: 2, bytes: 10_000, ..Default::default() };
    assert_eq!(report, expected);
    let request = PruneSnapshotsRequest {
        sandbox: Some(sandbox()),
        permit: Some(leave(sandbox(), 1)),
        retention: Some(Retention { keep_last: 1, ..Retention::default() }),
        request_id: REQUEST.replace('7', "8"),
        reclaim_space: true,
        ..PruneSnapshotsRequest::default()
    };
    // What only looks needs no permit, and takes nothing away.
    let looks = PruneSnapshotsRequest {
        permit: None,
        validate_only: true,
        request_id: REQUEST.replace('7', "9"),
        ..request.clone()
    };
    let error = service
        .prune_snapshots_inner(PruneSnapshotsRequest { validate_only: false, ..looks.clone() })
        .await
        .unwrap_err();
    assert!(error.message().starts_with("permit"), "{error}");
    let begun = service.prune_snapshots_inner(looks).await.unwrap();
    let Outcome::Prune(report) = ended(&service, begun.operation).await else { panic!() };
    assert_eq!((report.deleted, report.bytes_freed), (vec![old.clone()], 0));
    assert_eq!(service.list_snapshots_inner(all()).await.unwrap().snapshots.len(), 2);
    for (field, wrong) in [
        ("retention", PruneSnapshotsRequest { retention: None, ..request.clone() }),
        ("in_use[0]", PruneSnapshotsRequest { in_use: vec!["latest".into()], ..request.clone() }),
        ("request_id", PruneSnapshotsRequest { request_id: "1".into(), ..request.clone() }),
    ] {
        let error = service.prune_snapshots_inner(wrong).await.unwrap_err();
        assert!(error.message().starts_with(field), "{error}");
    }
    let begun = service.prune_snapshots_inner(request).await.unwrap();
    let Outcome::Prune(report) = ended(&service, begun.operation).await else { panic!() };
    assert_eq!(report.deleted, [old]);
    assert_eq!(report.kept[0].name, new);
}

#[tokio::test]
async fn files_are_read_in_part_and_changes_listed() {
    let lab = Lab::new();
    let bytes = noise(300_000, 3);
    let path = lab.write("d/file", &bytes);
    let old = lab.capture(None).await.sealed.name;
    lab.write("d/new", "x");
    let new = lab.capture(None).await.sealed.name;
    let service = service(Some(lab.store.clone()));
    let read = async |path: &str, offset, limit| {
        let request =
            ReadSnapshotFileRequest { snapshot: new.clone(), path: path.into(), offset, limit };
        let mut pieces = service.read_snapshot_file_inner(request).await?;
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().await {
            all.extend(piece.unwrap().content);
        }
        Ok::<_, Error>(all)
    };
    let path = path.to_str().unwrap();
    assert!(read(path, 0, 0).await.unwrap() == bytes);
    assert!(read(path, 100_000, 70_000).await.unwrap() == bytes[100_000..170_000]);
    assert!(read(path, 300_000, 1).await.unwrap().is_empty());
    let directory = lab.root();
    for (path, reason) in [
        ("relative", "INVALID_FIELD"),
        ("/a/../b", "INVALID_FIELD"),
        (directory.to_str().unwrap(), "INVALID_FIELD"),
        ("/etc/passwd", "PATH_NOT_FOUND"),
    ] {
        assert_eq!(read(path, 0, 0).await.unwrap_err().reason(), reason, "{path}");
    }
    let diff = DiffSnapshotsRequest { base: old, other: new.clone(), ..Default::default() };
    let changes = service.diff_snapshots_inner(diff).await.unwrap().changes;
    assert_eq!(changes.len(), 2, "the directory and the file: {changes:?}");
    assert!(changes[1].path.ends_with("d/new"));
}
