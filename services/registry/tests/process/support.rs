//! A registry that can be killed, and what is put into it.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use salvor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use salvor_proto::registry::v1::{
    CreateSandboxRequest, Gateway, ListSandboxesRequest, RegisterGatewayRequest, Sandbox, Spec,
};
use salvor_runtime::TracedChannel;
use salvor_runtime::channel::{Endpoint, connect_lazy};
use salvor_testkit::disk::Disk;
use tonic::Status;

pub(crate) type Client = RegistryServiceClient<TracedChannel>;

/// A running registry. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    pub(crate) client: Client,
}

impl Process {
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_with(directory, [])
    }

    /// On a disk that may be told to fail.
    pub(crate) fn start_on(disk: &Disk, directory: &Path) -> Self {
        Self::start_with(directory, disk.environment())
    }

    fn start_with<const N: usize>(
        directory: &Path,
        environment: [(&'static str, OsString); N],
    ) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_salvor-registry"))
            .envs(environment)
            .args(["--listen", "127.0.0.1:0", "--log", "info", "--log-format", "json"])
            .arg("--data-dir")
            .arg(directory)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| address(&line.unwrap())).unwrap();
        // The pipe must not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        let endpoint = Endpoint::new(format!("http://{address}"));
        Self { child, client: RegistryServiceClient::new(connect_lazy(&endpoint).unwrap()) }
    }

    /// All sandboxes.
    pub(crate) async fn list(&mut self) -> Vec<Sandbox> {
        let request = ListSandboxesRequest { page_size: 1000, ..Default::default() };
        self.client.list_sandboxes(request).await.unwrap().into_inner().sandboxes
    }

    /// Waits until it has ended by itself: how.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    /// SIGKILL: nothing is tidied up.
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn address(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("\"address\":\"")?;
    rest.split('"').next().map(str::to_owned)
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
