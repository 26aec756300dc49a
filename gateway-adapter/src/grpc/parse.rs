//! Requests, checked: what leaves here is well-formed.

use std::time::Duration;

use salvor_core::name::{GatewayName, RecordName, Workspace};
use salvor_proto::gateway::v1::{
    CheckProvidersRequest, CreateSandboxRequest, ListLiveSandboxesRequest, SandboxRef,
};
use salvor_proto::registry::v1::{Policy, Posture, ReadinessProbe, SealedPath, Spec, posture};
use salvor_proto::{Error, registry::v1::Dialect as ProtoDialect, time};

use crate::dialect::Dialect;
use crate::mutate::Blueprint;
use crate::permit::{reference, uuid};
use crate::vendor::{Incarnation, Place};
use crate::view::sha256;
use crate::{exec, posture as paths};

/// The record's own limits, in bytes.
const MAX_SPEC: usize = 1 << 20;
const MAX_POLICY: usize = 256 << 10;
/// The vendor's limit of providers for one sandbox.
const MAX_PROVIDERS: usize = 32;
/// The contract's limit on one try of a readiness probe.
const MAX_PROBE: Duration = Duration::from_mins(1);
/// A probe that sets no time gets this.
const DEFAULT_PROBE: Duration = Duration::from_secs(10);
/// The contract's page sizes.
const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 1000;

/// One incarnation of a sandbox.
#[derive(Debug, Clone)]
pub(super) struct Meant {
    /// Which sandbox.
    pub target: RecordName,
    /// Which incarnation.
    pub live_id: String,
}

/// What to list.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Of which gateway.
    pub gateway: GatewayName,
    /// `None` for all workspaces.
    pub workspace: Option<String>,
    /// 1 to 1000.
    pub size: u32,
    /// As it was handed out.
    pub token: String,
}

/// Which providers to look at.
#[derive(Debug, Clone)]
pub(super) struct Providers {
    /// Of which gateway.
    pub gateway: GatewayName,
    /// In which workspace.
    pub workspace: String,
    /// By name, in order.
    pub names: Vec<String>,
}

// === impl Meant ===

impl Meant {
    /// As the vendor's side takes it.
    pub(super) fn vendor(&self) -> Incarnation {
        Incarnation { place: place(&self.target), id: self.live_id.clone() }
    }
}

/// A gateway's resource name.
pub(super) fn gateway(field: &str, text: &str) -> Result<GatewayName, Error> {
    text.parse().map_err(|error: salvor_core::name::Error| Error::invalid(field, error.to_string()))
}

/// A request's sandbox.
pub(super) fn target(sandbox: Option<&SandboxRef>) -> Result<RecordName, Error> {
    reference("sandbox", sandbox)
}

/// Where the sandbox is on its gateway.
pub(super) fn place(target: &RecordName) -> Place {
    Place { workspace: target.workspace.to_string(), sandbox: target.sandbox.to_string() }
}

/// A request's incarnation.
pub(super) fn incarnation(sandbox: Option<&SandboxRef>, live_id: String) -> Result<Meant, Error> {
    let target = target(sandbox)?;
    if live_id.is_empty() {
        return Err(Error::invalid("live_id", "is required"));
    }
    Ok(Meant { target, live_id })
}

fn workspace(text: &str) -> Result<String, Error> {
    let parsed: Result<Workspace, _> = text.parse();
    parsed.map(String::from).map_err(|error| Error::invalid("workspace", error.to_string()))
}

/// What a list is asked for.
pub(super) fn listing(request: ListLiveSandboxesRequest) -> Result<Asked, Error> {
    let gateway = gateway("gateway", &request.gateway)?;
    let workspace = match request.workspace.as_str() {
        "-" => None,
        text => Some(workspace(text)?),
    };
    let size = match u32::try_from(request.page_size) {
        Ok(0) => DEFAULT_PAGE,
        Ok(size) if size <= MAX_PAGE => size,
        _ => return Err(Error::invalid("page_size", format!("must be 0 to {MAX_PAGE}"))),
    };
    Ok(Asked { gateway, workspace, size, token: request.page_token })
}

/// Which providers are asked for.
pub(super) fn providers(request: CheckProvidersRequest) -> Result<Providers, Error> {
    let gateway = gateway("gateway", &request.gateway)?;
    let workspace = workspace(&request.workspace)?;
    let names = request.providers;
    if names.len() > MAX_PROVIDERS {
        return Err(Error::invalid("providers", format!("must be at most {MAX_PROVIDERS}")));
    }
    if let Some(index) = names.iter().position(|name| name.is_empty() || name.len() > 253) {
        return Err(Error::invalid(format!("providers[{index}]"), "must be 1 to 253 bytes long"));
    }
    Ok(Providers { gateway, workspace, names })
}

