//! The service's edge: parse, call, convert.
//!
//! Invariant: reads answer what could not be determined as a value, and a mutation that is refused
//! here answers an error with salvor's details, so nothing was sent. Deliberately absent: every
//! decision.

mod capture;
mod compute;
mod content;
mod delete;
mod operations;
mod parse;
mod ready;
mod refill;
mod repository;

use std::sync::Arc;

use futures::future::join_all;
use salvor_core::name::GatewayName;
use salvor_proto::error::Code;
use salvor_proto::gateway::v1::gateway_adapter_service_server::GatewayAdapterService;
use salvor_proto::gateway::v1::{
    ApplyPolicyRequest, ApplyPolicyResponse, ApplyPostureRequest, ApplyPostureResponse,
    CancelOperationRequest, CancelOperationResponse, CheckProvidersRequest, CheckProvidersResponse,
    CreateSandboxRequest, CreateSandboxResponse, DeleteSandboxRequest, DeleteSandboxResponse,
    DeleteSnapshotRequest, DeleteSnapshotResponse, DiffSnapshotsRequest, DiffSnapshotsResponse,
    FindComputeRequest, FindComputeResponse, GatewayView, GetEffectivePolicyRequest,
    GetEffectivePolicyResponse, GetOperationRequest, GetOperationResponse, GetSnapshotRequest,
    GetSnapshotResponse, ListLiveSandboxesRequest, ListLiveSandboxesResponse,
    ListOperationsRequest, ListOperationsResponse, ListSnapshotsRequest, ListSnapshotsResponse,
    ObserveSandboxRequest, ObserveSandboxResponse, ProbeGatewayRequest, ProbeGatewayResponse,
    ProbeReadinessRequest, ProbeReadinessResponse, PruneSnapshotsRequest, PruneSnapshotsResponse,
    ReadSnapshotFileRequest, RestoreWorkspaceRequest, RestoreWorkspaceResponse,
    SnapshotWorkspaceRequest, SnapshotWorkspaceResponse, StartSandboxRequest, StartSandboxResponse,
    StopComputeRequest, StopComputeResponse, StopSandboxRequest, StopSandboxResponse, Unknown,
    VerifyPostureRequest, VerifyPostureResponse, VerifySnapshotRequest, VerifySnapshotResponse,
    VerifyWorkspaceRequest, VerifyWorkspaceResponse, WaitOperationRequest, WaitOperationResponse,
    gateway_view, get_effective_policy_response, probe_readiness_response,
};
use salvor_proto::{Error, time};
use salvor_runtime::Clock;
use tonic::{Request, Response, Status};

use crate::authority::Authority;
use crate::directory::Directory;
use crate::gateway::Gateway;
use crate::next_step::NextStep;
use crate::operations::Operations;
use crate::permit::{Permit, Verb, uuid};
use crate::runtime::Runtime;
use crate::store::Store;
use crate::{inside, look, mutate, policy};

pub(crate) use parse::Asked;

type Answer<T> = Result<Response<T>, Status>;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    directory: Arc<Directory>,
    authority: Arc<Authority>,
    store: Option<Store>,
    runtime: Option<Arc<Runtime>>,
    operations: Operations,
    clock: Arc<dyn Clock>,
}

// === impl Service ===

impl Service {
    /// Serves the gateways of a directory, with their snapshots in `store` and their containers in `runtime`.
    pub(crate) fn new(
        directory: Arc<Directory>,
        authority: Arc<Authority>,
        store: Option<Store>,
        runtime: Option<Arc<Runtime>>,
        operations: Operations,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { directory, authority, store, runtime, operations, clock }
    }

    /// The repository, if this adapter was given one.
    fn store(&self) -> Result<&Store, Error> {
        self.store.as_ref().ok_or_else(|| {
            let text = "this adapter was given no snapshot repository. Nothing was sent";
            Error::new(Code::Refused, "NO_REPOSITORY", text)
                .next_step(NextStep::GiveRepository.alone())
        })
    }

    async fn gateway(&self, name: &GatewayName) -> Result<Arc<Gateway>, Unknown> {
        self.directory.find(name).await
    }

    /// A mutation of a gateway that is not served here is refused.
    async fn served(&self, name: &GatewayName) -> Result<Arc<Gateway>, Error> {
        self.gateway(name).await.map_err(|unknown| {
            let text = format!("{}. Nothing was sent", unknown.detail);
            Error::not_found("GATEWAY_NOT_REGISTERED", text)
                .next_step(NextStep::ListGateways.alone())
        })
    }

