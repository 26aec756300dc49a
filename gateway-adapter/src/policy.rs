//! The policy in force: reading it, and setting it until it is loaded.
//!
//! Invariant: a policy is only said of the incarnation that was asked for, whose id is read before
//! and, where the dialect addresses names, after. Deliberately absent: comparing policies.

use salvor_proto::Error;
use salvor_proto::gateway::v1::{
    Effect, Unknown, UnknownReason,
    effect::{Cause, Outcome},
};
use salvor_proto::registry::v1::Policy;

use crate::classify::{Class, Failure, Method, cut};
use crate::dialect::Dialect;
use crate::gateway::{Gateway, Healthy};
use crate::layers;
use crate::mutate::{self, Looks, applied, effect, incarnation, wrong_dialect};
use crate::permit::Cleared;
use crate::vendor::{Effective, Incarnation, Loading, Place, Revision, Row};
use crate::view;

/// The policy in force, and how it came to be.
#[derive(Debug, Clone)]
pub(crate) struct InForce {
    /// With entries; with content only if asked for.
    pub policy: Policy,
    /// A gateway-wide policy overrides the sandbox's.
    pub global: bool,
    /// The supervisor has loaded it.
    pub loaded: bool,
}

/// Reads what is in force for one incarnation. Reads only.
pub(crate) async fn in_force(
    gateway: &Gateway,
    incarnation: &Incarnation,
    with_content: bool,
) -> Result<InForce, Unknown> {
    let healthy = gateway.probe().await.found?;
    let row = gateway.get(&healthy, &incarnation.place).await?;
    expect(gateway, &row, &incarnation.id)?;
    let effective = effective(gateway, &healthy, incarnation).await?;
    let at_ms = gateway.now_ms();
    let loaded = loaded(gateway, &healthy, &incarnation.place, &effective).await?;
    let policy = readable(gateway, &healthy, &effective, at_ms, with_content)?;
    Ok(InForce { policy, global: effective.global, loaded })
}

/// The policy of a row that was just read, with its bytes. Reads only.
pub(crate) async fn of_row(
    gateway: &Gateway,
    healthy: &Healthy,
    row: &Row,
    place: &Place,
) -> Result<Policy, Unknown> {
    let incarnation = Incarnation { place: place.clone(), id: row.id.clone() };
    let effective = effective(gateway, healthy, &incarnation).await?;
    readable(gateway, healthy, &effective, gateway.now_ms(), true)
}

/// Sets the policy and waits until it is loaded. Answers the hash that was read back.
///
/// # Errors
/// Refused here: a fence token that is no longer the newest, or a policy that is no message.
pub(crate) async fn apply(
    gateway: &Gateway,
    cleared: Cleared<'_>,
    live_id: &str,
    dialect: Dialect,
    content: Vec<u8>,
) -> Result<(Effect, String), Error> {
    let content = layers::without(&content)
        .map_err(|error| Error::invalid("policy.content", error.to_string()))?;
    let place = mutate::place(&cleared);
    let nothing = |ended: Effect| Ok((ended, String::new()));
    let (healthy, row, turn) = match incarnation(gateway, Method::Update, &place, live_id).await {
        Ok(found) => found,
        Err(ended) => return nothing(ended),
    };
    if healthy.version.dialect != dialect {
        return nothing(wrong_dialect(gateway, &healthy));
    }
    cleared.still_allowed()?;
    let asking = healthy.client.update_policy(&place, content);
    let bound = gateway.limits().mutation;
    let version = match gateway.send((turn, &healthy), Method::Update, bound, asking).await {
        Ok(version) => version,
        Err(failure) => return nothing(failure.effect()),
    };
    let incarnation = Incarnation { place, id: row.id };
    Ok(read_back(gateway, &healthy, &incarnation, version).await)
}

async fn read_back(
    gateway: &Gateway,
    healthy: &Healthy,
    incarnation: &Incarnation,
    version: u32,
) -> (Effect, String) {
    let place = &incarnation.place;
    let perhaps = |cause: Cause, text: String| {
        let detail = format!("{}: revision {version} was accepted, {text}", gateway.name());
        (effect(Outcome::MaybeApplied, cause, detail), String::new())
    };
    let mut last = String::from("and it is not loaded yet");
    let mut looks = Looks::within(gateway.limits().settle);
    while looks.wait().await {
        match revision(gateway, healthy, place, version, false).await {
            Ok(Revision { loading: Loading::Loaded, .. }) => {
                return match effective(gateway, healthy, incarnation).await {
                    Ok(effective) if effective.version == version => (applied(), effective.hash),
                    Ok(effective) => perhaps(
                        Cause::NotSettled,
                        format!("and revision {} is in force", effective.version),
                    ),
                    Err(unknown) => perhaps(Cause::GatewayFailed, unknown.detail),
                };
            }
            Ok(Revision { loading: Loading::Failed, load_error }) => {
                let text = format!("and the supervisor refuses it: {}", cut(load_error));
                return perhaps(Cause::Invalid, text);
            }
            Ok(Revision { loading: Loading::Superseded, .. }) => {
                return perhaps(Cause::NotSettled, "and another one came after it".into());
            }
            Ok(Revision { loading: Loading::Pending, .. }) => {}
            Err(failure) => last = failure.detail,
        }
    }
    perhaps(Cause::NotSettled, last)
}

/// Reads the policy in force, and that it is still the same incarnation's where the dialect asks
/// by name.
async fn effective(
    gateway: &Gateway,
    healthy: &Healthy,
    incarnation: &Incarnation,
) -> Result<Effective, Unknown> {
    let asking = healthy.client.effective(incarnation);
    let bound = gateway.limits().read;
    let effective = gateway.exchange(healthy, Method::Config, bound, asking).await?;
    if healthy.version.dialect == Dialect::V0_1 {
        let row = gateway.get(healthy, &incarnation.place).await?;
        expect(gateway, &row, &incarnation.id)?;
    }
    Ok(effective)
}

async fn revision(
    gateway: &Gateway,
    healthy: &Healthy,
    place: &Place,
    version: u32,
    global: bool,
) -> Result<Revision, Failure> {
    let asking = healthy.client.revision(place, version, global);
    gateway.exchange(healthy, Method::PolicyStatus, gateway.limits().read, asking).await
}

async fn loaded(
    gateway: &Gateway,
    healthy: &Healthy,
    place: &Place,
    effective: &Effective,
) -> Result<bool, Unknown> {
    let version = if effective.global { effective.global_version } else { effective.version };
    match revision(gateway, healthy, place, version, effective.global).await {
        Ok(revision) => Ok(revision.loading == Loading::Loaded),
        Err(failure) if failure.class == Class::RevisionMissing => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

fn readable(
    gateway: &Gateway,
    healthy: &Healthy,
    effective: &Effective,
    at_ms: u64,
    with_content: bool,
) -> Result<Policy, Unknown> {
    let policy = view::policy(effective, healthy.version.dialect, at_ms, with_content);
    policy.ok_or_else(|| Unknown {
        reason: UnknownReason::Inconsistent.into(),
        detail: format!("{}: GetSandboxConfig answered no readable policy", gateway.name()),
    })
}

/// The row must be of the incarnation that is meant: another one's answers are no evidence.
pub(crate) fn expect(gateway: &Gateway, row: &Row, live_id: &str) -> Result<(), Unknown> {
    if row.id == live_id {
        return Ok(());
    }
    let detail = format!(
        "{}: {} is incarnation {} there and not {live_id}",
        gateway.name(),
        row.name,
        row.id
    );
    Err(Unknown { reason: UnknownReason::Inconsistent.into(), detail })
}
