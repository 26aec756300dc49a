//! Copy: make another sandbox from the record and a snapshot. Kept under a name of its own, or, for a drill, taken away again.
//!
//! | state | event | state |
//! |---|---|---|
//! | Accepted | Begun | Saving; Saved when the plan names a snapshot, which a drill has read back first |
//! | Accepted | RecordChanged | RolledBack |
//! | Saving | Capture | Saving; Saved when verified; *back* when there is no complete snapshot |
//! | Accepted, Saving, Saved | Cancelled | *back* |
//! | Saved | CreateIntended | Creating *(doubtful)* |
//! | Creating | Created, Adopted | Created |
//! | Creating | CreateDoubtful, CreateRefused: name taken | Creating: look who has it |
//! | Creating | CreateRefused otherwise, NotCreated | Saved again, at most three times; then *back* |
//! | Creating, Created | Stranger | *back*: it is left alone |
//! | Created | BecameReady | Filling |
//! | Created | NeverReady | Discarding |
//! | Filling | GaveUp | Discarding |
//! | Created, Filling, Proving | Cancelled | Discarding |
//! | Created, Filling, Proving | Vanished | *back* |
//! | Filling | Refill | Filling; settled: Proving for one that is kept, Discarding for a drill |
//! | Proving | Proof | Proving |
//! | Proving, all proven | RegisterIntended | Registering *(doubtful)*: **from here on there is no way back by request** |
//! | Registering | Registered | Done: it is a sandbox like any other |
//! | Registering | GaveUp: its name is another record's | Discarding |
//! | Registering | Vanished | *back* |
//! | Discarding | RemoveIntended | Removing *(doubtful)* |
//! | Removing | Removed | Noting for a drill that was compared; *back* otherwise |
//! | Removing | RemoveDoubtful | Removing: look |
//! | Removing | StillThere | Discarding |
//! | Noting | Noted | Done, or RolledBack |
//! | any but Done, RolledBack | Parked | Parked |
//! | Parked | Resumed | as before |
//!
//! *back* is RolledBack, by way of Noting for a drill that nobody cancelled: that a drill failed is what it is for.
//!
//! The source is only read. What was created is this recovery's own, proven by stamp and id, and until it is registered it holds
//! nothing of anyone's: it is taken away whatever happens.

mod fold;
mod narrate;

use serde::{Deserialize, Serialize};

use super::{
    Cause, Ending, Failed, IllegalEvent, Next, ParkReason, Part, Parts, Saga, Setback,
    capture::{Capture, CaptureEvent, CaptureStep, Saved},
    illegal,
    proofs::{Proof, ProofEvent, Proofs},
    rebuild::Fresh,
    refill::{Refill, RefillEvent, RefillStep},
};
use crate::{SagaKind, id::LiveId};

/// How often the gateway is asked to create before the recovery goes back.
pub const MAX_ATTEMPTS: u32 = 3;

/// The definition.
#[derive(Debug, Clone, Copy)]
pub struct Copy;

