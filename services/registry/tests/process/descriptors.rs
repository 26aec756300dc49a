//! A registry that has no file descriptor left takes no new connection, serves those that it has, and goes on when some are free.

use std::net::TcpStream;

use salvor_testkit::wait::until;

use crate::support::{Place, Process, create, gateway, try_create};

/// As many as it may have open, which is less than it would like.
const DESCRIPTORS: usize = 64;

#[tokio::test]
async fn without_a_free_descriptor_it_serves_whom_it_has_and_heals_by_itself() {
    let place = Place::new();
    let mut process = Process::start_with_descriptors(&place, DESCRIPTORS).await;
    gateway(&mut process.client).await;
    create(&mut process.client, 0).await;
    let mut crowd = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        // The kernel takes them for it.
        crowd.push(TcpStream::connect(process.address).unwrap());
    }
    until("it notices", || async {
        process.has_logged("no connection can be accepted").then_some(())
    })
    .await;
    create(&mut process.client, 1).await;
    drop(crowd);
    let mut late = process.another_client();
    until("a new connection", || async { try_create(&mut late.clone(), 2).await.ok() }).await;
    create(&mut late, 3).await;
    assert_eq!(process.list().await.len(), 4);
}
