//! Restore: write a snapshot into its sandbox, after what is in it now was saved.
//!
//! | state | event | state |
//! |---|---|---|
//! | Accepted | Begun | Saving, or Filling when the mode cannot overwrite anything |
//! | Accepted | RecordChanged, Cancelled | RolledBack |
//! | Saving | Capture | Saving; Filling when verified; Unsaved when there is no complete snapshot |
//! | Saving, Filling before the first write | Cancelled | RolledBack |
//! | Filling before the first write | Capture: outdated | Saving |
//! | Filling | Refill | Filling; Settled when compared |
//! | Filling, Settled | Vanished | RolledBack |
//! | Settled | Proof | Settled |
//! | Settled, all proven | Noted | Done |
//! | Unsaved | Noted | RolledBack |
//! | any but Done, RolledBack | Parked | Parked |
//! | Parked | Resumed | as before |
//!
//! Nothing is written before all that it could overwrite is in a verified, complete snapshot, or it is certain that nothing can
//! be. Once something was written there is only forward: the snapshot from before is kept, and named in the result.
//!
//! A locked sandbox is written to only from a snapshot that holds its sealed files as they are sealed, so that no content of them
//! is ever another; and its lock is applied and proven again right after the comparison, whatever that found.

use serde::{Deserialize, Serialize};

use super::{
    Cause, Ending, IllegalEvent, Narrate, Next, ParkReason, Part, Parts, Saga, Setback,
    capture::{Capture, CaptureEvent, CaptureStep, NotSaved, Saved},
    illegal,
    proofs::{Proof, ProofEvent, Proofs},
    refill::{Refill, RefillEvent, RefillStep},
};
use crate::{SagaKind, id::LiveId};

/// The definition.
#[derive(Debug, Clone, Copy)]
pub struct Restore;

/// What is true now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The plan is durable; nothing has been touched.
    Accepted,
    /// What is in the sandbox is being read.
    Saving {
        /// How far that is.
        capture: Capture,
        /// What will be written.
        into: Target,
    },
    /// The snapshot is being written.
    Filling {
        /// How far that is.
        refill: Refill,
        /// What is written.
        into: Target,
        /// What was in the sandbox before, if it was read.
        saved: Option<Saved>,
    },
    /// It was compared, and what it was locked for is proven. The record does not say so yet.
    Settled {
        /// The incarnation that was written to.
        live: LiveId,
        /// What the comparison found.
        data: Part,
        /// What has been proven of a locked one.
        proofs: Proofs,
        /// What was in the sandbox before, if it was read.
        saved: Option<Saved>,
    },
    /// There is no complete snapshot of what is in it, and nothing was written. The record does not say so yet.
    Unsaved(NotSaved),
    /// Nothing was written, or the sandbox that was written to is gone.
    RolledBack(Setback),
    /// It is as the comparison found it.
    Done {
        /// The incarnation that was written to.
        live: LiveId,
        /// What the comparison found.
        data: Part,
        /// What has been proven of a locked one.
        proofs: Proofs,
    },
    /// Waits.
    Parked {
        /// Where.
        was: Box<State>,
        /// For what.
        why: ParkReason,
    },
}

/// What is written into what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The only incarnation that is written to.
    pub live: LiveId,
    /// The snapshot.
    pub from: Saved,
    /// Whether its lock is to be proven afterwards.
    pub locked: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The record is the one that the plan was made from.
    Begun {
        /// The only incarnation that is written to.
        live: LiveId,
        /// What will be written.
        from: Saved,
        /// Whether the plan reads the workspace first.
        capture: bool,
        /// Whether the record holds it locked.
        #[serde(default, skip_serializing_if = "is_false")]
        locked: bool,
    },
    /// The record had changed since the plan.
    RecordChanged,
    /// Somebody asked to go back.
    Cancelled,
    /// See [`CaptureEvent`].
    Capture(CaptureEvent),
    /// See [`RefillEvent`].
    Refill(RefillEvent),
    /// See [`ProofEvent`].
    Proof(ProofEvent),
    /// The incarnation is gone.
    Vanished,
    /// The record says what came of it.
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
    /// Save what is in the sandbox.
    Capture(CaptureStep),
    /// Write the snapshot, and compare.
    Refill(RefillStep),
    /// Prove one thing of a locked one.
    Prove(Proof),
    /// Write into the record what came of it.
    Note,
}

