//! Where a recreated sandbox's files come from, and what of it could not be had.

use crate::{
    id::ComputeId,
    saga::{
        Part, Pending,
        capture::{NotSaved, Saved},
    },
};

/// Where the workspace's files come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The snapshot that is put back.
    pub restore: Option<Saved>,
    /// Containers that the gateway has lost.
    pub leftover: Vec<ComputeId>,
    /// Whether the plan reads them.
    pub salvage: bool,
    /// Why what they hold is not what is put back, if it was to be.
    pub unread: Option<NotSaved>,
}

// === impl Content ===

impl Content {
    /// What was put back is not what there was, where a container could not be read: that is owed, whatever was put back.
    pub(super) fn with_unread(&self, data: Option<Part>) -> Option<Part> {
        let Some(why) = &self.unread else { return data };
        let instead = self.restore.as_ref().map(|saved| saved.name.clone());
        let not_salvaged =
            Pending::NotSalvaged { containers: self.leftover.clone(), why: why.clone(), instead };
        let mut owed = match data {
            Some(Part::Pending(owed) | Part::Partly { owed, .. }) => owed,
            _ => Vec::new(),
        };
        owed.insert(0, not_salvaged);
        Some(Part::Pending(owed))
    }
}
