//! Snapshot: read the workspace into the repository, note it on the record, thin out what the record's rules do not keep.
//!
//! | state | event | state |
//! |---|---|---|
//! | Reading | Capture | Reading; Read when complete; Unread when there is no complete snapshot |
//! | Reading | Cancelled | RolledBack |
//! | Read | Noted | Noted |
//! | Unread | Noted | RolledBack |
//! | Noted, Thinning | ThinIntended | Thinning *(doubtful)* |
//! | Thinning | Thinned, NotThinned | Done |
//! | any but Done, RolledBack | Parked | Parked |
//! | Parked | Resumed | as before |
//!
//! It changes nothing of the sandbox, so there is nothing to put back. What could not be read completely is noted too: how old
//! the last complete snapshot is must be told truly. To thin out is housekeeping: if it fails, the snapshot is no worse for it.

use serde::{Deserialize, Serialize};

use super::{
    Cause, Ending, IllegalEvent, Narrate, Next, ParkReason, Part, Parts, Saga, Setback,
    capture::{Capture, CaptureEvent, CaptureStep, NotSaved, Saved},
    illegal,
    prune::Pruned,
};
use crate::SagaKind;

/// The definition.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot;

/// What is true now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The workspace is being read.
    Reading(Capture),
    /// There is a complete snapshot. The record does not say so yet.
    Read(Saved),
    /// There is none. The record does not say so yet.
    Unread(NotSaved),
    /// The record says which snapshot is the last complete one.
    Noted,
    /// Snapshots that no rule keeps are to be taken away. Whether they are is not known; asking again is seen as done.
    Thinning,
    /// No complete snapshot was taken.
    RolledBack(Setback),
    /// A complete snapshot was taken.
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
    /// See [`CaptureEvent`].
    Capture(CaptureEvent),
    /// Somebody asked to go back.
    Cancelled,
    /// The record says what came of it.
    Noted,
    /// A prune will be asked for.
    ThinIntended,
    /// What no rule keeps is taken away.
    Thinned(Pruned),
    /// It is not, or not all of it.
    NotThinned(Cause),
    /// It waits.
    Parked(ParkReason),
    /// It goes on.
    Resumed,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Read the workspace.
    Capture(CaptureStep),
    /// Write into the record what came of it.
    Note,
    /// Take away what the record's rules do not keep.
    ThinOut,
}

// === impl Snapshot ===

impl Saga for Snapshot {
    type State = State;
    type Event = Event;
    type Step = Step;

    const KIND: SagaKind = SagaKind::Snapshot;

    fn initial() -> State {
        State::Reading(Capture::wanted())
    }

    fn apply(state: State, event: &Event) -> Result<State, IllegalEvent> {
        use Event as E;
        use State as S;
        Ok(match (state, event) {
            (S::Reading(capture), E::Capture(event)) => match capture.clone().apply(event) {
                Some(Capture::Verified(saved)) => S::Read(saved),
                Some(Capture::Failed(why)) => S::Unread(why),
                Some(capture) => S::Reading(capture),
                None => return illegal(&capture, event),
            },
            (S::Reading(_), E::Cancelled) => S::RolledBack(Setback::Cancelled),
            (S::Read(_), E::Noted) => S::Noted,
            (S::Unread(why), E::Noted) => S::RolledBack(Setback::NotSaved(why)),
            (S::Noted | S::Thinning, E::ThinIntended) => S::Thinning,
            (S::Thinning, E::Thinned(_) | E::NotThinned(_)) => S::Done,
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
            State::Reading(capture) => {
                Next::Do(Step::Capture(capture.next().unwrap_or(CaptureStep::Take)))
            }
            State::Read(_) => Next::Do(Step::Note),
            State::Unread(_) => Next::Compensate(Step::Note),
            State::Noted | State::Thinning => Next::Do(Step::ThinOut),
            State::RolledBack(setback) => Next::Finished(Ending::RolledBack(setback.clone())),
            State::Done => Next::Finished(Ending::Done(untouched())),
            State::Parked { why, .. } => Next::Park(*why),
        }
    }

    fn intent(_: &State, step: Step) -> Option<Event> {
        match step {
            Step::Capture(step) => step.intent().map(Event::Capture),
            Step::ThinOut => Some(Event::ThinIntended),
            // Compare-and-swap: doing it again is seen as done.
            Step::Note => None,
        }
    }

    fn name(step: Step) -> &'static str {
        match step {
            Step::Capture(step) => step.as_str(),
            Step::Note => "note",
            Step::ThinOut => "thin_out",
        }
    }

    fn phase(state: &State) -> &'static str {
        match state {
            State::Reading(_) => "reading",
            State::Read(_) => "read",
            State::Unread(_) => "unread",
            State::Noted => "noted",
            State::Thinning => "thinning",
            State::RolledBack(_) => "rolled_back",
            State::Done => "done",
            State::Parked { .. } => "parked",
        }
    }

    fn taken(event: &Event) -> Option<&Saved> {
        match event {
            Event::Capture(event) => event.taken(),
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

/// What a recovery that only reads came to.
pub(super) const fn untouched() -> Parts {
    Parts {
        live_id: None,
        data: Part::Kept,
        config: Part::NotApplicable,
        policy: Part::NotApplicable,
        providers: Part::NotApplicable,
        posture: Part::NotApplicable,
    }
}

impl Narrate for Event {
    fn step(&self) -> Option<&'static str> {
        Some(match self {
            Self::Capture(event) => return event.step(),
            Self::Noted => "note",
            Self::ThinIntended | Self::Thinned(_) | Self::NotThinned(_) => "thin_out",
            Self::Cancelled | Self::Parked(_) | Self::Resumed => return None,
        })
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Capture(event) => event.outcome(),
            Self::Cancelled => "cancelled",
            Self::Noted => "noted",
            Self::ThinIntended => "intended",
            Self::Thinned(_) => "thinned",
            Self::NotThinned(_) => "not_thinned",
            Self::Parked(_) => "parked",
            Self::Resumed => "resumed",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Capture(event) => event.detail(),
            Self::Thinned(pruned) => pruned.to_string(),
            Self::NotThinned(cause) => cause.sentence().to_owned(),
            Self::Parked(why) => why.to_string(),
            Self::Cancelled | Self::Noted | Self::ThinIntended | Self::Resumed => String::new(),
        }
    }
}
