//! The mutations of a sandbox's life: create, delete, start, stop.
//!
//! Invariant: each takes a [`Cleared`] by value, probes the gateway, waits for its turn, and in that
//! turn reads the incarnation's id again, checks the fence token and sends; and it says "not applied"
//! only where that is certain.
//! Deliberately absent: repeating. An effect that is not known is observed by the caller.

use std::collections::BTreeMap;
use std::time::Duration;

use salvor_openshell_wire::splice;
use salvor_proto::Error;
use salvor_proto::gateway::v1::{
    Effect, Phase, Unknown, UnknownReason,
    effect::{Cause, Outcome},
};
use tokio::time::Instant;

use crate::classify::{Class, Failure, Method, cut};
use crate::dialect::Dialect;
use crate::gateway::{Gateway, Healthy, Turn};
use crate::layers;
use crate::permit::{Cleared, Verb};
use crate::stamp;
use crate::vendor::{Creation, Deletion, Place, Row};

/// `SandboxSpec.policy`, in both dialects.
const SPEC_POLICY: u32 = 7;
/// Between two looks at whether an effect shows: doubled from the first to the last.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// What a create is made from.
#[derive(Clone)]
pub(crate) struct Blueprint {
    /// In which dialect the bytes were read.
    pub dialect: Dialect,
    /// The spec's bytes.
    pub spec: Vec<u8>,
    /// Takes the place of the spec's own policy.
    pub policy: Option<Vec<u8>>,
    /// As recorded.
    pub labels: BTreeMap<String, String>,
    /// As recorded, without a stamp.
    pub annotations: BTreeMap<String, String>,
    /// For gateways that replay by it.
    pub request_id: String,
}

/// An effect that ends a mutation early.
pub(crate) type Ended = Effect;

/// Builds an effect.
pub(crate) fn effect(outcome: Outcome, cause: Cause, detail: impl Into<String>) -> Effect {
    Effect { outcome: outcome.into(), cause: cause.into(), detail: cut(detail.into()) }
}

/// It was done.
pub(crate) fn applied() -> Effect {
    effect(Outcome::Applied, Cause::Unspecified, "")
}

/// What an unknown before the first byte amounts to: nothing was sent.
pub(crate) fn not_sent(unknown: &Unknown) -> Effect {
    let cause = match unknown.reason() {
        UnknownReason::ForeignGateway | UnknownReason::VersionUnknown => Cause::WrongGateway,
        UnknownReason::Unauthenticated | UnknownReason::PermissionDenied => Cause::Denied,
        _ => Cause::GatewayFailed,
    };
    effect(Outcome::NotApplied, cause, format!("{}. Nothing was sent", unknown.detail))
}

/// The place that a permit is for.
pub(crate) fn place(cleared: &Cleared<'_>) -> Place {
    let target = cleared.target();
    Place { workspace: target.workspace.to_string(), sandbox: target.sandbox.to_string() }
}

/// Creates a sandbox from recorded bytes, stamped. Answers its id when applied.
///
/// # Errors
/// Refused here: a fence token that is no longer the newest, or a spec or policy that is no
/// message.
pub(crate) async fn create(
    gateway: &Gateway,
    cleared: Cleared<'_>,
    blueprint: Blueprint,
) -> Result<(Effect, String), Error> {
    debug_assert_eq!(cleared.verb(), Verb::Create);
    let Blueprint { dialect, spec, policy, labels, annotations, request_id } = blueprint;
    let spec = match policy {
        None => spec,
        Some(policy) => {
            let own = layers::without(&policy)
                .map_err(|error| Error::invalid("policy.content", error.to_string()))?;
            splice::replace_field(&spec, SPEC_POLICY, Some(&own))
                .map_err(|error| Error::invalid("spec.content", error.to_string()))?
        }
    };
    let healthy = match gateway.probe().await.found {
        Ok(healthy) => healthy,
        Err(unknown) => return Ok((not_sent(&unknown), String::new())),
    };
    if healthy.version.dialect != dialect {
        return Ok((wrong_dialect(gateway, &healthy), String::new()));
    }
    let place = place(&cleared);
    let annotations = stamp::apply(&annotations, cleared.stamp());
    let turn = match gateway.turn(Method::Create).await {
        Ok(turn) => turn,
        Err(failure) => return Ok((failure.effect(), String::new())),
    };
    cleared.still_allowed()?;
    let request_id = gateway.request_id(&request_id);
    let creation = Creation {
        place: place.clone(),
        spec,
        labels,
        annotations,
        request_id: request_id.clone(),
    };
    let asking = healthy.client.create(creation);
    let answered = gateway.send_effect(&request_id, (turn, &healthy), Method::Create, asking).await;
    gateway.forget_absence(&place);
    Ok(match answered {
        Ok(row) if !row.id.is_empty() && row.name == place.sandbox => (applied(), row.id),
        Ok(_) => {
            let text = "CreateSandbox answered OK with no id, or with another name; observe it";
            (perhaps(Cause::GatewayFailed, gateway, text), String::new())
        }
        Err(failure) => (failure.effect(), String::new()),
    })
}

