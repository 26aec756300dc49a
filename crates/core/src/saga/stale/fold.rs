//! The transitions of a stale recovery, but for waiting: see the table on [`super`].

use super::{Content, Event as E, Fresh, MAX_ATTEMPTS, State, State as S};
use crate::saga::{
    Cause, Failed, IllegalEvent, Part, Setback,
    capture::{Capture, CaptureEvent, NotSaved},
    illegal,
    proofs::Proofs,
    refill::{self, Refill},
};

pub(super) fn apply(state: State, event: &E) -> Result<State, IllegalEvent> {
    match state {
        S::Accepted
        | S::Claiming
        | S::Leftover { .. }
        | S::Stopping { .. }
        | S::Salvaging { .. }
        | S::Checking { .. } => preparing(state, event),
        S::Claimed { .. } | S::Creating { .. } | S::Created { .. } => making(state, event),
        S::Filling { .. } | S::Proving { .. } => finishing(state, event),
        S::Rejected { .. }
        | S::Removing { .. }
        | S::Undoing(_)
        | S::RolledBack(_)
        | S::Done(_)
        | S::Parked { .. } => going_back(state, event),
    }
}

/// Until nothing of the lost sandbox runs any more, and what of it can be read is saved.
fn preparing(state: State, event: &E) -> Result<State, IllegalEvent> {
    Ok(match (state, event) {
        (S::Accepted | S::Claiming, E::ClaimIntended) => S::Claiming,
        (S::Accepted, E::Cancelled) => S::RolledBack(Setback::Cancelled),
        (S::Claiming, E::Claimed { leftover, salvage, restore, .. }) => claimed(Content {
            restore: restore.clone(),
            leftover: leftover.clone(),
            salvage: *salvage,
            unread: None,
        }),
        (S::Claiming, E::ClaimLost) => S::RolledBack(Setback::RecordChanged),
        (S::Leftover { .. } | S::Salvaging { .. } | S::Checking { .. }, E::Cancelled) => {
            S::Undoing(Setback::Cancelled)
        }
        (S::Leftover { content } | S::Stopping { content }, E::StopIntended) => {
            S::Stopping { content }
        }
        (S::Stopping { content }, E::StopDoubtful(_)) => S::Leftover { content },
        (S::Stopping { .. }, E::StopRefused(cause)) => S::Undoing(Setback::Refused(*cause)),
        (S::Stopping { content }, E::Stopped) if content.salvage => {
            S::Salvaging { capture: Capture::wanted(), content }
        }
        (S::Stopping { content }, E::Stopped) => checking(0, content),
        (S::Salvaging { capture, content }, E::Capture(event)) => {
            match capture.clone().apply(event) {
                Some(capture) => salvaging(capture, content),
                None => return illegal(&capture, event),
            }
        }
        (S::Checking { attempts, content, .. }, E::Capture(CaptureEvent::Verified)) => {
            S::Claimed { attempts, content }
        }
        (S::Checking { .. }, E::Capture(CaptureEvent::Damaged(gap))) => {
            S::Undoing(Setback::NotSaved(NotSaved::Damaged(gap.clone())))
        }
        (state, event) => return illegal(&state, event),
    })
}

/// Until the new incarnation is live.
fn making(state: State, event: &E) -> Result<State, IllegalEvent> {
    Ok(match (state, event) {
        (S::Claimed { .. }, E::Cancelled) => S::Undoing(Setback::Cancelled),
        (S::Claimed { attempts, content }, E::Capture(CaptureEvent::Outdated))
            if content.restore.is_some() =>
        {
            checking(attempts, content)
        }
        (S::Claimed { attempts, content }, E::CreateIntended) => {
            S::Creating { attempts: attempts + 1, content }
        }
        (S::Creating { content, .. }, E::Created(live) | E::Adopted(live)) => {
            S::Created { live: live.clone(), content }
        }
        (
            creating @ S::Creating { .. },
            E::CreateDoubtful(_) | E::CreateRefused(Cause::AlreadyExists),
        ) => creating,
        (S::Creating { attempts, content }, E::CreateRefused(cause)) => {
            again(attempts, content, *cause)
        }
        // It was in doubt, perhaps over a restart: what will be put back is read back again.
        (S::Creating { attempts, content }, E::NotCreated) if attempts < MAX_ATTEMPTS => {
            checking(attempts, content)
        }
        (S::Creating { .. }, E::NotCreated) => S::Undoing(Setback::Refused(Cause::GatewayFailed)),
        (S::Creating { .. }, E::Returned) => S::Undoing(Setback::Returned),
        (S::Creating { .. } | S::Created { .. }, E::Stranger(live)) => {
            S::Undoing(Setback::Stranger(live.clone()))
        }
        (S::Created { live, content }, E::BecameReady { spec, providers }) => {
            filling(Fresh { live, spec: spec.clone(), providers: providers.clone() }, content)
        }
        (S::Created { live, .. }, E::NeverReady(failed)) => {
            S::Rejected { live, why: Setback::NeverReady(failed.clone()) }
        }
        (S::Created { live, .. }, E::Cancelled) => S::Rejected { live, why: Setback::Cancelled },
        (S::Created { .. }, E::Vanished) => S::Undoing(Setback::NeverReady(vanished())),
        (state, event) => return illegal(&state, event),
    })
}

