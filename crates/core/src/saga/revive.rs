//! Revive: the sandbox is stopped, or failed in a way that a start mends. Start it, and touch nothing else.
//!
//! | state | event | state |
//! |---|---|---|
//! | Accepted | Cancelled | RolledBack |
//! | Accepted, Claiming | ClaimIntended | Claiming *(doubtful)* |
//! | Claiming | Claimed | Claimed |
//! | Claiming | ClaimLost | RolledBack |
//! | Claimed | StartIntended | Starting *(doubtful)* |
//! | Claimed | Cancelled | Undoing |
//! | Starting | Started | Started |
//! | Starting | StartDoubtful | Starting: look |
//! | Starting | StartRefused, NotStarted | Claimed again, at most three times; then Undoing |
//! | Starting, Started | Gone, Stranger | Undoing |
//! | Started | BecameReady | Proving |
//! | Started | FailedAgain | Undoing |
//! | Proving | Proof | Proving |
//! | Proving, all proven | Committed | Done |
//! | Undoing | RecordRestored | RolledBack |
//! | any but Done, RolledBack | Parked | Parked |
//! | Parked | Resumed | as before |
//!
//! A start deletes nothing, so every state before `Done` may go back by putting the record back.

use serde::{Deserialize, Serialize};

use super::{
    Cause, Ending, Failed, IllegalEvent, Narrate, Next, ParkReason, Part, Parts, Saga, Setback,
    illegal,
    proofs::{Proof, ProofEvent, Proofs},
};
use crate::{SagaKind, id::LiveId};

/// How often the gateway is asked to start before the recovery goes back.
pub const MAX_ATTEMPTS: u32 = 3;

/// The definition.
#[derive(Debug, Clone, Copy)]
pub struct Revive;

/// What is true now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The plan is durable; nothing has been touched.
    Accepted,
    /// The mark on the record was intended. Whether it is there is not known; asking again is seen as done.
    Claiming,
    /// The record says that it is being recovered.
    Claimed {
        /// Starts tried so far.
        attempts: u32,
    },
    /// A start was intended. Whether it took effect is not known.
    Starting {
        /// This one included.
        attempts: u32,
    },
    /// The gateway is starting it.
    Started,
    /// It is live, and has yet to prove what the record promises.
    Proving {
        /// Its incarnation: the recorded one.
        live: LiveId,
        /// Its spec, read back.
        spec: Part,
        /// Its providers, read back.
        providers: Part,
        /// What is proven so far.
        proofs: Proofs,
    },
    /// The record is to be put back.
    Undoing(Setback),
    /// The record is as it was.
    RolledBack(Setback),
    /// The record is active again.
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
    /// A start will be asked for.
    StartIntended,
    /// It starts.
    Started,
    /// It does not.
    StartRefused(Cause),
    /// It may.
    StartDoubtful(Cause),
    /// It is at rest as before.
    NotStarted,
    /// The sandbox does not exist any more.
    Gone,
    /// Another incarnation has the name.
    Stranger(LiveId),
    /// It is live.
    BecameReady {
        /// Its incarnation: the recorded one.
        live: LiveId,
        /// Its spec, read back.
        spec: Part,
        /// Its providers, read back.
        providers: Part,
    },
    /// It failed.
    FailedAgain(Failed),
    /// See [`ProofEvent`].
    Proof(ProofEvent),
    /// The record is active again.
    Committed,
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
    /// Start the recorded incarnation.
    Start,
    /// Find out what a doubtful start came to.
    ResolveStart,
    /// Wait until it is live.
    AwaitReady,
    /// Prove one thing.
    Prove(Proof),
    /// Mark the record active.
    Commit,
    /// Take the mark off the record.
    RestoreRecord,
}

// === impl Revive ===

impl Saga for Revive {
    type State = State;
    type Event = Event;
    type Step = Step;

