//! OpenShell 0.1.x: workspaces by selector, tokens for pages, names for exec and config.

use futures::StreamExt;
use salvor_openshell_wire::v0_1 as wire;
use tonic::Status;
use wire::exec_sandbox_event::Payload;
use wire::exec_sandbox_input::Payload as Sent;
use wire::open_shell_client::OpenShellClient;
use wire::workspace_selector::Selection;

use super::{
    Command, Creation, Deletion, Effective, Incarnation, Inputs, Listing, Loading, MAX_DECODE,
    Output, Outputs, Page, Place, Provider, Revision, Row, conversation, ordered_policy,
    ordered_spec, phase,
};
use crate::transport::Channeled;

/// See [`super::Client`].
#[derive(Clone, Debug)]
pub(crate) struct Client(OpenShellClient<Channeled>);

impl Client {
    pub(super) fn new(channel: Channeled) -> Self {
        Self(OpenShellClient::new(channel).max_decoding_message_size(MAX_DECODE))
    }

    fn client(&self) -> OpenShellClient<Channeled> {
        self.0.clone()
    }

    pub(super) async fn store_id(&self) -> Result<String, Status> {
        let request = wire::GetWorkspaceRequest { name: "default".into() };
        let answer = self.client().get_workspace(request).await?.into_inner();
        let metadata = answer.workspace.and_then(|workspace| workspace.metadata);
        Ok(metadata.map(|metadata| metadata.id).unwrap_or_default())
    }

    pub(super) async fn get(&self, place: &Place) -> Result<Row, Status> {
        let (name, workspace_scope) = addressed(place);
        let request = wire::GetSandboxRequest { name, workspace_scope };
        Ok(answered(self.client().get_sandbox(request).await?.into_inner()))
    }

    pub(super) async fn list(&self, listing: &Listing) -> Result<Page, Status> {
        let request = wire::ListSandboxesRequest {
            page_size: i32::try_from(listing.size).unwrap_or(i32::MAX),
            page_token: listing.from.clone(),
            label_selector: listing.labels.clone(),
            workspace_scope: Some(listing.workspace.as_deref().map_or_else(everywhere, selector)),
        };
        let answer = self.client().list_sandboxes(request).await?.into_inner();
        let next = Some(answer.next_page_token).filter(|token| !token.is_empty());
        Ok(Page { rows: answer.sandboxes.into_iter().map(row).collect(), next })
    }

    pub(super) async fn effective(&self, incarnation: &Incarnation) -> Result<Effective, Status> {
        let (name, workspace_scope) = addressed(&incarnation.place);
        let request = wire::GetSandboxConfigRequest { name, workspace_scope };
        let answer = self.client().get_sandbox_config(request).await?.into_inner();
        Ok(Effective {
            global: answer.policy_source() == wire::PolicySource::Global,
            policy: answer.policy.map(ordered_policy),
            version: answer.version,
            hash: answer.policy_hash,
            global_version: answer.global_policy_version,
        })
    }

    pub(super) async fn revision(
        &self,
        place: &Place,
        version: u32,
        global: bool,
    ) -> Result<Revision, Status> {
        let (sandbox, workspace_scope) = addressed(place);
        let request =
            wire::GetSandboxPolicyStatusRequest { sandbox, version, global, workspace_scope };
        let answer = self.client().get_sandbox_policy_status(request).await?.into_inner();
        let revision = answer.revision.unwrap_or_default();
        let loading = match revision.status() {
            wire::PolicyStatus::Unspecified | wire::PolicyStatus::Pending => Loading::Pending,
            wire::PolicyStatus::Loaded => Loading::Loaded,
            wire::PolicyStatus::Failed => Loading::Failed,
            wire::PolicyStatus::Superseded => Loading::Superseded,
        };
        Ok(Revision { loading, load_error: revision.load_error })
    }

    pub(super) async fn provider(&self, workspace: &str, name: &str) -> Result<Provider, Status> {
        let request = wire::GetProviderRequest {
            name: name.to_owned(),
            workspace_scope: Some(selector(workspace)),
        };
        let provider = self.client().get_provider(request).await?.into_inner().provider;
        let expiries = provider.unwrap_or_default().credential_expiration_times.into_values();
        let expire_ms = expiries.map(|time| salvor_proto::time::millis(&time)).filter(|ms| *ms > 0);
        let expire_ms = expire_ms.min();
        Ok(Provider { expire_ms })
    }

    pub(super) async fn exec(
        &self,
        incarnation: &Incarnation,
        command: Command,
    ) -> Result<Outputs, Status> {
        let request = started(incarnation, command);
        Ok(outputs(self.client().exec_sandbox(request).await?.into_inner()))
    }

    pub(super) async fn exec_with_input(
        &self,
        incarnation: &Incarnation,
        command: Command,
        input: Inputs,
    ) -> Result<Outputs, Status> {
        let message = |payload| wire::ExecSandboxInput { payload: Some(payload) };
        let start = message(Sent::Start(started(incarnation, command)));
        let messages = conversation(start, input, move |piece| message(Sent::Stdin(piece)));
        Ok(outputs(self.client().exec_sandbox_interactive(messages).await?.into_inner()))
    }

