//! The registry.

use std::time::Duration;

use salvor_core::{
    id::Fence,
    name::{GatewayName, RecordName},
};
use salvor_proto::{
    Error,
    registry::v1::{self as pb, registry_service_client::RegistryServiceClient},
    time::duration,
};
use salvor_runtime::{
    TracedChannel,
    channel::{Unanswered, unanswered},
};
use tokio::time::Instant;
use tonic::Status;

/// A client of the registry. Clones share one connection.
#[derive(Debug, Clone)]
pub struct Registry {
    client: RegistryServiceClient<TracedChannel>,
}

/// A lease as held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Its fence token.
    pub fence: Fence,
    /// Just before it was asked for: its time has run since then at most.
    pub asked: Instant,
}

/// How often what was lost is asked for again: several replicas may be gone at once, and found out one by one.
const AGAIN: usize = 3;

/// Asks again what was lost with its connection: a replica that is killed or stopped takes along what it has in hand. That harms
/// nothing: reads have no effects, a holder is given its own lease again, and a write is known by its request id.
macro_rules! ask {
    ($self:ident.$method:ident($request:expr)) => {{
        let request = $request;
        let mut left = AGAIN;
        loop {
            let answer = Box::pin($self.client.clone().$method(request.clone())).await;
            match answer {
                Err(status) if left > 0 && unanswered(&status) == Some(Unanswered::Lost) => {
                    left -= 1
                }
                answered => break answered.map(tonic::Response::into_inner),
            }
        }
    }};
}

fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn relayed(status: &Status) -> Error {
    Error::relayed(status, "registry", "REGISTRY_UNAVAILABLE")
}

fn missing(what: &str) -> Error {
    Error::internal(format!("the registry answered without {what}"))
}

impl Registry {
    /// A client over `channel`.
    pub fn new(channel: TracedChannel) -> Self {
        Self { client: RegistryServiceClient::new(channel) }
    }

    /// Reads one record, a tombstone too.
    pub async fn sandbox(&self, name: &RecordName) -> Result<pb::Sandbox, Error> {
        let request = pb::GetSandboxRequest { name: name.to_string(), show_deleted: true };
        let answer = ask!(self.get_sandbox(request)).map_err(|s| relayed(&s))?;
        answer.sandbox.ok_or_else(|| missing("the record"))
    }

    /// Reads one gateway; `None` when it is not registered.
    pub async fn gateway(&self, name: &GatewayName) -> Result<Option<pb::Gateway>, Error> {
        let request = pb::GetGatewayRequest { name: name.to_string() };
        match ask!(self.get_gateway(request)) {
            Ok(answer) => Ok(answer.gateway),
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(relayed(&status)),
        }
    }

    /// A page of all records, tombstones left out.
    pub async fn list(
        &self,
        page_size: i32,
        page_token: String,
    ) -> Result<pb::ListSandboxesResponse, Error> {
        let request = pb::ListSandboxesRequest {
            page_size,
            page_token,
            ..pb::ListSandboxesRequest::default()
        };
        let answer = ask!(self.list_sandboxes(request));
        answer.map_err(|s| relayed(&s))
    }

    /// Makes a record.
    pub async fn create(
        &self,
        mut request: pb::CreateSandboxRequest,
    ) -> Result<pb::Sandbox, Error> {
        if request.request_id.is_empty() {
            request.request_id = request_id();
        }
        let answer = ask!(self.create_sandbox(request)).map_err(|s| relayed(&s))?;
        answer.sandbox.ok_or_else(|| missing("the record"))
    }

    /// Changes the masked fields of a record, compare-and-swap on its etag.
    pub async fn update(
        &self,
        sandbox: pb::Sandbox,
        fields: &[&str],
        fence: Option<Fence>,
    ) -> Result<pb::Sandbox, Error> {
        let fence_token = fence.map_or(0, |fence| fence.0);
        let request = pb::UpdateSandboxRequest { fence_token, ..change(sandbox, fields) };
        self.send_update(request).await
    }

