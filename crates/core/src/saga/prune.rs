//! Prune: take snapshots of one sandbox away that no rule keeps.
//!
//! | state | event | state |
//! |---|---|---|
//! | Wanted | Intended | Pruning *(doubtful)* |
//! | Wanted, first | Cancelled | RolledBack |
//! | Pruning | Intended | Pruning: what is gone already is seen as gone |
//! | Pruning | Pruned | Done |
//! | Pruning | Refused, Doubtful | Wanted again, at most three times and if asking again may help; then RolledBack |
//! | any but Done, RolledBack | Parked | Parked |
//! | Parked | Resumed | as before |
//!
//! The adapter decides snapshot by snapshot, from the rules and the names that it is given, and never takes away the newest
//! complete one: so pruning twice is pruning once.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Cause, Ending, IllegalEvent, Narrate, Next, ParkReason, Saga, Setback, illegal,
    snapshot::untouched,
};
use crate::{SagaKind, id::SnapshotName};

/// How often it is tried before it is given up.
pub const MAX_ATTEMPTS: u32 = 3;

/// The definition.
#[derive(Debug, Clone, Copy)]
pub struct Prune;

/// What a prune came to. The names of the first of them, at most 100 each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// Taken away.
    pub deleted: Vec<SnapshotName>,
    /// How many in all.
    pub deleted_count: u64,
    /// Kept, each with the rules that keep it.
    pub kept: Vec<Kept>,
    /// How many in all.
    pub kept_count: u64,
    /// What the repository shrank by.
    pub bytes_freed: u64,
}

/// A snapshot that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// It.
    pub snapshot: SnapshotName,
    /// The adapter's words for the rules.
    pub because: Vec<String>,
}

/// What is true now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// To be asked for.
    Wanted {
        /// Tries so far.
        attempts: u32,
    },
    /// It was asked for. How much of it was done is not known.
    Pruning {
        /// This one included.
        attempts: u32,
    },
    /// It was given up.
    RolledBack(Setback),
    /// What no rule keeps is gone.
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
    /// A prune will be asked for.
    Intended,
    /// It was done.
    Pruned(Pruned),
    /// It was not.
    Refused(Cause),
    /// It may have been, in part.
    Doubtful(Cause),
    /// Somebody asked to go back.
    Cancelled,
    /// It waits.
    Parked(ParkReason),
    /// It goes on.
    Resumed,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Take away what no rule keeps.
    Prune,
}

// === impl Prune ===

impl Saga for Prune {
    type State = State;
    type Event = Event;
    type Step = Step;

    const KIND: SagaKind = SagaKind::Prune;

    fn initial() -> State {
        State::Wanted { attempts: 0 }
    }

    fn apply(state: State, event: &Event) -> Result<State, IllegalEvent> {
        use Event as E;
        use State as S;
        Ok(match (state, event) {
            (S::Wanted { attempts }, E::Intended) => S::Pruning { attempts: attempts + 1 },
            (S::Wanted { attempts: 0 }, E::Cancelled) => S::RolledBack(Setback::Cancelled),
            (pruning @ S::Pruning { .. }, E::Intended) => pruning,
            (S::Pruning { .. }, E::Pruned(_)) => S::Done,
            (S::Pruning { attempts }, E::Refused(cause) | E::Doubtful(cause)) => {
                if attempts < MAX_ATTEMPTS && cause.may_pass() {
                    S::Wanted { attempts }
                } else {
                    S::RolledBack(Setback::Refused(*cause))
                }
            }
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
            State::Wanted { .. } | State::Pruning { .. } => Next::Do(Step::Prune),
            State::RolledBack(setback) => Next::Finished(Ending::RolledBack(setback.clone())),
            State::Done => Next::Finished(Ending::Done(untouched())),
            State::Parked { why, .. } => Next::Park(*why),
        }
    }

    fn intent(_: &State, Step::Prune: Step) -> Option<Event> {
        Some(Event::Intended)
    }

    fn name(Step::Prune: Step) -> &'static str {
        "prune"
    }

    fn phase(state: &State) -> &'static str {
        match state {
            State::Wanted { .. } => "wanted",
            State::Pruning { .. } => "pruning",
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

impl Narrate for Event {
    fn step(&self) -> Option<&'static str> {
        match self {
            Self::Intended | Self::Pruned(_) | Self::Refused(_) | Self::Doubtful(_) => {
                Some("prune")
            }
            Self::Cancelled | Self::Parked(_) | Self::Resumed => None,
        }
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Pruned(_) => "pruned",
            Self::Refused(_) => "refused",
            Self::Doubtful(_) => "doubtful",
            Self::Cancelled => "cancelled",
            Self::Parked(_) => "parked",
            Self::Resumed => "resumed",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Pruned(pruned) => pruned.to_string(),
            Self::Refused(cause) | Self::Doubtful(cause) => cause.sentence().to_owned(),
            Self::Parked(why) => why.to_string(),
            Self::Intended | Self::Cancelled | Self::Resumed => String::new(),
        }
    }
}

impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deleted, deleted_count, kept, kept_count, bytes_freed } = self;
        write!(f, "{deleted_count} deleted, {kept_count} kept, {bytes_freed} bytes freed")?;
        for name in deleted {
            write!(f, "; deleted {name}")?;
        }
        for Kept { snapshot, because } in kept {
            write!(f, "; kept {snapshot} ({})", because.join(", "))?;
        }
        Ok(())
    }
}
