//! The transition tables of snapshots, restores, copies and prunes, written a second time; and how their events are stored.

#![expect(clippy::match_same_arms, reason = "tables, row by row")]

use salvor_core::saga::{
    Cause, Failed, ParkReason, Part,
    capture::CaptureEvent,
    copy,
    proofs::{Proof, ProofEvent},
    prune::{self, Kept, Pruned},
    refill::RefillEvent,
    restore, snapshot,
};

use super::{
    events::{captures, first_causes, merging, refills, saved},
    golden::stored_as,
    table::{PASSING, Reached, hold, waiting},
};

fn pruned() -> Pruned {
    Pruned {
        deleted: vec!["gateways/lab/snapshots/01d".into()],
        deleted_count: 1,
        kept: vec![Kept {
            snapshot: saved().name,
            because: vec!["last 3".to_owned(), "in use".to_owned()],
        }],
        kept_count: 1,
        bytes_freed: 4096,
    }
}

// === events, each variant at least once ===

pub(super) fn of_a_snapshot() -> Vec<snapshot::Event> {
    use snapshot::Event as E;
    let mut events: Vec<E> = captures().into_iter().map(E::Capture).collect();
    events.extend([E::Cancelled, E::Noted, E::ThinIntended, E::Thinned(pruned())]);
    events.push(E::NotThinned(Cause::RepositoryFailed));
    events.extend([E::Parked(ParkReason::RegistryUnavailable), E::Resumed]);
    events
}

pub(super) fn of_a_prune() -> Vec<prune::Event> {
    use prune::Event as E;
    let mut events = vec![E::Intended, E::Pruned(pruned()), E::Pruned(Pruned::default())];
    events.extend(first_causes().into_iter().map(E::Refused));
    events.extend([E::Doubtful(Cause::AdapterFailed), E::Doubtful(Cause::Denied), E::Cancelled]);
    events.extend([E::Parked(ParkReason::RegistryUnavailable), E::Resumed]);
    events
}

fn begun(capture: bool) -> restore::Event {
    restore::Event::Begun { live: "sb-1".into(), from: saved(), capture, locked: false }
}

fn begun_locked() -> restore::Event {
    restore::Event::Begun { live: "sb-1".into(), from: saved(), capture: false, locked: true }
}

pub(super) fn of_a_restore() -> Vec<restore::Event> {
    use restore::Event as E;
    let mut events = vec![begun(true), begun(false), E::RecordChanged, E::Cancelled];
    events.extend(captures().into_iter().map(E::Capture));
    events.extend(refills().into_iter().map(E::Refill));
    events.extend([E::Vanished, E::Noted, E::Parked(ParkReason::NotReadyInTime), E::Resumed]);
    // Since locked ones are written to.
    events.push(begun_locked());
    events.extend(proofs().into_iter().map(E::Proof));
    events.extend(merging().into_iter().map(E::Refill));
    events
}

pub(super) fn of_a_copy() -> Vec<copy::Event> {
    use copy::Event as E;
    let mut events = vec![
        E::Begun { keep: true, from: Some(saved()) },
        E::Begun { keep: false, from: None },
        E::RecordChanged,
        E::Cancelled,
        E::CreateIntended,
        E::Created("sb-2".into()),
        E::Adopted("sb-2".into()),
        E::CreateDoubtful(Cause::GatewayFailed),
        E::NotCreated,
        E::Stranger("sb-3".into()),
        E::BecameReady { spec: Part::Proven, providers: Part::Proven },
        E::NeverReady(Failed { reason: "ImagePullFailed".to_owned(), exit_code: None }),
        E::Vanished,
        E::GaveUp(Cause::SnapshotUnusable),
        E::RegisterIntended,
        E::Registered,
        E::RemoveIntended,
        E::Removed,
        E::RemoveDoubtful(Cause::NotFound),
        E::StillThere,
        E::Noted,
        E::Parked(ParkReason::NotReadyInTime),
        E::Resumed,
        E::Begun { keep: false, from: Some(saved()) },
    ];
    events.extend(captures().into_iter().map(E::Capture));
    events.extend(refills().into_iter().map(E::Refill));
    events.extend(first_causes().into_iter().map(E::CreateRefused));
    events.extend(proofs().into_iter().map(E::Proof));
    events
}

