//! The transitions of a copy, but for waiting: see the table on [`super`].

use super::{Event as E, Finding, MAX_ATTEMPTS, State, State as S, Then};
use crate::{
    id::LiveId,
    saga::{
        Cause, Failed, IllegalEvent, Part, Parts, Setback,
        capture::{Capture, Saved},
        illegal,
        proofs::Proofs,
        rebuild::Fresh,
        refill::Refill,
    },
};

/// While there is no copy, or none that is known of.
pub(super) fn not_there(state: State, event: &E) -> Result<State, IllegalEvent> {
    Ok(match (state, event) {
        (S::Accepted, E::Begun { keep: true, from: Some(from) }) => {
            S::Saved { keep: true, from: from.clone(), attempts: 0 }
        }
        // A drill is about what is in the repository, not about what an adapter may still remember of it.
        (S::Accepted, E::Begun { keep: false, from: Some(from) }) => {
            S::Saving { keep: false, capture: Capture::Taken(from.clone()) }
        }
        (S::Accepted, E::Begun { keep, from: None }) => {
            S::Saving { keep: *keep, capture: Capture::wanted() }
        }
        (S::Accepted, E::RecordChanged) => S::RolledBack(Setback::RecordChanged),
        (S::Accepted | S::Saving { .. } | S::Saved { .. }, E::Cancelled) => {
            S::RolledBack(Setback::Cancelled)
        }
        (S::Saving { keep, capture }, E::Capture(event)) => match capture.clone().apply(event) {
            Some(Capture::Verified(from)) => S::Saved { keep, from, attempts: 0 },
            Some(Capture::Failed(why)) => back(keep, Setback::NotSaved(why)),
            Some(capture) => S::Saving { keep, capture },
            None => return illegal(&capture, event),
        },
        (S::Saved { keep, from, attempts }, E::CreateIntended) => {
            S::Creating { keep, from, attempts: attempts + 1 }
        }
        (S::Creating { keep, from, .. }, E::Created(live) | E::Adopted(live)) => {
            S::Created { keep, from, live: live.clone() }
        }
        (
            creating @ S::Creating { .. },
            E::CreateDoubtful(_) | E::CreateRefused(Cause::AlreadyExists),
        ) => creating,
        (S::Creating { keep, from, attempts }, E::CreateRefused(cause)) => {
            again(keep, from, attempts, *cause)
        }
        (S::Creating { keep, from, attempts }, E::NotCreated) => {
            again(keep, from, attempts, Cause::GatewayFailed)
        }
        (S::Creating { keep, .. }, E::Stranger(live)) => {
            back(keep, Setback::Stranger(live.clone()))
        }
        (S::Noting(finding), E::Noted) => match finding {
            Finding::Compared { fresh, data } => S::Done(drilled(fresh, data)),
            Finding::Failed(why) => S::RolledBack(why),
        },
        (state, event) => return illegal(&state, event),
    })
}

