//! A recovery as its journal tells it, whichever saga wrote it.

use salvor_core::{
    SagaKind,
    id::SnapshotName,
    retirement::Retirement,
    saga::{
        Ending, Narrate as _, Next, ParkReason, Saga,
        copy::Copy,
        destroy::Destroy,
        entry::{self, Life, life},
        fold,
        prune::Prune,
        rebuild::Rebuild,
        refill::Merged,
        restore::Restore,
        revive::Revive,
        snapshot::Snapshot,
        stale::StaleRecovery,
    },
};
use salvor_proto::Error;

use crate::{
    journal::{Found, Header, Row, Stored},
    obstacle::Obstacle,
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
    /// Open, and this version cannot go on with it.
    Stranded(Obstacle),
    /// Given up; the record may bear its mark still.
    Retiring(Box<Retirement>),
    /// Ended.
    Ended(Ending),
    /// Given up, and the record is free of it.
    Retired(Box<Retirement>),
}

impl Standing {
    /// Whether nothing more happens by itself right now.
    pub const fn is_settled(&self) -> bool {
        !matches!(self, Self::Running | Self::Retiring(_))
    }
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
/// It has ended, and its journal is not one that this version can read.
pub fn folded(stored: &Stored) -> Result<Folded, Error> {
    of_header(&stored.header, &stored.events)
}

/// Folds a recovery as it is found. One that is open and cannot be read is stranded, and says so.
///
/// # Errors
/// As [`folded`].
pub fn folded_found(found: &Found) -> Result<Folded, Error> {
    let illegible = match &found.header {
        Ok(header) => return of_header(header, &found.events),
        Err(illegible) => illegible,
    };
    let obstacle = Obstacle::of_header(illegible);
    let texts = found.events.iter().map(|row| row.event.as_str());
    // What gives it up is no affair of its saga's.
    match life(illegible.saga_version.unwrap_or_default(), texts) {
        Ok(life) if life.retirement.is_some() => Ok(given_up(life, Vec::new())),
        _ if found.is_open() => Ok(Folded::without_state(Standing::Stranded(obstacle), Vec::new())),
        _ => Err(obstacle.error(&found.name)),
    }
}

fn of_header(header: &Header, events: &[Row]) -> Result<Folded, Error> {
    if !header.plan.allowed() {
        return Ok(Folded::without_state(Standing::Refused, Vec::new()));
    }
    match header.saga() {
        SagaKind::StaleRecovery => folded_as::<StaleRecovery>(header, events),
        SagaKind::Revive => folded_as::<Revive>(header, events),
        SagaKind::Destroy => folded_as::<Destroy>(header, events),
        SagaKind::Rebuild => folded_as::<Rebuild>(header, events),
        SagaKind::Snapshot => folded_as::<Snapshot>(header, events),
        SagaKind::Restore => folded_as::<Restore>(header, events),
        SagaKind::Copy => folded_as::<Copy>(header, events),
        SagaKind::Prune => folded_as::<Prune>(header, events),
    }
}

/// What has ended is told as far as it can be read, whichever version wrote it; only what is open needs one that goes on.
fn folded_as<S: Saga>(header: &Header, rows: &[Row]) -> Result<Folded, Error> {
    let ended = rows.iter().any(|row| row.terminal);
    let stranded = |obstacle: Obstacle| {
        if ended {
            return Err(obstacle.error(&header.name));
        }
        Ok(Folded::without_state(Standing::Stranded(obstacle), legible::<S>(rows)))
    };
    let texts = rows.iter().map(|row| row.event.as_str());
    let life = match Obstacle::of_life(S::KIND, life(header.plan.saga_version, texts)) {
        Ok(life) if life.retirement.is_some() => return Ok(given_up(life, legible::<S>(rows))),
        Ok(life) => life,
        Err(obstacle) => return stranded(obstacle),
    };
    let of_version = Obstacle::of_version(S::KIND, life.version);
    match (told::<S>(rows), of_version) {
        (Err(damage), of_version) => stranded(of_version.unwrap_or(damage)),
        (Ok(_), Some(obstacle)) if !ended => stranded(obstacle),
        (Ok(folded), _) => match Obstacle::of_plan(header).filter(|_| !ended) {
            Some(obstacle) => stranded(obstacle),
            None => Ok(folded),
        },
    }
}

/// What its events come to, by this version's definition.
fn told<S: Saga>(rows: &[Row]) -> Result<Folded, Obstacle> {
    let texts = rows.iter().map(|row| row.event.as_str());
    let events = entry::events::<S>(texts)
        .map_err(|unread| Obstacle::Unreadable(format!("event {}", unread.row)))?;
    let state = fold::<S>(events.iter()).map_err(|_| Obstacle::DoesNotFold)?;
    let standing = match S::next(&state) {
        Next::Do(_) | Next::Compensate(_) => Standing::Running,
        Next::Park(why) => Standing::Parked(why),
        Next::Finished(ending) => Standing::Ended(ending),
    };
    // A parked recovery goes back from where it waits.
    let resumed = S::apply(state.clone(), &S::resumed()).unwrap_or_else(|_| state.clone());
    Ok(Folded {
        phase: S::phase(&state),
        cancellable: S::apply(resumed, &S::cancelled()).is_ok(),
        parks: u32::try_from(events.iter().filter(|e| e.outcome() == "parked").count())
            .unwrap_or(u32::MAX),
        taken: events.iter().rev().find_map(S::taken).map(|saved| saved.name.clone()),
        merged: events
            .iter()
            .rev()
            .find_map(|event| S::refill(event)?.merged())
            .map_or_else(Vec::new, <[Merged]>::to_vec),
        ..Folded::without_state(standing, legible::<S>(rows))
    })
}

fn given_up(life: Life, steps: Vec<StepTaken>) -> Folded {
    let retired = life.retired;
    let standing = life.retirement.map(|retirement| {
        let retirement = Box::new(retirement);
        if retired { Standing::Retired(retirement) } else { Standing::Retiring(retirement) }
    });
    Folded::without_state(standing.unwrap_or(Standing::Running), steps)
}

impl Folded {
    /// Of one whose saga has no say in it.
    fn without_state(standing: Standing, steps: Vec<StepTaken>) -> Self {
        let phase = match &standing {
            Standing::Refused => "refused",
            Standing::Stranded(_) => "stranded",
            Standing::Retiring(_) => "retiring",
            Standing::Retired(_) => "retired",
            Standing::Running | Standing::Parked(_) | Standing::Ended(_) => "",
        };
        let (taken, merged) = (None, Vec::new());
        Self { phase, standing, steps, cancellable: false, parks: 0, taken, merged }
    }
}

/// The steps among its events, as far as this version can read those.
fn legible<S: Saga>(rows: &[Row]) -> Vec<StepTaken> {
    let read = |row: &Row| Some((serde_json::from_str::<S::Event>(&row.event).ok()?, row.at_ms));
    let mut taken: Vec<StepTaken> = Vec::new();
    for (event, at_ms) in rows.iter().filter_map(read) {
        let Some(step) = event.step().filter(|_| event.outcome() != "intended") else {
            continue;
        };
        let before = taken.iter().filter(|done| done.step == step).count();
        taken.push(StepTaken {
            step,
            attempt: u32::try_from(before).unwrap_or(u32::MAX) + 1,
            outcome: event.outcome(),
            detail: event.detail(),
            at_ms,
        });
    }
    taken
}
