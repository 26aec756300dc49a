//! Putting a snapshot into a sandbox, and comparing the two afterwards, file by file.
//!
//! | state | event | state |
//! |---|---|---|
//! | Wanted, Writing | Intended | Writing *(doubtful)* |
//! | Writing | Written, PartlyWritten | Written |
//! | Writing | NotWritten, Doubtful | Wanted again |
//! | Written | Compared, all as in the snapshot | Settled: restored |
//! | Written | Compared, something differs | Wanted again, at most three times; then Settled: partly restored, item by item |
//! | *Settled, restored, and all else proven* | ComparedAgain, NotCompared | what differs now is pending; unproven |
//!
//! Shared by the sagas that restore. A restore that is done again gives the same result, so after an intent without an outcome
//! the same step is right. What is said of the data comes from the comparison alone, never from the writing. Sagas that make a
//! sandbox compare once more at their end ([`again`]): an agent that starts may write over what was put back.

use serde::{Deserialize, Serialize};

use super::{Cause, Narrate, Part, Pending, capture::Saved};
use crate::{fact::Why, id::SandboxPath};

/// How often a restore is compared and done again before what differs is owed.
pub const MAX_ATTEMPTS: u32 = 3;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refill {
    /// To be written.
    Wanted {
        /// Restores tried so far.
        attempts: u32,
    },
    /// A restore was asked for. How much of it was written is not known.
    Writing {
        /// This one included.
        attempts: u32,
    },
    /// It was written, and is to be compared.
    Written {
        /// This one included.
        attempts: u32,
    },
    /// It was compared.
    Settled(Part),
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefillStep {
    /// Write the snapshot.
    Write,
    /// Compare.
    Compare,
    /// Compare once more what the snapshot holds, at the end.
    CompareAgain,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefillEvent {
    /// A restore will be asked for.
    Intended,
    /// All of it was written.
    Written {
        /// Entries.
        files: u64,
        /// Bytes.
        bytes: u64,
        /// Config files that were merged, or were to be.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        merged: Vec<Merged>,
    },
    /// Some items could not be written; the comparison says which.
    PartlyWritten {
        /// How many.
        failures: u64,
        /// Config files that were merged, or were to be.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        merged: Vec<Merged>,
    },
    /// Nothing was written.
    NotWritten(Cause),
    /// Something may have been written.
    Doubtful(Cause),
    /// It was compared. Empty: nothing that was compared differs from the snapshot.
    Compared {
        /// Items that differ; the first of them, at most 100.
        differing: Vec<Unrestored>,
        /// How many there are.
        count: u64,
    },
    /// What the snapshot holds was compared once more. What was made since is nobody's loss.
    ComparedAgain {
        /// Items that differ now; the first of them, at most 100.
        differing: Vec<Unrestored>,
        /// How many there are.
        count: u64,
    },
    /// It could not be compared once more.
    NotCompared(Why),
}

/// What became of one config file whose keys have two owners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merged {
    /// Where.
    pub path: SandboxPath,
    /// Dotted keys that were taken from the snapshot.
    pub restored: Vec<String>,
    /// Dotted keys of the snapshot that were not restored: the runtime owns them.
    pub kept: Vec<String>,
    /// Why nothing was changed in it; `None` when it was merged.
    pub unmerged: Option<String>,
}

/// An item that is not as the snapshot has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unrestored {
    /// Where.
    pub path: SandboxPath,
    /// The adapter's word for it, upper snake case.
    pub reason: String,
}

// === impl Refill ===

impl Refill {
    /// Nothing done yet.
    pub const fn wanted() -> Self {
        Self::Wanted { attempts: 0 }
    }

    /// The fold; `None` for an event that cannot happen here.
    pub fn apply(self, event: &RefillEvent, from: &Saved) -> Option<Self> {
        use RefillEvent as E;
        Some(match (self, event) {
            (Self::Wanted { attempts }, E::Intended) => Self::Writing { attempts: attempts + 1 },
            (writing @ Self::Writing { .. }, E::Intended) => writing,
            (Self::Writing { attempts }, E::Written { .. } | E::PartlyWritten { .. }) => {
                Self::Written { attempts }
            }
            (Self::Writing { attempts }, E::NotWritten(_) | E::Doubtful(_)) => {
                Self::Wanted { attempts }
            }
            (Self::Written { .. }, E::Compared { count: 0, .. }) => {
                Self::Settled(Part::Restored { snapshot: from.name.clone(), begun: from.begun })
            }
            (Self::Written { attempts }, E::Compared { .. }) if attempts < MAX_ATTEMPTS => {
                Self::Wanted { attempts }
            }
            (Self::Written { .. }, E::Compared { differing, count }) => {
                let (snapshot, begun) = (from.name.clone(), from.begun);
                Self::Settled(Part::Partly { snapshot, begun, owed: owed(differing, *count) })
            }
            _ => return None,
        })
    }

    /// What to do; `None` once it is settled.
    pub const fn next(&self) -> Option<RefillStep> {
        match self {
            Self::Wanted { .. } | Self::Writing { .. } => Some(RefillStep::Write),
            Self::Written { .. } => Some(RefillStep::Compare),
            Self::Settled(_) => None,
        }
    }

