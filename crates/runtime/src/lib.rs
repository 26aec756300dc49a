//! What every salvor process shares: serving, calling, telemetry, databases, configuration, shutdown.
//!
//! Invariant: nothing here knows a sandbox, a record or a gateway, and nothing here decides. RPC
//! spans are opened in [`rpc`] and nowhere else.
//!
//! Deliberately absent: retries of what may have had an effect (only its caller can tell),
//! authorisation by role, and any salvor protobuf.

pub mod backoff;
pub mod channel;
pub mod clock;
pub mod config;
pub mod database;
pub mod lock;
pub mod rpc;
pub mod server;
pub mod shutdown;
pub mod telemetry;
pub mod tls;

pub use channel::TracedChannel;
pub use clock::{Clock, ManualClock, OffsetClock, SystemClock, Timestamp};
pub use lock::{Lock, LockError};
pub use server::Server;
pub use shutdown::{Shutdown, Tasks};
