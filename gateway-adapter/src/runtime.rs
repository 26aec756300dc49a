//! The host's container runtime, over its socket and Docker's API. Podman serves the same; nothing was run against it yet.
//!
//! Invariants: a container is found by the labels that the gateway gives its own, never by name; its id and its labels are
//! compared exactly, and again right before each use. Every call has a deadline. A runtime that cannot be asked is
//! `Unknown`, never "no container". No container is ever removed, and nothing is written into one: what goes back into a sandbox
//! goes through its gateway. Deliberately absent: images, networks and everything else that the gateway looks after.

mod archive;
mod channel;
mod container;
mod stop;
mod tar;
mod trouble;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::query_parameters::ListContainersOptionsBuilder;
use bollard::{API_DEFAULT_VERSION, Docker};
use salvor_core::name::GatewayName;
use tokio::time::timeout;

pub(crate) use channel::RuntimeChannel;
pub(crate) use container::{Bears, Container};
pub(crate) use stop::stop;
pub(crate) use trouble::Trouble;

use container::{MANAGED_BY, SANDBOX_ID};
use trouble::Kind;

/// More containers than this with one sandbox's id are no sandbox's.
const MAX_FOUND: usize = 64;

/// The container runtime of the adapter's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeSettings {
    /// Its socket, for example `/var/run/docker.sock`.
    pub socket: PathBuf,
    /// The gateways whose containers it runs, by name (`gateways/{gateway}`); empty: all that the adapter serves.
    pub gateways: Vec<String>,
    /// Live sandboxes are captured through it as well, where a capture leaves the choice open.
    pub live: bool,
}

/// Bounds on what is asked of the runtime.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// For one answer that is no stream.
    pub call: Duration,
    /// For the next piece of a stream, or for its end to be acknowledged. The whole may take any time.
    pub piece: Duration,
    /// For a container to end by itself before it is killed.
    pub grace: Duration,
    /// For a container that was told to end to be seen ended.
    pub settle: Duration,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Runtime {
    settings: RuntimeSettings,
    bounds: Bounds,
}

// === impl Bounds ===

impl Default for Bounds {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(10),
            piece: Duration::from_mins(1),
            grace: Duration::from_secs(10),
            settle: Duration::from_secs(30),
        }
    }
}

// === impl Runtime ===

impl Runtime {
    /// The runtime behind a socket. Nothing is asked yet, and it may be away.
    pub(crate) fn new(settings: RuntimeSettings, bounds: Bounds) -> Self {
        Self { settings, bounds }
    }

    /// Whether it runs the containers of this gateway. What it says of another one's would mean nothing.
    pub(crate) fn runs_for(&self, gateway: &GatewayName) -> bool {
        let name = gateway.to_string();
        self.settings.gateways.is_empty() || self.settings.gateways.contains(&name)
    }

    /// Whether live sandboxes are captured through it, too.
    pub(crate) fn live(&self) -> bool {
        self.settings.live
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.settings.socket
    }

    /// The bounds on its calls.
    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Every container that bears a sandbox's id, running or not.
    ///
    /// # Errors
    /// The runtime could not be asked, or its answer makes no sense: nothing is known then.
    pub(crate) async fn find(&self, live_id: &str) -> Result<Vec<Container>, Trouble> {
        let labels = vec![label(SANDBOX_ID, live_id), label(MANAGED_BY.0, MANAGED_BY.1)];
        let mut found = self.list("label", labels).await?;
        // A filter that answers what was not asked for is not believed.
        found.retain(|container| container.bears_id(live_id));
        found.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(found)
    }

    /// One container, by its whole id.
    ///
    /// # Errors
    /// [`Kind::Missing`] when the runtime has none of this id; otherwise as for `find`.
    pub(crate) async fn container(&self, id: &str) -> Result<Container, Trouble> {
        // The runtime takes beginnings of ids as well.
        let found = self.list("id", vec![id.to_owned()]).await?;
        let found = found.into_iter().find(|container| container.id == id);
        found.ok_or_else(|| self.trouble(Kind::Missing, format!("it has no container {id}")))
    }

    async fn list(&self, key: &str, values: Vec<String>) -> Result<Vec<Container>, Trouble> {
        let docker = self.connect().await?;
        let filters = HashMap::from([(key, values)]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let listed = self.call("list", docker.list_containers(Some(options))).await?;
        if listed.len() > MAX_FOUND {
            let text = format!("it lists {} containers where one was asked for", listed.len());
            return Err(self.trouble(Kind::Senseless, text));
        }
        Ok(listed.into_iter().map(Container::read).collect())
    }

    /// A client that speaks the runtime's version. Connections are made at each call, so that a runtime that was
    /// restarted, or upgraded, needs nothing here.
    async fn connect(&self) -> Result<Docker, Trouble> {
        self.connect_for(self.bounds.call).await
    }

    /// As `connect`, with another bound on the time to a call's answer.
    async fn connect_for(&self, bound: Duration) -> Result<Docker, Trouble> {
        let socket = self.settings.socket.to_string_lossy();
        let seconds = self.bounds.call.as_secs().max(1);
        let docker = Docker::connect_with_unix(&socket, seconds, API_DEFAULT_VERSION)
            .map_err(|error| self.failed("connect", error))?;
        let docker = self.call("version", docker.negotiate_version()).await?;
        Ok(docker.with_timeout(bound))
    }

    /// One call within its time.
    async fn call<T>(
        &self,
        what: &str,
        asking: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, Trouble> {
        if let Ok(answer) = timeout(self.bounds.call, asking).await {
            return answer.map_err(|error| self.failed(what, error));
        }
        let ms = self.bounds.call.as_millis();
        Err(self.trouble(Kind::Silent, format!("{what}: no answer within {ms} ms")))
    }

    fn failed(&self, what: &str, error: bollard::errors::Error) -> Trouble {
        Trouble::classify(self.socket(), what, error)
    }

    fn trouble(&self, kind: Kind, text: impl AsRef<str>) -> Trouble {
        Trouble::new(kind, self.socket(), text.as_ref())
    }
}

fn label(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

#[cfg(test)]
mod tests;
