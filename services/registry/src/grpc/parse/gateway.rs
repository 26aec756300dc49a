//! Requests on gateways.

use salvor_proto::registry::v1::{
    BearerToken, Gateway, GatewayCredentials, GatewayHeartbeat, GatewayIdentity,
    HeartbeatGatewayRequest, ListGatewaysRequest, MutualTls, RegisterGatewayRequest,
    UpdateGatewayRequest, gateway_credentials::Method,
};
use tonic::transport::Uri;

use super::record::text;
use super::{etag, gateway_name, missing, page_size, request_id};
use crate::error::Error;
use crate::store::{GatewayChange, RequestId};

const MAX_TEXT: usize = 256;
const MAX_PATH: usize = 4096;
const FIELDS: [&str; 4] = ["endpoint", "credentials", "pinned_identity", "adapter_id"];

/// A page of gateways to be listed.
#[derive(Debug)]
pub(in crate::grpc) struct ListGateways {
    pub(in crate::grpc) size: usize,
    pub(in crate::grpc) token: String,
    /// What must be the same on every page.
    pub(in crate::grpc) identity: [String; 2],
}

pub(in crate::grpc) fn register(
    mut request: RegisterGatewayRequest,
) -> Result<(Gateway, Option<RequestId>), Error> {
    let id = request_id("RegisterGateway", &std::mem::take(&mut request.request_id), &request)?;
    let given = request.gateway.ok_or_else(|| missing("gateway"))?;
    gateway_name("gateway.name", &given.name)?;
    check(&given, &FIELDS)?;
    let gateway = Gateway {
        name: given.name,
        endpoint: given.endpoint,
        credentials: given.credentials,
        pinned_identity: given.pinned_identity,
        adapter_id: given.adapter_id,
        ..Gateway::default()
    };
    Ok((gateway, id))
}

pub(in crate::grpc) fn update_gateway(
    request: UpdateGatewayRequest,
) -> Result<GatewayChange, Error> {
    let gateway = request.gateway.ok_or_else(|| missing("gateway"))?;
    gateway_name("gateway.name", &gateway.name)?;
    etag("gateway.etag", gateway.etag.clone())?;
    let paths = request.update_mask.ok_or_else(|| missing("update_mask"))?.paths;
    let fields = paths.iter().map(|path| field(path)).collect::<Result<Vec<_>, _>>()?;
    if fields.is_empty() {
        return Err(missing("update_mask"));
    }
    check(&gateway, &fields)?;
    Ok(GatewayChange { gateway, fields })
}

pub(in crate::grpc) fn heartbeat(
    request: HeartbeatGatewayRequest,
) -> Result<(String, GatewayHeartbeat), Error> {
    let name = gateway_name("name", &request.name)?.to_string();
    let heartbeat = request.heartbeat.ok_or_else(|| missing("heartbeat"))?;
    if heartbeat.adapter_id.is_empty() {
        return Err(missing("heartbeat.adapter_id"));
    }
    text("heartbeat.adapter_id", &heartbeat.adapter_id, MAX_TEXT)?;
    text("heartbeat.version", &heartbeat.version, MAX_TEXT)?;
    text("heartbeat.reason", &heartbeat.reason, MAX_TEXT)?;
    if !heartbeat.adapter_endpoint.is_empty() {
        endpoint("heartbeat.adapter_endpoint", &heartbeat.adapter_endpoint)?;
    }
    if let Some(said) = &heartbeat.identity {
        identity("heartbeat.identity", said)?;
    }
    Ok((name, heartbeat))
}

pub(in crate::grpc) fn list_gateways(request: ListGatewaysRequest) -> Result<ListGateways, Error> {
    let identity = ["ListGateways".to_owned(), request.page_size.to_string()];
    Ok(ListGateways { size: page_size(request.page_size)?, token: request.page_token, identity })
}

fn field(path: &str) -> Result<&'static str, Error> {
    if let Some(field) = FIELDS.iter().find(|field| **field == path) {
        return Ok(field);
    }
    let problem = format!("{path:?} cannot be changed; name any of {}", FIELDS.join(", "));
    Err(Error::invalid("update_mask", problem))
}

fn check(gateway: &Gateway, fields: &[&str]) -> Result<(), Error> {
    for field in fields {
        match *field {
            "endpoint" => endpoint("gateway.endpoint", &gateway.endpoint)?,
            "credentials" => credentials(gateway.credentials.as_ref())?,
            "pinned_identity" => {
                gateway
                    .pinned_identity
                    .as_ref()
                    .map_or(Ok(()), |pin| identity("gateway.pinned_identity", pin))?;
            }
            _ => text("gateway.adapter_id", &gateway.adapter_id, MAX_TEXT)?,
        }
    }
    Ok(())
}

fn endpoint(field: &str, text: &str) -> Result<(), Error> {
    const FORM: &str = "must be http://host:port or https://host:port";
    if text.is_empty() {
        return Err(missing(field));
    }
    if text.len() > MAX_TEXT * 2 {
        return Err(Error::invalid(field, FORM));
    }
    // Said without the text: it may hold a password.
    let uri: Uri = text.parse().map_err(|_| Error::invalid(field, FORM))?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(Error::invalid(
            field,
            "must not hold credentials; name their file in credentials",
        ));
    }
    let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let host = uri.host().is_some_and(|host| !host.is_empty());
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !text.contains('#');
    if scheme && host && bare { Ok(()) } else { Err(Error::invalid(field, FORM)) }
}

fn credentials(credentials: Option<&GatewayCredentials>) -> Result<(), Error> {
    match credentials.and_then(|credentials| credentials.method.as_ref()) {
        None => Ok(()),
        Some(Method::MutualTls(MutualTls { ca_file, certificate_file, key_file })) => {
            file("gateway.credentials.mutual_tls.ca_file", ca_file)?;
            file("gateway.credentials.mutual_tls.certificate_file", certificate_file)?;
            file("gateway.credentials.mutual_tls.key_file", key_file)
        }
        Some(Method::BearerToken(BearerToken { token_file, ca_file })) => {
            file("gateway.credentials.bearer_token.token_file", token_file)?;
            text("gateway.credentials.bearer_token.ca_file", ca_file, MAX_PATH)
        }
    }
}

fn file(field: &str, path: &str) -> Result<(), Error> {
    if path.is_empty() {
        return Err(missing(field));
    }
    text(field, path, MAX_PATH)
}

fn identity(field: &str, identity: &GatewayIdentity) -> Result<(), Error> {
    text(&format!("{field}.store_id"), &identity.store_id, MAX_TEXT)?;
    text(&format!("{field}.signing_key_id"), &identity.signing_key_id, MAX_TEXT)?;
    text(&format!("{field}.issuer"), &identity.issuer, MAX_TEXT * 8)?;
    text(&format!("{field}.ca_sha256"), &identity.ca_sha256, MAX_TEXT)
}
