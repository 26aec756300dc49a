//! T01, T07: a sandbox that is provably gone comes back from its record.

use salvor_proto::recovery::v1::{self as pb, recovery::State};
use salvor_testkit::{Fleet, wait::PATIENCE};

use crate::support::{REBUILD, seed};

/// Adopted, then lost behind the gateway's back. Answers its full name and former id.
async fn lost(fleet: &Fleet, sandbox: &str) -> (String, String) {
    let id = fleet.sandbox("lab", sandbox, &seed()).await.unwrap();
    let name = Fleet::name("lab", sandbox);
    fleet.adopt(&name).await.unwrap();
    let control = &fleet.gateway("lab").control;
    control.lose(sandbox).await.unwrap();
    assert!(control.wait_absent(sandbox, PATIENCE).await);
    control.clear_calls();
    (name, id)
}

#[tokio::test]
async fn t01_an_absent_sandbox_is_recreated_once_from_its_record() {
    let fleet = Fleet::lab().await.unwrap();
    let (name, old_id) = lost(&fleet, "coder").await;
    let recovery = fleet.recover(&name, REBUILD).await.unwrap();
    assert_eq!(recovery.state(), State::Succeeded, "{recovery:#?}");
    assert_eq!(recovery.saga(), pb::Saga::StaleRecovery);
    let result = recovery.result.unwrap();
    assert_ne!(result.live_id, old_id);
    assert!(result.summary.contains("stale recovery"), "{}", result.summary);
    assert!(result.summary.contains("workspace not recovered"), "{}", result.summary);
    assert!(!result.summary.contains("no data lost"), "{}", result.summary);
    let mutating = fleet.gateway("lab").control.mutating_calls();
    let methods: Vec<_> = mutating.iter().map(|call| call.method.as_str()).collect();
    assert_eq!(methods, ["CreateSandbox"]);
    let record = fleet.record(&name).await.unwrap();
    assert_eq!(record.live_id, result.live_id);
    fleet.stop().await;
}