    /// Answers what [`update`](Self::update) would make of a record, and changes nothing.
    pub async fn check_update(
        &self,
        sandbox: pb::Sandbox,
        fields: &[&str],
    ) -> Result<pb::Sandbox, Error> {
        let request = pb::UpdateSandboxRequest { validate_only: true, ..change(sandbox, fields) };
        self.send_update(request).await
    }

    async fn send_update(&self, request: pb::UpdateSandboxRequest) -> Result<pb::Sandbox, Error> {
        let answer = ask!(self.update_sandbox(request)).map_err(|s| relayed(&s))?;
        answer.sandbox.ok_or_else(|| missing("the record"))
    }

    /// Turns a record into a tombstone.
    pub async fn bury(&self, name: &RecordName, etag: &str, fence: Fence) -> Result<(), Error> {
        let request = pb::DeleteSandboxRequest {
            name: name.to_string(),
            etag: etag.to_owned(),
            fence_token: fence.0,
            request_id: request_id(),
        };
        ask!(self.delete_sandbox(request)).map(|_| ()).map_err(|s| relayed(&s))
    }

    /// Copies a record verbatim.
    pub async fn snapshot_entry(&self, name: &RecordName) -> Result<pb::EntrySnapshot, Error> {
        let request = pb::SnapshotEntryRequest { name: name.to_string() };
        let answer = ask!(self.snapshot_entry(request)).map_err(|s| relayed(&s))?;
        answer.snapshot.ok_or_else(|| missing("the copy"))
    }

    /// Hands out the sealed bytes, for a recreate: those of a copy of the record, if there is one.
    pub async fn material(
        &self,
        name: &RecordName,
        copy: Option<pb::EntrySnapshot>,
        fence: Fence,
    ) -> Result<pb::OpenSandboxMaterialResponse, Error> {
        let name = name.to_string();
        let request = pb::OpenSandboxMaterialRequest { name, fence_token: fence.0, copy };
        let answer = ask!(self.open_sandbox_material(request));
        answer.map_err(|s| relayed(&s))
    }

    /// Takes a record's lease.
    ///
    /// # Errors
    /// `LEASE_HELD`, naming the holder.
    pub async fn acquire(
        &self,
        name: &RecordName,
        holder: &str,
        ttl: Duration,
    ) -> Result<Lease, Error> {
        let asked = Instant::now();
        let request = pb::AcquireLeaseRequest {
            sandbox: name.to_string(),
            holder: holder.to_owned(),
            ttl: Some(duration(ttl)),
        };
        let answer = ask!(self.acquire_lease(request)).map_err(|s| relayed(&s))?;
        let lease = answer.lease.ok_or_else(|| missing("the lease"))?;
        Ok(Lease { fence: Fence(lease.fence_token), asked })
    }

    /// Extends a lease.
    ///
    /// # Errors
    /// `LEASE_LOST`: somebody else may hold it now.
    pub async fn renew(&self, name: &RecordName, lease: Lease, ttl: Duration) -> Result<(), Error> {
        let request = pb::RenewLeaseRequest {
            sandbox: name.to_string(),
            fence_token: lease.fence.0,
            ttl: Some(duration(ttl)),
        };
        ask!(self.renew_lease(request)).map(|_| ()).map_err(|s| relayed(&s))
    }

    /// Gives a lease back.
    pub async fn release(&self, name: &RecordName, lease: Lease) -> Result<(), Error> {
        let request =
            pb::ReleaseLeaseRequest { sandbox: name.to_string(), fence_token: lease.fence.0 };
        ask!(self.release_lease(request)).map(|_| ()).map_err(|s| relayed(&s))
    }
}

fn change(sandbox: pb::Sandbox, fields: &[&str]) -> pb::UpdateSandboxRequest {
    let paths = fields.iter().map(|&field| field.to_owned()).collect();
    pb::UpdateSandboxRequest {
        sandbox: Some(sandbox),
        update_mask: Some(prost_types::FieldMask { paths }),
        request_id: request_id(),
        ..pb::UpdateSandboxRequest::default()
    }
}
