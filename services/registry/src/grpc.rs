//! The service on the wire: parse, call, convert.

mod parse;

use std::pin::Pin;

use futures::Stream;
use salvor_proto::registry::v1::registry_service_server::RegistryService;
use salvor_proto::registry::v1::{
    AcquireLeaseRequest, AcquireLeaseResponse, AcquireServingLeaseRequest,
    AcquireServingLeaseResponse, CreateSandboxRequest, CreateSandboxResponse, DeleteGatewayRequest,
    DeleteGatewayResponse, DeleteSandboxRequest, DeleteSandboxResponse, GetDefaultSandboxRequest,
    GetDefaultSandboxResponse, GetGatewayRequest, GetGatewayResponse, GetSandboxRequest,
    GetSandboxResponse, HeartbeatGatewayRequest, HeartbeatGatewayResponse, ListGatewaysRequest,
    ListGatewaysResponse, ListSandboxesRequest, ListSandboxesResponse, OpenSandboxMaterialRequest,
    OpenSandboxMaterialResponse, RegisterGatewayRequest, RegisterGatewayResponse,
    ReleaseLeaseRequest, ReleaseLeaseResponse, ReleaseServingLeaseRequest,
    ReleaseServingLeaseResponse, RenewLeaseRequest, RenewLeaseResponse, RenewServingLeaseRequest,
    RenewServingLeaseResponse, RestoreEntryRequest, RestoreEntryResponse, SetDefaultSandboxRequest,
    SetDefaultSandboxResponse, SnapshotEntryRequest, SnapshotEntryResponse, UpdateGatewayRequest,
    UpdateGatewayResponse, UpdateSandboxRequest, UpdateSandboxResponse, WatchSandboxesRequest,
    WatchSandboxesResponse,
};
use salvor_runtime::database::at_once;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::page::Position;
use crate::store::Store;
use crate::watch;

/// Answers calls from one store.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    store: Store,
}

type Answer<T> = Result<Response<T>, Status>;

// === impl Service ===

impl Service {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    async fn list(&self, list: parse::List) -> Result<ListSandboxesResponse, Error> {
        let keys = self.store.keys();
        let identity = list.identity.each_ref().map(String::as_str);
        let position = match list.token.as_str() {
            "" => None,
            token => Some(Position::read(token, keys, &identity)?),
        };
        let after = position.as_ref().map_or("", |position| &position.after);
        let revision = position.as_ref().map(|position| position.revision);
        let page = at_once(self.store.list(&list.query, after, revision, list.size)).await?;
        let mut response = ListSandboxesResponse { revision: page.revision, ..Default::default() };
        if let (true, Some(last)) = (page.more, page.versions.last()) {
            response.next_page_token =
                Position::new(&last.name, page.revision).token(keys, &identity)?;
        }
        for version in page.versions {
            match version.sandbox(keys) {
                Ok(sandbox) => response.sandboxes.push(sandbox),
                Err(_) => response.unreadable.push(version.name),
            }
        }
        Ok(response)
    }

    async fn list_gateways(
        &self,
        list: parse::ListGateways,
    ) -> Result<ListGatewaysResponse, Error> {
        let keys = self.store.keys();
        let identity = list.identity.each_ref().map(String::as_str);
        let after = match list.token.as_str() {
            "" => String::new(),
            token => Position::read(token, keys, &identity)?.after,
        };
        let (gateways, more) = at_once(self.store.gateways(&after, list.size)).await?;
        let next_page_token = match gateways.last() {
            Some(shown) if more => Position::new(&shown.name, 0).token(keys, &identity)?,
            _ => String::new(),
        };
        Ok(ListGatewaysResponse { gateways, next_page_token })
    }
}

#[tonic::async_trait]
impl RegistryService for Service {
    async fn create_sandbox(
        &self,
        request: Request<CreateSandboxRequest>,
    ) -> Answer<CreateSandboxResponse> {
        let sandbox = Some(self.store.create(parse::create(request.into_inner())?).await?);
        Ok(Response::new(CreateSandboxResponse { sandbox }))
    }

