//! Rebuild: the sandbox is present; save its workspace, take it away, make it anew, put the workspace back.
//!
//! | state | event | state |
//! |---|---|---|
//! | Accepted | Cancelled | RolledBack |
//! | Accepted, Claiming | ClaimIntended | Claiming *(doubtful)* |
//! | Claiming | Claimed | Saving; Checking when it is not read and a snapshot stands for it; Saved when nothing does |
//! | Claiming | ClaimLost | RolledBack |
//! | Saving | Capture | Saving; Saved when verified, or Checking when another is to be put back; Undoing when there is none |
//! | Checking | Capture: verified, damaged | Saved, Undoing |
//! | Saving, Checking, Saved | Cancelled | Undoing |
//! | Checking, Saved | Capture: outdated | Saving where something was read; else Checking |
//! | Saved | DeleteIntended | Deleting *(doubtful)* |
//! | Deleting | DeleteDoubtful | Deleting: look |
//! | Deleting | StillThere, DeleteRefused: workspace changed | as outdated, at most three times: it has been alive; then Undoing |
//! | Deleting | DeleteRefused otherwise | Saved again, at most three times; then Undoing |
//! | Deleting | Deleted | Gone: **from here on only forward** |
//! | Gone | CreateIntended | Creating *(doubtful)* |
//! | Creating | Created, Adopted | Created |
//! | Creating | CreateDoubtful, CreateRefused: name taken | Creating: look who has it |
//! | Creating | CreateRefused otherwise, NotCreated | Gone |
//! | Created | BecameReady | Filling, or Proving when there is nothing to put back |
//! | Created | NeverReady | Rejected |
//! | Created, Filling, Proving | Vanished | Gone |
//! | Rejected | RemoveIntended | Removing *(doubtful)* |
//! | Removing | Removed | Gone |
//! | Removing | RemoveDoubtful | Removing: look |
//! | Removing | StillThere | Rejected |
//! | Filling | Refill | Filling; Proving when settled |
//! | Proving | Proof | Proving |
//! | Proving, all proven, something put back | Refill: compared again, not compared | Proving: what differs is owed |
//! | Proving, all proven | Committed | Done |
//! | Undoing | RecordRestored | RolledBack |
//! | any but Done, RolledBack | Parked | Parked |
//! | Parked | Resumed | as before |
//!
//! The delete itself is asked for on condition that the workspace is as it was read: whoever deletes compares right before.
//!
//! Before the delete every refusal leads back, and nothing of the sandbox has been touched. After it nothing refuses: what keeps
//! failing parks, with the snapshot kept, and goes on from there.

mod fold;
mod narrate;

use serde::{Deserialize, Serialize};

use super::{
    Cause, Ending, Failed, IllegalEvent, Next, ParkReason, Part, Parts, Saga, Setback,
    capture::{Capture, CaptureEvent, CaptureStep, Saved},
    illegal,
    proofs::{Proof, ProofEvent, Proofs},
    refill::{Refill, RefillEvent, RefillStep},
};
use crate::{SagaKind, id::LiveId};

/// How often the gateway is asked to delete before the recovery goes back.
pub const MAX_DELETES: u32 = 3;

/// The definition.
#[derive(Debug, Clone, Copy)]
pub struct Rebuild;

/// What will be put back. `None`: the caller accepted that nothing is.
pub type Source = Option<Saved>;