fn proofs() -> Vec<ProofEvent> {
    let all = [Proof::Policy, Proof::Posture, Proof::Readiness];
    let both = |proof| [ProofEvent::Intended(proof), ProofEvent::Established(proof, Part::Proven)];
    all.into_iter().flat_map(both).collect()
}

#[test]
fn a_snapshots_journal_is_stored_as_ever() {
    stored_as(&of_a_snapshot(), include_str!("golden/snapshot.jsonl"));
}

#[test]
fn a_restores_journal_is_stored_as_ever() {
    stored_as(&of_a_restore(), include_str!("golden/restore.jsonl"));
}

#[test]
fn a_copys_journal_is_stored_as_ever() {
    stored_as(&of_a_copy(), include_str!("golden/copy.jsonl"));
}

#[test]
fn a_prunes_journal_is_stored_as_ever() {
    stored_as(&of_a_prune(), include_str!("golden/prune.jsonl"));
}

// === tables ===

/// How far a capture is, as the end of a state's name.
fn capture(state: &str, event: &CaptureEvent) -> Option<&'static str> {
    use CaptureEvent as E;
    match (state, event) {
        ("wanted" | "taking", E::Intended) => Some("on"),
        ("taking", E::Doubtful(_) | E::Taken { verify: true, .. }) => Some("on"),
        ("taking", E::Taken { verify: false, .. }) | ("taken", E::Verified) => Some("saved"),
        ("taking", E::Incomplete(_)) | ("taken", E::Damaged(_)) => Some("unsaved"),
        ("taking", E::Refused(cause)) => {
            Some(if PASSING.contains(cause) { "on" } else { "unsaved" })
        }
        ("taking" | "taken", E::Outdated) => Some("on"),
        _ => None,
    }
}

fn refill(state: &str, event: &RefillEvent) -> Option<&'static str> {
    use RefillEvent as E;
    match (state, event) {
        ("wanted" | "writing", E::Intended) => Some("on"),
        (
            "writing",
            E::Written { .. } | E::PartlyWritten { .. } | E::NotWritten(_) | E::Doubtful(_),
        ) => Some("on"),
        ("written", E::Compared { count: 0, .. }) => Some("settled"),
        ("written", E::Compared { .. }) => Some("on"),
        _ => None,
    }
}

fn taken() -> CaptureEvent {
    CaptureEvent::Taken { saved: saved(), verify: true }
}

fn same() -> RefillEvent {
    RefillEvent::Compared { differing: vec![], count: 0 }
}

fn written() -> RefillEvent {
    RefillEvent::Written { files: 3, bytes: 70, merged: vec![] }
}

