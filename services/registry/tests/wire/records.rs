//! Create, get, update, delete, the default pointer, request ids.

use std::time::Duration;

use salvor_proto::registry::v1::sandbox::State;
use salvor_proto::registry::v1::*;
use salvor_proto::time::timestamp;
use tonic::Code;

use crate::support::*;

#[tokio::test]
async fn a_new_record_has_an_identity_and_no_secret_in_it() {
    let mut harness = Harness::start().await;
    let created = harness.create("a").await;
    assert_eq!(created.name, record("a"));
    assert!(uuid::Uuid::parse_str(&created.uid).is_ok() && !created.etag.is_empty());
    assert_eq!((created.state(), created.generation, created.revision), (State::Active, 1, 3));
    assert_eq!(created.create_time, Some(timestamp(START_MS)));
    let spec = created.spec.as_ref().unwrap();
    assert!(spec.content.is_empty() && spec.openable && spec.sha256.len() == 64);
    assert_eq!(spec.size_bytes, i64::try_from(SECRET.len()).unwrap());
    assert_eq!(harness.get(&record("a")).await.unwrap(), created);
}

#[tokio::test]
async fn output_only_fields_and_stamps_of_the_input_are_not_taken() {
    let mut harness = Harness::start().await;
    let mut given = sandbox("a");
    given.uid = "mine".into();
    given.etag = "mine".into();
    given.generation = 9;
    given.state = State::Destroyed.into();
    given.is_default = true;
    given.delete_time = Some(timestamp(1));
    given.annotations.insert("salvor.dev/recovery".into(), "x".into());
    given.annotations.insert("team".into(), "x".into());
    let request = CreateSandboxRequest { sandbox: Some(given), ..Default::default() };
    let created = harness.client.create_sandbox(request).await.sandbox();
    assert!(created.uid != "mine" && created.etag != "mine" && !created.is_default);
    assert_eq!(
        (created.generation, created.state(), created.delete_time),
        (1, State::Active, None)
    );
    assert_eq!(created.annotations.keys().collect::<Vec<_>>(), ["team"]);
}

#[tokio::test]
async fn a_record_needs_a_registered_gateway() {
    let mut harness = Harness::bare(|_| {}).await;
    let request = CreateSandboxRequest { sandbox: Some(sandbox("a")), ..Default::default() };
    let answer = harness.client.create_sandbox(request).await;
    let received = refused(answer, Code::FailedPrecondition, "GATEWAY_NOT_REGISTERED");
    assert_eq!(received.metadata["gateway"], "gateways/lab");
    assert_eq!(
        received.next_step.as_deref(),
        Some("salvor gateways list  # then register it: salvor gateways add NAME ENDPOINT")
    );
}

#[tokio::test]
async fn a_name_is_taken_while_its_record_lives_and_free_again_after() {
    let mut harness = Harness::start().await;
    let first = harness.create("a").await;
    let again = CreateSandboxRequest { sandbox: Some(sandbox("a")), ..Default::default() };
    refused(
        harness.client.create_sandbox(again.clone()).await,
        Code::AlreadyExists,
        "SANDBOX_EXISTS",
    );
    let delete = DeleteSandboxRequest {
        name: first.name.clone(),
        etag: first.etag.clone(),
        ..Default::default()
    };
    let tombstone = harness.client.delete_sandbox(delete.clone()).await.sandbox();
    assert_eq!((tombstone.state(), tombstone.uid.as_str()), (State::Destroyed, first.uid.as_str()));
    assert!(tombstone.delete_time.is_some() && tombstone.etag != first.etag);
    assert!(!tombstone.spec.unwrap().openable, "a tombstone keeps no secret");
    let hidden = harness
        .client
        .get_sandbox(GetSandboxRequest { name: first.name.clone(), show_deleted: false })
        .await;
    refused(hidden, Code::NotFound, "SANDBOX_DESTROYED");
    assert_eq!(harness.get(&first.name).await.unwrap().state(), State::Destroyed);
    refused(harness.client.delete_sandbox(delete).await, Code::NotFound, "SANDBOX_DESTROYED");
    let second = harness.client.create_sandbox(again).await.sandbox();
    assert_ne!(second.uid, first.uid);
    refused(harness.get(&record("nobody")).await, Code::NotFound, "SANDBOX_NOT_FOUND");
}

