//! The registry service: the durable record of every sandbox, revisions, leases and watch.
//!
//! Invariant: what the registry answers is what one committed transaction wrote, and secret bytes leave it through
//! OpenSandboxMaterial alone. Deliberately absent: any call to a gateway, and any opinion on what a record should say.
//!
//! [`serve()`] runs the service on a listener; [`Registry`] adds it to a server that carries others as well.

mod config;
mod error;
mod grpc;
mod page;
mod record;
mod seal;
mod serve;
mod store;
mod watch;

pub use error::NextStep;

pub use config::{Config, DEFAULT_PORT, KeySource};
pub use seal::KeyRing;
pub use serve::{Error, Registry, serve};
