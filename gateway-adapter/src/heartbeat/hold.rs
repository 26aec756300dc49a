//! Holding the serving leases of gateways: taken at the start, renewed three times within their time, given back at the end.
//!
//! Invariant: what is believed of a lease is counted from before it was asked for. Deliberately absent: waiting for another
//! adapter's end in any other way than by asking again.

use std::time::Duration;

use salvor_proto::error::received;
use salvor_proto::registry::v1::{
    AcquireServingLeaseRequest, ReleaseServingLeaseRequest, RenewServingLeaseRequest, ServingLease,
};
use salvor_proto::{Error, time};
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::Keeper;
use crate::authority::Elsewhere;

/// Giving back is a courtesy: what is not given back runs out.
const GIVE_BACK: Duration = Duration::from_secs(1);
/// The shortest and the longest time between two tries to get what is not held.
const SOONEST: Duration = Duration::from_millis(50);
const LATEST: Duration = Duration::from_secs(2);

impl Keeper {
    /// Keeps what is held, and says nothing of any gateway any more. Never returns.
    pub(crate) async fn hold_on(&self) {
        let serving = &self.authority.serving;
        let held = serving.gateways().into_iter().filter_map(|gateway| {
            let epoch = serving.epoch(&gateway)?;
            Some(async move { self.hold(&gateway, Some(epoch)).await })
        });
        futures::future::join_all(held).await;
        std::future::pending::<()>().await;
    }

    /// Keeps the serving lease of one gateway, which is held under `epoch` if there is one. Never returns.
    pub(super) async fn hold(&self, gateway: &str, mut epoch: Option<i64>) {
        let serving = &self.authority.serving;
        loop {
            let asked = serving.now();
            let wait = match self.take(gateway, epoch).await {
                Ok(lease) => {
                    serving.held(gateway, lease.epoch, asked, self.serving_ttl);
                    epoch = Some(lease.epoch);
                    // An effect that is not sure of it any more does not wait for so long.
                    let _ = timeout(self.serving_ttl / 3, serving.doubted(gateway)).await;
                    Duration::ZERO
                }
                Err(Refused::Lost) => {
                    tracing::warn!(gateway, "the serving lease was lost; it is asked for anew");
                    serving.asking(gateway);
                    epoch = None;
                    Duration::ZERO
                }
                Err(Refused::Held(elsewhere)) => {
                    let Elsewhere { holder, until } = &elsewhere;
                    tracing::warn!(gateway, holder, until, "another adapter serves the gateway");
                    serving.elsewhere(gateway, &elsewhere);
                    self.soon()
                }
                Err(Refused::NotOurs(error)) => {
                    serving.not_held(gateway, error);
                    self.soon()
                }
                Err(Refused::Unheard(status)) => {
                    // Whatever is held stays held until its time is over.
                    let reason = status.message();
                    tracing::debug!(gateway, reason, "the serving lease could not be renewed yet");
                    self.soon()
                }
            };
            sleep(wait).await;
        }
    }

    async fn take(&self, gateway: &str, epoch: Option<i64>) -> Result<ServingLease, Refused> {
        let (gateway, ttl) = (gateway.to_owned(), Some(time::duration(self.serving_ttl)));
        let mut registry = self.directory.registry();
        let answer = if let Some(epoch) = epoch {
            let request = RenewServingLeaseRequest { gateway, epoch, ttl };
            registry.renew_serving_lease(request).await.map(|answer| answer.into_inner().lease)
        } else {
            let holder = self.holder().await.map_err(Refused::NotOurs)?;
            let request = AcquireServingLeaseRequest { gateway, holder, ttl };
            registry.acquire_serving_lease(request).await.map(|answer| answer.into_inner().lease)
        };
        answer
            .map_err(Refused::of)?
            .ok_or_else(|| Refused::Unheard(Status::internal("the registry gave no lease")))
    }

    /// Who this is towards other adapters: the same after a restart on the same host and data.
    async fn holder(&self) -> Result<String, Error> {
        let instance = self.authority.fences.instance().await?;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let (id, host) = (clipped(&self.adapter_id), clipped(host.trim()));
        Ok(format!("{id}@{host}/{instance}"))
    }

    /// Gives back whatever is held, for another adapter to take at once.
    pub(crate) async fn give_back(&self) {
        let gateways = self.authority.serving.gateways();
        let all = gateways.iter().map(|gateway| self.release(gateway));
        futures::future::join_all(all).await;
        self.authority.fences.close().await;
    }

    /// Gives back one gateway's, if it is held. From here on nothing is sent there.
    pub(super) async fn release(&self, gateway: &str) {
        let Some(epoch) = self.authority.serving.forget(gateway) else { return };
        let request = ReleaseServingLeaseRequest { gateway: gateway.to_owned(), epoch };
        let mut registry = self.directory.registry();
        let released = timeout(GIVE_BACK, registry.release_serving_lease(request)).await;
        if !matches!(released, Ok(Ok(_))) {
            tracing::debug!(gateway, "the serving lease was not given back; it runs out");
        }
    }

    fn soon(&self) -> Duration {
        (self.serving_ttl / 6).clamp(SOONEST, LATEST)
    }
}

/// Why there is no lease.
enum Refused {
    /// The one that was held is not any more.
    Lost,
    /// Another adapter has it.
    Held(Elsewhere),
    /// This adapter cannot be told from others.
    NotOurs(Error),
    /// The registry did not say.
    Unheard(Status),
}

impl Refused {
    fn of(status: Status) -> Self {
        let told = received(&status);
        let said = |key: &str| told.metadata.get(key).cloned().unwrap_or_default();
        match told.reason.as_deref() {
            Some("LEASE_LOST") => Self::Lost,
            Some("GATEWAY_SERVED_ELSEWHERE") => {
                Self::Held(Elsewhere { holder: said("holder"), until: said("expire_time") })
            }
            _ => Self::Unheard(status),
        }
    }
}

/// A part of the holder's name, which is bounded.
fn clipped(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}
