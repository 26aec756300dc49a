//! One container, as far as salvor looks at it.
//!
//! Its command is read by the client and dropped here: it may hold secrets.

use std::collections::HashMap;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum as Status};
use salvor_core::name::RecordName;
use salvor_proto::gateway::v1 as pb;

/// The label that every container of a gateway bears.
pub(super) const MANAGED_BY: (&str, &str) = ("openshell.ai/managed-by", "openshell");
/// The gateway's id of the incarnation.
pub(super) const SANDBOX_ID: &str = "openshell.ai/sandbox-id";
const SANDBOX_NAME: &str = "openshell.ai/sandbox-name";
const SANDBOX_WORKSPACE: &str = "openshell.ai/sandbox-workspace";

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    /// The runtime's whole id.
    pub id: String,
    /// Its name, without the leading slash.
    pub name: String,
    /// Its image, as it was asked for.
    pub image: String,
    /// How it is.
    pub state: pb::compute::State,
    /// Of its main process, if it has ended.
    pub exit_code: Option<i32>,
    labels: HashMap<String, String>,
}

/// How a container's labels compare with an incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bears {
    /// They are this incarnation's.
    This,
    /// They are not; why.
    Other(String),
}

// === impl Container ===

impl Container {
    /// Reads one line of the runtime's list: unlike its whole description it has no environment, and it is answered while an
    /// archive of the container is being read.
    pub(super) fn read(line: ContainerSummary) -> Self {
        let state = line.state.map_or(pb::compute::State::Unspecified, known);
        let ended = state == pb::compute::State::Exited;
        let name = line.names.unwrap_or_default().into_iter().next().unwrap_or_default();
        Self {
            id: line.id.unwrap_or_default(),
            name: name.trim_start_matches('/').to_owned(),
            image: line.image.unwrap_or_default(),
            state,
            exit_code: line.status.filter(|_| ended).as_deref().and_then(exit_code),
            labels: line.labels.unwrap_or_default(),
        }
    }

    /// Whether it is a gateway's container of this sandbox id, compared exactly.
    pub(crate) fn bears_id(&self, live_id: &str) -> bool {
        self.label(MANAGED_BY.0) == Some(MANAGED_BY.1) && self.label(SANDBOX_ID) == Some(live_id)
    }

    /// Whether it is the incarnation `live_id` of `target`: the id must be there and equal; name and workspace must not
    /// say otherwise.
    pub(crate) fn bears(&self, target: &RecordName, live_id: &str) -> Bears {
        if self.label(MANAGED_BY.0) != Some(MANAGED_BY.1) {
            return Bears::Other("no gateway's labels are on it".to_owned());
        }
        match self.label(SANDBOX_ID) {
            Some(id) if id == live_id => {}
            Some(id) => return Bears::Other(format!("it is of sandbox id {id:?}")),
            None => return Bears::Other("no sandbox id is on it".to_owned()),
        }
        let (sandbox, workspace) = (target.sandbox.to_string(), target.workspace.to_string());
        for (key, meant) in [(SANDBOX_NAME, sandbox), (SANDBOX_WORKSPACE, workspace)] {
            if let Some(says) = self.label(key).filter(|says| *says != meant) {
                return Bears::Other(format!("its label {key} says {says:?} and not {meant:?}"));
            }
        }
        Bears::This
    }

    /// Whether nothing of it runs, and nothing will by itself.
    pub(crate) fn at_rest(&self) -> bool {
        use pb::compute::State;
        matches!(self.state, State::Created | State::Exited | State::Dead)
    }

    /// Whether nothing in it can change as it is: it is at rest, or paused.
    pub(crate) fn is_still(&self) -> bool {
        self.at_rest() || self.state == pb::compute::State::Paused
    }

    /// As the API says it.
    pub(crate) fn compute(&self) -> pb::Compute {
        pb::Compute {
            id: self.id.clone(),
            name: self.name.clone(),
            state: self.state.into(),
            image: self.image.clone(),
            exit_code: self.exit_code,
        }
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }
}

/// From words like `Exited (137) 5 minutes ago`.
fn exit_code(status: &str) -> Option<i32> {
    status.strip_prefix("Exited (")?.split_once(')')?.0.parse().ok()
}

fn known(status: Status) -> pb::compute::State {
    use pb::compute::State;
    match status {
        Status::CREATED => State::Created,
        Status::RUNNING | Status::STOPPING => State::Running,
        Status::PAUSED => State::Paused,
        Status::RESTARTING => State::Restarting,
        Status::EXITED => State::Exited,
        Status::DEAD => State::Dead,
        Status::EMPTY | Status::REMOVING => State::Unspecified,
    }
}
