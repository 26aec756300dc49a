//! What an effect needs besides a permit that fits: the newest fence token of its sandbox, and the gateway's serving lease.
//!
//! Invariant: a token is on disk before anything is sent under it, so that a restart fences nobody off less than before; and
//! nothing is sent to a gateway that another adapter may serve by now. Both are asked for again right before sending. What
//! remains is the time between that look and the gateway's own, which no gateway closes: it takes no token.

mod fences;
mod serving;

use std::path::PathBuf;
use std::sync::Arc;
#[cfg(test)]
use std::time::Duration;

use salvor_core::name::RecordName;
use salvor_proto::Error;
use salvor_runtime::Clock;

pub(crate) use fences::Fences;
pub(crate) use serving::{Elsewhere, Serving};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Authority {
    /// The tokens seen.
    pub(crate) fences: Fences,
    /// The gateways served.
    pub(crate) serving: Serving,
}

// === impl Authority ===

impl Authority {
    /// Keeps tokens in `directory`, or as long as the process lives, and serves nothing yet.
    pub(crate) fn new(directory: Option<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self { fences: Fences::kept_in(directory), serving: Serving::new(clock) }
    }

    /// One that serves a gateway for longer than any test takes.
    #[cfg(test)]
    pub(crate) fn over(gateway: &str) -> Self {
        let authority = Self::default();
        let (serving, hour) = (&authority.serving, Duration::from_hours(1));
        serving.held(gateway, 1, serving.now(), hour);
        authority
    }

    /// Lets an effect on a sandbox of a gateway begin, and fences off every older token of it.
    ///
    /// # Errors
    /// FENCED; another adapter serves the gateway, or it is not sure that none does; the tokens cannot be kept. Nothing was
    /// sent.
    pub(crate) async fn admit(&self, target: &RecordName, token: i64) -> Result<(), Error> {
        let gateway = target.owner().to_string();
        self.serving.settled(&gateway).await;
        self.serving.check(&gateway)?;
        self.fences.raise(target, token).await
    }

    /// Lets it go on, right before something is sent.
    ///
    /// # Errors
    /// As for [`admit`](Self::admit).
    pub(crate) fn check(&self, target: &RecordName, token: i64) -> Result<(), Error> {
        self.serving.check(&target.owner().to_string())?;
        self.fences.check(target, token)
    }
}
