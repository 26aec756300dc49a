//! The rebuild is its table, and leads nowhere back once it has deleted.

use salvor_core::saga::{
    Cause, Saga as _,
    capture::{CaptureEvent, Saved},
    fold, rebuild,
    refill::RefillEvent,
};

use super::{
    Reached, again, capture, chain, checked, events, hold, passing, proof, proven, refill,
    refilled, taken, waiting, with,
};

#[expect(clippy::too_many_lines, reason = "a table")]
fn rebuild_states() -> Vec<Reached<rebuild::Event>> {
    use rebuild::Event as E;
    let found = |capture, restore| E::Claimed {
        etag: events::etag(),
        entry: events::entry(),
        capture,
        restore,
    };
    let find = |wanted: fn(&E) -> bool| events::rebuild().into_iter().find(wanted).unwrap();
    let ready = find(|e| matches!(e, E::BecameReady { .. }));
    let never = find(|e| matches!(e, E::NeverReady(_)));
    let park = find(|e| matches!(e, E::Parked(_)));
    let mut proofs = proven().into_iter().map(E::Proof);
    let mut proof = || proofs.next().unwrap();

    let mut states = vec![("accepted", vec![]), ("parked accepted", vec![park.clone()])];
    states.extend(chain(
        &[],
        vec![
            ("claiming", E::ClaimIntended),
            ("saving wanted#0", found(true, None)),
            ("saving taking#1", E::Capture(CaptureEvent::Intended)),
            ("saving taken", E::Capture(taken())),
            ("saved read", E::Capture(CaptureEvent::Verified)),
            ("deleting read#1", E::DeleteIntended),
            ("gone", E::Deleted),
            ("creating#1", E::CreateIntended),
            ("created full", E::Created("sb-new".into())),
            ("filling wanted#0", ready.clone()),
            ("filling writing#1", E::Refill(RefillEvent::Intended)),
            (
                "filling written#1",
                E::Refill(RefillEvent::Written { files: 1, bytes: 1, merged: vec![] }),
            ),
            ("proving policy", E::Refill(RefillEvent::Compared { differing: vec![], count: 0 })),
            ("proving posture", proof()),
            ("proving readiness", proof()),
            ("proving again", proof()),
            ("proving nothing", E::Refill(events::compared_again().remove(1))),
            ("done", E::Committed),
        ],
    ));
    let at = |states: &[Reached<E>], wanted: &str| {
        states.iter().find(|(name, _)| *name == wanted).unwrap().1.clone()
    };
    let claimed = at(&states, "saving wanted#0");
    let refused = [E::Capture(CaptureEvent::Intended), E::Capture(passing())];
    let third = with(&with(&claimed, &refused), &with(&refused, &refused[..1]));
    states.push(("saving taking#3", third));
    let again = refilled().map(E::Refill);
    let third = with(&at(&states, "filling wanted#0"), &with(&again, &again));
    states.push(("filling written#3", with(&third, &again[..2])));
    let tries = [E::DeleteIntended, E::DeleteRefused(Cause::GatewayFailed)];
    let third = with(&at(&states, "saved read"), &with(&tries, &tries));
    states.push(("deleting read#3", with(&third, &tries[..1])));
    states.push((
        "parked deleting",
        with(&at(&states, "deleting read#1"), std::slice::from_ref(&park)),
    ));

    let instead = [
        E::ClaimIntended,
        found(true, Some(Saved { name: "gateways/lab/snapshots/0e0e".into(), ..events::saved() })),
        E::Capture(CaptureEvent::Intended),
        E::Capture(taken()),
    ];
    states.extend(chain(
        &instead,
        vec![
            ("checking read", E::Capture(CaptureEvent::Verified)),
            ("saved read", E::Capture(CaptureEvent::Verified)),
        ],
    ));
    states.extend(chain(
        &[E::ClaimIntended],
        vec![
            ("checking given", found(false, Some(events::saved()))),
            ("saved given", E::Capture(CaptureEvent::Verified)),
            ("deleting given#1", E::DeleteIntended),
            ("checking given", E::StillThere),
            ("saved given", E::Capture(CaptureEvent::Verified)),
        ],
    ));

    let nothing = vec![E::ClaimIntended, found(false, None)];
    states.push(("saved unread", nothing.clone()));
    states.extend(chain(
        &nothing,
        vec![
            ("deleting unread#1", E::DeleteIntended),
            ("gone", E::Deleted),
            ("creating#1", E::CreateIntended),
            ("created empty", E::Adopted("sb-new".into())),
        ],
    ));
    let created = at(&states, "created empty");
    states.extend(chain(
        &created,
        vec![("rejected", never), ("removing", E::RemoveIntended), ("gone", E::Removed)],
    ));
    states.push(("proving policy", with(&created, &[ready])));
    states.push(("parked created", with(&created, &[park])));
    states.extend(chain(
        &nothing,
        vec![("undoing", E::Cancelled), ("rolled_back", E::RecordRestored)],
    ));
    states
}

