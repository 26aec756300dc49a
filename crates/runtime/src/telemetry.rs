//! Logs to stderr, traces and metrics by OTLP.
//!
//! Invariant: telemetry never decides and never blocks. Without an exporter trace ids exist all
//! the same, so that answers and journals can name them; with a dead one, spans wait in a bounded
//! queue and are dropped, and one warning says so. Deliberately absent: sampling, and any
//! attribute that comes from a payload.

pub mod attr;
mod context;
mod export;
#[cfg(any(test, feature = "test-util"))]
mod memory;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, fmt as log};

pub use context::{
    current_trace_id, current_traceparent, link, set_parent, span_context_from_traceparent,
    span_from_traceparent, traceparent_of,
};
#[cfg(any(test, feature = "test-util"))]
pub use memory::{RecordedSpan, TestExporter, test_exporter};

/// Bound on the last flush, chosen so that a command line with a dead exporter still ends soon.
const FLUSH: Duration = Duration::from_secs(5);

/// Why telemetry cannot be set up. A collector that is away is not one of the reasons.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A subscriber is installed in this process already.
    #[error("telemetry is already initialised in this process")]
    AlreadyInitialised,
    /// The log filter cannot be read.
    #[error("{filter:?} is not a log filter like \"info\" or \"info,salvor_registry=debug\"")]
    Filter {
        /// The filter as given.
        filter: String,
        /// Why.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// The OTLP endpoint cannot be used.
    #[error("{endpoint:?} is not an OTLP gRPC endpoint like http://127.0.0.1:4317: {problem}")]
    Endpoint {
        /// The endpoint as given.
        endpoint: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The thread that exports cannot be started.
    #[error("cannot start the thread that exports telemetry")]
    Runtime(#[source] std::io::Error),
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl fmt::Display for LogFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// What a process tells of itself, and where.
#[derive(Clone, Debug)]
pub struct Config {
    /// `service.name`: the service, or `salvor` for a process that runs several.
    pub service_name: String,
    /// `service.version`.
    pub service_version: String,
    /// `service.instance.id`; a random one if not given.
    pub instance_id: Option<String>,
    /// Log filter in the syntax of `tracing_subscriber::EnvFilter`. It does not touch spans.
    pub filter: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// OTLP gRPC endpoint, plaintext (`http://host:port`); none exports nothing.
    pub otlp_endpoint: Option<String>,
}

impl Config {
    /// Text logs at `info` to stderr, nothing exported.
    pub fn new(service_name: impl Into<String>, service_version: impl Into<String>) -> Self {
        Self {
            service_name: service_name.into(),
            service_version: service_version.into(),
            instance_id: None,
            filter: "info".into(),
            log_format: LogFormat::default(),
            otlp_endpoint: None,
        }
    }

    fn resource(&self) -> Resource {
        let instance = self.instance_id.clone();
        let instance = instance.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        Resource::builder()
            .with_service_name(self.service_name.clone())
            .with_attributes([
                KeyValue::new("service.version", self.service_version.clone()),
                KeyValue::new("service.instance.id", instance),
            ])
            .build()
    }
}

/// Keeps telemetry going. Dropped, it lets go at once; [`shutdown`](Self::shutdown) flushes.
#[derive(Debug)]
#[must_use = "dropped, it stops exporting"]
pub struct Guard {
    traces: SdkTracerProvider,
    metrics: SdkMeterProvider,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Guard {
    /// Exports what is waiting. Blocks the calling thread for at most 5 s; call it last.
    pub fn shutdown(self) {
        if self.runtime.is_none() {
            return;
        }
        let (traces, metrics) = (self.traces.clone(), self.metrics.clone());
        let (done, waiting) = std::sync::mpsc::sync_channel(1);
        let flush = move || {
            // Their failures were warned about when they happened.
            let _ = traces.shutdown_with_timeout(FLUSH);
            let _ = metrics.shutdown_with_timeout(FLUSH);
            let _ = done.send(());
        };
        if std::thread::Builder::new().name("salvor-flush".into()).spawn(flush).is_ok() {
            let _ = waiting.recv_timeout(FLUSH);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Installs logging, tracing and metrics for the whole process. Works inside and outside a tokio
/// runtime: exporting has a thread of its own.
///
/// # Errors
/// [`Error`]; nothing is installed then.
pub fn init(config: &Config) -> Result<Guard, Error> {
    let filter = EnvFilter::from_str(&config.filter)
        .map_err(|source| Error::Filter { filter: config.filter.clone(), source })?;
    let exporting = match &config.otlp_endpoint {
        Some(endpoint) => export::to_collector(endpoint, config.resource())?,
        None => export::to_nowhere(config.resource()),
    };
    let subscriber = tracing_subscriber::registry()
        .with(log_layer(config.log_format).with_filter(filter))
        .with(span_layer(&exporting.traces).with_filter(own_spans()));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::AlreadyInitialised)?;
    global::set_meter_provider(exporting.metrics.clone());
    Ok(exporting)
}

fn log_layer<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let layer = log::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            layer.with_ansi(ansi).boxed()
        }
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

fn span_layer<S>(traces: &SdkTracerProvider) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(traces.tracer("salvor"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
}

/// Spans of salvor's own crates at `info`; those of libraries would drown them.
fn own_spans() -> Targets {
    Targets::new().with_target("salvor", LevelFilter::INFO)
}

#[cfg(test)]
mod tests;
