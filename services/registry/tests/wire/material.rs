//! Secret bytes: sealed at rest, and in one answer only.

use prost::Message;
use salvor_proto::registry::v1::*;
use salvor_testkit::store::skipped_on_a_server;
use tokio_stream::StreamExt;
use tonic::Code;

use crate::support::*;

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[track_caller]
fn holds_no_secret(what: &str, bytes: &[u8]) {
    assert!(!bytes.is_empty(), "{what}");
    assert!(!holds(bytes, SECRET) && !holds(bytes, POLICY_SECRET), "{what}");
}

async fn open(
    harness: &mut Harness,
    name: &str,
) -> Result<OpenSandboxMaterialResponse, tonic::Status> {
    let lease = harness.acquire(name, "recoveries/1").await.unwrap();
    let request = OpenSandboxMaterialRequest {
        name: name.into(),
        fence_token: lease.fence_token,
        copy: None,
    };
    harness.client.open_sandbox_material(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn no_answer_but_open_material_holds_secret_bytes() {
    let mut harness = Harness::start().await;
    let mut client = harness.client.clone();
    macro_rules! answer {
        ($rpc:ident, $request:expr) => {{
            let response = client.$rpc($request).await.unwrap().into_inner();
            holds_no_secret(stringify!($rpc), &response.encode_to_vec());
            response
        }};
    }
    let watch = WatchSandboxesRequest {
        start_revision: harness.list().await.revision,
        ..Default::default()
    };
    let create = CreateSandboxRequest {
        sandbox: Some(sandbox("a")),
        claim_default: true,
        ..Default::default()
    };
    let create = CreateSandboxRequest { request_id: uuid::Uuid::new_v4().to_string(), ..create };
    let created = answer!(create_sandbox, create.clone()).sandbox.unwrap();
    answer!(create_sandbox, create);
    let name = created.name.clone();
    answer!(get_sandbox, GetSandboxRequest { name: name.clone(), ..Default::default() });
    answer!(list_sandboxes, ListSandboxesRequest::default());
    let change = Sandbox { spec: sandbox("a").spec, ..created };
    let updated = answer!(update_sandbox, update(&change, &["spec"])).sandbox.unwrap();
    answer!(get_default_sandbox, GetDefaultSandboxRequest {});
    let snapshot = answer!(snapshot_entry, SnapshotEntryRequest { name: name.clone() }).snapshot;
    let restore = RestoreEntryRequest { snapshot, etag: updated.etag, ..Default::default() };
    let restored = answer!(restore_entry, restore).sandbox.unwrap();
    answer!(set_default_sandbox, SetDefaultSandboxRequest::default());
    answer!(
        delete_sandbox,
        DeleteSandboxRequest { name, etag: restored.etag, ..Default::default() }
    );
    let mut events = client.watch_sandboxes(watch).await.unwrap().into_inner();
    for _ in 0..5 {
        holds_no_secret("watch_sandboxes", &events.next().await.unwrap().unwrap().encode_to_vec());
    }
}

#[tokio::test]
async fn what_is_stored_holds_no_secret_bytes() {
    let mut harness = Harness::start().await;
    let request_id = "0191f0f0-0000-7000-8000-000000000001".to_owned();
    let request =
        CreateSandboxRequest { sandbox: Some(sandbox("a")), request_id, ..Default::default() };
    harness.client.create_sandbox(request).await.sandbox();
    let database = harness.database().await;
    let mut seen = 0;
    for column in ["message FROM records", "sealed FROM material", "answer FROM requests"] {
        let read = sqlx::AssertSqlSafe(format!("SELECT {column}"));
        let stored: Vec<Vec<u8>> = sqlx::query_scalar(read).fetch_all(&database).await.unwrap();
        seen += stored.len();
        for bytes in stored {
            assert!(!holds(&bytes, SECRET) && !holds(&bytes, POLICY_SECRET), "{column}");
        }
    }
    assert_eq!(seen, 4, "one record, its spec and policy, and one answer");
}

#[tokio::test]
async fn the_files_hold_no_secret_bytes() {
    if skipped_on_a_server("files") {
        return;
    }
    let mut harness = Harness::start().await;
    harness.create("a").await;
    for entry in std::fs::read_dir(harness.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!holds(&bytes, SECRET) && !holds(&bytes, POLICY_SECRET), "{}", path.display());
    }
    assert!(holds(
        &std::fs::read(harness.directory.path().join("registry.db-wal")).unwrap(),
        b"claude-code"
    ));
}

#[tokio::test]
async fn the_holder_of_the_lease_gets_the_content_and_nobody_else() {
    let mut harness = Harness::start().await;
    let name = harness.create("a").await.name;
    let request =
        |fence_token| OpenSandboxMaterialRequest { name: record("a"), fence_token, copy: None };
    refused_field(harness.client.open_sandbox_material(request(0)).await, "fence_token");
    refused(harness.client.open_sandbox_material(request(1)).await, Code::Aborted, "LEASE_LOST");
    let opened = open(&mut harness, &name).await.unwrap();
    assert_eq!(opened.spec.unwrap().content, SECRET);
    let policy = opened.policy.unwrap();
    assert_eq!((policy.content.as_slice(), policy.policy_hash.as_str()), (POLICY_SECRET, "hash"));
    refused(harness.client.open_sandbox_material(request(2)).await, Code::Aborted, "FENCED");
}

/// What a recovery copied before it deleted anything is what it creates from, whatever became of the record.
#[tokio::test]
async fn a_copy_gives_what_it_was_made_of_and_only_to_the_holder() {
    let mut harness = Harness::start().await;
    let created = harness.create("a").await;
    let request = SnapshotEntryRequest { name: created.name.clone() };
    let copy = harness.client.snapshot_entry(request).await.unwrap().into_inner().snapshot;
    let mut change = created.clone();
    change.spec.as_mut().unwrap().content = b"other".to_vec();
    change.policy = None;
    harness.client.update_sandbox(update(&change, &["spec", "policy"])).await.unwrap();
    let of = |copy: &Option<EntrySnapshot>, fence_token| OpenSandboxMaterialRequest {
        name: created.name.clone(),
        fence_token,
        copy: copy.clone(),
    };
    refused(harness.client.open_sandbox_material(of(&copy, 1)).await, Code::Aborted, "LEASE_LOST");
    let token = harness.acquire(&created.name, "recoveries/1").await.unwrap().fence_token;
    let now = harness.client.open_sandbox_material(of(&None, token)).await.unwrap().into_inner();
    assert_eq!((now.spec.unwrap().content, now.policy), (b"other".to_vec(), None));
    let then = harness.client.open_sandbox_material(of(&copy, token)).await.unwrap().into_inner();
    let (spec, policy) = (then.spec.unwrap(), then.policy.unwrap());
    assert_eq!((&*spec.content, &*policy.content), (SECRET, POLICY_SECRET));
    assert_eq!(spec.sha256, created.spec.unwrap().sha256);

    let mut altered = copy.clone();
    altered.as_mut().unwrap().sealed[20] ^= 1;
    let answer = harness.client.open_sandbox_material(of(&altered, token)).await;
    refused(answer, Code::InvalidArgument, "SNAPSHOT_ALTERED");
    let other = OpenSandboxMaterialRequest { name: record("b"), ..of(&copy, token) };
    refused_field(harness.client.open_sandbox_material(other).await, "copy.name");
}

#[tokio::test]
async fn recorded_as_empty_differs_from_not_recorded() {
    let mut harness = Harness::start().await;
    let policy = Some(Policy { dialect: Dialect::V00.into(), ..Default::default() });
    for (name, policy) in [("empty", policy), ("none", None)] {
        let given = Sandbox { policy: policy.clone(), spec: None, ..sandbox(name) };
        let request = CreateSandboxRequest { sandbox: Some(given), ..Default::default() };
        let created = harness.client.create_sandbox(request).await.sandbox();
        assert_eq!(created.policy.is_some(), policy.is_some());
        let opened = open(&mut harness, &created.name).await.unwrap();
        assert_eq!((opened.policy.is_some(), opened.spec), (policy.is_some(), None));
    }
}

#[tokio::test]
async fn without_its_key_a_record_is_readable_and_its_content_is_not() {
    let mut harness = Harness::start().await;
    let before = harness.create("a").await;
    let mut harness = harness.restart(|config| config.keys = keys(OTHER_KEY)).await;
    let after = harness.get(&before.name).await.unwrap();
    assert!(!after.spec.as_ref().unwrap().openable && !after.policy.as_ref().unwrap().openable);
    assert_eq!((&after.etag, after.revision), (&before.etag, before.revision));
    let received = refused(
        open(&mut harness, &before.name).await,
        Code::FailedPrecondition,
        "SEAL_KEY_MISSING",
    );
    assert!(
        received.next_step.unwrap().contains("--seal-key-file")
            && received.metadata["key_id"].len() == 16
    );
    let both = format!("{OTHER_KEY}\n{KEY}");
    let mut harness = harness.restart(|config| config.keys = keys(&both)).await;
    assert_eq!(harness.get(&before.name).await.unwrap(), before);
    assert_eq!(open(&mut harness, &before.name).await.unwrap().spec.unwrap().content, SECRET);
}

#[tokio::test]
async fn sealed_bytes_cannot_be_moved_between_records_or_fields() {
    let mut harness = Harness::start().await;
    let (a, b) = (harness.create("a").await, harness.create("b").await);
    let database = harness.database().await;
    let statement = "UPDATE material SET sealed = (SELECT sealed FROM material \
                     WHERE uid = $1 AND field = 'spec') \
                     WHERE uid = $2 AND field = 'spec'";
    sqlx::query(statement).bind(&a.uid).bind(&b.uid).execute(&database).await.unwrap();
    let received = refused(open(&mut harness, &b.name).await, Code::DataLoss, "MATERIAL_DAMAGED");
    assert_eq!(
        (received.metadata["field"].as_str(), &received.metadata["name"]),
        ("spec", &b.name)
    );
    open(&mut harness, &a.name).await.unwrap();
    assert_eq!(harness.get(&b.name).await.unwrap(), b, "the record itself is as it was");
}
