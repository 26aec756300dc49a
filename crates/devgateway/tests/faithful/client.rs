//! One test client for both dialects, so that a habit is stated once.

use std::collections::BTreeMap;

use prost::Message as _;
use salvor_devgateway::Dialect;
use salvor_openshell_wire::v0_0::open_shell_client::OpenShellClient as Client0;
use salvor_openshell_wire::v0_1::open_shell_client::OpenShellClient as Client1;
use salvor_openshell_wire::{v0_0, v0_1};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

pub(crate) type Result<T> = std::result::Result<T, Status>;

#[derive(Clone)]
pub(crate) enum Client {
    V0_0(Client0<Channel>),
    V0_1(Client1<Channel>),
}

/// What a client sees of a sandbox.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) phase: i32,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) instance_id: String,
    pub(crate) resource_version: u64,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) spec: Option<Vec<u8>>,
    pub(crate) policy_version: u32,
}

/// What a create asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Create {
    pub(crate) name: String,
    pub(crate) workspace: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) spec: Option<Vec<u8>>,
    pub(crate) request_id: String,
}

/// What a finished exec printed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) exit: Option<i32>,
    pub(crate) largest: usize,
}

macro_rules! seen {
    ($sandbox:expr) => {{
        let sandbox = $sandbox.unwrap();
        let (meta, status) = (sandbox.metadata.unwrap(), sandbox.status.unwrap());
        let condition = status.conditions.into_iter().next().unwrap();
        Seen {
            id: meta.id,
            phase: status.phase,
            reason: condition.reason,
            message: condition.message,
            exit_code: status.exit_code,
            instance_id: status.main_process_instance_id,
            resource_version: meta.resource_version,
            labels: meta.labels,
            annotations: meta.annotations,
            spec: sandbox.spec,
            policy_version: status.current_policy_version,
        }
    }};
}

macro_rules! collect {
    ($stream:expr, $module:ident) => {{
        use $module::exec_sandbox_event::Payload;
        let mut output = Output::default();
        while let Some(event) = $stream.message().await? {
            assert!(output.exit.is_none(), "the exit is the last event");
            match event.payload.unwrap() {
                Payload::Stdout(out) => {
                    output.largest = output.largest.max(out.data.len());
                    output.stdout.extend(out.data);
                }
                Payload::Stderr(err) => output.stderr.extend(err.data),
                Payload::Exit(exit) => output.exit = Some(exit.exit_code),
            }
        }
        Ok(output)
    }};
}

pub(crate) fn select(workspace: &str) -> Option<v0_1::WorkspaceSelector> {
    use v0_1::workspace_selector::Selection;
    Some(v0_1::WorkspaceSelector { selection: Some(Selection::Workspace(workspace.to_owned())) })
}

/// A spec with this main process.
pub(crate) fn spec(command: &[&str]) -> v0_0::SandboxSpec {
    v0_0::SandboxSpec {
        command: command.iter().map(|&word| word.to_owned()).collect(),
        ..Default::default()
    }
}

pub(crate) fn image(image: &str) -> v0_0::SandboxSpec {
    let template = v0_0::SandboxTemplate { image: image.to_owned(), ..Default::default() };
    v0_0::SandboxSpec { template: Some(template), ..Default::default() }
}

impl Create {
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            workspace: "default".to_owned(),
            spec: Some(Vec::new()),
            ..Self::default()
        }
    }

    pub(crate) fn with(name: &str, spec: &v0_0::SandboxSpec) -> Self {
        Self { spec: Some(spec.encode_to_vec()), ..Self::named(name) }
    }
}

impl Client {
    pub(crate) fn connect(uri: &str, dialect: Dialect) -> Self {
        let endpoint = Endpoint::from_shared(uri.to_owned()).unwrap();
        Self::over(endpoint.connect_lazy(), dialect)
    }

    pub(crate) fn over(channel: Channel, dialect: Dialect) -> Self {
        let limit = 64 * 1024 * 1024;
        match dialect {
            Dialect::V0_0 => Self::V0_0(Client0::new(channel).max_decoding_message_size(limit)),
            Dialect::V0_1 => Self::V0_1(Client1::new(channel).max_decoding_message_size(limit)),
        }
    }

    pub(crate) fn v0_0(&mut self) -> &mut Client0<Channel> {
        match self {
            Self::V0_0(client) => client,
            Self::V0_1(_) => panic!("a 0.1 client"),
        }
    }

    pub(crate) fn v0_1(&mut self) -> &mut Client1<Channel> {
        match self {
            Self::V0_1(client) => client,
            Self::V0_0(_) => panic!("a 0.0 client"),
        }
    }

