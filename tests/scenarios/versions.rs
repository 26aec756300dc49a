//! T17: recoveries that outlive the version which began them. What can be gone on with is; what a newer version wrote is left to
//! it; what nothing can go on with is retired, with what is live then written down, and nothing touched.

mod given;
mod refused;

use salvor_proto::{
    recovery::v1::{self as pb, Verdict, recovery::State},
    registry::v1::sandbox,
};
use tonic::Code;

use self::given::{
    NEWER, OLDER, ask, began, go_on, insert, no_further, retire, retirement, set_version, stranded,
};
use crate::{
    given::{
        bury, hold, lab, lost, mutations, next_step, reaches, recorded, recovery, release,
        succeeded, verdict,
    },
    resume::{cancel, retry},
    support::{AUTO, REBUILD, reason},
};

/// The gateway has the sandbox that it made, and nobody told the recovery, which is of a version that is gone.
#[tokio::test]
async fn t17_what_is_too_old_is_retired_with_what_is_live_and_its_record_freed() {
    let Some((mut fleet, name, begun)) = began().await else { return };
    lab(&fleet).control.up().await.unwrap();
    let open = stranded(&mut fleet, &begun.name, OLDER).await;
    let failure = open.failure.clone().unwrap();
    assert_eq!(failure.reason, "SAGA_VERSION_OLDER");
    assert_eq!(failure.next_step, format!("salvor recoveries retire {}", open.name));
    no_further(&fleet, &name, &open).await;
    let marked = fleet.record(&name).await.unwrap();
    assert_eq!(marked.state(), sandbox::State::Recovering);

    let look = pb::RetireRecoveryRequest { validate_only: true, ..ask(&open) };
    let seen = retire(&fleet, look).await.unwrap().retirement.unwrap();
    assert_eq!(recovery(&fleet, &open.name).await, open, "a look changes nothing");
    assert_eq!(fleet.record(&name).await.unwrap(), marked);

    let calls = mutations(&fleet);
    let answer = retire(&fleet, ask(&open)).await.unwrap();
    let (ended, written) = (answer.recovery.unwrap(), answer.retirement.unwrap());
    assert_eq!((ended.state(), ended.done), (State::Retired, true), "{ended:#?}");
    assert_eq!(ended.retirement.as_ref(), Some(&written));
    assert_eq!((&written.reason, &written.message), (&seen.reason, &seen.message));
    let live = lab(&fleet).control.sandbox("coder").unwrap().id;
    let fact = |name: &str| written.evidence.iter().find(|fact| fact.name == name).unwrap();
    let view = &fact("live_view").value;
    assert!(view.contains(&live) && view.contains("made by this recovery"), "{view}");
    assert!(fact("record").value.contains("held by a recovery"), "{written:#?}");
    assert_eq!(written.etag, open.etag);
    assert_eq!(written.next_step, format!("salvor verdict {name}"));
    assert_eq!(mutations(&fleet), calls, "nothing was touched");

    let freed = fleet.record(&name).await.unwrap();
    assert_eq!(freed.state(), sandbox::State::Active);
    let mut before = crate::given::content(marked);
    before.set_state(sandbox::State::Active);
    before.recovery.clear();
    assert_eq!(crate::given::content(freed), before, "the mark, and nothing else");
    fleet.restart_orchestrator().await.unwrap();
    assert_eq!(recovery(&fleet, &open.name).await, ended, "its end is its journal's");
    // What it made is somebody else's to the record, until it is taken over on purpose.
    assert_eq!(verdict(&fleet, &name, Verdict::Foreign).await.open_recovery, "");
    let request =
        pb::AdoptSandboxRequest { name: name.clone(), rebind: true, ..Default::default() };
    fleet.adopt_with(request).await.unwrap();
    verdict(&fleet, &name, Verdict::Live).await;
    fleet.stop().await;
}

