//! What is not retired: what can be gone on with, what somebody is at work on, what has changed, and what is not known.

use salvor_devgateway::Restart;
use salvor_proto::{
    recovery::v1::{self as pb, recovery::State},
    registry::v1::sandbox,
};
use tonic::Code;

use super::given::{OLDER, ask, began, insert, retire, stranded};
use crate::{
    given::{
        hold, hold_as, lab, mutations, next_step, reaches, recorded, recovery, release, verdict,
    },
    resume::retry,
    support::reason,
};

#[tokio::test]
async fn t17_what_this_version_goes_on_with_is_not_retired() {
    let Some((fleet, name, parked)) = began().await else { return };
    let marked = fleet.record(&name).await.unwrap();
    lab(&fleet).control.up().await.unwrap();
    verdict(&fleet, &name, pb::Verdict::Recovering).await;
    let refused = retire(&fleet, ask(&parked)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert_eq!(reason(&refused), "RECOVERY_RESUMABLE");
    let step = format!("salvor recoveries retry {}  # or, to wait no longer: ", parked.name);
    assert_eq!(next_step(&refused), step + "salvor recoveries retire --give-up");
    let request = pb::RetireRecoveryRequest { validate_only: true, ..ask(&parked) };
    assert_eq!(reason(&retire(&fleet, request).await.unwrap_err()), "RECOVERY_RESUMABLE");
    assert_eq!(recovery(&fleet, &parked.name).await, parked);
    assert_eq!(fleet.record(&name).await.unwrap(), marked);
    // The step that was named works, and so nothing is retired any more.
    retry(&fleet, &parked.name).await.unwrap();
    let ended = reaches(&fleet, &parked.name, State::Succeeded).await;
    assert_eq!(reason(&retire(&fleet, ask(&ended)).await.unwrap_err()), "RECOVERY_ENDED");
    fleet.stop().await;
}

#[tokio::test]
async fn t17_while_somebody_holds_the_record_nothing_is_retired() {
    let Some((mut fleet, name, begun)) = began().await else { return };
    lab(&fleet).control.up().await.unwrap();
    let open = stranded(&mut fleet, &begun.name, OLDER).await;
    // Under the recovery's own name, as an orchestrator of its version would.
    let fence_token = hold_as(&fleet, &name, &open.name).await;
    let held = retire(&fleet, ask(&open)).await.unwrap_err();
    assert_eq!((held.code(), reason(&held).as_str()), (Code::Aborted, "LEASE_HELD"));
    assert_eq!(recovery(&fleet, &open.name).await, open);
    assert_eq!(recorded(&fleet, &name).await.state(), sandbox::State::Recovering);
    release(&fleet, &name, fence_token).await;
    let ended = retire(&fleet, ask(&open)).await.unwrap().recovery.unwrap();
    assert_eq!(ended.state(), State::Retired);
    // It holds nothing afterwards.
    let fence_token = hold(&fleet, &name).await;
    release(&fleet, &name, fence_token).await;
    fleet.stop().await;
}

#[tokio::test]
async fn t17_what_has_changed_since_it_was_read_is_not_retired() {
    let Some((mut fleet, name, begun)) = began().await else { return };
    lab(&fleet).control.up().await.unwrap();
    let open = stranded(&mut fleet, &begun.name, OLDER).await;
    insert(fleet.journal(), &open.name, "\"Resumed\"").await;
    let stale = retire(&fleet, ask(&open)).await.unwrap_err();
    assert_eq!((stale.code(), reason(&stale).as_str()), (Code::Aborted, "RECOVERY_CHANGED"));
    assert!(stale.message().contains("nothing was changed"), "{}", stale.message());
    assert_eq!(next_step(&stale), format!("salvor recoveries show {}", open.name));
    let now = recovery(&fleet, &open.name).await;
    assert!(now.etag != open.etag && now.state() == State::Stranded, "{now:#?}");
    assert_eq!(recorded(&fleet, &name).await.state(), sandbox::State::Recovering);
    for etag in ["", "1-ab", "nonsense"] {
        let request = pb::RetireRecoveryRequest { etag: etag.to_owned(), ..ask(&now) };
        let refused = retire(&fleet, request).await.unwrap_err();
        let wanted = if etag.is_empty() { Code::InvalidArgument } else { Code::Aborted };
        assert_eq!(refused.code(), wanted, "{etag:?}: {refused}");
    }
    assert_eq!(retire(&fleet, ask(&now)).await.unwrap().recovery.unwrap().state(), State::Retired);
    fleet.stop().await;
}

#[tokio::test]
async fn t17_without_knowing_what_is_live_nothing_is_retired() {
    let Some((mut fleet, name, begun)) = began().await else { return };
    let open = stranded(&mut fleet, &begun.name, OLDER).await;
    let marked = fleet.record(&name).await.unwrap();
    let unknown = retire(&fleet, ask(&open)).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unavailable, "{unknown}");
    assert_eq!(reason(&unknown), "GATEWAY_UNAVAILABLE");
    assert!(next_step(&unknown).starts_with("salvor gateways probe "), "{}", next_step(&unknown));
    assert_eq!(recovery(&fleet, &open.name).await, open);
    assert_eq!(fleet.record(&name).await.unwrap(), marked);
    let control = lab(&fleet).control.clone();
    control.up().await.unwrap();
    control.down(Restart::Killed).await.unwrap();
    assert_eq!(retire(&fleet, ask(&open)).await.unwrap_err().code(), Code::Unavailable);
    control.up().await.unwrap();
    let ended = retire(&fleet, ask(&open)).await.unwrap().recovery.unwrap();
    assert_eq!(ended.state(), State::Retired);
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    fleet.stop().await;
}
