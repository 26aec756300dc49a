//! The one table that says what an answer other than OK means.
//!
//! Invariant: (method, code, text) gives exactly one [`Class`], and everything that is not listed
//! is [`Class::Unexpected`]. A class says both what a read may conclude and whether a mutation may
//! have happened, so that the two can never disagree. Deliberately absent: retries.

use salvor_proto::gateway::v1::{
    Effect, Unknown, UnknownReason,
    effect::{Cause, Outcome},
};
use tonic::{Code, Status};
use tonic_types::StatusExt;

pub(crate) use source::{Origin, origin};

mod source;

/// At most this much of a gateway's text is handed on, in bytes.
const MAX_DETAIL: usize = 1024;
/// How tonic and the gateways word an oversized message.
const OVERSIZED: &str = "message length too large";
/// How a plain HTTP 404 reads to other gRPC clients and to this one.
const NO_GATEWAY: [&str; 2] = ["status: 404", "HTTP status code 404"];

/// How gateways say that a sandbox, or all of the gateway, has no such policy revision.
const NO_REVISION: [&str; 2] = ["no policy revision", "no global policy revision"];

/// What was asked of the gateway, as far as the meaning of an answer depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `Health`.
    Health,
    /// `GetWorkspace`, for the store's identity.
    Workspace,
    /// `GetSandbox`.
    Get,
    /// `ListSandboxes`.
    List,
    /// `GetSandboxConfig`.
    Config,
    /// `GetSandboxPolicyStatus`.
    PolicyStatus,
    /// `GetProvider`.
    Provider,
    /// `ExecSandbox`.
    Exec,
    /// `ExecSandboxInteractive`.
    Feed,
    /// `CreateSandbox`.
    Create,
    /// `DeleteSandbox`.
    Delete,
    /// `StartSandbox`.
    Start,
    /// `StopSandbox`.
    Stop,
    /// `UpdateConfig`.
    Update,
}

/// What an answer other than OK means. Closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The gateway says that there is no sandbox of that name or id in an existing workspace.
    SandboxMissing,
    /// There is no such provider.
    ProviderMissing,
    /// There is no such policy revision.
    RevisionMissing,
    /// The workspace is not there: a wrong name or a wrong protocol.
    WorkspaceMissing,
    /// The name is taken.
    AlreadyExists,
    /// Not in the sandbox's present phase.
    WrongPhase,
    /// Refused for what the request says.
    Invalid,
    /// It does not know who asks.
    Unauthenticated,
    /// It knows who asks, and refuses.
    PermissionDenied,
    /// It asks for fewer calls, before doing anything.
    RateLimited,
    /// Some other limit; it does not say when it was hit.
    Exhausted,
    /// The request was never sent.
    NotConnected,
    /// It went away, or says that it cannot.
    Unavailable,
    /// No answer in time.
    DeadlineExceeded,
    /// The handshake failed, or a plaintext call met a TLS port.
    TlsFailed,
    /// It does not have the method.
    Unimplemented,
    /// It failed inside.
    Internal,
    /// The answer is too big or does not decode.
    Unreadable,
    /// It says that an earlier request of this id may or may not have happened.
    Uncertain,
    /// Its answer came and cannot be true: no id, or another sandbox than the one asked for.
    Contradictory,
    /// A code that it never gives for this call.
    Unexpected,
}

/// An answer other than OK: its class, and the text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it means.
    pub class: Class,
    /// What was asked and what came back, without secrets.
    pub detail: String,
}

// === impl Method ===

impl Method {
    /// Every method.
    pub const ALL: [Self; 14] = [
        Self::Health,
        Self::Workspace,
        Self::Get,
        Self::List,
        Self::Config,
        Self::PolicyStatus,
        Self::Provider,
        Self::Exec,
        Self::Feed,
        Self::Create,
        Self::Delete,
        Self::Start,
        Self::Stop,
        Self::Update,
    ];

