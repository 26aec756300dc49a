//! A collector that accepts and never answers. One test: telemetry is set up once a process.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use salvor_runtime::telemetry::{self, Config};

#[test]
fn a_dead_collector_neither_blocks_nor_fails_anything() {
    // Connections are accepted by the kernel and stay silent: worse than a refusal.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = Config::new("salvor", "0");
    config.otlp_endpoint = Some(format!("http://{}", silent.local_addr().unwrap()));
    let guard = telemetry::init(&config).unwrap();

    // More spans than the queue holds. To wait for them to be sent would take two minutes.
    let soon = Duration::from_secs(30);
    let begun = Instant::now();
    for _ in 0..20_000 {
        tracing::info_span!(target: "salvor_test", "lost").in_scope(|| {});
    }
    assert!(begun.elapsed() < soon, "no waiting");
    let begun = Instant::now();
    guard.shutdown();
    assert!(begun.elapsed() < soon, "the flush is bounded");
}