    async fn get_sandbox(&self, request: Request<GetSandboxRequest>) -> Answer<GetSandboxResponse> {
        let request = request.into_inner();
        let name = parse::record_name("name", &request.name)?.to_string();
        let sandbox = Some(at_once(self.store.get(&name, request.show_deleted)).await?);
        Ok(Response::new(GetSandboxResponse { sandbox }))
    }

    async fn list_sandboxes(
        &self,
        request: Request<ListSandboxesRequest>,
    ) -> Answer<ListSandboxesResponse> {
        Ok(Response::new(self.list(parse::list(request.into_inner())?).await?))
    }

    async fn update_sandbox(
        &self,
        request: Request<UpdateSandboxRequest>,
    ) -> Answer<UpdateSandboxResponse> {
        let sandbox = Some(self.store.update(parse::update(request.into_inner())?).await?);
        Ok(Response::new(UpdateSandboxResponse { sandbox }))
    }

    async fn delete_sandbox(
        &self,
        request: Request<DeleteSandboxRequest>,
    ) -> Answer<DeleteSandboxResponse> {
        let sandbox = Some(self.store.delete(parse::delete(request.into_inner())?).await?);
        Ok(Response::new(DeleteSandboxResponse { sandbox }))
    }

    type WatchSandboxesStream =
        Pin<Box<dyn Stream<Item = Result<WatchSandboxesResponse, Status>> + Send>>;

    async fn watch_sandboxes(
        &self,
        request: Request<WatchSandboxesRequest>,
    ) -> Answer<Self::WatchSandboxesStream> {
        let (start, query) = parse::watch(&request.into_inner())?;
        let start = at_once(self.store.watch_start(start)).await?;
        Ok(Response::new(Box::pin(watch::stream(self.store.clone(), query, start))))
    }

    async fn snapshot_entry(
        &self,
        request: Request<SnapshotEntryRequest>,
    ) -> Answer<SnapshotEntryResponse> {
        let name = parse::record_name("name", &request.into_inner().name)?.to_string();
        let snapshot = Some(at_once(self.store.snapshot(&name)).await?);
        Ok(Response::new(SnapshotEntryResponse { snapshot }))
    }

    async fn restore_entry(
        &self,
        request: Request<RestoreEntryRequest>,
    ) -> Answer<RestoreEntryResponse> {
        let (sandbox, default_reclaimed) =
            self.store.restore(parse::restore(request.into_inner())?).await?;
        Ok(Response::new(RestoreEntryResponse { sandbox: Some(sandbox), default_reclaimed }))
    }

    async fn open_sandbox_material(
        &self,
        request: Request<OpenSandboxMaterialRequest>,
    ) -> Answer<OpenSandboxMaterialResponse> {
        let request = request.into_inner();
        let name = parse::record_name("name", &request.name)?.to_string();
        let fence_token = parse::needed_fence_token(request.fence_token)?;
        let (spec, policy) = match &request.copy {
            Some(copy) if copy.name != name => {
                return Err(Error::invalid("copy.name", "must be the record's name").into());
            }
            Some(copy) => at_once(self.store.open_copy(copy, fence_token)).await?,
            None => at_once(self.store.open_material(&name, fence_token)).await?,
        };
        tracing::info!(%name, fence_token, "secret bytes handed out to the holder of the lease");
        Ok(Response::new(OpenSandboxMaterialResponse { spec, policy }))
    }

    async fn get_default_sandbox(
        &self,
        _request: Request<GetDefaultSandboxRequest>,
    ) -> Answer<GetDefaultSandboxResponse> {
        let sandbox = Some(at_once(self.store.default_sandbox()).await?);
        Ok(Response::new(GetDefaultSandboxResponse { sandbox }))
    }

    async fn set_default_sandbox(
        &self,
        request: Request<SetDefaultSandboxRequest>,
    ) -> Answer<SetDefaultSandboxResponse> {
        let name = parse::optional_record_name("name", &request.into_inner().name)?;
        let previous = self.store.set_default(name).await?.unwrap_or_default();
        Ok(Response::new(SetDefaultSandboxResponse { previous }))
    }

    async fn acquire_lease(
        &self,
        request: Request<AcquireLeaseRequest>,
    ) -> Answer<AcquireLeaseResponse> {
        let (name, holder, ttl) = parse::acquire(request.into_inner())?;
        let lease = Some(self.store.acquire_lease(name, holder, ttl).await?);
        Ok(Response::new(AcquireLeaseResponse { lease }))
    }