    /// The vendor's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Health => "Health",
            Self::Workspace => "GetWorkspace",
            Self::Get => "GetSandbox",
            Self::List => "ListSandboxes",
            Self::Config => "GetSandboxConfig",
            Self::PolicyStatus => "GetSandboxPolicyStatus",
            Self::Provider => "GetProvider",
            Self::Exec => "ExecSandbox",
            Self::Feed => "ExecSandboxInteractive",
            Self::Create => "CreateSandbox",
            Self::Delete => "DeleteSandbox",
            Self::Start => "StartSandbox",
            Self::Stop => "StopSandbox",
            Self::Update => "UpdateConfig",
        }
    }

    /// Whether it runs something in a sandbox.
    const fn runs(self) -> bool {
        matches!(self, Self::Exec | Self::Feed)
    }

    /// Whether it names one sandbox that should exist.
    const fn of_one_sandbox(self) -> bool {
        !matches!(self, Self::Health | Self::Workspace | Self::List | Self::Provider | Self::Create)
    }
}

/// The table. `origin` is where the status came from: [`origin`] finds it.
pub(crate) fn classify(method: Method, origin: Origin, code: Code, text: &str) -> Class {
    match origin {
        Origin::Tls => return Class::TlsFailed,
        Origin::Connect => return Class::NotConnected,
        Origin::Transport => return transport(code),
        Origin::Peer => {}
    }
    match code {
        Code::NotFound => missing(method, text),
        Code::AlreadyExists if method == Method::Create => Class::AlreadyExists,
        Code::InvalidArgument => Class::Invalid,
        Code::FailedPrecondition => match method {
            Method::Start | Method::Stop | Method::Delete | Method::Exec | Method::Feed => {
                Class::WrongPhase
            }
            Method::Create | Method::Update => Class::Invalid,
            _ => Class::Unexpected,
        },
        Code::Unauthenticated => Class::Unauthenticated,
        // Said by a container that shuts down, not by the gateway's authorisation.
        Code::PermissionDenied if method.runs() && text.contains("ssh authentication") => {
            Class::Unavailable
        }
        Code::PermissionDenied => Class::PermissionDenied,
        Code::ResourceExhausted if text.contains("rate limit") => Class::RateLimited,
        Code::ResourceExhausted if text.contains(OVERSIZED) => Class::Unreadable,
        Code::ResourceExhausted => Class::Exhausted,
        Code::OutOfRange if text.contains(OVERSIZED) => oversized(text),
        Code::DeadlineExceeded => Class::DeadlineExceeded,
        // A relay that is full is told as UNAVAILABLE.
        Code::Unavailable if method.runs() && text.contains("relay limit") => Class::RateLimited,
        Code::Unavailable => Class::Unavailable,
        // What answers a plaintext call on a TLS port, and any web server: no gateway.
        Code::Unimplemented if NO_GATEWAY.iter().any(|no| text.contains(no)) => Class::TlsFailed,
        Code::Unimplemented => Class::Unimplemented,
        Code::Internal if text.starts_with("failed to decode Protobuf") => Class::Unreadable,
        Code::Internal => Class::Internal,
        _ => Class::Unexpected,
    }
}

/// NOT_FOUND has several meanings, told apart by the text alone.
fn missing(method: Method, text: &str) -> Class {
    let named = |kind: &str| {
        let rest = text.strip_prefix(kind).and_then(|rest| rest.strip_suffix("not found"));
        rest.is_some_and(|name| name == " " || (name.starts_with(" '") && name.ends_with("' ")))
    };
    if named("workspace") {
        Class::WorkspaceMissing
    } else if method.of_one_sandbox() && named("sandbox") {
        Class::SandboxMissing
    } else if method == Method::Provider && named("provider") {
        Class::ProviderMissing
    } else if method == Method::PolicyStatus && NO_REVISION.iter().any(|no| text.starts_with(no)) {
        Class::RevisionMissing
    } else {
        Class::Unexpected
    }
}

/// Our own limit was hit by an answer; any other was the gateway's, hit by the request.
fn oversized(text: &str) -> Class {
    let ours = format!("the limit is: {} bytes", crate::vendor::MAX_DECODE);
    if text.contains(&ours) { Class::Unreadable } else { Class::Invalid }
}

/// A status that was made on this side of the wire from a broken connection.
fn transport(code: Code) -> Class {
    match code {
        Code::DeadlineExceeded => Class::DeadlineExceeded,
        _ => Class::Unavailable,
    }
}

// === impl Class ===

