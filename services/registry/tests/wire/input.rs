//! Bad input, field by field.

use salvor_proto::registry::v1::*;
use tonic::Code;

use crate::support::*;

type Break = fn(&mut Sandbox);

const SHA: &str = "abababababababababababababababababababababababababababababababab";

fn sealed(path: &str, sha256: &str) -> SealedPath {
    SealedPath { path: path.into(), sha256: sha256.into() }
}

fn posture_of(sandbox: &mut Sandbox) -> &mut Posture {
    sandbox.posture.as_mut().unwrap()
}

fn probe(seconds: i64) -> ReadinessProbe {
    let timeout = Some(prost_types::Duration { seconds, nanos: 0 });
    ReadinessProbe { command: vec!["true".into()], timeout }
}

/// What is broken, the mask's path, and the field that is blamed.
const CASES: &[(Break, &str, &str)] = &[
    (|s| s.spec.as_mut().unwrap().dialect = 0, "spec", "sandbox.spec.dialect"),
    (|s| s.spec.as_mut().unwrap().dialect = 77, "spec", "sandbox.spec.dialect"),
    (|s| s.spec.as_mut().unwrap().content = vec![0; (1 << 20) + 1], "spec", "sandbox.spec.content"),
    (
        |s| {
            s.spec.as_mut().unwrap().observe_time =
                Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
        },
        "spec",
        "sandbox.spec.observe_time",
    ),
    (|s| s.policy.as_mut().unwrap().dialect = -1, "policy", "sandbox.policy.dialect"),
    (
        |s| s.policy.as_mut().unwrap().content = vec![0; (256 << 10) + 1],
        "policy",
        "sandbox.policy.content",
    ),
    (
        |s| {
            s.policy.as_mut().unwrap().entries =
                vec![PolicyEntry { name: "a".into(), sha256: "short".into() }];
        },
        "policy",
        "sandbox.policy.entries[0].sha256",
    ),
    (
        |s| {
            s.policy.as_mut().unwrap().entries =
                vec![PolicyEntry { name: "a".into(), sha256: SHA.into() }; 2];
        },
        "policy",
        "sandbox.policy.entries[1].name",
    ),
    (|s| posture_of(s).mode = 3, "posture", "sandbox.posture.mode"),
    (|s| posture_of(s).proof = 9, "posture", "sandbox.posture.proof"),
    (
        |s| {
            posture_of(s).sealed_paths =
                (0..257).map(|index| sealed(&format!("/{index}"), SHA)).collect();
        },
        "posture",
        "sandbox.posture.sealed_paths",
    ),
    (
        |s| posture_of(s).sealed_paths = vec![sealed("etc", SHA)],
        "posture",
        "sandbox.posture.sealed_paths[0].path",
    ),
    (
        |s| posture_of(s).sealed_paths = vec![sealed("/", SHA)],
        "posture",
        "sandbox.posture.sealed_paths[0].path",
    ),
    (
        |s| posture_of(s).sealed_paths = vec![sealed("/a/../b", SHA)],
        "posture",
        "sandbox.posture.sealed_paths[0].path",
    ),
    (
        |s| posture_of(s).sealed_paths = vec![sealed("/a//b", SHA)],
        "posture",
        "sandbox.posture.sealed_paths[0].path",
    ),
    (
        |s| posture_of(s).sealed_paths = vec![sealed("/a/", SHA)],
        "posture",
        "sandbox.posture.sealed_paths[0].path",
    ),
    (
        |s| posture_of(s).sealed_paths = vec![sealed("/a", SHA); 2],
        "posture",
        "sandbox.posture.sealed_paths[1].path",
    ),
    (
        |s| posture_of(s).sealed_paths = vec![sealed("/a", "AB")],
        "posture",
        "sandbox.posture.sealed_paths[0].sha256",
    ),
    (|s| s.readiness_probe = Some(probe(61)), "readiness_probe", "sandbox.readiness_probe.timeout"),
    (|s| s.readiness_probe = Some(probe(0)), "readiness_probe", "sandbox.readiness_probe.timeout"),
    (
        |s| s.readiness_probe = Some(ReadinessProbe::default()),
        "readiness_probe",
        "sandbox.readiness_probe.command",
    ),
    (|s| s.automatic_recovery = 4, "automatic_recovery", "sandbox.automatic_recovery"),
    (|s| s.agents = vec![Agent::default()], "agents", "sandbox.agents[0].kind"),
    (
        |s| {
            s.snapshot_rules =
                Some(SnapshotRules { roots: vec!["rel".into()], ..Default::default() });
        },
        "snapshot_rules",
        "sandbox.snapshot_rules.roots[0]",
    ),
    (
        |s| s.snapshot_rules = Some(SnapshotRules { keep_last: -1, ..Default::default() }),
        "snapshot_rules",
        "sandbox.snapshot_rules.keep_last",
    ),
    (
        |s| {
            s.config_files =
                vec![ConfigFile { path: "/a".into(), format: "ini".into(), ..Default::default() }];
        },
        "config_files",
        "sandbox.config_files[0].format",
    ),
    (
        |s| {
            let file =
                ConfigFile { path: "/a".into(), format: "json".into(), ..Default::default() };
            s.config_files = vec![file.clone(), file];
        },
        "config_files",
        "sandbox.config_files[1].path",
    ),
    (
        |s| {
            let runtime_owned_keys = vec!["a.b".into(), "a..b".into()];
            s.config_files =
                vec![ConfigFile { path: "/a".into(), format: "toml".into(), runtime_owned_keys }];
        },
        "config_files",
        "sandbox.config_files[0].runtime_owned_keys[1]",
    ),
    (|s| s.live_id = "a\nb".into(), "live_id", "sandbox.live_id"),
    (|s| s.labels = [(String::new(), "x".into())].into(), "labels", "sandbox.labels"),
    (|s| s.labels = [("x".into(), "y".repeat(300 << 10))].into(), "labels", "sandbox"),
];