/// What a create is made from.
pub(super) fn blueprint(request: CreateSandboxRequest) -> Result<Blueprint, Error> {
    let request_id = uuid("request_id", &request.request_id)?;
    let spec = request.spec.ok_or_else(|| Error::invalid("spec", "is required"))?;
    let Spec { content, sha256, .. } = &spec;
    if content.is_empty() {
        return Err(Error::invalid("spec.content", "is required: this spec is redacted or empty"));
    }
    whole("spec.content", content, sha256, MAX_SPEC)?;
    let dialect = dialect("spec.dialect", spec.dialect())?;
    let policy = match request.policy {
        None => None,
        Some(given) => {
            let (read_in, content) = policy(Some(given))?;
            if read_in != dialect {
                return Err(Error::invalid("policy.dialect", "must be the spec's"));
            }
            Some(content)
        }
    };
    let Spec { content: spec, .. } = spec;
    let (labels, annotations) = (request.labels, request.annotations);
    Ok(Blueprint { dialect, spec, policy, labels, annotations, request_id })
}

/// A policy's dialect and bytes.
pub(super) fn policy(policy: Option<Policy>) -> Result<(Dialect, Vec<u8>), Error> {
    let policy = policy.ok_or_else(|| Error::invalid("policy", "is required"))?;
    // Empty content is the empty policy; of a redacted answer it is not, and its digest tells.
    whole("policy.content", &policy.content, &policy.sha256, MAX_POLICY)?;
    Ok((dialect("policy.dialect", policy.dialect())?, policy.content))
}

/// Bytes must be within their limit, and those that the digest says.
fn whole(field: &str, content: &[u8], digest: &str, max: usize) -> Result<(), Error> {
    if content.len() > max {
        return Err(Error::invalid(field, format!("must be at most {max} bytes long")));
    }
    if digest.is_empty() || sha256(content) == digest {
        return Ok(());
    }
    Err(Error::invalid(field, "is not what its sha256 says: redacted, or damaged"))
}

fn dialect(field: &str, dialect: ProtoDialect) -> Result<Dialect, Error> {
    match dialect {
        ProtoDialect::V00 => Ok(Dialect::V0_0),
        ProtoDialect::V01 => Ok(Dialect::V0_1),
        ProtoDialect::Unspecified => Err(Error::invalid(field, "is required")),
    }
}

/// The sealed paths of a posture.
pub(super) fn sealed(posture: Option<Posture>) -> Result<Vec<SealedPath>, Error> {
    let posture = posture.ok_or_else(|| Error::invalid("posture", "is required"))?;
    paths::check(&posture)?;
    Ok(posture.sealed_paths)
}

/// The sealed paths of a posture that is locked: of any other nothing may be made read-only.
pub(super) fn locked(posture: Option<Posture>) -> Result<Vec<SealedPath>, Error> {
    match posture.as_ref().map(Posture::mode) {
        Some(posture::Mode::Locked) | None => sealed(posture),
        Some(_) => Err(Error::invalid("posture.mode", "must be MODE_LOCKED")),
    }
}

/// A readiness probe's command and time.
pub(super) fn probe(probe: Option<ReadinessProbe>) -> Result<(Vec<String>, Duration), Error> {
    let probe = probe.ok_or_else(|| Error::invalid("probe", "is required"))?;
    exec::check(&probe.command).map_err(|problem| Error::invalid("probe.command", problem))?;
    let timeout = probe.timeout.as_ref().map_or(DEFAULT_PROBE, time::plain);
    if timeout.is_zero() || timeout > MAX_PROBE {
        return Err(Error::invalid("probe.timeout", "must be above 0 and at most 60 s"));
    }
    Ok((probe.command, timeout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redacted_policy_is_not_taken_for_the_empty_one() {
        let empty = Policy { dialect: ProtoDialect::V00.into(), ..Default::default() };
        assert_eq!(policy(Some(empty.clone())).unwrap(), (Dialect::V0_0, vec![]));
        let redacted = Policy { sha256: sha256(b"rules"), ..empty };
        assert!(policy(Some(redacted)).is_err());
    }

    #[test]
    fn pages_and_probes_are_bounded() {
        let asked = |page_size| {
            let workspace = "-".into();
            let gateway = "gateways/lab".into();
            listing(ListLiveSandboxesRequest {
                gateway,
                workspace,
                page_size,
                ..Default::default()
            })
        };
        assert_eq!(asked(0).unwrap().size, 100);
        assert_eq!(asked(1000).unwrap().size, 1000);
        assert!(asked(-1).is_err() && asked(1001).is_err());
        let tried = |seconds| {
            let timeout = Some(prost_types::Duration { seconds, nanos: 0 });
            probe(Some(ReadinessProbe { command: vec!["true".into()], timeout }))
        };
        assert!(tried(0).is_err() && tried(60).is_ok() && tried(61).is_err());
    }

    #[test]
    fn only_a_locked_posture_is_applied() {
        let mode = |mode: posture::Mode| Posture { mode: mode.into(), ..Default::default() };
        assert!(locked(Some(mode(posture::Mode::Locked))).is_ok());
        assert!(locked(Some(mode(posture::Mode::Unlocked))).is_err());
        assert!(locked(None).is_err());
    }
}
