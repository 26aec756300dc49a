//! The transition tables, written a second time: each event in each state, accepted exactly where the table says.

use salvor_core::saga::{
    Cause, Saga, capture::CaptureEvent, destroy, fold, proofs::Proof, proofs::ProofEvent,
    refill::RefillEvent, revive,
};

use super::events;

mod rebuild;
mod stale;

/// Causes after which asking again may help, while there are attempts left.
pub(super) const PASSING: [Cause; 11] = [
    Cause::AlreadyExists,
    Cause::WrongPhase,
    Cause::GatewayFailed,
    Cause::CommandFailed,
    Cause::NotSettled,
    Cause::AdapterFailed,
    Cause::MaterialUnavailable,
    Cause::RepositoryFailed,
    Cause::ListingUnusable,
    Cause::AdapterBusy,
    Cause::NotServing,
];

/// A state by name, and a journal that leads there.
pub(super) type Reached<E> = (&'static str, Vec<E>);

/// Holds a saga to its table: the phase that follows, or that nothing may.
pub(super) fn hold<S: Saga>(
    states: Vec<Reached<S::Event>>,
    events: &[S::Event],
    expected: fn(&str, &S::Event) -> Option<&'static str>,
) {
    for (name, journal) in states {
        let state = fold::<S>(&journal).unwrap_or_else(|illegal| panic!("{name}: {illegal}"));
        for event in events {
            let next = S::apply(state.clone(), event).ok();
            let phase = next.as_ref().map(S::phase);
            assert_eq!(phase, expected(name, event), "{event:?} in {name}");
        }
    }
}

/// Parking and resuming, which are the same everywhere.
pub(super) fn waiting(state: &str) -> Option<&'static str> {
    match state {
        "done" | "rolled_back" => None,
        parked if parked.starts_with("parked") => None,
        _ => Some("parked"),
    }
}

/// The proof that a state waits for.
fn due(state: &str) -> Option<Proof> {
    match state {
        "proving policy" => Some(Proof::Policy),
        "proving posture" => Some(Proof::Posture),
        "proving readiness" => Some(Proof::Readiness),
        _ => None,
    }
}

fn proof(state: &str, event: &ProofEvent) -> Option<&'static str> {
    let (ProofEvent::Intended(proof) | ProofEvent::Established(proof, _)) = event;
    (due(state) == Some(*proof)).then_some("proving")
}

/// A refusal, or nothing done: again, twice at most, and not if asking again cannot help.
fn again(state: &str, cause: Cause, once_more: &'static str, enough: &'static str) -> &'static str {
    if state.ends_with("#3") || !PASSING.contains(&cause) { enough } else { once_more }
}

fn proven() -> Vec<ProofEvent> {
    use salvor_core::saga::Part::Proven;
    [Proof::Policy, Proof::Posture, Proof::Readiness]
        .map(|proof| ProofEvent::Established(proof, Proven))
        .into()
}

/// One journal after another, from steps that each extend the one before.
fn chain<E: Clone>(start: &[E], steps: Vec<(&'static str, E)>) -> Vec<Reached<E>> {
    let mut journal = start.to_vec();
    let extend = |(name, event)| {
        journal.push(event);
        (name, journal.clone())
    };
    steps.into_iter().map(extend).collect()
}

fn with<E: Clone>(start: &[E], more: &[E]) -> Vec<E> {
    [start, more].concat()
}

// === workspaces, which are the same wherever they are read and put back ===

fn taken() -> CaptureEvent {
    CaptureEvent::Taken { saved: events::saved(), verify: true }
}

/// After which a snapshot is tried again.
const fn passing() -> CaptureEvent {
    CaptureEvent::Refused(Cause::RepositoryFailed)
}

/// One round of writing after which something differs.
fn refilled() -> [RefillEvent; 3] {
    [
        RefillEvent::Intended,
        RefillEvent::PartlyWritten { failures: 1, merged: vec![] },
        RefillEvent::Compared { differing: vec![], count: 1 },
    ]
}

/// What follows while something is read: the state's name ends with how far that is. `saved`, `failed`: what its end leads to.
fn capture(
    state: &str,
    event: &CaptureEvent,
    at: &'static str,
    saved: &'static str,
    failed: &'static str,
) -> Option<&'static str> {
    use CaptureEvent as E;
    let taking = state.contains(" taking");
    Some(match event {
        E::Intended if taking || state.contains(" wanted") => at,
        E::Doubtful(_) | E::Taken { verify: true, .. } if taking => at,
        E::Taken { verify: false, .. } if taking => saved,
        E::Incomplete(_) if taking => failed,
        E::Refused(cause) if taking => again(state, *cause, at, failed),
        E::Verified if state.ends_with(" taken") => saved,
        E::Damaged(_) if state.ends_with(" taken") => failed,
        E::Outdated if taking || state.ends_with(" taken") => at,
        _ => return None,
    })
}