/// What is true now. `keep`: false for a drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The plan is durable; nothing has been touched.
    Accepted,
    /// The source's workspace is being read.
    Saving {
        /// Whether the copy stays.
        keep: bool,
        /// How far that is.
        capture: Capture,
    },
    /// There is a complete snapshot to make it from.
    Saved {
        /// Whether the copy stays.
        keep: bool,
        /// The snapshot.
        from: Saved,
        /// Creates tried so far.
        attempts: u32,
    },
    /// A create was intended. Whether it took effect is not known.
    Creating {
        /// Whether the copy stays.
        keep: bool,
        /// The snapshot.
        from: Saved,
        /// This one included.
        attempts: u32,
    },
    /// The copy exists and is this recovery's.
    Created {
        /// Whether the copy stays.
        keep: bool,
        /// The snapshot.
        from: Saved,
        /// Its incarnation.
        live: LiveId,
    },
    /// It is live, and is being filled.
    Filling {
        /// Whether the copy stays.
        keep: bool,
        /// The snapshot.
        from: Saved,
        /// The copy.
        fresh: Fresh,
        /// How far that is.
        refill: Refill,
    },
    /// It stays, and has yet to prove what its source's record promises.
    Proving {
        /// The copy.
        fresh: Fresh,
        /// What the comparison found.
        data: Part,
        /// What is proven so far.
        proofs: Proofs,
    },
    /// A record for it was intended. Whether there is one is not known.
    Registering {
        /// The copy.
        fresh: Fresh,
        /// What the comparison found.
        data: Part,
        /// What is proven.
        proofs: Proofs,
    },
    /// It is to be taken away.
    Discarding {
        /// Its incarnation.
        live: LiveId,
        /// What follows.
        then: Then,
    },
    /// Its delete was intended. Whether it took effect is not known.
    Removing {
        /// Its incarnation.
        live: LiveId,
        /// What follows.
        then: Then,
    },
    /// Nothing of the drill's is left on the gateway. The record does not say yet what it came to.
    Noting(Finding),
    /// There is no copy.
    RolledBack(Setback),
    /// The copy is recorded, or the drill is.
    Done(Parts),
    /// Waits.
    Parked {
        /// Where.
        was: Box<State>,
        /// For what.
        why: ParkReason,
    },
}

/// What follows once the copy is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Then {
    /// Whether it was meant to stay.
    pub keep: bool,
    /// Why it is taken away.
    pub finding: Finding,
}

/// What a drill came to, or why a copy was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It was restored and compared.
    Compared {
        /// The copy as it was.
        fresh: Fresh,
        /// What the comparison found.
        data: Part,
    },
    /// It never came to that.
    Failed(Setback),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The record is the one that the plan was made from.
    Begun {
        /// Whether the copy stays.
        keep: bool,
        /// What it is made from; absent: from what is read now.
        from: Option<Saved>,
    },
    /// The record had changed since the plan.
    RecordChanged,
    /// Somebody asked to go back.
    Cancelled,
    /// See [`CaptureEvent`].
    Capture(CaptureEvent),
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
    /// It is live.
    BecameReady {
        /// Its spec, read back.
        spec: Part,
        /// Its providers, read back.
        providers: Part,
    },
    /// It failed before it was live.
    NeverReady(Failed),
    /// It is gone.
    Vanished,
    /// See [`RefillEvent`].
    Refill(RefillEvent),
    /// It cannot be filled, or not be recorded.
    GaveUp(Cause),
    /// See [`ProofEvent`].
    Proof(ProofEvent),
    /// A record for it will be asked for.
    RegisterIntended,
    /// It has a record of its own.
    Registered,
    /// The delete of the copy will be asked for.
    RemoveIntended,
    /// It is gone.
    Removed,
    /// It may be.
    RemoveDoubtful(Cause),
    /// It is not.
    StillThere,
    /// The source's record says what the drill came to.
    Noted,
    /// It waits.
    Parked(ParkReason),
    /// It goes on.
    Resumed,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Hold the record against the plan.
    Begin,
    /// Read the source's workspace.
    Capture(CaptureStep),
    /// Create from the record, stamped, under the copy's name.
    Create,
    /// Find out what a doubtful create came to.
    ResolveCreate,
    /// Wait until it is live.
    AwaitReady,
    /// Write the snapshot, and compare.
    Refill(RefillStep),
    /// Prove one thing.
    Prove(Proof),
    /// Make a record for it.
    Register,
    /// Delete the copy.
    Remove,
    /// Find out what a doubtful delete came to.
    ResolveRemove,
    /// Write into the source's record what the drill came to.
    Note,
}

// === impl Copy ===

impl Saga for Copy {
    type State = State;
    type Event = Event;
    type Step = Step;

