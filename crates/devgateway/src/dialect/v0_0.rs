//! OpenShell 0.0.x over the world: translation only.
//!
//! An empty workspace means `default`; exec, watch and configuration go by sandbox id.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Streaming};

use salvor_openshell_wire::v0_0 as pb;
use salvor_openshell_wire::v0_0::open_shell_server::{OpenShell, OpenShellServer};

use super::{DRIVER, MAX_INBOUND, Reply, Streamed, current_user, exec_stream, input_stream};
use super::{intent, open};
use crate::calls::{CreateFacts, Intent};
use crate::core::Core;
use crate::exec::{self, Command, Input};
use crate::faults::Effect;
use crate::refusal::{Outcome, Refusal};
use crate::watching;
use crate::world::lookup::{Page, Scope};
use crate::world::{ConfigChange, DEFAULT_WORKSPACE, Deleted, NewProvider, NewSandbox, Target};

mod convert;

use convert::{exec_event, provider, revision, sandbox, sandbox_response, workspace};

/// The service in this dialect.
pub(crate) struct Gateway(Arc<Core>);

/// The service with the vendor's message limits.
pub(crate) fn server(core: Arc<Core>) -> OpenShellServer<Gateway> {
    OpenShellServer::new(Gateway(core))
        .max_decoding_message_size(MAX_INBOUND)
        .max_encoding_message_size(usize::MAX)
}

fn resolved(workspace: String) -> String {
    if workspace.is_empty() { DEFAULT_WORKSPACE.to_owned() } else { workspace }
}

fn by_name(workspace: String, name: String) -> Target {
    Target::Name { workspace: resolved(workspace), name }
}

fn named(method: &str, workspace: &str, name: &str) -> Intent {
    Intent { workspace: resolved(workspace.to_owned()), name: name.to_owned(), ..intent(method) }
}

fn with_id(method: &str, id: &str) -> Intent {
    Intent { id: id.to_owned(), ..intent(method) }
}

fn scope(workspace: String, all: bool) -> Outcome<Scope> {
    match (all, workspace.is_empty()) {
        (true, true) => Ok(Scope::All),
        (true, false) => {
            Err(Refusal::invalid("all_workspaces and workspace are mutually exclusive"))
        }
        (false, _) => Ok(Scope::Workspace(resolved(workspace))),
    }
}

fn page(offset: u32, limit: u32) -> Page {
    Page { offset: offset as usize, limit: limit as usize }
}

fn command(request: &pb::ExecSandboxRequest) -> Command {
    let timeout = u64::from(request.timeout_seconds);
    Command {
        argv: request.command.clone(),
        workdir: request.workdir.clone(),
        environment: request.environment.clone(),
        timeout: (timeout > 0).then(|| Duration::from_secs(timeout)),
        tty: request.tty,
        login_shell: true,
    }
}

#[tonic::async_trait]
impl OpenShell for Gateway {
    type ExecSandboxStream = Streamed<pb::ExecSandboxEvent>;
    type ExecSandboxInteractiveStream = Streamed<pb::ExecSandboxEvent>;
    type WatchSandboxStream = Streamed<pb::SandboxStreamEvent>;

    async fn health(&self, request: Request<pb::HealthRequest>) -> Reply<pb::HealthResponse> {
        let (metadata, _) = open(request);
        let core = Arc::clone(&self.0);
        let effect = async move {
            Ok(pb::HealthResponse { status: core.health() as i32, version: core.version() })
        };
        self.0.serve(intent("Health"), &metadata, effect).await
    }

    async fn get_current_user(
        &self,
        request: Request<pb::GetCurrentUserRequest>,
    ) -> Reply<pb::GetCurrentUserResponse> {
        let (metadata, _) = open(request);
        let user = current_user(&self.0);
        let effect = async move {
            Ok(pb::GetCurrentUserResponse {
                subject: user.subject.to_owned(),
                display_name: user.subject.to_owned(),
                roles: vec![user.role.to_owned()],
                scopes: Vec::new(),
                identity_provider: user.provider.to_owned(),
            })
        };
        self.0.serve(intent("GetCurrentUser"), &metadata, effect).await
    }

    async fn get_gateway_info(
        &self,
        request: Request<pb::GetGatewayInfoRequest>,
    ) -> Reply<pb::GetGatewayInfoResponse> {
        let (metadata, _) = open(request);
        let core = Arc::clone(&self.0);
        let effect = async move {
            Ok(pb::GetGatewayInfoResponse {
                status: core.health() as i32,
                gateway_version: core.version(),
                compute_drivers: vec![pb::ComputeDriverInfo {
                    name: DRIVER.0.to_owned(),
                    capabilities: Some(pb::ComputeDriverCapabilities {
                        driver_name: DRIVER.0.to_owned(),
                        driver_version: DRIVER.1.to_owned(),
                    }),
                }],
            })
        };
        self.0.serve(intent("GetGatewayInfo"), &metadata, effect).await
    }