// === impl Restore ===

impl Saga for Restore {
    type State = State;
    type Event = Event;
    type Step = Step;

    const KIND: SagaKind = SagaKind::Restore;

    fn initial() -> State {
        State::Accepted
    }

    #[expect(clippy::too_many_lines, reason = "a table: an arm for each of its rows")]
    fn apply(state: State, event: &Event) -> Result<State, IllegalEvent> {
        use Event as E;
        use State as S;
        Ok(match (state, event) {
            (S::Accepted, E::Begun { live, from, capture, locked }) => {
                let into = Target { live: live.clone(), from: from.clone(), locked: *locked };
                if *capture {
                    S::Saving { capture: Capture::wanted(), into }
                } else {
                    S::Filling { refill: Refill::wanted(), into, saved: None }
                }
            }
            (S::Accepted, E::RecordChanged) => S::RolledBack(Setback::RecordChanged),
            (S::Accepted | S::Saving { .. }, E::Cancelled) => S::RolledBack(Setback::Cancelled),
            (S::Filling { refill, .. }, E::Cancelled) if refill.attempts() == 0 => {
                S::RolledBack(Setback::Cancelled)
            }
            (S::Saving { capture, into }, E::Capture(event)) => {
                match capture.clone().apply(event) {
                    Some(Capture::Verified(saved)) => {
                        S::Filling { refill: Refill::wanted(), into, saved: Some(saved) }
                    }
                    Some(Capture::Failed(why)) => S::Unsaved(why),
                    Some(capture) => S::Saving { capture, into },
                    None => return illegal(&capture, event),
                }
            }
            (S::Filling { refill, into, saved: Some(_) }, E::Capture(CaptureEvent::Outdated))
                if refill.attempts() == 0 =>
            {
                S::Saving { capture: Capture::wanted(), into }
            }
            (S::Filling { refill, into, saved }, E::Refill(event)) => {
                match refill.clone().apply(event, &into.from) {
                    Some(Refill::Settled(data)) => {
                        S::Settled { live: into.live, data, proofs: owed(into.locked), saved }
                    }
                    Some(refill) => S::Filling { refill, into, saved },
                    None => return illegal(&refill, event),
                }
            }
            (S::Settled { live, data, proofs, saved }, E::Proof(event)) => {
                match proofs.clone().apply(event) {
                    Some(proofs) => S::Settled { live, data, proofs, saved },
                    None => return illegal(&proofs, event),
                }
            }
            (S::Filling { .. } | S::Settled { .. }, E::Vanished) => {
                S::RolledBack(Setback::Refused(Cause::NotFound))
            }
            (S::Settled { live, data, proofs, .. }, E::Noted) if proofs.next().is_none() => {
                S::Done { live, data, proofs }
            }
            (S::Unsaved(why), E::Noted) => S::RolledBack(Setback::NotSaved(why)),
            (S::Parked { was, .. }, E::Resumed) => *was,
            (
                state @ (S::Done { .. } | S::RolledBack(_) | S::Parked { .. }),
                event @ E::Parked(_),
            ) => return illegal(&state, event),
            (state, E::Parked(why)) => S::Parked { was: Box::new(state), why: *why },
            (state, event) => return illegal(&state, event),
        })
    }

    fn next(state: &State) -> Next<Step> {
        match state {
            State::Accepted => Next::Do(Step::Begin),
            State::Saving { capture, .. } => {
                Next::Do(Step::Capture(capture.next().unwrap_or(CaptureStep::Take)))
            }
            State::Filling { refill, .. } => {
                Next::Do(Step::Refill(refill.next().unwrap_or(RefillStep::Compare)))
            }
            State::Settled { proofs, .. } => {
                Next::Do(proofs.next().map_or(Step::Note, Step::Prove))
            }
            State::Unsaved(_) => Next::Compensate(Step::Note),
            State::RolledBack(setback) => Next::Finished(Ending::RolledBack(setback.clone())),
            State::Done { live, data, proofs } => {
                Next::Finished(Ending::Done(parts(live, data, proofs)))
            }
            State::Parked { why, .. } => Next::Park(*why),
        }
    }