    pub(crate) async fn version(&mut self) -> Result<(i32, String)> {
        match self {
            Self::V0_0(c) => {
                let reply = c.health(v0_0::HealthRequest {}).await?.into_inner();
                Ok((reply.status, reply.version))
            }
            Self::V0_1(c) => {
                let reply = c.health(v0_1::HealthRequest {}).await?.into_inner();
                Ok((reply.status, reply.version))
            }
        }
    }

    pub(crate) async fn create(&mut self, name: &str) -> Result<Seen> {
        self.create_as(Create::named(name)).await
    }

    pub(crate) async fn create_as(&mut self, new: Create) -> Result<Seen> {
        let Create { name, workspace, labels, annotations, spec, request_id } = new;
        match self {
            Self::V0_0(c) => {
                let request =
                    v0_0::CreateSandboxRequest { spec, name, labels, annotations, workspace };
                Ok(seen!(c.create_sandbox(request).await?.into_inner().sandbox))
            }
            Self::V0_1(c) => {
                let request = v0_1::CreateSandboxRequest {
                    spec,
                    name,
                    labels,
                    annotations,
                    request_id,
                    workspace_scope: select(&workspace),
                    ..Default::default()
                };
                Ok(seen!(c.create_sandbox(request).await?.into_inner().sandbox))
            }
        }
    }

    pub(crate) async fn get(&mut self, name: &str) -> Result<Seen> {
        self.get_in("default", name).await
    }

    pub(crate) async fn get_in(&mut self, workspace: &str, name: &str) -> Result<Seen> {
        let name = name.to_owned();
        match self {
            Self::V0_0(c) => {
                let request = v0_0::GetSandboxRequest { name, workspace: workspace.to_owned() };
                Ok(seen!(c.get_sandbox(request).await?.into_inner().sandbox))
            }
            Self::V0_1(c) => {
                let request = v0_1::GetSandboxRequest { name, workspace_scope: select(workspace) };
                Ok(seen!(c.get_sandbox(request).await?.into_inner().sandbox))
            }
        }
    }

    /// Names of the sandboxes of `default` that a selector finds.
    pub(crate) async fn list(&mut self, selector: &str) -> Result<Vec<String>> {
        let label_selector = selector.to_owned();
        match self {
            Self::V0_0(c) => {
                let request = v0_0::ListSandboxesRequest { label_selector, ..Default::default() };
                let rows = c.list_sandboxes(request).await?.into_inner().sandboxes;
                Ok(rows.into_iter().map(|row| row.metadata.unwrap().name).collect())
            }
            Self::V0_1(c) => {
                let request = v0_1::ListSandboxesRequest {
                    label_selector,
                    workspace_scope: select("default"),
                    ..Default::default()
                };
                let rows = c.list_sandboxes(request).await?.into_inner().sandboxes;
                Ok(rows.into_iter().map(|row| row.metadata.unwrap().name).collect())
            }
        }
    }

    /// Whether there was a container to delete.
    pub(crate) async fn delete(&mut self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        match self {
            Self::V0_0(c) => {
                let request = v0_0::DeleteSandboxRequest { name, workspace: String::new() };
                Ok(c.delete_sandbox(request).await?.into_inner().deleted)
            }
            Self::V0_1(c) => {
                let request = v0_1::DeleteSandboxRequest {
                    name,
                    workspace_scope: select("default"),
                    ..Default::default()
                };
                let outcome = c.delete_sandbox(request).await?.into_inner().outcome();
                Ok(outcome == v0_1::DeletionOutcome::Accepted)
            }
        }
    }

    pub(crate) async fn stop(&mut self, name: &str) -> Result<Seen> {
        let name = name.to_owned();
        match self {
            Self::V0_0(c) => {
                let request = v0_0::StopSandboxRequest { name, workspace: String::new() };
                Ok(seen!(c.stop_sandbox(request).await?.into_inner().sandbox))
            }
            Self::V0_1(c) => {
                let workspace_scope = select("default");
                let request =
                    v0_1::StopSandboxRequest { name, workspace_scope, ..Default::default() };
                Ok(seen!(c.stop_sandbox(request).await?.into_inner().sandbox))
            }
        }
    }

    pub(crate) async fn start(&mut self, name: &str) -> Result<Seen> {
        let name = name.to_owned();
        match self {
            Self::V0_0(c) => {
                let request = v0_0::StartSandboxRequest { name, workspace: String::new() };
                Ok(seen!(c.start_sandbox(request).await?.into_inner().sandbox))
            }
            Self::V0_1(c) => {
                let workspace_scope = select("default");
                let request =
                    v0_1::StartSandboxRequest { name, workspace_scope, ..Default::default() };
                Ok(seen!(c.start_sandbox(request).await?.into_inner().sandbox))
            }
        }
    }

