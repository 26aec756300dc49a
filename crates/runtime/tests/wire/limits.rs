use std::time::Duration;

use salvor_runtime::channel::{self, Unanswered, unanswered};
use salvor_runtime::server::Limits;
use salvor_runtime::telemetry::test_exporter;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tower::Service;

use super::support::{call, call_with, serve};

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn the_server_bounds_a_call_and_says_that_it_may_have_taken_effect() {
    let exporter = test_exporter();
    let server = serve(Limits { timeout: SHORT, ..Limits::default() }).await;
    let status = call(server.channel(), "/test.Moody/Hang").await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("may have taken effect"), "{status}");
    let code = ("test.Moody/Hang", "rpc.response.status_code", "DEADLINE_EXCEEDED");
    exporter.wait_until(|_| exporter.with(code.0, code.1, code.2).len() == 2).await;
    server.stop().await;
}

#[tokio::test]
async fn a_stream_outlives_the_timeout_of_a_call() {
    // It must be enough to begin the stream.
    let timeout = Duration::from_secs(1);
    let server = serve(Limits { timeout, ..Limits::default() }).await;
    let channel = channel::connect_lazy(&server.endpoint().with_timeout(timeout)).unwrap();
    let mut client = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let mut stream = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    // Two calls that run into the bound show that more than its time has gone by.
    for _ in 0..2 {
        assert_eq!(call(channel.clone(), "/test.Moody/Hang").await.code(), Code::DeadlineExceeded);
    }
    server.shutdown.trigger();
    let last = stream.message().await.unwrap().unwrap();
    assert_eq!(last.status, 2, "NOT_SERVING reaches the stream");
    server.stop().await;
}

#[tokio::test]
async fn the_caller_bounds_a_call_and_may_choose_another_bound_for_it() {
    let server = serve(Limits::default()).await;
    let channel = channel::connect_lazy(&server.endpoint().with_timeout(SHORT)).unwrap();
    let status = call(channel, "/test.Moody/Hang").await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains(&server.address.to_string()), "{status}");
    let mut request = tonic::Request::new(());
    request.set_timeout(SHORT);
    let status = call_with(server.channel(), "/test.Moody/Hang", request).await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    server.stop().await;
}

#[tokio::test]
async fn a_request_may_ask_for_longer_than_the_channel_s_default() {
    let server = serve(Limits { timeout: SHORT * 2, ..Limits::default() }).await;
    let endpoint = server.endpoint().with_timeout(Duration::from_millis(1));
    let mut request = tonic::Request::new(());
    request.set_timeout(Duration::from_mins(1));
    let channel = channel::connect_lazy(&endpoint).unwrap();
    let status = call_with(channel, "/test.Moody/Hang", request).await;
    assert!(
        status.message().starts_with("no answer within 100 ms"),
        "the server's bound: {status}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_call_beyond_the_limit_is_shed_and_the_next_one_after_it_served() {
    let exporter = test_exporter();
    let server = serve(Limits { in_flight: 1, ..Limits::default() }).await;
    let held = tokio::spawn(call(server.channel(), "/test.Moody/Hang"));
    server.hung(1).await;
    let shed = call(server.channel(), "/test.Moody/Refuse").await;
    assert_eq!(shed.code(), Code::ResourceExhausted);
    assert_eq!(unanswered(&shed), None, "it is the server's answer");
    server.health().check(HealthCheckRequest::default()).await.unwrap();
    held.abort();
    exporter.wait_until(|_| exporter.named("test.Moody/Hang").len() == 2).await;
    let next = call(server.channel(), "/test.Moody/Refuse").await;
    assert_eq!(next.code(), Code::FailedPrecondition);
    server.stop().await;
}

#[tokio::test]
async fn a_refusal_ends_with_its_headers() {
    let server = serve(Limits::default()).await;
    let mut channel = server.channel();
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let request = http::Request::post(format!("http://{}/test.Moody/Refuse", server.address))
        .header("content-type", "application/grpc")
        .body(tonic::body::Body::empty())
        .unwrap();
    let response = channel.call(request).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "9");
    assert!(hyper::body::Body::is_end_stream(response.body()));
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_by_address_until_it_is_back() {
    let server = serve(Limits::default()).await;
    let (address, channel) = (server.address.to_string(), server.channel());
    assert_eq!(call(channel.clone(), "/test.Moody/Refuse").await.code(), Code::FailedPrecondition);
    server.stop().await;
    let status = call(channel.clone(), "/test.Moody/Refuse").await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains(&address), "{status}");
    assert_eq!(unanswered(&status), Some(Unanswered::NotSent));
    let again = salvor_runtime::Server::new(Limits::default());
    let server = super::support::serve_on(&address, again).await;
    assert_eq!(call(channel, "/test.Moody/Refuse").await.code(), Code::FailedPrecondition);
    server.stop().await;
}
