//! The stale recovery is its table.

use salvor_core::saga::{Cause, capture::CaptureEvent, refill::RefillEvent, stale};

use super::{
    Reached, again, capture, chain, checked, events, hold, passing, proof, proven, refill,
    refilled, taken, waiting, with,
};

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
    states.extend(stale_workspaces());
    states
}

/// With containers to stop and read, and a snapshot to put back.
fn stale_workspaces() -> Vec<Reached<stale::Event>> {
    use stale::Event as E;
    let found = |salvage| E::Claimed {
        etag: events::etag(),
        entry: events::entry(),
        leftover: vec!["c-1".into()],
        salvage,
        restore: Some(events::saved()),
    };
    let ready = events::stale().into_iter().find(|e| matches!(e, E::BecameReady { .. })).unwrap();
    let mut proofs = proven().into_iter().map(E::Proof);
    let mut proof = || proofs.next().unwrap();
    let leftover = vec![E::ClaimIntended, found(true)];
    let mut states = chain(&[E::ClaimIntended], vec![("leftover", found(true))]);
    states.extend(chain(
        &leftover,
        vec![
            ("stopping", E::StopIntended),
            ("salvaging wanted#0", E::Stopped),
            ("salvaging taking#1", E::Capture(CaptureEvent::Intended)),
            ("salvaging taken", E::Capture(taken())),
            ("claimed full", E::Capture(CaptureEvent::Verified)),
            ("creating full#1", E::CreateIntended),
            ("created full", E::Created("sb-new".into())),
            ("filling wanted#0", ready),
            ("filling writing#1", E::Refill(RefillEvent::Intended)),
            (
                "filling written#1",
                E::Refill(RefillEvent::Written { files: 1, bytes: 1, merged: vec![] }),
            ),
            ("proving policy", E::Refill(RefillEvent::Compared { differing: vec![], count: 0 })),
            ("proving posture", proof()),
            ("proving readiness", proof()),
            ("proving again", proof()),
            ("proving nothing", E::Refill(events::compared_again().remove(2))),
        ],
    ));
    states.extend(chain(
        &[E::ClaimIntended, found(false), E::StopIntended],
        vec![("checking", E::Stopped), ("claimed full", E::Capture(CaptureEvent::Verified))],
    ));
    let salvaging = with(&leftover, &[E::StopIntended, E::Stopped]);
    let refused = [E::Capture(CaptureEvent::Intended), E::Capture(passing())];
    let third = with(&with(&salvaging, &refused), &with(&refused, &refused[..1]));
    states.push(("salvaging taking#3", third));
    let filling = states.iter().find(|(name, _)| *name == "filling wanted#0").unwrap().1.clone();
    let again = refilled().map(E::Refill);
    let third = with(&with(&filling, &with(&again, &again)), &again[..2]);
    states.push(("filling written#3", third));
    states.extend(chain(
        &[E::ClaimIntended, found(false)],
        vec![("stopping unread", E::StopIntended)],
    ));
    states
}

fn stale_table(state: &str, event: &stale::Event) -> Option<&'static str> {
    use stale::Event as E;
    let creating = state.starts_with("creating");
    let created = state.starts_with("created");
    let stopping = state.starts_with("stopping");
    Some(match event {
        E::Cancelled if state == "accepted" => "rolled_back",
        E::ClaimIntended if matches!(state, "accepted" | "claiming") => "claiming",
        E::Claimed { leftover, restore, .. } if state == "claiming" => {
            match (leftover.is_empty(), restore) {
                (false, _) => "leftover",
                (true, Some(_)) => "checking",
                (true, None) => "claimed",
            }
        }
        E::ClaimLost if state == "claiming" => "rolled_back",
        E::StopIntended if state == "leftover" || stopping => "stopping",
        E::StopDoubtful(_) if stopping => "leftover",
        E::StopRefused(_) if stopping => "undoing",
        E::Stopped if state == "stopping" => "salvaging",
        E::Stopped if stopping => "checking",
        E::Capture(event) if state.starts_with("salvaging") => {
            return capture(state, event, "salvaging", "claimed", "checking");
        }
        E::Capture(event) if state == "checking" => return checked(event, "claimed"),
        E::Cancelled if state == "checking" => "undoing",
        E::Cancelled if state == "leftover" || state.starts_with("salvaging") => "undoing",
        E::Capture(CaptureEvent::Outdated) if state == "claimed full" => "checking",
        E::CreateIntended if state.starts_with("claimed") => "creating",
        E::Cancelled if state.starts_with("claimed") => "undoing",
        E::Created(_) | E::Adopted(_) if creating => "created",
        E::CreateDoubtful(_) | E::CreateRefused(Cause::AlreadyExists) if creating => "creating",
        E::CreateRefused(cause) if creating => again(state, *cause, "claimed", "undoing"),
        E::NotCreated if state == "creating full#1" => "checking",
        E::NotCreated if creating => again(state, Cause::GatewayFailed, "claimed", "undoing"),
        E::Stranger(_) if creating || created => "undoing",
        E::Returned if creating => "undoing",
        E::BecameReady { .. } if state == "created" => "proving",
        E::BecameReady { .. } if created => "filling",
        E::NeverReady(_) | E::Cancelled if created => "rejected",
        E::Vanished if created || state.starts_with("filling") || state.starts_with("proving") => {
            "undoing"
        }
        E::Refill(event) => return refill(state, event),
        E::Proof(event) => return proof(state, event),
        // A journal of a version that did not compare again ends without it.
        E::Committed { .. } if matches!(state, "proving nothing" | "proving again") => "done",
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