    fn unprobed(&self, gateway: &GatewayName, unknown: Unknown) -> GatewayView {
        GatewayView {
            gateway: gateway.to_string(),
            state: Some(gateway_view::State::Unknown(unknown)),
            observe_time: Some(time::timestamp(self.clock.now_ms())),
        }
    }
}

#[tonic::async_trait]
impl GatewayAdapterService for Service {
    async fn probe_gateway(
        &self,
        request: Request<ProbeGatewayRequest>,
    ) -> Answer<ProbeGatewayResponse> {
        let name = parse::gateway("gateway", &request.into_inner().gateway)?;
        let view = match self.gateway(&name).await {
            Ok(gateway) => gateway.probe().await.view(gateway.name()),
            Err(unknown) => self.unprobed(&name, unknown),
        };
        Ok(Response::new(ProbeGatewayResponse { view: Some(view) }))
    }

    async fn observe_sandbox(
        &self,
        request: Request<ObserveSandboxRequest>,
    ) -> Answer<ObserveSandboxResponse> {
        let request = request.into_inner();
        let target = parse::target(request.sandbox.as_ref())?;
        Ok(Response::new(match self.gateway(&target.owner()).await {
            Ok(gateway) => look::at(&gateway, &parse::place(&target), request.with_material).await,
            Err(unknown) => look::nothing(self.unprobed(&target.owner(), unknown.clone()), unknown),
        }))
    }

    async fn list_live_sandboxes(
        &self,
        request: Request<ListLiveSandboxesRequest>,
    ) -> Answer<ListLiveSandboxesResponse> {
        let asked = parse::listing(request.into_inner())?;
        Ok(Response::new(match self.gateway(&asked.gateway).await {
            Ok(gateway) => look::list(&gateway, asked).await?,
            Err(unknown) => look::no_list(unknown),
        }))
    }

    async fn check_providers(
        &self,
        request: Request<CheckProvidersRequest>,
    ) -> Answer<CheckProvidersResponse> {
        let asked = parse::providers(request.into_inner())?;
        let providers = match self.gateway(&asked.gateway).await {
            Ok(gateway) => look::providers(&gateway, &asked.workspace, &asked.names).await,
            Err(unknown) => look::no_providers(&asked.names, &unknown),
        };
        let observe_time = Some(time::timestamp(self.clock.now_ms()));
        Ok(Response::new(CheckProvidersResponse { providers, observe_time }))
    }

    async fn create_sandbox(
        &self,
        request: Request<CreateSandboxRequest>,
    ) -> Answer<CreateSandboxResponse> {
        let mut request = request.into_inner();
        let target = parse::target(request.sandbox.as_ref())?;
        let permit = Permit::check(request.permit.take(), &target, Verb::Create)?;
        let blueprint = parse::blueprint(request)?;
        let gateway = self.served(&target.owner()).await?;
        let cleared = permit.clear(&self.authority).await?;
        let (effect, live_id) = mutate::create(&gateway, cleared, blueprint).await?;
        Ok(Response::new(CreateSandboxResponse { effect: Some(effect), live_id }))
    }

    async fn delete_sandbox(
        &self,
        request: Request<DeleteSandboxRequest>,
    ) -> Answer<DeleteSandboxResponse> {
        let DeleteSandboxRequest { sandbox, permit, live_id, request_id, unchanged_since } =
            request.into_inner();
        let meant = parse::incarnation(sandbox.as_ref(), live_id)?;
        let permit = Permit::check(permit, &meant.target, Verb::Delete)?;
        let request_id = uuid("request_id", &request_id)?;
        if !unchanged_since.is_empty() {
            let asked = (request_id, unchanged_since);
            return Ok(Response::new(
                self.delete_unchanged((meant, sandbox), permit, asked).await?,
            ));
        }
        let gateway = self.served(&meant.target.owner()).await?;
        let cleared = permit.clear(&self.authority).await?;
        let effect = mutate::delete(&gateway, cleared, &meant.live_id, &request_id).await?;
        Ok(Response::new(DeleteSandboxResponse { effect: Some(effect), operation: None }))
    }

    async fn start_sandbox(
        &self,
        request: Request<StartSandboxRequest>,
    ) -> Answer<StartSandboxResponse> {
        let StartSandboxRequest { sandbox, permit, live_id, request_id } = request.into_inner();
        let meant = parse::incarnation(sandbox.as_ref(), live_id)?;
        let permit = Permit::check(permit, &meant.target, Verb::Start)?;
        let request_id = uuid("request_id", &request_id)?;
        let gateway = self.served(&meant.target.owner()).await?;
        let cleared = permit.clear(&self.authority).await?;
        let effect = mutate::start(&gateway, cleared, &meant.live_id, &request_id).await?;
        Ok(Response::new(StartSandboxResponse { effect: Some(effect) }))
    }