    /// Restores tried so far, the one at work included.
    pub const fn attempts(&self) -> u32 {
        match self {
            Self::Wanted { attempts } | Self::Writing { attempts } | Self::Written { attempts } => {
                *attempts
            }
            Self::Settled(_) => 0,
        }
    }
}

/// How many keys a row is about; which ones, the result says.
fn of_merged(merged: &[Merged]) -> String {
    if merged.is_empty() {
        return String::new();
    }
    let left = merged.iter().filter(|file| file.unmerged.is_some()).count();
    let kept: usize = merged.iter().map(|file| file.kept.len()).sum();
    let files = merged.len() - left;
    format!("; {files} config files merged, {left} left as they are, {kept} keys not restored")
}

/// What is said of restored data once it was compared again; `None` for an event that does not say so.
pub fn again(data: Part, event: &RefillEvent) -> Option<Part> {
    use RefillEvent as E;
    Some(match (event, data) {
        // What is owed already is owed, whatever else there may be.
        (E::ComparedAgain { count: 0, .. }, data)
        | (E::NotCompared(_), data @ (Part::Partly { .. } | Part::Pending(_))) => data,
        (E::ComparedAgain { differing, count }, Part::Restored { snapshot, begun }) => {
            Part::Partly { snapshot, begun, owed: owed(differing, *count) }
        }
        (E::ComparedAgain { differing, count }, Part::Partly { snapshot, begun, owed: before }) => {
            let owed = before.into_iter().chain(owed(differing, *count)).collect();
            Part::Partly { snapshot, begun, owed }
        }
        (E::ComparedAgain { differing, count }, Part::Pending(before)) => {
            Part::Pending(before.into_iter().chain(owed(differing, *count)).collect())
        }
        (E::ComparedAgain { differing, count }, _) => Part::Pending(owed(differing, *count)),
        (E::NotCompared(why), _) => Part::Unproven(*why),
        _ => return None,
    })
}

fn owed(differing: &[Unrestored], count: u64) -> Vec<Pending> {
    let named = differing
        .iter()
        .map(|item| Pending::NotRestored { path: item.path.clone(), reason: item.reason.clone() });
    let mut owed: Vec<Pending> = named.collect();
    let unnamed = count.saturating_sub(u64::try_from(owed.len()).unwrap_or(u64::MAX));
    if unnamed > 0 {
        owed.push(Pending::MoreNotRestored { count: unnamed });
    }
    owed
}

// === impl RefillEvent ===

impl RefillEvent {
    /// What it says of config files; `None` where it says nothing of what was written.
    pub fn merged(&self) -> Option<&[Merged]> {
        match self {
            Self::Written { merged, .. } | Self::PartlyWritten { merged, .. } => Some(merged),
            Self::Intended
            | Self::NotWritten(_)
            | Self::Doubtful(_)
            | Self::Compared { .. }
            | Self::ComparedAgain { .. }
            | Self::NotCompared(_) => None,
        }
    }
}

// === impl RefillStep ===

impl RefillStep {
    /// The step's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "restore_workspace",
            Self::Compare => "compare_workspace",
            Self::CompareAgain => "compare_again",
        }
    }

    /// The event to journal before it.
    pub const fn intent(self) -> Option<RefillEvent> {
        match self {
            Self::Write => Some(RefillEvent::Intended),
            Self::Compare | Self::CompareAgain => None,
        }
    }
}

impl Narrate for RefillEvent {
    fn step(&self) -> Option<&'static str> {
        Some(match self {
            Self::Intended
            | Self::Written { .. }
            | Self::PartlyWritten { .. }
            | Self::NotWritten(_)
            | Self::Doubtful(_) => RefillStep::Write.as_str(),
            Self::Compared { .. } => RefillStep::Compare.as_str(),
            Self::ComparedAgain { .. } | Self::NotCompared(_) => RefillStep::CompareAgain.as_str(),
        })
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Written { .. } => "written",
            Self::PartlyWritten { .. } => "partly_written",
            Self::NotWritten(_) => "not_written",
            Self::Doubtful(_) => "doubtful",
            Self::Compared { count: 0, .. } | Self::ComparedAgain { count: 0, .. } => "same",
            Self::Compared { .. } | Self::ComparedAgain { .. } => "differs",
            Self::NotCompared(_) => "unproven",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Intended => String::new(),
            Self::Written { files, bytes, merged } => {
                format!("{files} entries, {bytes} bytes{}", of_merged(merged))
            }
            Self::PartlyWritten { failures, merged } => {
                format!("{failures} items could not be written{}", of_merged(merged))
            }
            Self::NotWritten(cause) | Self::Doubtful(cause) => cause.sentence().to_owned(),
            Self::Compared { count: 0, .. } => {
                "nothing that was compared differs from the snapshot".to_owned()
            }
            Self::ComparedAgain { count: 0, .. } => {
                "every file of the snapshot is still as in it".to_owned()
            }
            Self::Compared { differing, count } | Self::ComparedAgain { differing, count } => {
                Part::Pending(owed(differing, *count)).detail()
            }
            Self::NotCompared(why) => why.sentence().to_owned(),
        }
    }
}
