//! Destroy: take the sandbox away for good and leave a tombstone.
//!
//! | state | event | state |
//! |---|---|---|
//! | Accepted | Cancelled | RolledBack |
//! | Accepted, Claiming | ClaimIntended | Claiming *(doubtful)* |
//! | Claiming | Claimed, present | Claimed |
//! | Claiming | Claimed, absent | Gone |
//! | Claiming | ClaimLost | RolledBack |
//! | Claimed | DeleteIntended | Deleting *(doubtful)* |
//! | Claimed | Cancelled | Undoing |
//! | Deleting | Deleted | Gone |
//! | Deleting | DeleteDoubtful, DeleteRefused: not found, other incarnation | Deleting: look |
//! | Deleting | StillThere | Claimed again, for as long as it takes |
//! | Deleting | DeleteRefused otherwise | Claimed again, at most three times; then Undoing |
//! | Gone | Buried | Done |
//! | Undoing | RecordRestored | RolledBack |
//! | any but Done, RolledBack | Parked | Parked |
//! | Parked | Resumed | as before |
//!
//! Once the recorded id is proven gone there is no way back: the tombstone follows, whatever it takes.

use serde::{Deserialize, Serialize};

use super::{
    Cause, Ending, IllegalEvent, Narrate, Next, ParkReason, Part, Parts, Saga, Setback, illegal,
};
use crate::SagaKind;

/// How often a refused delete is asked for before the destroy goes back.
pub const MAX_ATTEMPTS: u32 = 3;

/// The definition.
#[derive(Debug, Clone, Copy)]
pub struct Destroy;

/// What is true now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The plan is durable; nothing has been touched.
    Accepted,
    /// The mark on the record was intended. Whether it is there is not known; asking again is seen as done.
    Claiming,
    /// The record says that it is being destroyed.
    Claimed {
        /// Deletes tried so far.
        attempts: u32,
    },
    /// A delete was intended. Whether it took effect is not known.
    Deleting {
        /// This one included.
        attempts: u32,
    },
    /// The recorded incarnation does not exist.
    Gone,
    /// The record is to be put back.
    Undoing(Setback),
    /// The record is as it was.
    RolledBack(Setback),
    /// The record is a tombstone.
    Done,
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
        /// Whether the plan found the sandbox on the gateway.
        present: bool,
    },
    /// The record had changed since the plan.
    ClaimLost,
    /// Somebody asked to go back.
    Cancelled,
    /// A delete will be asked for.
    DeleteIntended,
    /// The recorded id was seen to be gone.
    Deleted,
    /// The gateway did not delete it.
    DeleteRefused(Cause),
    /// It may have.
    DeleteDoubtful(Cause),
    /// The recorded incarnation exists.
    StillThere,
    /// The record is a tombstone.
    Buried,
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
    /// Delete the recorded incarnation.
    Delete,
    /// Find out what a doubtful delete came to.
    ResolveDelete,
    /// Turn the record into a tombstone.
    Bury,
    /// Take the mark off the record.
    RestoreRecord,
}

// === impl Destroy ===

impl Saga for Destroy {
    type State = State;
    type Event = Event;
    type Step = Step;

    const KIND: SagaKind = SagaKind::Destroy;

    fn initial() -> State {
        State::Accepted
    }

    fn apply(state: State, event: &Event) -> Result<State, IllegalEvent> {
        use Event as E;
        use State as S;
        Ok(match (state, event) {
            (S::Accepted | S::Claiming, E::ClaimIntended) => S::Claiming,
            (S::Claiming, E::Claimed { present: true, .. }) => S::Claimed { attempts: 0 },
            (S::Claiming, E::ClaimLost) => S::RolledBack(Setback::RecordChanged),
            (S::Accepted, E::Cancelled) => S::RolledBack(Setback::Cancelled),
            (S::Claimed { .. }, E::Cancelled) => S::Undoing(Setback::Cancelled),
            (S::Claimed { attempts }, E::DeleteIntended) => S::Deleting { attempts: attempts + 1 },
            (S::Claiming, E::Claimed { present: false, .. }) | (S::Deleting { .. }, E::Deleted) => {
                S::Gone
            }
            (
                S::Deleting { attempts },
                E::DeleteDoubtful(_) | E::DeleteRefused(Cause::NotFound | Cause::OtherIncarnation),
            ) => S::Deleting { attempts },
            (S::Deleting { attempts }, E::StillThere) => S::Claimed { attempts },
            (S::Deleting { attempts }, E::DeleteRefused(cause)) => {
                if attempts < MAX_ATTEMPTS && cause.may_pass() {
                    S::Claimed { attempts }
                } else {
                    S::Undoing(Setback::Refused(*cause))
                }
            }
            (S::Gone, E::Buried) => S::Done,
            (S::Undoing(setback), E::RecordRestored) => S::RolledBack(setback),
            (S::Parked { was, .. }, E::Resumed) => *was,
            (state @ (S::Done | S::RolledBack(_) | S::Parked { .. }), event @ E::Parked(_)) => {
                return illegal(&state, event);
            }
            (state, E::Parked(why)) => S::Parked { was: Box::new(state), why: *why },
            (state, event) => return illegal(&state, event),
        })
    }

