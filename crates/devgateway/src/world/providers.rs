//! Providers: records per workspace, attached to sandboxes by name.
//!
//! Credentials are checked for presence and dropped; nothing here could leak them.

use std::collections::BTreeMap;

use tonic::Code;
use uuid::Uuid;

use super::store::{Provider, Sandbox};
use super::{Target, World, now_ms, spec};
use crate::refusal::{Outcome, Refusal};

/// A provider as a create states it.
pub(crate) struct NewProvider {
    pub(crate) name: String,
    pub(crate) workspace: String,
    pub(crate) kind: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) credential_names: Vec<String>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) expires_at_ms: BTreeMap<String, i64>,
    pub(crate) profile_workspace: String,
}

impl World {
    pub(crate) fn create_provider(&self, new: NewProvider) -> Outcome<Provider> {
        self.check_workspace(&new.workspace)?;
        if new.name.is_empty() {
            return Err(Refusal::invalid("provider.name is required"));
        }
        if new.kind.trim().is_empty() {
            return Err(Refusal::invalid("provider.type is required"));
        }
        let mut store = self.store();
        let taken = |row: &Provider| row.workspace == new.workspace && row.name == new.name;
        if store.providers.values().any(taken) {
            return Err(Refusal::new(Code::AlreadyExists, "provider already exists"));
        }
        let row = Provider {
            id: Uuid::new_v4().to_string(),
            name: new.name,
            workspace: new.workspace,
            kind: new.kind,
            created_at_ms: now_ms(),
            resource_version: 1,
            labels: new.labels,
            credential_names: new.credential_names,
            config: new.config,
            expires_at_ms: new.expires_at_ms,
            profile_workspace: new.profile_workspace,
        };
        store.providers.put(&row.id, row.clone())?;
        Ok(row)
    }

    pub(crate) fn provider(&self, workspace: &str, name: &str) -> Outcome<Provider> {
        if name.is_empty() {
            return Err(Refusal::invalid("name is required"));
        }
        self.check_workspace(workspace)?;
        self.find_provider(workspace, name).ok_or_else(|| Refusal::missing("provider not found"))
    }

    pub(crate) fn list_providers(&self, workspace: Option<&str>) -> Outcome<Vec<Provider>> {
        workspace.map_or(Ok(()), |workspace| self.check_workspace(workspace))?;
        let mut rows: Vec<_> = self.store().providers.values().cloned().collect();
        rows.retain(|row| workspace.is_none_or(|workspace| row.workspace == workspace));
        rows.sort_by(|a, b| (a.created_at_ms, &a.name).cmp(&(b.created_at_ms, &b.name)));
        Ok(rows)
    }

    /// Removes a provider that no sandbox names; whether it existed.
    pub(crate) fn delete_provider(&self, workspace: &str, name: &str) -> Outcome<bool> {
        if name.is_empty() {
            return Err(Refusal::invalid("name is required"));
        }
        self.check_workspace(workspace)?;
        let mut store = self.store();
        let users: Vec<&str> = store
            .sandboxes
            .values()
            .filter(|row| row.workspace == workspace)
            .filter(|row| {
                spec::look(&row.spec).is_ok_and(|s| s.providers.iter().any(|p| p == name))
            })
            .map(|row| row.name.as_str())
            .collect();
        if !users.is_empty() {
            return Err(Refusal::precondition(format!(
                "provider '{name}' is attached to sandbox(es): {}",
                users.join(", ")
            )));
        }
        let found = store.providers.values().find(|p| p.workspace == workspace && p.name == name);
        let Some(id) = found.map(|row| row.id.clone()) else { return Ok(false) };
        store.providers.remove(&id)?;
        Ok(true)
    }

    /// The records of the providers that a sandbox names.
    pub(crate) fn attached(&self, target: &Target) -> Outcome<Vec<Provider>> {
        let row = self.get(target)?;
        let names = spec::look(&row.spec)?.providers;
        names.iter().map(|name| self.require_provider(&row.workspace, name)).collect()
    }

    /// Attaches or detaches a provider; whether that changed anything. The row's resource
    /// version grows either way.
    pub(crate) fn set_attached(
        &self,
        target: &Target,
        provider: &str,
        expected: u64,
        attach: bool,
    ) -> Outcome<(Sandbox, bool)> {
        if provider.is_empty() {
            return Err(Refusal::invalid("provider_name is required"));
        }
        let found = self.get(target)?;
        if attach {
            self.require_provider(&found.workspace, provider)?;
        }
        let mut changed = false;
        let row = self.update(&found.id, |row| {
            if expected != 0 && expected != row.resource_version {
                let what = if attach { "attach provider" } else { "detach provider" };
                return Err(Refusal::conflict(what, row.resource_version));
            }
            let mut names = spec::look(&row.spec)?.providers;
            let present = names.iter().any(|name| name == provider);
            if present == attach {
                return Ok(());
            }
            changed = true;
            if attach {
                names.push(provider.to_owned());
            } else {
                names.retain(|name| name != provider);
            }
            row.spec = spec::with_providers(&row.spec, names)?;
            Ok(())
        })?;
        Ok((row, changed))
    }

    pub(super) fn require_provider(&self, workspace: &str, name: &str) -> Outcome<Provider> {
        self.find_provider(workspace, name)
            .ok_or_else(|| Refusal::precondition(format!("provider '{name}' not found")))
    }

    fn find_provider(&self, workspace: &str, name: &str) -> Option<Provider> {
        let store = self.store();
        store.providers.values().find(|p| p.workspace == workspace && p.name == name).cloned()
    }
}
