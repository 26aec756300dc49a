//! Getting spans and metrics out, without ever waiting for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData,
    SpanExporter as ExportSpans,
};

use super::{Error, Guard};

/// Bound on one export; less than the flush at the end, so that one dead attempt fits into it.
const EXPORT: Duration = Duration::from_secs(3);
/// Spans that wait while the collector is away; more are dropped.
const QUEUE: usize = 8_192;

pub(super) fn to_nowhere(resource: Resource) -> Guard {
    Guard {
        traces: SdkTracerProvider::builder().with_resource(resource.clone()).build(),
        metrics: SdkMeterProvider::builder().with_resource(resource).build(),
        runtime: None,
    }
}

pub(super) fn to_collector(endpoint: &str, resource: Resource) -> Result<Guard, Error> {
    let refuse = |problem: String| Error::Endpoint { endpoint: endpoint.to_owned(), problem };
    let uri: http::Uri = endpoint.parse().map_err(|_| refuse("it is not a URL".into()))?;
    if uri.scheme_str() != Some("http") || uri.host().is_none() {
        return Err(refuse("only plaintext http to a collector nearby is supported".into()));
    }
    // The exporters' connections live here: a flush must not depend on the caller's runtime,
    // which may be single-threaded and blocked in it.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("salvor-export")
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let exporters = {
        let _entered = runtime.enter();
        exporters(endpoint).map_err(|error| refuse(error.to_string()))
    };
    let (spans, metrics) = exporters?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_scheduled_delay(Duration::from_secs(1))
        .build();
    let processor = BatchSpanProcessor::builder(spans).with_batch_config(batches).build();
    let reader = PeriodicReader::builder(metrics).with_interval(Duration::from_secs(15)).build();
    let traces = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_span_processor(processor)
        .build();
    let metrics = SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build();
    Ok(Guard { traces, metrics, runtime: Some(runtime) })
}

type Exporters = (Watched<SpanExporter>, Watched<MetricExporter>);

fn exporters(endpoint: &str) -> Result<Exporters, ExporterBuildError> {
    let spans = SpanExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT);
    let metrics =
        MetricExporter::builder().with_tonic().with_endpoint(endpoint).with_timeout(EXPORT);
    Ok((
        Watched { inner: spans.build()?, health: ExportHealth::of("traces", endpoint) },
        Watched { inner: metrics.build()?, health: ExportHealth::of("metrics", endpoint) },
    ))
}

/// Whether exports of one signal work, said once for each change. Each signal has its own: a backend for traces alone
/// refuses metrics for good.
#[derive(Debug)]
struct ExportHealth {
    signal: &'static str,
    endpoint: String,
    failing: AtomicBool,
}

impl ExportHealth {
    fn of(signal: &'static str, endpoint: &str) -> Self {
        Self { signal, endpoint: endpoint.into(), failing: AtomicBool::new(false) }
    }

    fn note(&self, result: &OTelSdkResult) {
        let failed = result.is_err();
        if self.failing.swap(failed, Ordering::Relaxed) == failed {
            return;
        }
        let (signal, endpoint) = (self.signal, self.endpoint.as_str());
        if let Err(error) = result {
            tracing::warn!(
                signal,
                endpoint,
                %error,
                "telemetry cannot be exported; nothing else is affected"
            );
        } else {
            tracing::info!(signal, endpoint, "telemetry is exported again");
        }
    }
}

#[derive(Debug)]
struct Watched<E> {
    inner: E,
    health: ExportHealth,
}

impl<E: ExportSpans> ExportSpans for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.inner.export(batch).await;
        self.health.note(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Watched<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.inner.export(metrics).await;
        self.health.note(&result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}
