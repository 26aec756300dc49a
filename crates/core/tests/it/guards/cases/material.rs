//! What a recreate is made from, and what a destroy loses, broken.

use salvor_core::{
    Denial, Evidence, Fact, FactName, Timestamp, Why,
    denial::RecordPart,
    evidence::{Posture, ProviderState},
};

use super::{Case, case};
use crate::guards::good::{NOW, ago, record_of};

pub(super) fn about_material() -> Vec<Case> {
    vec![
        case(
            "spec_can_be_replayed",
            Denial::MaterialSealed { part: RecordPart::Spec },
            "MATERIAL_SEALED",
            "the registry does not hold the key that opens the spec",
            |e| record_of(e).spec.as_mut().unwrap().openable = false,
        ),
        case(
            "spec_can_be_replayed",
            Denial::MaterialTooLarge {
                part: RecordPart::Spec,
                size_bytes: 983_041,
                max_bytes: 983_040,
            },
            "MATERIAL_TOO_LARGE",
            "the spec has 983041 bytes; the gateway takes 983040",
            |e| record_of(e).spec.as_mut().unwrap().size_bytes = 983_041,
        ),
        case(
            "policy_can_be_replayed",
            Denial::MaterialSealed { part: RecordPart::Policy },
            "MATERIAL_SEALED",
            "the registry does not hold the key that opens the policy",
            |e| record_of(e).policy.as_mut().unwrap().openable = false,
        ),
        case(
            "policy_can_be_replayed",
            Denial::MaterialTooLarge {
                part: RecordPart::Policy,
                size_bytes: 262_145,
                max_bytes: 262_144,
            },
            "MATERIAL_TOO_LARGE",
            "the policy has 262145 bytes; the gateway takes 262144",
            |e| record_of(e).policy.as_mut().unwrap().size_bytes = 262_145,
        ),
    ]
}

fn provider(evidence: &mut Evidence, name: &str, to: ProviderState) {
    let Fact::Known { value, .. } = &mut evidence.providers else { unreachable!() };
    value.iter_mut().find(|p| p.name.as_str() == name).unwrap().state = to;
}

pub(super) fn about_providers() -> Vec<Case> {
    let missing = |spoil| {
        case(
            "providers_are_usable",
            Denial::ProviderMissing { provider: "github".into() },
            "PROVIDER_MISSING",
            "provider github does not exist on the gateway",
            spoil,
        )
    };
    let expired = |at: Timestamp, spoil| {
        case(
            "providers_are_usable",
            Denial::ProviderExpired { provider: "anthropic".into(), at },
            "PROVIDER_EXPIRED",
            "a credential of provider anthropic has run out",
            spoil,
        )
    };
    vec![
        missing(|e| provider(e, "github", ProviderState::Missing)),
        missing(|e| match &mut e.providers {
            Fact::Known { value, .. } => value.retain(|p| p.name.as_str() != "github"),
            Fact::Unknown { .. } => unreachable!(),
        }),
        expired(NOW, |e| provider(e, "anthropic", ProviderState::Existing { expires: Some(NOW) })),
        expired(ago(5), |e| {
            provider(e, "anthropic", ProviderState::Existing { expires: Some(ago(5)) });
        }),
        case(
            "providers_are_usable",
            Denial::Unknown { fact: FactName::Providers, why: Why::DeadlineExceeded },
            "GATEWAY_DEADLINE_EXCEEDED",
            "the state of the providers is not known: the gateway did not answer in time",
            |e| e.providers = Fact::unknown(Why::DeadlineExceeded, "5 s"),
        ),
    ]
}

pub(super) fn about_losses() -> Vec<Case> {
    let not_accepted = |spoil| {
        case(
            "losses_are_accepted",
            Denial::DataLossNotAccepted,
            "DATA_LOSS_NOT_ACCEPTED",
            "it loses data, and the plan's losses have not been accepted",
            spoil,
        )
    };
    vec![
        not_accepted(|e| e.accepted_loss = None),
        not_accepted(|e| e.accepted_loss = Some("0000".into())),
        // Accepted for the record as it was; the posture has changed since.
        not_accepted(|e| record_of(e).posture = Posture::Unlocked),
    ]
}
