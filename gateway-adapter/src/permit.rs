//! Leave to do one thing to one sandbox.
//!
//! Invariant: a [`Permit`] exists only after the request that it came with was checked against it,
//! and a [`Cleared`] only after its fence token was found to be the newest. The functions that
//! mutate a gateway take a `Cleared` by value, so the unguarded path does not type-check.
//! Deliberately absent: the guards; they are the orchestrator's.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use salvor_core::name::{GatewayName, RecordName, Sandbox, Workspace};
use salvor_proto::Error;
use salvor_proto::error::Code;
use salvor_proto::gateway::v1 as pb;
use uuid::Uuid;

/// How many sandboxes' fence tokens are remembered. Far more than one adapter serves.
const MAX_FENCES: usize = 1 << 20;

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
    fences: &'a Fences,
}

/// The highest fence token seen of each sandbox.
#[derive(Debug, Default)]
pub(crate) struct Fences(Mutex<HashMap<RecordName, i64>>);

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
        }
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
    /// FENCED when a newer token has been seen. Nothing is sent.
    pub(crate) fn clear(self, fences: &Fences) -> Result<Cleared<'_>, Error> {
        fences.raise(&self.target, self.fence_token)?;
        Ok(Cleared { permit: self, fences })
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

    /// Checks the token once more, right before sending: a newer holder may have come meanwhile.
    ///
    /// # Errors
    /// FENCED. Nothing was sent.
    pub(crate) fn still_newest(&self) -> Result<(), Error> {
        self.fences.raise(&self.permit.target, self.permit.fence_token)
    }
}

// === impl Fences ===

impl Fences {
    fn raise(&self, target: &RecordName, token: i64) -> Result<(), Error> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(highest) = seen.get_mut(target) {
            if token < *highest {
                return Err(fenced(target, token, *highest));
            }
            *highest = token;
            return Ok(());
        }
        if seen.len() >= MAX_FENCES {
            let text = "this adapter remembers as many fence tokens as it can; restart it";
            return Err(Error::new(Code::Exhausted, "FENCES_FULL", text));
        }
        seen.insert(target.clone(), token);
        Ok(())
    }
}

fn fenced(target: &RecordName, token: i64, highest: i64) -> Error {
    let text = format!(
        "fence token {token} for {target} is older than {highest}, which this adapter has seen: \
         another holder took the lease. Nothing was sent to the gateway"
    );
    Error::new(Code::Conflict, "FENCED", text)
        .with("fence_token", token.to_string())
        .with("newest_fence_token", highest.to_string())
        .next_step(format!("salvor status {target}"))
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
