//! What a short-lived process exports to a collector. One test: telemetry is set up once a process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry::global;
use opentelemetry_proto::tonic::collector::metrics::v1 as metrics;
use opentelemetry_proto::tonic::collector::trace::v1 as trace;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use salvor_runtime::telemetry::{self, Config, Error};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

type Attributes = BTreeMap<String, String>;
/// The resource of one export, and the names of what it holds.
type Export = (Attributes, Vec<String>);

struct Collector {
    spans: mpsc::Sender<Export>,
    metrics: mpsc::Sender<Export>,
}

fn attributes(resource: Option<Resource>) -> Attributes {
    let attributes = resource.unwrap_or_default().attributes.into_iter();
    attributes
        .filter_map(|attribute| match attribute.value?.value? {
            Value::StringValue(text) => Some((attribute.key, text)),
            _ => None,
        })
        .collect()
}

#[tonic::async_trait]
impl trace::trace_service_server::TraceService for Collector {
    async fn export(
        &self,
        request: Request<trace::ExportTraceServiceRequest>,
    ) -> Result<Response<trace::ExportTraceServiceResponse>, Status> {
        for batch in request.into_inner().resource_spans {
            let spans = batch.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let names = spans.map(|span| span.name).collect();
            self.spans.send((attributes(batch.resource), names)).await.unwrap();
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl metrics::metrics_service_server::MetricsService for Collector {
    async fn export(
        &self,
        request: Request<metrics::ExportMetricsServiceRequest>,
    ) -> Result<Response<metrics::ExportMetricsServiceResponse>, Status> {
        for batch in request.into_inner().resource_metrics {
            let metrics = batch.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
            let names = metrics.map(|metric| metric.name).collect();
            self.metrics.send((attributes(batch.resource), names)).await.unwrap();
        }
        Ok(Response::new(Default::default()))
    }
}

/// The collector's address, and what it is sent; it runs on a thread of its own, as a collector is
/// another process.
fn collect() -> (String, [mpsc::Receiver<Export>; 2]) {
    let (spans, spans_seen) = mpsc::channel(16);
    let (metrics, metrics_seen) = mpsc::channel(16);
    let (address_known, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            address_known.send(listener.local_addr().unwrap()).unwrap();
            let (second_spans, second_metrics) = (spans.clone(), metrics.clone());
            let traces = Collector { spans, metrics };
            let meters = Collector { spans: second_spans, metrics: second_metrics };
            tonic::transport::Server::builder()
                .add_service(trace::trace_service_server::TraceServiceServer::new(traces))
                .add_service(metrics::metrics_service_server::MetricsServiceServer::new(meters))
                .serve_with_incoming(TcpIncoming::from(listener))
                .await
                .unwrap();
        });
    });
    (format!("http://{}", address.recv().unwrap()), [spans_seen, metrics_seen])
}

#[tokio::test]
async fn a_short_lived_process_exports_all_it_has_before_it_ends() {
    let (endpoint, [mut spans, mut metrics]) = collect();
    let mut config = Config::new("salvor", "1.2.3");
    config.otlp_endpoint = Some(endpoint);
    // Logs off, and yet the spans are there: the log filter is not theirs.
    config.filter = "off".into();
    let guard = telemetry::init(&config).unwrap();
    assert!(matches!(telemetry::init(&config), Err(Error::AlreadyInitialised)));

    let trace_id =
        tracing::info_span!(target: "salvor_test", "short").in_scope(telemetry::current_trace_id);
    assert_eq!(trace_id.unwrap().len(), 32);
    tracing::info_span!(target: "h2", "of a library").in_scope(|| {});
    global::meter("test").u64_counter("salvor.test.count").build().add(1, &[]);

    // On this single-threaded runtime a flush that needed it would never end.
    guard.shutdown();
    let soon = Duration::from_secs(10);
    let (resource, names) = tokio::time::timeout(soon, spans.recv()).await.unwrap().unwrap();
    assert_eq!(names, ["short"]);
    assert_eq!(resource["service.name"], "salvor");
    assert_eq!(resource["service.version"], "1.2.3");
    assert_eq!(resource["service.instance.id"].len(), 36);
    let (_, names) = tokio::time::timeout(soon, metrics.recv()).await.unwrap().unwrap();
    assert!(names.contains(&"salvor.test.count".to_owned()), "{names:?}");
}
