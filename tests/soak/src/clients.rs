//! Calls, as a patient client makes them.

use std::{collections::BTreeMap, future::Future, time::Duration};

use anyhow::Result;
use salvor_proto::{
    recovery::v1::{self as pb, recovery_service_client::RecoveryServiceClient},
    registry::v1::{self as registry, registry_service_client::RegistryServiceClient},
    time::duration,
};
use salvor_runtime::{
    TracedChannel,
    channel::{Endpoint, connect_lazy},
};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Request, Response, Status};

use crate::replay::by_name;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// One wait for a recovery.
const WAIT: Duration = Duration::from_secs(10);
/// No single call takes longer.
const CALL: Duration = Duration::from_secs(40);
/// Small, so that a list of forty has several pages.
const PAGE: i32 = 7;

/// Clients of everything, each of which goes round over all replicas.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    pub(crate) registry: RegistryServiceClient<TracedChannel>,
    pub(crate) recovery: RecoveryServiceClient<TracedChannel>,
}

/// The answer of a call in time.
pub(crate) async fn answer<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match timeout(CALL, call).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(Status::deadline_exceeded("the soak waited in vain")),
    }
}

/// Whether it is not known what a call came to, or it came to nothing that asking again would not mend.
pub(crate) fn passes(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Aborted)
}

impl Clients {
    pub(crate) fn new(registries: &str, orchestrators: &str) -> Result<Self> {
        let channel = |urls: &str| connect_lazy(&Endpoint::new(urls));
        Ok(Self {
            registry: RegistryServiceClient::new(channel(registries)?),
            recovery: RecoveryServiceClient::new(channel(orchestrators)?),
        })
    }

    /// A record; none if there is none or a tombstone.
    pub(crate) async fn record(&self, name: &str) -> Result<Option<registry::Sandbox>, Status> {
        let request = registry::GetSandboxRequest { name: name.to_owned(), show_deleted: false };
        match answer(self.registry.clone().get_sandbox(request)).await {
            Ok(found) => Ok(found.sandbox),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// Everything that is known of a sandbox.
    pub(crate) async fn status(&self, name: &str) -> Result<pb::SandboxStatus, Status> {
        let request = pb::GetStatusRequest { name: name.to_owned() };
        let found = answer(self.recovery.clone().get_status(request)).await?.status;
        found.ok_or_else(|| Status::internal("no status"))
    }

    /// All records by name and their revision, page by page.
    pub(crate) async fn list(&self) -> Result<(i64, BTreeMap<String, registry::Sandbox>), Status> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = registry::ListSandboxesRequest {
                page_size: PAGE,
                page_token,
                ..Default::default()
            };
            let page = answer(self.registry.clone().list_sandboxes(request)).await?;
            all.extend(page.sandboxes);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok((page.revision, by_name(all)));
            }
        }
    }

    /// Recoveries that have not ended.
    pub(crate) async fn open_recoveries(&self) -> Result<Vec<pb::Recovery>, Status> {
        let request =
            pb::ListRecoveriesRequest { open_only: true, page_size: 1_000, ..Default::default() };
        Ok(answer(self.recovery.clone().list_recoveries(request)).await?.recoveries)
    }

    /// Waits until a recovery has ended or is parked, through whatever goes wrong, for so long.
    pub(crate) async fn wait(
        &self,
        name: &str,
        patience: Duration,
    ) -> Result<pb::Recovery, Status> {
        let begun = Instant::now();
        loop {
            let timeout = Some(duration(WAIT));
            let mut request =
                Request::new(pb::WaitRecoveryRequest { name: name.to_owned(), timeout });
            request.set_timeout(WAIT * 2);
            let waited = answer(self.recovery.clone().wait_recovery(request)).await;
            let overdue = begun.elapsed() > patience;
            match waited.map(|answer| answer.recovery.unwrap_or_default()) {
                Ok(recovery) if recovery.done || recovery.state() == parked() || overdue => {
                    return Ok(recovery);
                }
                Err(status) if overdue || !passes(&status) => return Err(status),
                Ok(_) => {}
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

const fn parked() -> pb::recovery::State {
    pb::recovery::State::Parked
}

/// Asks again, with the same request, while it is not known what came of it.
pub(crate) async fn insist<C: Clone, R: Clone, T, F>(
    client: &C,
    request: &R,
    call: impl Fn(C, R) -> F,
) -> Result<T, Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let mut tries = 0;
    loop {
        match answer(Box::pin(call(client.clone(), request.clone()))).await {
            Err(status) if status.code() == Code::Unavailable && tries < 4 => tries += 1,
            answer => return answer,
        }
        sleep(PAUSE * tries).await;
    }
}