/// Whether the gateway speaks the dialect that bytes were read in.
pub(crate) fn wrong_dialect(gateway: &Gateway, healthy: &Healthy) -> Effect {
    let (name, version) = (gateway.name(), &healthy.version_text);
    let detail = format!(
        "{name} is of version {version}, and the recorded bytes are of the other dialect; nothing \
         was sent"
    );
    effect(Outcome::NotApplied, Cause::WrongGateway, detail)
}

/// Deletes one incarnation and waits until its id is gone.
///
/// # Errors
/// Refused here: a fence token that is no longer the newest.
pub(crate) async fn delete(
    gateway: &Gateway,
    cleared: Cleared<'_>,
    live_id: &str,
    request_id: &str,
) -> Result<Effect, Error> {
    debug_assert_eq!(cleared.verb(), Verb::Delete);
    let place = place(&cleared);
    let (healthy, _, turn) = match incarnation(gateway, Method::Delete, &place, live_id).await {
        Ok(found) => found,
        Err(ended) => return Ok(ended),
    };
    cleared.still_allowed()?;
    let request_id = gateway.request_id(request_id);
    let asking = healthy.client.delete(&place, &request_id);
    match gateway.send_effect(&request_id, (turn, &healthy), Method::Delete, asking).await {
        Ok(Deletion::AlreadyAbsent) => Ok(gone_before(gateway, &place)),
        Ok(Deletion::Accepted(id)) if !(id.is_empty() || id == live_id) => {
            let text = format!("DeleteSandbox says that it deleted {id}, and {live_id} was meant");
            Ok(another(gateway, &text))
        }
        Ok(Deletion::Accepted(_)) => Ok(settle(gateway, &healthy, &place, live_id).await),
        Err(failure) if failure.class == Class::SandboxMissing => Ok(gone_before(gateway, &place)),
        Err(failure) => Ok(failure.effect()),
    }
}

/// Starts one incarnation.
///
/// # Errors
/// Refused here: a fence token that is no longer the newest.
pub(crate) async fn start(
    gateway: &Gateway,
    cleared: Cleared<'_>,
    live_id: &str,
    request_id: &str,
) -> Result<Effect, Error> {
    debug_assert_eq!(cleared.verb(), Verb::Start);
    let place = place(&cleared);
    let (healthy, _, turn) = match incarnation(gateway, Method::Start, &place, live_id).await {
        Ok(found) => found,
        Err(ended) => return Ok(ended),
    };
    cleared.still_allowed()?;
    let request_id = gateway.request_id(request_id);
    let asking = healthy.client.start(&place, &request_id);
    let answered = gateway.send_effect(&request_id, (turn, &healthy), Method::Start, asking).await;
    Ok(same_incarnation(gateway, answered, live_id))
}

/// Stops one incarnation.
///
/// # Errors
/// Refused here: a fence token that is no longer the newest.
pub(crate) async fn stop(
    gateway: &Gateway,
    cleared: Cleared<'_>,
    live_id: &str,
    request_id: &str,
) -> Result<Effect, Error> {
    debug_assert_eq!(cleared.verb(), Verb::Stop);
    let place = place(&cleared);
    let (healthy, _, turn) = match incarnation(gateway, Method::Stop, &place, live_id).await {
        Ok(found) => found,
        Err(ended) => return Ok(ended),
    };
    cleared.still_allowed()?;
    let request_id = gateway.request_id(request_id);
    let asking = healthy.client.stop(&place, &request_id);
    let answered = gateway.send_effect(&request_id, (turn, &healthy), Method::Stop, asking).await;
    Ok(same_incarnation(gateway, answered, live_id))
}