fn rebuild_table(state: &str, event: &rebuild::Event) -> Option<&'static str> {
    use rebuild::Event as E;
    let before = before_delete(state, event);
    before.or_else(|| after_delete(state, event)).or(match event {
        E::Parked(_) => waiting(state),
        E::Resumed if state == "parked accepted" => Some("accepted"),
        E::Resumed if state == "parked deleting" => Some("deleting"),
        E::Resumed if state == "parked created" => Some("created"),
        _ => None,
    })
}

fn before_delete(state: &str, event: &rebuild::Event) -> Option<&'static str> {
    use rebuild::Event as E;
    let saving = state.starts_with("saving");
    let checking = state.starts_with("checking");
    let saved = state.starts_with("saved");
    let deleting = state.starts_with("deleting");
    // What was read has to be read again, as the sandbox has been alive since; what was given, to be read back again.
    let back = match state {
        _ if state.contains(" read") => "saving",
        _ if state.contains(" given") => "checking",
        _ => "saved",
    };
    Some(match event {
        E::ClaimIntended if matches!(state, "accepted" | "claiming") => "claiming",
        E::Claimed { capture, restore, .. } if state == "claiming" => match (capture, restore) {
            (true, _) => "saving",
            (false, Some(_)) => "checking",
            (false, None) => "saved",
        },
        E::ClaimLost if state == "claiming" => "rolled_back",
        E::Cancelled if state == "accepted" => "rolled_back",
        E::Cancelled if saving || checking || saved => "undoing",
        E::Capture(CaptureEvent::Outdated) if matches!(state, "saved read" | "checking read") => {
            "saving"
        }
        E::Capture(CaptureEvent::Outdated) if state == "saved given" => "checking",
        E::Capture(event) if checking => return checked(event, "saved"),
        E::Capture(event) if saving => return capture(state, event, "saving", "saved", "undoing"),
        E::DeleteIntended if saved => "deleting",
        E::DeleteDoubtful(_) | E::DeleteRefused(Cause::NotFound | Cause::OtherIncarnation)
            if deleting =>
        {
            "deleting"
        }
        E::DeleteRefused(Cause::WorkspaceChanged) if deleting => {
            if state.ends_with("#3") {
                "undoing"
            } else {
                back
            }
        }
        E::DeleteRefused(cause) if deleting => again(state, *cause, "saved", "undoing"),
        E::StillThere if deleting => again(state, Cause::NotSettled, back, "undoing"),
        E::Deleted if deleting => "gone",
        E::RecordRestored if state == "undoing" => "rolled_back",
        _ => return None,
    })
}

