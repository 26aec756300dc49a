//! Deleting a sandbox on condition that its workspace is what a snapshot holds.

use std::sync::Arc;

use salvor_proto::Error;
use salvor_proto::gateway::v1 as pb;
use salvor_proto::gateway::v1::effect::{Cause, Outcome as Came};
use salvor_proto::gateway::v1::operation::{Kind, Result as Outcome};

use super::refill::{Asked, Door, stopped_error, uncancelled};
use super::{Service, parse};
use crate::authority::Authority;
use crate::gateway::Gateway;
use crate::mutate::{self, effect};
use crate::operations::{Handle, failure};
use crate::permit::Permit;
use crate::runtime::{Runtime, RuntimeChannel};
use crate::store::{SnapshotName, Store};
use crate::workspace::notes::shown;
use crate::workspace::rules::Rules;
use crate::workspace::sides::Stopped;
use crate::workspace::unchanged::{Found, Leave, Look};
use crate::workspace::{Channel, ExecChannel, Note};

/// A delete that was checked, and what it needs.
struct Delete {
    meant: parse::Meant,
    request_id: String,
    gateway: Arc<Gateway>,
    authority: Arc<Authority>,
    runtime: Option<Arc<Runtime>>,
    store: Store,
    /// What the workspace must be.
    snapshot: SnapshotName,
    rules: Arc<Rules>,
    by_exec: bool,
}

impl Service {
    /// Refused before anything is begun: a snapshot that is not complete, or not of this incarnation.
    pub(super) async fn delete_unchanged(
        &self,
        (meant, sandbox): (parse::Meant, Option<pb::SandboxRef>),
        permit: Permit,
        (request_id, since): (String, String),
    ) -> Result<pb::DeleteSandboxResponse, Error> {
        let store = self.store()?.clone();
        let identity = pb::SnapshotIdentity { sandbox, live_id: meant.live_id.clone() };
        let snapshot = SnapshotName::parse("unchanged_since", &since)?;
        let by_exec = store.get(&snapshot.id).await?.channel() == pb::Channel::Exec;
        let (task, _) = Asked::whole(snapshot.clone(), identity).chosen(&store).await?;
        let gateway = self.served(&meant.target.owner()).await?;
        let runtime = self.runtime_of(&meant.target.owner()).ok().cloned();
        let (authority, rules) = (Arc::clone(&self.authority), Arc::new(task.rules));
        let (subject, id) = (meant.target.to_string(), request_id.clone());
        let name = subject.clone();
        let delete = Delete {
            meant,
            request_id,
            gateway,
            authority,
            runtime,
            store,
            snapshot,
            rules,
            by_exec,
        };
        let operation =
            self.operations.start(Kind::Delete, &subject, &id, |handle| async move {
                let ended = Box::pin(uncancelled(delete.run(permit, &handle), &handle)).await;
                let came = ended.unwrap_or_else(|| {
                    let text = "the delete was cancelled at work; observe the sandbox";
                    Ok(effect(Came::MaybeApplied, Cause::Unspecified, text))
                });
                came.map(Outcome::Deletion)
                    .map_err(|stopped| failure(stopped_error(stopped, &name)))
            })?;
        Ok(pb::DeleteSandboxResponse { effect: None, operation: Some(operation) })
    }
}

// === impl Delete ===

impl Delete {
    async fn run(self, permit: Permit, handle: &Handle) -> Result<pb::Effect, Stopped> {
        let cleared = permit.clear(&self.authority).await?;
        cleared.still_allowed()?;
        let rest = match Box::pin(self.found(handle, &|| cleared.stands())).await? {
            Found::Unchanged(rest) => rest,
            Found::Changed(first, count) => return Ok(self.changed(&first, count)),
            Found::NotAtRest(note) => {
                let text = format!("{}. Nothing was deleted", note.detail);
                return Ok(effect(Came::NotApplied, Cause::CommandFailed, text));
            }
        };
        handle.stage("deleting");
        let deleted =
            mutate::delete(&self.gateway, cleared, &self.meant.live_id, &self.request_id).await?;
        if deleted.outcome() == Came::Applied {
            rest.forget();
        } else {
            rest.goes_on().await;
        }
        Ok(deleted)
    }

    fn changed(&self, first: &Note, count: u64) -> pb::Effect {
        let (path, how, snapshot) = (shown(&first.path), &first.detail, &self.snapshot);
        let others = if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
        let text = format!(
            "{path} {how}{others}: the workspace is not any more what {snapshot} holds. Nothing was \
             deleted"
        );
        effect(Came::NotApplied, Cause::WorkspaceChanged, text)
    }

    /// Through the gateway if commands can be run in it, and through the container otherwise: a listing of that has no inodes.
    async fn found(&self, handle: &Handle, leave: &Leave<'_>) -> Result<Found, Stopped> {
        match Door::looking(&self.gateway, (self.meant.target.to_string(), self.meant.vendor()))
            .open()
            .await
        {
            Ok(exec) => Box::pin(self.look((exec.clone(), Some(exec)), handle, leave)).await,
            Err(stopped) => match self.container().await? {
                Some(container) => Box::pin(self.look((container, None), handle, leave)).await,
                None => Err(stopped),
            },
        }
    }

    async fn container(&self) -> Result<Option<RuntimeChannel>, Stopped> {
        let Some(runtime) = &self.runtime else { return Ok(None) };
        Ok(RuntimeChannel::find(runtime, &self.meant.target, &self.meant.live_id).await?)
    }

    async fn look<C: Channel>(
        &self,
        (channel, exec): (C, Option<ExecChannel>),
        handle: &Handle,
        leave: &Leave<'_>,
    ) -> Result<Found, Stopped> {
        let look = Look {
            channel,
            exec,
            store: self.store.clone(),
            id: self.snapshot.id.clone(),
            rules: Arc::clone(&self.rules),
            by_exec: self.by_exec,
            handle: handle.clone(),
        };
        look.look(leave).await
    }
}