/// A create whose outcome is not in the journal is named, and that it may be done yet.
#[tokio::test]
async fn t17_what_may_have_been_done_is_named() {
    let Some((mut fleet, name, begun)) = began().await else { return };
    lab(&fleet).control.up().await.unwrap();
    // As if it had died right after it asked.
    let journal = fleet.journal();
    let sql = "DELETE FROM journal WHERE recovery = $1 AND seq > \
               (SELECT seq FROM journal WHERE event = '\"CreateIntended\"')";
    given::run(journal, sql, &begun.name).await;
    let open = stranded(&mut fleet, &begun.name, OLDER).await;
    let ended = retire(&fleet, ask(&open)).await.unwrap().recovery.unwrap();
    let doubts = retirement(&ended).doubts;
    assert_eq!(doubts.len(), 1, "{doubts:#?}");
    assert_eq!(doubts[0].step, "create");
    assert!(doubts[0].message.contains("may have been done"), "{doubts:#?}");
    assert_eq!(recorded(&fleet, &name).await.state(), sandbox::State::Active);
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    fleet.stop().await;
}

/// A downgrade: what a newer version wrote waits for it, and everything else goes on.
#[tokio::test]
async fn t17_what_a_newer_version_wrote_is_left_to_it() {
    let Some((mut fleet, name, begun)) = began().await else { return };
    let marked = fleet.record(&name).await.unwrap();
    lab(&fleet).control.up().await.unwrap();
    let open = stranded(&mut fleet, &begun.name, NEWER).await;
    let failure = open.failure.clone().unwrap();
    assert_eq!(failure.reason, "SAGA_VERSION_NEWER");
    assert!(failure.message.contains("version 99"), "{}", failure.message);
    assert!(failure.next_step.starts_with("salvor recoveries show "), "{}", failure.next_step);
    no_further(&fleet, &name, &open).await;
    let refused = retire(&fleet, ask(&open)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "SAGA_VERSION_NEWER");
    assert!(next_step(&refused).contains("--newer-version-gone"), "{}", next_step(&refused));
    let (other, _) = lost(&fleet, "other").await;
    assert_eq!(fleet.recover(&other, REBUILD).await.unwrap().state(), State::Succeeded);
    assert_eq!(fleet.record(&name).await.unwrap(), marked);
    assert_eq!(recovery(&fleet, &open.name).await, open);

    // The newer version is run again.
    go_on(&mut fleet, &begun.name, begun.saga_version).await;
    retry(&fleet, &begun.name).await.unwrap();
    reaches(&fleet, &open.name, State::Succeeded).await;
    let created = fleet.status(&name).await.unwrap();
    assert_eq!(created.verdict(), Verdict::Live, "{created:#?}");
    fleet.stop().await;
}

/// By the events of a newer version, and by a plan that this one has no words for.
#[tokio::test]
async fn t17_a_newer_version_is_told_from_damage() {
    for (sql, wanted) in [
        (given::CONTINUED, "SAGA_VERSION_NEWER"),
        (given::NEW_ENTRY, "SAGA_VERSION_NEWER"),
        (given::NEW_EVENT, "SAGA_VERSION_NEWER"),
        (given::NEW_SAGA, "SAGA_UNKNOWN"),
        (given::NEW_PLAN, "SAGA_VERSION_NEWER"),
        (given::DAMAGED_EVENT, "JOURNAL_ROW_UNREADABLE"),
        (given::DAMAGED_PLAN, "JOURNAL_ROW_UNREADABLE"),
        (given::DAMAGED_EVIDENCE, "JOURNAL_ROW_UNREADABLE"),
        (given::MISPLACED_EVENT, "JOURNAL_DOES_NOT_FOLD"),
        (given::MISSING_GUARD, "PLAN_NOT_APPROVED"),
    ] {
        let Some((mut fleet, name, begun)) = began().await else { return };
        lab(&fleet).control.up().await.unwrap();
        given::run(fleet.journal(), sql, &begun.name).await;
        fleet.restart_orchestrator().await.unwrap();
        let open = recovery(&fleet, &begun.name).await;
        assert_eq!(open.state(), State::Stranded, "{sql}: {open:#?}");
        assert_eq!(open.failure.as_ref().unwrap().reason, wanted, "{sql}");
        assert_eq!(open.sandbox, name);
        no_further(&fleet, &name, &open).await;
        let newer = !wanted.starts_with("JOURNAL") && wanted != "PLAN_NOT_APPROVED";
        if newer {
            let refused = retire(&fleet, ask(&open)).await.unwrap_err();
            assert_eq!(reason(&refused), wanted, "{sql}");
        }
        let request = pb::RetireRecoveryRequest { newer_version_gone: newer, ..ask(&open) };
        let ended = retire(&fleet, request).await.unwrap().recovery.unwrap();
        assert_eq!(ended.state(), State::Retired, "{sql}: {ended:#?}");
        assert_eq!(retirement(&ended).reason, wanted);
        assert_eq!(recorded(&fleet, &name).await.state(), sandbox::State::Active, "{sql}");
        assert_eq!(succeeded(&fleet, "DeleteSandbox"), 0, "{sql}");
        fleet.stop().await;
    }
}

