//! A recovery as its journal tells it, whichever saga wrote it.

use salvor_core::{
    SagaKind,
    id::SnapshotName,
    saga::{
        Ending, Narrate as _, Next, ParkReason, Saga, copy::Copy, destroy::Destroy, fold,
        prune::Prune, rebuild::Rebuild, refill::Merged, restore::Restore, revive::Revive,
        snapshot::Snapshot, stale::StaleRecovery,
    },
};
use salvor_proto::{Error, error::Code};

use crate::{
    journal::{Row, Stored},
    runner::events,
};

/// What is true of a recovery.
#[derive(Debug, Clone)]
pub struct Folded {
    /// In its saga's own word.
    pub phase: &'static str,
    /// What it is doing.
    pub standing: Standing,
    /// What was done, in order.
    pub steps: Vec<StepTaken>,
    /// Whether it could still go back if asked.
    pub cancellable: bool,
    /// How often it has been parked.
    pub parks: u32,
    /// The complete snapshot that was taken last, if one was.
    pub taken: Option<SnapshotName>,
    /// What became of declared config files, when the workspace was written last.
    pub merged: Vec<Merged>,
}

/// What a recovery is doing.
#[expect(clippy::large_enum_variant, reason = "one at a time, as one is read")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// A guard refused it before anything was touched.
    Refused,
    /// At work, or to be gone on with.
    Running,
    /// Waits.
    Parked(ParkReason),
    /// Ended.
    Ended(Ending),
}

/// One step with its outcome.
#[derive(Debug, Clone)]
pub struct StepTaken {
    /// Its name.
    pub step: &'static str,
    /// From 1.
    pub attempt: u32,
    /// One word.
    pub outcome: &'static str,
    /// For people.
    pub detail: String,
    /// When the outcome was journaled.
    pub at_ms: u64,
}

/// Folds a stored recovery.
///
/// # Errors
/// DATA_LOSS when its journal is not one of its saga's.
pub fn folded(stored: &Stored) -> Result<Folded, Error> {
    if !stored.header.plan.allowed() {
        return Ok(Folded {
            phase: "refused",
            standing: Standing::Refused,
            steps: Vec::new(),
            cancellable: false,
            parks: 0,
            taken: None,
            merged: Vec::new(),
        });
    }
    match stored.header.saga() {
        SagaKind::StaleRecovery => folded_as::<StaleRecovery>(stored),
        SagaKind::Revive => folded_as::<Revive>(stored),
        SagaKind::Destroy => folded_as::<Destroy>(stored),
        SagaKind::Rebuild => folded_as::<Rebuild>(stored),
        SagaKind::Snapshot => folded_as::<Snapshot>(stored),
        SagaKind::Restore => folded_as::<Restore>(stored),
        SagaKind::Copy => folded_as::<Copy>(stored),
        SagaKind::Prune => folded_as::<Prune>(stored),
    }
}

fn folded_as<S: Saga>(stored: &Stored) -> Result<Folded, Error> {
    let events = events::<S>(&stored.events)?;
    let state = fold::<S>(events.iter()).map_err(|error| {
        tracing::error!(recovery = %stored.header.name, %error, "the journal does not fold");
        Error::new(
            Code::DataLoss,
            "JOURNAL_DOES_NOT_FOLD",
            format!(
                "{}: its journal is not one that its saga can have written",
                stored.header.name
            ),
        )
    })?;
    let standing = match S::next(&state) {
        Next::Do(_) | Next::Compensate(_) => Standing::Running,
        Next::Park(why) => Standing::Parked(why),
        Next::Finished(ending) => Standing::Ended(ending),
    };
    // A parked recovery goes back from where it waits.
    let resumed = S::apply(state.clone(), &S::resumed()).unwrap_or_else(|_| state.clone());
    Ok(Folded {
        phase: S::phase(&state),
        standing,
        steps: steps::<S>(&events, &stored.events),
        cancellable: S::apply(resumed, &S::cancelled()).is_ok(),
        parks: u32::try_from(events.iter().filter(|e| e.outcome() == "parked").count())
            .unwrap_or(u32::MAX),
        taken: events.iter().rev().find_map(S::taken).map(|saved| saved.name.clone()),
        merged: events
            .iter()
            .rev()
            .find_map(|event| S::refill(event)?.merged())
            .map_or_else(Vec::new, <[Merged]>::to_vec),
    })
}

fn steps<S: Saga>(events: &[S::Event], rows: &[Row]) -> Vec<StepTaken> {
    let mut taken: Vec<StepTaken> = Vec::new();
    for (event, row) in events.iter().zip(rows) {
        let Some(step) = event.step().filter(|_| event.outcome() != "intended") else {
            continue;
        };
        let before = taken.iter().filter(|done| done.step == step).count();
        taken.push(StepTaken {
            step,
            attempt: u32::try_from(before).unwrap_or(u32::MAX) + 1,
            outcome: event.outcome(),
            detail: event.detail(),
            at_ms: row.at_ms,
        });
    }
    taken
}
