//! What to do after each refusal. It must work in the state that the refusal was made in.

use super::Error;

const LIST: &str = "salvor list";
const GATEWAYS: &str = "salvor gateways list";
const ADD_KEY: &str = "add the key back to the file of --seal-key-file (the first key seals, all \
                       open) and restart the registry";
const HEAL: &str = "RestoreEntry from a snapshot of this record, under the etag given here";
const RENEW_MATERIAL: &str = "RestoreEntry from a snapshot, or UpdateSandbox with spec and policy \
                              as the live sandbox has them";
const REREGISTER: &str =
    "salvor gateways add, with what it was; that takes the place of the damaged row";

/// The step after `error`; none where the error itself brings it, or where there is nothing to do but wait.
pub(super) fn next_step(error: &Error) -> Option<String> {
    let step = match error {
        Error::SandboxExists { name } | Error::LeaseHeld { name, .. } => {
            return Some(format!("salvor status {name}"));
        }
        Error::InRecovery { name, .. } => {
            return Some(format!(
                "salvor recoveries list --sandbox {name} --open # wait for it or cancel it, then ask again"
            ));
        }
        Error::SandboxNotFound { .. }
        | Error::SandboxDestroyed { .. }
        | Error::GatewayInUse { .. }
        | Error::DefaultUnset => LIST,
        Error::GatewayNotFound { .. }
        | Error::GatewayExists { .. }
        | Error::GatewayAssignedElsewhere { .. }
        | Error::GatewayServedElsewhere { .. } => GATEWAYS,
        Error::GatewayNotRegistered { .. } => "salvor gateways add",
        Error::EtagMismatch { .. } => "read it again, and repeat the change on what it says now",
        Error::Fenced { .. } | Error::LeaseLost { .. } => {
            "stop; to go on, AcquireLease again and look at the record before writing"
        }
        Error::FenceTokenRequired { .. } => "AcquireLease, and call again with its fence_token",
        Error::RequestIdReused { .. } => "call again with a fresh UUID as request_id",
        Error::Compacted { .. } | Error::Ahead { .. } => {
            "ListSandboxes from its first page, then watch from its revision"
        }
        Error::Unreadable { .. } => HEAL,
        Error::GatewayUnreadable { .. } => REREGISTER,
        Error::KeyMissing { .. } => ADD_KEY,
        Error::MaterialDamaged { .. } => RENEW_MATERIAL,
        Error::SnapshotAltered { .. } => "SnapshotEntry again, and restore what it answers",
        Error::SnapshotOfOther { .. } => {
            "salvor list; that record was destroyed and its name reused"
        }
        Error::Request(_) | Error::Storage { .. } | Error::Seal(_) | Error::Defect(_) => {
            return None;
        }
    };
    Some(step.to_owned())
}
