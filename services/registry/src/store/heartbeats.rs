//! What adapters say of gateways, cheaply.
//!
//! Invariant: the latest word is always answered; stored is the latest one that said something new, at most a minute older, or
//! a few seconds where other replicas answer from the store. What says something new is taken within the write that checks who
//! speaks. Deliberately absent: judging what is said.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use salvor_proto::registry::v1::GatewayHeartbeat;
use salvor_proto::time::millis;

/// An unchanged heartbeat is written down again after this long.
const WRITE_EVERY_MS: u64 = 60_000;
/// The same where the other replicas know it from the store alone, and an orchestrator believes it for 30 s.
const WRITE_SHARED_EVERY_MS: u64 = 5_000;

/// The latest heartbeat of each gateway that has spoken since the start.
#[derive(Debug)]
pub(super) struct Heartbeats {
    latest: Mutex<HashMap<String, Latest>>,
    write_every_ms: u64,
}

#[derive(Debug, Clone)]
struct Latest {
    heartbeat: GatewayHeartbeat,
    /// When the like of it was last written down.
    written_ms: Option<u64>,
}

// === impl Heartbeats ===

impl Heartbeats {
    /// None as yet; `shared` if other replicas answer, too.
    pub(super) fn new(shared: bool) -> Self {
        let write_every_ms = if shared { WRITE_SHARED_EVERY_MS } else { WRITE_EVERY_MS };
        Self { latest: Mutex::default(), write_every_ms }
    }

    /// The latest one of `gateway`.
    pub(super) fn get(&self, gateway: &str) -> Option<GatewayHeartbeat> {
        self.lock().get(gateway).map(|latest| latest.heartbeat.clone())
    }

    /// Takes `heartbeat` as the latest if it says what the latest said. Answers whether that is on disk, and not for too long.
    pub(super) fn know(&self, gateway: &str, heartbeat: &GatewayHeartbeat) -> bool {
        let now_ms = heartbeat.receive_time.as_ref().map_or(0, millis);
        let mut latest = self.lock();
        let Some(known) = latest.get_mut(gateway) else { return false };
        if timeless(&known.heartbeat) != timeless(heartbeat) {
            return false;
        }
        known.heartbeat = heartbeat.clone();
        known.written_ms.is_some_and(|at| now_ms.saturating_sub(at) < self.write_every_ms)
    }

    /// Takes `heartbeat` as the latest, which is not on disk yet. For one whose speaker was checked where nothing can come in
    /// between: it takes the place of what any other has said.
    pub(super) fn take(&self, gateway: &str, heartbeat: &GatewayHeartbeat) {
        let heartbeat = heartbeat.clone();
        self.lock().insert(gateway.into(), Latest { heartbeat, written_ms: None });
    }

    /// Notes that `heartbeat` is on disk.
    pub(super) fn written(&self, gateway: &str, heartbeat: &GatewayHeartbeat) {
        if let Some(known) = self.lock().get_mut(gateway)
            && timeless(&known.heartbeat) == timeless(heartbeat)
        {
            known.written_ms = heartbeat.receive_time.as_ref().map(millis);
        }
    }

    /// Forgets what was said of `gateway`.
    pub(super) fn forget(&self, gateway: &str) {
        self.lock().remove(gateway);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Latest>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timeless(heartbeat: &GatewayHeartbeat) -> GatewayHeartbeat {
    GatewayHeartbeat { receive_time: None, ..heartbeat.clone() }
}
