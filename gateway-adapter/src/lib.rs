//! The gateway-adapter: the only part of salvor that speaks the vendor's API.
//!
//! It classifies every answer of a gateway once, speaks both of the vendor's dialects behind one
//! vocabulary, and refuses a mutation without a fitting permit and the newest fence token.
//! Invariant: no answer is believed before a probe has chosen the dialect and compared the
//! gateway's identity with its pin. Deliberately absent: decisions, retries and any store.
//!
//! [`serve()`] runs the service on a listener; [`Adapter`] adds it to a server that carries others.

mod canon;
mod classify;
mod config;
mod dialect;
mod directory;
mod exec;
mod gateway;
mod grpc;
mod heartbeat;
mod inside;
mod layers;
mod look;
mod mutate;
mod observer;
mod permit;
mod policy;
mod posture;
mod serve;
mod stamp;
mod transport;
mod vendor;
mod view;

pub use config::{Config, DEFAULT_ID, DEFAULT_PORT, DEFAULT_REGISTRY};
pub use gateway::Limits;
pub use observer::Round;
pub use serve::{Adapter, Error, serve};