    async fn stop_sandbox(
        &self,
        request: Request<StopSandboxRequest>,
    ) -> Answer<StopSandboxResponse> {
        let StopSandboxRequest { sandbox, permit, live_id, request_id } = request.into_inner();
        let meant = parse::incarnation(sandbox.as_ref(), live_id)?;
        let permit = Permit::check(permit, &meant.target, Verb::Stop)?;
        let request_id = uuid("request_id", &request_id)?;
        let gateway = self.served(&meant.target.owner()).await?;
        let cleared = permit.clear(&self.authority).await?;
        let effect = mutate::stop(&gateway, cleared, &meant.live_id, &request_id).await?;
        Ok(Response::new(StopSandboxResponse { effect: Some(effect) }))
    }

    async fn get_effective_policy(
        &self,
        request: Request<GetEffectivePolicyRequest>,
    ) -> Answer<GetEffectivePolicyResponse> {
        use get_effective_policy_response::Result as Outcome;
        let request = request.into_inner();
        let meant = parse::incarnation(request.sandbox.as_ref(), request.live_id)?;
        let read = match self.gateway(&meant.target.owner()).await {
            Ok(gateway) => policy::in_force(&gateway, &meant.vendor(), request.with_content).await,
            Err(unknown) => Err(unknown),
        };
        Ok(Response::new(match read {
            Ok(read) => GetEffectivePolicyResponse {
                result: Some(Outcome::Policy(read.policy)),
                global: read.global,
                loaded: read.loaded,
            },
            Err(unknown) => GetEffectivePolicyResponse {
                result: Some(Outcome::Unknown(unknown)),
                ..GetEffectivePolicyResponse::default()
            },
        }))
    }

    async fn apply_policy(
        &self,
        request: Request<ApplyPolicyRequest>,
    ) -> Answer<ApplyPolicyResponse> {
        let ApplyPolicyRequest { sandbox, permit, live_id, policy } = request.into_inner();
        let meant = parse::incarnation(sandbox.as_ref(), live_id)?;
        let permit = Permit::check(permit, &meant.target, Verb::ApplyPolicy)?;
        let (dialect, content) = parse::policy(policy)?;
        let gateway = self.served(&meant.target.owner()).await?;
        let cleared = permit.clear(&self.authority).await?;
        let applied = policy::apply(&gateway, cleared, &meant.live_id, dialect, content).await?;
        let (effect, policy_hash) = applied;
        Ok(Response::new(ApplyPolicyResponse { effect: Some(effect), policy_hash }))
    }

    async fn apply_posture(
        &self,
        request: Request<ApplyPostureRequest>,
    ) -> Answer<ApplyPostureResponse> {
        let ApplyPostureRequest { sandbox, permit, live_id, posture } = request.into_inner();
        let meant = parse::incarnation(sandbox.as_ref(), live_id)?;
        let permit = Permit::check(permit, &meant.target, Verb::ApplyPosture)?;
        let paths = parse::locked(posture)?;
        let gateway = self.served(&meant.target.owner()).await?;
        let cleared = permit.clear(&self.authority).await?;
        let (effect, paths) =
            inside::apply_posture(&gateway, cleared, &meant.live_id, &paths).await?;
        Ok(Response::new(ApplyPostureResponse { effect: Some(effect), paths }))
    }

    async fn verify_posture(
        &self,
        request: Request<VerifyPostureRequest>,
    ) -> Answer<VerifyPostureResponse> {
        let VerifyPostureRequest { sandbox, live_id, posture } = request.into_inner();
        let meant = parse::incarnation(sandbox.as_ref(), live_id)?;
        let paths = parse::sealed(posture)?;
        let read = match self.gateway(&meant.target.owner()).await {
            Ok(gateway) => inside::verify_posture(&gateway, &meant.vendor(), &paths).await,
            Err(unknown) => Err(unknown),
        };
        Ok(Response::new(match read {
            Ok(paths) => VerifyPostureResponse { paths, unknown: None },
            Err(unknown) => VerifyPostureResponse { paths: Vec::new(), unknown: Some(unknown) },
        }))
    }

    async fn probe_readiness(
        &self,
        request: Request<ProbeReadinessRequest>,
    ) -> Answer<ProbeReadinessResponse> {
        use probe_readiness_response::Result as Outcome;
        let ProbeReadinessRequest { sandbox, live_id, probe } = request.into_inner();
        let meant = parse::incarnation(sandbox.as_ref(), live_id)?;
        let (command, timeout) = parse::probe(probe)?;
        let readiness = match self.gateway(&meant.target.owner()).await {
            Ok(gateway) => {
                inside::probe_readiness(&gateway, &meant.vendor(), command, timeout).await
            }
            Err(unknown) => inside::Readiness::unknown(unknown),
        };
        Ok(Response::new(ProbeReadinessResponse {
            result: Some(readiness.result.map_or_else(Outcome::Unknown, Outcome::ExitCode)),
            output: readiness.output,
            duration: Some(time::duration(readiness.duration)),
        }))
    }

