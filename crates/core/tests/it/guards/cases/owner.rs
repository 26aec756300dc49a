//! The owner gateway, broken.

use salvor_core::{
    Denial, Fact, FactName, Why,
    denial::RecordPart,
    evidence::{Dialect, IdentityPart},
};

use super::{Case, case};
use crate::guards::{
    coverage::ms,
    good::{ago, gateway_of, record_of},
};

const ON_THE_GATEWAY: &[&str] = &[
    "owner_gateway_is_the_recorded_one",
    "owner_gateway_has_settled",
    "dialect_is_the_recorded_one",
];

pub(super) fn about_the_gateway() -> Vec<Case> {
    vec![
        case(
            "owner_gateway_answers",
            Denial::Unknown { fact: FactName::OwnerGateway, why: Why::Unavailable },
            "GATEWAY_UNAVAILABLE",
            "the owner gateway's state is not known: the gateway cannot be reached",
            |e| e.gateway = Fact::unknown(Why::Unavailable, "connection refused"),
        )
        .also(ON_THE_GATEWAY),
        case(
            "owner_gateway_answers",
            Denial::EvidenceTooOld {
                fact: FactName::OwnerGateway,
                age: ms(31_500),
                max_age: ms(30_000),
            },
            "EVIDENCE_TOO_OLD",
            "the owner gateway's state was seen 31.5 s ago, and may be 30.0 s old at most",
            |e| match &mut e.gateway {
                Fact::Known { at, .. } => *at = ago(31_500),
                Fact::Unknown { .. } => unreachable!(),
            },
        )
        .also(ON_THE_GATEWAY),
        case(
            "owner_gateway_has_settled",
            Denial::GatewayWarming { healthy_for: ms(4_999), required: ms(5_000) },
            "GATEWAY_WARMING",
            "the gateway has been healthy for 4.9 s; 5.0 s are required before an absence is believed",
            |e| gateway_of(e).healthy_since = ago(4_999),
        ),
        case(
            "dialect_is_the_recorded_one",
            Denial::DialectDiffers { recorded: Dialect::V0_0, live: Dialect::V0_1 },
            "DIALECT_DIFFERS",
            "the record was read from OpenShell 0.0.x, and the gateway speaks 0.1.x",
            |e| record_of(e).spec.as_mut().unwrap().dialect = Dialect::V0_0,
        ),
        case(
            "dialect_is_the_recorded_one",
            Denial::DialectDiffers { recorded: Dialect::V0_0, live: Dialect::V0_1 },
            "DIALECT_DIFFERS",
            "the record was read from OpenShell 0.0.x, and the gateway speaks 0.1.x",
            |e| record_of(e).policy.as_mut().unwrap().dialect = Dialect::V0_0,
        ),
        case(
            "dialect_is_the_recorded_one",
            Denial::DialectDiffers { recorded: Dialect::V0_1, live: Dialect::V0_0 },
            "DIALECT_DIFFERS",
            "the record was read from OpenShell 0.1.x, and the gateway speaks 0.0.x",
            |e| gateway_of(e).dialect = Dialect::V0_0,
        ),
    ]
}

pub(super) fn about_its_identity() -> Vec<Case> {
    let replaced = |part, sentence, spoil| {
        let denial = Denial::GatewayReplaced { part };
        case("owner_gateway_is_the_recorded_one", denial, "GATEWAY_REPLACED", sentence, spoil)
    };
    vec![
        replaced(
            IdentityPart::Store,
            "the gateway's store is not the one that the record was bound to",
            |e| gateway_of(e).identity.store_id = Some("store-2".to_owned()),
        ),
        replaced(
            IdentityPart::SigningKey,
            "the gateway's signing key is not the one that the record was bound to",
            |e| gateway_of(e).identity.signing_key_id = None,
        ),
        replaced(
            IdentityPart::Issuer,
            "the gateway's issuer is not the one that the record was bound to",
            |e| gateway_of(e).identity.issuer = Some(String::new()),
        ),
        replaced(
            IdentityPart::Authority,
            "the gateway's certificate authority is not the one that the record was bound to",
            |e| gateway_of(e).identity.ca_sha256 = Some("ca-2".into()),
        ),
        case(
            "owner_gateway_is_the_recorded_one",
            Denial::RecordIncomplete { part: RecordPart::GatewayIdentity },
            "RECORD_INCOMPLETE",
            "the record holds no identity of its owner gateway",
            |e| record_of(e).identity.store_id = None,
        )
        .also(&["record_is_complete"]),
    ]
}