    pub(crate) async fn exec(&mut self, name: &str, command: &[&str]) -> Result<Output> {
        let request = v0_0::ExecSandboxRequest {
            command: command.iter().map(|&word| word.to_owned()).collect(),
            ..Default::default()
        };
        self.exec_as(name, request).await
    }

    /// Runs a request of the 0.0 dialect in either one.
    pub(crate) async fn exec_as(
        &mut self,
        name: &str,
        request: v0_0::ExecSandboxRequest,
    ) -> Result<Output> {
        match self {
            Self::V0_0(_) => {
                let sandbox_id = self.get(name).await?.id;
                let request = v0_0::ExecSandboxRequest { sandbox_id, ..request };
                let mut stream = self.v0_0().exec_sandbox(request).await?.into_inner();
                collect!(stream, v0_0)
            }
            Self::V0_1(c) => {
                let mut stream = c.exec_sandbox(in_v0_1(name, request)).await?.into_inner();
                collect!(stream, v0_1)
            }
        }
    }

    /// Sends `stdin` in pieces; then half-closes, or keeps the stream open if told to.
    pub(crate) async fn interactive(
        &mut self,
        name: &str,
        command: &[&str],
        pieces: Vec<Vec<u8>>,
        half_close: bool,
    ) -> Result<Output> {
        let request = v0_0::ExecSandboxRequest {
            command: command.iter().map(|&word| word.to_owned()).collect(),
            ..Default::default()
        };
        match self {
            Self::V0_0(_) => {
                use v0_0::exec_sandbox_input::Payload;
                let sandbox_id = self.get(name).await?.id;
                let request = v0_0::ExecSandboxRequest { sandbox_id, ..request };
                let start = vec![Payload::Start(request)];
                let inputs = start.into_iter().chain(pieces.into_iter().map(Payload::Stdin));
                let inputs: Vec<_> = inputs
                    .map(|payload| v0_0::ExecSandboxInput { payload: Some(payload) })
                    .collect();
                let reply = self.v0_0().exec_sandbox_interactive(stream_of(inputs, half_close));
                let mut stream = reply.await?.into_inner();
                collect!(stream, v0_0)
            }
            Self::V0_1(c) => {
                use v0_1::exec_sandbox_input::Payload;
                let start = vec![Payload::Start(in_v0_1(name, request))];
                let inputs = start.into_iter().chain(pieces.into_iter().map(Payload::Stdin));
                let inputs: Vec<_> = inputs
                    .map(|payload| v0_1::ExecSandboxInput { payload: Some(payload) })
                    .collect();
                let reply = c.exec_sandbox_interactive(stream_of(inputs, half_close));
                let mut stream = reply.await?.into_inner();
                collect!(stream, v0_1)
            }
        }
    }

    /// The id of workspace `default`.
    pub(crate) async fn store_id(&mut self) -> Result<String> {
        let name = "default".to_owned();
        let metadata = match self {
            Self::V0_0(c) => {
                let request = v0_0::GetWorkspaceRequest { name };
                c.get_workspace(request).await?.into_inner().workspace.unwrap().metadata.unwrap().id
            }
            Self::V0_1(c) => {
                let request = v0_1::GetWorkspaceRequest { name };
                c.get_workspace(request).await?.into_inner().workspace.unwrap().metadata.unwrap().id
            }
        };
        Ok(metadata)
    }
}

fn in_v0_1(name: &str, request: v0_0::ExecSandboxRequest) -> v0_1::ExecSandboxRequest {
    let seconds = i64::from(request.timeout_seconds);
    v0_1::ExecSandboxRequest {
        sandbox: name.to_owned(),
        workspace_scope: select("default"),
        command: request.command,
        workdir: request.workdir,
        environment: request.environment,
        stdin: request.stdin,
        tty: request.tty,
        execution_timeout: (seconds > 0).then_some(prost_types::Duration { seconds, nanos: 0 }),
        ..Default::default()
    }
}

fn stream_of<T: Send + 'static>(
    inputs: Vec<T>,
    half_close: bool,
) -> impl tokio_stream::Stream<Item = T> + Send + 'static {
    use tokio_stream::StreamExt as _;
    let open = (!half_close).then(tokio_stream::pending::<T>);
    let rest =
        open.map_or_else(|| futures_rest(tokio_stream::empty()), |pending| futures_rest(pending));
    tokio_stream::iter(inputs).chain(rest)
}

type Rest<T> = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = T> + Send>>;

fn futures_rest<T>(stream: impl tokio_stream::Stream<Item = T> + Send + 'static) -> Rest<T> {
    Box::pin(stream)
}

/// Code and text of a refusal.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T>) -> (Code, String) {
    let status = result.expect_err("a refusal");
    (status.code(), status.message().to_owned())
}

pub(crate) fn said(code: Code, text: &str) -> (Code, String) {
    (code, text.to_owned())
}
