//! A plan: all decisions plus the chosen path and its inputs, fixed and digested before anything is touched.
//!
//! Execution uses [`Inputs`] and adds no precondition of its own. The digest covers the path, the target and the inputs, and
//! neither times nor decisions: the same plan made again a minute later has the same digest, and one that would use
//! anything else has another.

use std::{collections::BTreeMap, fmt, fmt::Write as _};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256 as Hasher};

use crate::{
    Decision, Evidence, Limits,
    check::evaluate,
    evidence::{
        Asked, Channel, Compute, GatewayIdentity, Live, Phase, Policy, Posture, Probe, Record,
        RestoreMode, Spec,
    },
    guards,
    id::{LiveId, PlanDigest, SandboxPath, Sha256, SnapshotName},
    name::RecordName,
    path::{Path, Request, SagaKind, Verdict, choose, verdict},
    saga::capture::Saved,
};

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
    /// Directories that a snapshot covers.
    #[serde(default)]
    pub roots: Vec<SandboxPath>,
    /// The record's rules for them, digested.
    #[serde(default)]
    pub rules: Option<Sha256>,
    /// How the workspace is read before anything is done to it. `None`: it is not.
    #[serde(default)]
    pub capture: Option<Channel>,
    /// The snapshot that is put back, unless the one that is taken now takes its place.
    #[serde(default)]
    pub restore: Option<Chosen>,
    /// Containers of a sandbox that the gateway has lost. They are stopped before a second copy runs, and kept.
    #[serde(default)]
    pub leftovers: Vec<Compute>,
    /// What the request says besides its path.
    #[serde(default)]
    pub asked: Asked,
    /// Patterns below the roots that snapshots leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
}

/// A snapshot that a plan rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    /// It.
    pub saved: Saved,
    /// Whose it is.
    pub of: RecordName,
    /// Of which incarnation.
    pub live_id: LiveId,
    /// Whether it is this sandbox's, with every root: what it holds is not lost with the sandbox.
    pub own: bool,
}

/// Something that a plan loses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    /// The files of a sandbox that exists below this root, none of them saved.
    Workspace(SandboxPath),
    /// What was written into its files after this snapshot began to be read.
    SinceSnapshot {
        /// Which.
        name: SnapshotName,
    },
    /// What is written below its roots when they are compared for the last time, right before the delete, or later.
    WhileDeleting,
    /// What is in it besides what is below these roots.
    OutsideRoots(Vec<SandboxPath>),
    /// What these patterns of the record's leave out.
    Excluded(Vec<String>),
    /// What no snapshot holds: credentials, and what is bound to one machine.
    LeftOutByRule,
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
    let inputs = Inputs::of(saga, evidence);
    let digest = inputs.digest(saga, &evidence.target);
    Planned::Plan(Box::new(Plan {
        saga_version: saga.version(),
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
            SagaKind::StaleRecovery
            | SagaKind::Revive
            | SagaKind::Snapshot
            | SagaKind::Restore
            | SagaKind::Copy
            | SagaKind::Prune => Vec::new(),
        }
    }
}

// === impl Inputs ===

impl Inputs {
    /// What an execution would use, given this evidence. What is unknown is left empty; a guard refuses then.
    pub fn of(saga: SagaKind, evidence: &Evidence) -> Self {
        let record = evidence.record.shown();
        let capture = capture(saga, evidence);
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
            roots: roots(saga, evidence),
            rules: record.and_then(|r| r.snapshot_rules.clone()),
            capture,
            restore: restore(saga, evidence, capture),
            leftovers: leftovers(saga, evidence),
            asked: evidence.asked.clone(),
            excludes: record.map(|r| r.snapshot_excludes.clone()).unwrap_or_default(),
        }
    }

    /// What taking the sandbox away loses.
    pub fn losses(&self) -> Vec<Loss> {
        if !self.present {
            return Vec::new();
        }
        let mut losses = match (&self.capture, &self.restore) {
            (Some(_), _) => vec![Loss::WhileDeleting],
            (None, Some(chosen)) if chosen.own => {
                vec![Loss::SinceSnapshot { name: chosen.saved.name.clone() }]
            }
            (None, _) => self.roots.iter().cloned().map(Loss::Workspace).collect(),
        };
        losses.push(Loss::OutsideRoots(self.roots.clone()));
        if !self.excludes.is_empty() {
            losses.push(Loss::Excluded(self.excludes.clone()));
        }
        losses.extend([Loss::LeftOutByRule, Loss::Processes]);
        losses
    }

    /// Whether taking the sandbox away would leave nothing of its files.
    pub fn loses_workspace(&self) -> bool {
        self.losses().iter().any(|loss| matches!(loss, Loss::Workspace(_)))
    }

    /// Whose a snapshot must be to be put back: the chosen one's, or of the incarnation that is read now.
    pub fn identity_of(
        &self,
        snapshot: &SnapshotName,
        target: &RecordName,
    ) -> (RecordName, LiveId) {
        match &self.restore {
            Some(chosen) if chosen.saved.name == *snapshot => {
                (chosen.of.clone(), chosen.live_id.clone())
            }
            _ => (target.clone(), self.live_id.clone().unwrap_or_else(|| LiveId(String::new()))),
        }
    }

    /// Lower-case hex SHA-256 over the saga, its version, the target and all inputs, in their JSON form: fields in
    /// declaration order, maps sorted.
    pub fn digest(&self, saga: SagaKind, target: &RecordName) -> PlanDigest {
        let covered = (saga.version(), saga, target, self);
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

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workspace(root) => {
                write!(f, "every file below {root}: no complete snapshot is known to hold them")
            }
            Self::SinceSnapshot { name } => {
                write!(f, "what was written into the workspace since {name} began to be read")
            }
            Self::WhileDeleting => f.write_str(
                "what is written while the workspace is compared for the last time and the sandbox is \
                 deleted, unless hooks bring its agent to rest",
            ),
            Self::OutsideRoots(roots) => {
                let roots: Vec<&str> = roots.iter().map(SandboxPath::as_str).collect();
                write!(f, "every file that is not below {}", roots.join(", "))
            }
            Self::Excluded(patterns) => {
                write!(f, "what the record leaves out of snapshots: {}", patterns.join(", "))
            }
            Self::LeftOutByRule => f.write_str(
                "what no snapshot ever holds: credentials, and what is bound to the machine",
            ),
            Self::Processes => {
                f.write_str("the processes that run in the sandbox, with what they hold in memory")
            }
        }
    }
}

