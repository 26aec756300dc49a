//! Stale recovery: the sandbox is proven absent; make it again from the record.
//!
//! | state | event | state |
//! |---|---|---|
//! | Accepted | Cancelled | RolledBack |
//! | Accepted, Claiming | ClaimIntended | Claiming *(doubtful)* |
//! | Claiming | Claimed | Leftover when the runtime still holds containers of it; else as when they are dealt with |
//! | Claiming | ClaimLost | RolledBack |
//! | Leftover | StopIntended | Stopping *(doubtful)* |
//! | Leftover, Salvaging, Checking | Cancelled | Undoing |
//! | Stopping | Stopped | Salvaging; dealt with when the plan does not read them |
//! | Stopping | StopDoubtful | Leftover: a stop can be asked for again |
//! | Stopping | StopRefused | Undoing |
//! | Salvaging | Capture | Salvaging; Claimed when verified: that will be put back; dealt with when there is none |
//! | *dealt with* | | Checking when a snapshot is to be put back; Claimed when none is |
//! | Checking | Capture: verified, damaged | Claimed, Undoing |
//! | Claimed, something to be put back | Capture: outdated | Checking |
//! | Claimed | CreateIntended | Creating *(doubtful)* |
//! | Claimed | Cancelled | Undoing |
//! | Creating | Created, Adopted | Created |
//! | Creating | CreateDoubtful, CreateRefused: name taken | Creating: look who has it |
//! | Creating | CreateRefused otherwise | Claimed again, at most three times; then Undoing |
//! | Creating | NotCreated | as outdated, likewise; Claimed when nothing is to be put back |
//! | Creating | Stranger, Returned | Undoing |
//! | Created | BecameReady | Filling, or Proving when there is nothing to put back |
//! | Created | NeverReady, Cancelled | Rejected |
//! | Created, Filling, Proving | Vanished | Undoing |
//! | Created | Stranger | Undoing |
//! | Filling | Refill | Filling; Proving when settled |
//! | Proving | Proof | Proving |
//! | Proving, all proven, something put back | Refill: compared again, not compared | Proving: what differs is owed |
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
//!
//! Containers that the gateway has lost are stopped before a second copy of the agent runs, and kept. What they hold is read
//! then, unless a snapshot was asked for by name. If that fails nothing is lost; that it was not put back is owed.

mod content;
mod fold;
mod narrate;

use serde::{Deserialize, Serialize};

