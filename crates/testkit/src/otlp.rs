//! A receiver of OTLP traces: what a tracing backend would be sent, kept in memory or handed on.
//!
//! Deliberately absent: metrics, which are refused as a backend for traces alone refuses them.

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// An id as it is written.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A receiver that runs until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
    task: tokio::task::JoinHandle<()>,
}

/// Is given every span that arrives, with the name of the service that sent it.
type Take = dyn Fn(&str, Span) + Send + Sync;

struct Sink {
    take: Box<Take>,
}

/// Receives until `listener` fails, and gives every span to `take` with the name of its service.
///
/// # Errors
/// The server ends badly. Cancelling the future ends it; spans not yet answered are not taken.
pub async fn serve(
    listener: TcpListener,
    take: impl Fn(&str, Span) + Send + Sync + 'static,
) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .add_service(TraceServiceServer::new(Sink { take: Box::new(take) }))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
}

impl Receiver {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// No port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let spans: Arc<Mutex<Vec<Span>>> = Arc::default();
        let kept = Arc::clone(&spans);
        let served = serve(listener, move |_, span| {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(span);
        });
        let task = tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "the receiver ended badly");
            }
        });
        Ok(Self { address, spans, task })
    }

    /// Where to export to.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans received so far, by the id of their trace as it is written.
    pub fn traces(&self) -> HashMap<String, Vec<Span>> {
        let mut traces: HashMap<String, Vec<Span>> = HashMap::new();
        for span in self.spans() {
            traces.entry(hex(&span.trace_id)).or_default().push(span);
        }
        traces
    }

    /// All spans received so far.
    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans with an attribute of this text.
    pub fn with(&self, key: &str, value: &str) -> Vec<Span> {
        let mut spans = self.spans();
        spans.retain(|span| attribute(span, key).as_deref() == Some(value));
        spans
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A span's attribute as text.
pub fn attribute(span: &Span, key: &str) -> Option<String> {
    value(&span.attributes, key)
}

/// An attribute's value as text; `None` for lists, maps and bytes.
pub fn text(attribute: &KeyValue) -> Option<String> {
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        Value::BoolValue(truth) => Some(truth.to_string()),
        Value::DoubleValue(number) => Some(number.to_string()),
        _ => None,
    }
}

fn value(attributes: &[KeyValue], key: &str) -> Option<String> {
    text(attributes.iter().find(|attribute| attribute.key == key)?)
}

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = value(&attributes, "service.name").unwrap_or_default();
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                (self.take)(&service, span);
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
