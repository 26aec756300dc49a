//! Replicas that take connections and say nothing. Time is paused: it goes on when nothing else
//! does.

use std::sync::Arc;
use std::time::Duration;

use salvor_runtime::channel::{Endpoint, Unanswered, connect_lazy, unanswered};
use salvor_runtime::server::Limits;
use salvor_runtime::{Server, TracedChannel};
use tonic::Code;

use super::memory::Memory;
use super::support::{Running, refuse, refuse_until, replicas, serve_at};

const PORTS: [u16; 3] = [1, 2, 3];
/// By then an idle connection to a replica that was stopped is found out.
const FOUND_OUT: Duration = Duration::from_secs(6);

fn three(memory: &Memory) -> ([Running; 3], Endpoint) {
    let servers = PORTS.map(|port| serve_at(memory.listen(port), Server::new(Limits::default())));
    let endpoint = replicas(servers.each_ref().map(|server| server.address));
    (servers, endpoint.over(Arc::new(memory.clone())))
}

async fn all_up(channel: &TracedChannel, servers: &[Running]) {
    refuse_until(channel, || servers.iter().all(|server| !server.refused().is_empty())).await;
}

async fn all_answered(channel: &TracedChannel) {
    for number in 0..30 {
        let status = refuse(channel, number).await;
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_stopped_costs_no_more_than_the_calls_that_it_has() {
    let memory = Memory::default();
    let (servers, endpoint) = three(&memory);
    let channel = connect_lazy(&endpoint).unwrap();
    all_up(&channel, &servers).await;
    memory.stop(PORTS[1]);
    let mut lost = 0;
    for number in 0..30 {
        let status = refuse(&channel, number).await;
        if status.code() != Code::FailedPrecondition {
            assert_eq!(unanswered(&status), Some(Unanswered::Lost), "{status}");
            lost += 1;
        }
    }
    assert_eq!(lost, 1, "one call after the other, so one found out");
    all_answered(&channel).await;
    memory.go_on(PORTS[1]);
    let before = servers[1].refused().len();
    let used_again = async {
        while servers[1].refused().len() == before {
            all_answered(&channel).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), used_again).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_stopped_while_nothing_is_called_costs_no_call() {
    let memory = Memory::default();
    let (servers, endpoint) = three(&memory);
    let channel = connect_lazy(&endpoint).unwrap();
    all_up(&channel, &servers).await;
    memory.stop(PORTS[0]);
    tokio::time::sleep(FOUND_OUT).await;
    all_answered(&channel).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_to_a_replica_that_has_never_said_a_word() {
    let memory = Memory::default();
    let (servers, endpoint) = three(&memory);
    for port in [PORTS[0], PORTS[2]] {
        memory.stop(port);
    }
    // Less than what it takes to find one out.
    let channel = connect_lazy(&endpoint.clone().with_timeout(Duration::from_millis(100))).unwrap();
    all_answered(&channel).await;
    assert_eq!(servers[1].refused().len(), 30);

    memory.stop(PORTS[1]);
    for (timeout, why) in [(Duration::from_secs(30), "3000 ms"), (Duration::from_secs(1), "yet")] {
        let channel = connect_lazy(&endpoint.clone().with_timeout(timeout)).unwrap();
        let status = refuse(&channel, "").await;
        assert_eq!(unanswered(&status), Some(Unanswered::NotSent), "{status}");
        for port in PORTS {
            let reason = format!("http://127.0.0.1:{port}: it ");
            assert!(status.message().contains(&reason), "{status}");
        }
        assert!(status.message().contains(why), "{status}");
    }
}
