//! Policies, settings, providers and workspaces.

use prost::Message as _;
use salvor_devgateway::{Dialect, Phase};
use salvor_openshell_wire::v0_0 as pb;
use tonic::Code;

use crate::client::{Create, refusal, said, spec};
use crate::{Fixture, PATIENCE};

// The two dialects share everything behind these calls; their own shapes are in `only_v0_1`.

fn with_rule(policy: &[u8], rule: &str) -> Vec<u8> {
    let mut policy = pb::SandboxPolicy::decode(policy).unwrap();
    policy.network_policies.insert(rule.into(), vec![0x0a, 0x01, b'r']);
    policy.encode_to_vec()
}

async fn effective(fixture: &mut Fixture, id: &str) -> pb::GetSandboxConfigResponse {
    let request = pb::GetSandboxConfigRequest { sandbox_id: id.into() };
    fixture.client.v0_0().get_sandbox_config(request).await.unwrap().into_inner()
}

fn update(policy: Vec<u8>) -> pb::UpdateConfigRequest {
    pb::UpdateConfigRequest { name: "agent".into(), policy: Some(policy), ..Default::default() }
}

#[tokio::test]
async fn an_omitted_policy_is_backfilled_and_a_given_one_is_version_1() {
    let mut fixture = Fixture::new(Dialect::V0_0).await;
    let bare = fixture.ready("agent").await;
    let config = effective(&mut fixture, &bare.id).await;
    let default = config.policy.unwrap();
    assert_eq!((config.version, config.policy_hash.len()), (1, 64));
    assert_eq!((config.policy_source, config.workspace.as_str()), (1, "default"));
    let seen = pb::SandboxSpec::decode(bare.spec.unwrap().as_slice()).unwrap();
    assert_eq!(seen.policy.as_ref(), Some(&default));

    let mut wanted = spec(&[]);
    wanted.policy = Some(with_rule(&default, "web"));
    let create = Create::with("other", &wanted);
    fixture.client.create_as(create).await.unwrap();
    let other = fixture.wait_phase("other", Phase::Ready).await;
    let given = effective(&mut fixture, &other.id).await;
    assert_eq!((given.version, &given.policy), (1, &wanted.policy));
    assert_ne!(given.policy_hash, config.policy_hash);
}

#[tokio::test]
async fn an_update_is_idempotent_loads_later_and_cannot_touch_what_is_fixed() {
    let mut fixture = Fixture::new(Dialect::V0_0).await;
    let id = fixture.ready("agent").await.id;
    let policy = effective(&mut fixture, &id).await.policy.unwrap();
    let wider = with_rule(&policy, "web");

    let client = fixture.client.v0_0();
    let first = client.update_config(update(wider.clone())).await.unwrap().into_inner();
    assert_eq!(first.version, 2);
    let again = client.update_config(update(wider.clone())).await.unwrap().into_inner();
    assert_eq!((again.version, again.policy_hash), (2, first.policy_hash.clone()));
    let mut annotated = update(wider.clone());
    annotated.annotations.insert("by".into(), "test".into());
    let third = client.update_config(annotated).await.unwrap().into_inner();
    assert_eq!((third.version, &third.policy_hash), (3, &first.policy_hash));

    let loaded = |view: Option<&salvor_devgateway::SandboxView>| {
        view.is_some_and(|view| view.policy_version == 3)
    };
    assert!(fixture.control().wait("agent", loaded, PATIENCE).await.1);
    let status = pb::GetSandboxPolicyStatusRequest { name: "agent".into(), ..Default::default() };
    let client = fixture.client.v0_0();
    let status = client.get_sandbox_policy_status(status).await.unwrap().into_inner();
    let revision = status.revision.unwrap();
    assert_eq!((status.active_version, revision.status), (3, 2));
    assert_eq!(revision.policy, Some(wider));
    let list = pb::ListSandboxPoliciesRequest { name: "agent".into(), ..Default::default() };
    let rows = client.list_sandbox_policies(list).await.unwrap().into_inner().revisions;
    let shape: Vec<_> = rows.iter().map(|row| (row.version, row.status)).collect();
    assert_eq!(shape, [(3, 2), (2, 4), (1, 4)]);
    assert!(rows.iter().all(|row| row.policy.is_none()));

    let mut fixed = pb::SandboxPolicy::decode(policy.as_slice()).unwrap();
    fixed.process = None;
    let (code, text) = refusal(client.update_config(update(fixed.encode_to_vec())).await);
    assert_eq!(code, Code::InvalidArgument);
    assert!(text.contains("cannot be changed on a live sandbox"), "{text}");
    let stale = pb::UpdateConfigRequest { expected_resource_version: 1, ..update(policy) };
    let (code, text) = refusal(client.update_config(stale).await);
    assert_eq!(code, Code::Aborted);
    assert!(text.contains("concurrent modification (current resource_version: "), "{text}");
    let nothing = pb::UpdateConfigRequest { name: "agent".into(), ..Default::default() };
    assert_eq!(refusal(client.update_config(nothing).await).0, Code::InvalidArgument);
}

