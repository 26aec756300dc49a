//! Reading workspaces into the repository.

use std::sync::Arc;

use futures::FutureExt;
use salvor_core::name::RecordName;
use salvor_proto::Error;
use salvor_proto::error::Code;
use salvor_proto::gateway::v1 as pb;
use salvor_proto::gateway::v1::operation::{Kind, Result as Outcome};
use salvor_proto::gateway::v1::snapshot::State;
use salvor_proto::gateway::v1::{SnapshotWorkspaceRequest, SnapshotWorkspaceResponse};
use salvor_runtime::Clock;

use super::compute::no_runtime;
use super::ready::{Unready, ready};
use super::{Service, parse};
use crate::gateway::{Gateway, Healthy};
use crate::next_step::NextStep;
use crate::operations::{Handle, failure};
use crate::permit::{Permit, Standing, Verb, uuid};
use crate::runtime::{Runtime, RuntimeChannel};
use crate::store::{Listing, SnapshotName, Store};
use crate::vendor::{Incarnation, Row};
use crate::workspace::capture::{Capture, Still, seal, unreadable};
use crate::workspace::rules::Rules;
use crate::workspace::sides::Stopped;
use crate::workspace::{Channel, ExecChannel, Reason};

/// A request that was checked.
struct Asked {
    target: RecordName,
    channel: pb::Channel,
    incarnation: Incarnation,
    permit: Standing,
    rules: Arc<Rules>,
    request: SnapshotWorkspaceRequest,
    request_id: String,
}

/// What a capture works with.
#[derive(Clone)]
struct Work {
    gateway: Arc<Gateway>,
    /// Of this gateway's host.
    runtime: Option<Arc<Runtime>>,
    store: Store,
    clock: Arc<dyn Clock>,
}

/// How the bytes come.
enum Way {
    Exec(Box<Live>),
    /// With the live sandbox, if commands can be run in it as well.
    Runtime(Box<RuntimeChannel>, Option<Box<Live>>),
}

/// What is read from.
struct Reading<C> {
    channel: C,
    /// As the snapshot says it.
    read: pb::Channel,
    live: Option<Box<Live>>,
    /// There are hooks, which cannot be run, and something runs.
    unquiesced: bool,
}

/// A sandbox that commands can be run in.
struct Live {
    healthy: Healthy,
    row: Row,
}

impl Service {
    pub(super) async fn snapshot_workspace_inner(
        &self,
        mut request: SnapshotWorkspaceRequest,
    ) -> Result<SnapshotWorkspaceResponse, Error> {
        let meant = parse::incarnation(request.sandbox.as_ref(), request.live_id.clone())?;
        let permit = Permit::check(request.permit.take(), &meant.target, Verb::Snapshot)?;
        let rules = Arc::new(Rules::parse(request.rules.as_ref())?);
        let request_id = uuid("request_id", &request.request_id)?;
        let channel = pb::Channel::try_from(request.channel)
            .map_err(|_| Error::invalid("channel", "is no channel that is known here"))?;
        if request.with_nonce && channel == pb::Channel::Runtime {
            return Err(Error::invalid("with_nonce", "needs the exec channel"));
        }
        let runtime = match self.runtime_of(&meant.target.owner()) {
            Ok(runtime) => Some(Arc::clone(runtime)),
            Err(unknown) if channel == pb::Channel::Runtime => return Err(no_runtime(&unknown)),
            Err(_) => None,
        };
        let store = self.store()?.clone();
        let gateway = self.served(&meant.target.owner()).await?;
        let permit = permit.stand(&self.authority).await?;
        let work = Work { gateway, runtime, store, clock: Arc::clone(&self.clock) };
        let subject = meant.target.to_string();
        let id = request_id.clone();
        let (target, incarnation) = (meant.target.clone(), meant.vendor());
        let asked = Asked { target, channel, incarnation, permit, rules, request, request_id };
        let operation =
            self.operations.start(Kind::Snapshot, &subject, &id, |handle| async move {
                work.run(asked, handle).await.map(Outcome::Snapshot).map_err(failure)
            })?;
        Ok(SnapshotWorkspaceResponse { operation: Some(operation) })
    }
}