pub use self::content::Content;
use super::{
    Cause, Ending, Failed, IllegalEvent, Next, ParkReason, Part, Parts, Saga, Setback,
    capture::{Capture, CaptureEvent, CaptureStep, Saved},
    illegal,
    proofs::{Proof, ProofEvent, Proofs},
    rebuild::Fresh,
    refill::{Refill, RefillEvent, RefillStep},
};
use crate::{
    SagaKind,
    id::{ComputeId, LiveId},
};

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
    /// The record says that it is being recovered, and the runtime holds containers that the gateway has lost.
    Leftover {
        /// What will be put back unless they yield something newer.
        content: Content,
    },
    /// A stop of them was intended. Whether they are stopped is not known.
    Stopping {
        /// See `Leftover`.
        content: Content,
    },
    /// They are stopped, and are being read.
    Salvaging {
        /// How far that is.
        capture: Capture,
        /// See `Leftover`.
        content: Content,
    },
    /// What will be put back is being read back from the repository: it has to be intact before anything is made.
    Checking {
        /// Creates tried so far.
        attempts: u32,
        /// What will be put back.
        content: Content,
        /// It.
        from: Saved,
    },
    /// The record says that it is being recovered.
    Claimed {
        /// Creates tried so far.
        attempts: u32,
        /// What will be put back.
        content: Content,
    },
    /// A create was intended. Whether it took effect is not known.
    Creating {
        /// This one included.
        attempts: u32,
        /// What will be put back.
        content: Content,
    },
    /// The sandbox exists and is this recovery's.
    Created {
        /// Its incarnation.
        live: LiveId,
        /// What will be put back.
        content: Content,
    },
    /// It is live, and the workspace is being put back.
    Filling {
        /// It.
        fresh: Fresh,
        /// What is put back.
        from: Saved,
        /// It, and what could not be read.
        content: Content,
        /// How far that is.
        refill: Refill,
    },
    /// It has yet to prove what the record promises.
    Proving {
        /// It.
        fresh: Fresh,
        /// What was put back, and what could not be read.
        content: Content,
        /// The workspace's files, where something was put back or is owed.
        data: Option<Part>,
        /// What is proven so far.
        proofs: Proofs,
        /// Whether what was put back is still to be compared once more.
        again: bool,
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
        /// The containers that the plan found, which the gateway has lost.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        leftover: Vec<ComputeId>,
        /// Whether the plan reads them.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        salvage: bool,
        /// What the plan puts back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restore: Option<Saved>,
    },
    /// The record had changed since the plan.
    ClaimLost,
    /// Somebody asked to go back.
    Cancelled,
    /// A stop of what the gateway has lost will be asked for.
    StopIntended,
    /// All of it was seen to have ended. It is kept.
    Stopped,
    /// It goes on.
    StopRefused(Cause),
    /// It may go on.
    StopDoubtful(Cause),
    /// See [`CaptureEvent`].
    Capture(CaptureEvent),
    /// See [`RefillEvent`].
    Refill(RefillEvent),
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
    /// Stop the containers that the gateway has lost.
    StopLeftover,
    /// Read what they hold.
    Capture(CaptureStep),
    /// Put the workspace back.
    Refill(RefillStep),
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
    /// Take the mark off the record.
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
        match (state, event) {
            (State::Parked { was, .. }, Event::Resumed) => Ok(*was),
            (
                state @ (State::Done(_) | State::RolledBack(_) | State::Parked { .. }),
                event @ Event::Parked(_),
            ) => illegal(&state, event),
            (state, Event::Parked(why)) => Ok(State::Parked { was: Box::new(state), why: *why }),
            (state, event) => fold::apply(state, event),
        }
    }

    fn next(state: &State) -> Next<Step> {
        match state {
            State::Accepted | State::Claiming => Next::Do(Step::Claim),
            State::Leftover { .. } | State::Stopping { .. } => Next::Do(Step::StopLeftover),
            State::Salvaging { capture, .. } => {
                Next::Do(Step::Capture(capture.next().unwrap_or(CaptureStep::Take)))
            }
            State::Checking { .. } => Next::Do(Step::Capture(CaptureStep::Verify)),
            State::Claimed { .. } => Next::Do(Step::Create),
            State::Creating { .. } => Next::Do(Step::ResolveCreate),
            State::Created { .. } => Next::Do(Step::AwaitReady),
            State::Filling { refill, .. } => {
                Next::Do(Step::Refill(refill.next().unwrap_or(RefillStep::Compare)))
            }
            State::Proving { proofs, again, .. } => match proofs.next() {
                Some(proof) => Next::Do(Step::Prove(proof)),
                None if *again => Next::Do(Step::Refill(RefillStep::CompareAgain)),
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
            Step::StopLeftover => Some(Event::StopIntended),
            Step::Capture(step) => step.intent().map(Event::Capture),
            Step::Refill(step) => step.intent().map(Event::Refill),
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
            Step::StopLeftover => "stop_leftover",
            Step::Capture(step) => step.as_str(),
            Step::Refill(step) => step.as_str(),
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
            State::Leftover { .. } => "leftover",
            State::Stopping { .. } => "stopping",
            State::Salvaging { .. } => "salvaging",
            State::Checking { .. } => "checking",
            State::Claimed { .. } => "claimed",
            State::Creating { .. } => "creating",
            State::Created { .. } => "created",
            State::Filling { .. } => "filling",
            State::Proving { .. } => "proving",
            State::Rejected { .. } => "rejected",
            State::Removing { .. } => "removing",
            State::Undoing(_) => "undoing",
            State::RolledBack(_) => "rolled_back",
            State::Done(_) => "done",
            State::Parked { .. } => "parked",
        }
    }

    /// What a process that is gone has read back is read back again before anything is made: the repository may have been
    /// written to since (scenario T13).
    fn taken_up(state: &State) -> Option<Event> {
        match state {
            State::Claimed { content: Content { restore: Some(_), .. }, .. } => {
                Some(Event::Capture(CaptureEvent::Outdated))
            }
            _ => None,
        }
    }

    fn taken(event: &Event) -> Option<&Saved> {
        match event {
            Event::Capture(event) => event.taken(),
            _ => None,
        }
    }

    fn refill(event: &Event) -> Option<&RefillEvent> {
        match event {
            Event::Refill(event) => Some(event),
            _ => None,
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
