//! A development gateway: `openshell.v1` over real processes and directories on this host.
//!
//! It speaks either of OpenShell's two dialects over a real wire and keeps a real gateway's
//! habits, the bad ones included, at a scaled pace. Each sandbox is a directory and the
//! processes that carry its mark, or a container ([`Driver`]). It can be told to misbehave, and it logs every call.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use salvor_devgateway::{Config, DevGateway, Fault, Phase};
//! use std::time::Duration;
//!
//! let gateway = DevGateway::start(Config {
//!     data_dir: "target/devgateway".into(),
//!     time_scale: 0.02,
//!     ..Config::default()
//! })
//! .await?;
//! let control = gateway.control();
//! // … a client creates "agent-1" at gateway.uri() …
//! control.wait_phase("agent-1", Phase::Ready, Duration::from_secs(5)).await;
//! control.fault(Fault::fail("GetSandbox", tonic::Code::Unavailable, "down").times(1));
//! control.lose("agent-1").await?;
//! control.wait_absent("agent-1", Duration::from_secs(5)).await;
//! assert!(control.mutating_calls().iter().all(|call| call.method == "CreateSandbox"));
//! gateway.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! Invariants: ending the gateway leaves no process behind; a row and its container are separate
//! things; the two dialects translate and decide nothing.
//!
//! Deliberately absent: isolation of any kind, policy enforcement, logs and platform events in
//! watches, terminals, SSH sessions, services, templates, and global configuration. What is not
//! served says UNIMPLEMENTED. It is for development and tests, on one machine.

mod calls;
mod config;
mod control;
mod core;
mod dialect;
mod driver;
mod exec;
mod faults;
mod gateway;
mod process;
mod refusal;
mod server;
mod tls;
pub mod user;
mod watching;
mod world;

pub use crate::calls::{Call, CreateFacts};
pub use crate::config::{Auth, Config, Dialect, DockerDriver, Driver, Identity, Tls};
pub use crate::control::{Control, Error as ControlError, Order, Restart, SandboxView};
pub use crate::core::Health;
pub use crate::faults::{Effect, Fault};
pub use crate::gateway::{DevGateway, Error, Running};
pub use crate::world::phase::Phase;
pub use crate::world::{Deed, DeedKind};
