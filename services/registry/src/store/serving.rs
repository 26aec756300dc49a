//! Which adapter may change what is on a gateway.
//!
//! Invariant: it is a lease like a record's, kept under the gateway's name, so at most one epoch is current, and epochs rise for
//! ever: past expiries, restarts, and the gateway's own removal. Deliberately absent: choosing an adapter.

use std::time::Duration;

use futures::FutureExt;
use salvor_proto::registry::v1::{GatewayHeartbeat, Lease, ServingLease};
use salvor_proto::time::timestamp;
use salvor_runtime::database::Connection;

use super::{Store, gateways, leases};
use crate::error::Error;

// === impl Store ===

impl Store {
    /// Gives the serving lease of a registered gateway to `holder` under a new epoch.
    pub(crate) async fn acquire_serving(
        &self,
        gateway: String,
        holder: String,
        ttl: Duration,
    ) -> Result<ServingLease, Error> {
        let given = self.write(move |txn| {
            async move {
                gateways::must_be_known(txn.connection().await?, &gateway).await?;
                txn.give(gateway, holder, ttl).await
            }
            .boxed()
        });
        given.await.map(serving).map_err(served)
    }

    /// Moves the end of a serving lease that is held to `ttl` from now.
    pub(crate) async fn renew_serving(
        &self,
        gateway: String,
        epoch: i64,
        ttl: Duration,
    ) -> Result<ServingLease, Error> {
        let renewed = self.write(move |txn| {
            async move {
                // One that was removed and registered again is served anew.
                gateways::must_be_known(txn.connection().await?, &gateway).await?;
                txn.renew(gateway, epoch, ttl).await
            }
            .boxed()
        });
        renewed.await.map(serving)
    }
}

/// Lets a heartbeat pass that comes under the lease held, and any while none is held.
pub(super) async fn check_speaker(
    connection: &mut Connection,
    gateway: &str,
    heartbeat: &GatewayHeartbeat,
    now_ms: u64,
) -> Result<(), Error> {
    let held = leases::find(connection, gateway).await?.filter(|held| held.expire_ms > now_ms);
    match held {
        Some(held) if held.fence_token != heartbeat.serving_epoch => {
            Err(Error::GatewayServedElsewhere {
                name: gateway.into(),
                holder: held.holder,
                expire_time: timestamp(held.expire_ms),
                remaining: Duration::from_millis(held.expire_ms - now_ms),
            })
        }
        _ => Ok(()),
    }
}

fn serving(lease: Lease) -> ServingLease {
    ServingLease {
        gateway: lease.sandbox,
        holder: lease.holder,
        epoch: lease.fence_token,
        expire_time: lease.expire_time,
    }
}

fn served(error: Error) -> Error {
    match error {
        Error::LeaseHeld { name, holder, expire_time, remaining } => {
            Error::GatewayServedElsewhere { name, holder, expire_time, remaining }
        }
        error => error,
    }
}
