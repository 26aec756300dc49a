//! Guards as rows, and what becomes of evaluating them.

use std::{borrow::Cow, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{Denial, Evidence, FactName};

/// A guard's stable id: span name, metric, journal entry and docs anchor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GuardId(pub Cow<'static, str>);

/// One guard: an affirmative claim over evidence that must hold before a step.
#[derive(Debug, Clone, Copy)]
pub struct Check<E> {
    /// Stable id, snake case.
    pub id: &'static str,
    /// One sentence for people.
    pub claim: &'static str,
    /// The facts it looks at. Any of them unknown or old is a refusal of its own.
    pub facts: &'static [FactName],
    /// The other reasons with which it can refuse; see [`Denial::reason`].
    pub reasons: &'static [&'static str],
    /// Pure and total; the evidence carries `now`.
    pub decide: fn(&Limits, &E) -> Result<(), Denial>,
}

/// The thresholds by which guards judge. One value for a whole orchestrator, from its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How old a fact may be. Default 30 s: longer than any probe takes, shorter than the gateway's own sweep of 60 s.
    pub max_evidence_age: Duration,
    /// How long a gateway must have been healthy before an absence is believed. Default 5 s: after a restart real gateways
    /// show READY sandboxes as PROVISIONING for 2 s (openshell.md §9), and twice that is a margin.
    pub gateway_settle: Duration,
    /// How long an absence must have been seen. Default 5 s, for the same reason.
    pub absence_settle: Duration,
    /// What the gateway takes as a spec. Its inbound message limit is 1 MiB (openshell.md §6); 64 KiB are left for the rest.
    pub max_spec_bytes: u64,
    /// What the gateway takes as a policy: 256 KiB (openshell.md §4).
    pub max_policy_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_evidence_age: Duration::from_secs(30),
            gateway_settle: Duration::from_secs(5),
            absence_settle: Duration::from_secs(5),
            max_spec_bytes: 1024 * 1024 - 64 * 1024,
            max_policy_bytes: 256 * 1024,
        }
    }
}

/// One guard's verdict over given evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Which guard.
    pub guard: GuardId,
    /// Its claim, as it was when it decided.
    pub claim: Cow<'static, str>,
    /// `None`: the claim holds. Otherwise why it does not, or why that is not known.
    pub denial: Option<Denial>,
}

/// Evaluates every row, in table order. It does not stop at a refusal, so that an operator sees every reason at once.
pub fn evaluate(table: &[Check<Evidence>], limits: &Limits, evidence: &Evidence) -> Vec<Decision> {
    let decide = |check: &Check<Evidence>| Decision {
        guard: GuardId(Cow::Borrowed(check.id)),
        claim: Cow::Borrowed(check.claim),
        denial: (check.decide)(limits, evidence).err(),
    };
    table.iter().map(decide).collect()
}

// === impl Decision ===

impl Decision {
    /// Whether the claim holds.
    pub const fn allows(&self) -> bool {
        self.denial.is_none()
    }
}

impl fmt::Display for GuardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