    async fn renew_lease(&self, request: Request<RenewLeaseRequest>) -> Answer<RenewLeaseResponse> {
        let (name, fence_token, ttl) = parse::renew(&request.into_inner())?;
        let lease = Some(self.store.renew_lease(name, fence_token, ttl).await?);
        Ok(Response::new(RenewLeaseResponse { lease }))
    }

    async fn release_lease(
        &self,
        request: Request<ReleaseLeaseRequest>,
    ) -> Answer<ReleaseLeaseResponse> {
        let request = request.into_inner();
        let name = parse::record_name("sandbox", &request.sandbox)?.to_string();
        let fence_token = parse::needed_fence_token(request.fence_token)?;
        self.store.release_lease(name, fence_token).await?;
        Ok(Response::new(ReleaseLeaseResponse {}))
    }

    async fn register_gateway(
        &self,
        request: Request<RegisterGatewayRequest>,
    ) -> Answer<RegisterGatewayResponse> {
        let (gateway, request) = parse::register(request.into_inner())?;
        let gateway = Some(self.store.register(gateway, request).await?);
        Ok(Response::new(RegisterGatewayResponse { gateway }))
    }

    async fn heartbeat_gateway(
        &self,
        request: Request<HeartbeatGatewayRequest>,
    ) -> Answer<HeartbeatGatewayResponse> {
        let (name, heartbeat) = parse::heartbeat(request.into_inner())?;
        let gateway = Some(self.store.heartbeat(name, heartbeat).await?);
        Ok(Response::new(HeartbeatGatewayResponse { gateway }))
    }

    async fn get_gateway(&self, request: Request<GetGatewayRequest>) -> Answer<GetGatewayResponse> {
        let name = parse::gateway_name("name", &request.into_inner().name)?.to_string();
        let gateway = Some(at_once(self.store.gateway(&name)).await?);
        Ok(Response::new(GetGatewayResponse { gateway }))
    }

    async fn list_gateways(
        &self,
        request: Request<ListGatewaysRequest>,
    ) -> Answer<ListGatewaysResponse> {
        let list = parse::list_gateways(request.into_inner())?;
        Ok(Response::new(self.list_gateways(list).await?))
    }

    async fn update_gateway(
        &self,
        request: Request<UpdateGatewayRequest>,
    ) -> Answer<UpdateGatewayResponse> {
        let change = parse::update_gateway(request.into_inner())?;
        let gateway = Some(self.store.update_gateway(change).await?);
        Ok(Response::new(UpdateGatewayResponse { gateway }))
    }

    async fn delete_gateway(
        &self,
        request: Request<DeleteGatewayRequest>,
    ) -> Answer<DeleteGatewayResponse> {
        let request = request.into_inner();
        let name = parse::gateway_name("name", &request.name)?.to_string();
        let etag = parse::etag("etag", request.etag)?;
        self.store.delete_gateway(name, etag).await?;
        Ok(Response::new(DeleteGatewayResponse {}))
    }

    async fn acquire_serving_lease(
        &self,
        request: Request<AcquireServingLeaseRequest>,
    ) -> Answer<AcquireServingLeaseResponse> {
        let (gateway, holder, ttl) = parse::acquire_serving(request.into_inner())?;
        let lease = Some(self.store.acquire_serving(gateway, holder, ttl).await?);
        Ok(Response::new(AcquireServingLeaseResponse { lease }))
    }

    async fn renew_serving_lease(
        &self,
        request: Request<RenewServingLeaseRequest>,
    ) -> Answer<RenewServingLeaseResponse> {
        let (gateway, epoch, ttl) = parse::renew_serving(&request.into_inner())?;
        let lease = Some(self.store.renew_serving(gateway, epoch, ttl).await?);
        Ok(Response::new(RenewServingLeaseResponse { lease }))
    }

    async fn release_serving_lease(
        &self,
        request: Request<ReleaseServingLeaseRequest>,
    ) -> Answer<ReleaseServingLeaseResponse> {
        let (gateway, epoch) = parse::release_serving(&request.into_inner())?;
        self.store.release_lease(gateway, epoch).await?;
        Ok(Response::new(ReleaseServingLeaseResponse {}))
    }
}