#[tokio::test]
async fn an_unknown_revision_and_settings_behave() {
    let mut fixture = Fixture::new(Dialect::V0_0).await;
    let id = fixture.ready("agent").await.id;
    let client = fixture.client.v0_0();
    let status = pb::GetSandboxPolicyStatusRequest {
        name: "agent".into(),
        version: 9,
        ..Default::default()
    };
    assert_eq!(
        refusal(client.get_sandbox_policy_status(status).await),
        said(Code::NotFound, "no policy revision found for this sandbox")
    );
    let value = pb::setting_value::Value::BoolValue(true);
    let set = pb::UpdateConfigRequest {
        name: "agent".into(),
        setting_key: "verbose".into(),
        setting_value: Some(pb::SettingValue { value: Some(value) }),
        ..Default::default()
    };
    assert_eq!(client.update_config(set).await.unwrap().into_inner().settings_revision, 1);
    let settings = effective(&mut fixture, &id).await.settings;
    assert_eq!(settings["verbose"], [0x0a, 0x02, 0x10, 0x01, 0x10, 0x01]);
}

#[tokio::test]
async fn providers_are_redacted_attached_by_name_and_kept_while_in_use() {
    let mut fixture = Fixture::new(Dialect::V0_0).await;
    let provider = pb::Provider {
        metadata: Some(pb::ObjectMeta { name: "git".into(), ..Default::default() }),
        r#type: "generic".into(),
        credentials: [("TOKEN".to_owned(), "hunter2".to_owned())].into(),
        credential_expires_at_ms: [("TOKEN".to_owned(), 1_700_000_000_000)].into(),
        ..Default::default()
    };
    let create = pb::CreateProviderRequest { provider: Some(provider), ..Default::default() };
    let client = fixture.client.v0_0();
    client.create_provider(create.clone()).await.unwrap();
    assert_eq!(
        refusal(client.create_provider(create).await),
        said(Code::AlreadyExists, "provider already exists")
    );
    let get = pb::GetProviderRequest { name: "git".into(), ..Default::default() };
    let read = client.get_provider(get.clone()).await.unwrap().into_inner().provider.unwrap();
    assert_eq!(read.credentials["TOKEN"], "REDACTED");
    assert_eq!(read.credential_expires_at_ms["TOKEN"], 1_700_000_000_000);
    assert!(!secret_is_stored(&fixture.dir.path().join("data/store")), "no secret is stored");

    let mut wanted = spec(&[]);
    wanted.providers = vec!["git".into()];
    fixture.client.create_as(Create::with("agent", &wanted)).await.unwrap();
    fixture.wait_phase("agent", Phase::Ready).await;
    let client = fixture.client.v0_0();
    let delete = pb::DeleteProviderRequest { name: "git".into(), ..Default::default() };
    assert_eq!(
        refusal(client.delete_provider(delete.clone()).await),
        said(Code::FailedPrecondition, "provider 'git' is attached to sandbox(es): agent")
    );
    let of = pb::ListSandboxProvidersRequest { sandbox_name: "agent".into(), ..Default::default() };
    let attached = client.list_sandbox_providers(of).await.unwrap().into_inner().providers;
    assert_eq!(attached.len(), 1);
    let detach = pb::DetachSandboxProviderRequest {
        sandbox_name: "agent".into(),
        provider_name: "git".into(),
        ..Default::default()
    };
    let first = client.detach_sandbox_provider(detach.clone()).await.unwrap().into_inner();
    let second = client.detach_sandbox_provider(detach).await.unwrap().into_inner();
    assert_eq!((first.detached, second.detached), (true, false));
    let version = |s: Option<pb::Sandbox>| s.unwrap().metadata.unwrap().resource_version;
    assert!(version(second.sandbox) > version(first.sandbox), "even a no-op raises the version");
    let attach = pb::AttachSandboxProviderRequest {
        sandbox_name: "agent".into(),
        provider_name: "nope".into(),
        ..Default::default()
    };
    assert_eq!(
        refusal(client.attach_sandbox_provider(attach).await),
        said(Code::FailedPrecondition, "provider 'nope' not found")
    );
    assert!(client.delete_provider(delete).await.unwrap().into_inner().deleted);
    assert_eq!(refusal(client.get_provider(get).await), said(Code::NotFound, "provider not found"));
}

