//! What a user of a gateway does with the vendor's own tools: create, exec, stop, set a policy, make a provider.
//!
//! It speaks `openshell.v1` over the wire, in the gateway's dialect, so that demonstrations and scenarios can play the user
//! without naming the vendor's messages. Deliberately absent: anything that salvor itself would use; the gateway-adapter
//! has its own client.

use std::collections::BTreeMap;

use prost::Message as _;
use salvor_net::Connector;
use salvor_openshell_wire::{
    v0_0::{self, open_shell_client::OpenShellClient as Client0},
    v0_1::{self, open_shell_client::OpenShellClient as Client1},
};
use tonic::{
    Request, Status,
    metadata::MetadataValue,
    transport::{Channel, Endpoint},
};

use crate::Dialect;

/// A user with a connection to one gateway, in one workspace.
#[derive(Debug, Clone)]
pub struct User {
    channel: Channel,
    dialect: Dialect,
    workspace: String,
    token: Option<String>,
}

/// What a user asks a create for.
#[derive(Debug, Clone, Default)]
pub struct Seed {
    /// Image reference.
    pub image: String,
    /// Variables, with their values.
    pub environment: BTreeMap<String, String>,
    /// Provider records, by name.
    pub providers: Vec<String>,
    /// Named network rules: the hosts that each allows. `None`: the gateway's default policy.
    pub rules: Option<BTreeMap<String, Vec<String>>>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What a command came to, as the gateway tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// The exit code; `None` when the stream ended without one.
    pub exit: Option<i32>,
}

/// One call in the user's dialect: the request of 0.0.x, or that of 0.1.x.
macro_rules! call {
    ($user:expr, $method:ident, $v0_0:expr, $v0_1:expr, |$answer:ident| $read:expr) => {
        match $user.dialect {
            Dialect::V0_0 => {
                let request = $user.authorised($v0_0)?;
                let $answer =
                    Client0::new($user.channel.clone()).$method(request).await?.into_inner();
                $read
            }
            Dialect::V0_1 => {
                let request = $user.authorised($v0_1)?;
                let $answer =
                    Client1::new($user.channel.clone()).$method(request).await?.into_inner();
                $read
            }
        }
    };
}

macro_rules! spec {
    ($wire:ident, $seed:expr) => {
        $wire::SandboxSpec {
            template: Some($wire::SandboxTemplate {
                image: $seed.image.clone(),
                ..Default::default()
            }),
            environment: $seed.environment.clone().into_iter().collect(),
            providers: $seed.providers.clone(),
            policy: $seed.rules.as_ref().map(policy),
            ..Default::default()
        }
        .encode_to_vec()
    };
}

// === impl User ===

impl User {
    /// A user of the plaintext gateway at `uri`, in its default workspace. Connects at the first call.
    ///
    /// # Errors
    /// `uri` is no address.
    pub fn new(uri: &str, dialect: Dialect) -> Result<Self, Status> {
        Self::over(&salvor_net::host(), uri, dialect)
    }

    /// The same over another network than the host's.
    ///
    /// # Errors
    /// `uri` is no address.
    pub fn over(network: &salvor_net::Shared, uri: &str, dialect: Dialect) -> Result<Self, Status> {
        let endpoint = Endpoint::from_shared(uri.to_owned())
            .map_err(|error| Status::invalid_argument(format!("{uri}: {error}")))?;
        let channel = endpoint.connect_with_connector_lazy(Connector(network.clone()));
        Ok(Self { channel, dialect, workspace: "default".to_owned(), token: None })
    }

    /// The same user in another workspace.
    #[must_use]
    pub fn in_workspace(mut self, workspace: &str) -> Self {
        workspace.clone_into(&mut self.workspace);
        self
    }

