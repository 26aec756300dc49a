//! OpenShell 0.1.x over the world: translation only.
//!
//! A workspace must be named; exec, watch and configuration go by sandbox name. Request ids are
//! admitted once and their successes replayed.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Streaming};

use salvor_openshell_wire::v0_1 as pb;
use salvor_openshell_wire::v0_1::open_shell_server::{OpenShell, OpenShellServer};
use salvor_openshell_wire::v0_1::workspace_selector::Selection;

use super::{DRIVER, MAX_INBOUND, Reply, Streamed, current_user, exec_stream, input_stream};
use super::{intent, open};
use crate::calls::{CreateFacts, Intent};
use crate::core::Core;
use crate::exec::{self, Command, Input};
use crate::faults::Effect;
use crate::refusal::{Outcome, Refusal};
use crate::watching;
use crate::world::lookup::{Page, Scope};
use crate::world::{ConfigChange, Deleted, NewProvider, NewSandbox, Target, World};

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

/// The one workspace that a selector names.
fn one(selector: Option<pb::WorkspaceSelector>) -> Outcome<String> {
    match scope(selector)? {
        Scope::Workspace(workspace) => Ok(workspace),
        Scope::All => Err(Refusal::invalid("workspace_scope must select one workspace")),
    }
}

fn scope(selector: Option<pb::WorkspaceSelector>) -> Outcome<Scope> {
    match selector.and_then(|selector| selector.selection) {
        Some(Selection::Workspace(name)) if !name.is_empty() => Ok(Scope::Workspace(name)),
        Some(Selection::AllWorkspaces(_)) => Ok(Scope::All),
        _ => Err(Refusal::invalid("workspace_scope is required")),
    }
}

fn by_name(selector: Option<pb::WorkspaceSelector>, name: String) -> Outcome<Target> {
    Ok(Target::Name { workspace: one(selector)?, name })
}

fn named(method: &str, selector: Option<&pb::WorkspaceSelector>, name: &str) -> Intent {
    let workspace = match selector.and_then(|selector| selector.selection.as_ref()) {
        Some(Selection::Workspace(workspace)) => workspace.clone(),
        _ => String::new(),
    };
    Intent { workspace, name: name.to_owned(), ..intent(method) }
}

/// Page tokens are opaque to clients: the offset of the next row, in hex.
fn page(size: i32, token: &str) -> Outcome<Page> {
    let limit = usize::try_from(size).map_err(|_| Refusal::invalid("page_size is negative"))?;
    let offset = match token {
        "" => 0,
        token => usize::from_str_radix(token, 16)
            .map_err(|_| Refusal::invalid("page_token is invalid"))?,
    };
    Ok(Page { offset, limit })
}

fn token(next: Option<usize>) -> String {
    next.map(|offset| format!("{offset:x}")).unwrap_or_default()
}

/// One request, to be run once.
struct Once {
    world: Arc<World>,
    method: &'static str,
    request_id: String,
    payload: Vec<u8>,
}

// === impl Once ===

impl Once {
    fn new(core: &Core, method: &'static str, request_id: &str, request: &impl Message) -> Self {
        Self {
            world: Arc::clone(&core.world),
            method,
            request_id: request_id.to_owned(),
            payload: request.encode_to_vec(),
        }
    }

    async fn run<T: Message + Default>(
        self,
        effect: impl Future<Output = Outcome<T>>,
    ) -> Outcome<(T, bool)> {
        self.world.admit(self.method, &self.request_id, &self.payload, effect).await
    }
}

/// Marks the answer of a request id that was admitted before.
fn replayed<T>(reply: Reply<(T, bool)>) -> Reply<T> {
    let mut replayed = false;
    let mut response = reply?.map(|(message, again)| {
        replayed = again;
        message
    });
    if replayed {
        response.metadata_mut().insert("openshell-replayed", MetadataValue::from_static("true"));
    }
    Ok(response)
}

