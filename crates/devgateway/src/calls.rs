//! Every RPC that reached the gateway, in order: what a test asserts on.
//!
//! Bounded: beyond its capacity the oldest calls are forgotten, and the sequence shows it.
//! Deliberately absent: secrets. The authorization header is logged by presence only.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tonic::Code;
use tonic::metadata::{KeyAndValueRef, MetadataMap};

use crate::world::{lock, now_ms};

/// Calls that are remembered.
const CAPACITY: usize = 100_000;

/// The methods that change a gateway or a sandbox. An exec may write too, and is told apart.
const MUTATING: [&str; 14] = [
    "CreateSandbox",
    "DeleteSandbox",
    "StopSandbox",
    "StartSandbox",
    "AttachSandboxProvider",
    "DetachSandboxProvider",
    "UpdateConfig",
    "CreateProvider",
    "UpdateProvider",
    "DeleteProvider",
    "CreateWorkspace",
    "DeleteWorkspace",
    "CreateSshSession",
    "ExposeService",
];

/// One RPC.
#[derive(Clone, Serialize)]
pub struct Call {
    /// Rises by one with every call.
    pub seq: u64,
    /// When it arrived, milliseconds since the epoch.
    pub at_ms: i64,
    /// The method's short name.
    pub method: String,
    /// The workspace it named, if any.
    pub workspace: String,
    /// The sandbox, provider or workspace it named, if any.
    pub name: String,
    /// The sandbox id it named, if any.
    pub id: String,
    /// Whether the method changes the gateway or a sandbox. False for an exec: see `command`.
    pub mutating: bool,
    /// Text metadata, `traceparent` among it.
    pub metadata: BTreeMap<String, String>,
    /// The argv of an exec.
    pub command: Vec<String>,
    /// What a create asked for.
    pub create: Option<CreateFacts>,
    /// The gRPC code it was answered with; `None` while it is being served, or if it never was.
    pub outcome: Option<i32>,
}

/// What a create asked for, verbatim.
#[derive(Clone, Serialize)]
pub struct CreateFacts {
    /// As sent.
    pub labels: BTreeMap<String, String>,
    /// As sent.
    pub annotations: BTreeMap<String, String>,
    /// The spec's bytes as sent; may hold secrets.
    pub spec: Vec<u8>,
    /// The request id of the 0.1 dialect, or empty.
    pub request_id: String,
}

/// What a handler knows about a call before it serves it.
#[derive(Default)]
pub(crate) struct Intent {
    pub(crate) method: String,
    pub(crate) workspace: String,
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) command: Vec<String>,
    pub(crate) create: Option<CreateFacts>,
}

/// The log itself.
pub(crate) struct Calls {
    log: Mutex<Log>,
    grown: watch::Sender<u64>,
}

#[derive(Default)]
struct Log {
    next: u64,
    calls: VecDeque<Call>,
}

// === impl Call ===

impl Call {
    /// Whether it was answered with OK.
    pub fn succeeded(&self) -> bool {
        self.outcome == Some(Code::Ok as i32)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.seq, self.method)?;
        for part in [&self.workspace, &self.name, &self.id] {
            if !part.is_empty() {
                write!(f, " {part}")?;
            }
        }
        match self.outcome {
            Some(code) => write!(f, " -> {:?}", Code::from_i32(code)),
            None => f.write_str(" -> open"),
        }
    }
}

impl fmt::Debug for CreateFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateFacts")
            .field("labels", &self.labels)
            .field("annotations", &self.annotations)
            .field("spec", &format_args!("[{} bytes]", self.spec.len()))
            .finish_non_exhaustive()
    }
}

// === impl Calls ===

impl Calls {
    pub(crate) fn new() -> Self {
        Self { log: Mutex::default(), grown: watch::Sender::new(0) }
    }

    /// Logs an arrival; its sequence number.
    pub(crate) fn arrived(&self, intent: Intent, metadata: &MetadataMap) -> u64 {
        let mut log = lock(&self.log);
        let seq = log.next;
        log.next += 1;
        if log.calls.len() == CAPACITY {
            log.calls.pop_front();
        }
        log.calls.push_back(Call {
            seq,
            at_ms: now_ms(),
            mutating: MUTATING.contains(&intent.method.as_str()),
            method: intent.method,
            workspace: intent.workspace,
            name: intent.name,
            id: intent.id,
            metadata: text(metadata),
            command: intent.command,
            create: intent.create,
            outcome: None,
        });
        drop(log);
        self.grown.send_modify(|count| *count += 1);
        seq
    }

    /// Logs the answer of a call.
    pub(crate) fn answered(&self, seq: u64, code: Code) {
        let mut log = lock(&self.log);
        let first = log.calls.front().map_or(0, |call| call.seq);
        let index = seq.checked_sub(first).and_then(|index| usize::try_from(index).ok());
        if let Some(call) = index.and_then(|index| log.calls.get_mut(index)) {
            call.outcome = Some(code as i32);
        }
        drop(log);
        self.grown.send_modify(|count| *count += 1);
    }

    pub(crate) fn all(&self) -> Vec<Call> {
        lock(&self.log).calls.iter().cloned().collect()
    }

    pub(crate) fn clear(&self) {
        lock(&self.log).calls.clear();
    }

    /// Waits until a logged call satisfies the predicate; `None` when the time is up.
    pub(crate) async fn wait_for(
        &self,
        predicate: impl Fn(&Call) -> bool,
        within: Duration,
    ) -> Option<Call> {
        let mut grown = self.grown.subscribe();
        let search = async {
            loop {
                grown.mark_unchanged();
                // Not under the lock: the predicate may look at the log itself.
                let found = self.all().into_iter().find(|call| predicate(call));
                if found.is_some() {
                    return found;
                }
                grown.changed().await.ok()?;
            }
        };
        tokio::time::timeout(within, search).await.ok().flatten()
    }
}

/// Text metadata; a credential is shown by presence only.
fn text(metadata: &MetadataMap) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for entry in metadata.iter() {
        if let KeyAndValueRef::Ascii(key, value) = entry {
            let secret = matches!(key.as_str(), "authorization" | "cookie");
            let value = if secret { "REDACTED" } else { value.to_str().unwrap_or_default() };
            out.insert(key.to_string(), value.to_owned());
        }
    }
    out
}
