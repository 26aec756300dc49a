//! What handlers take in and give out: checked, with the field's name in every complaint.

mod snapshots;

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use salvor_core::{
    Check, Evidence, Request, SagaKind,
    evidence::Asked,
    id::{PlanDigest, RecoveryName, SnapshotName},
    name::{GatewayName, RecordName, Workspace},
};
use salvor_proto::{Error, recovery::v1 as pb, time::plain};

use crate::{
    engine::{Ask, Retire},
    folded::folded_found,
    journal::{DecisionFilter, Found, RecoveryFilter, StoredDecision},
    view,
};

pub(super) use snapshots::{
    delete_sandbox_snapshots, drill_sandbox, prune_sandbox_snapshots, restore_sandbox,
    snapshot_sandbox,
};

/// RecoverSandbox waits so long for evidence to settle, unless told otherwise.
const SETTLE: Duration = Duration::from_secs(15);
/// And so long at the most.
const MAX_SETTLE: Duration = Duration::from_mins(1);
/// WaitRecovery waits so long, unless told otherwise.
const WAIT: Duration = Duration::from_mins(1);
/// And so long at the most: a server ends every call after two minutes.
const MAX_WAIT: Duration = Duration::from_secs(100);

pub(super) fn record(name: &str) -> Result<RecordName, Error> {
    name.parse().map_err(|error| Error::invalid("name", format!("{error}")))
}

pub(super) fn recovery(name: &str) -> Result<RecoveryName, Error> {
    let id = name.strip_prefix("recoveries/").unwrap_or_default();
    let well_formed = (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !well_formed {
        return Err(Error::invalid("name", "must have the form recoveries/{recovery}"));
    }
    Ok(RecoveryName(name.to_owned()))
}

pub(super) fn adopt_gateway(
    request: &pb::AdoptGatewayRequest,
) -> Result<(GatewayName, String), Error> {
    let gateway: GatewayName =
        request.gateway.parse().map_err(|e| Error::invalid("gateway", format!("{e}")))?;
    if !request.workspace.is_empty() {
        let checked: Result<Workspace, _> = request.workspace.parse();
        checked.map_err(|e| Error::invalid("workspace", format!("{e}")))?;
    }
    Ok((gateway, request.workspace.clone()))
}

pub(super) fn plan(request: pb::PlanRecoveryRequest) -> Result<Ask, Error> {
    Ok(Ask {
        name: record(&request.name)?,
        request: if request.destroy { Request::Destroy } else { path(request.path)? },
        asked: Asked { snapshot: snapshot(&request.snapshot)?, ..Asked::default() },
        request_id: None,
        validate_only: true,
        plan_digest: None,
        accepted_loss: digest("accept_data_loss", request.accept_data_loss)?,
        settle_timeout: Duration::ZERO,
    })
}

pub(super) fn recover(request: pb::RecoverSandboxRequest) -> Result<Ask, Error> {
    Ok(Ask {
        name: record(&request.name)?,
        request: path(request.path)?,
        asked: Asked { snapshot: snapshot(&request.snapshot)?, ..Asked::default() },
        request_id: request_id(&request.request_id)?,
        validate_only: request.validate_only,
        plan_digest: digest("plan_digest", request.plan_digest)?,
        accepted_loss: digest("accept_data_loss", request.accept_data_loss)?,
        settle_timeout: settle(request.settle_timeout.as_ref())?,
    })
}

/// A snapshot's name: exact, or nothing.
fn snapshot(name: &str) -> Result<Option<SnapshotName>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    let well_formed =
        name.strip_prefix("gateways/").and_then(|rest| rest.split_once("/snapshots/"));
    let exact = well_formed.is_some_and(|(gateway, id)| {
        format!("gateways/{gateway}").parse::<GatewayName>().is_ok()
            && id.len() == 64
            && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    });
    if !exact {
        return Err(Error::invalid(
            "snapshot",
            "must be gateways/{gateway}/snapshots/{id} with all 64 hex digits of the id: a part of it names nothing",
        ));
    }
    Ok(Some(SnapshotName(name.to_owned())))
}

pub(super) fn destroy(request: pb::DestroySandboxRequest) -> Result<Ask, Error> {
    Ok(Ask {
        name: record(&request.name)?,
        request: Request::Destroy,
        asked: Asked::default(),
        request_id: request_id(&request.request_id)?,
        validate_only: request.validate_only,
        plan_digest: None,
        accepted_loss: digest("accept_data_loss", request.accept_data_loss)?,
        settle_timeout: settle(request.settle_timeout.as_ref())?,
    })
}

pub(super) fn wait(request: &pb::WaitRecoveryRequest) -> Result<(RecoveryName, Duration), Error> {
    let timeout = bounded("timeout", request.timeout.as_ref(), WAIT, MAX_WAIT)?;
    Ok((recovery(&request.name)?, timeout))
}

pub(super) fn retire(request: pb::RetireRecoveryRequest) -> Result<Retire, Error> {
    if request.etag.is_empty() {
        return Err(Error::invalid("etag", "must be the etag of the recovery as it was read"));
    }
    Ok(Retire {
        name: recovery(&request.name)?,
        etag: request.etag,
        request_id: request_id(&request.request_id)?,
        validate_only: request.validate_only,
        newer_version_gone: request.newer_version_gone,
        give_up: request.give_up,
    })
}

