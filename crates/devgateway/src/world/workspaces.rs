//! Workspaces. The id of `default` is minted with the store and identifies it.

use std::collections::BTreeMap;
use std::io;

use tonic::Code;
use uuid::Uuid;

use super::labels::{check_labels, parse_selector};
use super::store::Workspace;
use super::{DEFAULT_WORKSPACE, World, now_ms, rules};
use crate::refusal::{Outcome, Refusal};

impl World {
    pub(super) fn mint_default_workspace(&self) -> io::Result<()> {
        let mut store = self.store();
        if store.workspaces.values().any(|row| row.name == DEFAULT_WORKSPACE) {
            return Ok(());
        }
        let row = new_workspace(DEFAULT_WORKSPACE, BTreeMap::new());
        store.workspaces.put(&row.id.clone(), row)
    }

    /// Refuses a workspace that does not exist, in the words that tell it from a lost sandbox.
    pub(crate) fn check_workspace(&self, name: &str) -> Outcome<()> {
        if self.store().workspaces.values().any(|row| row.name == name) {
            Ok(())
        } else {
            Err(Refusal::no_workspace(name))
        }
    }

    pub(crate) fn workspace(&self, name: &str) -> Outcome<Workspace> {
        if name.is_empty() {
            return Err(Refusal::invalid("name is required"));
        }
        let store = self.store();
        let found = store.workspaces.values().find(|row| row.name == name);
        found.cloned().ok_or_else(|| Refusal::missing("workspace not found"))
    }

    pub(crate) fn list_workspaces(&self, selector: &str) -> Outcome<Vec<Workspace>> {
        let pairs = parse_selector(selector)?;
        let mut rows: Vec<_> = self.store().workspaces.values().cloned().collect();
        rows.retain(|row| pairs.iter().all(|(key, value)| row.labels.get(key) == Some(value)));
        rows.sort_by(|a, b| (a.created_at_ms, &a.name).cmp(&(b.created_at_ms, &b.name)));
        Ok(rows)
    }

    pub(crate) fn create_workspace(
        &self,
        name: &str,
        labels: BTreeMap<String, String>,
    ) -> Outcome<Workspace> {
        if name.is_empty() {
            return Err(Refusal::invalid("workspace name is required"));
        }
        rules::check_name(name, "workspace name")?;
        check_labels(&labels)?;
        let mut store = self.store();
        if store.workspaces.values().any(|row| row.name == name) {
            return Err(Refusal::new(Code::AlreadyExists, "workspace already exists"));
        }
        let row = new_workspace(name, labels);
        store.workspaces.put(&row.id, row.clone())?;
        Ok(row)
    }

    pub(crate) fn delete_workspace(&self, name: &str) -> Outcome<()> {
        if name.is_empty() {
            return Err(Refusal::invalid("name is required"));
        }
        if name == DEFAULT_WORKSPACE {
            return Err(Refusal::precondition("the default workspace cannot be deleted"));
        }
        let mut store = self.store();
        let found = store.workspaces.values().find(|row| row.name == name);
        let id = found.map(|row| row.id.clone()).ok_or_else(|| Refusal::no_workspace(name))?;
        let mut blocking = Vec::new();
        if store.sandboxes.values().any(|row| row.workspace == name) {
            blocking.push("sandbox");
        }
        let policies = |row: &super::Sandbox| row.workspace == name && !row.revisions.is_empty();
        if store.sandboxes.values().any(policies) {
            blocking.push("sandbox policy");
        }
        if store.providers.values().any(|row| row.workspace == name) {
            blocking.push("provider");
        }
        if !blocking.is_empty() {
            return Err(Refusal::precondition(format!(
                "workspace '{name}' still contains resources: {}",
                blocking.join(", ")
            )));
        }
        store.workspaces.remove(&id)?;
        Ok(())
    }
}

fn new_workspace(name: &str, labels: BTreeMap<String, String>) -> Workspace {
    Workspace {
        id: Uuid::new_v4().to_string(),
        name: name.to_owned(),
        created_at_ms: now_ms(),
        labels,
    }
}
