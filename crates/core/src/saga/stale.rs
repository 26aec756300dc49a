//! Stale recovery: the sandbox is proven absent; make it again from the record.
//!
//! | state | event | state |
//! |---|---|---|
//! | Accepted | Cancelled | RolledBack |
//! | Accepted, Claiming | ClaimIntended | Claiming *(doubtful)* |
//! | Claiming | Claimed | Claimed |
//! | Claiming | ClaimLost | RolledBack |
//! | Claimed | CreateIntended | Creating *(doubtful)* |
//! | Claimed | Cancelled | Undoing |
//! | Creating | Created, Adopted | Created |
//! | Creating | CreateDoubtful, CreateRefused: name taken | Creating: look who has it |
//! | Creating | CreateRefused otherwise | Claimed again, at most three times; then Undoing |
//! | Creating | NotCreated | Claimed again, likewise |
//! | Creating | Stranger, Returned | Undoing |
//! | Created | BecameReady | Proving |
//! | Created | NeverReady, Cancelled | Rejected |
//! | Created | Vanished, Stranger | Undoing |
//! | Proving | Proof | Proving |
//! | Proving, all proven | Committed | Done |
//! | Rejected | RemoveIntended | Removing *(doubtful)* |
//! | Removing | Removed | Undoing |
//! | Removing | RemoveDoubtful | Removing: look |
//! | Removing | StillThere | Rejected |
//! | Undoing | RecordRestored | RolledBack |
//! | any but Done, RolledBack | Parked | Parked |
//! | Parked | Resumed | as before |
//!
//! What was created and never became ready is this recovery's own, proven by stamp and id, and holds nothing of anyone's: it
//! is taken away again, so that a retry finds the name free. Once ready, there is no way back, only forward.

use serde::{Deserialize, Serialize};

use super::{
    Cause, Ending, Failed, IllegalEvent, Narrate, Next, ParkReason, Part, Parts, Saga, Setback,
    illegal,
    proofs::{Proof, ProofEvent, Proofs},
};
use crate::{SagaKind, id::LiveId};

/// How often the gateway is asked to create before the recovery goes back.
pub const MAX_ATTEMPTS: u32 = 3;

/// The definition.
#[derive(Debug, Clone, Copy)]
pub struct StaleRecovery;