    fn intent(_: &State, step: Step) -> Option<Event> {
        match step {
            Step::Capture(step) => step.intent().map(Event::Capture),
            Step::Refill(step) => step.intent().map(Event::Refill),
            Step::Prove(proof) => Some(Event::Proof(ProofEvent::Intended(proof))),
            Step::Begin | Step::Note => None,
        }
    }

    fn name(step: Step) -> &'static str {
        match step {
            Step::Begin => "begin",
            Step::Capture(step) => step.as_str(),
            Step::Refill(step) => step.as_str(),
            Step::Prove(proof) => proof.as_str(),
            Step::Note => "note",
        }
    }

    fn phase(state: &State) -> &'static str {
        match state {
            State::Accepted => "accepted",
            State::Saving { .. } => "saving",
            State::Filling { .. } => "filling",
            State::Settled { proofs, .. } if proofs.next().is_some() => "proving",
            State::Settled { .. } => "settled",
            State::Unsaved(_) => "unsaved",
            State::RolledBack(_) => "rolled_back",
            State::Done { .. } => "done",
            State::Parked { .. } => "parked",
        }
    }

    /// What a process that is gone has saved is saved again: the sandbox has been alive since, and would be overwritten.
    fn taken_up(state: &State) -> Option<Event> {
        let outdated = match state {
            State::Saving { capture, .. } => {
                matches!(capture, Capture::Taking { .. } | Capture::Taken(_))
            }
            State::Filling { refill, saved, .. } => saved.is_some() && refill.attempts() == 0,
            _ => false,
        };
        outdated.then_some(Event::Capture(CaptureEvent::Outdated))
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

/// Policy and lock of a locked one; the rest is not this saga's to look at.
fn owed(locked: bool) -> Proofs {
    let kept = || (!locked).then_some(Part::Kept);
    Proofs { policy: kept(), posture: kept(), readiness: Some(Part::Kept) }
}

/// Only files were written.
fn parts(live: &LiveId, data: &Part, proofs: &Proofs) -> Parts {
    Parts {
        live_id: Some(live.clone()),
        data: data.clone(),
        config: Part::Kept,
        policy: proofs.policy.clone().unwrap_or(Part::Kept),
        providers: Part::Kept,
        posture: proofs.posture.clone().unwrap_or(Part::Kept),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_false(locked: &bool) -> bool {
    !*locked
}

impl Narrate for Event {
    fn step(&self) -> Option<&'static str> {
        Some(match self {
            Self::Begun { .. } | Self::RecordChanged => "begin",
            Self::Capture(event) => return event.step(),
            Self::Refill(event) => return event.step(),
            Self::Proof(event) => return event.step(),
            Self::Vanished => RefillStep::Write.as_str(),
            Self::Noted => "note",
            Self::Cancelled | Self::Parked(_) | Self::Resumed => return None,
        })
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Begun { .. } => "begun",
            Self::RecordChanged => "record_changed",
            Self::Cancelled => "cancelled",
            Self::Capture(event) => event.outcome(),
            Self::Refill(event) => event.outcome(),
            Self::Proof(event) => event.outcome(),
            Self::Vanished => "vanished",
            Self::Noted => "noted",
            Self::Parked(_) => "parked",
            Self::Resumed => "resumed",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Begun { from, .. } => from.to_string(),
            Self::Capture(event) => event.detail(),
            Self::Refill(event) => event.detail(),
            Self::Proof(event) => event.detail(),
            Self::Parked(why) => why.to_string(),
            Self::RecordChanged
            | Self::Cancelled
            | Self::Vanished
            | Self::Noted
            | Self::Resumed => String::new(),
        }
    }
}