    /// The same user with a bearer token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Creates a sandbox and answers its id; it is not ready yet.
    ///
    /// # Errors
    /// As the gateway says.
    pub async fn create(&self, name: &str, seed: &Seed) -> Result<String, Status> {
        let labels = || seed.labels.clone().into_iter().collect();
        let annotations = || seed.annotations.clone().into_iter().collect();
        let id = call!(
            self,
            create_sandbox,
            v0_0::CreateSandboxRequest {
                spec: Some(spec!(v0_0, seed)),
                name: name.to_owned(),
                labels: labels(),
                annotations: annotations(),
                workspace: self.workspace.clone(),
            },
            v0_1::CreateSandboxRequest {
                spec: Some(spec!(v0_1, seed)),
                name: name.to_owned(),
                labels: labels(),
                annotations: annotations(),
                workspace_scope: Some(self.scope()),
                ..Default::default()
            },
            |answer| answer.sandbox.and_then(|s| s.metadata).map(|m| m.id)
        );
        id.ok_or_else(|| Status::internal("created without an id"))
    }

    /// Stops a sandbox.
    ///
    /// # Errors
    /// As the gateway says.
    pub async fn stop(&self, name: &str) -> Result<(), Status> {
        call!(
            self,
            stop_sandbox,
            v0_0::StopSandboxRequest { name: name.to_owned(), workspace: self.workspace.clone() },
            v0_1::StopSandboxRequest {
                name: name.to_owned(),
                workspace_scope: Some(self.scope()),
                ..Default::default()
            },
            |_answer| Ok(())
        )
    }

    /// Starts a sandbox that is stopped.
    ///
    /// # Errors
    /// As the gateway says.
    pub async fn start(&self, name: &str) -> Result<(), Status> {
        call!(
            self,
            start_sandbox,
            v0_0::StartSandboxRequest { name: name.to_owned(), workspace: self.workspace.clone() },
            v0_1::StartSandboxRequest {
                name: name.to_owned(),
                workspace_scope: Some(self.scope()),
                ..Default::default()
            },
            |_answer| Ok(())
        )
    }

    /// Deletes a sandbox.
    ///
    /// # Errors
    /// As the gateway says.
    pub async fn delete(&self, name: &str) -> Result<(), Status> {
        call!(
            self,
            delete_sandbox,
            v0_0::DeleteSandboxRequest { name: name.to_owned(), workspace: self.workspace.clone() },
            v0_1::DeleteSandboxRequest {
                name: name.to_owned(),
                workspace_scope: Some(self.scope()),
                ..Default::default()
            },
            |_answer| Ok(())
        )
    }

    /// Runs a command in a sandbox that is ready. `id` is its id: 0.0.x wants that, 0.1.x the name.
    ///
    /// # Errors
    /// As the gateway says.
    pub async fn exec(&self, name: &str, id: &str, command: &[&str]) -> Result<Output, Status> {
        let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        let mut output = Output::default();
        call!(
            self,
            exec_sandbox,
            v0_0::ExecSandboxRequest { sandbox_id: id.to_owned(), command, ..Default::default() },
            v0_1::ExecSandboxRequest {
                sandbox: name.to_owned(),
                command,
                workspace_scope: Some(self.scope()),
                ..Default::default()
            },
            |answer| {
                let mut events = answer;
                while let Some(event) = events.message().await? {
                    use v0_0::exec_sandbox_event::Payload as P0;
                    // The two dialects' events are alike on the wire.
                    let event = v0_0::ExecSandboxEvent::decode(&*event.encode_to_vec())
                        .map_err(|error| Status::internal(error.to_string()))?;
                    match event.payload {
                        Some(P0::Stdout(chunk)) => output.stdout.extend(chunk.data),
                        Some(P0::Exit(exit)) => output.exit = Some(exit.exit_code),
                        Some(P0::Stderr(_)) | None => {}
                    }
                }
                Ok(output)
            }
        )
    }

    /// Replaces the network rules of a live sandbox, keeping the rest of `policy`, an encoded policy.
    ///
    /// # Errors
    /// As the gateway says.
    pub async fn set_policy(&self, name: &str, policy: Vec<u8>) -> Result<(), Status> {
        call!(
            self,
            update_config,
            v0_0::UpdateConfigRequest {
                name: name.to_owned(),
                policy: Some(policy),
                workspace: self.workspace.clone(),
                ..Default::default()
            },
            v0_1::UpdateConfigRequest {
                sandbox: name.to_owned(),
                policy: Some(policy),
                workspace_scope: Some(self.scope()),
                ..Default::default()
            },
            |_answer| Ok(())
        )
    }

