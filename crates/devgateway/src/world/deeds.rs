//! What was done to sandboxes, by id: names alone do not tell, since one name can have many bearers in turn.
//!
//! Bounded like the call log. Deliberately absent: what happens behind the gateway's back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use super::store::Sandbox;
use super::{lock, now_ms};

/// Deeds that are remembered.
const CAPACITY: usize = 100_000;

/// One change that the gateway made because it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Deed {
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// What.
    pub kind: DeedKind,
    /// The workspace.
    pub workspace: String,
    /// The name.
    pub name: String,
    /// The id: the one incarnation that it was done to.
    pub id: String,
    /// Its annotations then.
    pub annotations: BTreeMap<String, String>,
    /// The identity of the store that had it.
    pub store_id: String,
}

/// A kind of deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum DeedKind {
    /// Its row was made.
    Create,
    /// Its deletion began.
    Delete,
    /// Its stop began.
    Stop,
    /// Its start began.
    Start,
}

/// All of them, in order.
#[derive(Debug, Default)]
pub(crate) struct Deeds(Mutex<VecDeque<Deed>>);

impl Deeds {
    pub(super) fn note(&self, kind: DeedKind, row: &Sandbox, store_id: String) {
        let deed = Deed {
            at_ms: now_ms(),
            kind,
            workspace: row.workspace.clone(),
            name: row.name.clone(),
            id: row.id.clone(),
            annotations: row.annotations.clone(),
            store_id,
        };
        let mut deeds = lock(&self.0);
        if deeds.len() == CAPACITY {
            deeds.pop_front();
        }
        deeds.push_back(deed);
    }

    pub(crate) fn all(&self) -> Vec<Deed> {
        lock(&self.0).iter().cloned().collect()
    }
}
