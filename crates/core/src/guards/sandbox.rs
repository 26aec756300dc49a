//! Guards about the sandbox as its owner gateway shows it.

use std::time::Duration;

use crate::{
    Check, Denial, Evidence, Limits, Timestamp,
    denial::RecordPart,
    evidence::{Live, Present, Record},
    fact::FactName,
    plan,
};

/// Only a statement of the owner gateway is an absence; everything else is unknown, and unknown refuses.
pub(super) const SANDBOX_IS_ABSENT: Check<Evidence> = Check {
    id: "sandbox_is_absent",
    claim: "the owner gateway says that the sandbox does not exist",
    facts: &[FactName::Record, FactName::LiveView],
    reasons: &["FOREIGN_SANDBOX", "PHASE_IN_MOTION", "SANDBOX_PRESENT"],
    decide: |limits, evidence| match both(limits, evidence)? {
        (Live::Absent { .. }, _) => Ok(()),
        (Live::Present(present), record) => Err(in_the_way(record, present)),
    },
};

/// One look may fall into a gap; a window of looks does not.
pub(super) const ABSENCE_HAS_SETTLED: Check<Evidence> = Check {
    id: "absence_has_settled",
    claim: "every look of the settle window said that the sandbox does not exist",
    facts: &[FactName::Record, FactName::LiveView],
    reasons: &["ABSENCE_TOO_RECENT", "FOREIGN_SANDBOX", "PHASE_IN_MOTION", "SANDBOX_PRESENT"],
    decide: |limits, evidence| match both(limits, evidence)? {
        (Live::Absent { since }, _) => settled(limits, *since, evidence.now),
        (Live::Present(present), record) => Err(in_the_way(record, present)),
    },
};

/// For a destroy, which may find the sandbox absent or present.
pub(super) const ABSENCE_IF_ANY_HAS_SETTLED: Check<Evidence> = Check {
    id: "absence_if_any_has_settled",
    claim: "the sandbox exists, or every look of the settle window said that it does not",
    facts: &[FactName::LiveView],
    reasons: &["ABSENCE_TOO_RECENT"],
    decide: |limits, evidence| match live(limits, evidence)? {
        Live::Absent { since } => settled(limits, *since, evidence.now),
        Live::Present(_) => Ok(()),
    },
};

/// The same name with another id is somebody else's.
pub(super) const SANDBOX_IS_THE_RECORDED_ONE: Check<Evidence> = Check {
    id: "sandbox_is_the_recorded_one",
    claim: "the sandbox on the owner gateway is the incarnation that the record speaks of",
    facts: &[FactName::Record, FactName::LiveView],
    reasons: &["FOREIGN_SANDBOX", "RECORD_INCOMPLETE", "SANDBOX_ABSENT"],
    decide: |limits, evidence| match both(limits, evidence)? {
        (Live::Absent { .. }, _) => Err(Denial::SandboxAbsent),
        (Live::Present(present), record) => same_incarnation(record, present),
    },
};

/// For a destroy: what bears the name is the recorded incarnation, or nothing does.
pub(super) const NAME_IS_FREE_OR_OURS: Check<Evidence> = Check {
    id: "name_is_free_or_ours",
    claim: "no other incarnation than the recorded one bears the name on the owner gateway",
    facts: &[FactName::Record, FactName::LiveView],
    reasons: &["FOREIGN_SANDBOX", "RECORD_INCOMPLETE"],
    decide: |limits, evidence| match both(limits, evidence)? {
        (Live::Absent { .. }, _) => Ok(()),
        (Live::Present(present), record) => same_incarnation(record, present),
    },
};