    const KIND: SagaKind = SagaKind::Revive;

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
            (S::Claimed { attempts }, E::StartIntended) => S::Starting { attempts: attempts + 1 },
            (S::Starting { .. }, E::Started) => S::Started,
            (S::Starting { attempts }, E::StartDoubtful(_)) => S::Starting { attempts },
            (S::Starting { attempts }, E::StartRefused(cause)) => again(attempts, *cause),
            (S::Starting { attempts }, E::NotStarted) => again(attempts, Cause::NotSettled),
            (S::Starting { .. } | S::Started, E::Gone) => {
                S::Undoing(Setback::Refused(Cause::NotFound))
            }
            (S::Starting { .. } | S::Started, E::Stranger(live)) => {
                S::Undoing(Setback::Stranger(live.clone()))
            }
            (S::Started, E::BecameReady { live, spec, providers }) => S::Proving {
                live: live.clone(),
                spec: spec.clone(),
                providers: providers.clone(),
                proofs: Proofs::default(),
            },
            (S::Started, E::FailedAgain(failed)) => S::Undoing(Setback::NeverReady(failed.clone())),
            (S::Proving { live, spec, providers, proofs }, E::Proof(proof)) => {
                match proofs.clone().apply(proof) {
                    Some(proofs) => S::Proving { live, spec, providers, proofs },
                    None => return illegal(&proofs, event),
                }
            }
            (S::Proving { live, spec, providers, proofs }, E::Committed)
                if proofs.next().is_none() =>
            {
                S::Done(parts(live, spec, providers, proofs))
            }
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
            State::Claimed { .. } => Next::Do(Step::Start),
            State::Starting { .. } => Next::Do(Step::ResolveStart),
            State::Started => Next::Do(Step::AwaitReady),
            State::Proving { proofs, .. } => match proofs.next() {
                Some(proof) => Next::Do(Step::Prove(proof)),
                None => Next::Do(Step::Commit),
            },
            State::Undoing(_) => Next::Compensate(Step::RestoreRecord),
            State::RolledBack(setback) => Next::Finished(Ending::RolledBack(setback.clone())),
            State::Done(parts) => Next::Finished(Ending::Done(parts.clone())),
            State::Parked { why, .. } => Next::Park(*why),
        }
    }

    fn intent(_: &State, step: Step) -> Option<Event> {
        match step {
            Step::Claim => Some(Event::ClaimIntended),
            Step::Start => Some(Event::StartIntended),
            Step::Prove(proof) => Some(Event::Proof(ProofEvent::Intended(proof))),
            Step::ResolveStart | Step::AwaitReady | Step::Commit | Step::RestoreRecord => None,
        }
    }

    fn name(step: Step) -> &'static str {
        match step {
            Step::Claim => "claim",
            Step::Start => "start",
            Step::ResolveStart => "resolve_start",
            Step::AwaitReady => "await_ready",
            Step::Prove(proof) => proof.as_str(),
            Step::Commit => "commit",
            Step::RestoreRecord => "restore_record",
        }
    }

    fn phase(state: &State) -> &'static str {
        match state {
            State::Accepted => "accepted",
            State::Claiming => "claiming",
            State::Claimed { .. } => "claimed",
            State::Starting { .. } => "starting",
            State::Started => "started",
            State::Proving { .. } => "proving",
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

fn again(attempts: u32, cause: Cause) -> State {
    if attempts < MAX_ATTEMPTS && cause.may_pass() {
        return State::Claimed { attempts };
    }
    State::Undoing(Setback::Refused(cause))
}

/// A start keeps the container's filesystem: the data part is what the gateway promises of it.
fn parts(live: LiveId, spec: Part, providers: Part, proofs: Proofs) -> Parts {
    Parts {
        live_id: Some(live),
        data: Part::Kept,
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
            Self::StartIntended
            | Self::Started
            | Self::StartRefused(_)
            | Self::StartDoubtful(_) => "start",
            Self::NotStarted | Self::Gone | Self::Stranger(_) => "resolve_start",
            Self::BecameReady { .. } | Self::FailedAgain(_) => "await_ready",
            Self::Proof(proof) => return proof.step(),
            Self::Committed => "commit",
            Self::RecordRestored => "restore_record",
            Self::Cancelled | Self::Parked(_) | Self::Resumed => return None,
        })
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Claimed { .. } => "claimed",
            Self::ClaimLost => "record_changed",
            Self::Cancelled => "cancelled",
            Self::ClaimIntended | Self::StartIntended => "intended",
            Self::Started => "started",
            Self::StartRefused(_) => "refused",
            Self::StartDoubtful(_) => "doubtful",
            Self::NotStarted => "not_started",
            Self::Gone => "gone",
            Self::Stranger(_) => "stranger",
            Self::BecameReady { .. } => "ready",
            Self::FailedAgain(_) => "failed",
            Self::Proof(proof) => proof.outcome(),
            Self::Committed => "committed",
            Self::RecordRestored => "restored",
            Self::Parked(_) => "parked",
            Self::Resumed => "resumed",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Stranger(live) => live.to_string(),
            Self::StartRefused(cause) | Self::StartDoubtful(cause) => cause.sentence().to_owned(),
            Self::FailedAgain(failed) => failed.to_string(),
            Self::Proof(proof) => proof.detail(),
            Self::Parked(why) => why.to_string(),
            Self::ClaimIntended
            | Self::Claimed { .. }
            | Self::ClaimLost
            | Self::Cancelled
            | Self::StartIntended
            | Self::Started
            | Self::NotStarted
            | Self::Gone
            | Self::BecameReady { .. }
            | Self::Committed
            | Self::RecordRestored
            | Self::Resumed => String::new(),
        }
    }
}
