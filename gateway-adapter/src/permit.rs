//! Leave to do one thing to one sandbox.
//!
//! Invariant: a [`Permit`] exists only after the request that it came with was checked against it,
//! and a [`Cleared`] only after its fence token was found to be the newest, on disk too, and the
//! gateway to be served by this adapter. The functions that mutate a gateway take a `Cleared` by value, so the unguarded path does not type-check.
//! Deliberately absent: the guards; they are the orchestrator's.

use std::sync::Arc;

use salvor_core::name::{GatewayName, RecordName, Sandbox, Workspace};
use salvor_proto::Error;
use salvor_proto::error::Code;
use salvor_proto::gateway::v1 as pb;
use uuid::Uuid;

use crate::authority::Authority;

/// What a permit may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Create a sandbox.
    Create,
    /// Delete an incarnation.
    Delete,
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Set its policy.
    ApplyPolicy,
    /// Make its sealed paths read-only.
    ApplyPosture,
    /// Read its workspace into the repository: hooks run, and a nonce is written.
    Snapshot,
    /// Write a snapshot into its workspace.
    Restore,
    /// Delete snapshots of it.
    DeleteSnapshot,
    /// Stop a container that bears its label.
    StopCompute,
}

/// A permit that fits its request.
#[derive(Debug)]
pub(crate) struct Permit {
    target: RecordName,
    verb: Verb,
    fence_token: i64,
    stamp: pb::Stamp,
}

/// A permit whose fence token was the newest when it was checked. Consumed by one mutation.
#[derive(Debug)]
pub(crate) struct Cleared<'a> {
    permit: Permit,
    authority: &'a Authority,
}

/// A permit whose fence token was the newest when the work began that goes on after the answer.
#[derive(Debug)]
pub(crate) struct Standing {
    permit: Permit,
    authority: Arc<Authority>,
}

// === impl Verb ===

impl Verb {
    /// As a permit spells it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::ApplyPolicy => "apply_policy",
            Self::ApplyPosture => "apply_posture",
            Self::Snapshot => "snapshot",
            Self::Restore => "restore",
            Self::DeleteSnapshot => "delete_snapshot",
            Self::StopCompute => "stop_compute",
        }
    }

    /// Whether it touches no gateway: snapshots of one that nobody serves can be deleted, too.
    const fn is_of_the_repository(self) -> bool {
        matches!(self, Self::DeleteSnapshot)
    }
}

// === impl Permit ===

impl Permit {
    /// Checks a request's permit against the request: the only way to get one.
    ///
    /// # Errors
    /// INVALID when something is missing or malformed; REFUSED when the permit is for something
    /// else. Nothing is sent in either case.
    pub(crate) fn check(
        permit: Option<pb::Permit>,
        target: &RecordName,
        verb: Verb,
    ) -> Result<Self, Error> {
        let permit = permit.ok_or_else(|| Error::invalid("permit", "is required"))?;
        if permit.fence_token <= 0 {
            return Err(Error::invalid("permit.fence_token", "must be a lease's fence token"));
        }
        for (field, value) in [
            ("permit.recovery", &permit.recovery),
            ("permit.plan_digest", &permit.plan_digest),
            ("permit.decision_id", &permit.decision_id),
        ] {
            if value.is_empty() {
                return Err(Error::invalid(field, "is required"));
            }
        }
        let permitted = reference("permit.sandbox", permit.sandbox.as_ref())?;
        if permit.effect != verb.name() {
            let (allowed, asked) = (&permit.effect, verb.name());
            return Err(mismatch(&format!("the permit allows {allowed:?} and not {asked:?}")));
        }
        if permitted != *target {
            return Err(mismatch(&format!("the permit is for {permitted} and not for {target}")));
        }
        Ok(Self {
            target: permitted,
            verb,
            fence_token: permit.fence_token,
            stamp: pb::Stamp { recovery: permit.recovery, plan_digest: permit.plan_digest },
        })
    }

