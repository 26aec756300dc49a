//! Guards about the owner gateway.

use crate::{
    Check, Denial, Evidence, Limits,
    denial::RecordPart,
    evidence::{Gateway, Record},
    fact::FactName,
};

/// It answered, just now, as the gateway that was pinned, in a version that can be read.
pub(super) const OWNER_GATEWAY_ANSWERS: Check<Evidence> = Check {
    id: "owner_gateway_answers",
    claim: "the owner gateway answers, as itself, in a version that salvor reads",
    facts: &[FactName::OwnerGateway],
    reasons: &[],
    decide: |limits, evidence| gateway(limits, evidence).map(|_| ()),
};

/// The record's own pin, besides the one that the adapter compares for the gateway.
pub(super) const OWNER_GATEWAY_IS_THE_RECORDED_ONE: Check<Evidence> = Check {
    id: "owner_gateway_is_the_recorded_one",
    claim: "the owner gateway is the one that the record was bound to",
    facts: &[FactName::Record, FactName::OwnerGateway],
    reasons: &["RECORD_INCOMPLETE", "GATEWAY_REPLACED"],
    decide: |limits, evidence| {
        let pinned = &record(limits, evidence)?.identity;
        if pinned.store_id.is_none() {
            return Err(Denial::RecordIncomplete { part: RecordPart::GatewayIdentity });
        }
        match pinned.differs_from(&gateway(limits, evidence)?.identity) {
            Some(part) => Err(Denial::GatewayReplaced { part }),
            None => Ok(()),
        }
    },
};

/// A gateway that has just come up shows sandboxes as missing or failed that come back by themselves.
pub(super) const OWNER_GATEWAY_HAS_SETTLED: Check<Evidence> = Check {
    id: "owner_gateway_has_settled",
    claim: "the owner gateway has been healthy for long enough to be believed about an absence",
    facts: &[FactName::OwnerGateway],
    reasons: &["GATEWAY_WARMING"],
    decide: |limits, evidence| {
        let healthy_for = gateway(limits, evidence)?.healthy_since.age(evidence.now);
        let required = limits.gateway_settle;
        if healthy_for < required {
            return Err(Denial::GatewayWarming { healthy_for, required });
        }
        Ok(())
    },
};

/// Bytes of one wire mean other things in the other.
pub(super) const DIALECT_IS_THE_RECORDED_ONE: Check<Evidence> = Check {
    id: "dialect_is_the_recorded_one",
    claim: "the owner gateway speaks the dialect in which the record was read",
    facts: &[FactName::Record, FactName::OwnerGateway],
    reasons: &["DIALECT_DIFFERS"],
    decide: |limits, evidence| {
        let record = record(limits, evidence)?;
        let live = gateway(limits, evidence)?.dialect;
        let spec = record.spec.as_ref().map(|spec| spec.dialect);
        let policy = record.policy.as_ref().map(|policy| policy.dialect);
        match [spec, policy].into_iter().flatten().find(|recorded| *recorded != live) {
            Some(recorded) => Err(Denial::DialectDiffers { recorded, live }),
            None => Ok(()),
        }
    },
};

fn gateway<'e>(limits: &Limits, evidence: &'e Evidence) -> Result<&'e Gateway, Denial> {
    evidence.gateway.fresh(FactName::OwnerGateway, evidence.now, limits)
}

fn record<'e>(limits: &Limits, evidence: &'e Evidence) -> Result<&'e Record, Denial> {
    evidence.record.fresh(FactName::Record, evidence.now, limits)
}
