use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::Stream;
use salvor_proto::Error;
use salvor_proto::gateway::v1 as pb;
use salvor_proto::gateway::v1::gateway_adapter_service_server::{
    GatewayAdapterService, GatewayAdapterServiceServer,
};
use salvor_runtime::{Server, Shutdown, server::Limits};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

use super::*;
use crate::args::{Color, Format, Given, ListSnapshotsArgs, OwnerArgs, Target, VerifyArgs};

/// What an adapter answers, and what it was asked.
#[derive(Clone, Default)]
struct Fake {
    pages: Vec<pb::ListSnapshotsResponse>,
    /// What a verification is at each look; the last one again and again.
    looks: Vec<pb::Operation>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    fn note(&self, text: String) -> usize {
        let mut asked = self.asked.lock().unwrap();
        asked.push(text);
        asked.len()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

type Pieces = Pin<Box<dyn Stream<Item = Result<pb::ReadSnapshotFileResponse, Status>> + Send>>;

macro_rules! fake {
    ($($method:ident: $request:ident => $response:ident,)*) => {
        #[tonic::async_trait]
        impl GatewayAdapterService for Fake {
            type ReadSnapshotFileStream = Pieces;

            async fn list_snapshots(
                &self,
                request: Request<pb::ListSnapshotsRequest>,
            ) -> Result<Response<pb::ListSnapshotsResponse>, Status> {
                let pb::ListSnapshotsRequest { page_token, sandbox, .. } = request.into_inner();
                let of = sandbox.map(|of| of.sandbox).unwrap_or_default();
                self.note(format!("list {of} {page_token}"));
                let index: usize = page_token.parse().unwrap_or(0);
                Ok(Response::new(self.pages[index].clone()))
            }

            async fn verify_snapshot(
                &self,
                request: Request<pb::VerifySnapshotRequest>,
            ) -> Result<Response<pb::VerifySnapshotResponse>, Status> {
                self.note(format!("verify {}", request.into_inner().snapshot));
                let operation = Some(self.looks[0].clone());
                Ok(Response::new(pb::VerifySnapshotResponse { operation }))
            }

            async fn wait_operation(
                &self,
                _: Request<pb::WaitOperationRequest>,
            ) -> Result<Response<pb::WaitOperationResponse>, Status> {
                let look = self.note("wait".to_owned()) - 1;
                let operation = self.looks[look.min(self.looks.len() - 1)].clone();
                Ok(Response::new(pb::WaitOperationResponse { operation: Some(operation) }))
            }

            async fn cancel_operation(
                &self,
                request: Request<pb::CancelOperationRequest>,
            ) -> Result<Response<pb::CancelOperationResponse>, Status> {
                self.note(format!("cancel {}", request.into_inner().name));
                Ok(Response::new(pb::CancelOperationResponse::default()))
            }

            async fn read_snapshot_file(
                &self,
                _: Request<pb::ReadSnapshotFileRequest>,
            ) -> Result<Response<Self::ReadSnapshotFileStream>, Status> {
                Err(Error::internal("not part of this test").into())
            }

            $(async fn $method(
                &self,
                _: Request<pb::$request>,
            ) -> Result<Response<pb::$response>, Status> {
                Err(Error::internal("not part of this test").into())
            })*
        }
    };
}

fake! {
    probe_gateway: ProbeGatewayRequest => ProbeGatewayResponse,
    observe_sandbox: ObserveSandboxRequest => ObserveSandboxResponse,
    list_live_sandboxes: ListLiveSandboxesRequest => ListLiveSandboxesResponse,
    check_providers: CheckProvidersRequest => CheckProvidersResponse,
    create_sandbox: CreateSandboxRequest => CreateSandboxResponse,
    delete_sandbox: DeleteSandboxRequest => DeleteSandboxResponse,
    start_sandbox: StartSandboxRequest => StartSandboxResponse,
    stop_sandbox: StopSandboxRequest => StopSandboxResponse,
    get_effective_policy: GetEffectivePolicyRequest => GetEffectivePolicyResponse,
    apply_policy: ApplyPolicyRequest => ApplyPolicyResponse,
    apply_posture: ApplyPostureRequest => ApplyPostureResponse,
    verify_posture: VerifyPostureRequest => VerifyPostureResponse,
    probe_readiness: ProbeReadinessRequest => ProbeReadinessResponse,
    snapshot_workspace: SnapshotWorkspaceRequest => SnapshotWorkspaceResponse,
    restore_workspace: RestoreWorkspaceRequest => RestoreWorkspaceResponse,
    verify_workspace: VerifyWorkspaceRequest => VerifyWorkspaceResponse,
    get_snapshot: GetSnapshotRequest => GetSnapshotResponse,
    delete_snapshot: DeleteSnapshotRequest => DeleteSnapshotResponse,
    diff_snapshots: DiffSnapshotsRequest => DiffSnapshotsResponse,
    prune_snapshots: PruneSnapshotsRequest => PruneSnapshotsResponse,
    get_operation: GetOperationRequest => GetOperationResponse,
    list_operations: ListOperationsRequest => ListOperationsResponse,
    find_compute: FindComputeRequest => FindComputeResponse,
    stop_compute: StopComputeRequest => StopComputeResponse,
}

/// Serves the fake; ends when dropped.
struct Served {
    clients: Clients,
    fake: Fake,
    shutdown: Shutdown,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

async fn serve(fake: Fake) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = Shutdown::new();
    let over = shutdown.triggered();
    let service = GatewayAdapterServiceServer::new(fake.clone());
    tokio::spawn(Server::new(Limits::default()).service(service).run(listener, over));
    Served { clients: Clients::local(address.clone(), address.clone(), address), fake, shutdown }
}

fn output() -> Output {
    Output::new(Format::Table, Color::Never)
}

fn name() -> String {
    format!("gateways/lab/snapshots/{}", "ab".repeat(32))
}

fn listing(limit: u32) -> ListSnapshotsArgs {
    ListSnapshotsArgs {
        target: Target { name: Some("lab/default/coder".into()) },
        gateway: None,
        all: false,
        wide: false,
        limit,
    }
}

fn page(next_page_token: &str) -> pb::ListSnapshotsResponse {
    let snapshot = pb::Snapshot { name: name(), ..pb::Snapshot::default() };
    pb::ListSnapshotsResponse {
        snapshots: vec![snapshot],
        next_page_token: next_page_token.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_list_goes_through_its_pages_and_stops_at_its_limit() {
    let fake = Fake { pages: vec![page("1"), page("2"), page("")], ..Fake::default() };
    let served = serve(fake).await;
    let ended = read::list(&served.clients, &listing(2), &output()).await.unwrap();
    assert_eq!(ended, Exit::Done);
    assert_eq!(served.fake.asked(), ["list coder ", "list coder 1"]);
}

#[tokio::test]
async fn a_repository_that_cannot_be_read_is_never_an_empty_list() {
    let unknown = pb::Unknown {
        reason: pb::UnknownReason::Unavailable.into(),
        detail: "no such directory".into(),
    };
    let page = pb::ListSnapshotsResponse { unknown: Some(unknown), ..Default::default() };
    let served = serve(Fake { pages: vec![page], ..Fake::default() }).await;
    let failure = read::list(&served.clients, &listing(9), &output()).await.unwrap_err();
    assert_eq!((failure.exit, failure.reason.as_str()), (Exit::Undetermined, "UNAVAILABLE"));
    assert!(failure.message.contains("no such directory"), "{}", failure.message);
}

fn operation(result: Option<pb::operation::Result>) -> pb::Operation {
    let done = result.is_some();
    pb::Operation { name: "operations/o".into(), done, result, ..Default::default() }
}

fn report(intact: bool, unknown: Option<pb::Unknown>) -> pb::operation::Result {
    let report = pb::VerifyReport { intact, unknown, ..Default::default() };
    pb::operation::Result::Verification(report)
}

async fn verify(looks: Vec<pb::Operation>, timeout: Duration) -> (Result<Exit, Failure>, Fake) {
    let served = serve(Fake { looks, ..Fake::default() }).await;
    let owner = OwnerArgs { of: None, gateway: None };
    let args = VerifyArgs { given: Given { snapshot: name(), owner }, timeout };
    let ended = verify::run(&served.clients, &args, &output()).await;
    (ended, served.fake.clone())
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_verification_is_followed_to_its_end_which_is_the_exit_code() {
    let unknown = || Some(pb::Unknown::default());
    for (ended, exit) in [
        (report(true, None), Exit::Done),
        (report(false, None), Exit::Degraded),
        (report(true, unknown()), Exit::Undetermined),
    ] {
        let looks = vec![operation(None), operation(None), operation(Some(ended))];
        let (ended, fake) = verify(looks, LONG).await;
        assert_eq!(ended.unwrap(), exit);
        assert_eq!(fake.asked(), [format!("verify {}", name()), "wait".into(), "wait".into()]);
    }
}

#[tokio::test]
async fn a_verification_that_failed_is_no_verdict_on_the_snapshot() {
    let failure = pb::OperationFailure {
        reason: "REPOSITORY_LOCKED".into(),
        message: "it is being pruned".into(),
        next_step: "wait".into(),
    };
    let (ended, _) =
        verify(vec![operation(Some(pb::operation::Result::Failure(failure)))], LONG).await;
    let failure = ended.unwrap_err();
    assert_eq!((failure.exit, failure.reason.as_str()), (Exit::Undetermined, "REPOSITORY_LOCKED"));
}

#[tokio::test]
async fn a_verification_that_takes_too_long_is_ended_and_nothing_is_said_of_the_snapshot() {
    let (ended, fake) = verify(vec![operation(None)], Duration::ZERO).await;
    let failure = ended.unwrap_err();
    assert_eq!((failure.exit, failure.reason.as_str()), (Exit::Waiting, "NOT_VERIFIED"));
    assert_eq!(fake.asked().last().unwrap(), "cancel operations/o");
}
