//! Trace contexts as text, so that a journal can keep one and a later process can point at it.
//!
//! The text is a W3C `traceparent`. Without the OpenTelemetry layer there is none.

use http::{HeaderMap, HeaderValue};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::rpc::{extract, inject};

/// The trace id of the current span, in 32 hex digits.
pub fn current_trace_id() -> Option<String> {
    let context = Span::current().context();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// The `traceparent` of the current span.
pub fn current_traceparent() -> Option<String> {
    traceparent_of(&Span::current())
}

/// The `traceparent` of `span`.
pub fn traceparent_of(span: &Span) -> Option<String> {
    let mut headers = HeaderMap::new();
    inject(&span.context(), &mut headers);
    headers.get("traceparent")?.to_str().ok().map(str::to_owned)
}

/// The remote span that a `traceparent` names; none if it is malformed.
pub fn span_context_from_traceparent(traceparent: &str) -> Option<SpanContext> {
    let span = remote(traceparent)?.span().span_context().clone();
    span.is_valid().then_some(span)
}

/// Gives `span`, which must not have been entered yet, the remote parent that `traceparent` names,
/// and hands it back. A malformed one changes nothing.
pub fn span_from_traceparent(span: Span, traceparent: &str) -> Span {
    set_parent(&span, traceparent);
    span
}

/// As [`span_from_traceparent`]; whether it worked.
pub fn set_parent(span: &Span, traceparent: &str) -> bool {
    remote(traceparent).is_some_and(|context| span.set_parent(context).is_ok())
}

/// Links `span` to the span that `traceparent` names, as a resumed recovery does with its first
/// one. Whether it was well-formed.
pub fn link(span: &Span, traceparent: &str) -> bool {
    let Some(target) = span_context_from_traceparent(traceparent) else {
        return false;
    };
    span.add_link(target);
    true
}

fn remote(traceparent: &str) -> Option<Context> {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", HeaderValue::from_str(traceparent).ok()?);
    let context = extract(&headers);
    context.span().span_context().is_valid().then_some(context)
}