fn secret_is_stored(dir: &std::path::Path) -> bool {
    std::fs::read_dir(dir).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return secret_is_stored(&path);
        }
        String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains("hunter2")
    })
}

#[tokio::test]
async fn workspaces_hold_their_own_names_and_go_only_when_empty() {
    let mut fixture = Fixture::new(Dialect::V0_0).await;
    fixture.ready("agent").await;
    let create = pb::CreateWorkspaceRequest { name: "team".into(), ..Default::default() };
    let client = fixture.client.v0_0();
    client.create_workspace(create.clone()).await.unwrap();
    assert_eq!(refusal(client.create_workspace(create).await).0, Code::AlreadyExists);
    let rows = client.list_workspaces(pb::ListWorkspacesRequest::default()).await.unwrap();
    assert_eq!(rows.into_inner().workspaces.len(), 2);

    let twin = Create { workspace: "team".into(), ..Create::named("agent") };
    fixture.client.create_as(twin).await.unwrap();
    let control = fixture.control();
    assert!(control.wait_phase("team/agent", Phase::Ready, PATIENCE).await);
    let client = fixture.client.v0_0();
    let delete = pb::DeleteWorkspaceRequest { name: "team".into() };
    assert_eq!(
        refusal(client.delete_workspace(delete.clone()).await),
        said(
            Code::FailedPrecondition,
            "workspace 'team' still contains resources: sandbox, sandbox policy"
        )
    );
    let all = pb::ListSandboxesRequest { all_workspaces: true, ..Default::default() };
    let rows = client.list_sandboxes(all.clone()).await.unwrap().into_inner().sandboxes;
    assert_eq!(rows.len(), 2);
    let both = pb::ListSandboxesRequest { workspace: "team".into(), ..all };
    assert_eq!(
        refusal(client.list_sandboxes(both).await),
        said(Code::InvalidArgument, "all_workspaces and workspace are mutually exclusive")
    );
    let gone = pb::DeleteSandboxRequest { name: "agent".into(), workspace: "team".into() };
    client.delete_sandbox(gone).await.unwrap();
    assert!(control.wait_absent("team/agent", PATIENCE).await);
    client.delete_workspace(delete).await.unwrap();
    let default = pb::DeleteWorkspaceRequest { name: "default".into() };
    assert_eq!(refusal(client.delete_workspace(default).await).0, Code::FailedPrecondition);
}
