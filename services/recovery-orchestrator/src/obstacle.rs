//! Why this version cannot go on with a recovery. What another version wrote is told from damage where that can be told: a
//! version is named in the plan, and by each newer one that went on with the recovery.

use std::fmt;

use salvor_core::{
    Approved, SagaKind,
    id::RecoveryName,
    saga::{
        entry::{Irregular, Life},
        version::Resumption,
    },
};
use salvor_proto::{Error, error::Code};

use crate::{
    journal::{Header, Illegible},
    words::NextStep,
};

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// A newer version of the definition wrote in its journal.
    Newer {
        /// Which, if that can be told.
        wrote: Option<u32>,
        /// The one that this build runs.
        runs: u32,
    },
    /// An older one began it, which this build does not go on with.
    Older {
        /// Which.
        wrote: u32,
        /// The oldest that it goes on with.
        oldest: u32,
    },
    /// A definition that this build does not have: of a newer one.
    UnknownSaga(String),
    /// Part of it cannot be read.
    Unreadable(String),
    /// It reads, and no version of its saga can have written it.
    DoesNotFold,
    /// A guard that this build asks for has no verdict in its plan.
    NotApproved(String),
}

impl Obstacle {
    /// What keeps this build from going on by the versions that wrote, if anything does.
    pub fn of_version(saga: SagaKind, wrote: u32) -> Option<Self> {
        match saga.resumption(wrote) {
            Resumption::Resume | Resumption::Continue => None,
            Resumption::Retire => Some(Self::Older { wrote, oldest: saga.oldest() }),
            Resumption::Newer => Some(Self::Newer { wrote: Some(wrote), runs: saga.version() }),
        }
    }

    /// By its entries; or their fold.
    pub fn of_life(saga: SagaKind, life: Result<Life, Irregular>) -> Result<Life, Self> {
        let life = life.map_err(|irregular| match irregular {
            Irregular::Newer(_) => Self::Newer { wrote: None, runs: saga.version() },
            Irregular::Misplaced(_) => Self::DoesNotFold,
            Irregular::Unreadable(row) => Self::Unreadable(format!("event {row}")),
        })?;
        Ok(life)
    }

    /// By its plan: it must be one that this build would have allowed.
    pub fn of_plan(header: &Header) -> Option<Self> {
        let approved = Approved::new(header.plan.clone());
        approved.err().map(|error| Self::NotApproved(error.to_string()))
    }

    /// By a header that cannot be read.
    pub fn of_header(illegible: &Illegible) -> Self {
        let unreadable = Self::Unreadable(illegible.what.to_owned());
        let Some(saga) = &illegible.saga else { return unreadable };
        let known = SagaKind::ALL.into_iter().find(|kind| format!("{kind:?}") == *saga);
        let Some(kind) = known else { return Self::UnknownSaga(saga.clone()) };
        let by_version = illegible.saga_version.and_then(|wrote| Self::of_version(kind, wrote));
        by_version.unwrap_or(unreadable)
    }

    /// Stable, upper snake case.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "SAGA_VERSION_NEWER",
            Self::Older { .. } => "SAGA_VERSION_OLDER",
            Self::UnknownSaga(_) => "SAGA_UNKNOWN",
            Self::Unreadable(_) => "JOURNAL_ROW_UNREADABLE",
            Self::DoesNotFold => "JOURNAL_DOES_NOT_FOLD",
            Self::NotApproved(_) => "PLAN_NOT_APPROVED",
        }
    }

    /// Whether another build than this one can go on with it.
    pub const fn is_of_a_newer_version(&self) -> bool {
        matches!(self, Self::Newer { .. } | Self::UnknownSaga(_))
    }

    /// What to run next.
    pub fn next_step(&self, name: &RecoveryName) -> String {
        let step = match self {
            Self::Newer { .. } | Self::UnknownSaga(_) => NextStep::RunThatVersion,
            Self::Older { .. } => NextStep::Retire,
            Self::Unreadable(_) | Self::DoesNotFold | Self::NotApproved(_) => {
                NextStep::RetireDamaged
            }
        };
        step.of(name.as_str())
    }

    /// As an answer to a caller who wants it to go on.
    pub fn error(&self, name: &RecoveryName) -> Error {
        let code = match self {
            Self::Newer { .. } | Self::Older { .. } | Self::UnknownSaga(_) => Code::Refused,
            Self::Unreadable(_) | Self::DoesNotFold | Self::NotApproved(_) => Code::DataLoss,
        };
        Error::new(code, self.reason(), format!("{name}: {self}; it is left as it is"))
            .with("recovery", name.to_string())
            .next_step(self.next_step(name))
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer { wrote: Some(wrote), runs } => write!(
                f,
                "version {wrote} of its saga wrote in its journal, and this orchestrator runs version {runs}"
            ),
            Self::Newer { wrote: None, runs } => write!(
                f,
                "a newer orchestrator wrote in its journal, and this one runs version {runs} of its saga"
            ),
            Self::Older { wrote, oldest } => write!(
                f,
                "it was begun by version {wrote} of its saga, and this orchestrator goes on with version \
                 {oldest} and later"
            ),
            Self::UnknownSaga(saga) => {
                write!(f, "its saga is {saga}, which only a newer orchestrator runs")
            }
            Self::Unreadable(what) => write!(f, "its {what} cannot be read"),
            Self::DoesNotFold => {
                f.write_str("its journal is not one that its saga can have written")
            }
            Self::NotApproved(why) => write!(f, "its plan does not allow it: {why}"),
        }
    }
}