/// What is true now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The plan is durable; nothing has been touched.
    Accepted,
    /// The mark on the record was intended. Whether it is there is not known; asking again is seen as done.
    Claiming,
    /// The record says that it is being recovered.
    Claimed {
        /// Creates tried so far.
        attempts: u32,
    },
    /// A create was intended. Whether it took effect is not known.
    Creating {
        /// This one included.
        attempts: u32,
    },
    /// The sandbox exists and is this recovery's.
    Created(LiveId),
    /// It is live, and has yet to prove what the record promises.
    Proving {
        /// Its incarnation.
        live: LiveId,
        /// Its spec, read back.
        spec: Part,
        /// Its providers, read back.
        providers: Part,
        /// What is proven so far.
        proofs: Proofs,
    },
    /// What was created is not wanted: it failed before it was ready, or somebody asked to go back before that.
    Rejected {
        /// Its incarnation.
        live: LiveId,
        /// Why.
        why: Setback,
    },
    /// Its delete was intended. Whether it took effect is not known.
    Removing {
        /// Its incarnation.
        live: LiveId,
        /// Why it is taken away.
        why: Setback,
    },
    /// Nothing of this recovery's is left on the gateway; the record is to be put back.
    Undoing(Setback),
    /// The record is as it was.
    RolledBack(Setback),
    /// The record speaks of the new incarnation.
    Done(Parts),
    /// Waits.
    Parked {
        /// Where.
        was: Box<State>,
        /// For what.
        why: ParkReason,
    },
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The record is about to be copied and marked.
    ClaimIntended,
    /// The record was marked, and a verbatim copy of it taken.
    Claimed {
        /// The record's version after it.
        etag: String,
        /// The copy, sealed by the registry; base64.
        entry: String,
    },
    /// The record had changed since the plan.
    ClaimLost,
    /// Somebody asked to go back.
    Cancelled,
    /// A create will be asked for.
    CreateIntended,
    /// The gateway created it.
    Created(LiveId),
    /// It bears this recovery's stamp: an earlier create had taken effect.
    Adopted(LiveId),
    /// The gateway did not create it.
    CreateRefused(Cause),
    /// It may have.
    CreateDoubtful(Cause),
    /// Every look of the settle window after the doubt said that it does not exist.
    NotCreated,
    /// A sandbox without this recovery's stamp has the name.
    Stranger(LiveId),
    /// The recorded incarnation has come back.
    Returned,
    /// It is live.
    BecameReady {
        /// Its spec, read back.
        spec: Part,
        /// Its providers, read back.
        providers: Part,
    },
    /// It failed before it was live.
    NeverReady(Failed),
    /// It was lost before it was live.
    Vanished,
    /// See [`ProofEvent`].
    Proof(ProofEvent),
    /// The record speaks of it.
    Committed {
        /// The workspace's files.
        data: Part,
    },
    /// The delete of what was created will be asked for.
    RemoveIntended,
    /// It is gone.
    Removed,
    /// It may be.
    RemoveDoubtful(Cause),
    /// It is not.
    StillThere,
    /// The record is as it was.
    RecordRestored,
    /// It waits.
    Parked(ParkReason),
    /// It goes on.
    Resumed,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Copy the record and mark it.
    Claim,
    /// Create from the record, stamped.
    Create,
    /// Find out what a doubtful create came to.
    ResolveCreate,
    /// Wait until it is live.
    AwaitReady,
    /// Prove one thing.
    Prove(Proof),
    /// Write the new incarnation into the record.
    Commit,
    /// Delete what was created and never was live.
    RemoveCreated,
    /// Find out what a doubtful delete came to.
    ResolveRemove,
    /// Put the record back, verbatim.
    RestoreRecord,
}

// === impl StaleRecovery ===

impl Saga for StaleRecovery {
    type State = State;
    type Event = Event;
    type Step = Step;

    const KIND: SagaKind = SagaKind::StaleRecovery;

    fn initial() -> State {
        State::Accepted
    }

    fn apply(state: State, event: &Event) -> Result<State, IllegalEvent> {
        use Event as E;
        use State as S;
        Ok(match (state, event) {
            (S::Accepted | S::Claiming, E::ClaimIntended) => S::Claiming,
            (S::Claiming, E::Claimed { .. }) => S::Claimed { attempts: 0 },
            (S::Claiming, E::ClaimLost) => S::RolledBack(Setback::RecordChanged),
            (S::Accepted, E::Cancelled) => S::RolledBack(Setback::Cancelled),
            (S::Claimed { .. }, E::Cancelled) => S::Undoing(Setback::Cancelled),
            (S::Claimed { attempts }, E::CreateIntended) => S::Creating { attempts: attempts + 1 },
            (S::Creating { .. }, E::Created(live) | E::Adopted(live)) => S::Created(live.clone()),
            (
                S::Creating { attempts },
                E::CreateDoubtful(_) | E::CreateRefused(Cause::AlreadyExists),
            ) => S::Creating { attempts },
            (S::Creating { attempts }, E::CreateRefused(cause)) => again(attempts, *cause),
            (S::Creating { attempts }, E::NotCreated) => again(attempts, Cause::GatewayFailed),
            (S::Creating { .. } | S::Created(_), E::Stranger(live)) => {
                S::Undoing(Setback::Stranger(live.clone()))
            }
            (S::Creating { .. }, E::Returned) => S::Undoing(Setback::Returned),
            (S::Created(live), E::BecameReady { spec, providers }) => S::Proving {
                live,
                spec: spec.clone(),
                providers: providers.clone(),
                proofs: Proofs::default(),
            },
            (S::Created(live), E::NeverReady(failed)) => {
                S::Rejected { live, why: Setback::NeverReady(failed.clone()) }
            }
            (S::Created(live), E::Cancelled) => S::Rejected { live, why: Setback::Cancelled },
            (S::Created(_), E::Vanished) => S::Undoing(Setback::NeverReady(vanished())),
            (S::Proving { live, spec, providers, proofs }, E::Proof(proof)) => {
                match proofs.clone().apply(proof) {
                    Some(proofs) => S::Proving { live, spec, providers, proofs },
                    None => return illegal(&proofs, event),
                }
            }
            (S::Proving { live, spec, providers, proofs }, E::Committed { data })
                if proofs.next().is_none() =>
            {
                S::Done(parts(live, data.clone(), spec, providers, proofs))
            }
            (S::Rejected { live, why }, E::RemoveIntended) => S::Removing { live, why },
            (S::Removing { why, .. }, E::Removed) => S::Undoing(why),
            (doubtful @ S::Removing { .. }, E::RemoveDoubtful(_)) => doubtful,
            (S::Removing { live, why }, E::StillThere) => S::Rejected { live, why },
            (S::Undoing(setback), E::RecordRestored) => S::RolledBack(setback),
            (S::Parked { was, .. }, E::Resumed) => *was,
            (state @ (S::Done(_) | S::RolledBack(_) | S::Parked { .. }), event @ E::Parked(_)) => {
                return illegal(&state, event);
            }
            (state, E::Parked(why)) => S::Parked { was: Box::new(state), why: *why },
            (state, event) => return illegal(&state, event),
        })
    }

