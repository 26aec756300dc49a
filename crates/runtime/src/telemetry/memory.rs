//! Finished spans kept in memory, for tests.
//!
//! One exporter for each test: it is installed for the current thread only, which is where a
//! `#[tokio::test]` runs everything. Invariant: it keeps every finished span of this thread, those
//! of libraries excepted.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use opentelemetry::Value;
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;

const LIBRARIES: [&str; 8] =
    ["h2", "hyper", "opentelemetry", "rustls", "sqlx", "tokio", "tonic", "tower"];

/// While only one subscriber lives, tracing asks the thread that first reaches a span whether anyone
/// wants it, and remembers its answer for all threads. A thread without an exporter would say no
/// for the one that has it; a second subscriber that lives on makes tracing ask all of them.
static ANCHOR: OnceLock<Dispatch> = OnceLock::new();

/// Records the spans of the calling thread until it is dropped.
pub fn test_exporter() -> TestExporter {
    let (mut exporter, dispatch) = TestExporter::detached();
    exporter.installed = Some(tracing::dispatcher::set_default(&dispatch));
    exporter
}

/// See [`test_exporter`].
#[derive(Debug)]
pub struct TestExporter {
    memory: Memory,
    installed: Option<DefaultGuard>,
    _provider: SdkTracerProvider,
}

impl TestExporter {
    /// An exporter and the subscriber that feeds it, not installed anywhere: for a test binary that
    /// makes it the global default once, or for one future (`WithSubscriber`).
    pub fn detached() -> (Self, Dispatch) {
        ANCHOR
            .get_or_init(|| Dispatch::new(tracing_subscriber::registry().with(LevelFilter::INFO)));
        let memory = Memory::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(memory.clone()).build();
        let filter = Targets::new()
            .with_default(LevelFilter::INFO)
            .with_targets(LIBRARIES.map(|library| (library, LevelFilter::OFF)));
        let layer = super::span_layer(&provider).with_filter(filter);
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
        (Self { memory, installed: None, _provider: provider }, dispatch)
    }

    /// Every finished span, in the order in which they ended.
    pub fn spans(&self) -> Vec<RecordedSpan> {
        let spans = self.memory.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.iter().cloned().map(RecordedSpan).collect()
    }

    /// The finished spans with this name.
    pub fn named(&self, name: &str) -> Vec<RecordedSpan> {
        self.spans().into_iter().filter(|span| span.name() == name).collect()
    }

    /// The finished spans with this name and this attribute.
    pub fn with(&self, name: &str, key: &str, value: &str) -> Vec<RecordedSpan> {
        let mut spans = self.named(name);
        spans.retain(|span| span.attribute(key).as_deref() == Some(value));
        spans
    }

    /// The finished spans of one trace, in the order in which they ended.
    pub fn trace(&self, trace_id: &str) -> Vec<RecordedSpan> {
        self.spans().into_iter().filter(|span| span.trace_id() == trace_id).collect()
    }

    /// Forgets all spans up to now.
    pub fn clear(&self) {
        self.memory.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits until `found` is true of the finished spans, at most for 10 s.
    ///
    /// # Panics
    /// At the deadline, with the names of all spans.
    #[expect(clippy::panic, reason = "an assertion for tests")]
    pub async fn wait_until(&self, found: impl Fn(&[RecordedSpan]) -> bool) -> Vec<RecordedSpan> {
        for _ in 0..1_000 {
            let spans = self.spans();
            if found(&spans) {
                return spans;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the spans never came; there are {:?}", self.names());
    }

    /// Asserts that some span `child` has some span `parent` as its parent, remote or not.
    ///
    /// # Panics
    /// If not, with the names of all spans.
    pub fn assert_has_parent(&self, child: &str, parent: &str) {
        let parents = self.named(parent);
        let children = self.named(child);
        let related =
            children.iter().any(|child| parents.iter().any(|span| child.is_child_of(span)));
        let names = self.names();
        assert!(related, "no span {child:?} has a parent {parent:?}; there are {names:?}");
    }

    fn names(&self) -> Vec<String> {
        self.spans().iter().map(|span| span.name().to_owned()).collect()
    }
}

/// One finished span.
#[derive(Clone, Debug)]
pub struct RecordedSpan(pub SpanData);

impl RecordedSpan {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its trace, in 32 hex digits.
    pub fn trace_id(&self) -> String {
        self.0.span_context.trace_id().to_string()
    }

    /// The value of an attribute, as text.
    pub fn attribute(&self, key: &str) -> Option<String> {
        let found = self.0.attributes.iter().find(|attribute| attribute.key.as_str() == key);
        found.map(|attribute| match &attribute.value {
            Value::String(text) => text.as_str().to_owned(),
            other => other.to_string(),
        })
    }

    /// Whether its status is an error.
    pub fn is_error(&self) -> bool {
        matches!(self.0.status, Status::Error { .. })
    }

    /// Client, server or internal.
    pub fn kind(&self) -> SpanKind {
        self.0.span_kind.clone()
    }

    /// Whether it has no parent.
    pub fn is_root(&self) -> bool {
        self.0.parent_span_id == SpanId::INVALID
    }

    /// Whether `parent` is its parent.
    pub fn is_child_of(&self, parent: &Self) -> bool {
        self.0.parent_span_id == parent.0.span_context.span_id()
            && self.0.span_context.trace_id() == parent.0.span_context.trace_id()
    }

    /// Whether it is linked to `other`.
    pub fn is_linked_to(&self, other: &Self) -> bool {
        let target = &other.0.span_context;
        self.0.links.iter().any(|link| {
            link.span_context.span_id() == target.span_id()
                && link.span_context.trace_id() == target.trace_id()
        })
    }
}

#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Memory {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
        Ok(())
    }
}
