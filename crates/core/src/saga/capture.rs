//! Saving a workspace before anything is done to it: take a snapshot, and have all of it read back.
//!
//! | state | event | state |
//! |---|---|---|
//! | Wanted, Taking | Intended | Taking *(doubtful)* |
//! | Taking | Taken | Taken, or Verified if no second read-back is wanted |
//! | Taking | Doubtful | Taking: ask again, by the same request id |
//! | Taking | Refused | Wanted again, at most three times; then Failed |
//! | Taking | Incomplete | Failed |
//! | Taken | Verified | Verified |
//! | Taken | Damaged | Failed |
//! | Taking, Taken, Verified | Outdated | Wanted |
//!
//! Shared by the sagas that save something. Taking a snapshot changes nothing that it saves, so after an intent without an
//! outcome the same step is right: the adapter answers a request id that it has finished already with what came of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Cause, Narrate};
use crate::{
    id::{SandboxPath, SnapshotName},
    time::Timestamp,
};

/// How often a snapshot is tried before the saga gives up on it.
pub const MAX_ATTEMPTS: u32 = 3;

/// A complete snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Its exact name.
    pub name: SnapshotName,
    /// When it began to be read: what was written later is not in it.
    pub begun: Timestamp,
    /// Regular files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capture {
    /// Nothing was asked for yet.
    Wanted {
        /// Snapshots tried so far.
        attempts: u32,
    },
    /// A snapshot was asked for. Whether there is one is not known.
    Taking {
        /// This one included.
        attempts: u32,
    },
    /// There is a complete one, not yet read back whole.
    Taken(Saved),
    /// There is a complete one.
    Verified(Saved),
    /// There is none.
    Failed(NotSaved),
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureStep {
    /// Take a snapshot.
    Take,
    /// Read all of it back.
    Verify,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaptureEvent {
    /// A snapshot will be asked for.
    Intended,
    /// It is complete.
    Taken {
        /// It.
        saved: Saved,
        /// Whether it is to be read back whole before anything rests on it.
        verify: bool,
    },
    /// It is kept, and is not complete.
    Incomplete(Gap),
    /// None was made.
    Refused(Cause),
    /// One may have been made.
    Doubtful(Cause),
    /// All of it was read back from the repository and is intact.
    Verified,
    /// It is not intact.
    Damaged(Gap),
    /// What was found of it was found by a process that is gone: the sandbox has been alive since, and the repository could
    /// be written to. What was taken is taken anew, and what was read back is read back again.
    Outdated,
}

/// The first of what is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The snapshot; kept for salvage.
    pub snapshot: SnapshotName,
    /// Where; absent when it is not about one path.
    pub path: Option<SandboxPath>,
    /// The adapter's word for it, upper snake case.
    pub reason: String,
    /// How many there are in all.
    pub count: u64,
}

/// Why there is no complete snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotSaved {
    /// It is kept, and is not complete.
    Incomplete(Gap),
    /// It is complete by its own account, and could not be read back.
    Damaged(Gap),
    /// None could be made.
    Refused(Cause),
}

// === impl Capture ===

impl Capture {
    /// Nothing done yet.
    pub const fn wanted() -> Self {
        Self::Wanted { attempts: 0 }
    }

    /// The fold; `None` for an event that cannot happen here.
    pub fn apply(self, event: &CaptureEvent) -> Option<Self> {
        use CaptureEvent as E;
        Some(match (self, event) {
            (Self::Wanted { attempts }, E::Intended) => Self::Taking { attempts: attempts + 1 },
            (taking @ Self::Taking { .. }, E::Intended | E::Doubtful(_)) => taking,
            (Self::Taking { .. }, E::Taken { saved, verify: true }) => Self::Taken(saved.clone()),
            (Self::Taking { .. }, E::Taken { saved, verify: false }) => {
                Self::Verified(saved.clone())
            }
            (Self::Taking { .. }, E::Incomplete(gap)) => {
                Self::Failed(NotSaved::Incomplete(gap.clone()))
            }
            (Self::Taking { attempts }, E::Refused(cause)) => {
                if attempts < MAX_ATTEMPTS && cause.may_pass() {
                    Self::Wanted { attempts }
                } else {
                    Self::Failed(NotSaved::Refused(*cause))
                }
            }
            (Self::Taken(saved), E::Verified) => Self::Verified(saved),
            (Self::Taken(_), E::Damaged(gap)) => Self::Failed(NotSaved::Damaged(gap.clone())),
            (Self::Taking { .. } | Self::Taken(_) | Self::Verified(_), E::Outdated) => {
                Self::wanted()
            }
            _ => return None,
        })
    }

    /// What to do; `None` once it is decided.
    pub const fn next(&self) -> Option<CaptureStep> {
        match self {
            Self::Wanted { .. } | Self::Taking { .. } => Some(CaptureStep::Take),
            Self::Taken(_) => Some(CaptureStep::Verify),
            Self::Verified(_) | Self::Failed(_) => None,
        }
    }
}

// === impl CaptureEvent ===

impl CaptureEvent {
    /// The complete snapshot that was taken, if this says so.
    pub const fn taken(&self) -> Option<&Saved> {
        match self {
            Self::Taken { saved, .. } => Some(saved),
            _ => None,
        }
    }
}

// === impl CaptureStep ===

impl CaptureStep {
    /// The step's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Take => "take_snapshot",
            Self::Verify => "verify_snapshot",
        }
    }

    /// The event to journal before it.
    pub const fn intent(self) -> Option<CaptureEvent> {
        match self {
            Self::Take => Some(CaptureEvent::Intended),
            Self::Verify => None,
        }
    }
}

impl Narrate for CaptureEvent {
    fn step(&self) -> Option<&'static str> {
        Some(match self {
            Self::Intended
            | Self::Taken { .. }
            | Self::Incomplete(_)
            | Self::Refused(_)
            | Self::Doubtful(_)
            | Self::Outdated => CaptureStep::Take.as_str(),
            Self::Verified | Self::Damaged(_) => CaptureStep::Verify.as_str(),
        })
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Taken { .. } => "taken",
            Self::Incomplete(_) => "incomplete",
            Self::Refused(_) => "refused",
            Self::Doubtful(_) => "doubtful",
            Self::Verified => "verified",
            Self::Damaged(_) => "damaged",
            Self::Outdated => "outdated",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Taken { saved, .. } => saved.to_string(),
            Self::Incomplete(gap) | Self::Damaged(gap) => gap.to_string(),
            Self::Refused(cause) | Self::Doubtful(cause) => cause.sentence().to_owned(),
            Self::Intended | Self::Verified | Self::Outdated => String::new(),
        }
    }
}

impl fmt::Display for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} files, {} bytes", self.name, self.files, self.bytes)
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.snapshot)?;
        if let Some(path) = &self.path {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.reason)?;
        match self.count {
            0 | 1 => Ok(()),
            count => write!(f, ", and {} more", count - 1),
        }
    }
}

impl fmt::Display for NotSaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete(gap) => write!(f, "the snapshot is not complete: {gap}"),
            Self::Damaged(gap) => write!(f, "the snapshot could not be read back: {gap}"),
            Self::Refused(cause) => write!(f, "no snapshot could be taken: {}", cause.sentence()),
        }
    }
}
