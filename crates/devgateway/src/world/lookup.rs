//! Reads: one sandbox by name or id, and pages of many.

use super::labels::parse_selector;
use super::store::Sandbox;
use super::{Target, World};
use crate::refusal::{Outcome, Refusal};

/// Page size when none is asked for, and the most that is given.
const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// Where a list looks.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    Workspace(String),
    All,
}

/// A part of a list, in order of creation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Page {
    pub(crate) offset: usize,
    /// 0: the default. More than 1000 is taken as 1000.
    pub(crate) limit: usize,
}

// === impl Page ===

impl Page {
    /// The limit that applies.
    pub(crate) fn size(self) -> usize {
        if self.limit == 0 { DEFAULT_PAGE } else { self.limit.min(MAX_PAGE) }
    }

    /// The rows of this page and, if more follow, where the next one starts.
    pub(crate) fn cut<T>(self, rows: Vec<T>) -> (Vec<T>, Option<usize>) {
        let end = self.offset.saturating_add(self.size());
        let next = (rows.len() > end).then_some(end);
        (rows.into_iter().skip(self.offset).take(self.size()).collect(), next)
    }
}

impl World {
    /// One sandbox. A workspace that does not exist is another error than a sandbox that does not.
    pub(crate) fn get(&self, target: &Target) -> Outcome<Sandbox> {
        match target {
            Target::Id(id) => {
                if id.is_empty() {
                    return Err(Refusal::invalid("sandbox_id is required"));
                }
                self.store().sandboxes.get(id).cloned().ok_or_else(Refusal::no_sandbox)
            }
            Target::Name { workspace, name } => {
                if name.is_empty() {
                    return Err(Refusal::invalid("name is required"));
                }
                self.check_workspace(workspace)?;
                let store = self.store();
                let found = store
                    .sandboxes
                    .values()
                    .find(|row| row.workspace == *workspace && row.name == *name);
                found.cloned().ok_or_else(Refusal::no_sandbox)
            }
        }
    }

    /// Every sandbox in scope that bears all of the selector's labels, oldest first.
    pub(crate) fn list(&self, scope: &Scope, selector: &str) -> Outcome<Vec<Sandbox>> {
        if let Scope::Workspace(workspace) = scope {
            self.check_workspace(workspace)?;
        }
        let pairs = parse_selector(selector)?;
        let store = self.store();
        let mut rows: Vec<Sandbox> = store
            .sandboxes
            .values()
            .filter(|row| match scope {
                Scope::Workspace(workspace) => row.workspace == *workspace,
                Scope::All => true,
            })
            .filter(|row| pairs.iter().all(|(key, value)| row.labels.get(key) == Some(value)))
            .cloned()
            .collect();
        drop(store);
        rows.sort_by_key(|row| row.serial);
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_default_to_100_and_stop_at_1000() {
        let rows: Vec<u32> = (0..2500).collect();
        let cut = |offset, limit| {
            let (page, next) = Page { offset, limit }.cut(rows.clone());
            (page.len(), page.first().copied(), next)
        };
        assert_eq!(cut(0, 0), (100, Some(0), Some(100)));
        assert_eq!(cut(100, 5000), (1000, Some(100), Some(1100)));
        assert_eq!(cut(2400, 100), (100, Some(2400), None));
        assert_eq!(cut(9999, 10), (0, None, None));
    }
}
