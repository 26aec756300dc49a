//! The vendor's API in one vocabulary: what is asked, and what comes back, in either dialect.
//!
//! Invariant: the vendor's messages are named in this module's two children and nowhere else, and
//! both say the same things. Deliberately absent: what an answer means ([`crate::classify`]).

mod v0_0;
mod v0_1;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::{self, BoxStream, StreamExt};
use salvor_proto::gateway::v1::Phase;
use tonic::Status;

use crate::dialect::Dialect;
use crate::transport::Channeled;

/// The largest answer that is decoded, in bytes. Lists are unbounded on the gateway's side.
pub(crate) const MAX_DECODE: usize = 64 << 20;
/// The largest piece of input in one message, in bytes: gateways take 1 MiB, the envelope included.
pub(crate) const MAX_PIECE: usize = 900 << 10;

/// What a gateway says of itself to anyone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    /// Whether it says that it is healthy.
    pub healthy: bool,
    /// As it calls itself.
    pub version: String,
}

/// A sandbox by name, in its workspace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// Never empty.
    pub workspace: String,
    /// Its name there.
    pub sandbox: String,
}

/// One incarnation of a sandbox: by id where the dialect addresses ids, else by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Incarnation {
    /// Its name.
    pub place: Place,
    /// Its id.
    pub id: String,
}

/// A sandbox as a gateway shows it.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Row {
    /// The incarnation's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its workspace; some answers leave it out.
    pub workspace: String,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// All annotations.
    pub annotations: BTreeMap<String, String>,
    /// In the contract's vocabulary.
    pub phase: Phase,
    /// Of the condition `Ready`.
    pub reason: String,
    /// Of the condition `Ready`.
    pub message: String,
    /// Of the main process.
    pub exit_code: Option<i32>,
    /// Of the processes.
    pub instance_id: String,
    /// Opaque, with map entries in order. May hold secrets.
    pub spec: Option<Vec<u8>>,
}

/// One page of a list.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// In the vendor's order.
    pub rows: Vec<Row>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<String>,
}

/// What to list.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    /// `None`: all workspaces.
    pub workspace: Option<String>,
    /// 1 to 1000.
    pub size: u32,
    /// From the page before; empty for the first.
    pub from: String,
    /// Equality selector; empty for all.
    pub labels: String,
}

/// The policy in force.
#[derive(Clone, Default)]
pub(crate) struct Effective {
    /// Opaque, with map entries in order.
    pub policy: Option<Vec<u8>>,
    /// The sandbox's revision.
    pub version: u32,
    /// The gateway's hash.
    pub hash: String,
    /// Whether a gateway-wide policy overrides the sandbox's.
    pub global: bool,
    /// The gateway-wide revision.
    pub global_version: u32,
}

/// How far a policy revision has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loading {
    /// Not yet seen by the supervisor, or not said.
    Pending,
    /// In force.
    Loaded,
    /// Refused by the supervisor.
    Failed,
    /// Another one came after it.
    Superseded,
}

/// A policy revision's state.
#[derive(Debug, Clone)]
pub(crate) struct Revision {
    /// How far it has come.
    pub loading: Loading,
    /// Why it failed.
    pub load_error: String,
}

/// What an accepted delete said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// It is being, or has been, deleted. The id, where the dialect says it.
    Accepted(String),
    /// There was nothing.
    AlreadyAbsent,
}

/// A provider, without its credentials.
#[derive(Debug, Clone, Default)]
pub(crate) struct Provider {
    /// The earliest expiry of a credential, in milliseconds since the epoch.
    pub expire_ms: Option<u64>,
}

/// A command to run in a sandbox.
#[derive(Clone)]
pub(crate) struct Command {
    /// Literal arguments.
    pub arguments: Vec<String>,
    /// After which the gateway gives up on it. The process goes on.
    pub timeout: Duration,
}

/// A piece of a command's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// Standard output.
    Stdout(Vec<u8>),
    /// Standard error.
    Stderr(Vec<u8>),
    /// The last event. Its code is not trustworthy.
    Exit(i32),
}

/// A command's output as it comes.
pub(crate) type Outputs = Pin<Box<dyn Stream<Item = Result<Output, Status>> + Send>>;

/// A command's input as it is sent, in pieces of at most [`MAX_PIECE`] bytes.
pub(crate) type Inputs = BoxStream<'static, Bytes>;

/// What a create says.
#[derive(Clone)]
pub(crate) struct Creation {
    /// Where.
    pub place: Place,
    /// Opaque.
    pub spec: Vec<u8>,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// All annotations.
    pub annotations: BTreeMap<String, String>,
    /// For dialects that replay.
    pub request_id: String,
}

/// A client of one dialect.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    /// OpenShell 0.0.x.
    V0_0(v0_0::Client),
    /// OpenShell 0.1.x.
    V0_1(v0_1::Client),
}

/// Asks `Health`, which reads the same in both dialects and comes before the choice.
pub(crate) async fn health(channel: Channeled) -> Result<Health, Status> {
    v0_0::health(channel).await
}

