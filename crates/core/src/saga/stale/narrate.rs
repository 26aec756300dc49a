//! How a stale recovery's events read.

use super::Event;
use crate::saga::Narrate;

impl Narrate for Event {
    fn step(&self) -> Option<&'static str> {
        Some(match self {
            Self::ClaimIntended | Self::Claimed { .. } | Self::ClaimLost => "claim",
            Self::StopIntended | Self::Stopped | Self::StopRefused(_) | Self::StopDoubtful(_) => {
                "stop_leftover"
            }
            Self::Capture(event) => return event.step(),
            Self::Refill(event) => return event.step(),
            Self::CreateIntended
            | Self::Created(_)
            | Self::CreateRefused(_)
            | Self::CreateDoubtful(_) => "create",
            Self::Adopted(_) | Self::NotCreated | Self::Stranger(_) | Self::Returned => {
                "resolve_create"
            }
            Self::BecameReady { .. } | Self::NeverReady(_) | Self::Vanished => "await_ready",
            Self::Proof(proof) => return proof.step(),
            Self::Committed { .. } => "commit",
            Self::RemoveIntended | Self::RemoveDoubtful(_) => "remove_created",
            Self::Removed | Self::StillThere => "resolve_remove",
            Self::RecordRestored => "restore_record",
            Self::Cancelled | Self::Parked(_) | Self::Resumed => return None,
        })
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Claimed { .. } => "claimed",
            Self::ClaimLost => "record_changed",
            Self::Cancelled => "cancelled",
            Self::ClaimIntended
            | Self::StopIntended
            | Self::CreateIntended
            | Self::RemoveIntended => "intended",
            Self::Stopped => "stopped",
            Self::Capture(event) => event.outcome(),
            Self::Refill(event) => event.outcome(),
            Self::Created(_) => "created",
            Self::Adopted(_) => "adopted",
            Self::StopRefused(_) | Self::CreateRefused(_) => "refused",
            Self::StopDoubtful(_) | Self::CreateDoubtful(_) | Self::RemoveDoubtful(_) => "doubtful",
            Self::NotCreated => "not_created",
            Self::Stranger(_) => "stranger",
            Self::Returned => "returned",
            Self::BecameReady { .. } => "ready",
            Self::NeverReady(_) => "failed",
            Self::Vanished => "vanished",
            Self::Proof(proof) => proof.outcome(),
            Self::Committed { .. } => "committed",
            Self::Removed => "removed",
            Self::StillThere => "still_there",
            Self::RecordRestored => "restored",
            Self::Parked(_) => "parked",
            Self::Resumed => "resumed",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Created(live) | Self::Adopted(live) | Self::Stranger(live) => live.to_string(),
            Self::Capture(event) => event.detail(),
            Self::Refill(event) => event.detail(),
            Self::StopRefused(cause)
            | Self::StopDoubtful(cause)
            | Self::CreateRefused(cause)
            | Self::CreateDoubtful(cause)
            | Self::RemoveDoubtful(cause) => cause.sentence().to_owned(),
            Self::NeverReady(failed) => failed.to_string(),
            Self::Proof(proof) => proof.detail(),
            Self::Parked(why) => why.to_string(),
            Self::ClaimIntended
            | Self::Claimed { .. }
            | Self::ClaimLost
            | Self::Cancelled
            | Self::StopIntended
            | Self::Stopped
            | Self::CreateIntended
            | Self::NotCreated
            | Self::Returned
            | Self::BecameReady { .. }
            | Self::Vanished
            | Self::Committed { .. }
            | Self::RemoveIntended
            | Self::Removed
            | Self::StillThere
            | Self::RecordRestored
            | Self::Resumed => String::new(),
        }
    }
}
