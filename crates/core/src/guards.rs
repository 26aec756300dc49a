//! The guards, and the table of those that each path needs.
//!
//! Every guard reaches its facts through [`Fact::fresh`](crate::Fact::fresh), so that unknown or old evidence refuses before
//! anything else is looked at. A guard states what must hold, never what may be skipped.

mod gateway;
mod material;
mod record;
mod sandbox;
mod workspace;

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
    workspace::SNAPSHOTS_ARE_KNOWN,
    workspace::CHOSEN_SNAPSHOT_FITS,
    workspace::COMPUTE_IS_KNOWN,
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

/// The rows that making a present sandbox anew needs. All that can be checked before the delete is, since nothing may refuse
/// after it.
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
    workspace::SNAPSHOTS_ARE_KNOWN,
    workspace::CHOSEN_SNAPSHOT_FITS,
    workspace::COMPUTE_IS_KNOWN,
    workspace::WORKSPACE_CAN_BE_SAVED,
    workspace::START_COMES_FIRST,
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

/// The rows that reading a workspace needs. It touches nothing but what the record's hooks touch.
pub const SNAPSHOT: &[Check<Evidence>] = &[
    gateway::OWNER_GATEWAY_ANSWERS,
    gateway::OWNER_GATEWAY_IS_THE_RECORDED_ONE,
    record::RECORD_IS_ACTIVE,
    workspace::SANDBOX_CAN_BE_READ,
];

/// The rows that writing a snapshot into its sandbox needs.
pub const RESTORE: &[Check<Evidence>] = &[
    gateway::OWNER_GATEWAY_ANSWERS,
    gateway::OWNER_GATEWAY_IS_THE_RECORDED_ONE,
    record::RECORD_IS_ACTIVE,
    sandbox::SANDBOX_IS_THE_RECORDED_ONE,
    workspace::SANDBOX_IS_LIVE,
    workspace::POSTURE_ALLOWS_WRITING,
    workspace::CONFIG_TO_MERGE_IS_DECLARED,
    workspace::CHOSEN_SNAPSHOT_FITS,
    workspace::SNAPSHOT_IS_THERE,
];

/// The rows that another sandbox, made from a record and a snapshot, needs.
pub const COPY: &[Check<Evidence>] = &[
    gateway::OWNER_GATEWAY_ANSWERS,
    gateway::OWNER_GATEWAY_IS_THE_RECORDED_ONE,
    record::RECORD_IS_ACTIVE,
    record::RECORD_IS_COMPLETE,
    record::RECORD_NAMES_ONE_AGENT,
    gateway::DIALECT_IS_THE_RECORDED_ONE,
    material::SPEC_CAN_BE_REPLAYED,
    material::POLICY_CAN_BE_REPLAYED,
    material::PROVIDERS_ARE_USABLE,
    workspace::CHOSEN_SNAPSHOT_FITS,
    workspace::SNAPSHOT_IS_THERE_OR_TAKEN,
    workspace::COPY_NAME_IS_FREE,
];

/// The rows that taking snapshots away needs. What goes by rule is chosen among what neither open recoveries nor the record name.
pub const PRUNE: &[Check<Evidence>] =
    &[record::RECORD_IS_ACTIVE, workspace::SNAPSHOTS_ARE_KNOWN, workspace::NAMED_SNAPSHOTS_CAN_GO];

/// The table of one saga.
pub const fn table(saga: SagaKind) -> &'static [Check<Evidence>] {
    match saga {
        SagaKind::StaleRecovery => STALE_RECOVERY,
        SagaKind::Revive => REVIVE,
        SagaKind::Rebuild => REBUILD,
        SagaKind::Destroy => DESTROY,
        SagaKind::Snapshot => SNAPSHOT,
        SagaKind::Restore => RESTORE,
        SagaKind::Copy => COPY,
        SagaKind::Prune => PRUNE,
    }
}
