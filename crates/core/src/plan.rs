//! A plan: all decisions plus the chosen path and its inputs, fixed and digested before anything is touched.
//!
//! Execution uses [`Inputs`] and adds no precondition of its own. The digest covers the path, the target and the inputs, and
//! neither times nor decisions: the same plan made again a minute later has the same digest, and one that would use
//! anything else has another.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256 as Hasher};

use crate::{
    Decision, Evidence, Limits,
    check::evaluate,
    evidence::{GatewayIdentity, Live, Policy, Posture, Probe, Spec},
    guards,
    id::{LiveId, PlanDigest, SandboxPath},
    name::RecordName,
    path::{Path, Request, SagaKind, Verdict, choose, verdict},
};

/// The version of the definitions that this build runs. A journal names the one that wrote it.
pub const SAGA_VERSION: u32 = 1;

/// What was decided, and what will be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Of the definition.
    pub saga_version: u32,
    /// Which definition.
    pub saga: SagaKind,
    /// The record.
    pub target: RecordName,
    /// What the evidence says.
    pub verdict: Verdict,
    /// All that the execution uses.
    pub inputs: Inputs,
    /// One per row of the saga's table, in its order.
    pub decisions: Vec<Decision>,
    /// See [`Inputs::digest`].
    pub digest: PlanDigest,
}

/// All that an execution uses. What is not in here, no step may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// The recorded incarnation.
    pub live_id: Option<LiveId>,
    /// Whether it existed when the plan was made.
    pub present: bool,
    /// Of the owner gateway.
    pub identity: GatewayIdentity,
    /// The recorded spec, by digest; its bytes stay in the registry.
    pub spec: Option<Spec>,
    /// The recorded policy, likewise.
    pub policy: Option<Policy>,
    /// What must hold afterwards.
    pub posture: Posture,
    /// What must answer afterwards.
    pub readiness: Option<Probe>,
    /// As recorded.
    pub labels: BTreeMap<String, String>,
    /// As recorded.
    pub annotations: BTreeMap<String, String>,
    /// Directories whose loss counts.
    pub snapshot_roots: Vec<SandboxPath>,
}

/// Something that a plan loses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    /// The files of a sandbox that exists, none of them saved.
    Workspace,
    /// Its processes.
    Processes,
}

/// What became of asking for a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// The sandbox is live and nothing else was asked for.
    NothingToDo,
    /// A plan, allowed or not.
    Plan(Box<Plan>),
}

/// Makes the plan for a request. Pure: the same evidence gives the same plan.
pub fn plan(limits: &Limits, request: Request, evidence: &Evidence) -> Planned {
    let verdict = verdict(limits, evidence);
    let Path::Run(saga) = choose(request, verdict) else {
        return Planned::NothingToDo;
    };
    let inputs = Inputs::of(evidence);
    let digest = inputs.digest(saga, &evidence.target);
    Planned::Plan(Box::new(Plan {
        saga_version: SAGA_VERSION,
        saga,
        target: evidence.target.clone(),
        verdict,
        inputs,
        decisions: evaluate(guards::table(saga), limits, evidence),
        digest,
    }))
}

// === impl Plan ===

impl Plan {
    /// Whether every guard of the path allowed it.
    pub fn allowed(&self) -> bool {
        self.decisions.iter().all(Decision::allows)
    }

    /// Whether time alone may turn its refusals into allows: each is a matter of settling.
    pub fn is_settling(&self) -> bool {
        let mut denials = self.decisions.iter().filter_map(|decision| decision.denial.as_ref());
        !self.allowed() && denials.all(|d| !d.is_unknown() && d.retry_after().is_some())
    }

    /// What it loses.
    pub fn losses(&self) -> Vec<Loss> {
        match self.saga {
            SagaKind::Destroy | SagaKind::Rebuild => self.inputs.losses(),
            SagaKind::StaleRecovery | SagaKind::Revive => Vec::new(),
        }
    }
}

// === impl Inputs ===

impl Inputs {
    /// What an execution would use, given this evidence. What is unknown is left empty; a guard refuses then.
    pub fn of(evidence: &Evidence) -> Self {
        let record = evidence.record.shown();
        Self {
            live_id: record.and_then(|r| r.live_id.clone()),
            present: matches!(evidence.live.shown(), Some(Live::Present(_))),
            identity: record.map(|r| r.identity.clone()).unwrap_or_default(),
            spec: record.and_then(|r| r.spec.clone()),
            policy: record.and_then(|r| r.policy.clone()),
            posture: record.map_or(Posture::NotRecorded, |r| r.posture.clone()),
            readiness: record.and_then(|r| r.readiness.clone()),
            labels: record.map(|r| r.labels.clone()).unwrap_or_default(),
            annotations: record.map(|r| r.annotations.clone()).unwrap_or_default(),
            snapshot_roots: record.map(|r| r.snapshot_roots.clone()).unwrap_or_default(),
        }
    }

    /// What taking the sandbox away loses.
    pub fn losses(&self) -> Vec<Loss> {
        if self.present { vec![Loss::Workspace, Loss::Processes] } else { Vec::new() }
    }

    /// Lower-case hex SHA-256 over the saga, its version, the target and all inputs, in their JSON form: fields in
    /// declaration order, maps sorted.
    pub fn digest(&self, saga: SagaKind, target: &RecordName) -> PlanDigest {
        let covered = (SAGA_VERSION, saga, target, self);
        // Serialising plain data with string keys cannot fail; an empty text would only ever match itself.
        let text = serde_json::to_vec(&covered).unwrap_or_default();
        let mut hex = String::with_capacity(64);
        for byte in Hasher::digest(&text) {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        PlanDigest(hex)
    }
}

impl Loss {
    /// As people read it.
    pub const fn in_words(&self) -> &'static str {
        match self {
            Self::Workspace => "every file of the sandbox's workspace: no snapshot holds them",
            Self::Processes => {
                "the processes that run in the sandbox, with what they hold in memory"
            }
        }
    }
}
