//! Requests, checked field by field.
//!
//! Invariant: what passes is well formed and within its limits, and what does not is refused with the path of its field.
//! Deliberately absent: anything that needs the store.

mod gateway;
mod keys;
mod record;
mod snapshots;

use std::time::Duration;

use prost::Message;
use salvor_core::name::{self, GatewayName, RecordName};
use salvor_proto::registry::v1::{
    AcquireLeaseRequest, AcquireServingLeaseRequest, CreateSandboxRequest, DeleteSandboxRequest,
    ListSandboxesRequest, ReleaseServingLeaseRequest, RenewLeaseRequest, RenewServingLeaseRequest,
    RestoreEntryRequest, Sandbox, UpdateSandboxRequest, WatchSandboxesRequest,
};
use salvor_proto::time::plain;
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::record::{Field, Mask};
use crate::store::{Create, Delete, Query, RequestId, Restore, Update};

pub(super) use gateway::{ListGateways, heartbeat, list_gateways, register, update_gateway};

const MAX_PAGE: i32 = 1000;
const DEFAULT_PAGE: usize = 100;
const MAX_HOLDER: usize = 256;
const MIN_TTL: Duration = Duration::from_secs(1);
const MAX_TTL: Duration = Duration::from_mins(10);
const DEFAULT_TTL: Duration = Duration::from_secs(30);

/// A page to be listed.
#[derive(Debug)]
pub(super) struct List {
    pub(super) query: Query,
    pub(super) size: usize,
    pub(super) token: String,
    /// What must be the same on every page.
    pub(super) identity: [String; 5],
}

pub(super) fn create(mut request: CreateSandboxRequest) -> Result<Create, Error> {
    let only_check = std::mem::take(&mut request.validate_only);
    let id = request_id("CreateSandbox", &std::mem::take(&mut request.request_id), &request)?;
    let given = request.sandbox.ok_or_else(|| missing("sandbox"))?;
    let name = record_name("sandbox.name", &given.name)?;
    let fields: Vec<Field> =
        Field::ALL.iter().copied().filter(|field| !field.is_of_the_holder()).collect();
    record::check(&given, &fields)?;
    let empty = Sandbox { name: given.name.clone(), ..Sandbox::default() };
    let mut sandbox = Mask::new(fields).apply(&empty, &given);
    let contents = record::contents(&mut sandbox);
    record::no_echo(&contents)?;
    let gateway = name.owner().to_string();
    Ok(Create {
        sandbox,
        contents,
        gateway,
        request: id,
        only_check,
        claim_default: request.claim_default,
    })
}

pub(super) fn update(mut request: UpdateSandboxRequest) -> Result<Update, Error> {
    let only_check = std::mem::take(&mut request.validate_only);
    let id = request_id("UpdateSandbox", &std::mem::take(&mut request.request_id), &request)?;
    let given = request.sandbox.ok_or_else(|| missing("sandbox"))?;
    record_name("sandbox.name", &given.name)?;
    let etag = etag("sandbox.etag", given.etag.clone())?;
    let paths = request.update_mask.ok_or_else(|| missing("update_mask"))?.paths;
    let fields = paths.iter().map(|path| record::field(path)).collect::<Result<Vec<_>, _>>()?;
    if fields.is_empty() {
        return Err(missing("update_mask"));
    }
    record::check(&given, &fields)?;
    if fields.contains(&Field::State) {
        record::check_state(given.state)?;
    }
    let mask = Mask::new(fields);
    let empty = Sandbox { name: given.name.clone(), etag, ..Sandbox::default() };
    let mut sandbox = mask.apply(&empty, &given);
    let contents = record::contents(&mut sandbox);
    let fence_token = fence_token(request.fence_token)?;
    Ok(Update { sandbox, contents, mask, fence_token, request: id, only_check })
}

pub(super) fn delete(mut request: DeleteSandboxRequest) -> Result<Delete, Error> {
    let id = request_id("DeleteSandbox", &std::mem::take(&mut request.request_id), &request)?;
    Ok(Delete {
        name: record_name("name", &request.name)?.to_string(),
        etag: etag("etag", request.etag)?,
        fence_token: fence_token(request.fence_token)?,
        request: id,
    })
}

pub(super) fn restore(request: RestoreEntryRequest) -> Result<Restore, Error> {
    let snapshot = request.snapshot.ok_or_else(|| missing("snapshot"))?;
    let name = record_name("snapshot.name", &snapshot.name)?;
    let fence_token = fence_token(request.fence_token)?;
    Ok(Restore { snapshot, gateway: name.owner().to_string(), etag: request.etag, fence_token })
}

pub(super) fn list(request: ListSandboxesRequest) -> Result<List, Error> {
    let mut query = parent(&request.parent)?;
    if !request.sandbox.is_empty() {
        let sandbox = request.sandbox.parse::<name::Sandbox>();
        query.sandbox =
            Some(sandbox.map_err(|error| Error::invalid("sandbox", error.to_string()))?.into());
    }
    query.show_deleted = request.show_deleted;
    let identity = [
        "ListSandboxes".to_owned(),
        request.parent,
        request.sandbox,
        request.show_deleted.to_string(),
        request.page_size.to_string(),
    ];
    Ok(List { query, size: page_size(request.page_size)?, token: request.page_token, identity })
}

pub(super) fn watch(request: &WatchSandboxesRequest) -> Result<(i64, Query), Error> {
    if request.start_revision < 0 {
        return Err(Error::invalid("start_revision", "must not be negative"));
    }
    Ok((request.start_revision, parent(&request.parent)?))
}