/// What follows while a snapshot that was not taken now is read back.
const fn checked(event: &CaptureEvent, intact: &'static str) -> Option<&'static str> {
    match event {
        CaptureEvent::Verified => Some(intact),
        CaptureEvent::Damaged(_) => Some("undoing"),
        _ => None,
    }
}

/// What follows while a workspace is put back.
fn refill(state: &str, event: &RefillEvent) -> Option<&'static str> {
    use RefillEvent as E;
    let writing = state.starts_with("filling writing");
    let written = state.starts_with("filling written");
    Some(match event {
        E::Intended if writing || state.starts_with("filling wanted") => "filling",
        E::Written { .. } | E::PartlyWritten { .. } | E::NotWritten(_) | E::Doubtful(_)
            if writing =>
        {
            "filling"
        }
        E::Compared { count: 0, .. } if written => "proving",
        E::Compared { .. } if written && state.ends_with("#3") => "proving",
        E::Compared { .. } if written => "filling",
        E::ComparedAgain { .. } | E::NotCompared(_) if state == "proving again" => "proving",
        _ => return None,
    })
}

// === revive ===

fn revive_states() -> Vec<Reached<revive::Event>> {
    use revive::Event as E;
    let find = |wanted: fn(&E) -> bool| events::revive().into_iter().find(wanted).unwrap();
    let claimed = find(|e| matches!(e, E::Claimed { .. }));
    let ready = find(|e| matches!(e, E::BecameReady { .. }));
    let park = find(|e| matches!(e, E::Parked(_)));
    let mut proofs = proven().into_iter().map(E::Proof);
    let mut proof = || proofs.next().unwrap();

    let mut states = vec![("accepted", vec![])];
    states.extend(chain(
        &[],
        vec![
            ("claiming", E::ClaimIntended),
            ("claimed", claimed.clone()),
            ("starting#1", E::StartIntended),
            ("started", E::Started),
            ("proving policy", ready),
            ("proving posture", proof()),
            ("proving readiness", proof()),
            ("proving nothing", proof()),
            ("done", E::Committed),
        ],
    ));
    let claimed = vec![E::ClaimIntended, claimed];
    let once = [E::StartIntended, E::NotStarted];
    let failing = with(&once, &once);
    states.push(("starting#3", with(&with(&claimed, &failing), &[E::StartIntended])));
    states.extend(chain(
        &with(&claimed, &[E::StartIntended]),
        vec![("undoing", E::Gone), ("rolled_back", E::RecordRestored)],
    ));
    states.push(("parked claimed", with(&claimed, &[park])));
    states
}

