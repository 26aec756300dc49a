//! The transitions of a rebuild, but for waiting: see the table on [`super`].

use super::{Event as E, Fresh, MAX_DELETES, Source, State, State as S};
use crate::saga::{
    Cause, IllegalEvent, Part, Setback,
    capture::{Capture, CaptureEvent, NotSaved},
    illegal,
    proofs::Proofs,
    refill::{self, Refill},
};

/// While the sandbox is as it was, or may be. The safe direction is back.
pub(super) fn before(state: State, event: &E) -> Result<State, IllegalEvent> {
    Ok(match (state, event) {
        (S::Accepted | S::Claiming, E::ClaimIntended) => S::Claiming,
        (S::Claiming, E::Claimed { capture: true, restore, .. }) => {
            S::Saving { capture: Capture::wanted(), instead: restore.clone(), deletes: 0 }
        }
        (S::Claiming, E::Claimed { capture: false, restore, .. }) => {
            checking(0, restore.clone(), None)
        }
        (S::Claiming, E::ClaimLost) => S::RolledBack(Setback::RecordChanged),
        (S::Accepted, E::Cancelled) => S::RolledBack(Setback::Cancelled),
        (S::Saving { .. } | S::Checking { .. } | S::Saved { .. }, E::Cancelled) => {
            S::Undoing(Setback::Cancelled)
        }
        (S::Saving { capture, instead, deletes }, E::Capture(event)) => {
            match capture.clone().apply(event) {
                Some(Capture::Verified(taken)) if instead.is_some() => {
                    checking(deletes, instead, Some(taken))
                }
                Some(Capture::Verified(taken)) => {
                    S::Saved { attempts: deletes, source: Some(taken.clone()), taken: Some(taken) }
                }
                Some(Capture::Failed(why)) => S::Undoing(Setback::NotSaved(why)),
                Some(capture) => S::Saving { capture, instead, deletes },
                None => return illegal(&capture, event),
            }
        }
        (S::Checking { attempts, from, taken }, E::Capture(CaptureEvent::Verified)) => {
            S::Saved { attempts, source: Some(from), taken }
        }
        (S::Checking { .. }, E::Capture(CaptureEvent::Damaged(gap))) => {
            S::Undoing(Setback::NotSaved(NotSaved::Damaged(gap.clone())))
        }
        (
            S::Checking { attempts, from, taken: taken @ Some(_) },
            E::Capture(CaptureEvent::Outdated),
        ) => outdated(attempts, Some(from), taken),
        (S::Saved { attempts, source, taken }, E::DeleteIntended) => {
            S::Deleting { attempts: attempts + 1, source, taken }
        }
        (
            S::Saved { attempts, source: source @ Some(_), taken },
            E::Capture(CaptureEvent::Outdated),
        ) => outdated(attempts, source, taken),
        (S::Deleting { attempts, source, taken }, event) => {
            return deleting(attempts, source, taken, event);
        }
        (S::Undoing(setback), E::RecordRestored) => S::RolledBack(setback),
        (state, event) => return illegal(&state, event),
    })
}

/// While it is not known whether the sandbox is gone.
fn deleting(
    attempts: u32,
    source: Source,
    taken: Source,
    event: &E,
) -> Result<State, IllegalEvent> {
    Ok(match (event, taken) {
        (E::Deleted, _) => S::Gone { attempts: 0, source },
        (
            E::DeleteDoubtful(_) | E::DeleteRefused(Cause::NotFound | Cause::OtherIncarnation),
            taken,
        ) => S::Deleting { attempts, source, taken },
        (E::DeleteRefused(cause), taken) if attempts < MAX_DELETES && cause.may_pass() => {
            S::Saved { attempts, source, taken }
        }
        (E::DeleteRefused(Cause::WorkspaceChanged), taken) if attempts < MAX_DELETES => {
            outdated(attempts, source, taken)
        }
        (E::DeleteRefused(cause), _) => S::Undoing(Setback::Refused(*cause)),
        (E::StillThere, _) if attempts >= MAX_DELETES => {
            S::Undoing(Setback::Refused(Cause::NotSettled))
        }
        (E::StillThere, taken) => outdated(attempts, source, taken),
        (event, taken) => return illegal(&S::Deleting { attempts, source, taken }, event),
    })
}

/// What was not read now is read back before anything rests on it.
fn checking(attempts: u32, from: Source, taken: Source) -> State {
    match from {
        Some(from) => State::Checking { attempts, from, taken },
        // The caller accepted that nothing is put back.
        None => State::Saved { attempts, source: None, taken },
    }
}

