//! Guards about what a recreate is made from. They hold before anything is touched, so that nothing can be missing after.

use crate::{
    Check, Denial, Evidence, Limits,
    denial::RecordPart,
    evidence::{ProviderState, Record},
    fact::FactName,
};

/// The recorded spec can be opened, and the gateway takes its size.
pub(super) const SPEC_CAN_BE_REPLAYED: Check<Evidence> = Check {
    id: "spec_can_be_replayed",
    claim: "the recorded spec can be opened and is within the gateway's limits",
    facts: &[FactName::Record],
    reasons: &["MATERIAL_SEALED", "MATERIAL_TOO_LARGE", "RECORD_INCOMPLETE"],
    decide: |limits, evidence| {
        let Some(spec) = &record(limits, evidence)?.spec else {
            return Err(Denial::RecordIncomplete { part: RecordPart::Spec });
        };
        replayable(RecordPart::Spec, spec.openable, spec.size_bytes, limits.max_spec_bytes)
    },
};

/// Without the recorded policy a gateway falls back to one of its own, which may be wider.
pub(super) const POLICY_CAN_BE_REPLAYED: Check<Evidence> = Check {
    id: "policy_can_be_replayed",
    claim: "the recorded policy can be opened and is within the gateway's limits",
    facts: &[FactName::Record],
    reasons: &["MATERIAL_SEALED", "MATERIAL_TOO_LARGE", "RECORD_INCOMPLETE"],
    decide: |limits, evidence| {
        let Some(policy) = &record(limits, evidence)?.policy else {
            return Err(Denial::RecordIncomplete { part: RecordPart::Policy });
        };
        replayable(RecordPart::Policy, policy.openable, policy.size_bytes, limits.max_policy_bytes)
    },
};

/// A recreate with a provider missing is refused by the gateway; one with another provider is another sandbox.
pub(super) const PROVIDERS_ARE_USABLE: Check<Evidence> = Check {
    id: "providers_are_usable",
    claim: "every recorded provider exists on the owner gateway, and no credential is known to have run out",
    facts: &[FactName::Record, FactName::Providers],
    reasons: &["PROVIDER_EXPIRED", "PROVIDER_MISSING", "RECORD_INCOMPLETE"],
    decide: |limits, evidence| {
        let Some(spec) = &record(limits, evidence)?.spec else {
            return Err(Denial::RecordIncomplete { part: RecordPart::Spec });
        };
        let seen = evidence.providers.fresh(FactName::Providers, evidence.now, limits)?;
        for wanted in &spec.summary.providers {
            let missing = || Denial::ProviderMissing { provider: wanted.clone() };
            let provider = seen.iter().find(|p| p.name == *wanted).ok_or_else(missing)?;
            match provider.state {
                ProviderState::Missing => return Err(missing()),
                ProviderState::Existing { expires: Some(at) } if at <= evidence.now => {
                    return Err(Denial::ProviderExpired { provider: wanted.clone(), at });
                }
                ProviderState::Existing { .. } => {}
            }
        }
        Ok(())
    },
};

fn replayable(part: RecordPart, openable: bool, size_bytes: u64, max: u64) -> Result<(), Denial> {
    if !openable {
        return Err(Denial::MaterialSealed { part });
    }
    if size_bytes > max {
        return Err(Denial::MaterialTooLarge { part, size_bytes, max_bytes: max });
    }
    Ok(())
}

fn record<'e>(limits: &Limits, evidence: &'e Evidence) -> Result<&'e Record, Denial> {
    evidence.record.fresh(FactName::Record, evidence.now, limits)
}