/// Probes the gateway, waits for the turn to send `method`, and reads the sandbox in it: it must be
/// the one that is meant.
pub(crate) async fn incarnation<'a>(
    gateway: &'a Gateway,
    method: Method,
    place: &Place,
    live_id: &str,
) -> Result<(Healthy, Row, Turn<'a>), Ended> {
    let healthy = gateway.probe().await.found.map_err(|unknown| not_sent(&unknown))?;
    let turn = gateway.turn(method).await.map_err(|failure| failure.effect())?;
    match gateway.get_in(&turn, &healthy, place).await {
        Ok(row) if row.id == live_id => Ok((healthy, row, turn)),
        Ok(row) => Err(effect(
            Outcome::NotApplied,
            Cause::OtherIncarnation,
            format!(
                "{}: {} in workspace {} is {} and not {live_id}; it was not touched",
                gateway.name(),
                place.sandbox,
                place.workspace,
                row.id
            ),
        )),
        Err(failure) if failure.class == Class::SandboxMissing => Err(gone_before(gateway, place)),
        Err(failure) => Err(not_sent(&failure.unknown())),
    }
}

fn gone_before(gateway: &Gateway, place: &Place) -> Effect {
    let (name, Place { workspace, sandbox }) = (gateway.name(), place);
    let detail = format!("{name}: there is no {sandbox} in workspace {workspace}");
    effect(Outcome::NotApplied, Cause::NotFound, detail)
}

fn same_incarnation(gateway: &Gateway, answered: Result<Row, Failure>, live_id: &str) -> Effect {
    match answered {
        Ok(row) if row.id == live_id => applied(),
        Ok(row) => {
            let text =
                format!("the answer is of incarnation {:?}, and {live_id} was meant", row.id);
            perhaps(Cause::OtherIncarnation, gateway, &text)
        }
        Err(failure) => failure.effect(),
    }
}

fn perhaps(cause: Cause, gateway: &Gateway, text: &str) -> Effect {
    effect(Outcome::MaybeApplied, cause, format!("{}: {text}", gateway.name()))
}

/// A delete met an incarnation that took the name after the last look at it.
fn another(gateway: &Gateway, text: &str) -> Effect {
    tracing::warn!(gateway = gateway.name(), "{text}");
    perhaps(Cause::OtherIncarnation, gateway, text)
}

/// Waits until an id is gone: by name the gateway shows nothing, or another incarnation.
async fn settle(gateway: &Gateway, healthy: &Healthy, place: &Place, live_id: &str) -> Effect {
    let mut last = String::from("it still shows the sandbox");
    let mut looks = Looks::within(gateway.limits().settle);
    while looks.wait().await {
        match gateway.get(healthy, place).await {
            Err(failure) if failure.class == Class::SandboxMissing => return applied(),
            Ok(row) if row.id != live_id && row.phase == Phase::Deleting => {
                let text = format!("it deletes {}, and {live_id} was meant", row.id);
                return another(gateway, &text);
            }
            Ok(row) if row.id != live_id => return applied(),
            Ok(row) => last = format!("it still shows {live_id} in phase {:?}", row.phase),
            Err(failure) => last = failure.detail,
        }
    }
    let ms = gateway.limits().settle.as_millis();
    let text = format!("the delete was accepted and not seen to be done within {ms} ms: {last}");
    perhaps(Cause::NotSettled, gateway, &text)
}

/// Looks with growing pauses until a deadline.
pub(crate) struct Looks {
    deadline: Instant,
    pause: Duration,
    first: bool,
}

// === impl Looks ===

impl Looks {
    /// From now on for `bound`.
    pub(crate) fn within(bound: Duration) -> Self {
        Self { deadline: Instant::now() + bound, pause: FIRST_LOOK, first: true }
    }

    /// Waits for the next look; false when the time is over. The first is at once.
    pub(crate) async fn wait(&mut self) -> bool {
        if std::mem::take(&mut self.first) {
            return true;
        }
        if Instant::now() + self.pause > self.deadline {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LAST_LOOK);
        true
    }
}