    /// Clears it: from here on every older token of this sandbox is refused.
    ///
    /// # Errors
    /// As [`Authority::admit`] says. Nothing is sent.
    pub(crate) async fn clear(self, authority: &Authority) -> Result<Cleared<'_>, Error> {
        self.admit(authority).await?;
        Ok(Cleared { permit: self, authority })
    }

    async fn admit(&self, authority: &Authority) -> Result<(), Error> {
        if self.verb.is_of_the_repository() {
            return authority.fences.raise(&self.target, self.fence_token).await;
        }
        authority.admit(&self.target, self.fence_token).await
    }

    fn check_still(&self, authority: &Authority) -> Result<(), Error> {
        if self.verb.is_of_the_repository() {
            return authority.fences.check(&self.target, self.fence_token);
        }
        authority.check(&self.target, self.fence_token)
    }
}

// === impl Standing ===

impl Permit {
    /// Clears it for work that outlives its request.
    ///
    /// # Errors
    /// As for [`clear`](Self::clear).
    pub(crate) async fn stand(self, authority: &Arc<Authority>) -> Result<Standing, Error> {
        self.admit(authority).await?;
        Ok(Standing { permit: self, authority: Arc::clone(authority) })
    }
}

impl Standing {
    /// Who asked.
    pub(crate) fn recovery(&self) -> &str {
        &self.permit.stamp.recovery
    }

    /// Checks once more, right before something is done to the sandbox.
    ///
    /// # Errors
    /// As for [`Cleared::still_allowed`].
    pub(crate) fn still_allowed(&self) -> Result<(), Error> {
        self.permit.check_still(&self.authority)
    }
}

// === impl Cleared ===

impl Cleared<'_> {
    /// The sandbox.
    pub(crate) fn target(&self) -> &RecordName {
        &self.permit.target
    }

    /// What it allows.
    pub(crate) fn verb(&self) -> Verb {
        self.permit.verb
    }

    /// What a create is stamped with.
    pub(crate) fn stamp(&self) -> &pb::Stamp {
        &self.permit.stamp
    }

    /// Whether it still is leave to do something: as [`still_allowed`](Self::still_allowed), without its being sent.
    ///
    /// # Errors
    /// As [`Authority::check`] says.
    pub(crate) fn stands(&self) -> Result<(), Error> {
        self.permit.check_still(self.authority)
    }

    /// Checks once more, right before sending: a newer holder may have come meanwhile, or another
    /// adapter.
    ///
    /// # Errors
    /// As [`Authority::check`] says. Nothing was sent.
    pub(crate) fn still_allowed(&self) -> Result<(), Error> {
        self.permit.check_still(self.authority)?;
        let Permit { target, verb, fence_token, stamp } = &self.permit;
        let (recovery, effect) = (stamp.recovery.as_str(), verb.name());
        tracing::debug!(sandbox = %target, fence_token, recovery, effect, "sending");
        Ok(())
    }
}

fn mismatch(problem: &str) -> Error {
    let text = format!("{problem}. Nothing was sent to the gateway");
    Error::new(Code::Refused, "PERMIT_MISMATCH", text)
}

/// Reads a sandbox reference; `field` is its path in the request.
pub(crate) fn reference(
    field: &str,
    sandbox: Option<&pb::SandboxRef>,
) -> Result<RecordName, Error> {
    let sandbox = sandbox.ok_or_else(|| Error::invalid(field, "is required"))?;
    let wrong = |part: &str, error: salvor_core::name::Error| {
        Error::invalid(format!("{field}.{part}"), error.to_string())
    };
    let gateway: GatewayName = sandbox.gateway.parse().map_err(|error| wrong("gateway", error))?;
    let workspace: Workspace =
        sandbox.workspace.parse().map_err(|error| wrong("workspace", error))?;
    let name: Sandbox = sandbox.sandbox.parse().map_err(|error| wrong("sandbox", error))?;
    Ok(RecordName { gateway: gateway.0, workspace, sandbox: name })
}

/// Reads an id that must be a UUID, as text, lower-case and hyphenated.
pub(crate) fn uuid(field: &str, text: &str) -> Result<String, Error> {
    let parsed = Uuid::parse_str(text).map_err(|_| {
        Error::invalid(field, "must be a UUID like 7d444840-9dc0-11d1-b245-5ffdce74fad2")
    })?;
    Ok(parsed.hyphenated().to_string())
}

#[cfg(test)]
mod tests;