    fn next(state: &State) -> Next<Step> {
        match state {
            State::Accepted | State::Claiming => Next::Do(Step::Claim),
            State::Claimed { .. } => Next::Do(Step::Create),
            State::Creating { .. } => Next::Do(Step::ResolveCreate),
            State::Created(_) => Next::Do(Step::AwaitReady),
            State::Proving { proofs, .. } => match proofs.next() {
                Some(proof) => Next::Do(Step::Prove(proof)),
                None => Next::Do(Step::Commit),
            },
            State::Rejected { .. } => Next::Compensate(Step::RemoveCreated),
            State::Removing { .. } => Next::Compensate(Step::ResolveRemove),
            State::Undoing(_) => Next::Compensate(Step::RestoreRecord),
            State::RolledBack(setback) => Next::Finished(Ending::RolledBack(setback.clone())),
            State::Done(parts) => Next::Finished(Ending::Done(parts.clone())),
            State::Parked { why, .. } => Next::Park(*why),
        }
    }

    fn intent(_: &State, step: Step) -> Option<Event> {
        match step {
            Step::Claim => Some(Event::ClaimIntended),
            Step::Create => Some(Event::CreateIntended),
            Step::Prove(proof) => Some(Event::Proof(ProofEvent::Intended(proof))),
            Step::RemoveCreated => Some(Event::RemoveIntended),
            // The record's other changes are compare-and-swap and the only way on: doing them again is seen as done.
            Step::ResolveCreate
            | Step::AwaitReady
            | Step::Commit
            | Step::ResolveRemove
            | Step::RestoreRecord => None,
        }
    }

    fn name(step: Step) -> &'static str {
        match step {
            Step::Claim => "claim",
            Step::Create => "create",
            Step::ResolveCreate => "resolve_create",
            Step::AwaitReady => "await_ready",
            Step::Prove(proof) => proof.as_str(),
            Step::Commit => "commit",
            Step::RemoveCreated => "remove_created",
            Step::ResolveRemove => "resolve_remove",
            Step::RestoreRecord => "restore_record",
        }
    }

    fn phase(state: &State) -> &'static str {
        match state {
            State::Accepted => "accepted",
            State::Claiming => "claiming",
            State::Claimed { .. } => "claimed",
            State::Creating { .. } => "creating",
            State::Created(_) => "created",
            State::Proving { .. } => "proving",
            State::Rejected { .. } => "rejected",
            State::Removing { .. } => "removing",
            State::Undoing(_) => "undoing",
            State::RolledBack(_) => "rolled_back",
            State::Done(_) => "done",
            State::Parked { .. } => "parked",
        }
    }

    fn parked(why: ParkReason) -> Event {
        Event::Parked(why)
    }

    fn resumed() -> Event {
        Event::Resumed
    }

    fn cancelled() -> Event {
        Event::Cancelled
    }
}