impl Class {
    /// What a read says of it. Total: what is an answer in one place is unexpected in another.
    pub const fn unknown(self) -> UnknownReason {
        match self {
            Self::WorkspaceMissing => UnknownReason::WorkspaceMissing,
            Self::Unauthenticated => UnknownReason::Unauthenticated,
            Self::PermissionDenied => UnknownReason::PermissionDenied,
            Self::RateLimited | Self::Exhausted => UnknownReason::RateLimited,
            Self::NotConnected | Self::Unavailable => UnknownReason::Unavailable,
            Self::DeadlineExceeded => UnknownReason::DeadlineExceeded,
            Self::TlsFailed => UnknownReason::TlsFailed,
            Self::Unimplemented => UnknownReason::Unimplemented,
            Self::Internal => UnknownReason::Internal,
            Self::Contradictory => UnknownReason::Inconsistent,
            Self::Unreadable => UnknownReason::Unreadable,
            Self::SandboxMissing
            | Self::ProviderMissing
            | Self::RevisionMissing
            | Self::AlreadyExists
            | Self::WrongPhase
            | Self::Invalid
            | Self::Uncertain
            | Self::Unexpected => UnknownReason::Unexpected,
        }
    }

    /// What a mutation says of it: not applied only where the gateway answers before doing
    /// anything, or was never asked.
    pub const fn effect(self) -> (Outcome, Cause) {
        match self {
            Self::SandboxMissing => (Outcome::NotApplied, Cause::NotFound),
            Self::AlreadyExists => (Outcome::NotApplied, Cause::AlreadyExists),
            Self::WrongPhase => (Outcome::NotApplied, Cause::WrongPhase),
            Self::Invalid
            | Self::WorkspaceMissing
            | Self::ProviderMissing
            | Self::RevisionMissing => (Outcome::NotApplied, Cause::Invalid),
            Self::Unauthenticated | Self::PermissionDenied => (Outcome::NotApplied, Cause::Denied),
            Self::RateLimited | Self::NotConnected | Self::TlsFailed => {
                (Outcome::NotApplied, Cause::GatewayFailed)
            }
            Self::Exhausted
            | Self::Unavailable
            | Self::DeadlineExceeded
            | Self::Unimplemented
            | Self::Internal
            | Self::Unreadable
            | Self::Uncertain
            | Self::Contradictory
            | Self::Unexpected => (Outcome::MaybeApplied, Cause::GatewayFailed),
        }
    }
}

// === impl Failure ===

impl Failure {
    /// A failure with a text of its own.
    pub fn new(class: Class, detail: impl Into<String>) -> Self {
        Self { class, detail: cut(detail.into()) }
    }

    /// Classifies a status that `method` ended with.
    pub fn of(method: Method, status: &Status) -> Self {
        let details = status.get_error_details();
        let uncertain = details.error_info().is_some_and(|info| {
            info.reason == "REQUEST_OUTCOME_UNCERTAIN"
                || info.reason == "REQUEST_REPLAY_UNAVAILABLE"
        });
        let class = if uncertain {
            Class::Uncertain
        } else {
            classify(method, origin(status), status.code(), status.message())
        };
        let name = method.name();
        let code = salvor_runtime::rpc::code_name(status.code());
        let text = source::text(status);
        Self::new(class, format!("{name} answered {code}: {text}"))
    }

    /// Whether it is about the one sandbox that was asked for, and says nothing of the gateway.
    pub const fn is_about_the_sandbox(&self) -> bool {
        matches!(
            self.class,
            Class::SandboxMissing
                | Class::WorkspaceMissing
                | Class::Contradictory
                | Class::Unreadable
        )
    }

    /// As a read's answer.
    pub fn unknown(&self) -> Unknown {
        Unknown { reason: self.class.unknown().into(), detail: self.detail.clone() }
    }

    /// As a mutation's answer.
    pub fn effect(&self) -> Effect {
        let (outcome, cause) = self.class.effect();
        Effect { outcome: outcome.into(), cause: cause.into(), detail: self.detail.clone() }
    }
}

/// Cuts a text to what an answer may carry.
pub(crate) fn cut(mut text: String) -> String {
    if text.len() > MAX_DETAIL {
        let mut end = MAX_DETAIL - '…'.len_utf8();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests;
