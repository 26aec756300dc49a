//! The record, broken.

use salvor_core::{Denial, Evidence, denial::RecordPart, evidence::RecordState};

use super::{Case, case};
use crate::guards::good::record_of;

pub(super) fn about_the_record() -> Vec<Case> {
    let not_active = |state, sentence, spoil| {
        let denial = Denial::RecordNotActive { state };
        case("record_is_active", denial, "RECORD_NOT_ACTIVE", sentence, spoil)
    };
    vec![
        not_active(RecordState::Recovering, "the record is held by a recovery", |e| {
            record_of(e).state = RecordState::Recovering;
        }),
        not_active(RecordState::Destroying, "the record is held by a destroy", |e| {
            record_of(e).state = RecordState::Destroying;
        }),
        not_active(
            RecordState::Destroyed,
            "the record is a tombstone: the sandbox was destroyed on purpose",
            |e| record_of(e).state = RecordState::Destroyed,
        ),
        case(
            "record_names_one_agent",
            Denial::SeveralAgents { count: 2 },
            "SEVERAL_AGENTS",
            "the record names 2 agents; a recovery brings back one",
            |e| record_of(e).agents.push("codex".into()),
        ),
        incomplete("record_names_one_agent", RecordPart::Agent, "the record holds no agent", |e| {
            record_of(e).agents.clear();
        })
        .also(&["record_is_complete"]),
    ]
}

fn incomplete(
    guard: &'static str,
    part: RecordPart,
    sentence: &'static str,
    spoil: fn(&mut Evidence),
) -> Case {
    case(guard, Denial::RecordIncomplete { part }, "RECORD_INCOMPLETE", sentence, spoil)
}

pub(super) fn about_what_it_lacks() -> Vec<Case> {
    use RecordPart::{Agent, GatewayIdentity, LiveId, Policy, Spec};
    let no_id = "the record holds no id of a sandbox that was live";
    vec![
        incomplete("record_is_complete", LiveId, no_id, |e| record_of(e).live_id = None).also(&[
            "sandbox_is_the_recorded_one",
            "chosen_snapshot_fits",
            "workspace_can_be_saved",
        ]),
        incomplete(
            "record_is_complete",
            GatewayIdentity,
            "the record holds no identity of its owner gateway",
            |e| record_of(e).identity.store_id = None,
        )
        .also(&["owner_gateway_is_the_recorded_one"]),
        incomplete("record_is_complete", Agent, "the record holds no agent", |e| {
            record_of(e).agents.clear();
        })
        .also(&["record_names_one_agent"]),
        incomplete("record_is_complete", Spec, "the record holds no spec", |e| {
            record_of(e).spec = None;
        })
        .also(&["spec_can_be_replayed", "providers_are_usable"]),
        incomplete("record_is_complete", Policy, "the record holds no policy", |e| {
            record_of(e).policy = None;
        })
        .also(&["policy_can_be_replayed"]),
        incomplete("spec_can_be_replayed", Spec, "the record holds no spec", |e| {
            record_of(e).spec = None;
        })
        .also(&["record_is_complete", "providers_are_usable"]),
        incomplete("policy_can_be_replayed", Policy, "the record holds no policy", |e| {
            record_of(e).policy = None;
        })
        .also(&["record_is_complete"]),
        incomplete("providers_are_usable", Spec, "the record holds no spec", |e| {
            record_of(e).spec = None;
        })
        .also(&["record_is_complete", "spec_can_be_replayed"]),
        incomplete("sandbox_is_the_recorded_one", LiveId, no_id, |e| record_of(e).live_id = None)
            .also(&["record_is_complete", "chosen_snapshot_fits", "workspace_can_be_saved"]),
        incomplete("sandbox_can_be_read", LiveId, no_id, |e| record_of(e).live_id = None),
        incomplete("name_is_free_or_ours", LiveId, no_id, |e| record_of(e).live_id = None),
    ]
}