pub(super) fn acquire(request: AcquireLeaseRequest) -> Result<(String, String, Duration), Error> {
    let name = record_name("sandbox", &request.sandbox)?.to_string();
    Ok((name, holder(request.holder)?, ttl(request.ttl)?))
}

pub(super) fn renew(request: &RenewLeaseRequest) -> Result<(String, i64, Duration), Error> {
    let name = record_name("sandbox", &request.sandbox)?.to_string();
    Ok((name, needed_fence_token(request.fence_token)?, ttl(request.ttl)?))
}

pub(super) fn acquire_serving(
    request: AcquireServingLeaseRequest,
) -> Result<(String, String, Duration), Error> {
    let name = gateway_name("gateway", &request.gateway)?.to_string();
    Ok((name, holder(request.holder)?, ttl(request.ttl)?))
}

pub(super) fn renew_serving(
    request: &RenewServingLeaseRequest,
) -> Result<(String, i64, Duration), Error> {
    let name = gateway_name("gateway", &request.gateway)?.to_string();
    Ok((name, epoch(request.epoch)?, ttl(request.ttl)?))
}

pub(super) fn release_serving(
    request: &ReleaseServingLeaseRequest,
) -> Result<(String, i64), Error> {
    Ok((gateway_name("gateway", &request.gateway)?.to_string(), epoch(request.epoch)?))
}

fn epoch(epoch: i64) -> Result<i64, Error> {
    if epoch > 0 {
        Ok(epoch)
    } else {
        Err(Error::invalid("epoch", "is required; AcquireServingLease gives one"))
    }
}

fn holder(holder: String) -> Result<String, Error> {
    if holder.is_empty() {
        return Err(missing("holder"));
    }
    if holder.len() > MAX_HOLDER || holder.chars().any(char::is_control) {
        let form = "must be at most 256 bytes without control characters";
        return Err(Error::invalid("holder", form));
    }
    Ok(holder)
}

pub(super) fn record_name(field: &str, text: &str) -> Result<RecordName, Error> {
    text.parse().map_err(|error: name::Error| Error::invalid(field, error.to_string()))
}

/// The name, or none if `text` is empty.
pub(super) fn optional_record_name(field: &str, text: &str) -> Result<Option<String>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    record_name(field, text).map(|name| Some(name.to_string()))
}

pub(super) fn gateway_name(field: &str, text: &str) -> Result<GatewayName, Error> {
    text.parse().map_err(|error: name::Error| Error::invalid(field, error.to_string()))
}

pub(super) fn etag(field: &str, etag: String) -> Result<String, Error> {
    if etag.is_empty() {
        return Err(Error::invalid(field, "is required; read the present one first"));
    }
    if etag.len() > 128 {
        return Err(Error::invalid(field, "is longer than any etag of this registry"));
    }
    Ok(etag)
}

pub(super) fn needed_fence_token(token: i64) -> Result<i64, Error> {
    if token > 0 {
        Ok(token)
    } else {
        Err(Error::invalid("fence_token", "is required; AcquireLease gives one"))
    }
}

fn fence_token(token: i64) -> Result<i64, Error> {
    if token >= 0 { Ok(token) } else { Err(Error::invalid("fence_token", "must not be negative")) }
}

fn page_size(size: i32) -> Result<usize, Error> {
    match size {
        0 => Ok(DEFAULT_PAGE),
        1..=MAX_PAGE => Ok(usize::try_from(size).unwrap_or(DEFAULT_PAGE)),
        _ => Err(Error::invalid("page_size", "must be 1 to 1000, or 0 for 100")),
    }
}

fn parent(text: &str) -> Result<Query, Error> {
    const FORM: &str =
        "must be empty or gateways/{gateway}/workspaces/{workspace}, where either may be '-'";
    if text.is_empty() {
        return Ok(Query::default());
    }
    let segments: Vec<&str> = text.split('/').collect();
    let ["gateways", gateway, "workspaces", workspace] = segments[..] else {
        return Err(Error::invalid("parent", FORM));
    };
    let refused = |error: name::Error| Error::invalid("parent", error.to_string());
    let gateway = match gateway {
        "-" => None,
        label => Some(label.parse::<name::Gateway>().map_err(refused)?.into()),
    };
    let workspace = match workspace {
        "-" => None,
        label => Some(label.parse::<name::Workspace>().map_err(refused)?.into()),
    };
    Ok(Query { gateway, workspace, ..Query::default() })
}

fn ttl(ttl: Option<prost_types::Duration>) -> Result<Duration, Error> {
    let Some(ttl) = ttl else { return Ok(DEFAULT_TTL) };
    let ttl = plain(&ttl);
    if (MIN_TTL..=MAX_TTL).contains(&ttl) {
        return Ok(ttl);
    }
    Err(Error::invalid("ttl", "must be 1 s to 10 min"))
}

/// `content` is the request without its id.
fn request_id(method: &str, id: &str, content: &impl Message) -> Result<Option<RequestId>, Error> {
    if id.is_empty() {
        return Ok(None);
    }
    let id =
        uuid::Uuid::parse_str(id).map_err(|_| Error::invalid("request_id", "must be a UUID"))?;
    let fingerprint = Sha256::new()
        .chain_update(method)
        .chain_update([0])
        .chain_update(content.encode_to_vec())
        .finalize();
    Ok(Some(RequestId { id: id.to_string(), fingerprint: fingerprint.to_vec() }))
}

fn missing(field: &str) -> Error {
    Error::invalid(field, "is required")
}
