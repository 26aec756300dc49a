//! Between the wire and the domain.
//!
//! Into the domain is `TryFrom`-like and refuses what the domain has no word for, naming the field; out of it is total.

mod observation;
mod record;
mod recovery;
mod workspace;

pub use observation::{
    cause, effect, gateway_fact, live_fact, providers_fact, unknown_fact, unknown_reason, why,
};
pub use record::{posture, record, snapshot_rules};
pub use recovery::{RecordedDecision, decision, part};
pub use workspace::{channel, compute_fact, gap, mode, retention, saved, snapshot};
