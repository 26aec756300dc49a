//! T22: whoever has lost the lease of a record does nothing more to it, and takes its losing for nothing else.

use std::time::Duration;

use salvor_devgateway::{Dialect, Fault};
use salvor_proto::recovery::v1::recovery::State;
use salvor_testkit::{Fleet, Options, wait::PATIENCE};
use tonic::Code;

use crate::{
    given::{held_by, hold_as, lab, lost, on, reaches, steps, succeeded},
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
    let holder = held_by(&fleet, &name).await;
    assert!(holder.starts_with(&open.name), "{holder}");
    hold_as(&fleet, &name, &holder).await;

    let ended = reaches(&fleet, &open.name, State::Succeeded).await;
    let refused: Vec<_> =
        steps(&ended).into_iter().filter(|step| *step == ("create", "refused")).collect();
    assert_eq!(refused, [], "{ended:#?}");
    assert_eq!(succeeded(&fleet, "CreateSandbox"), 1);
    fleet.stop().await;
}
