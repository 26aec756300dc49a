//! A registry and an adapter of a test's own.

use std::time::Duration;

use salvor_gateway_adapter::{Adapter, Config};
use salvor_proto::gateway::v1::gateway_adapter_service_client::GatewayAdapterServiceClient;
use salvor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use salvor_proto::registry::v1::{
    Gateway, GatewayCredentials, GetGatewayRequest, RegisterGatewayRequest, UpdateGatewayRequest,
};
use salvor_runtime::channel::{Endpoint, connect_lazy};
use salvor_runtime::server::Limits;
use salvor_runtime::{Server, Shutdown, TracedChannel};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Longer than anything here takes; only a failing test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// See the module. Everything ends when it is dropped.
pub(crate) struct Bench {
    pub(crate) client: GatewayAdapterServiceClient<TracedChannel>,
    pub(crate) registry: RegistryServiceClient<TracedChannel>,
    pub(crate) adapter: Adapter,
    pub(crate) registry_down: Shutdown,
    shutdown: Shutdown,
    _directory: TempDir,
}

impl Bench {
    /// Background probes are rare unless `change` says otherwise, so that call logs are a test's own.
    pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let registry_down = Shutdown::new();
        let config = salvor_registry::Config::new(directory.path());
        let (listener, address) = listen().await;
        let ended = registry_down.triggered();
        let server = Server::new(Limits { drain: Duration::ZERO, ..Limits::default() });
        tokio::spawn(salvor_registry::serve(config, server, listener, ended));
        let mut config = Config::new(&address);
        config.heartbeat_interval = Duration::from_hours(1);
        config.observe_interval = Duration::ZERO;
        config.refresh_interval = Duration::from_millis(50);
        config.limits.gap = Duration::from_hours(2);
        change(&mut config);
        let (listener, address) = listen().await;
        let adapter = Adapter::new(config).unwrap();
        let shutdown = Shutdown::new();
        let _ = adapter.keep(listener.local_addr().unwrap(), &shutdown);
        let server = adapter.add_to(Server::new(Limits::default()));
        tokio::spawn(server.run(listener, shutdown.triggered()));
        let client = connect_lazy(&Endpoint::new(address)).unwrap();
        let registry = connect_lazy(&Endpoint::new(adapter.registry_address())).unwrap();
        Self {
            client: GatewayAdapterServiceClient::new(client),
            registry: RegistryServiceClient::new(registry),
            adapter,
            registry_down,
            shutdown,
            _directory: directory,
        }
    }

    pub(crate) async fn register(
        &mut self,
        name: &str,
        endpoint: &str,
        credentials: Option<GatewayCredentials>,
    ) {
        let gateway = Gateway {
            name: name.into(),
            endpoint: endpoint.into(),
            credentials,
            ..Default::default()
        };
        let request = RegisterGatewayRequest { gateway: Some(gateway), ..Default::default() };
        self.registry.register_gateway(request).await.unwrap();
    }

    pub(crate) async fn gateway(&mut self, name: &str) -> Gateway {
        let request = GetGatewayRequest { name: name.into() };
        self.registry.get_gateway(request).await.unwrap().into_inner().gateway.unwrap()
    }

    /// Waits until the registry's word of a gateway satisfies `done`.
    pub(crate) async fn wait_gateway(
        &mut self,
        name: &str,
        done: impl Fn(&Gateway) -> bool,
    ) -> Gateway {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let gateway = self.gateway(name).await;
            if done(&gateway) {
                return gateway;
            }
            assert!(tokio::time::Instant::now() < deadline, "{gateway:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn update_gateway(
        &mut self,
        name: &str,
        path: &str,
        change: impl FnOnce(&mut Gateway),
    ) {
        let mut gateway = self.gateway(name).await;
        change(&mut gateway);
        let update_mask = Some(prost_types::FieldMask { paths: vec![path.into()] });
        let request = UpdateGatewayRequest { gateway: Some(gateway), update_mask };
        self.registry.update_gateway(request).await.unwrap();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.shutdown.trigger();
        self.registry_down.trigger();
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}
