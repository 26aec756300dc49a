//! The recovery-orchestrator: plans, decides, runs recoveries, and answers why.
//!
//! It keeps one thing, the [`journal`]; all else it asks of the registry and of the gateway-adapters at the time it needs
//! it. [`decide`] is the one place that decides, [`runner`] the one that runs. Deliberately absent: any vendor message, any
//! cache of what a gateway said, any path to an effect that does not come from an allowed plan.

pub mod adopt;
pub mod collect;
pub mod config;
pub mod decide;
pub mod engine;
pub mod folded;
mod grpc;
pub mod journal;
pub mod obstacle;
mod perform;
pub mod ports;
pub mod runner;
pub mod schedule;
mod serve;
pub mod status;
pub mod view;
pub mod words;

pub use config::Config;
pub use serve::{Error, Orchestrator};

/// The port on loopback where an orchestrator listens unless told otherwise.
pub const DEFAULT_PORT: u16 = 7302;
