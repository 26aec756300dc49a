use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::Stream;
use salvor_proto::Error;
use salvor_proto::error::Code;
use salvor_proto::recovery::v1::recovery_service_server::{RecoveryService, RecoveryServiceServer};
use salvor_proto::recovery::v1::{self as pb, StepRecord};
use salvor_runtime::{Server, Shutdown, server::Limits};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status};

use super::*;

type Streamed = Result<pb::WatchRecoveryResponse, Status>;

/// Plays one script per stream; the last one again and again. A script may leave its stream open.
#[derive(Clone)]
struct Fake {
    scripts: Arc<Vec<(Vec<Streamed>, bool)>>,
    opened: Arc<AtomicUsize>,
}

macro_rules! fake {
    ($($method:ident: $request:ident => $response:ident,)*) => {
        #[tonic::async_trait]
        impl RecoveryService for Fake {
            type WatchRecoveryStream = Pin<Box<dyn Stream<Item = Streamed> + Send>>;

            async fn watch_recovery(
                &self,
                _: Request<pb::WatchRecoveryRequest>,
            ) -> Result<Response<Self::WatchRecoveryStream>, Status> {
                let opened = self.opened.fetch_add(1, Ordering::SeqCst);
                let (script, open) = &self.scripts[opened.min(self.scripts.len() - 1)];
                let script = futures::stream::iter(script.clone());
                Ok(Response::new(if *open {
                    Box::pin(futures::StreamExt::chain(script, futures::stream::pending()))
                } else {
                    Box::pin(script)
                }))
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
    adopt_sandbox: AdoptSandboxRequest => AdoptSandboxResponse,
    adopt_gateway: AdoptGatewayRequest => AdoptGatewayResponse,
    get_status: GetStatusRequest => GetStatusResponse,
    snapshot_sandbox: SnapshotSandboxRequest => SnapshotSandboxResponse,
    restore_sandbox: RestoreSandboxRequest => RestoreSandboxResponse,
    drill_sandbox: DrillSandboxRequest => DrillSandboxResponse,
    prune_sandbox_snapshots: PruneSandboxSnapshotsRequest => PruneSandboxSnapshotsResponse,
    delete_sandbox_snapshots: DeleteSandboxSnapshotsRequest => DeleteSandboxSnapshotsResponse,
    get_verdict: GetVerdictRequest => GetVerdictResponse,
    plan_recovery: PlanRecoveryRequest => PlanRecoveryResponse,
    connect_sandbox: ConnectSandboxRequest => ConnectSandboxResponse,
    recover_sandbox: RecoverSandboxRequest => RecoverSandboxResponse,
    destroy_sandbox: DestroySandboxRequest => DestroySandboxResponse,
    get_recovery: GetRecoveryRequest => GetRecoveryResponse,
    list_recoveries: ListRecoveriesRequest => ListRecoveriesResponse,
    wait_recovery: WaitRecoveryRequest => WaitRecoveryResponse,
    cancel_recovery: CancelRecoveryRequest => CancelRecoveryResponse,
    retry_recovery: RetryRecoveryRequest => RetryRecoveryResponse,
    retire_recovery: RetireRecoveryRequest => RetireRecoveryResponse,
    list_decisions: ListDecisionsRequest => ListDecisionsResponse,
    list_guards: ListGuardsRequest => ListGuardsResponse,
}

/// Serves the scripts; ends when dropped.
struct Served {
    clients: Clients,
    shutdown: Shutdown,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

async fn serve(scripts: Vec<(Vec<Streamed>, bool)>) -> Served {
    let fake = Fake { scripts: Arc::new(scripts), opened: Arc::default() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = Shutdown::new();
    let over = shutdown.triggered();
    let server = Server::new(Limits::default()).service(RecoveryServiceServer::new(fake));
    tokio::spawn(server.run(listener, over));
    Served { clients: Clients::local(address.clone(), address.clone(), address), shutdown }
}

fn seen(state: State, done: bool, steps: usize) -> pb::WatchRecoveryResponse {
    let recovery = Recovery {
        state: state.into(),
        done,
        steps: vec![StepRecord::default(); steps],
        ..Recovery::default()
    };
    pb::WatchRecoveryResponse { recovery: Some(recovery) }
}

fn away() -> Streamed {
    Err(Error::new(Code::Unavailable, "SERVER_DRAINING", "the server is shutting down").into())
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_broken_stream_is_opened_again_until_the_end_is_seen() {
    let served = serve(vec![
        (vec![Ok(seen(State::Running, false, 1)), away()], false),
        (vec![away()], false),
        (vec![Ok(seen(State::Running, false, 2))], false),
        (vec![Ok(seen(State::Succeeded, true, 3))], true),
    ])
    .await;
    let steps = Mutex::new(Vec::new());
    let ended = follow(&served.clients, "recoveries/r", LONG, |recovery| {
        steps.lock().unwrap().push(recovery.steps.len());
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(ended.state(), State::Succeeded);
    assert_eq!(*steps.lock().unwrap(), [1, 2, 3]);
}

#[tokio::test]
async fn a_parked_recovery_is_where_following_ends() {
    let served = serve(vec![(vec![Ok(seen(State::Parked, false, 1))], true)]).await;
    let ended = follow(&served.clients, "recoveries/r", LONG, |_| Ok(())).await.unwrap();
    assert_eq!(Exit::from(ended.state()), Exit::Waiting);
}

#[tokio::test]
async fn when_the_time_is_over_the_last_sight_of_it_is_the_answer() {
    let served = serve(vec![(vec![Ok(seen(State::Running, false, 1))], true)]).await;
    let short = Duration::from_secs(2);
    let ended = follow(&served.clients, "recoveries/r", short, |_| Ok(())).await.unwrap();
    assert_eq!((ended.state(), ended.done), (State::Running, false));
}

#[tokio::test]
async fn one_that_cannot_be_seen_any_more_is_said_to_go_on() {
    let served = serve(vec![
        (vec![Ok(seen(State::Running, false, 1)), away()], false),
        (vec![away()], false),
    ])
    .await;
    let failure = follow(&served.clients, "recoveries/r", LONG, |_| Ok(())).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Undetermined);
    assert_eq!(failure.next_step, "salvor recoveries wait recoveries/r");
}

#[tokio::test]
async fn one_that_does_not_exist_is_not_waited_for() {
    let gone: Streamed = Err(Error::not_found("RECOVERY_NOT_FOUND", "there is none").into());
    let served = serve(vec![(vec![gone], false)]).await;
    let failure = follow(&served.clients, "recoveries/r", LONG, |_| Ok(())).await.unwrap_err();
    assert_eq!(failure.exit, Exit::NotFound);
}
