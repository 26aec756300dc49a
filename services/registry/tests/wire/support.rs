//! A registry of a test's own, and records to put into it.

use std::sync::Arc;

use prost_types::FieldMask;
use salvor_proto::error::{Received, received};
use salvor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use salvor_proto::registry::v1::*;
use salvor_registry::{Config, KeyRing, KeySource, Registry};
use salvor_runtime::channel::{Endpoint, connect_lazy};
use salvor_runtime::server::Limits;
use salvor_runtime::{ManualClock, Server, Shutdown, Timestamp, TracedChannel};
use salvor_testkit::cut::Way;
use salvor_testkit::store::{self, Store};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::{Code, Response, Status};

pub(crate) const KEY: &str = "0101010101010101010101010101010101010101010101010101010101010101";
pub(crate) const OTHER_KEY: &str =
    "0202020202020202020202020202020202020202020202020202020202020202";
pub(crate) const SECRET: &[u8] = b"TOKEN=hunter2";
pub(crate) const POLICY_SECRET: &[u8] = b"policy-hunter2";
pub(crate) const START_MS: u64 = 1_700_000_000_000;

pub(crate) type Client = RegistryServiceClient<TracedChannel>;

/// A running registry.
pub(crate) struct Harness {
    pub(crate) client: Client,
    pub(crate) clock: Arc<ManualClock>,
    /// Before the directory that it may be in.
    store: Store,
    pub(crate) directory: TempDir,
    pub(crate) config: Config,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
}

/// One more registry on the same store.
pub(crate) struct Replica {
    pub(crate) client: Client,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
}

impl Harness {
    /// A registry in a fresh directory, with the gateways `lab` and `edge`.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let mut harness = Self::bare(change).await;
        for name in ["gateways/lab", "gateways/edge"] {
            harness.client.register_gateway(register(name)).await.unwrap();
        }
        harness
    }

    /// On a server, by a way that can be cut.
    pub(crate) async fn start_by_a_way() -> (Self, Way) {
        let harness = Self::start().await;
        let (database, way) = harness.store.beyond_a_way().await.unwrap();
        (harness.restart(|config| config.database = database).await, way)
    }

    /// Without gateways.
    pub(crate) async fn bare(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp(START_MS)));
        let mut config = Config::new(directory.path());
        config.keys = keys(KEY);
        config.clock = Some(clock.clone());
        let store = Store::new(directory.path(), "registry");
        config.database = store.location().clone();
        change(&mut config);
        let (client, shutdown, serving) = run(&config).await;
        Self { client, clock, store, directory, config, shutdown, serving }
    }

    /// Another replica, with a client of its own.
    pub(crate) async fn beside(&self) -> Replica {
        let (client, shutdown, serving) = run(&self.config).await;
        Replica { client, shutdown, serving }
    }

    /// Ends the registry, runs `between`, and starts it again on the same data.
    pub(crate) async fn restart(self, between: impl FnOnce(&mut Config)) -> Self {
        let Self { clock, store, directory, mut config, shutdown, serving, client } = self;
        drop(client);
        shutdown.trigger();
        serving.await.unwrap();
        between(&mut config);
        let (client, shutdown, serving) = run(&config).await;
        Self { client, clock, store, directory, config, shutdown, serving }
    }

    pub(crate) async fn create(&mut self, name: &str) -> Sandbox {
        let request = CreateSandboxRequest { sandbox: Some(sandbox(name)), ..Default::default() };
        self.client.create_sandbox(request).await.sandbox()
    }

    pub(crate) async fn get(&mut self, name: &str) -> Result<Sandbox, Status> {
        let request = GetSandboxRequest { name: name.into(), show_deleted: true };
        self.client
            .get_sandbox(request)
            .await
            .map(|response| response.into_inner().sandbox.unwrap())
    }

    pub(crate) async fn acquire(&mut self, name: &str, holder: &str) -> Result<Lease, Status> {
        let request =
            AcquireLeaseRequest { sandbox: name.into(), holder: holder.into(), ttl: None };
        self.client
            .acquire_lease(request)
            .await
            .map(|response| response.into_inner().lease.unwrap())
    }

    pub(crate) async fn list(&mut self) -> ListSandboxesResponse {
        let request =
            ListSandboxesRequest { show_deleted: true, page_size: 1000, ..Default::default() };
        self.client.list_sandboxes(request).await.unwrap().into_inner()
    }

    /// Connections to the database beside the registry's own.
    pub(crate) async fn database(&self) -> sqlx::AnyPool {
        store::open(&self.config.database).await
    }
}

