//! The registry over its real wire, on loopback.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod records;
mod support;
