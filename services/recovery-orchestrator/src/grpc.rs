//! Handlers: parse, call, convert. No rule lives here.

mod input;

use std::{pin::Pin, time::Duration};

use futures::Stream;
use salvor_core::{guards, id::RecoveryName, path::SagaKind};
use salvor_proto::{
    Error,
    gateway::v1::Progress,
    recovery::v1::{self as pb, recovery_service_server::RecoveryService},
};
use salvor_runtime::database::at_once;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::{
    engine::{Accepted, Engine},
    folded::{Folded, Standing},
    journal::{DecisionFilter, Found, RecoveryFilter},
    view,
    words::NextStep,
};

/// How often a watcher is told how far a long step is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    engine: Engine,
}

impl Api {
    pub(crate) const fn new(engine: Engine) -> Self {
        Self { engine }
    }

    /// A recovery as it is answered; the default pointer is read back for one that brought something back.
    async fn shown(&self, found: &Found, folded: &Folded) -> pb::Recovery {
        let mut is_default = false;
        if let Standing::Ended(_) = folded.standing {
            let record = self.engine.world().registry.sandbox(&found.target).await;
            is_default = record.is_ok_and(|record| record.is_default);
        }
        let progress = self.engine.progress(&found.name);
        let mut recovery = view::recovery(found, folded, is_default);
        if let (Some(failure), Ok(header)) = (recovery.failure.as_mut(), &found.header)
            && let Some(next) = self.engine.followed_by(header).await
        {
            failure.next_step = NextStep::Wait.of(next.as_str());
        }
        pb::Recovery { progress, ..recovery }
    }

    async fn accepted(
        &self,
        accepted: Accepted,
    ) -> Result<(Option<pb::Recovery>, Option<pb::Plan>), Error> {
        let recovery = match &accepted.recovery {
            Some(name) => {
                let (found, folded) = self.engine.found(name).await?;
                Some(self.shown(&found, &folded).await)
            }
            None => None,
        };
        Ok((recovery, Some(accepted.plan)))
    }
}

#[tonic::async_trait]
impl RecoveryService for Api {
    async fn adopt_sandbox(
        &self,
        request: Request<pb::AdoptSandboxRequest>,
    ) -> Result<Response<pb::AdoptSandboxResponse>, Status> {
        let sandbox = Box::pin(self.engine.adopt(request.into_inner())).await?;
        Ok(Response::new(pb::AdoptSandboxResponse { sandbox: Some(sandbox) }))
    }

    async fn adopt_gateway(
        &self,
        request: Request<pb::AdoptGatewayRequest>,
    ) -> Result<Response<pb::AdoptGatewayResponse>, Status> {
        let (gateway, workspace) = input::adopt_gateway(&request.into_inner())?;
        Ok(Response::new(Box::pin(self.engine.adopt_gateway(&gateway, &workspace)).await?))
    }

    async fn get_status(
        &self,
        request: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        let name = input::record(&request.into_inner().name)?;
        let status = self.engine.status(&name).await?;
        Ok(Response::new(pb::GetStatusResponse { status: Some(status) }))
    }

    async fn get_verdict(
        &self,
        request: Request<pb::GetVerdictRequest>,
    ) -> Result<Response<pb::GetVerdictResponse>, Status> {
        let name = input::record(&request.into_inner().name)?;
        Ok(Response::new(self.engine.verdict(&name).await?))
    }

    async fn plan_recovery(
        &self,
        request: Request<pb::PlanRecoveryRequest>,
    ) -> Result<Response<pb::PlanRecoveryResponse>, Status> {
        let plan = self.engine.plan(input::plan(request.into_inner())?).await?;
        Ok(Response::new(pb::PlanRecoveryResponse { plan: Some(plan) }))
    }

    async fn connect_sandbox(
        &self,
        request: Request<pb::ConnectSandboxRequest>,
    ) -> Result<Response<pb::ConnectSandboxResponse>, Status> {
        let name = input::record(&request.into_inner().name)?;
        Ok(Response::new(self.engine.connect(&name).await?))
    }

    async fn recover_sandbox(
        &self,
        request: Request<pb::RecoverSandboxRequest>,
    ) -> Result<Response<pb::RecoverSandboxResponse>, Status> {
        let ask = input::recover(request.into_inner())?;
        let (recovery, plan) = self.accepted(Box::pin(self.engine.ask(ask)).await?).await?;
        Ok(Response::new(pb::RecoverSandboxResponse { recovery, plan }))
    }