// === impl Work ===

impl Work {
    async fn run(self, asked: Asked, handle: Handle) -> Result<pb::Snapshot, Error> {
        handle.stage("looking");
        let known = self.store.list().await?;
        if let Some(answer) = asked.answered(&known)? {
            return Ok(self.store.get(&answer.id).await?);
        }
        let parent = asked.parent(&known);
        drop(known);
        match self.way(&asked).await? {
            Way::Exec(live) => {
                let (channel, read) = (self.exec(&asked, &live), pb::Channel::Exec);
                let reading = Reading { channel, read, live: Some(live), unquiesced: false };
                Box::pin(self.take(asked, parent, reading, handle)).await
            }
            Way::Runtime(channel, live) => {
                let runs = channel.is_still().await.map(|still| !still);
                let runs = runs.map_err(|broken| unreadable(broken, &asked.target.to_string()))?;
                let unquiesced = runs && live.is_none() && asked.rules.hooks.is_some();
                let reading =
                    Reading { channel: *channel, read: pb::Channel::Runtime, live, unquiesced };
                Box::pin(self.take(asked, parent, reading, handle)).await
            }
        }
    }

    /// The way that was asked for. If that was left open: the container runtime where it is set to be preferred, and where
    /// commands cannot be run; otherwise the gateway's exec.
    async fn way(&self, asked: &Asked) -> Result<Way, Error> {
        let sandbox = asked.target.to_string();
        let live = self.ready(&asked.incarnation).await;
        let runtime = self.runtime.as_ref().filter(|_| asked.may_use_runtime());
        let first = asked.channel == pb::Channel::Runtime
            || live.is_err()
            || runtime.is_some_and(|runtime| runtime.live());
        if let Some(runtime) = runtime.filter(|_| first) {
            let found = RuntimeChannel::find(runtime, &asked.target, &asked.incarnation.id).await;
            match (found, &live) {
                (Ok(Some(channel)), _) => return Ok(Way::Runtime(Box::new(channel), live.ok())),
                (Ok(None), _) if asked.channel == pb::Channel::Runtime => {
                    return Err(no_container(asked));
                }
                (Err(broken), _) if asked.channel == pb::Channel::Runtime => {
                    return Err(unreadable(broken, &sandbox));
                }
                (Ok(None) | Err(_), _) => {}
            }
        }
        live.map(Way::Exec).map_err(|unready| match unready.stopped(&sandbox) {
            Stopped::Broken(broken) => unreadable(broken, &sandbox),
            Stopped::Refused(error) => error,
            Stopped::Store(error) => error.into(),
        })
    }

    fn exec(&self, asked: &Asked, live: &Live) -> ExecChannel {
        ExecChannel {
            gateway: Arc::clone(&self.gateway),
            healthy: live.healthy.clone(),
            incarnation: asked.incarnation.clone(),
            leave: None,
        }
    }

    /// Reads the workspace over a channel. Hooks run, and databases are copied, where commands can be run.
    async fn take<C: Channel>(
        &self,
        asked: Asked,
        parent: Option<SnapshotName>,
        reading: Reading<C>,
        handle: Handle,
    ) -> Result<pb::Snapshot, Error> {
        let Reading { channel, read, live, unquiesced } = reading;
        let capture = Capture {
            exec: live.as_ref().map(|live| self.exec(&asked, live)),
            channel,
            store: self.store.clone(),
            manifest: asked.manifest(parent.as_ref(), read),
            rules: asked.rules,
            parent: parent.map(|parent| parent.id),
            with_nonce: asked.request.with_nonce,
            still: self.still(&asked.incarnation, live.as_deref()),
            permit: asked.permit,
            handle: handle.clone(),
            clock: Arc::clone(&self.clock),
        };
        let first = capture.rules.first.clone();
        let mut taken = capture.take().await?;
        if unquiesced {
            let detail = "the hooks cannot be run, and its container runs";
            taken.issues.note(&first, Reason::HookFailed, detail);
        }
        seal(taken, &self.store, &handle, &*self.clock).await
    }

