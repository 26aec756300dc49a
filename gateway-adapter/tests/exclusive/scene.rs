//! One registry, one gateway, and as many adapters as a test starts.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use salvor_devgateway::{Config as DevConfig, Control, DevGateway, Phase, Running};
use salvor_proto::registry::v1::{
    Gateway, GetGatewayRequest, RegisterGatewayRequest,
    registry_service_client::RegistryServiceClient,
};
use salvor_runtime::{
    Server, Shutdown, TracedChannel,
    channel::{Endpoint, connect_lazy},
    server::Limits,
};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::process::{PATIENCE, Process};

pub(crate) const GATEWAY: &str = "gateways/lab";
/// How long an adapter has a gateway to itself.
const LEASE: Duration = Duration::from_secs(5);
/// One that nobody waits for the end of.
pub(crate) const LONG_LEASE: Duration = Duration::from_mins(5);

/// See the module. Everything ends when it is dropped.
pub(crate) struct Scene {
    registry: RegistryServiceClient<TracedChannel>,
    url: String,
    gateway: Running,
    directory: TempDir,
    shutdown: Shutdown,
}

impl Scene {
    pub(crate) async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = DevConfig {
            data_dir: directory.path().join("gateway"),
            time_scale: 0.02,
            ..DevConfig::default()
        };
        let gateway = DevGateway::start(config).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = Shutdown::new();
        let config = salvor_registry::Config::new(directory.path().join("registry"));
        let server = Server::new(Limits { drain: Duration::ZERO, ..Limits::default() });
        tokio::spawn(salvor_registry::serve(config, server, listener, shutdown.triggered()));
        let channel = connect_lazy(&Endpoint::new(url.clone())).unwrap();
        let mut registry = RegistryServiceClient::new(channel);
        let lab = Gateway { name: GATEWAY.into(), endpoint: gateway.uri(), ..Gateway::default() };
        let request = RegisterGatewayRequest { gateway: Some(lab), ..Default::default() };
        registry.register_gateway(request).await.unwrap();
        Self { registry, url, gateway, directory, shutdown }
    }

    /// Starts an adapter of this id on its own data, anew or again.
    pub(crate) async fn adapter(&self, id: &str) -> Process {
        self.adapter_for(id, LEASE).await
    }

    pub(crate) async fn adapter_for(&self, id: &str, lease: Duration) -> Process {
        Process::start(id, &self.url, &self.data(id), lease).await
    }

    pub(crate) fn data(&self, id: &str) -> PathBuf {
        Path::join(self.directory.path(), id)
    }

    pub(crate) fn control(&self) -> Control {
        self.gateway.control()
    }

    /// The workspace of a sandbox, once it is ready.
    pub(crate) async fn ready(&self, name: &str) -> PathBuf {
        assert!(self.control().wait_phase(name, Phase::Ready, PATIENCE).await, "{name}");
        self.control().sandbox(name).unwrap().root
    }

    /// Where the registry says that the gateway's adapter is.
    pub(crate) async fn announced(&self) -> String {
        let request = GetGatewayRequest { name: GATEWAY.into() };
        let answer = self.registry.clone().get_gateway(request).await.unwrap().into_inner();
        answer.gateway.unwrap().heartbeat.unwrap_or_default().adapter_endpoint
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}