#[tokio::test]
async fn a_bad_field_is_blamed_by_its_path_on_create_and_on_update() {
    let mut harness = Harness::start().await;
    let good = harness.create("good").await;
    let before = harness.list().await;
    for (index, (damage, path, field)) in CASES.iter().enumerate() {
        let mut bad = sandbox("bad");
        damage(&mut bad);
        let request = CreateSandboxRequest { sandbox: Some(bad.clone()), ..Default::default() };
        refused_field(harness.client.create_sandbox(request).await, field);
        let bad = Sandbox { name: good.name.clone(), etag: good.etag.clone(), ..bad };
        refused_field(harness.client.update_sandbox(update(&bad, &[path])).await, field);
        // What the mask leaves out is not looked at.
        let other = if *path == "labels" { "posture" } else { "labels" };
        let mut unmasked = update(&bad, &[other]);
        unmasked.validate_only = true;
        harness
            .client
            .update_sandbox(unmasked)
            .await
            .unwrap_or_else(|status| panic!("case {index}: {status:?}"));
    }
    assert_eq!(harness.list().await, before, "nothing was stored");
}

#[tokio::test]
async fn limits_themselves_are_accepted() {
    let mut harness = Harness::start().await;
    let mut large = sandbox("large");
    large.spec.as_mut().unwrap().content = vec![1; 1 << 20];
    large.policy.as_mut().unwrap().content = vec![2; 256 << 10];
    posture_of(&mut large).sealed_paths =
        (0..256).map(|index| sealed(&format!("/etc/{index}"), SHA)).collect();
    large.readiness_probe = Some(probe(60));
    let request = CreateSandboxRequest { sandbox: Some(large), ..Default::default() };
    let created = harness.client.create_sandbox(request).await.sandbox();
    let snapshot = SnapshotEntryRequest { name: created.name.clone() };
    let snapshot = harness.client.snapshot_entry(snapshot).await.unwrap().into_inner().snapshot;
    let restore = RestoreEntryRequest { snapshot, etag: created.etag, fence_token: 0 };
    harness.client.restore_entry(restore).await.unwrap();
}

#[tokio::test]
async fn masks_name_known_changeable_top_level_fields() {
    let mut harness = Harness::start().await;
    let present = harness.create("a").await;
    for (path, word) in [
        ("*", "refused"),
        ("name", "immutable"),
        ("uid", "registry alone"),
        ("etag", "registry alone"),
        ("is_default", "registry alone"),
        ("posture.mode", "top-level"),
        ("colour", "\"colour\""),
    ] {
        let answer = harness.client.update_sandbox(update(&present, &["labels", path])).await;
        assert!(answer.as_ref().unwrap_err().message().contains(word), "{answer:?}");
        refused_field(answer, "update_mask");
    }
    refused_field(harness.client.update_sandbox(update(&present, &[])).await, "update_mask");
    let without = UpdateSandboxRequest { update_mask: None, ..update(&present, &[]) };
    refused_field(harness.client.update_sandbox(without).await, "update_mask");
}

