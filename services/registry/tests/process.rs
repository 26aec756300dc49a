//! The registry as a process of its own, killed without warning.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use salvor_proto::registry::v1::registry_service_client::RegistryServiceClient;
use salvor_proto::registry::v1::{
    AcquireLeaseRequest, CreateSandboxRequest, Gateway, ListSandboxesRequest,
    RegisterGatewayRequest, Sandbox, Spec,
};
use salvor_runtime::TracedChannel;
use salvor_runtime::channel::{Endpoint, connect_lazy};

struct Process {
    child: Child,
    client: RegistryServiceClient<TracedChannel>,
}

impl Process {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_salvor-registry"))
            .args([
                "--listen",
                "127.0.0.1:0",
                "--log",
                "info",
                "--log-format",
                "json",
                "--data-dir",
            ])
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

fn name(index: usize) -> String {
    format!("gateways/lab/workspaces/default/sandboxes/s{index:03}")
}

#[tokio::test]
async fn what_was_answered_survives_sigkill_and_fence_tokens_rise_past_it() {
    let directory = tempfile::tempdir().unwrap();
    let (mut expected, mut last_token) = (Vec::new(), 0);
    for round in 0..4 {
        let mut process = Process::start(directory.path());
        if round == 0 {
            let endpoint = "http://127.0.0.1:8080".into();
            let gateway = Gateway { name: "gateways/lab".into(), endpoint, ..Default::default() };
            let request = RegisterGatewayRequest { gateway: Some(gateway), ..Default::default() };
            process.client.register_gateway(request).await.unwrap();
        }
        let request = ListSandboxesRequest { page_size: 1000, ..Default::default() };
        let listed = process.client.list_sandboxes(request).await.unwrap().into_inner();
        assert_eq!(listed.sandboxes, expected, "round {round}");
        for index in 0..5 {
            let spec =
                Some(Spec { dialect: 1, content: b"content".to_vec(), ..Default::default() });
            let sandbox = Sandbox { name: name(round * 5 + index), spec, ..Default::default() };
            let request = CreateSandboxRequest { sandbox: Some(sandbox), ..Default::default() };
            let created =
                process.client.create_sandbox(request).await.unwrap().into_inner().sandbox;
            expected.extend(created);
        }
        let request =
            AcquireLeaseRequest { sandbox: name(0), holder: "recoveries/1".into(), ttl: None };
        let lease =
            process.client.acquire_lease(request).await.unwrap().into_inner().lease.unwrap();
        assert!(lease.fence_token > last_token);
        last_token = lease.fence_token;
    }
}
