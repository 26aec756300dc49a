//! The gateway-adapter: the only part of salvor that speaks the vendor's API.
//!
//! It classifies every answer of a gateway once, speaks both of the vendor's dialects behind one
//! vocabulary, and refuses a mutation without a fitting permit, the newest fence token and the
//! gateway's serving lease.
//! Invariant: no answer is believed before a probe has chosen the dialect and compared the
//! gateway's identity with its pin. Deliberately absent: decisions and retries.
//!
//! [`serve()`] runs the service on a listener; [`Adapter`] adds it to a server that carries others.

mod authority;
mod canon;
mod classify;
mod config;
mod data;
mod dialect;
mod directory;
mod exec;
mod gateway;
mod grpc;
mod heartbeat;
mod inside;
mod layers;
mod look;
#[cfg(feature = "measure")]
pub mod measure;
mod merge;
mod mutate;
mod next_step;
mod observer;
mod operations;
mod permit;
mod policy;
mod posture;
mod repository_args;
mod runtime;
mod serve;
mod stamp;
mod store;
mod transport;
mod vendor;
mod view;
mod workspace;

pub use config::{Config, DEFAULT_ID, DEFAULT_PORT, DEFAULT_REGISTRY};
pub use data::{DataError, local_repository};
pub use gateway::Limits;
pub use next_step::NextStep;
pub use observer::Round;
pub use repository_args::{ReclaimArgs, RepositoryArgs};
pub use runtime::RuntimeSettings;
pub use serve::{Adapter, Error, serve};
pub use store::{Config as RepositoryConfig, PasswordSource, Reclaim};
