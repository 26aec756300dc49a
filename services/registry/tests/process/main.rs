//! The registry as a process of its own, killed without warning.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod descriptors;
mod disk;
mod history;
mod linearizable;
mod support;

use salvor_proto::registry::v1::AcquireLeaseRequest;

use crate::support::{Place, Process, create, gateway, name};

#[tokio::test]
async fn what_was_answered_survives_sigkill_and_fence_tokens_rise_past_it() {
    let place = Place::new();
    let (mut expected, mut last_token) = (Vec::new(), 0);
    for round in 0..4 {
        let mut process = Process::start(&place).await;
        if round == 0 {
            gateway(&mut process.client).await;
        }
        assert_eq!(process.list().await, expected, "round {round}");
        for index in 0..5 {
            expected.push(create(&mut process.client, round * 5 + index).await);
        }
        let request =
            AcquireLeaseRequest { sandbox: name(0), holder: "recoveries/1".into(), ttl: None };
        let lease =
            process.client.acquire_lease(request).await.unwrap().into_inner().lease.unwrap();
        assert!(lease.fence_token > last_token);
        last_token = lease.fence_token;
        process.kill().await;
    }
}
