//! T18: what stands between salvor and a gateway may send a request again that was served already. What is answered then is of the
//! second time: the name is taken, the sandbox is gone, or runs.

use salvor_devgateway::{Dialect, Effect, Fault};
use salvor_proto::recovery::v1::recovery::State;
use salvor_testkit::{Fleet, wait::PATIENCE};

use crate::{
    given::{adopted, fleet_on, lab, lost, recorded, stop},
    rebuild::{at_work, is_as_it_was, with_snapshots},
    support::{AUTO, REBUILD},
    witness::in_both_dialects,
};

/// From here on whatever changes something on the gateway is served twice.
fn serve_twice(fleet: &Fleet) {
    for method in ["CreateSandbox", "DeleteSandbox", "StartSandbox", "StopSandbox", "UpdateConfig"]
    {
        lab(fleet).control.fault(Fault::on(method, Effect::Twice));
    }
}

/// One request, two calls: the gateway saw both.
fn was_served_twice(fleet: &Fleet, method: &str) {
    let calls = lab(fleet).control.calls();
    let served: Vec<_> = calls.iter().filter(|call| call.method == method).collect();
    assert_eq!(served.len(), 2, "{served:#?}");
}

in_both_dialects! {
    async fn t18_a_create_that_is_served_twice_makes_one_sandbox(dialect: Dialect) {
        let fleet = fleet_on(dialect).await;
        let (name, _) = lost(&fleet, "coder").await;
        serve_twice(&fleet);
        let ended = fleet.recover(&name, REBUILD).await.unwrap();
        assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
        was_served_twice(&fleet, "CreateSandbox");
        let control = &lab(&fleet).control;
        let ids: Vec<_> = control.sandboxes().into_iter().map(|view| view.id).collect();
        assert_eq!(ids, [ended.result.unwrap().live_id]);
        assert_eq!(recorded(&fleet, &name).await.live_id, ids[0]);
        assert_eq!(control.orphans(), [""; 0]);
        fleet.stop().await;
    }

    async fn t18_a_rebuild_whose_requests_are_served_twice_loses_nothing(dialect: Dialect) {
        let (fleet, name, tree) = at_work(with_snapshots(dialect)).await;
        serve_twice(&fleet);
        let ended = fleet.recover(&name, REBUILD).await.unwrap();
        is_as_it_was(&fleet, &name, &ended, &tree).await;
        was_served_twice(&fleet, "DeleteSandbox");
        was_served_twice(&fleet, "CreateSandbox");
        assert_eq!(lab(&fleet).control.sandboxes().len(), 1);
        fleet.stop().await;
    }

    async fn t18_a_start_that_is_served_twice_revives(dialect: Dialect) {
        let fleet = fleet_on(dialect).await;
        let (name, id) = adopted(&fleet, "coder").await;
        stop(&fleet, "coder").await;
        serve_twice(&fleet);
        let ended = fleet.recover(&name, AUTO).await.unwrap();
        assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
        was_served_twice(&fleet, "StartSandbox");
        assert_eq!(ended.result.unwrap().live_id, id);
        assert!(lab(&fleet).control.live("coder"));
        fleet.stop().await;
    }

    async fn t18_a_delete_that_is_served_twice_destroys(dialect: Dialect) {
        let fleet = fleet_on(dialect).await;
        let (name, _) = adopted(&fleet, "coder").await;
        serve_twice(&fleet);
        let ended = fleet.destroy(&name).await.unwrap();
        assert_eq!(ended.state(), State::Succeeded, "{ended:#?}");
        was_served_twice(&fleet, "DeleteSandbox");
        assert!(lab(&fleet).control.wait_absent("coder", PATIENCE).await);
        fleet.stop().await;
    }
}
