use std::time::Duration;

use salvor_runtime::Server;
use salvor_runtime::channel::{Unanswered, unanswered};
use salvor_runtime::server::{Error, Limits};
use tokio::net::TcpListener;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServiceResponse};
use tonic_reflection::pb::v1alpha;

use super::support::{SOON, call, serve};

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn health_speaks_for_the_server_and_for_each_service() {
    let server = serve(Limits::default()).await;
    let mut health = server.health();
    for service in ["", "test.Moody"] {
        let answer = health.check(check(service)).await.unwrap().into_inner();
        assert_eq!(answer.status, SERVING, "{service:?}");
    }
    let unknown = health.check(check("test.Other")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    server.stop().await;
}

#[tokio::test]
async fn reflection_lists_what_is_described_in_both_versions() {
    let server = serve(Limits::default()).await;
    let list = || MessageRequest::ListServices(String::new());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(list()) };
    let mut client = ServerReflectionClient::new(server.channel());
    let stream = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
    let answer = stream.into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let health = ServiceResponse { name: "grpc.health.v1.Health".into() };
    assert!(listed.service.contains(&health), "{listed:?}");

    let mut older =
        v1alpha::server_reflection_client::ServerReflectionClient::new(server.channel());
    let list = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request =
        v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let stream = older.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
    assert!(stream.into_inner().message().await.unwrap().unwrap().message_response.is_some());
    server.stop().await;
}

#[tokio::test]
async fn a_drain_tells_watchers_ends_their_streams_and_then_the_server() {
    let server = serve(Limits { drain: SOON * 100, ..Limits::default() }).await;
    let mut stream = server.health().watch(check("test.Moody")).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status, SERVING);
    server.shutdown.trigger();
    assert_eq!(stream.message().await.unwrap().unwrap().status, NOT_SERVING);
    let end = stream.message().await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable, "{end}");
    server.stop().await;
}

#[tokio::test]
async fn a_call_that_ignores_the_drain_is_cut_at_its_end() {
    let server = serve(Limits { drain: Duration::from_millis(50), ..Limits::default() }).await;
    let open = tokio::spawn(call(server.channel(), "/test.Moody/Hang"));
    server.hung(1).await;
    server.stop().await;
    let status = tokio::time::timeout(SOON, open).await.unwrap().unwrap();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(unanswered(&status), Some(Unanswered::Lost));
}

#[tokio::test]
async fn an_address_beyond_loopback_is_refused_before_anything_is_served() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let server = Server::new(Limits::default());
    let refused = server.run(listener, std::future::pending()).await;
    assert!(matches!(refused, Err(Error::Exposed { .. })));
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let server = Server::new(Limits::default()).insecure_plaintext_beyond_loopback(true);
    server.run(listener, std::future::ready(())).await.unwrap();
}

#[tokio::test]
async fn a_broken_descriptor_set_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::new(Limits::default()).descriptors(b"\xff\xff");
    let refused = server.run(listener, std::future::pending()).await;
    assert!(matches!(refused, Err(Error::Descriptors(_))));
}