impl Replica {
    /// Ends it in an orderly way.
    pub(crate) async fn stop(self) {
        drop(self.client);
        self.shutdown.trigger();
        self.serving.await.unwrap();
    }
}

async fn run(config: &Config) -> (Client, Shutdown, JoinHandle<()>) {
    let registry = Registry::open(config).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = Shutdown::new();
    let server = registry.add_to(Server::new(Limits::default()));
    let triggered = shutdown.triggered();
    let serving = tokio::spawn(async move {
        server.run(listener, triggered).await.unwrap();
        registry.close().await;
    });
    let client = Client::new(connect_lazy(&Endpoint::new(address)).unwrap());
    (client, shutdown, serving)
}

pub(crate) fn keys(text: &str) -> KeySource {
    KeySource::Ring(KeyRing::parse(text).unwrap())
}

pub(crate) fn record(name: &str) -> String {
    format!("gateways/lab/workspaces/default/sandboxes/{name}")
}

pub(crate) fn register(name: &str) -> RegisterGatewayRequest {
    let gateway = Gateway {
        name: name.into(),
        endpoint: "https://127.0.0.1:8080".into(),
        ..Default::default()
    };
    RegisterGatewayRequest { gateway: Some(gateway), ..Default::default() }
}

/// A record with secrets in spec and policy.
pub(crate) fn sandbox(name: &str) -> Sandbox {
    Sandbox {
        name: if name.contains('/') { name.into() } else { record(name) },
        live_id: "6f0f2f6e-2d67-4c8e-9d2c-0d8b1a3f9a10".into(),
        agents: vec![Agent { kind: "claude-code".into(), version: "2.0".into() }],
        spec: Some(Spec {
            dialect: Dialect::V00.into(),
            content: SECRET.to_vec(),
            ..Default::default()
        }),
        policy: Some(Policy {
            dialect: Dialect::V00.into(),
            content: POLICY_SECRET.to_vec(),
            policy_hash: "hash".into(),
            ..Default::default()
        }),
        posture: Some(Posture { mode: posture::Mode::Locked.into(), ..Default::default() }),
        ..Default::default()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the requests have it")]
pub(crate) fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

/// An update of `sandbox`'s `paths`, under its own etag.
pub(crate) fn update(sandbox: &Sandbox, paths: &[&str]) -> UpdateSandboxRequest {
    UpdateSandboxRequest {
        sandbox: Some(sandbox.clone()),
        update_mask: mask(paths),
        ..Default::default()
    }
}

/// Answers that carry one record.
pub(crate) trait OneSandbox {
    fn sandbox(self) -> Sandbox;
}

macro_rules! one_sandbox {
    ($($response:ty),*) => {$(
        impl OneSandbox for Result<Response<$response>, Status> {
            fn sandbox(self) -> Sandbox {
                self.unwrap().into_inner().sandbox.unwrap()
            }
        }
    )*};
}
one_sandbox!(
    CreateSandboxResponse,
    GetSandboxResponse,
    UpdateSandboxResponse,
    DeleteSandboxResponse,
    RestoreEntryResponse,
    GetDefaultSandboxResponse
);

/// The details of a refusal that must have this code and reason.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: Code,
    reason: &str,
) -> Received {
    let status = answer.unwrap_err();
    let received = received(&status);
    assert_eq!((status.code(), received.reason.as_deref()), (code, Some(reason)), "{status:?}");
    assert!(!received.message.contains("hunter2"));
    let step = received.next_step.as_deref().unwrap_or_default();
    assert!(!step.is_empty(), "{reason} says what to do next");
    received
}

/// A refusal of one field.
#[track_caller]
pub(crate) fn refused_field<T: std::fmt::Debug>(answer: Result<T, Status>, field: &str) {
    use tonic_types::StatusExt;
    let status = answer.unwrap_err();
    let fields = status
        .get_details_bad_request()
        .map(|details| details.field_violations)
        .unwrap_or_default();
    let fields: Vec<&str> = fields.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!((status.code(), fields), (Code::InvalidArgument, vec![field]), "{status:?}");
    assert_eq!(received(&status).reason.as_deref(), Some("INVALID_FIELD"));
}
