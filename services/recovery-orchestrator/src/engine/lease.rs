//! Keeping a recovery's lease while it is at work, and giving it back.

use std::{future::Future, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use salvor_core::name::RecordName;
use salvor_proto::{Error, error::Code};
use tokio::time::{Instant, sleep_until, timeout};
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
    // One that was handed over was renewed on the way, though nobody wrote down when.
    let third_ago = Instant::now().checked_sub(ttl / 3).unwrap_or(lease.asked);
    let since = lease.asked.max(third_ago);
    go_on(ttl, since, of, || world.registry.renew(of, lease, ttl)).await
}

/// Asks for more until `ttl` has gone by since what was given last was asked for. A call that hangs is not waited for: the next one
/// is made when it is due, and whichever is answered counts.
async fn go_on<A>(
    ttl: Duration,
    mut since: Instant,
    of: &RecordName,
    mut ask: impl FnMut() -> A,
) -> Error
where
    A: Future<Output = Result<(), Error>>,
{
    let text = "the registry did not answer in time to renew a lease";
    let mut last = Error::new(Code::Unavailable, "REGISTRY_UNAVAILABLE", text);
    let mut asked_for = FuturesUnordered::new();
    let mut due = since + ttl / 3;
    loop {
        tokio::select! {
            biased;
            Some((asked, answer)) = asked_for.next() => match answer {
                Ok(()) => since = since.max(asked),
                Err(error) if is_lost(&error) => return error,
                Err(error) if asked > since => {
                    warn!(sandbox = %of, %error, "the lease could not be renewed yet");
                    last = error;
                    due = due.min(Instant::now().max(asked + ttl / 6));
                }
                // It has been renewed since.
                Err(_) => {}
            },
            () = sleep_until(since + ttl) => return last,
            () = sleep_until(due) => {
                let (asked, answer) = (Instant::now(), ask());
                due = asked + ttl / 3;
                asked_for.push(async move { (asked, answer.await) });
            }
        }
    }
}

fn is_lost(error: &Error) -> bool {
    error.reason() == "LEASE_LOST"
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

#[cfg(test)]
mod tests;