    /// What is read from must stay what it was: asked between rounds and at the end.
    fn still(&self, incarnation: &Incarnation, live: Option<&Live>) -> Still {
        let (work, incarnation) = (self.clone(), incarnation.clone());
        let instance = live.map(|live| live.row.instance_id.clone());
        Box::new(move || {
            let (work, incarnation) = (work.clone(), incarnation.clone());
            let instance = instance.clone();
            async move {
                // The runtime's channel looks at its container's labels each time.
                let Some(instance) = instance else { return Ok(()) };
                match work.ready(&incarnation).await {
                    Ok(now) if now.row.instance_id == instance => Ok(()),
                    Ok(_) => Err("the sandbox was restarted while it was read".to_owned()),
                    Err(unready) => Err(format!("while it was read, {}", unready.detail())),
                }
            }
            .boxed()
        })
    }

    /// The incarnation, if commands can be run in it.
    async fn ready(&self, incarnation: &Incarnation) -> Result<Box<Live>, Unready> {
        let (healthy, row) = ready(&self.gateway, incarnation).await?;
        Ok(Box::new(Live { healthy, row }))
    }
}

// === impl Asked ===

impl Asked {
    /// A nonce is written by a command and read the same way.
    fn may_use_runtime(&self) -> bool {
        self.channel != pb::Channel::Exec && !self.request.with_nonce
    }

    fn identity(&self) -> pb::SnapshotIdentity {
        pb::SnapshotIdentity {
            sandbox: self.request.sandbox.clone(),
            live_id: self.incarnation.id.clone(),
        }
    }

    /// The snapshot that bears this request's id. Incomplete ones count as answers too.
    fn answered(&self, known: &Listing) -> Result<Option<SnapshotName>, Error> {
        let same = |snapshot: &&pb::Snapshot| snapshot.request_id == self.request_id;
        let Some(answer) = known.snapshots.iter().find(same) else { return Ok(None) };
        if answer.identity.as_ref() == Some(&self.identity()) {
            return SnapshotName::parse("name", &answer.name).map(Some);
        }
        let text = format!(
            "request_id {} is of snapshot {}, which is of another sandbox. Nothing was begun",
            self.request_id, answer.name
        );
        let error = Error::new(Code::Invalid, "REQUEST_ID_REUSED", text);
        Err(error.next_step(NextStep::FreshId.alone()))
    }

    /// The newest complete snapshot of the same incarnation, never of another one.
    fn parent(&self, known: &Listing) -> Option<SnapshotName> {
        let identity = self.identity();
        let newest = known.snapshots.iter().find(|snapshot| {
            snapshot.state() == State::Complete && snapshot.identity.as_ref() == Some(&identity)
        });
        newest
            .filter(|_| !self.request.full)
            .and_then(|parent| SnapshotName::parse("parent", &parent.name).ok())
    }

    fn manifest(&self, parent: Option<&SnapshotName>, channel: pb::Channel) -> pb::Snapshot {
        pb::Snapshot {
            identity: Some(self.identity()),
            channel: channel.into(),
            rules: self.request.rules.clone(),
            parent: parent.map(ToString::to_string).unwrap_or_default(),
            request_id: self.request_id.clone(),
            recovery: self.permit.recovery().to_owned(),
            ..pb::Snapshot::default()
        }
    }
}

fn no_container(asked: &Asked) -> Error {
    let text = format!(
        "the container runtime has no container of {} with the id {}. No snapshot was taken",
        asked.target, asked.incarnation.id
    );
    Error::not_found("CONTAINER_NOT_FOUND", text)
        .next_step(NextStep::Status.of(&asked.target.to_string()))
}