/// Back to asking, or back altogether: a refusal for what the request says is not mended by asking again.
fn again(attempts: u32, cause: Cause) -> State {
    if attempts < MAX_ATTEMPTS && cause.may_pass() {
        return State::Claimed { attempts };
    }
    State::Undoing(Setback::Refused(cause))
}

fn vanished() -> Failed {
    Failed { reason: "Vanished".to_owned(), exit_code: None }
}

fn parts(live: LiveId, data: Part, spec: Part, providers: Part, proofs: Proofs) -> Parts {
    Parts {
        live_id: Some(live),
        data,
        config: proofs.config(spec),
        policy: proofs.policy.unwrap_or(Part::NotApplicable),
        providers,
        posture: proofs.posture.unwrap_or(Part::NotApplicable),
    }
}

impl Narrate for Event {
    fn step(&self) -> Option<&'static str> {
        Some(match self {
            Self::ClaimIntended | Self::Claimed { .. } | Self::ClaimLost => "claim",
            Self::CreateIntended
            | Self::Created(_)
            | Self::CreateRefused(_)
            | Self::CreateDoubtful(_) => "create",
            Self::Adopted(_) | Self::NotCreated | Self::Stranger(_) | Self::Returned => {
                "resolve_create"
            }
            Self::BecameReady { .. } | Self::NeverReady(_) | Self::Vanished => "await_ready",
            Self::Proof(proof) => return proof.step(),
            Self::Committed { .. } => "commit",
            Self::RemoveIntended | Self::RemoveDoubtful(_) => "remove_created",
            Self::Removed | Self::StillThere => "resolve_remove",
            Self::RecordRestored => "restore_record",
            Self::Cancelled | Self::Parked(_) | Self::Resumed => return None,
        })
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Claimed { .. } => "claimed",
            Self::ClaimLost => "record_changed",
            Self::Cancelled => "cancelled",
            Self::ClaimIntended | Self::CreateIntended | Self::RemoveIntended => "intended",
            Self::Created(_) => "created",
            Self::Adopted(_) => "adopted",
            Self::CreateRefused(_) => "refused",
            Self::CreateDoubtful(_) | Self::RemoveDoubtful(_) => "doubtful",
            Self::NotCreated => "not_created",
            Self::Stranger(_) => "stranger",
            Self::Returned => "returned",
            Self::BecameReady { .. } => "ready",
            Self::NeverReady(_) => "failed",
            Self::Vanished => "vanished",
            Self::Proof(proof) => proof.outcome(),
            Self::Committed { .. } => "committed",
            Self::Removed => "removed",
            Self::StillThere => "still_there",
            Self::RecordRestored => "restored",
            Self::Parked(_) => "parked",
            Self::Resumed => "resumed",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Created(live) | Self::Adopted(live) | Self::Stranger(live) => live.to_string(),
            Self::CreateRefused(cause)
            | Self::CreateDoubtful(cause)
            | Self::RemoveDoubtful(cause) => cause.sentence().to_owned(),
            Self::NeverReady(failed) => failed.to_string(),
            Self::Proof(proof) => proof.detail(),
            Self::Parked(why) => why.to_string(),
            Self::ClaimIntended
            | Self::Claimed { .. }
            | Self::ClaimLost
            | Self::Cancelled
            | Self::CreateIntended
            | Self::NotCreated
            | Self::Returned
            | Self::BecameReady { .. }
            | Self::Vanished
            | Self::Committed { .. }
            | Self::RemoveIntended
            | Self::Removed
            | Self::StillThere
            | Self::RecordRestored
            | Self::Resumed => String::new(),
        }
    }
}
