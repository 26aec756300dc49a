//! Several replicas of one service, over real connections.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use salvor_runtime::Server;
use salvor_runtime::channel::{Unanswered, connect_lazy, unanswered};
use salvor_runtime::server::Limits;
use salvor_runtime::telemetry::test_exporter;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::support::{Running, SOON, call, refuse, refuse_until, replicas, serve, serve_on};

async fn three() -> [Running; 3] {
    [serve(Limits::default()).await, serve(Limits::default()).await, serve(Limits::default()).await]
}

fn addresses(servers: &[Running]) -> Vec<SocketAddr> {
    servers.iter().map(|server| server.address).collect()
}

/// Addresses where nothing listens.
async fn nobody(count: usize) -> Vec<SocketAddr> {
    let mut listeners = Vec::new();
    for _ in 0..count {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
}

/// A replica that can be killed: its runtime is dropped with all its sockets, in the middle of
/// whatever it does.
struct Victim {
    running: Running,
    runtime: Runtime,
}

impl Victim {
    async fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let running = runtime.spawn(serve(Limits::default())).await.unwrap();
        Self { running, runtime }
    }

    async fn kill(self) -> Running {
        let Self { running, runtime } = self;
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(SOON)).await.unwrap();
        running
    }
}

#[tokio::test]
async fn calls_are_spread_evenly_over_the_replicas() {
    let servers = three().await;
    let channel = connect_lazy(&replicas(addresses(&servers))).unwrap();
    refuse_until(&channel, || servers.iter().all(|server| !server.refused().is_empty())).await;
    for number in 0..300 {
        refuse(&channel, number).await;
    }
    for server in &servers {
        let share = server.refused().iter().filter(|name| !name.is_empty()).count();
        assert!((90..=110).contains(&share), "{share} of 300");
    }
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_killed_replica_loses_only_the_calls_that_it_had_and_nothing_is_done_twice() {
    let (one, two) = (serve(Limits::default()).await, serve(Limits::default()).await);
    let victim = Victim::new().await;
    let address = victim.running.address;
    let channel = connect_lazy(&replicas([one.address, address, two.address])).unwrap();
    refuse_until(&channel, || !victim.running.refused().is_empty()).await;

    let call = async |number: usize| (number, refuse(&channel, number).await);
    let mut numbers = 0..2_000;
    let mut open: FuturesUnordered<_> = numbers.by_ref().take(20).map(&call).collect();
    let (mut answered, mut lost, mut victim) = (BTreeSet::new(), BTreeSet::new(), Some(victim));
    let mut killed = None;
    while let Some((number, status)) = open.next().await {
        if status.code() == Code::FailedPrecondition {
            answered.insert(number);
        } else {
            assert_eq!(unanswered(&status), Some(Unanswered::Lost), "{status}");
            assert!(status.message().contains(&address.to_string()), "{status}");
            lost.insert(number);
        }
        if answered.len() == 500
            && let Some(victim) = victim.take()
        {
            killed = Some(victim.kill().await);
        }
        open.extend(numbers.next().map(&call));
    }
    assert_eq!(answered.len() + lost.len(), 2_000);
    assert!(lost.len() <= 20, "{lost:?}");
    let done: Vec<String> = [one.refused(), two.refused(), killed.unwrap().refused()].concat();
    let named: Vec<&String> = done.iter().filter(|name| !name.is_empty()).collect();
    let numbers: BTreeSet<usize> = named.iter().map(|name| name.parse().unwrap()).collect();
    assert_eq!(numbers.len(), named.len(), "a call was done twice");
    assert!(answered.is_subset(&numbers), "a call was answered and not done");

    let back = serve_on(&address.to_string(), Server::new(Limits::default())).await;
    refuse_until(&channel, || !back.refused().is_empty()).await;
    for server in [one, two, back] {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_call_that_a_killed_replica_had_begun_is_not_sent_to_another_one() {
    let (other, victim) = (serve(Limits::default()).await, Victim::new().await);
    let channel = connect_lazy(&replicas([victim.running.address, other.address])).unwrap();
    refuse_until(&channel, || !victim.running.refused().is_empty()).await;
    refuse_until(&channel, || !other.refused().is_empty()).await;
    let hanging = [(); 2].map(|()| tokio::spawn(call(channel.clone(), "/test.Moody/Hang")));
    victim.running.hung(1).await;
    other.hung(1).await;
    victim.kill().await;
    let (first, _) = tokio::time::timeout(SOON, futures::future::select_all(hanging))
        .await
        .map(|(status, _, rest)| (status.unwrap(), rest))
        .unwrap();
    assert_eq!(unanswered(&first), Some(Unanswered::Lost), "{first}");
    refuse(&channel, "").await;
    assert_eq!(other.hanging.available_permits(), 0, "it was sent again");
    other.shutdown.trigger();
}

#[tokio::test]
async fn if_all_are_away_one_error_names_each_and_the_first_that_is_back_is_used() {
    let addresses = nobody(3).await;
    let channel = connect_lazy(&replicas(addresses.clone())).unwrap();
    for _ in 0..2 {
        let status = refuse(&channel, "").await;
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(unanswered(&status), Some(Unanswered::NotSent));
        let list: Vec<_> = addresses.iter().map(|at| format!("http://{at}")).collect();
        let all = format!("cannot reach any of {} for test.Moody/Refuse: ", list.join(", "));
        assert!(status.message().starts_with(&all), "{status}");
        for address in list {
            assert!(
                status.message().contains(&format!("{address}: Connection refused")),
                "{status}"
            );
        }
        assert!(status.message().ends_with("; nothing was sent"), "{status}");
    }
    let back = serve_on(&addresses[1].to_string(), Server::new(Limits::default())).await;
    let status = refuse(&channel, "").await;
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    back.stop().await;
}

#[tokio::test]
async fn a_replica_that_drains_gets_no_new_calls_and_ends_those_that_it_has() {
    let limits = Limits { drain: SOON, ..Limits::default() };
    let (leaving, staying) = (serve(limits).await, serve(Limits::default()).await);
    let channel = connect_lazy(&replicas([leaving.address, staying.address])).unwrap();
    refuse_until(&channel, || !leaving.refused().is_empty() && !staying.refused().is_empty()).await;
    let hanging = [(); 2].map(|()| tokio::spawn(call(channel.clone(), "/test.Moody/Hang")));
    leaving.hung(1).await;
    let mut watches = Vec::new();
    for _ in 0..2 {
        let mut health = HealthClient::new(channel.clone());
        let watch = health.watch(HealthCheckRequest::default()).await.unwrap();
        watches.push(watch.into_inner());
    }
    for watch in &mut watches {
        assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
    }

    leaving.shutdown.trigger();
    let mut broken = FuturesUnordered::new();
    broken.extend(
        watches.iter_mut().map(
            async |watch| {
                while watch.message().await.is_ok_and(|next| next.is_some()) {}
            },
        ),
    );
    tokio::time::timeout(SOON, broken.next()).await.unwrap();
    for _ in 0..50 {
        let status = refuse(&channel, "").await;
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    }
    assert!(hanging.iter().all(|call| !call.is_finished()), "what was begun goes on");
    let mut health = HealthClient::new(channel.clone());
    let mut again = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(again.message().await.unwrap().unwrap().status, 1, "a new stream is elsewhere");
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
    leaving.stop().await;
}

#[tokio::test]
async fn a_stream_that_was_refused_is_sent_whole_to_another_replica() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = listener.local_addr().unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut answer))) = connection.accept().await {
                    answer.send_reset(h2::Reason::REFUSED_STREAM);
                    tell.send(()).unwrap();
                }
            });
        }
    });
    let server = serve(Limits::default()).await;
    let channel = connect_lazy(&replicas([refusing, server.address])).unwrap();
    refuse_until(&channel, || told.try_recv().is_ok()).await;
    server.stop().await;

    let alone = connect_lazy(&replicas([refusing, nobody(1).await[0]])).unwrap();
    let status = tokio::time::timeout(SOON, refuse(&alone, "")).await.unwrap();
    assert_eq!(unanswered(&status), Some(Unanswered::NotSent), "{status}");
}

#[tokio::test]
async fn the_span_names_the_replica_that_was_called() {
    let exporter = test_exporter();
    let server = serve(Limits::default()).await;
    let channel = connect_lazy(&replicas([nobody(1).await[0], server.address])).unwrap();
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap();
    let name = "grpc.health.v1.Health/Check";
    exporter.wait_until(|_| exporter.named(name).len() == 2).await;
    let port = server.address.port().to_string();
    assert_eq!(exporter.with(name, "server.port", &port).len(), 2);
    assert_eq!(exporter.with(name, "server.address", "127.0.0.1").len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_goes_on_when_its_channel_is_dropped() {
    let servers = three().await;
    let channel = connect_lazy(&replicas(addresses(&servers))).unwrap();
    let mut health = HealthClient::new(channel);
    let watch = health.watch(HealthCheckRequest::default()).await;
    let mut watch = watch.unwrap().into_inner();
    drop(health);
    assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
    for server in &servers {
        server.shutdown.trigger();
    }
    assert_eq!(watch.message().await.unwrap().unwrap().status, 2, "it has heard of the drain");
    for server in servers {
        server.stop().await;
    }
}