/// Until the record speaks of it.
fn finishing(state: State, event: &E) -> Result<State, IllegalEvent> {
    Ok(match (state, event) {
        (S::Filling { .. } | S::Proving { .. }, E::Vanished) => {
            S::Undoing(Setback::NeverReady(vanished()))
        }
        (S::Filling { fresh, from, content, refill }, E::Refill(event)) => {
            match refill.clone().apply(event, &from) {
                Some(Refill::Settled(data)) => proving(fresh, content, Some(data)),
                Some(refill) => S::Filling { fresh, from, content, refill },
                None => return illegal(&refill, event),
            }
        }
        (S::Proving { fresh, content, data, proofs, again }, E::Proof(proof)) => {
            match proofs.clone().apply(proof) {
                Some(proofs) => S::Proving { fresh, content, data, proofs, again },
                None => return illegal(&proofs, proof),
            }
        }
        (
            S::Proving { fresh, content, data: Some(data), proofs, again: true },
            E::Refill(compared),
        ) if proofs.next().is_none() => match refill::again(data, compared) {
            Some(data) => S::Proving { fresh, content, data: Some(data), proofs, again: false },
            None => return illegal(&proofs, event),
        },
        (S::Proving { fresh, data, proofs, .. }, E::Committed { data: otherwise })
            if proofs.next().is_none() =>
        {
            S::Done(fresh.parts(data.unwrap_or_else(|| otherwise.clone()), proofs))
        }
        (state, event) => return illegal(&state, event),
    })
}

fn going_back(state: State, event: &E) -> Result<State, IllegalEvent> {
    Ok(match (state, event) {
        (S::Rejected { live, why }, E::RemoveIntended) => S::Removing { live, why },
        (S::Removing { why, .. }, E::Removed) => S::Undoing(why),
        (doubtful @ S::Removing { .. }, E::RemoveDoubtful(_)) => doubtful,
        (S::Removing { live, why }, E::StillThere) => S::Rejected { live, why },
        (S::Undoing(setback), E::RecordRestored) => S::RolledBack(setback),
        (state, event) => return illegal(&state, event),
    })
}

/// What the gateway has lost is stopped first, so that no second copy of the agent runs beside it.
fn claimed(content: Content) -> State {
    if content.leftover.is_empty() {
        return checking(0, content);
    }
    State::Leftover { content }
}

/// What was not read now is read back before anything is made that would wait for it.
fn checking(attempts: u32, content: Content) -> State {
    match content.restore.clone() {
        Some(from) => State::Checking { attempts, content, from },
        None => State::Claimed { attempts, content },
    }
}

/// Back to asking, or back altogether: a refusal for what the request says is not mended by asking again.
fn again(attempts: u32, content: Content, cause: Cause) -> State {
    if attempts < MAX_ATTEMPTS && cause.may_pass() {
        return State::Claimed { attempts, content };
    }
    State::Undoing(Setback::Refused(cause))
}

/// What could not be read stays where it is, in containers that are kept; what the plan named is put back then.
fn salvaging(capture: Capture, content: Content) -> State {
    match capture {
        Capture::Verified(saved) => {
            State::Claimed { attempts: 0, content: Content { restore: Some(saved), ..content } }
        }
        Capture::Failed(why) => checking(0, Content { unread: Some(why), ..content }),
        capture => State::Salvaging { capture, content },
    }
}

fn filling(fresh: Fresh, content: Content) -> State {
    match content.restore.clone() {
        Some(from) => State::Filling { fresh, from, content, refill: Refill::wanted() },
        None => proving(fresh, content, None),
    }
}

fn proving(fresh: Fresh, content: Content, data: Option<Part>) -> State {
    let again = matches!(data, Some(Part::Restored { .. }));
    let data = content.with_unread(data);
    State::Proving { fresh, content, data, proofs: Proofs::default(), again }
}

fn vanished() -> Failed {
    Failed { reason: "Vanished".to_owned(), exit_code: None }
}