pub(super) fn list_recoveries(
    request: &pb::ListRecoveriesRequest,
) -> Result<RecoveryFilter, Error> {
    let sandbox = match request.sandbox.as_str() {
        "" => None,
        name => Some(name.parse().map_err(|e| Error::invalid("sandbox", format!("{e}")))?),
    };
    let before = match open_token(&request.page_token)? {
        Some(token) => {
            let (ms, name) = token.split_once('/').ok_or_else(bad_token)?;
            Some((ms.parse().map_err(|_| bad_token())?, name.to_owned()))
        }
        None => None,
    };
    let limit = page_size(request.page_size)?;
    Ok(RecoveryFilter { sandbox, open_only: request.open_only, before, limit })
}

/// The page; full means that there may be more.
pub(super) fn recoveries_page(found: &[Found], limit: u32) -> pb::ListRecoveriesResponse {
    let full = found.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let next = found.last().filter(|_| full).map_or_else(String::new, |found| {
        seal_token(&format!("{}/{}", found.created_ms, found.name))
    });
    let shown = found.iter().filter_map(|found| match folded_found(found) {
        Ok(folded) => {
            let mut recovery = view::recovery(found, &folded, false);
            recovery.steps.clear();
            Some(recovery)
        }
        Err(error) => {
            tracing::error!(recovery = %found.name, %error, "left out of a list");
            None
        }
    });
    pb::ListRecoveriesResponse { recoveries: shown.collect(), next_page_token: next }
}

pub(super) fn list_decisions(request: &pb::ListDecisionsRequest) -> Result<DecisionFilter, Error> {
    let parent = request.parent.as_str();
    if recovery(parent).is_err() {
        let name: Result<RecordName, _> = parent.parse();
        name.map_err(|_| {
            Error::invalid(
                "parent",
                "must be recoveries/{recovery} or \
                 gateways/{gateway}/workspaces/{workspace}/sandboxes/{sandbox}",
            )
        })?;
    }
    let after = match open_token(&request.page_token)? {
        Some(token) => token.parse().map_err(|_| bad_token())?,
        None => 0,
    };
    let limit = page_size(request.page_size)?;
    Ok(DecisionFilter {
        parent: parent.to_owned(),
        refused_only: request.refused_only,
        after,
        limit,
    })
}

pub(super) fn decisions_page(found: &[StoredDecision], limit: u32) -> pb::ListDecisionsResponse {
    let full = found.len() == usize::try_from(limit).unwrap_or(usize::MAX);
    let last = found.last().filter(|_| full);
    pb::ListDecisionsResponse {
        next_page_token: last.map_or_else(String::new, |d| seal_token(&d.row.to_string())),
        decisions: found.iter().map(view::stored_decision).collect(),
    }
}

pub(super) fn guard(saga: SagaKind, row: &Check<Evidence>) -> pb::list_guards_response::Guard {
    pb::list_guards_response::Guard {
        id: row.id.to_owned(),
        claim: row.claim.to_owned(),
        saga: view::saga(saga).into(),
        reasons: row.reasons.iter().map(|&reason| reason.to_owned()).collect(),
        overridable: row.reasons.contains(&"DATA_LOSS_NOT_ACCEPTED"),
    }
}

fn path(path: i32) -> Result<Request, Error> {
    match pb::RecoveryPath::try_from(path) {
        Ok(pb::RecoveryPath::Unspecified | pb::RecoveryPath::Auto) => Ok(Request::Auto),
        Ok(pb::RecoveryPath::Revive) => Ok(Request::Revive),
        Ok(pb::RecoveryPath::Rebuild) => Ok(Request::Rebuild),
        Err(_) => Err(Error::invalid("path", format!("{path} is not a recovery path"))),
    }
}

fn request_id(text: &str) -> Result<Option<String>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = uuid::Uuid::parse_str(text);
    let id = id.map_err(|_| Error::invalid("request_id", "must be a UUID"))?;
    Ok(Some(id.hyphenated().to_string()))
}

fn digest(field: &str, text: String) -> Result<Option<PlanDigest>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let hex = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !hex {
        return Err(Error::invalid(field, "must be a plan's digest: 64 lower-case hex digits"));
    }
    Ok(Some(PlanDigest(text)))
}

fn settle(timeout: Option<&prost_types::Duration>) -> Result<Duration, Error> {
    bounded("settle_timeout", timeout, SETTLE, MAX_SETTLE)
}

fn bounded(
    field: &str,
    given: Option<&prost_types::Duration>,
    default: Duration,
    max: Duration,
) -> Result<Duration, Error> {
    let Some(given) = given else { return Ok(default) };
    if given.seconds < 0 || given.nanos < 0 {
        return Err(Error::invalid(field, "must not be negative"));
    }
    let given = plain(given);
    if given > max {
        return Err(Error::invalid(field, format!("must be at most {} s", max.as_secs())));
    }
    Ok(given)
}

fn page_size(size: i32) -> Result<u32, Error> {
    match u32::try_from(size) {
        Ok(0) => Ok(100),
        Ok(size @ 1..=1000) => Ok(size),
        Ok(_) | Err(_) => Err(Error::invalid("page_size", "must be from 0 to 1000")),
    }
}

fn seal_token(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn open_token(token: &str) -> Result<Option<String>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad_token())?;
    String::from_utf8(bytes).map(Some).map_err(|_| bad_token())
}

fn bad_token() -> Error {
    Error::invalid("page_token", "is not one that this list answered; begin with the first page")
}

#[cfg(test)]
mod tests;