    async fn snapshot_workspace(
        &self,
        request: Request<SnapshotWorkspaceRequest>,
    ) -> Answer<SnapshotWorkspaceResponse> {
        Ok(Response::new(self.snapshot_workspace_inner(request.into_inner()).await?))
    }

    async fn restore_workspace(
        &self,
        request: Request<RestoreWorkspaceRequest>,
    ) -> Answer<RestoreWorkspaceResponse> {
        Ok(Response::new(self.restore_workspace_inner(request.into_inner()).await?))
    }

    async fn verify_workspace(
        &self,
        request: Request<VerifyWorkspaceRequest>,
    ) -> Answer<VerifyWorkspaceResponse> {
        Ok(Response::new(self.verify_workspace_inner(request.into_inner()).await?))
    }

    async fn verify_snapshot(
        &self,
        request: Request<VerifySnapshotRequest>,
    ) -> Answer<VerifySnapshotResponse> {
        Ok(Response::new(self.verify_snapshot_inner(request.into_inner())?))
    }

    async fn list_snapshots(
        &self,
        request: Request<ListSnapshotsRequest>,
    ) -> Answer<ListSnapshotsResponse> {
        Ok(Response::new(self.list_snapshots_inner(request.into_inner()).await?))
    }

    async fn get_snapshot(
        &self,
        request: Request<GetSnapshotRequest>,
    ) -> Answer<GetSnapshotResponse> {
        Ok(Response::new(self.get_snapshot_inner(request.into_inner()).await?))
    }

    async fn delete_snapshot(
        &self,
        request: Request<DeleteSnapshotRequest>,
    ) -> Answer<DeleteSnapshotResponse> {
        Ok(Response::new(self.delete_snapshot_inner(request.into_inner()).await?))
    }

    async fn diff_snapshots(
        &self,
        request: Request<DiffSnapshotsRequest>,
    ) -> Answer<DiffSnapshotsResponse> {
        Ok(Response::new(self.diff_snapshots_inner(request.into_inner()).await?))
    }

    async fn prune_snapshots(
        &self,
        request: Request<PruneSnapshotsRequest>,
    ) -> Answer<PruneSnapshotsResponse> {
        Ok(Response::new(self.prune_snapshots_inner(request.into_inner()).await?))
    }

    async fn get_operation(
        &self,
        request: Request<GetOperationRequest>,
    ) -> Answer<GetOperationResponse> {
        Ok(Response::new(self.get_operation_inner(&request.into_inner())?))
    }

    async fn list_operations(
        &self,
        request: Request<ListOperationsRequest>,
    ) -> Answer<ListOperationsResponse> {
        Ok(Response::new(self.list_operations_inner(request.into_inner())))
    }

    async fn wait_operation(
        &self,
        request: Request<WaitOperationRequest>,
    ) -> Answer<WaitOperationResponse> {
        Ok(Response::new(self.wait_operation_inner(request.into_inner()).await?))
    }

    async fn cancel_operation(
        &self,
        request: Request<CancelOperationRequest>,
    ) -> Answer<CancelOperationResponse> {
        Ok(Response::new(self.cancel_operation_inner(&request.into_inner())?))
    }

    async fn find_compute(
        &self,
        request: Request<FindComputeRequest>,
    ) -> Answer<FindComputeResponse> {
        Ok(Response::new(self.find_compute_inner(request.into_inner()).await?))
    }

    async fn stop_compute(
        &self,
        request: Request<StopComputeRequest>,
    ) -> Answer<StopComputeResponse> {
        Ok(Response::new(self.stop_compute_inner(request.into_inner()).await?))
    }

    type ReadSnapshotFileStream = content::Pieces;

    async fn read_snapshot_file(
        &self,
        request: Request<ReadSnapshotFileRequest>,
    ) -> Answer<Self::ReadSnapshotFileStream> {
        Ok(Response::new(self.read_snapshot_file_inner(request.into_inner()).await?))
    }
}

/// Runs one round of the observer for every known gateway, at once.
pub(crate) async fn observe_now(directory: &Directory) -> crate::observer::Round {
    let gateways = directory.all();
    let rounds = gateways.values().map(|gateway| crate::observer::round(directory, gateway));
    join_all(rounds).await.into_iter().fold(Default::default(), crate::observer::Round::and)
}