    async fn destroy_sandbox(
        &self,
        request: Request<pb::DestroySandboxRequest>,
    ) -> Result<Response<pb::DestroySandboxResponse>, Status> {
        let ask = input::destroy(request.into_inner())?;
        let (recovery, plan) = self.accepted(Box::pin(self.engine.ask(ask)).await?).await?;
        Ok(Response::new(pb::DestroySandboxResponse { recovery, plan }))
    }

    async fn snapshot_sandbox(
        &self,
        request: Request<pb::SnapshotSandboxRequest>,
    ) -> Result<Response<pb::SnapshotSandboxResponse>, Status> {
        let ask = input::snapshot_sandbox(&request.into_inner())?;
        let (recovery, plan) = self.accepted(Box::pin(self.engine.ask(ask)).await?).await?;
        Ok(Response::new(pb::SnapshotSandboxResponse { recovery, plan }))
    }

    async fn restore_sandbox(
        &self,
        request: Request<pb::RestoreSandboxRequest>,
    ) -> Result<Response<pb::RestoreSandboxResponse>, Status> {
        let request = request.into_inner();
        let mut ask = input::restore_sandbox(&request)?;
        if request.replace_existing {
            ask = self.engine.replacing(ask).await?;
        }
        let (recovery, plan) = self.accepted(Box::pin(self.engine.ask(ask)).await?).await?;
        Ok(Response::new(pb::RestoreSandboxResponse { recovery, plan }))
    }

    async fn drill_sandbox(
        &self,
        request: Request<pb::DrillSandboxRequest>,
    ) -> Result<Response<pb::DrillSandboxResponse>, Status> {
        let ask = input::drill_sandbox(&request.into_inner())?;
        let (recovery, plan) = self.accepted(Box::pin(self.engine.ask(ask)).await?).await?;
        Ok(Response::new(pb::DrillSandboxResponse { recovery, plan }))
    }

    async fn prune_sandbox_snapshots(
        &self,
        request: Request<pb::PruneSandboxSnapshotsRequest>,
    ) -> Result<Response<pb::PruneSandboxSnapshotsResponse>, Status> {
        let ask = input::prune_sandbox_snapshots(&request.into_inner())?;
        let mut accepted = Box::pin(self.engine.ask(ask)).await?;
        let preview = accepted.preview.take();
        let (recovery, plan) = self.accepted(accepted).await?;
        Ok(Response::new(pb::PruneSandboxSnapshotsResponse { recovery, plan, preview }))
    }

    async fn delete_sandbox_snapshots(
        &self,
        request: Request<pb::DeleteSandboxSnapshotsRequest>,
    ) -> Result<Response<pb::DeleteSandboxSnapshotsResponse>, Status> {
        let ask = input::delete_sandbox_snapshots(&request.into_inner())?;
        let (recovery, plan) = self.accepted(Box::pin(self.engine.ask(ask)).await?).await?;
        Ok(Response::new(pb::DeleteSandboxSnapshotsResponse { recovery, plan }))
    }

    async fn get_recovery(
        &self,
        request: Request<pb::GetRecoveryRequest>,
    ) -> Result<Response<pb::GetRecoveryResponse>, Status> {
        let name = input::recovery(&request.into_inner().name)?;
        let (found, folded) = self.engine.found(&name).await?;
        let recovery = Some(self.shown(&found, &folded).await);
        Ok(Response::new(pb::GetRecoveryResponse { recovery }))
    }

    async fn list_recoveries(
        &self,
        request: Request<pb::ListRecoveriesRequest>,
    ) -> Result<Response<pb::ListRecoveriesResponse>, Status> {
        let filter: RecoveryFilter = input::list_recoveries(&request.into_inner())?;
        let found = at_once(self.engine.journal().list_found(&filter)).await?;
        Ok(Response::new(input::recoveries_page(&found, filter.limit)))
    }

    type WatchRecoveryStream =
        Pin<Box<dyn Stream<Item = Result<pb::WatchRecoveryResponse, Status>> + Send>>;