fn revive_table(state: &str, event: &revive::Event) -> Option<&'static str> {
    use revive::Event as E;
    let starting = state.starts_with("starting");
    Some(match event {
        E::Cancelled if state == "accepted" => "rolled_back",
        E::ClaimIntended if matches!(state, "accepted" | "claiming") => "claiming",
        E::Claimed { .. } if state == "claiming" => "claimed",
        E::ClaimLost if state == "claiming" => "rolled_back",
        E::StartIntended if state == "claimed" => "starting",
        E::Cancelled if state == "claimed" => "undoing",
        E::Started if starting => "started",
        E::StartDoubtful(_) if starting => "starting",
        E::StartRefused(cause) if starting => again(state, *cause, "claimed", "undoing"),
        E::NotStarted if starting => again(state, Cause::NotSettled, "claimed", "undoing"),
        E::Gone | E::Stranger(_) if starting || state == "started" => "undoing",
        E::BecameReady { .. } if state == "started" => "proving",
        E::FailedAgain(_) if state == "started" => "undoing",
        E::Proof(event) => return proof(state, event),
        E::Committed if state == "proving nothing" => "done",
        E::RecordRestored if state == "undoing" => "rolled_back",
        E::Parked(_) => return waiting(state),
        E::Resumed if state == "parked claimed" => "claimed",
        _ => return None,
    })
}

#[test]
fn the_revive_is_its_table() {
    hold::<revive::Revive>(revive_states(), &events::revive(), revive_table);
}

// === destroy ===

fn destroy_states() -> Vec<Reached<destroy::Event>> {
    use destroy::Event as E;
    let find = |wanted: fn(&E) -> bool| events::destroy().into_iter().find(wanted).unwrap();
    let claimed = find(|e| matches!(e, E::Claimed { present: true, .. }));
    let park = find(|e| matches!(e, E::Parked(_)));

    let mut states = vec![("accepted", vec![])];
    states.extend(chain(
        &[],
        vec![
            ("claiming", E::ClaimIntended),
            ("claimed", claimed.clone()),
            ("deleting#1", E::DeleteIntended),
            ("gone", E::Deleted),
            ("done", E::Buried),
        ],
    ));
    let claimed = vec![E::ClaimIntended, claimed];
    let once = [E::DeleteIntended, E::StillThere];
    let failing = with(&once, &once);
    let third = with(&with(&claimed, &failing), &[E::DeleteIntended]);
    states.push(("deleting#3", third.clone()));
    states.extend(chain(
        &claimed,
        vec![("undoing", E::Cancelled), ("rolled_back", E::RecordRestored)],
    ));
    states.push(("parked deleting", with(&third, &[park])));
    states
}

fn destroy_table(state: &str, event: &destroy::Event) -> Option<&'static str> {
    use destroy::Event as E;
    let deleting = state.starts_with("deleting");
    Some(match event {
        E::Cancelled if state == "accepted" => "rolled_back",
        E::ClaimIntended if matches!(state, "accepted" | "claiming") => "claiming",
        E::Claimed { present: true, .. } if state == "claiming" => "claimed",
        E::Claimed { present: false, .. } if state == "claiming" => "gone",
        E::ClaimLost if state == "claiming" => "rolled_back",
        E::DeleteIntended if state == "claimed" => "deleting",
        E::Cancelled if state == "claimed" => "undoing",
        E::Deleted if deleting => "gone",
        E::DeleteDoubtful(_) | E::DeleteRefused(Cause::NotFound | Cause::OtherIncarnation)
            if deleting =>
        {
            "deleting"
        }
        E::StillThere if deleting => "claimed",
        E::DeleteRefused(cause) if deleting => again(state, *cause, "claimed", "undoing"),
        E::Buried if state == "gone" => "done",
        E::RecordRestored if state == "undoing" => "rolled_back",
        E::Parked(_) => return waiting(state),
        E::Resumed if state == "parked deleting" => "deleting",
        _ => return None,
    })
}

#[test]
fn the_destroy_is_its_table() {
    hold::<destroy::Destroy>(destroy_states(), &events::destroy(), destroy_table);
}

/// Which causes may pass, said twice.
#[test]
fn only_what_may_pass_is_asked_again() {
    for cause in Cause::ALL {
        assert_eq!(cause.may_pass(), PASSING.contains(&cause), "{cause:?}");
    }
}
