//! What stands in a journal besides a saga's events: which version went on with it, and that it was given up.
//!
//! | so far | row | then |
//! |---|---|---|
//! | open | an event of the saga | open |
//! | open | `continued`, of a newer version than any before | open |
//! | open | `retiring` | retiring: what is left to do is to take the mark off the record |
//! | retiring | `retired` | retired, for good |
//!
//! An entry is told from an event by its first letter, which is a small one; every version of salvor knows entries, whatever
//! it knows of the saga. One that this build has no word for is of a newer version. A saga's `apply` never sees an entry.

use serde::{Deserialize, Serialize};

use super::Saga;
use crate::retirement::Retirement;

/// A row that is no saga's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A newer version of the definition goes on from here: what follows are events of that one.
    Continued {
        /// Which.
        saga_version: u32,
    },
    /// It is given up: no event follows.
    Retiring(Box<Retirement>),
    /// The record is free of it.
    Retired {
        /// Whether a mark of it was taken off the record.
        unmarked: bool,
    },
}

/// What the entries of a journal come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// The newest version of the definition that wrote in it.
    pub version: u32,
    /// That it is given up, if it is.
    pub retirement: Option<Retirement>,
    /// Whether the record is free of it.
    pub retired: bool,
}

/// A journal that no build of this version can have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Irregular {
    /// A newer version has written what this one has no word for.
    #[error("row {0} was written by a newer version")]
    Newer(usize),
    /// Something follows that cannot.
    #[error("row {0} cannot stand where it stands")]
    Misplaced(usize),
    /// It is no JSON.
    #[error("row {0} cannot be read")]
    Unreadable(usize),
}

/// Whether a row is an entry, of whatever version.
pub fn is_entry(row: &str) -> bool {
    let text = row.trim_start_matches(['{', '"', ' ']);
    text.len() < row.len() && text.starts_with(|first: char| first.is_ascii_lowercase())
}

/// A row that is neither an entry nor an event of the saga.
#[derive(Debug, thiserror::Error)]
#[error("row {row} cannot be read: {error}")]
pub struct NotAnEvent {
    /// Counts from 1.
    pub row: usize,
    /// What is wrong with it. It may quote the row.
    pub error: serde_json::Error,
}

/// A saga's events, in order, without the entries between them.
///
/// # Errors
/// A row is no such event.
pub fn events<'r, S: Saga>(
    rows: impl IntoIterator<Item = &'r str>,
) -> Result<Vec<S::Event>, NotAnEvent> {
    let read = |(row, text): (usize, &str)| {
        serde_json::from_str(text).map_err(|error| NotAnEvent { row, error })
    };
    (1..).zip(rows).filter(|(_, text)| !is_entry(text)).map(read).collect()
}

/// Folds the entries of a journal that version `began` has begun. `rows` are all of its rows, in order. What stands before a
/// `retiring` may be of any version: it is given up.
///
/// # Errors
/// It is not one that this version can have written; the number of the row counts from 1.
pub fn life<'r>(began: u32, rows: impl IntoIterator<Item = &'r str>) -> Result<Life, Irregular> {
    let mut life = Life { version: began, retirement: None, retired: false };
    let mut irregular = None;
    for (number, row) in (1..).zip(rows) {
        let read = if is_entry(row) { entry(row, number).map(Some) } else { Ok(None) };
        if life.retirement.is_some() {
            match read {
                Ok(Some(Entry::Retired { .. })) if !life.retired => life.retired = true,
                _ => return Err(Irregular::Misplaced(number)),
            }
            continue;
        }
        match read {
            Ok(None) => {}
            Ok(Some(Entry::Continued { saga_version })) if saga_version > life.version => {
                life.version = saga_version;
            }
            Ok(Some(Entry::Retiring(retirement))) => {
                (life.retirement, irregular) = (Some(*retirement), None);
            }
            Ok(Some(Entry::Continued { .. } | Entry::Retired { .. })) => {
                irregular = irregular.or(Some(Irregular::Misplaced(number)));
            }
            Err(error) => irregular = irregular.or(Some(error)),
        }
    }
    irregular.map_or(Ok(life), Err)
}

fn entry(row: &str, number: usize) -> Result<Entry, Irregular> {
    let text: serde_json::Value =
        serde_json::from_str(row).map_err(|_| Irregular::Unreadable(number))?;
    serde_json::from_value(text).map_err(|_| Irregular::Newer(number))
}
