//! Keeping a recovery's lease while it is at work, and giving it back.

use std::time::Duration;

use salvor_core::name::RecordName;
use salvor_proto::Error;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::{collect::World, ports::Lease, runner::Run};

/// Giving back is a courtesy: a lease that is not given back runs out.
const GIVE_BACK: Duration = Duration::from_secs(2);

/// Keeps a recovery's lease. Returns only once it is lost, or may be; the run is told.
pub(super) async fn keep(run: &Run) {
    let error = renew(&run.world, run.target(), run.lease).await;
    warn!(recovery = %run.name(), %error, "the lease is lost; the recovery stops here");
    run.fenced.cancel();
}

/// Renews a lease three times within its time. Returns only once it is lost, or may be, with the reason.
pub(super) async fn renew(world: &World, of: &RecordName, lease: Lease) -> Error {
    let ttl = world.config.lease_ttl;
    let mut renewed = Instant::now();
    loop {
        sleep(ttl / 3).await;
        match world.registry.renew(of, lease, ttl).await {
            Ok(()) => renewed = Instant::now(),
            Err(error) if error.reason() == "LEASE_LOST" || renewed.elapsed() >= ttl => {
                return error;
            }
            Err(error) => warn!(sandbox = %of, %error, "the lease could not be renewed yet"),
        }
    }
}

/// Gives the lease back.
pub(super) async fn give_back(run: &Run) {
    let released = run.world.registry.release(run.target(), run.lease);
    match timeout(GIVE_BACK, released).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(recovery = %run.name(), %error, "the lease was not given back"),
        Err(_) => warn!(recovery = %run.name(), "the lease was not given back in time"),
    }
}