    pub(super) async fn create(&self, creation: Creation) -> Result<Row, Status> {
        let (name, workspace_scope) = addressed(&creation.place);
        let request = wire::CreateSandboxRequest {
            spec: Some(creation.spec),
            name,
            labels: creation.labels,
            annotations: creation.annotations,
            workspace_scope,
            request_id: creation.request_id,
            ..wire::CreateSandboxRequest::default()
        };
        Ok(answered(self.client().create_sandbox(request).await?.into_inner()))
    }

    pub(super) async fn delete(&self, place: &Place, request_id: &str) -> Result<Deletion, Status> {
        let (name, workspace_scope) = addressed(place);
        let request = wire::DeleteSandboxRequest {
            name,
            workspace_scope,
            allow_missing: false,
            request_id: request_id.to_owned(),
        };
        let answer = self.client().delete_sandbox(request).await?.into_inner();
        Ok(match answer.outcome() {
            wire::DeletionOutcome::AlreadyAbsent => Deletion::AlreadyAbsent,
            wire::DeletionOutcome::Unspecified
            | wire::DeletionOutcome::Completed
            | wire::DeletionOutcome::Accepted => Deletion::Accepted(answer.sandbox_id),
        })
    }

    pub(super) async fn start(&self, place: &Place, request_id: &str) -> Result<Row, Status> {
        let (name, workspace_scope) = addressed(place);
        let request_id = request_id.to_owned();
        let request = wire::StartSandboxRequest { name, workspace_scope, request_id };
        Ok(answered(self.client().start_sandbox(request).await?.into_inner()))
    }

    pub(super) async fn stop(&self, place: &Place, request_id: &str) -> Result<Row, Status> {
        let (name, workspace_scope) = addressed(place);
        let request_id = request_id.to_owned();
        let request = wire::StopSandboxRequest { name, workspace_scope, request_id };
        Ok(answered(self.client().stop_sandbox(request).await?.into_inner()))
    }

    pub(super) async fn update_policy(
        &self,
        place: &Place,
        policy: Vec<u8>,
    ) -> Result<u32, Status> {
        let (sandbox, workspace_scope) = addressed(place);
        let request = wire::UpdateConfigRequest {
            sandbox,
            workspace_scope,
            policy: Some(policy),
            ..wire::UpdateConfigRequest::default()
        };
        Ok(self.client().update_config(request).await?.into_inner().version)
    }
}

fn addressed(place: &Place) -> (String, Option<wire::WorkspaceSelector>) {
    (place.sandbox.clone(), Some(selector(&place.workspace)))
}

fn selector(workspace: &str) -> wire::WorkspaceSelector {
    wire::WorkspaceSelector { selection: Some(Selection::Workspace(workspace.to_owned())) }
}

fn everywhere() -> wire::WorkspaceSelector {
    wire::WorkspaceSelector { selection: Some(Selection::AllWorkspaces(wire::AllWorkspaces {})) }
}

fn started(incarnation: &Incarnation, command: Command) -> wire::ExecSandboxRequest {
    let (sandbox, workspace_scope) = addressed(&incarnation.place);
    wire::ExecSandboxRequest {
        sandbox,
        workspace_scope,
        command: command.arguments,
        execution_timeout: Some(salvor_proto::time::duration(command.timeout)),
        ..wire::ExecSandboxRequest::default()
    }
}

fn outputs(events: tonic::Streaming<wire::ExecSandboxEvent>) -> Outputs {
    let outputs = events.filter_map(async |event| match event.map(|event| event.payload) {
        Ok(Some(Payload::Stdout(piece))) => Some(Ok(Output::Stdout(piece.data))),
        Ok(Some(Payload::Stderr(piece))) => Some(Ok(Output::Stderr(piece.data))),
        Ok(Some(Payload::Exit(exit))) => Some(Ok(Output::Exit(exit.exit_code))),
        Ok(None) => None,
        Err(status) => Some(Err(status)),
    });
    Box::pin(outputs)
}

fn answered(answer: wire::SandboxResponse) -> Row {
    answer.sandbox.map(row).unwrap_or_default()
}

fn row(sandbox: wire::Sandbox) -> Row {
    let metadata = sandbox.metadata.unwrap_or_default();
    let status = sandbox.status.unwrap_or_default();
    let phase = phase(status.phase);
    let ready = status.conditions.into_iter().find(|condition| condition.r#type == "Ready");
    let (reason, message) = ready.map(|ready| (ready.reason, ready.message)).unwrap_or_default();
    Row {
        id: metadata.id,
        name: metadata.name,
        workspace: metadata.workspace,
        labels: metadata.labels,
        annotations: metadata.annotations,
        phase,
        reason,
        message,
        exit_code: status.exit_code,
        instance_id: status.main_process_instance_id,
        spec: sandbox.spec.map(ordered_spec),
    }
}
