use opentelemetry::trace::SpanKind;
use salvor_runtime::server::Limits;
use salvor_runtime::telemetry::{RecordedSpan, TestExporter, test_exporter};
use tonic_health::pb::HealthCheckRequest;
use tracing::Instrument;

use super::support::{call, serve};

const CHECK: &str = "grpc.health.v1.Health/Check";
const WATCH: &str = "grpc.health.v1.Health/Watch";

/// The client's and the server's span of the only call with this name.
async fn pair(exporter: &TestExporter, name: &str) -> (RecordedSpan, RecordedSpan) {
    let named = |spans: &[RecordedSpan]| spans.iter().filter(|span| span.name() == name).count();
    exporter.wait_until(|spans| named(spans) == 2).await;
    let of = |kind| exporter.named(name).into_iter().find(|span| span.kind() == kind).unwrap();
    (of(SpanKind::Client), of(SpanKind::Server))
}

#[tokio::test]
async fn one_trace_goes_from_the_caller_through_the_wire_into_the_handler() {
    let exporter = test_exporter();
    let server = serve(Limits::default()).await;
    let caller = tracing::info_span!("caller");
    let status = call(server.channel(), "/test.Moody/Refuse").instrument(caller).await;
    let (client, answered) = pair(&exporter, "test.Moody/Refuse").await;
    assert!(client.is_child_of(&exporter.named("caller")[0]));
    assert!(answered.is_child_of(&client));
    assert!(exporter.named("work")[0].is_child_of(&answered));
    assert_eq!(status.message(), client.trace_id(), "the handler sees the caller's trace id");
    server.stop().await;
}

#[tokio::test]
async fn rpc_spans_carry_the_conventional_attributes() {
    let exporter = test_exporter();
    let server = serve(Limits::default()).await;
    server.health().check(HealthCheckRequest::default()).await.unwrap();
    let (client, answered) = pair(&exporter, CHECK).await;
    let port = server.address.port().to_string();
    for span in [&client, &answered] {
        for (key, value) in [
            ("rpc.system.name", "grpc"),
            ("rpc.method", CHECK),
            ("rpc.response.status_code", "OK"),
            ("server.address", "127.0.0.1"),
            ("server.port", &port),
        ] {
            assert_eq!(span.attribute(key).as_deref(), Some(value), "{key}");
        }
        assert!(!span.is_error() && span.attribute("error.type").is_none());
    }
    assert_eq!(answered.attribute("client.address").as_deref(), Some("127.0.0.1"));
    server.stop().await;
}

#[tokio::test]
async fn a_refusal_is_an_error_for_the_caller_only() {
    let exporter = test_exporter();
    let server = serve(Limits::default()).await;
    call(server.channel(), "/test.Moody/Refuse").await;
    let (client, answered) = pair(&exporter, "test.Moody/Refuse").await;
    for span in [&client, &answered] {
        let code = span.attribute("rpc.response.status_code");
        assert_eq!(code.as_deref(), Some("FAILED_PRECONDITION"));
    }
    assert!(client.is_error() && !answered.is_error());
    server.stop().await;
}

#[tokio::test]
async fn a_call_dropped_by_its_caller_is_cancelled_on_both_sides() {
    let exporter = test_exporter();
    let server = serve(Limits::default()).await;
    let dropped = tokio::spawn(call(server.channel(), "/test.Moody/Hang"));
    server.hung(1).await;
    dropped.abort();
    let (client, answered) = pair(&exporter, "test.Moody/Hang").await;
    for span in [&client, &answered] {
        let code = span.attribute("rpc.response.status_code");
        assert_eq!(code.as_deref(), Some("CANCELLED"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stream_dropped_half_way_is_cancelled_on_both_sides() {
    let exporter = test_exporter();
    let server = serve(Limits::default()).await;
    let mut stream =
        server.health().watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    assert!(exporter.named(WATCH).is_empty(), "an open stream has an open span");
    drop(stream);
    let (client, answered) = pair(&exporter, WATCH).await;
    for span in [&client, &answered] {
        let code = span.attribute("rpc.response.status_code");
        assert_eq!(code.as_deref(), Some("CANCELLED"));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_panic_in_a_handler_is_internal_and_ends_only_that_call() {
    let exporter = test_exporter();
    let server = serve(Limits::default()).await;
    call(server.channel(), "/test.Moody/Panic").await;
    let (_, answered) = pair(&exporter, "test.Moody/Panic").await;
    assert_eq!(answered.attribute("rpc.response.status_code").as_deref(), Some("INTERNAL"));
    assert!(answered.is_error());
    server.health().check(HealthCheckRequest::default()).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_made_up_path_names_no_server_span() {
    let exporter = test_exporter();
    let server = serve(Limits::default()).await;
    let status = call(server.channel(), "/made.up.Service/At47Random").await;
    assert_eq!(status.code(), tonic::Code::Unimplemented);
    let spans = exporter.wait_until(|spans| spans.iter().any(|span| span.name() == "_OTHER")).await;
    let other = spans.iter().find(|span| span.name() == "_OTHER").unwrap();
    assert_eq!(other.attribute("rpc.response.status_code").as_deref(), Some("UNIMPLEMENTED"));
    server.stop().await;
}