    const KIND: SagaKind = SagaKind::Copy;

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
            (state, event) if state.live().is_some() => fold::there(state, event),
            (state, event) => fold::not_there(state, event),
        }
    }

    fn next(state: &State) -> Next<Step> {
        match state {
            State::Accepted => Next::Do(Step::Begin),
            State::Saving { capture, .. } => {
                Next::Do(Step::Capture(capture.next().unwrap_or(CaptureStep::Take)))
            }
            State::Saved { .. } => Next::Do(Step::Create),
            State::Creating { .. } => Next::Do(Step::ResolveCreate),
            State::Created { .. } => Next::Do(Step::AwaitReady),
            State::Filling { refill, .. } => {
                Next::Do(Step::Refill(refill.next().unwrap_or(RefillStep::Compare)))
            }
            State::Proving { proofs, .. } => match proofs.next() {
                Some(proof) => Next::Do(Step::Prove(proof)),
                None => Next::Do(Step::Register),
            },
            State::Registering { .. } => Next::Do(Step::Register),
            State::Discarding { .. } => Next::Compensate(Step::Remove),
            State::Removing { .. } => Next::Compensate(Step::ResolveRemove),
            State::Noting(_) => Next::Do(Step::Note),
            State::RolledBack(setback) => Next::Finished(Ending::RolledBack(setback.clone())),
            State::Done(parts) => Next::Finished(Ending::Done(parts.clone())),
            State::Parked { why, .. } => Next::Park(*why),
        }
    }

    fn intent(_: &State, step: Step) -> Option<Event> {
        match step {
            Step::Capture(step) => step.intent().map(Event::Capture),
            Step::Create => Some(Event::CreateIntended),
            Step::Refill(step) => step.intent().map(Event::Refill),
            Step::Prove(proof) => Some(Event::Proof(ProofEvent::Intended(proof))),
            Step::Register => Some(Event::RegisterIntended),
            Step::Remove => Some(Event::RemoveIntended),
            // To note is compare-and-swap: doing it again is seen as done.
            Step::Begin
            | Step::ResolveCreate
            | Step::AwaitReady
            | Step::ResolveRemove
            | Step::Note => None,
        }
    }

    fn name(step: Step) -> &'static str {
        match step {
            Step::Begin => "begin",
            Step::Capture(step) => step.as_str(),
            Step::Create => "create",
            Step::ResolveCreate => "resolve_create",
            Step::AwaitReady => "await_ready",
            Step::Refill(step) => step.as_str(),
            Step::Prove(proof) => proof.as_str(),
            Step::Register => "register",
            Step::Remove => "remove_copy",
            Step::ResolveRemove => "resolve_remove",
            Step::Note => "note",
        }
    }

    fn phase(state: &State) -> &'static str {
        match state {
            State::Accepted => "accepted",
            State::Saving { .. } => "saving",
            State::Saved { .. } => "saved",
            State::Creating { .. } => "creating",
            State::Created { .. } => "created",
            State::Filling { .. } => "filling",
            State::Proving { .. } => "proving",
            State::Registering { .. } => "registering",
            State::Discarding { .. } => "discarding",
            State::Removing { .. } => "removing",
            State::Noting(_) => "noting",
            State::RolledBack(_) => "rolled_back",
            State::Done(_) => "done",
            State::Parked { .. } => "parked",
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

// === impl State ===

impl State {
    /// The copy, while there is one that is known to be this recovery's.
    pub const fn live(&self) -> Option<&LiveId> {
        match self {
            Self::Created { live, .. }
            | Self::Discarding { live, .. }
            | Self::Removing { live, .. } => Some(live),
            Self::Filling { fresh, .. }
            | Self::Proving { fresh, .. }
            | Self::Registering { fresh, .. } => Some(&fresh.live),
            Self::Accepted
            | Self::Saving { .. }
            | Self::Saved { .. }
            | Self::Creating { .. }
            | Self::Noting(_)
            | Self::RolledBack(_)
            | Self::Done(_)
            | Self::Parked { .. } => None,
        }
    }
}