/// What is true now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The plan is durable; nothing has been touched.
    Accepted,
    /// The mark on the record was intended. Whether it is there is not known; asking again is seen as done.
    Claiming,
    /// The workspace is being read.
    Saving {
        /// How far that is.
        capture: Capture,
        /// What is put back instead of what is read now, if the plan says so.
        instead: Source,
        /// Deletes tried so far.
        deletes: u32,
    },
    /// What will be put back was not read now, and is being read back from the repository: it has to be intact.
    Checking {
        /// Deletes tried so far.
        attempts: u32,
        /// What will be put back.
        from: Saved,
        /// What was read now, if anything was.
        taken: Source,
    },
    /// What will be put back is safe. The sandbox is as it was.
    Saved {
        /// Deletes tried so far.
        attempts: u32,
        /// What will be put back.
        source: Source,
        /// What was read now, if anything was.
        taken: Source,
    },
    /// The delete was intended. Whether it took effect is not known.
    Deleting {
        /// This one included.
        attempts: u32,
        /// What will be put back.
        source: Source,
        /// What was read now, if anything was.
        taken: Source,
    },
    /// The recorded incarnation is gone.
    Gone {
        /// Creates tried so far.
        attempts: u32,
        /// What will be put back.
        source: Source,
    },
    /// A create was intended. Whether it took effect is not known.
    Creating {
        /// This one included.
        attempts: u32,
        /// What will be put back.
        source: Source,
    },
    /// The new incarnation exists and is this recovery's.
    Created {
        /// It.
        live: LiveId,
        /// Creates tried so far.
        attempts: u32,
        /// What will be put back.
        source: Source,
    },
    /// What was created failed before it was ready. Nothing of anyone's is in it.
    Rejected {
        /// It.
        live: LiveId,
        /// Creates tried so far.
        attempts: u32,
        /// What will be put back.
        source: Source,
    },
    /// Its delete was intended. Whether it took effect is not known.
    Removing {
        /// It.
        live: LiveId,
        /// Creates tried so far.
        attempts: u32,
        /// What will be put back.
        source: Source,
    },
    /// It is live, and the workspace is being put back.
    Filling {
        /// It.
        fresh: Fresh,
        /// What is put back.
        from: Saved,
        /// How far that is.
        refill: Refill,
    },
    /// It has yet to prove what the record promises.
    Proving {
        /// It.
        fresh: Fresh,
        /// What will be put back if it vanishes.
        source: Source,
        /// The workspace's files.
        data: Part,
        /// What is proven so far.
        proofs: Proofs,
        /// Whether what was put back is still to be compared once more.
        again: bool,
    },
    /// Nothing was done to the sandbox; the record is to be put back.
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

/// A new incarnation as it was read when it became ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// Its id.
    pub live: LiveId,
    /// Its spec.
    pub spec: Part,
    /// Its providers.
    pub providers: Part,
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
        /// Whether the plan reads the workspace first.
        capture: bool,
        /// What the plan puts back instead of what is read now.
        restore: Option<Saved>,
    },
    /// The record had changed since the plan.
    ClaimLost,
    /// Somebody asked to go back.
    Cancelled,
    /// See [`CaptureEvent`].
    Capture(CaptureEvent),
    /// A delete will be asked for.
    DeleteIntended,
    /// The recorded id was seen to be gone.
    Deleted,
    /// The gateway did not delete it.
    DeleteRefused(Cause),
    /// It may have.
    DeleteDoubtful(Cause),
    /// The recorded incarnation exists, or what was created does.
    StillThere,
    /// A create will be asked for.
    CreateIntended,
    /// The gateway made it.
    Created(LiveId),
    /// It is there, and bears this recovery's stamp.
    Adopted(LiveId),
    /// The gateway did not make it.
    CreateRefused(Cause),
    /// It may have.
    CreateDoubtful(Cause),
    /// It did not.
    NotCreated,
    /// It is live.
    BecameReady {
        /// Its spec, read back.
        spec: Part,
        /// Its providers, read back.
        providers: Part,
    },
    /// It failed before it was live.
    NeverReady(Failed),
    /// It is gone again.
    Vanished,
    /// The delete of what was created will be asked for.
    RemoveIntended,
    /// It is gone.
    Removed,
    /// It may be.
    RemoveDoubtful(Cause),
    /// See [`RefillEvent`].
    Refill(RefillEvent),
    /// See [`ProofEvent`].
    Proof(ProofEvent),
    /// The record speaks of it.
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
    /// Save the workspace.
    Capture(CaptureStep),
    /// Delete the recorded incarnation.
    Delete,
    /// Find out what a doubtful delete came to.
    ResolveDelete,
    /// Create from the record, stamped.
    Create,
    /// Find out what a doubtful create came to.
    ResolveCreate,
    /// Wait until it is live.
    AwaitReady,
    /// Delete what was created and never was live.
    RemoveCreated,
    /// Find out what a doubtful delete of it came to.
    ResolveRemove,
    /// Put the workspace back.
    Refill(RefillStep),
    /// Prove one thing.
    Prove(Proof),
    /// Write the new incarnation into the record.
    Commit,
    /// Take the mark off the record.
    RestoreRecord,
}

// === impl Rebuild ===

impl Saga for Rebuild {
    type State = State;
    type Event = Event;
    type Step = Step;

