//! T22: clocks that are set, by an hour, in either direction, in the midst of a recovery.

use std::{sync::Arc, time::Duration};

use salvor_devgateway::{Dialect, Effect, Fault};
use salvor_proto::recovery::v1::recovery::State;
use salvor_runtime::OffsetClock;
use salvor_testkit::{Fleet, Options, wait::PATIENCE};
use tokio::time::Instant;

use crate::{
    given::{lab, lost, on, reaches, succeeded},
    support::REBUILD,
};

const HOUR_MS: i64 = 3_600_000;
const REGISTRY: usize = 0;
const ADAPTER: usize = 1;
const ORCHESTRATOR: usize = 2;

async fn fleet(settle: Duration) -> (Fleet, [Arc<OffsetClock>; 3]) {
    let clocks: [Arc<OffsetClock>; 3] = Default::default();
    let options = Options { settle, clocks: Some(clocks.clone()), ..on(Dialect::V0_0) };
    (Fleet::start(options).await.unwrap(), clocks)
}

/// One service's clock is set while the gateway has the create in hand.
async fn set_during_the_create(which: usize) {
    for ahead_ms in [HOUR_MS, -HOUR_MS] {
        let (fleet, clocks) = fleet(Duration::from_millis(150)).await;
        let (name, _) = lost(&fleet, "coder").await;
        let control = &lab(&fleet).control;
        control.fault(Fault::on("CreateSandbox", Effect::Hold).times(1));
        let open = fleet.ask(&name, REBUILD).await.unwrap().recovery.unwrap();
        let create = control.wait_for_call(|call| call.method == "CreateSandbox", PATIENCE).await;
        assert!(create.is_some());
        clocks[which].set(ahead_ms);
        control.clear_faults();
        reaches(&fleet, &open.name, State::Succeeded).await;
        assert_eq!(succeeded(&fleet, "CreateSandbox"), 1, "{ahead_ms} ms");
        assert!(control.live("coder"));
        // And what comes next is no worse for it.
        control.lose("coder").await.unwrap();
        assert!(control.wait_absent("coder", PATIENCE).await);
        let next = fleet.recover_to_the_end(&name, REBUILD).await.unwrap();
        assert_eq!(next.state(), State::Succeeded, "{ahead_ms} ms: {next:#?}");
        fleet.stop().await;
    }
}

#[tokio::test]
async fn t22_the_registrys_clock_is_set_during_a_create() {
    set_during_the_create(REGISTRY).await;
}

#[tokio::test]
async fn t22_the_adapters_clock_is_set_during_a_create() {
    set_during_the_create(ADAPTER).await;
}

#[tokio::test]
async fn t22_the_orchestrators_clock_is_set_during_a_create() {
    set_during_the_create(ORCHESTRATOR).await;
}

/// Hosts set their clocks when they come up, which is when sandboxes are missing for a moment.
#[tokio::test]
async fn t22_a_clock_that_is_set_settles_no_absence() {
    for which in [ADAPTER, ORCHESTRATOR] {
        let settle = Duration::from_secs(1);
        let (fleet, clocks) = fleet(settle).await;
        let (name, _) = lost(&fleet, "coder").await;
        let first_look = Instant::now();
        fleet.status(&name).await.unwrap();
        clocks[which].set(HOUR_MS);
        let control = &lab(&fleet).control;
        let (asked, create) = tokio::join!(
            fleet.ask(&name, REBUILD),
            control.wait_for_call(|call| call.method == "CreateSandbox", PATIENCE),
        );
        assert!(create.is_some(), "{asked:#?}");
        let settled = first_look.elapsed();
        assert!(settled >= settle, "believed after {settled:?}");
        let open = asked.unwrap().recovery.unwrap();
        reaches(&fleet, &open.name, State::Succeeded).await;
        fleet.stop().await;
    }
}