/// Parked, and what it waits for cannot come: the record was destroyed meanwhile.
#[tokio::test]
async fn t17_a_parked_recovery_that_is_void_is_retired() {
    let Some((fleet, name, parked)) = began().await else { return };
    lab(&fleet).control.up().await.unwrap();
    let fence_token = hold(&fleet, &name).await;
    bury(&fleet, &name, fence_token).await;
    release(&fleet, &name, fence_token).await;
    let ended = retire(&fleet, ask(&parked)).await.unwrap().recovery.unwrap();
    assert_eq!(ended.state(), State::Retired, "{ended:#?}");
    assert_eq!(retirement(&ended).reason, "RECORD_DESTROYED");
    assert_eq!(mutations(&fleet), ["CreateSandbox"]);
    let again = retry(&fleet, &parked.name).await.unwrap_err();
    assert_eq!(reason(&again), "RECOVERY_ENDED");
    assert_eq!(cancel(&fleet, &parked.name).await.unwrap_err().code(), Code::FailedPrecondition);
    fleet.stop().await;
}

/// The same request again is the same retirement; another one finds it ended. Afterwards the sandbox can be recovered.
#[tokio::test]
async fn t17_a_retirement_is_one_and_leaves_the_way_free() {
    let Some((mut fleet, name, begun)) = began().await else { return };
    let control = lab(&fleet).control.clone();
    control.up().await.unwrap();
    let open = stranded(&mut fleet, &begun.name, OLDER).await;
    let request_id = "0192d3c0-8d8e-7a90-b4d1-5a17c0de0001".to_owned();
    let request = pb::RetireRecoveryRequest { request_id, ..ask(&open) };
    let first = retire(&fleet, request.clone()).await.unwrap();
    assert_eq!(retire(&fleet, request).await.unwrap(), first);
    let ended = first.recovery.unwrap();
    let other = retire(&fleet, ask(&ended)).await.unwrap_err();
    assert_eq!(
        (other.code(), reason(&other).as_str()),
        (Code::FailedPrecondition, "RECOVERY_ENDED")
    );
    crate::given::lose(&fleet, "coder").await;
    let again = fleet.recover(&name, AUTO).await.unwrap();
    assert_eq!(again.state(), State::Succeeded, "{again:#?}");
    assert_ne!(again.name, open.name);
    // Nothing follows the last row, whoever reads it.
    let last = given::last(fleet.journal(), &open.name).await;
    assert_eq!(last, ("{\"retired\":{\"unmarked\":true}}".to_owned(), true));
    let changed = insert(fleet.journal(), &ended.name, "\"Resumed\"").await;
    assert_eq!(changed, 1);
    fleet.restart_orchestrator().await.unwrap();
    let request = pb::GetRecoveryRequest { name: ended.name.clone() };
    let damaged = fleet.recovery.clone().get_recovery(request).await.unwrap_err();
    assert_eq!(reason(&damaged), "JOURNAL_DOES_NOT_FOLD");
    set_version(&fleet, &ended.name, OLDER).await;
    fleet.stop().await;
}
