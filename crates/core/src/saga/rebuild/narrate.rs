//! How a rebuild's events read.

use super::Event;
use crate::saga::{Cause, Narrate};

impl Narrate for Event {
    fn step(&self) -> Option<&'static str> {
        Some(match self {
            Self::ClaimIntended | Self::Claimed { .. } | Self::ClaimLost => "claim",
            Self::Capture(event) => return event.step(),
            Self::DeleteIntended
            | Self::Deleted
            | Self::DeleteRefused(_)
            | Self::DeleteDoubtful(_) => "delete",
            Self::StillThere => "resolve_delete",
            Self::CreateIntended
            | Self::Created(_)
            | Self::CreateRefused(_)
            | Self::CreateDoubtful(_) => "create",
            Self::Adopted(_) | Self::NotCreated => "resolve_create",
            Self::BecameReady { .. } | Self::NeverReady(_) | Self::Vanished => "await_ready",
            Self::RemoveIntended | Self::RemoveDoubtful(_) => "remove_created",
            Self::Removed => "resolve_remove",
            Self::Refill(event) => return event.step(),
            Self::Proof(proof) => return proof.step(),
            Self::Committed => "commit",
            Self::RecordRestored => "restore_record",
            Self::Cancelled | Self::Parked(_) | Self::Resumed => return None,
        })
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::ClaimIntended
            | Self::DeleteIntended
            | Self::CreateIntended
            | Self::RemoveIntended => "intended",
            Self::Claimed { .. } => "claimed",
            Self::ClaimLost => "record_changed",
            Self::Cancelled => "cancelled",
            Self::Capture(event) => event.outcome(),
            Self::Deleted => "deleted",
            Self::DeleteRefused(Cause::WorkspaceChanged) => "changed",
            Self::DeleteRefused(_) | Self::CreateRefused(_) => "refused",
            Self::DeleteDoubtful(_) | Self::CreateDoubtful(_) | Self::RemoveDoubtful(_) => {
                "doubtful"
            }
            Self::StillThere => "still_there",
            Self::Created(_) => "created",
            Self::Adopted(_) => "adopted",
            Self::NotCreated => "not_created",
            Self::BecameReady { .. } => "ready",
            Self::NeverReady(_) => "failed",
            Self::Vanished => "vanished",
            Self::Removed => "removed",
            Self::Refill(event) => event.outcome(),
            Self::Proof(proof) => proof.outcome(),
            Self::Committed => "committed",
            Self::RecordRestored => "restored",
            Self::Parked(_) => "parked",
            Self::Resumed => "resumed",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Capture(event) => event.detail(),
            Self::Refill(event) => event.detail(),
            Self::Proof(proof) => proof.detail(),
            Self::Created(live) | Self::Adopted(live) => live.to_string(),
            Self::DeleteRefused(cause)
            | Self::DeleteDoubtful(cause)
            | Self::CreateRefused(cause)
            | Self::CreateDoubtful(cause)
            | Self::RemoveDoubtful(cause) => cause.sentence().to_owned(),
            Self::NeverReady(failed) => failed.to_string(),
            Self::Parked(why) => why.to_string(),
            Self::ClaimIntended
            | Self::Claimed { .. }
            | Self::ClaimLost
            | Self::Cancelled
            | Self::DeleteIntended
            | Self::Deleted
            | Self::StillThere
            | Self::CreateIntended
            | Self::NotCreated
            | Self::BecameReady { .. }
            | Self::Vanished
            | Self::RemoveIntended
            | Self::Removed
            | Self::Committed
            | Self::RecordRestored
            | Self::Resumed => String::new(),
        }
    }
}
