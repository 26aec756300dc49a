//! What tests and benchmarks share: a whole salvor over loopback, and a receiver of telemetry.
//!
//! Everything runs the services' own code on ports of its own, so that tests neither see nor wait for one another. Waits are
//! for conditions and bounded. Deliberately absent: assertions about salvor; those are the tests'.

pub mod cut;
pub mod disk;
pub mod docker;
pub mod fleet;
pub mod mounts;
pub mod otlp;
pub mod process;
pub mod store;
pub mod wait;

pub use fleet::{Fleet, Options};
pub use salvor_gateway_adapter::Reclaim;
