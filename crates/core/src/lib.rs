//! The domain of salvor: what is known, what follows from it, and what may be done.
//!
//! Everything here is pure. There is no I/O, no async, no clock, no telemetry and no wire type; evidence carries the time
//! at which it was taken, and `now` is an input like any other.
//!
//! ```text
//! Evidence ──▶ verdict, path ──▶ guards (Check rows) ──▶ Plan ──▶ Approved ──▶ Permit
//!                                                          │
//!                                                          └────▶ a saga: events, a fold, and what comes next
//! ```

pub mod check;
pub mod denial;
pub mod evidence;
pub mod fact;
pub mod guards;
pub mod id;
pub mod name;
pub mod path;
pub mod permit;
pub mod plan;
pub mod retirement;
pub mod saga;
pub mod schedule;
pub mod shell;
pub mod time;

pub use check::{Check, Decision, GuardId, Limits};
pub use denial::Denial;
pub use evidence::Evidence;
pub use fact::{Fact, FactName, Why};
pub use path::{Path, Request, SagaKind, Verdict};
pub use permit::{Approved, EffectKind, Permit};
pub use plan::{Plan, Planned};
pub use time::Timestamp;