#[tokio::test]
async fn an_update_needs_the_present_etag_and_names_both() {
    let mut harness = Harness::start().await;
    let first = harness.create("a").await;
    let mut change = first.clone();
    change.labels.insert("team".into(), "x".into());
    let second = harness.client.update_sandbox(update(&change, &["labels"])).await.sandbox();
    assert_eq!((second.generation, second.revision), (2, first.revision + 1));
    assert_ne!(second.etag, first.etag);
    let stale = harness.client.update_sandbox(update(&change, &["labels"])).await;
    let received = refused(stale, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(
        (&received.metadata["given_etag"], &received.metadata["current_etag"]),
        (&first.etag, &second.etag)
    );
    assert!(received.message.contains(&first.etag) && received.message.contains(&second.etag));
    let delete =
        DeleteSandboxRequest { name: first.name.clone(), etag: first.etag, ..Default::default() };
    refused(harness.client.delete_sandbox(delete).await, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(harness.get(&first.name).await.unwrap(), second);
}

#[tokio::test]
async fn only_what_the_owner_wants_counts_as_a_generation() {
    let mut harness = Harness::start().await;
    let mut present = harness.create("a").await;
    let probe = ReadinessProbe { command: vec!["true".into()], timeout: None };
    let rules = SnapshotRules { roots: vec!["/sandbox".into()], ..Default::default() };
    let file =
        ConfigFile { path: "/etc/a.json".into(), format: "json".into(), ..Default::default() };
    let wanted: [(&str, Sandbox); 7] = [
        ("agents", Sandbox { agents: Vec::new(), ..Default::default() }),
        (
            "posture",
            Sandbox {
                posture: Some(Posture { mode: 2, ..Default::default() }),
                ..Default::default()
            },
        ),
        ("snapshot_rules", Sandbox { snapshot_rules: Some(rules), ..Default::default() }),
        ("config_files", Sandbox { config_files: vec![file], ..Default::default() }),
        ("readiness_probe", Sandbox { readiness_probe: Some(probe), ..Default::default() }),
        ("automatic_recovery", Sandbox { automatic_recovery: 3, ..Default::default() }),
        (
            "annotations",
            Sandbox { annotations: [("a".into(), "b".into())].into(), ..Default::default() },
        ),
    ];
    let proven =
        Posture { mode: 2, proof: 1, proof_time: Some(timestamp(5)), ..Default::default() };
    let observed: [(&str, Sandbox); 4] = [
        (
            "spec",
            Sandbox {
                spec: Some(Spec { dialect: 1, content: b"x".to_vec(), ..Default::default() }),
                ..Default::default()
            },
        ),
        ("policy", Sandbox::default()),
        ("posture", Sandbox { posture: Some(proven), ..Default::default() }),
        ("live_id", Sandbox { live_id: "other".into(), ..Default::default() }),
    ];
    for (expected, cases) in [(1, wanted.as_slice()), (0, observed.as_slice())] {
        for (path, change) in cases {
            let change = Sandbox {
                name: present.name.clone(),
                etag: present.etag.clone(),
                ..change.clone()
            };
            let after = harness.client.update_sandbox(update(&change, &[path])).await.sandbox();
            assert_eq!(after.generation - present.generation, expected, "{path}");
            present = after;
        }
    }
    assert_eq!(present.policy, None);
    assert_eq!(present.posture.unwrap().proof(), posture::Proof::Proven);
}

#[tokio::test]
async fn a_record_that_was_read_can_be_written_back_without_losing_its_content() {
    let mut harness = Harness::start().await;
    let read = harness.create("a").await;
    let mut change = read.clone();
    change.spec.as_mut().unwrap().observe_time = Some(timestamp(7));
    let after = harness.client.update_sandbox(update(&change, &["spec", "policy"])).await.sandbox();
    assert_eq!(after.spec.as_ref().unwrap().size_bytes, read.spec.as_ref().unwrap().size_bytes);
    let lease = harness.acquire(&read.name, "recoveries/1").await.unwrap();
    let open = OpenSandboxMaterialRequest {
        name: read.name.clone(),
        fence_token: lease.fence_token,
        copy: None,
    };
    let opened = harness.client.open_sandbox_material(open).await.unwrap().into_inner();
    assert_eq!(opened.spec.unwrap().content, SECRET);
    let mut other = after.clone();
    other.spec.as_mut().unwrap().sha256 = "ab".repeat(32);
    let mut request = update(&other, &["spec"]);
    request.fence_token = lease.fence_token;
    refused_field(harness.client.update_sandbox(request).await, "sandbox.spec.content");
    let create = CreateSandboxRequest {
        sandbox: Some(Sandbox { name: record("b"), ..read }),
        ..Default::default()
    };
    refused_field(harness.client.create_sandbox(create).await, "sandbox.spec.content");
}

#[tokio::test]
async fn checking_stores_nothing_and_fails_where_the_real_call_would() {
    let mut harness = Harness::start().await;
    let revision = harness.list().await.revision;
    let request = CreateSandboxRequest {
        sandbox: Some(sandbox("a")),
        validate_only: true,
        ..Default::default()
    };
    assert_eq!(harness.client.create_sandbox(request.clone()).await.sandbox().name, record("a"));
    refused(harness.get(&record("a")).await, Code::NotFound, "SANDBOX_NOT_FOUND");
    let created = harness.create("a").await;
    refused(harness.client.create_sandbox(request).await, Code::AlreadyExists, "SANDBOX_EXISTS");
    let mut check = update(&Sandbox { live_id: "x".into(), ..created.clone() }, &["live_id"]);
    check.validate_only = true;
    assert_eq!(harness.client.update_sandbox(check.clone()).await.sandbox().live_id, "x");
    assert_eq!(harness.get(&created.name).await.unwrap(), created);
    check.sandbox.as_mut().unwrap().etag = "stale".into();
    refused(harness.client.update_sandbox(check).await, Code::Aborted, "ETAG_MISMATCH");
    assert_eq!(harness.list().await.revision, revision + 1);
}

#[tokio::test]
async fn a_repeated_request_gets_its_first_answer_and_an_id_stands_for_one_request() {
    let mut harness = Harness::start_with(|config| config.request_retention = 3).await;
    let id = || uuid::Uuid::new_v4().to_string();
    let create = CreateSandboxRequest {
        sandbox: Some(sandbox("a")),
        request_id: id(),
        ..Default::default()
    };
    let first = harness.client.create_sandbox(create.clone()).await.sandbox();
    let mut change = update(&Sandbox { live_id: "x".into(), ..first.clone() }, &["live_id"]);
    change.request_id = id();
    let second = harness.client.update_sandbox(change.clone()).await.sandbox();
    assert_eq!(harness.client.create_sandbox(create.clone()).await.sandbox(), first);
    assert_eq!(harness.client.update_sandbox(change.clone()).await.sandbox(), second);
    let mut check = create.clone();
    check.validate_only = true;
    assert_eq!(harness.client.create_sandbox(check).await.sandbox(), first);

    change.sandbox.as_mut().unwrap().live_id = "y".into();
    let received = refused(
        harness.client.update_sandbox(change).await,
        Code::InvalidArgument,
        "REQUEST_ID_REUSED",
    );
    assert_eq!(received.metadata.len(), 1);
    let delete = DeleteSandboxRequest {
        name: first.name.clone(),
        etag: second.etag,
        request_id: create.request_id.clone(),
        ..Default::default()
    };
    refused(
        harness.client.delete_sandbox(delete.clone()).await,
        Code::InvalidArgument,
        "REQUEST_ID_REUSED",
    );
    let delete = DeleteSandboxRequest { request_id: id(), ..delete };
    let tombstone = harness.client.delete_sandbox(delete.clone()).await.sandbox();
    assert_eq!(harness.client.delete_sandbox(delete).await.sandbox(), tombstone);

    let mut gateway = register("gateways/third");
    gateway.request_id = id();
    let registered = harness.client.register_gateway(gateway.clone()).await.unwrap().into_inner();
    assert_eq!(harness.client.register_gateway(gateway).await.unwrap().into_inner(), registered);
    // Three ids are remembered and the first one is not among them any more.
    let again = harness.client.create_sandbox(create).await.sandbox();
    assert_ne!(again.uid, first.uid);
}

#[tokio::test]
async fn the_default_is_claimed_once_moved_and_cleared_by_a_destroy() {
    let mut harness = Harness::start().await;
    let nothing = harness.client.get_default_sandbox(GetDefaultSandboxRequest {}).await;
    refused(nothing, Code::NotFound, "DEFAULT_UNSET");
    let claim = |name| CreateSandboxRequest {
        sandbox: Some(sandbox(name)),
        claim_default: true,
        ..Default::default()
    };
    let a = harness.client.create_sandbox(claim("a")).await.sandbox();
    let b = harness.client.create_sandbox(claim("b")).await.sandbox();
    assert!(a.is_default && !b.is_default);
    let set = |name: &str| SetDefaultSandboxRequest { name: name.into() };
    let previous =
        harness.client.set_default_sandbox(set(&b.name)).await.unwrap().into_inner().previous;
    assert_eq!(previous, a.name);
    let after = harness.client.get_default_sandbox(GetDefaultSandboxRequest {}).await.sandbox();
    assert_eq!(
        after,
        Sandbox { is_default: true, ..b.clone() },
        "the pointer says nothing of the record's content"
    );
    assert!(!harness.get(&a.name).await.unwrap().is_default);
    let delete = DeleteSandboxRequest { name: b.name.clone(), etag: b.etag, ..Default::default() };
    assert!(!harness.client.delete_sandbox(delete).await.sandbox().is_default);
    refused(
        harness.client.get_default_sandbox(GetDefaultSandboxRequest {}).await,
        Code::NotFound,
        "DEFAULT_UNSET",
    );
    refused(
        harness.client.set_default_sandbox(set(&b.name)).await,
        Code::NotFound,
        "SANDBOX_DESTROYED",
    );
    refused(
        harness.client.set_default_sandbox(set(&record("no"))).await,
        Code::NotFound,
        "SANDBOX_NOT_FOUND",
    );
    harness.client.set_default_sandbox(set(&a.name)).await.unwrap();
    let previous = harness.client.set_default_sandbox(set("")).await.unwrap().into_inner().previous;
    assert_eq!(previous, a.name);
    refused(
        harness.client.get_default_sandbox(GetDefaultSandboxRequest {}).await,
        Code::NotFound,
        "DEFAULT_UNSET",
    );
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let mut harness = Harness::start().await;
    let claim = CreateSandboxRequest {
        sandbox: Some(sandbox("a")),
        claim_default: true,
        ..Default::default()
    };
    let created = harness.client.create_sandbox(claim).await.sandbox();
    let lease = harness.acquire(&created.name, "recoveries/1").await.unwrap();
    let before = harness.list().await;
    harness.clock.advance(Duration::from_secs(1));
    let mut harness = harness.restart(|_| {}).await;
    assert_eq!(harness.list().await, before);
    assert_eq!(
        harness.client.get_default_sandbox(GetDefaultSandboxRequest {}).await.sandbox(),
        created
    );
    let open = OpenSandboxMaterialRequest {
        name: created.name.clone(),
        fence_token: lease.fence_token,
        copy: None,
    };
    let opened = harness.client.open_sandbox_material(open).await.unwrap().into_inner();
    assert_eq!(opened.spec.unwrap().content, SECRET);
    refused(harness.acquire(&created.name, "recoveries/2").await, Code::Aborted, "LEASE_HELD");
    assert_eq!(
        harness.acquire(&created.name, "recoveries/1").await.unwrap().fence_token,
        lease.fence_token + 1
    );
}
