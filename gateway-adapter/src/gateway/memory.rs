//! Since when a gateway has been healthy, without a gap.
//!
//! Invariant: every change of version or identity, every new connection, every failed probe and
//! every gap starts a new epoch; nothing that was concluded in one epoch counts in the next. A
//! gateway that restarts between two probes shows as nothing but a new connection.

use std::time::Duration;

use salvor_proto::registry::v1::GatewayIdentity;
use tokio::time::Instant;

use super::began::Began;

/// What is remembered of one gateway.
#[derive(Debug, Default)]
pub(super) struct Memory {
    epoch: u64,
    healthy: Option<Stretch>,
}

#[derive(Debug)]
struct Stretch {
    began: Began,
    seen: Instant,
    connections: u64,
    version: String,
    identity: GatewayIdentity,
}

/// A stretch of health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since {
    /// When it began.
    pub began: Began,
    /// Its number.
    pub epoch: u64,
}

// === impl Memory ===

impl Memory {
    /// A probe found the gateway healthy, over the connection of that number.
    pub(super) fn healthy(
        &mut self,
        connections: u64,
        version: &str,
        identity: &GatewayIdentity,
        now_ms: u64,
        gap: Duration,
    ) -> Since {
        let now = Instant::now();
        let goes_on = self.healthy.as_mut().filter(|stretch| {
            stretch.connections == connections
                && stretch.version == version
                && stretch.identity == *identity
                && now.duration_since(stretch.seen) <= gap
        });
        if let Some(stretch) = goes_on {
            stretch.seen = now;
            return Since { began: stretch.began, epoch: self.epoch };
        }
        self.epoch += 1;
        let began = Began::at(now_ms);
        self.healthy = Some(Stretch {
            began,
            seen: now,
            connections,
            version: version.to_owned(),
            identity: identity.clone(),
        });
        Since { began, epoch: self.epoch }
    }

    /// A probe could not find it healthy.
    pub(super) fn unhealthy(&mut self) {
        if self.healthy.take().is_some() {
            self.epoch += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_secs(10);

    fn identity(store_id: &str) -> GatewayIdentity {
        GatewayIdentity { store_id: store_id.into(), ..Default::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn health_lasts_while_nothing_changes() {
        let mut memory = Memory::default();
        let first = memory.healthy(1, "0.0.1", &identity("a"), 100, GAP);
        tokio::time::advance(GAP).await;
        assert_eq!(memory.healthy(1, "0.0.1", &identity("a"), 10_100, GAP), first);
    }

    #[tokio::test(start_paused = true)]
    async fn every_change_and_every_gap_starts_anew() {
        let mut memory = Memory::default();
        let mut before = memory.healthy(1, "0.0.1", &identity("a"), 1, GAP);
        let mut anew = |since: Since, ms| {
            let began = since.began.ms(ms);
            assert!(since.epoch > before.epoch && began == ms, "{since:?} after {before:?}");
            before = since;
        };
        anew(memory.healthy(1, "0.0.2", &identity("a"), 2, GAP), 2);
        anew(memory.healthy(1, "0.0.2", &identity("b"), 3, GAP), 3);
        memory.unhealthy();
        anew(memory.healthy(1, "0.0.2", &identity("b"), 4, GAP), 4);
        tokio::time::advance(GAP + Duration::from_millis(1)).await;
        anew(memory.healthy(1, "0.0.2", &identity("b"), 5, GAP), 5);
        anew(memory.healthy(2, "0.0.2", &identity("b"), 6, GAP), 6);
    }
}
