//! A registry that can be killed, and what is put into it.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use salvor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use salvor_proto::registry::v1::{
    CreateSandboxRequest, Gateway, ListSandboxesRequest, RegisterGatewayRequest, Sandbox, Spec,
};
use salvor_runtime::TracedChannel;
use salvor_runtime::channel::{Endpoint, connect_lazy};
use salvor_runtime::database::Location;
use salvor_testkit::disk::Disk;
use salvor_testkit::process;
use salvor_testkit::store::{self, Store};
use tempfile::TempDir;
use tokio::process::Command;
use tonic::Status;

pub(crate) type Client = RegistryServiceClient<TracedChannel>;

/// Where a test's registry keeps its data.
pub(crate) struct Place {
    store: Store,
    directory: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("seal.key"), "ab".repeat(32)).unwrap();
        Self { store: Store::new(directory.path(), "registry"), directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn key(&self) -> PathBuf {
        self.path().join("seal.key")
    }

    /// A registry on it. `program` may be a shell that ends up as one.
    fn registry(&self, mut program: Command) -> Command {
        program.env_clear().arg("--data-dir").arg(self.path());
        program.arg("--seal-key-file").arg(self.key());
        if let Location::Server { schema, .. } = self.store.location() {
            program.env("SALVOR_DATABASE_URL", store::postgres().unwrap());
            program.args(["--database-schema", schema.as_str()]);
        }
        program
    }
}

/// A running registry. Dropped, it is killed.
pub(crate) struct Process {
    running: process::Process,
    pub(crate) address: SocketAddr,
    pub(crate) client: Client,
}

impl Process {
    pub(crate) async fn start(place: &Place) -> Self {
        Self::run(place, Command::new(PROGRAM), []).await
    }

    /// On a disk that may be told to fail.
    pub(crate) async fn start_on(disk: &Disk, place: &Place) -> Self {
        Self::run(place, Command::new(PROGRAM), disk.environment()).await
    }

    /// With so many file descriptors and no more.
    pub(crate) async fn start_with_descriptors(place: &Place, descriptors: usize) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {descriptors}; exec {PROGRAM} \"$@\""), "sh"]);
        Self::run(place, shell, []).await
    }

    async fn run<const N: usize>(
        place: &Place,
        program: Command,
        environment: [(&'static str, OsString); N],
    ) -> Self {
        let mut command = place.registry(program);
        command.envs(environment);
        let running = process::Process::start(command, "info").await;
        let (address, client) = (running.address, client_of(&running.url()));
        Self { running, address, client }
    }

    /// A client with a connection of its own.
    pub(crate) fn another_client(&self) -> Client {
        client_of(&self.running.url())
    }

    pub(crate) fn has_logged(&self, text: &str) -> bool {
        self.running.has_logged(text)
    }

    /// All sandboxes.
    pub(crate) async fn list(&mut self) -> Vec<Sandbox> {
        let request = ListSandboxesRequest { page_size: 1000, ..Default::default() };
        self.client.list_sandboxes(request).await.unwrap().into_inner().sandboxes
    }

    /// SIGKILL: nothing is tidied up.
    pub(crate) async fn kill(self) {
        self.running.kill().await;
    }

    /// Waits until it has ended by itself, by SIGKILL.
    pub(crate) async fn died(self) {
        self.running.died().await;
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_salvor-registry");

/// A client of one or of several, by their addresses.
pub(crate) fn client_of(urls: &str) -> Client {
    RegistryServiceClient::new(connect_lazy(&Endpoint::new(urls)).unwrap())
}

pub(crate) fn name(index: usize) -> String {
    format!("gateways/lab/workspaces/default/sandboxes/s{index:03}")
}

pub(crate) async fn gateway(client: &mut Client) {
    let endpoint = "http://127.0.0.1:8080".into();
    let gateway = Gateway { name: "gateways/lab".into(), endpoint, ..Default::default() };
    let request = RegisterGatewayRequest { gateway: Some(gateway), ..Default::default() };
    client.register_gateway(request).await.unwrap();
}

pub(crate) async fn create(client: &mut Client, index: usize) -> Sandbox {
    try_create(client, index).await.unwrap()
}

pub(crate) async fn try_create(client: &mut Client, index: usize) -> Result<Sandbox, Status> {
    let spec = Some(Spec { dialect: 1, content: b"content".to_vec(), ..Default::default() });
    let sandbox = Sandbox { name: name(index), spec, ..Default::default() };
    let request = CreateSandboxRequest { sandbox: Some(sandbox), ..Default::default() };
    Ok(client.create_sandbox(request).await?.into_inner().sandbox.unwrap())
}