#[tokio::test]
async fn names_are_checked_in_every_request() {
    let mut harness = Harness::start().await;
    let present = harness.create("a").await;
    let client = &mut harness.client;
    for name in [
        "",
        "a",
        "gateways/lab",
        "gateways/Lab/workspaces/w/sandboxes/s",
        &format!("{}/x", present.name),
    ] {
        let name = name.to_owned();
        let named = Sandbox { name: name.clone(), ..present.clone() };
        let create = CreateSandboxRequest { sandbox: Some(named.clone()), ..Default::default() };
        refused_field(client.create_sandbox(create).await, "sandbox.name");
        refused_field(client.update_sandbox(update(&named, &["labels"])).await, "sandbox.name");
        let get = GetSandboxRequest { name: name.clone(), ..Default::default() };
        refused_field(client.get_sandbox(get).await, "name");
        let delete =
            DeleteSandboxRequest { name: name.clone(), etag: "x".into(), ..Default::default() };
        refused_field(client.delete_sandbox(delete).await, "name");
        refused_field(
            client.snapshot_entry(SnapshotEntryRequest { name: name.clone() }).await,
            "name",
        );
        let open = OpenSandboxMaterialRequest { name: name.clone(), fence_token: 1, copy: None };
        refused_field(client.open_sandbox_material(open).await, "name");
        let renew = RenewLeaseRequest { sandbox: name.clone(), fence_token: 1, ttl: None };
        refused_field(client.renew_lease(renew).await, "sandbox");
        let release = ReleaseLeaseRequest { sandbox: name.clone(), fence_token: 1 };
        refused_field(client.release_lease(release).await, "sandbox");
        let snapshot = Some(EntrySnapshot { name: name.clone(), ..Default::default() });
        let restore = RestoreEntryRequest { snapshot, ..Default::default() };
        refused_field(client.restore_entry(restore).await, "snapshot.name");
        if !name.is_empty() {
            refused_field(
                client.set_default_sandbox(SetDefaultSandboxRequest { name }).await,
                "name",
            );
        }
    }
}

#[tokio::test]
async fn etags_ids_sizes_and_parents_are_checked() {
    let mut harness = Harness::start().await;
    let present = harness.create("a").await;
    let client = &mut harness.client;
    let delete = DeleteSandboxRequest { name: present.name.clone(), ..Default::default() };
    refused_field(client.delete_sandbox(delete.clone()).await, "etag");
    let odd = DeleteSandboxRequest {
        etag: "x".into(),
        request_id: "not a uuid".into(),
        ..delete.clone()
    };
    refused_field(client.delete_sandbox(odd).await, "request_id");
    let negative = DeleteSandboxRequest { etag: "x".into(), fence_token: -1, ..delete };
    refused_field(client.delete_sandbox(negative).await, "fence_token");
    let without = Sandbox { etag: String::new(), ..present };
    refused_field(client.update_sandbox(update(&without, &["labels"])).await, "sandbox.etag");
    refused_field(client.create_sandbox(CreateSandboxRequest::default()).await, "sandbox");
    refused_field(client.update_sandbox(UpdateSandboxRequest::default()).await, "sandbox");
    for page_size in [-1, 1001] {
        let request = ListSandboxesRequest { page_size, ..Default::default() };
        refused_field(client.list_sandboxes(request).await, "page_size");
    }
    for parent in [
        "gateways/lab",
        "gateways/-",
        "workspaces/w",
        "gateways//workspaces/-",
        "gateways/A/workspaces/-",
    ] {
        let request = ListSandboxesRequest { parent: parent.into(), ..Default::default() };
        refused_field(client.list_sandboxes(request).await, "parent");
        let request = WatchSandboxesRequest { parent: parent.into(), ..Default::default() };
        refused_field(client.watch_sandboxes(request).await.map(|_| ()), "parent");
    }
    let request = ListSandboxesRequest { sandbox: "No Name".into(), ..Default::default() };
    refused_field(client.list_sandboxes(request).await, "sandbox");
}

#[tokio::test]
async fn a_message_beyond_all_limits_is_cut_off_at_the_edge() {
    let mut harness = Harness::start().await;
    let mut huge = sandbox("huge");
    huge.spec.as_mut().unwrap().content = vec![0; 5 << 20];
    let request = CreateSandboxRequest { sandbox: Some(huge), ..Default::default() };
    assert_eq!(harness.client.create_sandbox(request).await.unwrap_err().code(), Code::OutOfRange);
    harness.create("a").await;
}
