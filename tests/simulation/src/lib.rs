//! Seeded, deterministic worlds that run the real services under faults, and the rules that must hold afterwards.
//!
//! One world is one process: registry, gateway-adapter, two orchestrators, a development gateway and a client, each on a
//! simulated host, over a simulated network, in simulated time. The same seed gives the same world, call by call. SQLite and
//! files are real and survive simulated crashes; store operations take no simulated time.
//!
//! Deliberately absent: workspaces and snapshots (what runs in a sandbox here is only remembered), TLS, and power loss.

mod checks;
mod client;
mod clocks;
mod history;
mod hosts;
mod network;
mod runner;
mod script;
mod trace;
mod world;

pub use checks::{Check, broken};
pub use history::History;
pub use runner::{Options, Report, run_many};
pub use script::Script;
pub use world::run;