    async fn create_sandbox(
        &self,
        request: Request<pb::CreateSandboxRequest>,
    ) -> Reply<pb::SandboxResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let facts = CreateFacts {
            labels: r.labels.clone(),
            annotations: r.annotations.clone(),
            spec: r.spec.clone().unwrap_or_default(),
            request_id: String::new(),
        };
        let intent =
            Intent { create: Some(facts), ..named("CreateSandbox", &r.workspace, &r.name) };
        let effect = async move {
            let row = core.world.create(NewSandbox {
                name: r.name,
                workspace: resolved(r.workspace),
                labels: r.labels,
                annotations: r.annotations,
                spec: r.spec,
            })?;
            Ok(sandbox_response(core.view("CreateSandbox", row)))
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn get_sandbox(
        &self,
        request: Request<pb::GetSandboxRequest>,
    ) -> Reply<pb::SandboxResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("GetSandbox", &r.workspace, &r.name);
        let effect = async move {
            let row = core.world.get(&by_name(r.workspace, r.name))?;
            Ok(sandbox_response(core.view("GetSandbox", row)))
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn list_sandboxes(
        &self,
        request: Request<pb::ListSandboxesRequest>,
    ) -> Reply<pb::ListSandboxesResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("ListSandboxes", &r.workspace, "");
        let effect = async move {
            let rows =
                core.world.list(&scope(r.workspace, r.all_workspaces)?, &r.label_selector)?;
            let (views, _) = page(r.offset, r.limit).cut(core.view_list(rows));
            Ok(pb::ListSandboxesResponse { sandboxes: views.into_iter().map(sandbox).collect() })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn delete_sandbox(
        &self,
        request: Request<pb::DeleteSandboxRequest>,
    ) -> Reply<pb::DeleteSandboxResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("DeleteSandbox", &r.workspace, &r.name);
        let effect = async move {
            let deleted = core.world.delete(&by_name(r.workspace, r.name)).await?;
            Ok(pb::DeleteSandboxResponse { deleted: matches!(deleted, Deleted::Accepted(_)) })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn stop_sandbox(
        &self,
        request: Request<pb::StopSandboxRequest>,
    ) -> Reply<pb::SandboxResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("StopSandbox", &r.workspace, &r.name);
        let effect = async move {
            let row = core.world.stop(&by_name(r.workspace, r.name)).await?;
            Ok(sandbox_response(core.view("StopSandbox", row)))
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn start_sandbox(
        &self,
        request: Request<pb::StartSandboxRequest>,
    ) -> Reply<pb::SandboxResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("StartSandbox", &r.workspace, &r.name);
        let effect = async move {
            let row = core.world.start(&by_name(r.workspace, r.name))?;
            Ok(sandbox_response(core.view("StartSandbox", row)))
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn list_sandbox_providers(
        &self,
        request: Request<pb::ListSandboxProvidersRequest>,
    ) -> Reply<pb::ListSandboxProvidersResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("ListSandboxProviders", &r.workspace, &r.sandbox_name);
        let effect = async move {
            let rows = core.world.attached(&by_name(r.workspace, r.sandbox_name))?;
            let providers = rows.into_iter().map(provider).collect();
            Ok(pb::ListSandboxProvidersResponse { providers })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn attach_sandbox_provider(
        &self,
        request: Request<pb::AttachSandboxProviderRequest>,
    ) -> Reply<pb::AttachSandboxProviderResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("AttachSandboxProvider", &r.workspace, &r.sandbox_name);
        let effect = async move {
            let target = by_name(r.workspace, r.sandbox_name);
            let expected = r.expected_resource_version;
            let (row, attached) =
                core.world.set_attached(&target, &r.provider_name, expected, true)?;
            let view = core.view("AttachSandboxProvider", row);
            Ok(pb::AttachSandboxProviderResponse { sandbox: Some(sandbox(view)), attached })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn detach_sandbox_provider(
        &self,
        request: Request<pb::DetachSandboxProviderRequest>,
    ) -> Reply<pb::DetachSandboxProviderResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("DetachSandboxProvider", &r.workspace, &r.sandbox_name);
        let effect = async move {
            let target = by_name(r.workspace, r.sandbox_name);
            let expected = r.expected_resource_version;
            let (row, detached) =
                core.world.set_attached(&target, &r.provider_name, expected, false)?;
            let view = core.view("DetachSandboxProvider", row);
            Ok(pb::DetachSandboxProviderResponse { sandbox: Some(sandbox(view)), detached })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn create_ssh_session(
        &self,
        request: Request<pb::CreateSshSessionRequest>,
    ) -> Reply<pb::CreateSshSessionResponse> {
        let (metadata, r) = open(request);
        let intent = with_id("CreateSshSession", &r.sandbox_id);
        let effect = async { Err(Refusal::unimplemented("CreateSshSession")) };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn exec_sandbox(
        &self,
        request: Request<pb::ExecSandboxRequest>,
    ) -> Reply<Self::ExecSandboxStream> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = Intent { command: r.command.clone(), ..with_id("ExecSandbox", &r.sandbox_id) };
        let effect = async move {
            let misreport =
                core.faults.data(&Effect::MisreportExit, "ExecSandbox", "", &r.sandbox_id);
            let (command, input) = (command(&r), Input::Whole(r.stdin));
            let events =
                exec::start(&core.world, &Target::Id(r.sandbox_id), command, input, misreport)?;
            Ok(exec_stream(&core, events, exec_event))
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn exec_sandbox_interactive(
        &self,
        request: Request<Streaming<pb::ExecSandboxInput>>,
    ) -> Reply<Self::ExecSandboxInteractiveStream> {
        use pb::exec_sandbox_input::Payload;
        let (metadata, mut messages) = open(request);
        let first = messages.message().await?.and_then(|message| message.payload);
        let start = match first {
            Some(Payload::Start(start)) => Ok(start),
            _ => Err(Refusal::invalid("first message must be a start payload")),
        };
        let seen = start.clone().unwrap_or_default();
        let intent =
            Intent { command: seen.command, ..with_id("ExecSandboxInteractive", &seen.sandbox_id) };
        let core = Arc::clone(&self.0);
        let effect = async move {
            let start = start?;
            let stdin = input_stream(messages, |message| match message.payload {
                Some(Payload::Stdin(bytes)) => Some(bytes),
                _ => None,
            });
            let cut = core.faults.cut(&start.sandbox_id, &start.command);
            let target = Target::Id(start.sandbox_id.clone());
            let input = Input::Stream { pieces: stdin, cut };
            let events = exec::start(&core.world, &target, command(&start), input, false)?;
            Ok(exec_stream(&core, events, exec_event))
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn watch_sandbox(
        &self,
        request: Request<pb::WatchSandboxRequest>,
    ) -> Reply<Self::WatchSandboxStream> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = with_id("WatchSandbox", &r.id);
        let effect = async move {
            if r.id.is_empty() {
                return Err(Refusal::invalid("id is required"));
            }
            let rows = watching::watch(&core.world, &Target::Id(r.id), r.stop_on_terminal)?;
            let events = ReceiverStream::new(rows).map(move |row| {
                let seen = sandbox(core.view("WatchSandbox", row));
                let payload = pb::sandbox_stream_event::Payload::Sandbox(seen);
                Ok(pb::SandboxStreamEvent { payload: Some(payload) })
            });
            Ok(Box::pin(events) as Streamed<_>)
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn create_provider(
        &self,
        request: Request<pb::CreateProviderRequest>,
    ) -> Reply<pb::ProviderResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let name = r.provider.as_ref().and_then(|p| p.metadata.as_ref()).map(|m| m.name.clone());
        let intent = named("CreateProvider", &r.workspace, &name.unwrap_or_default());
        let effect = async move {
            let new = r.provider.ok_or_else(|| Refusal::invalid("provider is required"))?;
            let meta = new.metadata.unwrap_or_default();
            let row = core.world.create_provider(NewProvider {
                name: meta.name,
                workspace: resolved(r.workspace),
                kind: new.r#type,
                labels: meta.labels,
                credential_names: new.credentials.into_keys().collect(),
                config: new.config,
                expires_at_ms: new.credential_expires_at_ms,
                profile_workspace: new.profile_workspace,
            })?;
            Ok(pb::ProviderResponse { provider: Some(provider(row)) })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn get_provider(
        &self,
        request: Request<pb::GetProviderRequest>,
    ) -> Reply<pb::ProviderResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("GetProvider", &r.workspace, &r.name);
        let effect = async move {
            let row = core.world.provider(&resolved(r.workspace), &r.name)?;
            Ok(pb::ProviderResponse { provider: Some(provider(row)) })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn list_providers(
        &self,
        request: Request<pb::ListProvidersRequest>,
    ) -> Reply<pb::ListProvidersResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("ListProviders", &r.workspace, "");
        let effect = async move {
            let workspace = match scope(r.workspace, r.all_workspaces)? {
                Scope::Workspace(workspace) => Some(workspace),
                Scope::All => None,
            };
            let rows = core.world.list_providers(workspace.as_deref())?;
            let (rows, _) = page(r.offset, r.limit).cut(rows);
            Ok(pb::ListProvidersResponse { providers: rows.into_iter().map(provider).collect() })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn delete_provider(
        &self,
        request: Request<pb::DeleteProviderRequest>,
    ) -> Reply<pb::DeleteProviderResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("DeleteProvider", &r.workspace, &r.name);
        let effect = async move {
            let deleted = core.world.delete_provider(&resolved(r.workspace), &r.name)?;
            Ok(pb::DeleteProviderResponse { deleted })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn get_sandbox_config(
        &self,
        request: Request<pb::GetSandboxConfigRequest>,
    ) -> Reply<pb::GetSandboxConfigResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = with_id("GetSandboxConfig", &r.sandbox_id);
        let effect = async move {
            let config = core.world.effective_config(&Target::Id(r.sandbox_id))?;
            Ok(convert::config(config))
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn update_config(
        &self,
        request: Request<pb::UpdateConfigRequest>,
    ) -> Reply<pb::UpdateConfigResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("UpdateConfig", &r.workspace, &r.name);
        let effect = async move {
            let change = ConfigChange {
                policy: r.policy,
                setting_key: r.setting_key,
                setting_value: r.setting_value.map(|value| value.encode_to_vec()),
                delete_setting: r.delete_setting,
                global: r.global,
                merges: !r.merge_operations.is_empty(),
                expected: r.expected_resource_version,
                annotations: r.annotations,
            };
            let row = core.world.update_config(&by_name(r.workspace, r.name), change)?;
            let last = row.revisions.last();
            Ok(pb::UpdateConfigResponse {
                version: last.map_or(0, |last| last.version),
                policy_hash: last.map(|last| last.hash.clone()).unwrap_or_default(),
                settings_revision: row.settings_revision,
                deleted: r.delete_setting,
                annotations: row.annotations.clone(),
            })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn get_sandbox_policy_status(
        &self,
        request: Request<pb::GetSandboxPolicyStatusRequest>,
    ) -> Reply<pb::GetSandboxPolicyStatusResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("GetSandboxPolicyStatus", &r.workspace, &r.name);
        let effect = async move {
            let target = by_name(r.workspace, r.name);
            let (found, active_version) = core.world.revision(&target, r.version)?;
            let revision = Some(revision(found, true));
            Ok(pb::GetSandboxPolicyStatusResponse { revision, active_version })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn list_sandbox_policies(
        &self,
        request: Request<pb::ListSandboxPoliciesRequest>,
    ) -> Reply<pb::ListSandboxPoliciesResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("ListSandboxPolicies", &r.workspace, &r.name);
        let effect = async move {
            let all = core.world.revisions(&by_name(r.workspace, r.name))?;
            let (rows, _) = page(r.offset, r.limit).cut(all);
            let revisions = rows.into_iter().map(|row| revision(row, false)).collect();
            Ok(pb::ListSandboxPoliciesResponse { revisions })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn create_workspace(
        &self,
        request: Request<pb::CreateWorkspaceRequest>,
    ) -> Reply<pb::CreateWorkspaceResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = Intent { name: r.name.clone(), ..intent("CreateWorkspace") };
        let effect = async move {
            let row = core.world.create_workspace(&r.name, r.labels)?;
            Ok(pb::CreateWorkspaceResponse { workspace: Some(workspace(row)) })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn get_workspace(
        &self,
        request: Request<pb::GetWorkspaceRequest>,
    ) -> Reply<pb::GetWorkspaceResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = Intent { name: r.name.clone(), ..intent("GetWorkspace") };
        let effect = async move {
            let row = core.world.workspace(&r.name)?;
            Ok(pb::GetWorkspaceResponse { workspace: Some(workspace(row)) })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn list_workspaces(
        &self,
        request: Request<pb::ListWorkspacesRequest>,
    ) -> Reply<pb::ListWorkspacesResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let effect = async move {
            let rows = core.world.list_workspaces(&r.label_selector)?;
            let (rows, _) = page(r.offset, r.limit).cut(rows);
            Ok(pb::ListWorkspacesResponse { workspaces: rows.into_iter().map(workspace).collect() })
        };
        self.0.serve(intent("ListWorkspaces"), &metadata, effect).await
    }

    async fn delete_workspace(
        &self,
        request: Request<pb::DeleteWorkspaceRequest>,
    ) -> Reply<pb::DeleteWorkspaceResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = Intent { name: r.name.clone(), ..intent("DeleteWorkspace") };
        let effect = async move {
            core.world.delete_workspace(&r.name)?;
            Ok(pb::DeleteWorkspaceResponse { deleted: true })
        };
        self.0.serve(intent, &metadata, effect).await
    }
}
