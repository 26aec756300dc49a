//! salvor's protobuf API: generated messages, clients and servers, and what every service needs to speak them alike.
//!
//! Generated types stop at the services' `grpc` modules; the domain works with `salvor-core`'s types. Statuses are made
//! in [`error`] only, so that one closed set of codes and one table serve all three services.

pub mod convert;
pub mod error;
mod generated;
pub mod json;
mod redact;
pub mod time;

pub use error::Error;
pub use generated::{gateway, recovery, registry};

/// All of salvor's protos and what they import, encoded: what reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/salvor.bin"));