    fn next(state: &State) -> Next<Step> {
        match state {
            State::Accepted | State::Claiming => Next::Do(Step::Claim),
            State::Claimed { .. } => Next::Do(Step::Delete),
            State::Deleting { .. } => Next::Do(Step::ResolveDelete),
            State::Gone => Next::Do(Step::Bury),
            State::Undoing(_) => Next::Compensate(Step::RestoreRecord),
            State::RolledBack(setback) => Next::Finished(Ending::RolledBack(setback.clone())),
            State::Done => Next::Finished(Ending::Done(parts())),
            State::Parked { why, .. } => Next::Park(*why),
        }
    }

    fn intent(_: &State, step: Step) -> Option<Event> {
        match step {
            Step::Claim => Some(Event::ClaimIntended),
            Step::Delete => Some(Event::DeleteIntended),
            Step::ResolveDelete | Step::Bury | Step::RestoreRecord => None,
        }
    }

    fn name(step: Step) -> &'static str {
        match step {
            Step::Claim => "claim",
            Step::Delete => "delete",
            Step::ResolveDelete => "resolve_delete",
            Step::Bury => "bury",
            Step::RestoreRecord => "restore_record",
        }
    }

    fn phase(state: &State) -> &'static str {
        match state {
            State::Accepted => "accepted",
            State::Claiming => "claiming",
            State::Claimed { .. } => "claimed",
            State::Deleting { .. } => "deleting",
            State::Gone => "gone",
            State::Undoing(_) => "undoing",
            State::RolledBack(_) => "rolled_back",
            State::Done => "done",
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

/// What was asked for was to lose it.
fn parts() -> Parts {
    Parts {
        live_id: None,
        data: Part::Gone,
        config: Part::NotApplicable,
        policy: Part::NotApplicable,
        providers: Part::NotApplicable,
        posture: Part::NotApplicable,
    }
}

impl Narrate for Event {
    fn step(&self) -> Option<&'static str> {
        Some(match self {
            Self::ClaimIntended | Self::Claimed { .. } | Self::ClaimLost => "claim",
            Self::DeleteIntended
            | Self::Deleted
            | Self::DeleteRefused(_)
            | Self::DeleteDoubtful(_) => "delete",
            Self::StillThere => "resolve_delete",
            Self::Buried => "bury",
            Self::RecordRestored => "restore_record",
            Self::Cancelled | Self::Parked(_) | Self::Resumed => return None,
        })
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Claimed { .. } => "claimed",
            Self::ClaimLost => "record_changed",
            Self::Cancelled => "cancelled",
            Self::ClaimIntended | Self::DeleteIntended => "intended",
            Self::Deleted => "gone",
            Self::DeleteRefused(_) => "refused",
            Self::DeleteDoubtful(_) => "doubtful",
            Self::StillThere => "still_there",
            Self::Buried => "buried",
            Self::RecordRestored => "restored",
            Self::Parked(_) => "parked",
            Self::Resumed => "resumed",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::DeleteRefused(cause) | Self::DeleteDoubtful(cause) => cause.sentence().to_owned(),
            Self::Parked(why) => why.to_string(),
            Self::ClaimIntended
            | Self::Claimed { .. }
            | Self::ClaimLost
            | Self::Cancelled
            | Self::DeleteIntended
            | Self::Deleted
            | Self::StillThere
            | Self::Buried
            | Self::RecordRestored
            | Self::Resumed => String::new(),
        }
    }
}