/// A chain of events, and the state after each by name.
fn chain<E: Clone>(start: &[E], steps: &[(&'static str, E)]) -> Vec<Reached<E>> {
    let mut journal = start.to_vec();
    let extend = |(name, event): &(&'static str, E)| {
        journal.push(event.clone());
        (*name, journal.clone())
    };
    steps.iter().map(extend).collect()
}

#[test]
fn a_snapshot_moves_as_its_table_says() {
    use snapshot::{Event as E, Snapshot};
    let noted = [
        ("reading taking", E::Capture(CaptureEvent::Intended)),
        ("reading taken", E::Capture(taken())),
        ("read", E::Capture(CaptureEvent::Verified)),
        ("noted", E::Noted),
        ("thinning", E::ThinIntended),
        ("done", E::Thinned(pruned())),
    ];
    let failed = [
        ("reading taking", E::Capture(CaptureEvent::Intended)),
        ("unread", E::Capture(CaptureEvent::Refused(Cause::Invalid))),
        ("rolled_back", E::Noted),
    ];
    let mut states = vec![("reading wanted", vec![])];
    states.extend(chain(&[], &noted));
    states.extend(chain(&[], &failed));
    states.push(("parked", vec![E::Parked(ParkReason::RegistryUnavailable)]));
    hold::<Snapshot>(states, &of_a_snapshot(), |state, event| {
        Some(match (state, event) {
            (reading, E::Capture(event)) => {
                match capture(reading.strip_prefix("reading ")?, event)? {
                    "saved" => "read",
                    "unsaved" => "unread",
                    _ => "reading",
                }
            }
            (reading, E::Cancelled) if reading.starts_with("reading") => "rolled_back",
            ("read", E::Noted) => "noted",
            ("unread", E::Noted) => "rolled_back",
            ("noted" | "thinning", E::ThinIntended) => "thinning",
            ("thinning", E::Thinned(_) | E::NotThinned(_)) => "done",
            ("parked", E::Resumed) => "reading",
            (state, E::Parked(_)) => return waiting(state),
            _ => return None,
        })
    });
}

#[test]
fn a_prune_moves_as_its_table_says() {
    use prune::{Event as E, Prune};
    let again = [E::Intended, E::Refused(Cause::GatewayFailed)];
    let last = [again.clone(), again.clone(), again.clone()].concat();
    let states = vec![
        ("wanted", vec![]),
        ("wanted again", again.to_vec()),
        ("pruning", vec![E::Intended]),
        ("pruning #3", last[..5].to_vec()),
        ("rolled_back", last),
        ("done", vec![E::Intended, E::Pruned(pruned())]),
        ("parked", vec![E::Parked(ParkReason::RegistryUnavailable)]),
    ];
    hold::<Prune>(states, &of_a_prune(), |state, event| {
        Some(match (state, event) {
            ("wanted" | "wanted again" | "pruning" | "pruning #3", E::Intended) => "pruning",
            ("wanted", E::Cancelled) => "rolled_back",
            ("pruning" | "pruning #3", E::Pruned(_)) => "done",
            ("pruning", E::Refused(cause) | E::Doubtful(cause)) if PASSING.contains(cause) => {
                "wanted"
            }
            ("pruning" | "pruning #3", E::Refused(_) | E::Doubtful(_)) => "rolled_back",
            ("parked", E::Resumed) => "wanted",
            (state, E::Parked(_)) => return waiting(state),
            _ => return None,
        })
    });
}

#[expect(clippy::too_many_lines, reason = "a table")]
#[test]
fn a_restore_moves_as_its_table_says() {
    use restore::{Event as E, Restore};
    let saving = [
        ("saving wanted", begun(true)),
        ("saving taking", E::Capture(CaptureEvent::Intended)),
        ("saving taken", E::Capture(taken())),
        ("filling wanted, saved", E::Capture(CaptureEvent::Verified)),
        ("filling writing", E::Refill(RefillEvent::Intended)),
        ("filling written", E::Refill(written())),
        ("settled", E::Refill(same())),
        ("done", E::Noted),
    ];
    let mut states = vec![("accepted", vec![]), ("filling wanted", vec![begun(false)])];
    states.extend(chain(&[], &saving));
    let taking = [begun(true), E::Capture(CaptureEvent::Intended)];
    states.extend(chain(
        &taking,
        &[
            ("unsaved", E::Capture(CaptureEvent::Refused(Cause::Invalid))),
            ("rolled_back", E::Noted),
        ],
    ));
    let proven = |proof| E::Proof(ProofEvent::Established(proof, Part::Proven));
    let locked = [begun_locked(), E::Refill(RefillEvent::Intended), E::Refill(written())];
    states.extend(chain(
        &locked,
        &[
            ("proving policy", E::Refill(same())),
            ("proving posture", proven(Proof::Policy)),
            ("settled", proven(Proof::Posture)),
        ],
    ));
    states.push(("parked", vec![E::Parked(ParkReason::RegistryUnavailable)]));
    hold::<Restore>(states, &of_a_restore(), |state, event| {
        Some(match (state, event) {
            ("accepted", E::Begun { capture: true, .. }) => "saving",
            ("accepted", E::Begun { .. }) => "filling",
            ("accepted", E::RecordChanged) => "rolled_back",
            ("filling wanted, saved", E::Capture(CaptureEvent::Outdated)) => "saving",
            (saving, E::Capture(event)) => match capture(saving.strip_prefix("saving ")?, event)? {
                "saved" => "filling",
                "unsaved" => "unsaved",
                _ => "saving",
            },
            (filling, E::Refill(event)) => {
                let how = filling.strip_prefix("filling ")?.trim_end_matches(", saved");
                if refill(how, event)? == "settled" { "settled" } else { "filling" }
            }
            (
                "proving policy",
                E::Proof(
                    ProofEvent::Intended(Proof::Policy) | ProofEvent::Established(Proof::Policy, _),
                ),
            )
            | ("proving posture", E::Proof(ProofEvent::Intended(Proof::Posture))) => "proving",
            ("proving posture", E::Proof(ProofEvent::Established(Proof::Posture, _))) => "settled",
            ("proving policy" | "proving posture" | "settled", E::Vanished) => "rolled_back",
            (filling, E::Vanished) if filling.starts_with("filling") => "rolled_back",
            ("accepted" | "filling wanted" | "filling wanted, saved", E::Cancelled) => {
                "rolled_back"
            }
            (saving, E::Cancelled) if saving.starts_with("saving") => "rolled_back",
            ("settled", E::Noted) => "done",
            ("unsaved", E::Noted) => "rolled_back",
            ("parked", E::Resumed) => "accepted",
            (state, E::Parked(_)) => return waiting(state),
            _ => return None,
        })
    });
}

/// The states of a copy that is kept (`keep`), or of a drill.
fn copy_states(keep: bool) -> Vec<Reached<copy::Event>> {
    use copy::Event as E;
    let mut first = vec![E::Begun { keep, from: Some(saved()) }];
    if !keep {
        first.push(E::Capture(CaptureEvent::Verified));
    }
    let mut states = vec![("accepted", vec![])];
    states.extend(chain(
        &[],
        &[
            ("saving wanted", E::Begun { keep, from: None }),
            ("saving taking", E::Capture(CaptureEvent::Intended)),
            ("saving taken", E::Capture(taken())),
            ("saved", E::Capture(CaptureEvent::Verified)),
            ("creating", E::CreateIntended),
            ("created", E::Created("sb-2".into())),
            ("filling wanted", E::BecameReady { spec: Part::Proven, providers: Part::Proven }),
            ("filling writing", E::Refill(RefillEvent::Intended)),
            ("filling written", E::Refill(written())),
        ],
    ));
    let again = [E::CreateIntended, E::NotCreated];
    let third = [&first[..], &again, &again, &[E::CreateIntended]].concat();
    states.push(("creating #3", third));
    let filled = states.iter().find(|(name, _)| *name == "filling written").map(|(_, j)| j.clone());
    let settled = [filled.unwrap_or_default(), vec![E::Refill(same())]].concat();
    if keep {
        let established = |proof| E::Proof(ProofEvent::Established(proof, Part::Proven));
        states.push(("proving policy", settled.clone()));
        states.extend(chain(
            &settled,
            &[
                ("proving posture", established(Proof::Policy)),
                ("proving readiness", established(Proof::Posture)),
                ("proving nothing", established(Proof::Readiness)),
                ("registering", E::RegisterIntended),
                ("done", E::Registered),
            ],
        ));
    } else {
        states.push(("discarding compared", settled.clone()));
        states.extend(chain(
            &settled,
            &[
                ("removing compared", E::RemoveIntended),
                ("noting compared", E::Removed),
                ("done", E::Noted),
            ],
        ));
    }
    let never = E::NeverReady(Failed { reason: "Boom".to_owned(), exit_code: Some(1) });
    let created = [&first[..], &[E::CreateIntended, E::Created("sb-2".into())]].concat();
    let cancelled = [&created[..], &[E::Cancelled, E::RemoveIntended]].concat();
    states.push(("removing cancelled", cancelled));
    states.extend(chain(
        &created,
        &[("discarding failed", never), ("removing failed", E::RemoveIntended)],
    ));
    states.push(("parked", vec![E::Parked(ParkReason::NotReadyInTime)]));
    states
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn copy_table(keep: bool, state: &str, event: &copy::Event) -> Option<&'static str> {
    use copy::Event as E;
    let back = if keep { "rolled_back" } else { "noting" };
    let creating = state.starts_with("creating");
    let alive =
        matches!(state, "created") || state.starts_with("filling") || state.starts_with("proving");
    Some(match (state, event) {
        ("accepted", E::Begun { keep: true, from: Some(_) }) => "saved",
        ("accepted", E::Begun { .. }) => "saving",
        ("accepted", E::RecordChanged) => "rolled_back",
        (saving, E::Capture(event)) => match capture(saving.strip_prefix("saving ")?, event)? {
            "saved" => "saved",
            "unsaved" => back,
            _ => "saving",
        },
        ("accepted" | "saved", E::Cancelled) => "rolled_back",
        (saving, E::Cancelled) if saving.starts_with("saving") => "rolled_back",
        (_, E::Cancelled) if alive => "discarding",
        (filling, E::GaveUp(_)) if filling.starts_with("filling") => "discarding",
        ("saved", E::CreateIntended) => "creating",
        (_, E::Created(_) | E::Adopted(_)) if creating => "created",
        (_, E::CreateDoubtful(_) | E::CreateRefused(Cause::AlreadyExists)) if creating => {
            "creating"
        }
        (_, E::CreateRefused(cause)) if creating => {
            let again = state == "creating" && PASSING.contains(cause);
            if again { "saved" } else { back }
        }
        ("creating", E::NotCreated) => "saved",
        ("creating #3", E::NotCreated) => back,
        (_, E::Stranger(_)) if creating || state == "created" => back,
        ("created", E::BecameReady { .. }) => "filling",
        ("created", E::NeverReady(_)) => "discarding",
        (_, E::Vanished) if alive => back,
        (filling, E::Refill(event)) => match refill(filling.strip_prefix("filling ")?, event)? {
            "settled" if keep => "proving",
            "settled" => "discarding",
            _ => "filling",
        },
        (proving, E::Proof(ProofEvent::Intended(proof) | ProofEvent::Established(proof, _))) => {
            let due = match proof {
                Proof::Policy => "proving policy",
                Proof::Posture => "proving posture",
                Proof::Readiness => "proving readiness",
            };
            if proving != due {
                return None;
            }
            "proving"
        }
        ("proving nothing" | "registering", E::RegisterIntended) => "registering",
        ("registering", E::Registered) => "done",
        ("registering", E::GaveUp(_)) => "discarding",
        ("registering", E::Vanished) => back,
        (discarding, E::RemoveIntended) if discarding.starts_with("discarding") => "removing",
        ("removing compared", E::Removed) => "noting",
        ("removing failed", E::Removed) => back,
        ("removing cancelled", E::Removed) => "rolled_back",
        (removing, E::RemoveDoubtful(_)) if removing.starts_with("removing") => "removing",
        (removing, E::StillThere) if removing.starts_with("removing") => "discarding",
        ("noting compared", E::Noted) => "done",
        ("parked", E::Resumed) => "accepted",
        (state, E::Parked(_)) => return waiting(state),
        _ => return None,
    })
}

#[test]
fn a_copy_moves_as_its_table_says() {
    hold::<copy::Copy>(copy_states(true), &of_a_copy(), |s, e| copy_table(true, s, e));
}

#[test]
fn a_drill_moves_as_its_table_says() {
    hold::<copy::Copy>(copy_states(false), &of_a_copy(), |s, e| copy_table(false, s, e));
}