    const KIND: SagaKind = SagaKind::Rebuild;

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
            (state, event) if state.before_delete() => fold::before(state, event),
            (state, event) => fold::after(state, event),
        }
    }

    fn next(state: &State) -> Next<Step> {
        match state {
            State::Accepted | State::Claiming => Next::Do(Step::Claim),
            State::Saving { capture, .. } => match capture.next() {
                Some(step) => Next::Do(Step::Capture(step)),
                // A capture that is decided is never left in this state.
                None => Next::Do(Step::Capture(CaptureStep::Take)),
            },
            State::Checking { .. } => Next::Do(Step::Capture(CaptureStep::Verify)),
            State::Saved { .. } => Next::Do(Step::Delete),
            State::Deleting { .. } => Next::Do(Step::ResolveDelete),
            State::Gone { .. } => Next::Do(Step::Create),
            State::Creating { .. } => Next::Do(Step::ResolveCreate),
            State::Created { .. } => Next::Do(Step::AwaitReady),
            State::Rejected { .. } => Next::Do(Step::RemoveCreated),
            State::Removing { .. } => Next::Do(Step::ResolveRemove),
            State::Filling { refill, .. } => match refill.next() {
                Some(step) => Next::Do(Step::Refill(step)),
                None => Next::Do(Step::Refill(RefillStep::Compare)),
            },
            State::Proving { proofs, again, .. } => match proofs.next() {
                Some(proof) => Next::Do(Step::Prove(proof)),
                None if *again => Next::Do(Step::Refill(RefillStep::CompareAgain)),
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
            Step::Capture(step) => step.intent().map(Event::Capture),
            Step::Delete => Some(Event::DeleteIntended),
            Step::Create => Some(Event::CreateIntended),
            Step::RemoveCreated => Some(Event::RemoveIntended),
            Step::Refill(step) => step.intent().map(Event::Refill),
            Step::Prove(proof) => Some(Event::Proof(ProofEvent::Intended(proof))),
            Step::ResolveDelete
            | Step::ResolveCreate
            | Step::AwaitReady
            | Step::ResolveRemove
            | Step::Commit
            | Step::RestoreRecord => None,
        }
    }

    fn name(step: Step) -> &'static str {
        match step {
            Step::Claim => "claim",
            Step::Capture(step) => step.as_str(),
            Step::Delete => "delete",
            Step::ResolveDelete => "resolve_delete",
            Step::Create => "create",
            Step::ResolveCreate => "resolve_create",
            Step::AwaitReady => "await_ready",
            Step::RemoveCreated => "remove_created",
            Step::ResolveRemove => "resolve_remove",
            Step::Refill(step) => step.as_str(),
            Step::Prove(proof) => proof.as_str(),
            Step::Commit => "commit",
            Step::RestoreRecord => "restore_record",
        }
    }

    fn phase(state: &State) -> &'static str {
        match state {
            State::Accepted => "accepted",
            State::Claiming => "claiming",
            State::Saving { .. } => "saving",
            State::Checking { .. } => "checking",
            State::Saved { .. } => "saved",
            State::Deleting { .. } => "deleting",
            State::Gone { .. } => "gone",
            State::Creating { .. } => "creating",
            State::Created { .. } => "created",
            State::Rejected { .. } => "rejected",
            State::Removing { .. } => "removing",
            State::Filling { .. } => "filling",
            State::Proving { .. } => "proving",
            State::Undoing(_) => "undoing",
            State::RolledBack(_) => "rolled_back",
            State::Done(_) => "done",
            State::Parked { .. } => "parked",
        }
    }

    /// What a process that is gone has saved, or asked to be saved, is saved again: the sandbox may have been alive since
    /// (scenario T16). What it has read back is read back again: the repository may have been written to (T13).
    fn taken_up(state: &State) -> Option<Event> {
        match state {
            State::Saved { taken: Some(_), .. }
            | State::Saved { source: Some(_), .. }
            | State::Checking { taken: Some(_), .. }
            | State::Saving { capture: Capture::Taking { .. } | Capture::Taken(_), .. } => {
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

// === impl Fresh ===

impl Fresh {
    /// What a recovery that ends with it came to.
    pub fn parts(self, data: Part, proofs: Proofs) -> Parts {
        Parts {
            live_id: Some(self.live),
            data,
            config: proofs.config(self.spec),
            policy: proofs.policy.unwrap_or(Part::NotApplicable),
            providers: self.providers,
            posture: proofs.posture.unwrap_or(Part::NotApplicable),
        }
    }
}
