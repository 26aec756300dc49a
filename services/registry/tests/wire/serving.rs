//! Which adapter may change what is on a gateway.

use std::time::Duration;

use salvor_proto::registry::v1::*;
use salvor_proto::time::timestamp;
use tonic::{Code, Status};

use crate::support::*;

const LAB: &str = "gateways/lab";

impl Harness {
    async fn serve(&mut self, holder: &str) -> Result<ServingLease, Status> {
        let request =
            AcquireServingLeaseRequest { gateway: LAB.into(), holder: holder.into(), ttl: None };
        let answer = self.client.acquire_serving_lease(request).await?;
        Ok(answer.into_inner().lease.unwrap())
    }

    async fn go_on_serving(&mut self, lease: &ServingLease) -> Result<ServingLease, Status> {
        let request =
            RenewServingLeaseRequest { gateway: LAB.into(), epoch: lease.epoch, ttl: None };
        let answer = self.client.renew_serving_lease(request).await?;
        Ok(answer.into_inner().lease.unwrap())
    }

    async fn end_serving(&mut self, lease: &ServingLease) {
        let request = ReleaseServingLeaseRequest { gateway: LAB.into(), epoch: lease.epoch };
        self.client.release_serving_lease(request).await.unwrap();
    }

    async fn speak(&mut self, serving_epoch: i64) -> Result<(), Status> {
        let heartbeat = GatewayHeartbeat {
            adapter_id: "adapter-1".into(),
            serving_epoch,
            ..Default::default()
        };
        let request = HeartbeatGatewayRequest { name: LAB.into(), heartbeat: Some(heartbeat) };
        self.client.heartbeat_gateway(request).await.map(|_| ())
    }
}

#[tokio::test]
async fn one_adapter_at_a_time_and_the_other_is_told_which_and_until_when() {
    let mut harness = Harness::start().await;
    let first = harness.serve("a@one/1").await.unwrap();
    assert_eq!((first.gateway.as_str(), first.holder.as_str()), (LAB, "a@one/1"));
    assert_eq!(first.expire_time, Some(timestamp(START_MS + 30_000)));
    harness.clock.advance(Duration::from_secs(10));
    let answer = harness.serve("b@two/2").await;
    let told = refused(answer, Code::Aborted, "GATEWAY_SERVED_ELSEWHERE");
    assert_eq!(told.metadata["holder"], "a@one/1");
    assert_eq!(told.metadata["expire_time"], "2023-11-14T22:13:50Z");
    assert_eq!(told.retry, Some(Duration::from_secs(20)));
    // As long as it renews, it stays.
    let renewed = harness.go_on_serving(&first).await.unwrap();
    assert_eq!(renewed.epoch, first.epoch);
    harness.clock.advance(Duration::from_secs(25));
    refused(harness.serve("b@two/2").await, Code::Aborted, "GATEWAY_SERVED_ELSEWHERE");
    // Once it does not, it is taken over, and learns of it.
    harness.clock.advance(Duration::from_secs(5));
    let second = harness.serve("b@two/2").await.unwrap();
    assert!(second.epoch > first.epoch);
    refused(harness.go_on_serving(&first).await, Code::Aborted, "LEASE_LOST");
    harness.end_serving(&first).await;
    harness.go_on_serving(&second).await.unwrap();
}

#[tokio::test]
async fn the_same_adapter_takes_its_own_back_at_once_under_a_new_epoch() {
    let mut harness = Harness::start().await;
    let first = harness.serve("a@one/1").await.unwrap();
    let mut harness = harness.restart(|_| {}).await;
    let again = harness.serve("a@one/1").await.unwrap();
    assert!(again.epoch > first.epoch, "past a restart of the registry, too");
    refused(harness.go_on_serving(&first).await, Code::Aborted, "LEASE_LOST");
    harness.end_serving(&again).await;
    let other = harness.serve("b@two/2").await.unwrap();
    assert!(other.epoch > again.epoch);
}

#[tokio::test]
async fn while_one_serves_no_other_is_heard() {
    let mut harness = Harness::start().await;
    harness.speak(0).await.unwrap();
    let lease = harness.serve("a@one/1").await.unwrap();
    for epoch in [0, lease.epoch + 1] {
        let told = refused(harness.speak(epoch).await, Code::Aborted, "GATEWAY_SERVED_ELSEWHERE");
        assert_eq!(told.metadata["holder"], "a@one/1");
    }
    harness.speak(lease.epoch).await.unwrap();
    harness.clock.advance(Duration::from_secs(30));
    harness.speak(0).await.unwrap();
}

#[tokio::test]
async fn a_gateway_that_nobody_registered_is_served_by_nobody() {
    let mut harness = Harness::start().await;
    let request =
        AcquireServingLeaseRequest { gateway: "gateways/no".into(), holder: "a".into(), ttl: None };
    let answer = harness.client.acquire_serving_lease(request).await;
    refused(answer, Code::NotFound, "GATEWAY_NOT_FOUND");
    let nameless = AcquireServingLeaseRequest { gateway: LAB.into(), ..Default::default() };
    refused_field(harness.client.acquire_serving_lease(nameless).await, "holder");
    let request = RenewServingLeaseRequest { gateway: LAB.into(), epoch: 0, ttl: None };
    refused_field(harness.client.renew_serving_lease(request).await, "epoch");
}
