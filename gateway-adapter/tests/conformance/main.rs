//! The adapter over gRPC against gateways: one suite, generic over the target.
//!
//! Two targets are development gateways, one for each dialect. A third is a real gateway, named by
//! the environment: `SALVOR_TEST_GATEWAY_ENDPOINT`, and as needed `_MTLS_DIR` (ca.crt, tls.crt,
//! tls.key), `_TOKEN_FILE`, `_WORKSPACE` and `_IMAGE`. It is reported as skipped when unset. What
//! needs a hand behind the gateway (faults, losses) runs on the development gateways alone.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unnecessary_wraps,
    reason = "a test's helpers end it, and build requests' fields as they are"
)]

mod bench;
mod captures;
mod containers;
mod identity;
mod inside;
mod keeping;
mod life;
mod mutations;
mod observation;
mod policies;
mod restores;
mod target;
mod transport;
mod turns;
