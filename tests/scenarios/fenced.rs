//! T22: whoever has lost the lease of a record does nothing more to it, and takes its losing for nothing else.

use std::time::Duration;

use salvor_devgateway::{Dialect, Fault};
use salvor_proto::{error::received, recovery::v1::recovery::State, registry::v1 as registry};
use salvor_testkit::{Fleet, Options, wait::PATIENCE};
use tonic::Code;

use crate::{
    given::{lab, lost, on, reaches, steps, succeeded},
    support::REBUILD,
};

/// Between two tries of a create another process takes the lease over, under the recovery's own name, as one does that goes on
/// with it. What the former holder gets to hear then is no failure of its create.
#[tokio::test]
async fn t22_a_lease_lost_between_two_tries_is_no_failed_try() {
    let settle = Duration::from_millis(400);
    let fleet = Fleet::start(Options { settle, ..on(Dialect::V0_0) }).await.unwrap();
    let (name, _) = lost(&fleet, "coder").await;
    let control = lab(&fleet).control.clone();
    control.fault(Fault::fail("CreateSandbox", Code::Internal, "no daemon").times(1));
    let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
    let tried = control.wait_for_call(|call| call.method == "CreateSandbox", PATIENCE).await;
    assert!(tried.is_some());
    let acquire = |holder: &str| registry::AcquireLeaseRequest {
        sandbox: name.clone(),
        holder: holder.to_owned(),
        ttl: None,
    };
    let held = fleet.registry.clone().acquire_lease(acquire("somebody-else")).await.unwrap_err();
    let holder = received(&held).metadata["holder"].clone();
    assert!(holder.starts_with(&open.name), "{holder}");
    fleet.registry.clone().acquire_lease(acquire(&holder)).await.unwrap();

    let ended = reaches(&fleet, &open.name, State::Succeeded).await;
    let refused: Vec<_> =
        steps(&ended).into_iter().filter(|step| *step == ("create", "refused")).collect();
    assert_eq!(refused, [], "{ended:#?}");
    assert_eq!(succeeded(&fleet, "CreateSandbox"), 1);
    fleet.stop().await;
}