fn after_delete(state: &str, event: &rebuild::Event) -> Option<&'static str> {
    use rebuild::Event as E;
    let creating = state.starts_with("creating");
    let created = state.starts_with("created");
    let live = state.starts_with("filling") || state.starts_with("proving");
    Some(match event {
        E::CreateIntended if state == "gone" => "creating",
        E::Created(_) | E::Adopted(_) if creating => "created",
        E::CreateDoubtful(_) | E::CreateRefused(Cause::AlreadyExists) if creating => "creating",
        E::CreateRefused(_) | E::NotCreated if creating => "gone",
        E::BecameReady { .. } if state == "created full" => "filling",
        E::BecameReady { .. } if created => "proving",
        E::NeverReady(_) if created => "rejected",
        E::Vanished if created || live => "gone",
        E::RemoveIntended if state == "rejected" => "removing",
        E::RemoveDoubtful(_) if state == "removing" => "removing",
        E::StillThere if state == "removing" => "rejected",
        E::Removed if state == "removing" => "gone",
        E::Refill(event) => return refill(state, event),
        E::Proof(event) => return proof(state, event),
        // A journal of a version that did not compare again ends without it.
        E::Committed if matches!(state, "proving nothing" | "proving again") => "done",
        _ => return None,
    })
}

#[test]
fn the_rebuild_is_its_table() {
    hold::<rebuild::Rebuild>(rebuild_states(), &events::rebuild(), rebuild_table);
}

/// From the delete on there is only forward: whatever happens, and whatever happens after that.
#[test]
fn after_a_delete_nothing_leads_back() {
    let back = ["accepted", "claiming", "saving", "checking", "saved", "deleting"];
    let back = [&back[..], &["undoing", "rolled_back"]].concat();
    let gone = rebuild_states().into_iter().filter(|(name, _)| *name == "gone");
    let mut reached: Vec<_> =
        gone.map(|(_, journal)| fold::<rebuild::Rebuild>(&journal).unwrap()).collect();
    for _ in 0..4 {
        let mut next = Vec::new();
        for state in &reached {
            for event in events::rebuild() {
                let Ok(after) = rebuild::Rebuild::apply(state.clone(), &event) else { continue };
                let phase = rebuild::Rebuild::phase(&after);
                assert!(!back.contains(&phase), "{event:?} leads from {state:?} to {phase}");
                if !next.contains(&after) {
                    next.push(after);
                }
            }
        }
        reached = next;
    }
    assert!(reached.len() > 50, "{}", reached.len());
}

/// No delete is intended but from a state in which what the plan reads first is read and verified, by this very process.
#[test]
fn a_process_deletes_only_what_it_has_saved_itself() {
    use rebuild::Event as E;
    for (name, journal) in rebuild_states() {
        let state = fold::<rebuild::Rebuild>(&journal).unwrap();
        let Some(void) = rebuild::Rebuild::taken_up(&state) else {
            let may = rebuild::Rebuild::apply(state, &E::DeleteIntended).is_ok();
            assert!(!may || name == "saved unread", "{name}");
            continue;
        };
        let mut state = rebuild::Rebuild::apply(state, &void).unwrap();
        let given = name == "saved given";
        assert_eq!(given, rebuild::Rebuild::phase(&state) == "checking", "{name}");
        let anew = [CaptureEvent::Intended, taken(), CaptureEvent::Verified].map(E::Capture);
        for event in anew.into_iter().filter(|_| !given) {
            assert!(rebuild::Rebuild::apply(state.clone(), &E::DeleteIntended).is_err(), "{name}");
            assert!(rebuild::Rebuild::apply(state.clone(), &E::Deleted).is_err(), "{name}");
            state = rebuild::Rebuild::apply(state, &event).unwrap();
        }
        if rebuild::Rebuild::phase(&state) == "checking" {
            assert!(rebuild::Rebuild::apply(state.clone(), &E::DeleteIntended).is_err(), "{name}");
            let intact = E::Capture(CaptureEvent::Verified);
            state = rebuild::Rebuild::apply(state, &intact).unwrap();
        }
        assert!(rebuild::Rebuild::apply(state, &E::DeleteIntended).is_ok(), "{name}");
    }
}
