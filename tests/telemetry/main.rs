//! What a tracing backend is sent: T25, and that nothing secret is among it. One test that exports, for telemetry is set up
//! once a process; one that compares the documentation with the code.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that fails, fails")]

mod docs;
mod received;
mod secrets;
mod story;

use received::Received;
use salvor_runtime::telemetry;
use salvor_testkit::otlp::Receiver;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_decision_step_and_call_of_a_recovery_is_one_span_of_its_trace() {
    let collector = Receiver::start().await.unwrap();
    let mut config = telemetry::Config::new("salvor", "0");
    config.filter = "off".into();
    config.otlp_endpoint = Some(collector.endpoint());
    let guard = telemetry::init(&config).unwrap();

    let told = story::tell().await;
    let resumed = story::resumed().await;
    tokio::task::spawn_blocking(|| guard.shutdown()).await.unwrap();

    let received = Received::new(collector.spans());
    for recovery in told.iter().chain([&resumed]) {
        received.one_trace(recovery);
        received.decisions(recovery);
        received.steps(recovery);
        received.hops(recovery);
        received.gateway_calls(recovery);
    }
    received.link(&resumed);
    secrets::in_spans(&collector.spans());
}
