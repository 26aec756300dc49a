//! Addresses that a service gets again after each start.
//!
//! They lie below those that the kernel gives out by itself: a port of that range can be taken by any connection while its
//! service is away, a connection to that very port included.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

use anyhow::{Context as _, Result};
use rand::RngExt as _;

/// None lower: other programs' own ports are there.
const LOWEST: u16 = 12_000;
const TRIES: usize = 1_000;

/// So many different ones that are free now.
pub(crate) fn free(count: usize) -> Result<Vec<SocketAddr>> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let highest = range.split_whitespace().next().and_then(|low| low.parse().ok());
    let highest: u16 = highest.filter(|low| *low > LOWEST + 1_000).unwrap_or(32_768);
    let mut held = Vec::new();
    for _ in 0..TRIES {
        if held.len() == count {
            break;
        }
        let port = rand::rng().random_range(LOWEST..highest);
        held.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    }
    let found: Vec<_> = held.iter().filter_map(|held| held.local_addr().ok()).collect();
    (found.len() == count).then_some(found).context("not enough free ports on loopback")
}
