//! The server and the channel over a real loopback connection.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod wire {
    mod drain;
    mod failover;
    mod limits;
    mod memory;
    mod spans;
    mod stopped;
    mod support;
    mod tls;
}
