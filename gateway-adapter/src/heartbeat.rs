//! Probing each gateway at an interval and telling the registry, while holding its serving lease.
//!
//! Invariant: each gateway has a task of its own, so one that hangs slows no other, and a registry
//! that is away stops no probing. Deliberately absent: any conclusion; the registry keeps the time.

mod hold;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use salvor_proto::gateway::v1::UnknownReason;
use salvor_proto::registry::v1::{GatewayHeartbeat, HeartbeatGatewayRequest};
use salvor_proto::time;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::MissedTickBehavior;

use crate::authority::Authority;
use crate::directory::Directory;
use crate::gateway::{Gateway, Probe};
use crate::observer;

/// What the tasks of all gateways share.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    /// Which gateways there are.
    pub directory: Arc<Directory>,
    /// Which of them are held.
    pub authority: Arc<Authority>,
    /// For how long one is held.
    pub serving_ttl: Duration,
    /// Whose heartbeats these are.
    pub adapter_id: String,
    /// Where this adapter is called.
    pub endpoint: String,
    /// Between two probes.
    pub heartbeat_interval: Duration,
    /// Between two lists of gateways.
    pub refresh_interval: Duration,
    /// Between two rounds of the observer; zero turns it off.
    pub observe_interval: Duration,
}

// === impl Keeper ===

impl Keeper {
    /// Keeps one task for each known gateway. Never returns; dropped, it ends them.
    pub(crate) async fn run(self) {
        let mut tasks = JoinSet::new();
        let mut running: BTreeMap<String, AbortHandle> = BTreeMap::new();
        loop {
            if let Err(status) = self.directory.refresh().await {
                let reason = status.message();
                tracing::debug!(
                    reason,
                    "the registry's gateways could not be listed; known ones are served"
                );
            }
            let known = self.directory.all();
            running.retain(|name, task| {
                let keep = known.contains_key(name) && !task.is_finished();
                if !keep {
                    task.abort();
                }
                keep
            });
            for name in self.authority.serving.gateways() {
                if !known.contains_key(&name) {
                    self.release(&name).await;
                }
            }
            for (name, gateway) in known {
                running.entry(name).or_insert_with(|| tasks.spawn(self.clone().keep(gateway)));
            }
            while tasks.try_join_next().is_some() {}
            tokio::select! {
                () = tokio::time::sleep(self.refresh_interval) => {}
                () = self.directory.found.notified() => {}
            }
        }
    }

    async fn keep(self, gateway: Arc<Gateway>) {
        let observing = async {
            if self.observe_interval.is_zero() {
                return std::future::pending().await;
            }
            let mut ticks = ticks(self.observe_interval);
            loop {
                ticks.tick().await;
                observer::round(&self.directory, &gateway).await;
            }
        };
        let beating = async {
            self.authority.serving.settled(gateway.name()).await;
            let mut news = self.authority.serving.changes(gateway.name());
            let mut ticks = ticks(self.heartbeat_interval);
            let mut told = None;
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    // Heard at once under a new epoch; a renewal of the same one is no news.
                    () = news.next() => {
                        if self.authority.serving.epoch(gateway.name()) == told {
                            continue;
                        }
                    }
                }
                told = self.authority.serving.epoch(gateway.name());
                self.beat(&gateway, told).await;
            }
        };
        tokio::join!(self.hold(gateway.name(), None), beating, observing);
    }

    /// Probes, and speaks if the gateway is held: while it is not, another adapter does.
    async fn beat(&self, gateway: &Gateway, epoch: Option<i64>) {
        let probe = gateway.probe().await;
        let Some(epoch) = epoch else { return };
        let heartbeat = GatewayHeartbeat { serving_epoch: epoch, ..self.heartbeat(&probe) };
        let name = gateway.name().to_owned();
        let request = HeartbeatGatewayRequest { name, heartbeat: Some(heartbeat) };
        match self.directory.registry().heartbeat_gateway(request).await {
            Ok(answer) => {
                // Carries the pin, which the first healthy heartbeat sets.
                if let Some(record) = answer.into_inner().gateway
                    && self.directory.is_ours(&record)
                {
                    gateway.update(&record);
                }
            }
            Err(status) => {
                let (gateway, reason) = (gateway.name(), status.message());
                tracing::debug!(gateway, reason, "the registry did not take a heartbeat");
            }
        }
    }

    fn heartbeat(&self, probe: &Probe) -> GatewayHeartbeat {
        let base = GatewayHeartbeat {
            adapter_id: self.adapter_id.clone(),
            adapter_endpoint: self.endpoint.clone(),
            ..GatewayHeartbeat::default()
        };
        match &probe.found {
            Ok(healthy) => GatewayHeartbeat {
                healthy: true,
                healthy_since: Some(time::timestamp(healthy.since.began.ms(probe.at_ms))),
                version: healthy.version_text.clone(),
                identity: Some(healthy.identity.clone()),
                ..base
            },
            Err(unknown) => GatewayHeartbeat { reason: reason(unknown.reason()), ..base },
        }
    }
}

/// A reason without its prefix, for example `TLS_FAILED`.
fn reason(reason: UnknownReason) -> String {
    let name = reason.as_str_name();
    name.strip_prefix("UNKNOWN_REASON_").unwrap_or(name).to_owned()
}

fn ticks(interval: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_words_of_their_own() {
        assert_eq!(reason(UnknownReason::TlsFailed), "TLS_FAILED");
        assert_eq!(reason(UnknownReason::ForeignGateway), "FOREIGN_GATEWAY");
    }
}
