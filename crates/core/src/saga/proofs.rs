//! What a sandbox that is live again must prove, one thing after the other: policy, posture, readiness.
//!
//! Shared by the sagas that end with a live sandbox. Proving looks first, mends what differs, and looks again; so after an
//! intent without an outcome the same step is right, because it begins by looking.

use serde::{Deserialize, Serialize};

use super::{Narrate, Part};

/// Something to prove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Proof {
    /// The recorded policy is in force.
    Policy,
    /// The sealed paths are read-only and unchanged.
    Posture,
    /// The readiness probe says so.
    Readiness,
}

/// What happened to a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProofEvent {
    /// It is about to be looked at, and mended if need be.
    Intended(Proof),
    /// It was looked at.
    Established(Proof, Part),
}

/// What has been proven so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proofs {
    /// The policy.
    pub policy: Option<Part>,
    /// The lock.
    pub posture: Option<Part>,
    /// The probe.
    pub readiness: Option<Part>,
}

// === impl Proofs ===

impl Proofs {
    /// The fold; `None` for a proof that is not the next one.
    pub fn apply(mut self, event: &ProofEvent) -> Option<Self> {
        let (ProofEvent::Intended(proof) | ProofEvent::Established(proof, _)) = event;
        if self.next() != Some(*proof) {
            return None;
        }
        if let ProofEvent::Established(proof, part) = event {
            let slot = match proof {
                Proof::Policy => &mut self.policy,
                Proof::Posture => &mut self.posture,
                Proof::Readiness => &mut self.readiness,
            };
            *slot = Some(part.clone());
        }
        Some(self)
    }

    /// What to prove next; `None` when all is established.
    pub const fn next(&self) -> Option<Proof> {
        if self.policy.is_none() {
            return Some(Proof::Policy);
        }
        if self.posture.is_none() {
            return Some(Proof::Posture);
        }
        if self.readiness.is_none() {
            return Some(Proof::Readiness);
        }
        None
    }

    /// The config part: the spec as read back, and the probe where there is one. The worse of the two.
    /// What either owes is owed.
    pub fn config(&self, spec: Part) -> Part {
        match (spec, &self.readiness) {
            (Part::Pending(mut owed), Some(Part::Pending(more))) => {
                owed.extend(more.iter().cloned());
                Part::Pending(owed)
            }
            (spec, Some(readiness)) if readiness.severity() > spec.severity() => readiness.clone(),
            (spec, _) => spec,
        }
    }
}

// === impl Proof ===

impl Proof {
    /// The step's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "prove_policy",
            Self::Posture => "prove_posture",
            Self::Readiness => "prove_readiness",
        }
    }
}

impl Narrate for ProofEvent {
    fn step(&self) -> Option<&'static str> {
        let (Self::Intended(proof) | Self::Established(proof, _)) = self;
        Some(proof.as_str())
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Intended(_) => "intended",
            Self::Established(_, part) => part.word(),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Intended(_) => String::new(),
            Self::Established(_, part) => part.detail(),
        }
    }
}
