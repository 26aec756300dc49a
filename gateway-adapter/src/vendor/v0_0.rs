//! OpenShell 0.0.x: workspaces by name, offsets for pages, ids for exec and config.

use futures::StreamExt;
use salvor_openshell_wire::v0_0 as wire;
use tonic::Status;
use wire::exec_sandbox_event::Payload;
use wire::exec_sandbox_input::Payload as Sent;
use wire::open_shell_client::OpenShellClient;

use super::{
    Command, Creation, Deletion, Effective, Health, Incarnation, Inputs, Listing, Loading,
    MAX_DECODE, Output, Outputs, Page, Place, Provider, Revision, Row, conversation,
    ordered_policy, ordered_spec, phase,
};
use crate::transport::Channeled;

/// See [`super::Client`].
#[derive(Clone, Debug)]
pub(crate) struct Client(OpenShellClient<Channeled>);

pub(super) async fn health(channel: Channeled) -> Result<Health, Status> {
    let answer = OpenShellClient::new(channel).health(wire::HealthRequest {}).await?.into_inner();
    Ok(Health { healthy: answer.status() == wire::ServiceStatus::Healthy, version: answer.version })
}

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
        let Place { workspace, sandbox: name } = place.clone();
        let request = wire::GetSandboxRequest { name, workspace };
        Ok(answered(self.client().get_sandbox(request).await?.into_inner()))
    }

    pub(super) async fn list(&self, listing: &Listing) -> Result<Page, Status> {
        let offset: u32 = match listing.from.as_str() {
            "" => 0,
            from => from.parse().map_err(|_| Status::invalid_argument("no such page"))?,
        };
        let request = wire::ListSandboxesRequest {
            limit: listing.size,
            offset,
            label_selector: listing.labels.clone(),
            workspace: listing.workspace.clone().unwrap_or_default(),
            all_workspaces: listing.workspace.is_none(),
        };
        let rows = self.client().list_sandboxes(request).await?.into_inner().sandboxes;
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        let next = (count >= listing.size).then(|| offset.saturating_add(count).to_string());
        Ok(Page { rows: rows.into_iter().map(row).collect(), next })
    }

    pub(super) async fn effective(&self, incarnation: &Incarnation) -> Result<Effective, Status> {
        let request = wire::GetSandboxConfigRequest { sandbox_id: incarnation.id.clone() };
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
        let Place { workspace, sandbox: name } = place.clone();
        let request = wire::GetSandboxPolicyStatusRequest { name, version, global, workspace };
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
        let request =
            wire::GetProviderRequest { name: name.to_owned(), workspace: workspace.to_owned() };
        let provider = self.client().get_provider(request).await?.into_inner().provider;
        let expiries = provider.unwrap_or_default().credential_expires_at_ms.into_values();
        let expire_ms = expiries.filter_map(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0).min();
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
        let request = wire::CreateSandboxRequest {
            spec: Some(creation.spec),
            name: creation.place.sandbox,
            labels: creation.labels,
            annotations: creation.annotations,
            workspace: creation.place.workspace,
        };
        Ok(answered(self.client().create_sandbox(request).await?.into_inner()))
    }

    pub(super) async fn delete(&self, place: &Place, _: &str) -> Result<Deletion, Status> {
        let Place { workspace, sandbox: name } = place.clone();
        let request = wire::DeleteSandboxRequest { name, workspace };
        // `deleted: false` says that the container was gone already; the row is removed all the
        // same, so both are followed until the id is gone.
        self.client().delete_sandbox(request).await?;
        Ok(Deletion::Accepted(String::new()))
    }

    pub(super) async fn start(&self, place: &Place, _: &str) -> Result<Row, Status> {
        let Place { workspace, sandbox: name } = place.clone();
        let request = wire::StartSandboxRequest { name, workspace };
        Ok(answered(self.client().start_sandbox(request).await?.into_inner()))
    }

    pub(super) async fn stop(&self, place: &Place, _: &str) -> Result<Row, Status> {
        let Place { workspace, sandbox: name } = place.clone();
        let request = wire::StopSandboxRequest { name, workspace };
        Ok(answered(self.client().stop_sandbox(request).await?.into_inner()))
    }

    pub(super) async fn update_policy(
        &self,
        place: &Place,
        policy: Vec<u8>,
    ) -> Result<u32, Status> {
        let Place { workspace, sandbox: name } = place.clone();
        let request = wire::UpdateConfigRequest {
            name,
            workspace,
            policy: Some(policy),
            ..wire::UpdateConfigRequest::default()
        };
        Ok(self.client().update_config(request).await?.into_inner().version)
    }
}

fn started(incarnation: &Incarnation, command: Command) -> wire::ExecSandboxRequest {
    let seconds =
        command.timeout.as_secs().saturating_add(u64::from(command.timeout.subsec_nanos() > 0));
    wire::ExecSandboxRequest {
        sandbox_id: incarnation.id.clone(),
        command: command.arguments,
        timeout_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
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