// === what a plan rests on ===

/// Whether the recorded incarnation can be read through its gateway.
fn ready(evidence: &Evidence) -> bool {
    let recorded = evidence.record.shown().and_then(|record| record.live_id.as_ref());
    matches!(
        evidence.live.shown(),
        Some(Live::Present(p)) if p.phase == Phase::Ready && recorded == Some(&p.live_id)
    )
}

fn compute(evidence: &Evidence) -> &[Compute] {
    evidence.compute.shown().map_or(&[], Vec::as_slice)
}

/// A live sandbox is read through the gateway, or the way that its adapter is set to prefer; one that is not, from its
/// container. A container that the gateway has lost is kept, so a snapshot that was asked for by name makes reading it needless;
/// one that the gateway deletes is read in any case.
fn capture(saga: SagaKind, evidence: &Evidence) -> Option<Channel> {
    let alive = ready(evidence).then_some(Channel::Exec);
    let left = (!compute(evidence).is_empty()).then_some(Channel::Runtime);
    let named = evidence.asked.snapshot.is_some();
    match saga {
        SagaKind::Rebuild if !evidence.repository => None,
        SagaKind::Rebuild => alive.or(left),
        SagaKind::StaleRecovery => {
            let absent = matches!(evidence.live.shown(), Some(Live::Absent { .. }));
            left.filter(|_| absent && !named)
        }
        SagaKind::Snapshot => match evidence.asked.channel {
            Some(Channel::Exec) => alive,
            Some(Channel::Runtime) => left,
            None => alive.or(left),
        },
        // What can overwrite nothing needs nothing to be saved first.
        SagaKind::Restore => alive.filter(|_| evidence.asked.mode != RestoreMode::SkipExisting),
        SagaKind::Copy => {
            let drill = evidence.asked.copy.as_ref().is_some_and(|copy| !copy.keep);
            alive.filter(|_| drill && !named)
        }
        SagaKind::Revive | SagaKind::Destroy | SagaKind::Prune => None,
    }
}

fn restore(saga: SagaKind, evidence: &Evidence, capture: Option<Channel>) -> Option<Chosen> {
    let named = evidence.asked.snapshot.is_some();
    let wanted = match saga {
        SagaKind::Rebuild | SagaKind::Copy => named || capture.is_none(),
        SagaKind::StaleRecovery | SagaKind::Restore => true,
        SagaKind::Revive | SagaKind::Destroy | SagaKind::Snapshot | SagaKind::Prune => false,
    };
    let found = evidence.snapshot.shown()?.as_ref().filter(|found| wanted && found.complete)?;
    let own = evidence
        .record
        .shown()
        .is_some_and(|record| found.is_of(&evidence.target, record) && found.stands_for(record));
    Some(Chosen {
        saved: Saved {
            name: found.name.clone(),
            begun: found.begun,
            files: found.files,
            bytes: found.bytes,
        },
        of: found.of.clone(),
        live_id: found.live_id.clone(),
        own,
    })
}

fn leftovers(saga: SagaKind, evidence: &Evidence) -> Vec<Compute> {
    match saga {
        SagaKind::StaleRecovery => compute(evidence).to_vec(),
        _ => Vec::new(),
    }
}

/// A snapshot may be asked to cover something else; what is read before a sandbox is touched covers what the record says.
fn roots(saga: SagaKind, evidence: &Evidence) -> Vec<SandboxPath> {
    match saga {
        SagaKind::Snapshot if !evidence.asked.roots.is_empty() => evidence.asked.roots.clone(),
        _ => evidence.record.shown().map(Record::roots).unwrap_or_default(),
    }
}
