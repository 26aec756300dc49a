//! The guards, and the table of those that each path needs.
//!
//! Every guard reaches its facts through [`Fact::fresh`](crate::Fact::fresh), so that unknown or old evidence refuses before
//! anything else is looked at. A guard states what must hold, never what may be skipped.

mod gateway;
mod material;
mod record;
mod sandbox;

use crate::{Check, Evidence, path::SagaKind};

/// The rows that a recreate of a lost sandbox needs.
pub const STALE_RECOVERY: &[Check<Evidence>] = &[
    gateway::OWNER_GATEWAY_ANSWERS,
    gateway::OWNER_GATEWAY_IS_THE_RECORDED_ONE,
    record::RECORD_IS_ACTIVE,
    record::RECORD_IS_COMPLETE,
    record::RECORD_NAMES_ONE_AGENT,
    sandbox::SANDBOX_IS_ABSENT,
    gateway::OWNER_GATEWAY_HAS_SETTLED,
    sandbox::ABSENCE_HAS_SETTLED,
    gateway::DIALECT_IS_THE_RECORDED_ONE,
    material::SPEC_CAN_BE_REPLAYED,
    material::POLICY_CAN_BE_REPLAYED,
    material::PROVIDERS_ARE_USABLE,
];

/// The rows that a start needs.
pub const REVIVE: &[Check<Evidence>] = &[
    gateway::OWNER_GATEWAY_ANSWERS,
    gateway::OWNER_GATEWAY_IS_THE_RECORDED_ONE,
    record::RECORD_IS_ACTIVE,
    record::RECORD_IS_COMPLETE,
    record::RECORD_NAMES_ONE_AGENT,
    sandbox::SANDBOX_IS_THE_RECORDED_ONE,
    sandbox::PHASE_CAN_BE_STARTED,
];

/// The rows that making a present sandbox anew needs. No workspace can be saved in this version, so the last one refuses
/// whenever there is a sandbox to lose.
pub const REBUILD: &[Check<Evidence>] = &[
    gateway::OWNER_GATEWAY_ANSWERS,
    gateway::OWNER_GATEWAY_IS_THE_RECORDED_ONE,
    record::RECORD_IS_ACTIVE,
    record::RECORD_IS_COMPLETE,
    record::RECORD_NAMES_ONE_AGENT,
    sandbox::SANDBOX_IS_THE_RECORDED_ONE,
    sandbox::PHASE_IS_AT_REST,
    gateway::DIALECT_IS_THE_RECORDED_ONE,
    material::SPEC_CAN_BE_REPLAYED,
    material::POLICY_CAN_BE_REPLAYED,
    material::PROVIDERS_ARE_USABLE,
    sandbox::WORKSPACE_IS_SAVED,
];

/// The rows that a destroy needs. A record that is incomplete can be destroyed too; one whose gateway cannot be asked cannot.
pub const DESTROY: &[Check<Evidence>] = &[
    gateway::OWNER_GATEWAY_ANSWERS,
    gateway::OWNER_GATEWAY_IS_THE_RECORDED_ONE,
    record::RECORD_IS_ACTIVE,
    sandbox::NAME_IS_FREE_OR_OURS,
    gateway::OWNER_GATEWAY_HAS_SETTLED,
    sandbox::ABSENCE_IF_ANY_HAS_SETTLED,
    sandbox::LOSSES_ARE_ACCEPTED,
];

/// The table of one saga.
pub const fn table(saga: SagaKind) -> &'static [Check<Evidence>] {
    match saga {
        SagaKind::StaleRecovery => STALE_RECOVERY,
        SagaKind::Revive => REVIVE,
        SagaKind::Rebuild => REBUILD,
        SagaKind::Destroy => DESTROY,
    }
}