    async fn watch_recovery(
        &self,
        request: Request<pb::WatchRecoveryRequest>,
    ) -> Result<Response<Self::WatchRecoveryStream>, Status> {
        let name = input::recovery(&request.into_inner().name)?;
        self.engine.found(&name).await?;
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        let api = self.clone();
        tokio::spawn(async move { api.watch(&name, &sender).await });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn wait_recovery(
        &self,
        request: Request<pb::WaitRecoveryRequest>,
    ) -> Result<Response<pb::WaitRecoveryResponse>, Status> {
        let (name, timeout) = input::wait(&request.into_inner())?;
        let (found, folded) = self.engine.wait(&name, timeout).await?;
        let recovery = Some(self.shown(&found, &folded).await);
        Ok(Response::new(pb::WaitRecoveryResponse { recovery }))
    }

    async fn cancel_recovery(
        &self,
        request: Request<pb::CancelRecoveryRequest>,
    ) -> Result<Response<pb::CancelRecoveryResponse>, Status> {
        let name = input::recovery(&request.into_inner().name)?;
        let (found, folded) = self.engine.cancel(&name).await?;
        let recovery = Some(self.shown(&found, &folded).await);
        Ok(Response::new(pb::CancelRecoveryResponse { recovery }))
    }

    async fn retry_recovery(
        &self,
        request: Request<pb::RetryRecoveryRequest>,
    ) -> Result<Response<pb::RetryRecoveryResponse>, Status> {
        let name = input::recovery(&request.into_inner().name)?;
        self.engine.retry(&name).await?;
        let (found, folded) = self.engine.found(&name).await?;
        let recovery = Some(self.shown(&found, &folded).await);
        Ok(Response::new(pb::RetryRecoveryResponse { recovery }))
    }

    async fn retire_recovery(
        &self,
        request: Request<pb::RetireRecoveryRequest>,
    ) -> Result<Response<pb::RetireRecoveryResponse>, Status> {
        let ask = input::retire(request.into_inner())?;
        let (found, folded, retirement) = Box::pin(self.engine.retire(&ask)).await?;
        let retirement = Some(view::retirement(&found, &retirement));
        let recovery = Some(self.shown(&found, &folded).await);
        Ok(Response::new(pb::RetireRecoveryResponse { recovery, retirement }))
    }

    async fn list_decisions(
        &self,
        request: Request<pb::ListDecisionsRequest>,
    ) -> Result<Response<pb::ListDecisionsResponse>, Status> {
        let filter: DecisionFilter = input::list_decisions(&request.into_inner())?;
        let found = at_once(self.engine.journal().decisions(&filter)).await?;
        Ok(Response::new(input::decisions_page(&found, filter.limit)))
    }

    async fn list_guards(
        &self,
        _: Request<pb::ListGuardsRequest>,
    ) -> Result<Response<pb::ListGuardsResponse>, Status> {
        let guards = SagaKind::ALL
            .iter()
            .flat_map(|&saga| guards::table(saga).iter().map(move |row| input::guard(saga, row)));
        Ok(Response::new(pb::ListGuardsResponse { guards: guards.collect() }))
    }
}

impl Api {
    /// Sends a recovery at each change, and now and then while a long step gets on, until it has ended or is parked, or the
    /// caller is gone.
    async fn watch(
        &self,
        name: &RecoveryName,
        sender: &tokio::sync::mpsc::Sender<Result<pb::WatchRecoveryResponse, Status>>,
    ) {
        let mut waiting = self.engine.journal().waiting(name);
        let mut sent = None;
        loop {
            waiting.begin();
            let (recovery, folded) = match self.engine.found(name).await {
                Ok(found) => found,
                Err(error) => {
                    // A caller that is gone needs no error.
                    let _ = sender.send(Err(error.into())).await;
                    return;
                }
            };
            let state = (recovery.events.len(), self.engine.progress(name));
            if sent.as_ref() != Some(&state) {
                sent = Some(state.clone());
                let recovery = Some(self.shown(&recovery, &folded).await);
                if sender.send(Ok(pb::WatchRecoveryResponse { recovery })).await.is_err() {
                    return;
                }
            }
            if folded.standing.is_settled() {
                return;
            }
            tokio::select! {
                () = sender.closed() => return,
                () = waiting.changed() => {}
                () = self.gets_on(name, state.1.as_ref()) => {}
            }
        }
    }
    /// Resolves when a long step has got on from where it was.
    async fn gets_on(&self, name: &RecoveryName, last: Option<&Progress>) {
        loop {
            sleep(PROGRESS_EVERY).await;
            if self.engine.progress(name).as_ref() != last {
                return;
            }
        }
    }
}
