//! Guards about the record.

use crate::{
    Check, Denial, Evidence, Limits,
    denial::RecordPart,
    evidence::{Record, RecordState},
    fact::FactName,
};

/// Neither a tombstone nor held by somebody else.
pub(super) const RECORD_IS_ACTIVE: Check<Evidence> = Check {
    id: "record_is_active",
    claim: "the record stands for a sandbox that is meant to exist, and nothing else works on it",
    facts: &[FactName::Record],
    reasons: &["RECORD_NOT_ACTIVE"],
    decide: |limits, evidence| match record(limits, evidence)?.state {
        RecordState::Active => Ok(()),
        state @ (RecordState::Recovering | RecordState::Destroying | RecordState::Destroyed) => {
            Err(Denial::RecordNotActive { state })
        }
    },
};

/// All that a recreate needs was recorded while the sandbox was live.
pub(super) const RECORD_IS_COMPLETE: Check<Evidence> = Check {
    id: "record_is_complete",
    claim: "the record holds everything that bringing the sandbox back needs",
    facts: &[FactName::Record],
    reasons: &["RECORD_INCOMPLETE"],
    decide: |limits, evidence| {
        let record = record(limits, evidence)?;
        let parts = [
            (RecordPart::LiveId, record.live_id.is_some()),
            (RecordPart::GatewayIdentity, record.identity.store_id.is_some()),
            (RecordPart::Agent, !record.agents.is_empty()),
            (RecordPart::Spec, record.spec.is_some()),
            (RecordPart::Policy, record.policy.is_some()),
        ];
        match parts.into_iter().find(|(_, held)| !held) {
            Some((part, _)) => Err(Denial::RecordIncomplete { part }),
            None => Ok(()),
        }
    },
};

/// How several agents share a workspace is not recorded, so bringing back one of them is a guess.
pub(super) const RECORD_NAMES_ONE_AGENT: Check<Evidence> = Check {
    id: "record_names_one_agent",
    claim: "the record names exactly one agent",
    facts: &[FactName::Record],
    reasons: &["RECORD_INCOMPLETE", "SEVERAL_AGENTS"],
    decide: |limits, evidence| match record(limits, evidence)?.agents.len() {
        0 => Err(Denial::RecordIncomplete { part: RecordPart::Agent }),
        1 => Ok(()),
        count => Err(Denial::SeveralAgents { count }),
    },
};

fn record<'e>(limits: &Limits, evidence: &'e Evidence) -> Result<&'e Record, Denial> {
    evidence.record.fresh(FactName::Record, evidence.now, limits)
}