fn command(request: &pb::ExecSandboxRequest) -> Command {
    let timeout = request.execution_timeout.and_then(|timeout| Duration::try_from(timeout).ok());
    Command {
        argv: request.command.clone(),
        workdir: request.workdir.clone(),
        environment: request.environment.clone(),
        timeout: timeout.filter(|timeout| !timeout.is_zero()),
        tty: request.tty,
        login_shell: !request.no_login_shell,
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
        let once = Once::new(&self.0, "CreateSandbox", &r.request_id, &r);
        let facts = CreateFacts {
            labels: r.labels.clone(),
            annotations: r.annotations.clone(),
            spec: r.spec.clone().unwrap_or_default(),
            request_id: r.request_id.clone(),
        };
        let intent = Intent {
            create: Some(facts),
            ..named("CreateSandbox", r.workspace_scope.as_ref(), &r.name)
        };
        let effect = async move {
            if !r.workload_template.is_empty() {
                return Err(Refusal::unimplemented("workload_template"));
            }
            let row = core.world.create(NewSandbox {
                name: r.name,
                workspace: one(r.workspace_scope)?,
                labels: r.labels,
                annotations: r.annotations,
                spec: r.spec,
            })?;
            Ok(sandbox_response(core.view("CreateSandbox", row)))
        };
        replayed(self.0.serve(intent, &metadata, once.run(effect)).await)
    }

    async fn get_sandbox(
        &self,
        request: Request<pb::GetSandboxRequest>,
    ) -> Reply<pb::SandboxResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("GetSandbox", r.workspace_scope.as_ref(), &r.name);
        let effect = async move {
            let row = core.world.get(&by_name(r.workspace_scope, r.name)?)?;
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
        let intent = named("ListSandboxes", r.workspace_scope.as_ref(), "");
        let effect = async move {
            let rows = core.world.list(&scope(r.workspace_scope)?, &r.label_selector)?;
            let (views, next) = page(r.page_size, &r.page_token)?.cut(core.view_list(rows));
            Ok(pb::ListSandboxesResponse {
                sandboxes: views.into_iter().map(sandbox).collect(),
                next_page_token: token(next),
            })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn delete_sandbox(
        &self,
        request: Request<pb::DeleteSandboxRequest>,
    ) -> Reply<pb::DeleteSandboxResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let once = Once::new(&self.0, "DeleteSandbox", &r.request_id, &r);
        let intent = named("DeleteSandbox", r.workspace_scope.as_ref(), &r.name);
        let effect = async move {
            let target = by_name(r.workspace_scope, r.name)?;
            let (outcome, sandbox_id) = match core.world.delete(&target).await {
                Ok(Deleted::Accepted(id)) => (pb::DeletionOutcome::Accepted, id),
                Ok(Deleted::RowOnly(id)) => (pb::DeletionOutcome::Completed, id),
                Err(refusal) if r.allow_missing && refusal == Refusal::no_sandbox() => {
                    (pb::DeletionOutcome::AlreadyAbsent, String::new())
                }
                Err(refusal) => return Err(refusal),
            };
            Ok(pb::DeleteSandboxResponse { outcome: outcome as i32, sandbox_id })
        };
        replayed(self.0.serve(intent, &metadata, once.run(effect)).await)
    }

    async fn stop_sandbox(
        &self,
        request: Request<pb::StopSandboxRequest>,
    ) -> Reply<pb::SandboxResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let once = Once::new(&self.0, "StopSandbox", &r.request_id, &r);
        let intent = named("StopSandbox", r.workspace_scope.as_ref(), &r.name);
        let effect = async move {
            let row = core.world.stop(&by_name(r.workspace_scope, r.name)?).await?;
            Ok(sandbox_response(core.view("StopSandbox", row)))
        };
        replayed(self.0.serve(intent, &metadata, once.run(effect)).await)
    }

    async fn start_sandbox(
        &self,
        request: Request<pb::StartSandboxRequest>,
    ) -> Reply<pb::SandboxResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let once = Once::new(&self.0, "StartSandbox", &r.request_id, &r);
        let intent = named("StartSandbox", r.workspace_scope.as_ref(), &r.name);
        let effect = async move {
            let row = core.world.start(&by_name(r.workspace_scope, r.name)?)?;
            Ok(sandbox_response(core.view("StartSandbox", row)))
        };
        replayed(self.0.serve(intent, &metadata, once.run(effect)).await)
    }

    async fn list_sandbox_providers(
        &self,
        request: Request<pb::ListSandboxProvidersRequest>,
    ) -> Reply<pb::ListSandboxProvidersResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("ListSandboxProviders", r.workspace_scope.as_ref(), &r.sandbox);
        let effect = async move {
            let rows = core.world.attached(&by_name(r.workspace_scope, r.sandbox)?)?;
            let (rows, next) = page(r.page_size, &r.page_token)?.cut(rows);
            let providers = rows.into_iter().map(provider).collect();
            Ok(pb::ListSandboxProvidersResponse { providers, next_page_token: token(next) })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn attach_sandbox_provider(
        &self,
        request: Request<pb::AttachSandboxProviderRequest>,
    ) -> Reply<pb::AttachSandboxProviderResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let once = Once::new(&self.0, "AttachSandboxProvider", &r.request_id, &r);
        let intent = named("AttachSandboxProvider", r.workspace_scope.as_ref(), &r.sandbox);
        let effect = async move {
            let target = by_name(r.workspace_scope, r.sandbox)?;
            let expected = r.expected_resource_version;
            let (row, attached) = core.world.set_attached(&target, &r.provider, expected, true)?;
            let view = core.view("AttachSandboxProvider", row);
            Ok(pb::AttachSandboxProviderResponse {
                sandbox: Some(sandbox(view)),
                attached,
                receipt: None,
            })
        };
        replayed(self.0.serve(intent, &metadata, once.run(effect)).await)
    }

    async fn detach_sandbox_provider(
        &self,
        request: Request<pb::DetachSandboxProviderRequest>,
    ) -> Reply<pb::DetachSandboxProviderResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let once = Once::new(&self.0, "DetachSandboxProvider", &r.request_id, &r);
        let intent = named("DetachSandboxProvider", r.workspace_scope.as_ref(), &r.sandbox);
        let effect = async move {
            let target = by_name(r.workspace_scope, r.sandbox)?;
            let expected = r.expected_resource_version;
            let (row, detached) = core.world.set_attached(&target, &r.provider, expected, false)?;
            let view = core.view("DetachSandboxProvider", row);
            Ok(pb::DetachSandboxProviderResponse {
                sandbox: Some(sandbox(view)),
                detached,
                receipt: None,
            })
        };
        replayed(self.0.serve(intent, &metadata, once.run(effect)).await)
    }

    async fn create_ssh_session(
        &self,
        request: Request<pb::CreateSshSessionRequest>,
    ) -> Reply<pb::CreateSshSessionResponse> {
        let (metadata, r) = open(request);
        let intent = named("CreateSshSession", r.workspace_scope.as_ref(), &r.sandbox);
        let effect = async { Err(Refusal::unimplemented("CreateSshSession")) };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn exec_sandbox(
        &self,
        request: Request<pb::ExecSandboxRequest>,
    ) -> Reply<Self::ExecSandboxStream> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = Intent {
            command: r.command.clone(),
            ..named("ExecSandbox", r.workspace_scope.as_ref(), &r.sandbox)
        };
        let effect = async move {
            let misreport = core.faults.data(&Effect::MisreportExit, "ExecSandbox", &r.sandbox, "");
            let target = by_name(r.workspace_scope.clone(), r.sandbox.clone())?;
            let (command, input) = (command(&r), Input::Whole(r.stdin));
            let events = exec::start(&core.world, &target, command, input, misreport)?;
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
        let intent = Intent {
            command: seen.command,
            ..named("ExecSandboxInteractive", seen.workspace_scope.as_ref(), &seen.sandbox)
        };
        let core = Arc::clone(&self.0);
        let effect = async move {
            let start = start?;
            let stdin = input_stream(messages, |message| match message.payload {
                Some(Payload::Stdin(bytes)) => Some(bytes),
                _ => None,
            });
            let cut = core.faults.cut(&start.sandbox, &start.command);
            let target = by_name(start.workspace_scope.clone(), start.sandbox.clone())?;
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
        let intent = named("WatchSandbox", r.workspace_scope.as_ref(), &r.sandbox);
        let effect = async move {
            let target = by_name(r.workspace_scope, r.sandbox)?;
            // Events are not kept here, so every cursor but the newest is too old.
            let newest = core.world.get(&target)?.resource_version.to_string();
            if !r.resume_after_cursor.is_empty() && r.resume_after_cursor != newest {
                return Err(Refusal::new(Code::OutOfRange, "watch cursor is no longer available"));
            }
            let rows = watching::watch(&core.world, &target, r.stop_on_terminal)?;
            let events = ReceiverStream::new(rows).map(move |row| {
                let cursor = row.resource_version.to_string();
                let seen = sandbox(core.view("WatchSandbox", row));
                let payload = pb::sandbox_stream_event::Payload::Sandbox(seen);
                Ok(pb::SandboxStreamEvent { payload: Some(payload), cursor })
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
        let once = Once::new(&self.0, "CreateProvider", &r.request_id, &r);
        let name = r.provider.as_ref().and_then(|p| p.metadata.as_ref()).map(|m| m.name.clone());
        let intent = named("CreateProvider", r.workspace_scope.as_ref(), &name.unwrap_or_default());
        let effect = async move {
            let new = r.provider.ok_or_else(|| Refusal::invalid("provider is required"))?;
            let meta = new.metadata.unwrap_or_default();
            let row = core.world.create_provider(NewProvider {
                name: meta.name,
                workspace: one(r.workspace_scope)?,
                kind: new.r#type,
                labels: meta.labels,
                credential_names: new.credentials.into_keys().collect(),
                config: new.config,
                expires_at_ms: new
                    .credential_expiration_times
                    .into_iter()
                    .map(|(name, at)| (name, convert::millis(&at)))
                    .collect(),
                profile_workspace: new.profile_workspace,
            })?;
            Ok(pb::ProviderResponse { provider: Some(provider(row)) })
        };
        replayed(self.0.serve(intent, &metadata, once.run(effect)).await)
    }

    async fn get_provider(
        &self,
        request: Request<pb::GetProviderRequest>,
    ) -> Reply<pb::ProviderResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("GetProvider", r.workspace_scope.as_ref(), &r.name);
        let effect = async move {
            let row = core.world.provider(&one(r.workspace_scope)?, &r.name)?;
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
        let intent = named("ListProviders", r.workspace_scope.as_ref(), "");
        let effect = async move {
            let workspace = match scope(r.workspace_scope)? {
                Scope::Workspace(workspace) => Some(workspace),
                Scope::All => None,
            };
            let rows = core.world.list_providers(workspace.as_deref())?;
            let (rows, next) = page(r.page_size, &r.page_token)?.cut(rows);
            Ok(pb::ListProvidersResponse {
                providers: rows.into_iter().map(provider).collect(),
                next_page_token: token(next),
            })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn delete_provider(
        &self,
        request: Request<pb::DeleteProviderRequest>,
    ) -> Reply<pb::DeleteProviderResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let once = Once::new(&self.0, "DeleteProvider", &r.request_id, &r);
        let intent = named("DeleteProvider", r.workspace_scope.as_ref(), &r.name);
        let effect = async move {
            let deleted = core.world.delete_provider(&one(r.workspace_scope)?, &r.name)?;
            let outcome = match (deleted, r.allow_missing) {
                (true, _) => pb::DeletionOutcome::Completed,
                (false, true) => pb::DeletionOutcome::AlreadyAbsent,
                (false, false) => return Err(Refusal::missing("provider not found")),
            };
            Ok(pb::DeleteProviderResponse { outcome: outcome as i32 })
        };
        replayed(self.0.serve(intent, &metadata, once.run(effect)).await)
    }

    async fn get_sandbox_config(
        &self,
        request: Request<pb::GetSandboxConfigRequest>,
    ) -> Reply<pb::GetSandboxConfigResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("GetSandboxConfig", r.workspace_scope.as_ref(), &r.name);
        let effect = async move {
            let config = core.world.effective_config(&by_name(r.workspace_scope, r.name)?)?;
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
        let once = Once::new(&self.0, "UpdateConfig", &r.request_id, &r);
        let intent = named("UpdateConfig", r.workspace_scope.as_ref(), &r.sandbox);
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
            let row = core.world.update_config(&by_name(r.workspace_scope, r.sandbox)?, change)?;
            let last = row.revisions.last();
            Ok(pb::UpdateConfigResponse {
                version: last.map_or(0, |last| last.version),
                policy_hash: last.map(|last| last.hash.clone()).unwrap_or_default(),
                settings_revision: row.settings_revision,
                deleted: r.delete_setting,
                annotations: row.annotations.clone(),
            })
        };
        replayed(self.0.serve(intent, &metadata, once.run(effect)).await)
    }

    async fn get_sandbox_policy_status(
        &self,
        request: Request<pb::GetSandboxPolicyStatusRequest>,
    ) -> Reply<pb::GetSandboxPolicyStatusResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let intent = named("GetSandboxPolicyStatus", r.workspace_scope.as_ref(), &r.sandbox);
        let effect = async move {
            let target = by_name(r.workspace_scope, r.sandbox)?;
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
        let intent = named("ListSandboxPolicies", r.workspace_scope.as_ref(), &r.sandbox);
        let effect = async move {
            let all = core.world.revisions(&by_name(r.workspace_scope, r.sandbox)?)?;
            let (rows, next) = page(r.page_size, &r.page_token)?.cut(all);
            let revisions = rows.into_iter().map(|row| revision(row, false)).collect();
            Ok(pb::ListSandboxPoliciesResponse { revisions, next_page_token: token(next) })
        };
        self.0.serve(intent, &metadata, effect).await
    }

    async fn create_workspace(
        &self,
        request: Request<pb::CreateWorkspaceRequest>,
    ) -> Reply<pb::CreateWorkspaceResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let once = Once::new(&self.0, "CreateWorkspace", &r.request_id, &r);
        let intent = Intent { name: r.name.clone(), ..intent("CreateWorkspace") };
        let effect = async move {
            let row = core.world.create_workspace(&r.name, r.labels)?;
            Ok(pb::CreateWorkspaceResponse { workspace: Some(workspace(row)) })
        };
        replayed(self.0.serve(intent, &metadata, once.run(effect)).await)
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
            let (rows, next) = page(r.page_size, &r.page_token)?.cut(rows);
            Ok(pb::ListWorkspacesResponse {
                workspaces: rows.into_iter().map(workspace).collect(),
                next_page_token: token(next),
            })
        };
        self.0.serve(intent("ListWorkspaces"), &metadata, effect).await
    }

    async fn delete_workspace(
        &self,
        request: Request<pb::DeleteWorkspaceRequest>,
    ) -> Reply<pb::DeleteWorkspaceResponse> {
        let (metadata, r) = open(request);
        let core = Arc::clone(&self.0);
        let once = Once::new(&self.0, "DeleteWorkspace", &r.request_id, &r);
        let intent = Intent { name: r.name.clone(), ..intent("DeleteWorkspace") };
        let effect = async move {
            let absent = Refusal::no_workspace(&r.name);
            let outcome = match core.world.delete_workspace(&r.name) {
                Ok(()) => pb::DeletionOutcome::Completed,
                Err(refusal) if r.allow_missing && refusal == absent => {
                    pb::DeletionOutcome::AlreadyAbsent
                }
                Err(refusal) => return Err(refusal),
            };
            Ok(pb::DeleteWorkspaceResponse { outcome: outcome as i32 })
        };
        replayed(self.0.serve(intent, &metadata, once.run(effect)).await)
    }
}
