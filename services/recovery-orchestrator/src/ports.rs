//! The two services that the orchestrator calls, each behind one type.
//!
//! A method is one call. It never repeats itself: only the runner knows what may be repeated. Destructive methods take a
//! [`Permit`](salvor_core::Permit) by value. Cancellation: dropping a call's future gives up on its answer; whether it
//! took effect is then unknown, as after a lost reply.

mod adapter;
mod causes;
mod registry;
mod snapshots;
mod workspaces;

pub(crate) use causes::of_repository;

pub use adapter::{Adapter, Adapters, Observation, SealedView};
pub use registry::{Lease, Registry};
pub use workspaces::{Ended, Filling, Progress, Pruning, Reading};
