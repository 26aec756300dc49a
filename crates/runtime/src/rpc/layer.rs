//! The server side: one span, one admission decision and one deadline for every call.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use opentelemetry::global;
use opentelemetry::metrics::Histogram;
use opentelemetry::trace::TraceContextExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::server::{TcpConnectInfo, TlsConnectInfo};
use tower::{Layer, Service};
use tracing::{Instrument, Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{Edge, Outcome, RecordedBody, Side, extract};
use crate::server::Methods;

/// What bounds the calls of one server.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    /// Permits for calls in flight, over all connections.
    pub(crate) in_flight: Arc<Semaphore>,
    /// Time until the headers of an answer: the whole call if unary, the start of a stream.
    pub(crate) timeout: Duration,
    /// Cancelled when the server starts to drain.
    pub(crate) draining: CancellationToken,
}

/// Wraps a server's routes.
#[derive(Clone, Debug)]
pub(crate) struct RpcLayer {
    admission: Admission,
    methods: Arc<Methods>,
    duration: Histogram<f64>,
}

impl RpcLayer {
    pub(crate) fn new(admission: Admission, methods: Methods) -> Self {
        let duration = global::meter("salvor")
            .f64_histogram("rpc.server.call.duration")
            .with_unit("s")
            .with_description("Duration of inbound calls, to the last frame of the answer")
            .build();
        Self { admission, methods: Arc::new(methods), duration }
    }
}

impl<S> Layer<S> for RpcLayer {
    type Service = RpcService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RpcService { inner, shared: self.clone() }
    }
}

/// See [`RpcLayer`].
#[derive(Clone, Debug)]
pub(crate) struct RpcService<S> {
    inner: S,
    shared: RpcLayer,
}

impl<S> Service<Request<Body>> for RpcService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Admission { in_flight, timeout, draining } = self.shared.admission.clone();
        let method = self.shared.methods.label(request.uri().path());
        let span = open_span(&method, &request);
        let asked = caller_timeout(request.headers());
        let bound = asked.map_or(timeout, |asked| asked.min(timeout));
        let outcome = Outcome::new(span.clone(), Side::Server, method, Some(bound))
            .measured_by(self.shared.duration.clone());
        // Health is asked above all when a server is busy; shedding it would have it killed.
        let counted = !request.uri().path().starts_with("/grpc.health.v1.Health/");
        let permit = counted.then(|| in_flight.try_acquire_owned()).transpose();
        let Ok(permit) = permit else {
            let status = Edge::Overloaded
                .status("the server has as many calls in flight as it accepts; call again later");
            return Box::pin(std::future::ready(Ok(answer(&status, outcome))));
        };
        let called = span.in_scope(|| self.inner.call(request));
        let work = async move {
            let _permit = permit;
            let mut outcome = outcome;
            match tokio::time::timeout(bound, called).await {
                Ok(Ok(response)) => {
                    let (parts, body) = response.into_parts();
                    outcome.observe(&parts.headers);
                    let body = RecordedBody::wrap_draining(body, outcome, draining);
                    Ok(Response::from_parts(parts, body))
                }
                Ok(Err(never)) => match never {},
                Err(_) => {
                    let text = format!(
                        "no answer within {} ms; it may have taken effect",
                        bound.as_millis()
                    );
                    Ok(answer(&Edge::Overdue.status(text), outcome))
                }
            }
        };
        Box::pin(work.instrument(span))
    }
}

fn answer(status: &Status, mut outcome: Outcome) -> Response<Body> {
    outcome.finish(status.code());
    status.clone().into_http()
}

fn open_span<B>(method: &str, request: &Request<B>) -> Span {
    let span = info_span!(
        parent: None,
        "rpc.server",
        otel.name = method,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = tracing::field::Empty,
        error.type = tracing::field::Empty,
        server.address = tracing::field::Empty,
        server.port = tracing::field::Empty,
        client.address = tracing::field::Empty,
    );
    let (local, remote) = addresses(request);
    if let Some(local) = local {
        span.record("server.address", local.ip().to_string());
        span.record("server.port", local.port());
    }
    if let Some(remote) = remote {
        span.record("client.address", remote.ip().to_string());
    }
    let caller = extract(request.headers());
    if caller.span().span_context().is_valid() {
        // Fails only where no OpenTelemetry layer is installed, and then there is no trace.
        let _ = span.set_parent(caller);
    }
    span
}

fn addresses<B>(request: &Request<B>) -> (Option<SocketAddr>, Option<SocketAddr>) {
    let extensions = request.extensions();
    let plain = extensions.get::<TcpConnectInfo>();
    let tls = extensions.get::<TlsConnectInfo<TcpConnectInfo>>().map(TlsConnectInfo::get_ref);
    plain.or(tls).map_or((None, None), |info| (info.local_addr(), info.remote_addr()))
}

/// The caller's `grpc-timeout`: up to eight digits and a unit, as the gRPC over HTTP/2 document has
/// it. A malformed one counts as none.
pub(crate) fn caller_timeout(headers: &http::HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3_600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    #[test]
    fn grpc_timeouts_are_read_and_nonsense_is_ignored() {
        for (text, expected) in [
            ("2H", Some(Duration::from_hours(2))),
            ("3M", Some(Duration::from_mins(3))),
            ("4S", Some(Duration::from_secs(4))),
            ("5m", Some(Duration::from_millis(5))),
            ("6u", Some(Duration::from_micros(6))),
            ("7n", Some(Duration::from_nanos(7))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("1x", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(text));
            assert_eq!(caller_timeout(&headers), expected, "{text:?}");
        }
        assert_eq!(caller_timeout(&HeaderMap::new()), None);
    }
}
