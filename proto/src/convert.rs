//! Between the wire and the domain.
//!
//! Into the domain is `TryFrom`-like and refuses what the domain has no word for, naming the field; out of it is total.

mod observation;
mod record;
mod recovery;

pub use observation::{
    cause, effect, gateway_fact, live_fact, providers_fact, unknown_reason, why,
};
pub use record::{posture, record};
pub use recovery::{RecordedDecision, decision, part};
