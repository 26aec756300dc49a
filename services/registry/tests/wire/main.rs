//! The registry over its real wire, on loopback.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests too")]

mod gateways;
mod input;
mod laws;
mod leases;
mod lists;
mod material;
mod records;
mod replicas;
mod rules;
mod serving;
mod snapshots;
mod storage;
mod support;
mod watches;