    /// The policy in force, encoded. `id`: see [`exec`](Self::exec).
    ///
    /// # Errors
    /// As the gateway says.
    pub async fn policy(&self, name: &str, id: &str) -> Result<Vec<u8>, Status> {
        call!(
            self,
            get_sandbox_config,
            v0_0::GetSandboxConfigRequest { sandbox_id: id.to_owned() },
            v0_1::GetSandboxConfigRequest {
                name: name.to_owned(),
                workspace_scope: Some(self.scope()),
            },
            |answer| Ok(answer.policy.unwrap_or_default())
        )
    }

    /// Makes a provider record. `expires_ms`: when its credential runs out, in ms since the epoch.
    ///
    /// # Errors
    /// As the gateway says.
    pub async fn create_provider(&self, name: &str, expires_ms: Option<i64>) -> Result<(), Status> {
        let credentials = || std::iter::once(("API_KEY".to_owned(), "value".to_owned())).collect();
        call!(
            self,
            create_provider,
            v0_0::CreateProviderRequest {
                provider: Some(v0_0::Provider {
                    metadata: Some(v0_0::ObjectMeta {
                        name: name.to_owned(),
                        ..Default::default()
                    }),
                    r#type: "generic".to_owned(),
                    credentials: credentials(),
                    credential_expires_at_ms: expires_ms
                        .map(|ms| ("API_KEY".to_owned(), ms))
                        .into_iter()
                        .collect(),
                    ..Default::default()
                }),
                workspace: self.workspace.clone(),
            },
            v0_1::CreateProviderRequest {
                provider: Some(v0_1::Provider {
                    metadata: Some(v0_1::ObjectMeta {
                        name: name.to_owned(),
                        ..Default::default()
                    }),
                    r#type: "generic".to_owned(),
                    credentials: credentials(),
                    credential_expiration_times: expires_ms
                        .map(|ms| ("API_KEY".to_owned(), time(ms)))
                        .into_iter()
                        .collect(),
                    ..Default::default()
                }),
                workspace_scope: Some(self.scope()),
                ..Default::default()
            },
            |_answer| Ok(())
        )
    }

    /// Deletes a provider record.
    ///
    /// # Errors
    /// As the gateway says.
    pub async fn delete_provider(&self, name: &str) -> Result<(), Status> {
        call!(
            self,
            delete_provider,
            v0_0::DeleteProviderRequest {
                name: name.to_owned(),
                workspace: self.workspace.clone()
            },
            v0_1::DeleteProviderRequest {
                name: name.to_owned(),
                workspace_scope: Some(self.scope()),
                ..Default::default()
            },
            |_answer| Ok(())
        )
    }

    /// Makes the user's workspace.
    ///
    /// # Errors
    /// As the gateway says.
    pub async fn create_workspace(&self) -> Result<(), Status> {
        call!(
            self,
            create_workspace,
            v0_0::CreateWorkspaceRequest { name: self.workspace.clone(), ..Default::default() },
            v0_1::CreateWorkspaceRequest { name: self.workspace.clone(), ..Default::default() },
            |_answer| Ok(())
        )
    }

    fn scope(&self) -> v0_1::WorkspaceSelector {
        let selection = v0_1::workspace_selector::Selection::Workspace(self.workspace.clone());
        v0_1::WorkspaceSelector { selection: Some(selection) }
    }

    fn authorised<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            let value = MetadataValue::try_from(format!("Bearer {token}"))
                .map_err(|_| Status::invalid_argument("the token cannot be sent"))?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// An encoded policy with these network rules, port 443 each. The fields used are alike in both dialects.
pub fn policy(rules: &BTreeMap<String, Vec<String>>) -> Vec<u8> {
    let rule = |(name, hosts): (&String, &Vec<String>)| {
        let endpoints = hosts.iter().map(|host| v0_0::NetworkEndpoint {
            host: host.clone(),
            port: 443,
            ..Default::default()
        });
        let rule = v0_0::NetworkPolicyRule {
            name: name.clone(),
            endpoints: endpoints.collect(),
            ..Default::default()
        };
        (name.clone(), rule.encode_to_vec())
    };
    v0_0::SandboxPolicy {
        version: 1,
        network_policies: rules.iter().map(rule).collect(),
        ..Default::default()
    }
    .encode_to_vec()
}

fn time(ms: i64) -> prost_types::Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: ms.div_euclid(1000), nanos }
}
