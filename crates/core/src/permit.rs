//! Leave to do one destructive thing to one sandbox.
//!
//! A port's destructive methods take a [`Permit`] by value. The only way to one leads through [`Approved`], and the only
//! way to that through a plan of which every guard of its table is there and allowed it.

use crate::{
    Plan, guards,
    id::{Fence, PlanDigest, RecoveryName},
    name::RecordName,
    path::SagaKind,
};

/// Something that changes a gateway or a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EffectKind {
    /// Make a sandbox.
    Create,
    /// Take one incarnation away.
    Delete,
    /// Start one incarnation.
    Start,
    /// Set its policy to the recorded one.
    ApplyPolicy,
    /// Make its sealed paths read-only.
    ApplyPosture,
    /// Read its workspace, with the record's hooks around.
    Snapshot,
    /// Write a snapshot into its workspace.
    Restore,
    /// Take snapshots of it away.
    DeleteSnapshot,
    /// Stop a container of it that the gateway has lost.
    StopCompute,
}

/// A plan that was allowed, whole.
#[derive(Debug, Clone)]
pub struct Approved {
    plan: Plan,
}

/// Why there is no approval.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotApproved {
    /// A guard refused.
    #[error("guard {0} refused")]
    Refused(String),
    /// A row of the saga's table has no decision, or another row stands in its place.
    #[error("guard {0} was not evaluated")]
    Missing(&'static str),
}

/// Leave to do one thing. Not `Clone`: each use needs its own.
#[derive(Debug)]
pub struct Permit {
    recovery: RecoveryName,
    plan: PlanDigest,
    target: RecordName,
    fence: Fence,
    effect: EffectKind,
}

// === impl Approved ===

impl Approved {
    /// Approves a plan if, row by row, its saga's table was evaluated and allowed, and no further decision refuses.
    pub fn new(plan: Plan) -> Result<Self, NotApproved> {
        let table = guards::table(plan.saga);
        for (index, row) in table.iter().enumerate() {
            let decision = plan.decisions.get(index).filter(|d| d.guard.0 == row.id);
            let decision = decision.ok_or(NotApproved::Missing(row.id))?;
            if !decision.allows() {
                return Err(NotApproved::Refused(row.id.to_owned()));
            }
        }
        // A plan made by a newer build may hold rows that this one's table lacks; their refusals count all the same.
        if let Some(refused) = plan.decisions.iter().find(|d| !d.allows()) {
            return Err(NotApproved::Refused(refused.guard.to_string()));
        }
        Ok(Self { plan })
    }

    /// The plan.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The sandbox that the plan makes besides its target, if it makes one.
    pub fn copy(&self) -> Option<RecordName> {
        let copy = self.plan.inputs.asked.copy.as_ref()?;
        Some(RecordName { sandbox: copy.sandbox.clone(), ..self.plan.target.clone() })
    }

    /// Leave for one effect on the copy, if the plan names one and its saga has the effect.
    pub fn permit_on_copy(
        &self,
        recovery: &RecoveryName,
        fence: Fence,
        effect: EffectKind,
    ) -> Option<Permit> {
        let target = self.copy()?;
        effects_on_copy(self.plan.saga).contains(&effect).then(|| Permit {
            recovery: recovery.clone(),
            plan: self.plan.digest.clone(),
            target,
            fence,
            effect,
        })
    }

    /// Leave for one effect, if the plan's saga has it at all.
    pub fn permit(
        &self,
        recovery: &RecoveryName,
        fence: Fence,
        effect: EffectKind,
    ) -> Option<Permit> {
        effects(self.plan.saga).contains(&effect).then(|| Permit {
            recovery: recovery.clone(),
            plan: self.plan.digest.clone(),
            target: self.plan.target.clone(),
            fence,
            effect,
        })
    }
}

/// What a saga may do to the sandbox that it is about.
pub const fn effects(saga: SagaKind) -> &'static [EffectKind] {
    use EffectKind::{
        ApplyPolicy, ApplyPosture, Create, Delete, DeleteSnapshot, Restore, Snapshot, Start,
        StopCompute,
    };
    match saga {
        // It deletes only what it created itself and never became ready.
        SagaKind::StaleRecovery => {
            &[Create, Delete, ApplyPolicy, ApplyPosture, StopCompute, Snapshot, Restore]
        }
        SagaKind::Revive => &[Start, ApplyPolicy, ApplyPosture],
        SagaKind::Rebuild => &[Snapshot, Delete, Create, Restore, ApplyPolicy, ApplyPosture],
        SagaKind::Destroy => &[Delete],
        SagaKind::Snapshot => &[Snapshot, DeleteSnapshot],
        SagaKind::Restore => &[Snapshot, Restore, ApplyPolicy, ApplyPosture],
        SagaKind::Copy => &[Snapshot],
        SagaKind::Prune => &[DeleteSnapshot],
    }
}

/// What a saga may do to the copy that its plan names; nothing of it is anyone's but the recovery's own.
pub const fn effects_on_copy(saga: SagaKind) -> &'static [EffectKind] {
    use EffectKind::{ApplyPolicy, ApplyPosture, Create, Delete, Restore};
    match saga {
        SagaKind::Copy => &[Create, Delete, Restore, ApplyPolicy, ApplyPosture],
        SagaKind::StaleRecovery
        | SagaKind::Revive
        | SagaKind::Rebuild
        | SagaKind::Destroy
        | SagaKind::Snapshot
        | SagaKind::Restore
        | SagaKind::Prune => &[],
    }
}

// === impl Permit ===

impl Permit {
    /// Whose.
    pub const fn recovery(&self) -> &RecoveryName {
        &self.recovery
    }

    /// Of which plan.
    pub const fn plan(&self) -> &PlanDigest {
        &self.plan
    }

    /// For which sandbox.
    pub const fn target(&self) -> &RecordName {
        &self.target
    }

    /// Under which lease.
    pub const fn fence(&self) -> Fence {
        self.fence
    }

    /// For what.
    pub const fn effect(&self) -> EffectKind {
        self.effect
    }
}

// === impl EffectKind ===

impl EffectKind {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Start => "start",
            Self::ApplyPolicy => "apply_policy",
            Self::ApplyPosture => "apply_posture",
            Self::Snapshot => "snapshot",
            Self::Restore => "restore",
            Self::DeleteSnapshot => "delete_snapshot",
            Self::StopCompute => "stop_compute",
        }
    }
}
