//! The transition tables, written a second time: each event in each state, accepted exactly where the table says.

use salvor_core::saga::{
    Cause, Saga, destroy, fold, proofs::Proof, proofs::ProofEvent, revive, stale,
};

use super::events;

/// Causes after which asking again may help, while there are attempts left.
const PASSING: [Cause; 7] = [
    Cause::AlreadyExists,
    Cause::WrongPhase,
    Cause::GatewayFailed,
    Cause::CommandFailed,
    Cause::NotSettled,
    Cause::AdapterFailed,
    Cause::MaterialUnavailable,
];

/// A state by name, and a journal that leads there.
type Reached<E> = (&'static str, Vec<E>);

/// Holds a saga to its table: the phase that follows, or that nothing may.
fn hold<S: Saga>(
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
fn waiting(state: &str) -> Option<&'static str> {
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
fn again(state: &str, cause: Cause, claimed: &'static str) -> &'static str {
    if state.ends_with("#3") || !PASSING.contains(&cause) { "undoing" } else { claimed }
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

// === stale recovery ===

fn stale_states() -> Vec<Reached<stale::Event>> {
    use stale::Event as E;
    let find = |wanted: fn(&E) -> bool| events::stale().into_iter().find(wanted).unwrap();
    let claimed = find(|e| matches!(e, E::Claimed { .. }));
    let ready = find(|e| matches!(e, E::BecameReady { .. }));
    let never = find(|e| matches!(e, E::NeverReady(_)));
    let park = find(|e| matches!(e, E::Parked(_)));
    let mut proofs = proven().into_iter().map(E::Proof);
    let mut proof = || proofs.next().unwrap();
    let committed = find(|e| matches!(e, E::Committed { .. }));

    let mut states = vec![("accepted", vec![])];
    states.extend(chain(
        &[],
        vec![
            ("claiming", E::ClaimIntended),
            ("claimed", claimed.clone()),
            ("creating#1", E::CreateIntended),
            ("created", E::Created("sb-new".into())),
            ("proving policy", ready),
            ("proving posture", proof()),
            ("proving readiness", proof()),
            ("proving nothing", proof()),
            ("done", committed),
        ],
    ));
    let claimed = vec![E::ClaimIntended, claimed];
    let once = [E::CreateIntended, E::NotCreated];
    let failing = with(&once, &once);
    states.push(("creating#3", with(&with(&claimed, &failing), &[E::CreateIntended])));
    let created = with(&claimed, &[E::CreateIntended, E::Adopted("sb-new".into())]);
    states.extend(chain(
        &created,
        vec![
            ("rejected", never),
            ("removing", E::RemoveIntended),
            ("undoing", E::Removed),
            ("rolled_back", E::RecordRestored),
        ],
    ));
    states.push(("parked created", with(&created, std::slice::from_ref(&park))));
    states.push(("parked accepted", vec![park]));
    states
}

fn stale_table(state: &str, event: &stale::Event) -> Option<&'static str> {
    use stale::Event as E;
    let creating = state.starts_with("creating");
    Some(match event {
        E::Cancelled if state == "accepted" => "rolled_back",
        E::ClaimIntended if matches!(state, "accepted" | "claiming") => "claiming",
        E::Claimed { .. } if state == "claiming" => "claimed",
        E::ClaimLost if state == "claiming" => "rolled_back",
        E::CreateIntended if state == "claimed" => "creating",
        E::Cancelled if state == "claimed" => "undoing",
        E::Created(_) | E::Adopted(_) if creating => "created",
        E::CreateDoubtful(_) | E::CreateRefused(Cause::AlreadyExists) if creating => "creating",
        E::CreateRefused(cause) if creating => again(state, *cause, "claimed"),
        E::NotCreated if creating => again(state, Cause::GatewayFailed, "claimed"),
        E::Stranger(_) if creating || state == "created" => "undoing",
        E::Returned if creating => "undoing",
        E::BecameReady { .. } if state == "created" => "proving",
        E::NeverReady(_) | E::Cancelled if state == "created" => "rejected",
        E::Vanished if state == "created" => "undoing",
        E::Proof(event) => return proof(state, event),
        E::Committed { .. } if state == "proving nothing" => "done",
        E::RemoveIntended if state == "rejected" => "removing",
        E::Removed if state == "removing" => "undoing",
        E::RemoveDoubtful(_) if state == "removing" => "removing",
        E::StillThere if state == "removing" => "rejected",
        E::RecordRestored if state == "undoing" => "rolled_back",
        E::Parked(_) => return waiting(state),
        E::Resumed if state == "parked created" => "created",
        E::Resumed if state == "parked accepted" => "accepted",
        _ => return None,
    })
}

#[test]
fn the_stale_recovery_is_its_table() {
    hold::<stale::StaleRecovery>(stale_states(), &events::stale(), stale_table);
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
        E::StartRefused(cause) if starting => again(state, *cause, "claimed"),
        E::NotStarted if starting => again(state, Cause::NotSettled, "claimed"),
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
        E::DeleteRefused(cause) if deleting => again(state, *cause, "claimed"),
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
