//! How a copy's events read.

use super::Event;
use crate::saga::Narrate;

impl Narrate for Event {
    fn step(&self) -> Option<&'static str> {
        Some(match self {
            Self::Begun { .. } | Self::RecordChanged => "begin",
            Self::Capture(event) => return event.step(),
            Self::CreateIntended
            | Self::Created(_)
            | Self::CreateRefused(_)
            | Self::CreateDoubtful(_) => "create",
            Self::Adopted(_) | Self::NotCreated | Self::Stranger(_) => "resolve_create",
            Self::BecameReady { .. } | Self::NeverReady(_) | Self::Vanished => "await_ready",
            Self::Refill(event) => return event.step(),
            Self::GaveUp(_) => "give_up",
            Self::Proof(proof) => return proof.step(),
            Self::RegisterIntended | Self::Registered => "register",
            Self::RemoveIntended | Self::RemoveDoubtful(_) => "remove_copy",
            Self::Removed | Self::StillThere => "resolve_remove",
            Self::Noted => "note",
            Self::Cancelled | Self::Parked(_) | Self::Resumed => return None,
        })
    }

    fn outcome(&self) -> &'static str {
        match self {
            Self::Begun { .. } => "begun",
            Self::RecordChanged => "record_changed",
            Self::Cancelled => "cancelled",
            Self::Capture(event) => event.outcome(),
            Self::CreateIntended | Self::RegisterIntended | Self::RemoveIntended => "intended",
            Self::Created(_) => "created",
            Self::Adopted(_) => "adopted",
            Self::CreateRefused(_) => "refused",
            Self::CreateDoubtful(_) | Self::RemoveDoubtful(_) => "doubtful",
            Self::NotCreated => "not_created",
            Self::Stranger(_) => "stranger",
            Self::BecameReady { .. } => "ready",
            Self::NeverReady(_) => "failed",
            Self::Vanished => "vanished",
            Self::Refill(event) => event.outcome(),
            Self::GaveUp(_) => "gave_up",
            Self::Proof(proof) => proof.outcome(),
            Self::Registered => "registered",
            Self::Removed => "removed",
            Self::StillThere => "still_there",
            Self::Noted => "noted",
            Self::Parked(_) => "parked",
            Self::Resumed => "resumed",
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::Begun { from: Some(from), .. } => from.to_string(),
            Self::Created(live) | Self::Adopted(live) | Self::Stranger(live) => live.to_string(),
            Self::Capture(event) => event.detail(),
            Self::Refill(event) => event.detail(),
            Self::CreateRefused(cause)
            | Self::CreateDoubtful(cause)
            | Self::GaveUp(cause)
            | Self::RemoveDoubtful(cause) => cause.sentence().to_owned(),
            Self::NeverReady(failed) => failed.to_string(),
            Self::Proof(proof) => proof.detail(),
            Self::Parked(why) => why.to_string(),
            Self::Begun { from: None, .. }
            | Self::RecordChanged
            | Self::Cancelled
            | Self::CreateIntended
            | Self::NotCreated
            | Self::BecameReady { .. }
            | Self::Vanished
            | Self::RegisterIntended
            | Self::Registered
            | Self::RemoveIntended
            | Self::Removed
            | Self::StillThere
            | Self::Noted
            | Self::Resumed => String::new(),
        }
    }
}