// === impl Row ===

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("workspace", &self.workspace)
            .field("phase", &self.phase)
            .field("reason", &self.reason)
            .field("spec_bytes", &self.spec.as_ref().map(Vec::len))
            .finish_non_exhaustive()
    }
}

// === impl Client ===

macro_rules! either {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match $self {
            Self::V0_0(client) => client.$method($($argument),*).await,
            Self::V0_1(client) => client.$method($($argument),*).await,
        }
    };
}

impl Client {
    /// A client of `dialect` on a channel.
    pub(crate) fn new(dialect: Dialect, channel: Channeled) -> Self {
        match dialect {
            Dialect::V0_0 => Self::V0_0(v0_0::Client::new(channel)),
            Dialect::V0_1 => Self::V0_1(v0_1::Client::new(channel)),
        }
    }

    /// The id of workspace `default`, which is the id of the gateway's store.
    pub(crate) async fn store_id(&self) -> Result<String, Status> {
        either!(self, store_id())
    }

    /// One sandbox by name. An answer without a sandbox is an empty row.
    pub(crate) async fn get(&self, place: &Place) -> Result<Row, Status> {
        either!(self, get(place))
    }

    /// One page of sandboxes.
    pub(crate) async fn list(&self, listing: &Listing) -> Result<Page, Status> {
        either!(self, list(listing))
    }

    /// The policy in force.
    pub(crate) async fn effective(&self, incarnation: &Incarnation) -> Result<Effective, Status> {
        either!(self, effective(incarnation))
    }

    /// A revision's state. `global`: of the gateway-wide policy.
    pub(crate) async fn revision(
        &self,
        place: &Place,
        version: u32,
        global: bool,
    ) -> Result<Revision, Status> {
        either!(self, revision(place, version, global))
    }

    /// One provider by name.
    pub(crate) async fn provider(&self, workspace: &str, name: &str) -> Result<Provider, Status> {
        either!(self, provider(workspace, name))
    }

    /// Runs a command. Cancelling does not end it.
    pub(crate) async fn exec(
        &self,
        incarnation: &Incarnation,
        command: Command,
    ) -> Result<Outputs, Status> {
        either!(self, exec(incarnation, command))
    }

    /// Runs a command that reads `input`. The end of `input` is not told to the command: gateways of
    /// 0.0.x would end the call, so it must know how much it gets. Cancelling does not end it.
    pub(crate) async fn exec_with_input(
        &self,
        incarnation: &Incarnation,
        command: Command,
        input: Inputs,
    ) -> Result<Outputs, Status> {
        either!(self, exec_with_input(incarnation, command, input))
    }

    /// Creates a sandbox.
    pub(crate) async fn create(&self, creation: Creation) -> Result<Row, Status> {
        either!(self, create(creation))
    }

    /// Deletes by name: the caller has read the id right before.
    pub(crate) async fn delete(&self, place: &Place, request_id: &str) -> Result<Deletion, Status> {
        either!(self, delete(place, request_id))
    }

    /// Starts by name.
    pub(crate) async fn start(&self, place: &Place, request_id: &str) -> Result<Row, Status> {
        either!(self, start(place, request_id))
    }

    /// Stops by name.
    pub(crate) async fn stop(&self, place: &Place, request_id: &str) -> Result<Row, Status> {
        either!(self, stop(place, request_id))
    }

    /// Sets the policy by name; answers its revision.
    pub(crate) async fn update_policy(
        &self,
        place: &Place,
        policy: Vec<u8>,
    ) -> Result<u32, Status> {
        either!(self, update_policy(place, policy))
    }
}

/// The messages of an interactive exec: the start, the input, and then nothing, for as long as the
/// call lives.
fn conversation<T: Send + 'static>(
    start: T,
    input: Inputs,
    stdin: impl Fn(Vec<u8>) -> T + Send + 'static,
) -> impl Stream<Item = T> + Send + 'static {
    let pieces = input.map(move |piece| stdin(piece.into()));
    stream::iter([start]).chain(pieces).chain(stream::pending())
}

/// Rows of a spec that is no message are kept as they are; looking at them fails later, by name.
fn ordered_spec(bytes: Vec<u8>) -> Vec<u8> {
    crate::canon::spec(&bytes).unwrap_or(bytes)
}

fn ordered_policy(bytes: Vec<u8>) -> Vec<u8> {
    crate::canon::policy(&bytes).unwrap_or(bytes)
}

/// Both dialects number the phases alike; 9 exists in 0.1.x only.
fn phase(number: i32) -> Phase {
    Phase::try_from(number).unwrap_or(Phase::Unspecified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_read_alike_in_both_dialects_and_new_ones_as_none() {
        for (number, expected) in [
            (1, Phase::Provisioning),
            (2, Phase::Ready),
            (3, Phase::Error),
            (4, Phase::Deleting),
            (5, Phase::Unknown),
            (6, Phase::Stopping),
            (7, Phase::Stopped),
            (8, Phase::Starting),
            (9, Phase::Completed),
            (10, Phase::Unspecified),
            (-1, Phase::Unspecified),
        ] {
            assert_eq!(phase(number), expected, "{number}");
        }
    }
}