/// The gateway says which phases and reasons its version can start.
pub(super) const PHASE_CAN_BE_STARTED: Check<Evidence> = Check {
    id: "phase_can_be_started",
    claim: "a start can bring the sandbox back from its phase on this gateway",
    facts: &[FactName::LiveView],
    reasons: &["NOT_STARTABLE", "PHASE_IN_MOTION", "SANDBOX_ABSENT"],
    decide: |limits, evidence| match live(limits, evidence)? {
        Live::Absent { .. } => Err(Denial::SandboxAbsent),
        Live::Present(present) if present.phase.in_motion() => {
            Err(Denial::PhaseInMotion { phase: present.phase })
        }
        Live::Present(present) if present.startable => Ok(()),
        Live::Present(present) => {
            Err(Denial::NotStartable { phase: present.phase, reason: present.reason.clone() })
        }
    },
};

/// What is on its way may arrive.
pub(super) const PHASE_IS_AT_REST: Check<Evidence> = Check {
    id: "phase_is_at_rest",
    claim: "the gateway is not about to change the sandbox's phase by itself",
    facts: &[FactName::LiveView],
    reasons: &["PHASE_IN_MOTION"],
    decide: |limits, evidence| match live(limits, evidence)? {
        Live::Present(present) if present.phase.in_motion() => {
            Err(Denial::PhaseInMotion { phase: present.phase })
        }
        Live::Present(_) | Live::Absent { .. } => Ok(()),
    },
};

/// Acceptance names one plan's digest, and with it the list of what is lost.
pub(super) const LOSSES_ARE_ACCEPTED: Check<Evidence> = Check {
    id: "losses_are_accepted",
    claim: "nothing would be lost, or the caller accepted exactly the losses of this plan",
    facts: &[FactName::Record, FactName::LiveView],
    reasons: &["DATA_LOSS_NOT_ACCEPTED"],
    decide: |limits, evidence| {
        record(limits, evidence)?;
        live(limits, evidence)?;
        let inputs = plan::Inputs::of(crate::path::SagaKind::Destroy, evidence);
        if inputs.losses().is_empty() {
            return Ok(());
        }
        let digest = inputs.digest(crate::path::SagaKind::Destroy, &evidence.target);
        if evidence.accepted_loss.as_ref() == Some(&digest) {
            return Ok(());
        }
        Err(Denial::DataLossNotAccepted)
    },
};

fn settled(limits: &Limits, since: Timestamp, now: Timestamp) -> Result<(), Denial> {
    let (seen_for, required): (Duration, _) = (since.age(now), limits.absence_settle);
    if seen_for < required {
        return Err(Denial::AbsenceTooRecent { seen_for, required });
    }
    Ok(())
}

pub(super) fn same_incarnation(record: &Record, present: &Present) -> Result<(), Denial> {
    let Some(recorded) = &record.live_id else {
        return Err(Denial::RecordIncomplete { part: RecordPart::LiveId });
    };
    if *recorded == present.live_id {
        return Ok(());
    }
    Err(Denial::ForeignSandbox {
        recorded: recorded.clone(),
        live: present.live_id.clone(),
        stamped: present.stamp.as_ref().map(|stamp| stamp.recovery.clone()),
    })
}

/// Why a present sandbox rules out a recreate, the most telling reason first.
fn in_the_way(record: &Record, present: &Present) -> Denial {
    match same_incarnation(record, present) {
        Err(foreign @ Denial::ForeignSandbox { .. }) => foreign,
        _ if present.phase.in_motion() => Denial::PhaseInMotion { phase: present.phase },
        _ => Denial::SandboxPresent { phase: present.phase },
    }
}

pub(super) fn live<'e>(limits: &Limits, evidence: &'e Evidence) -> Result<&'e Live, Denial> {
    evidence.live.fresh(FactName::LiveView, evidence.now, limits)
}

/// The live view and the record, for the guards that compare them.
fn both<'e>(limits: &Limits, evidence: &'e Evidence) -> Result<(&'e Live, &'e Record), Denial> {
    Ok((live(limits, evidence)?, record(limits, evidence)?))
}

pub(super) fn record<'e>(limits: &Limits, evidence: &'e Evidence) -> Result<&'e Record, Denial> {
    evidence.record.fresh(FactName::Record, evidence.now, limits)
}