/// Once there is a copy of this recovery's own.
pub(super) fn there(state: State, event: &E) -> Result<State, IllegalEvent> {
    Ok(match (state, event) {
        (S::Created { keep, from, live }, E::BecameReady { spec, providers }) => {
            let fresh = Fresh { live, spec: spec.clone(), providers: providers.clone() };
            S::Filling { keep, from, fresh, refill: Refill::wanted() }
        }
        (S::Created { keep, live, .. }, E::NeverReady(failed)) => {
            discard(keep, live, Setback::NeverReady(failed.clone()))
        }
        (S::Created { keep, .. }, E::Stranger(other)) => {
            back(keep, Setback::Stranger(other.clone()))
        }
        (S::Created { keep, live, .. }, E::Cancelled) => discard(keep, live, Setback::Cancelled),
        (S::Filling { keep, fresh: Fresh { live, .. }, .. }, E::Cancelled) => {
            discard(keep, live, Setback::Cancelled)
        }
        (S::Proving { fresh: Fresh { live, .. }, .. }, E::Cancelled) => {
            discard(true, live, Setback::Cancelled)
        }
        (S::Created { keep, .. } | S::Filling { keep, .. }, E::Vanished) => back(keep, vanished()),
        (S::Proving { .. } | S::Registering { .. }, E::Vanished) => back(true, vanished()),
        (S::Filling { keep, fresh, .. }, E::GaveUp(cause)) => {
            discard(keep, fresh.live, Setback::Refused(*cause))
        }
        (S::Registering { fresh, .. }, E::GaveUp(cause)) => {
            discard(true, fresh.live, Setback::Refused(*cause))
        }
        (S::Filling { keep, from, fresh, refill }, E::Refill(event)) => {
            match refill.clone().apply(event, &from) {
                Some(Refill::Settled(data)) if keep => {
                    S::Proving { fresh, data, proofs: Proofs::default() }
                }
                Some(Refill::Settled(data)) => {
                    let live = fresh.live.clone();
                    let finding = Finding::Compared { fresh, data };
                    S::Discarding { live, then: Then { keep, finding } }
                }
                Some(refill) => S::Filling { keep, from, fresh, refill },
                None => return illegal(&refill, event),
            }
        }
        (S::Proving { fresh, data, proofs }, E::Proof(proof)) => {
            match proofs.clone().apply(proof) {
                Some(proofs) => S::Proving { fresh, data, proofs },
                None => return illegal(&proofs, event),
            }
        }
        (S::Proving { fresh, data, proofs }, E::RegisterIntended) if proofs.next().is_none() => {
            S::Registering { fresh, data, proofs }
        }
        (registering @ S::Registering { .. }, E::RegisterIntended) => registering,
        (S::Registering { fresh, data, proofs }, E::Registered) => {
            S::Done(fresh.parts(data, proofs))
        }
        (state @ (S::Discarding { .. } | S::Removing { .. }), event) => {
            return taken_away(state, event);
        }
        (state, event) => return illegal(&state, event),
    })
}

/// While it is being taken away.
fn taken_away(state: State, event: &E) -> Result<State, IllegalEvent> {
    Ok(match (state, event) {
        (S::Discarding { live, then }, E::RemoveIntended) => S::Removing { live, then },
        (S::Removing { then, .. }, E::Removed) => match then.finding {
            Finding::Failed(why) => back(then.keep, why),
            compared @ Finding::Compared { .. } => S::Noting(compared),
        },
        (removing @ S::Removing { .. }, E::RemoveDoubtful(_)) => removing,
        (S::Removing { live, then }, E::StillThere) => S::Discarding { live, then },
        (state, event) => return illegal(&state, event),
    })
}

/// A refusal for what the request says is not mended by asking again.
fn again(keep: bool, from: Saved, attempts: u32, cause: Cause) -> State {
    if attempts < MAX_ATTEMPTS && cause.may_pass() {
        return State::Saved { keep, from, attempts };
    }
    back(keep, Setback::Refused(cause))
}

/// Nothing of this recovery's is on the gateway.
fn back(keep: bool, why: Setback) -> State {
    if keep || why == Setback::Cancelled {
        return State::RolledBack(why);
    }
    State::Noting(Finding::Failed(why))
}

fn discard(keep: bool, live: LiveId, why: Setback) -> State {
    State::Discarding { live, then: Then { keep, finding: Finding::Failed(why) } }
}

fn vanished() -> Setback {
    Setback::NeverReady(Failed { reason: "Vanished".to_owned(), exit_code: None })
}

/// Nothing is live of a drill any more; what was read of it while it was counts.
fn drilled(fresh: Fresh, data: Part) -> Parts {
    Parts {
        live_id: None,
        data,
        config: fresh.spec,
        policy: Part::NotApplicable,
        providers: fresh.providers,
        posture: Part::NotApplicable,
    }
}