/// What was saved is not what would be deleted: the sandbox has been alive since. What was only read back is so again.
fn outdated(deletes: u32, source: Source, taken: Source) -> State {
    match taken {
        Some(taken) => {
            let instead = source.filter(|source| *source != taken);
            State::Saving { capture: Capture::wanted(), instead, deletes }
        }
        None => checking(deletes, source, None),
    }
}

/// Once the sandbox is gone. There is only forward.
pub(super) fn after(state: State, event: &E) -> Result<State, IllegalEvent> {
    Ok(match (state, event) {
        (S::Gone { attempts, source }, E::CreateIntended) => {
            S::Creating { attempts: attempts + 1, source }
        }
        (S::Creating { attempts, source }, E::Created(live) | E::Adopted(live)) => {
            S::Created { live: live.clone(), attempts, source }
        }
        (
            creating @ S::Creating { .. },
            E::CreateDoubtful(_) | E::CreateRefused(Cause::AlreadyExists),
        ) => creating,
        (S::Creating { attempts, source }, E::CreateRefused(_) | E::NotCreated)
        | (S::Created { attempts, source, .. }, E::Vanished)
        | (S::Removing { attempts, source, .. }, E::Removed) => S::Gone { attempts, source },
        (S::Created { live, source, .. }, E::BecameReady { spec, providers }) => {
            filling(Fresh { live, spec: spec.clone(), providers: providers.clone() }, source)
        }
        (S::Created { live, attempts, source }, E::NeverReady(_))
        | (S::Removing { live, attempts, source }, E::StillThere) => {
            S::Rejected { live, attempts, source }
        }
        (S::Filling { from, .. }, E::Vanished) => S::Gone { attempts: 0, source: Some(from) },
        (S::Proving { source, .. }, E::Vanished) => S::Gone { attempts: 0, source },
        (S::Rejected { live, attempts, source }, E::RemoveIntended) => {
            S::Removing { live, attempts, source }
        }
        (removing @ S::Removing { .. }, E::RemoveDoubtful(_)) => removing,
        (S::Filling { fresh, from, refill }, E::Refill(event)) => {
            match refill.clone().apply(event, &from) {
                Some(Refill::Settled(data)) => {
                    let again = matches!(data, Part::Restored { .. });
                    let proofs = Proofs::default();
                    S::Proving { fresh, source: Some(from), data, proofs, again }
                }
                Some(refill) => S::Filling { fresh, from, refill },
                None => return illegal(&refill, event),
            }
        }
        (S::Proving { fresh, source, data, proofs, again }, E::Proof(proof)) => {
            match proofs.clone().apply(proof) {
                Some(proofs) => S::Proving { fresh, source, data, proofs, again },
                None => return illegal(&proofs, event),
            }
        }
        (S::Proving { fresh, source, data, proofs, again: true }, E::Refill(compared))
            if proofs.next().is_none() =>
        {
            match refill::again(data, compared) {
                Some(data) => S::Proving { fresh, source, data, proofs, again: false },
                None => return illegal(&proofs, event),
            }
        }
        (S::Proving { fresh, data, proofs, .. }, E::Committed) if proofs.next().is_none() => {
            S::Done(fresh.parts(data, proofs))
        }
        (state, event) => return illegal(&state, event),
    })
}

fn filling(fresh: Fresh, source: Source) -> State {
    match source {
        Some(from) => State::Filling { fresh, from, refill: Refill::wanted() },
        // The caller accepted exactly this.
        None => State::Proving {
            fresh,
            source: None,
            data: Part::Lost,
            proofs: Proofs::default(),
            again: false,
        },
    }
}

// === impl State ===

impl State {
    pub(super) const fn before_delete(&self) -> bool {
        match self {
            Self::Accepted
            | Self::Claiming
            | Self::Saving { .. }
            | Self::Checking { .. }
            | Self::Saved { .. }
            | Self::Deleting { .. }
            | Self::Undoing(_)
            | Self::RolledBack(_) => true,
            Self::Gone { .. }
            | Self::Creating { .. }
            | Self::Created { .. }
            | Self::Rejected { .. }
            | Self::Removing { .. }
            | Self::Filling { .. }
            | Self::Proving { .. }
            | Self::Done(_)
            | Self::Parked { .. } => false,
        }
    }
}
