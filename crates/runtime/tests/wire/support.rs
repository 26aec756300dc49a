//! A server on a free port and a service that does as the path says.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{Request, Response};
use salvor_net::Listener;
use salvor_runtime::channel::{self, Endpoint};
use salvor_runtime::server::{Error, Limits};
use salvor_runtime::telemetry::current_trace_id;
use salvor_runtime::{Server, Shutdown, TracedChannel};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_prost::ProstCodec;
use tracing::Instrument;

/// Bound on what must happen soon; only a failing test waits for it.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// The header that names a call.
const NAME: &str = "x-name";

/// `Hang` never answers, `Refuse` answers FAILED_PRECONDITION, `Panic` panics.
#[derive(Clone)]
pub(crate) struct Moody {
    pub(crate) hanging: Arc<Semaphore>,
    refused: Arc<Mutex<Vec<String>>>,
}

impl NamedService for Moody {
    const NAME: &'static str = "test.Moody";
}

impl tower::Service<Request<Body>> for Moody {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { hanging, refused } = self.clone();
        let work = async move {
            match request.uri().path() {
                "/test.Moody/Refuse" => {
                    let name = request.headers().get(NAME).map(|name| name.to_str().unwrap());
                    refused.lock().unwrap().push(name.unwrap_or_default().to_owned());
                    let trace = current_trace_id().unwrap_or_default();
                    Ok(Status::failed_precondition(trace).into_http())
                }
                "/test.Moody/Panic" => panic!("on purpose"),
                _ => {
                    hanging.add_permits(1);
                    std::future::pending().await
                }
            }
        };
        Box::pin(work.instrument(tracing::info_span!("work")))
    }
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: Shutdown,
    pub(crate) hanging: Arc<Semaphore>,
    refused: Arc<Mutex<Vec<String>>>,
    pub(crate) served: JoinHandle<Result<(), Error>>,
}

pub(crate) async fn serve(limits: Limits) -> Running {
    serve_on("127.0.0.1:0", Server::new(limits)).await
}

pub(crate) async fn serve_on(address: &str, server: Server) -> Running {
    serve_at(TcpListener::bind(address).await.unwrap(), server)
}

pub(crate) fn serve_at(listener: impl Listener, server: Server) -> Running {
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let hanging = Arc::new(Semaphore::new(0));
    let refused = Arc::default();
    let moody = Moody { hanging: Arc::clone(&hanging), refused: Arc::clone(&refused) };
    let running = server.service(moody).run(listener, shutdown.triggered());
    Running { address, shutdown, hanging, refused, served: tokio::spawn(running) }
}

impl Running {
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(format!("http://{}", self.address))
    }

    pub(crate) fn channel(&self) -> TracedChannel {
        channel::connect_lazy(&self.endpoint()).unwrap()
    }

    pub(crate) fn health(&self) -> HealthClient<TracedChannel> {
        HealthClient::new(self.channel())
    }

    /// The names of the calls of `Refuse`, in their order.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap().clone()
    }

    /// Resolves once `Hang` was called `count` times more.
    pub(crate) async fn hung(&self, count: u32) {
        let hung = tokio::time::timeout(SOON, self.hanging.acquire_many(count)).await;
        hung.unwrap().unwrap().forget();
    }

    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        tokio::time::timeout(SOON, self.served).await.unwrap().unwrap().unwrap();
    }
}

/// Calls a method of [`Moody`] with empty messages; it never answers OK.
pub(crate) async fn call(channel: TracedChannel, path: &'static str) -> Status {
    call_with(channel, path, tonic::Request::new(())).await
}

pub(crate) async fn call_with(
    channel: TracedChannel,
    path: &'static str,
    request: tonic::Request<()>,
) -> Status {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = ProstCodec::<(), ()>::default();
    let path = PathAndQuery::from_static(path);
    client.unary(request, path, codec).await.unwrap_err()
}

/// Calls `Refuse` under a name.
pub(crate) async fn refuse(channel: &TracedChannel, name: impl ToString) -> Status {
    let mut request = tonic::Request::new(());
    request.metadata_mut().insert(NAME, name.to_string().parse().unwrap());
    call_with(channel.clone(), "/test.Moody/Refuse", request).await
}

/// Calls `Refuse` until something is so, which has to be soon. Each call has to be answered.
pub(crate) async fn refuse_until(channel: &TracedChannel, mut so: impl FnMut() -> bool) {
    let calls = async {
        while !so() {
            let status = refuse(channel, "").await;
            assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
        }
    };
    tokio::time::timeout(SOON, calls).await.unwrap();
}

/// One channel to several addresses.
pub(crate) fn replicas(addresses: impl IntoIterator<Item = SocketAddr>) -> Endpoint {
    let addresses: Vec<_> = addresses.into_iter().map(|at| format!("http://{at}")).collect();
    Endpoint::new(addresses.join(","))
}
