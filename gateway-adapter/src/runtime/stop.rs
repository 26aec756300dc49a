//! Ending a leftover container for good, and keeping it.
//!
//! Invariant: takes a [`Cleared`] by value, looks at the container again right before it sends anything, and says "applied"
//! only once the container was seen ended. A paused one is killed where it stands: to let it go on in order to ask it
//! to end would give a leftover agent time to act.

use bollard::Docker;
use bollard::models::{ContainerUpdateBody, RestartPolicy, RestartPolicyNameEnum as Restart};
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use salvor_core::name::RecordName;
use salvor_proto::Error;
use salvor_proto::gateway::v1::Effect;
use salvor_proto::gateway::v1::compute::State;
use salvor_proto::gateway::v1::effect::{Cause, Outcome};

use super::trouble::Kind;
use super::{Bears, Container, Runtime, Trouble};
use crate::mutate::{Looks, applied, effect};
use crate::permit::{Cleared, Verb};

/// A container, and what would become of it once it has ended.
struct Found {
    container: Container,
    /// Whether the runtime starts it again by itself.
    restarts: bool,
    /// Whether the runtime removes it.
    removed_when_ended: bool,
}

/// Stops one container of an incarnation, which is kept, and keeps the runtime from starting it again.
///
/// # Errors
/// Refused here: a fence token that is no longer the newest.
pub(crate) async fn stop(
    runtime: &Runtime,
    cleared: Cleared<'_>,
    live_id: &str,
    compute: &str,
) -> Result<Effect, Error> {
    debug_assert_eq!(cleared.verb(), Verb::StopCompute);
    let docker = match runtime.connect_for(runtime.bounds().grace + runtime.bounds().call).await {
        Ok(docker) => docker,
        Err(trouble) => return Ok(untouched(&trouble)),
    };
    let found = match look(runtime, &docker, compute).await {
        Ok(found) => found,
        Err(trouble) => return Ok(untouched(&trouble)),
    };
    if let Some(refused) = refused(&found, cleared.target(), live_id) {
        return Ok(refused);
    }
    cleared.still_allowed()?;
    if found.restarts
        && let Err(trouble) = never_restart(runtime, &docker, compute).await
    {
        return Ok(perhaps(&trouble));
    }
    if !found.container.at_rest()
        && let Err(trouble) = end(runtime, &docker, &found.container).await
    {
        return Ok(perhaps(&trouble));
    }
    Ok(settle(runtime, &docker, cleared.target(), live_id, compute).await)
}

/// Looks at a container: its labels and state, and what would become of it once it has ended.
async fn look(runtime: &Runtime, docker: &Docker, id: &str) -> Result<Found, Trouble> {
    let container = runtime.container(id).await?;
    let asking = docker.inspect_container(id, None::<InspectContainerOptions>);
    let host = runtime.call("inspect", asking).await?.host_config.unwrap_or_default();
    let policy = host.restart_policy.and_then(|policy| policy.name);
    Ok(Found {
        container,
        restarts: !matches!(policy, None | Some(Restart::EMPTY | Restart::NO)),
        removed_when_ended: host.auto_remove.unwrap_or(false),
    })
}

/// Why this container is left alone.
fn refused(found: &Found, target: &RecordName, live_id: &str) -> Option<Effect> {
    let (cause, why) = match found.container.bears(target, live_id) {
        Bears::Other(why) => (Cause::OtherIncarnation, why),
        Bears::This if found.removed_when_ended && !found.container.at_rest() => {
            (Cause::Invalid, "the runtime would remove it once it has ended".to_owned())
        }
        Bears::This => return None,
    };
    let Container { id, name, .. } = &found.container;
    let text = format!("container {id} ({name}) was not touched: {why}");
    Some(effect(Outcome::NotApplied, cause, text))
}

async fn never_restart(runtime: &Runtime, docker: &Docker, id: &str) -> Result<(), Trouble> {
    let no = RestartPolicy { name: Some(Restart::NO), maximum_retry_count: None };
    let update = ContainerUpdateBody { restart_policy: Some(no), ..Default::default() };
    runtime.call("update the restart policy", docker.update_container(id, update)).await
}

/// Ends its processes, and returns when the runtime says that they have.
async fn end(runtime: &Runtime, docker: &Docker, found: &Container) -> Result<(), Trouble> {
    let id = found.id.as_str();
    if found.state == State::Paused {
        let options = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
        return runtime.call("kill", docker.kill_container(id, Some(options))).await;
    }
    let grace = i32::try_from(runtime.bounds().grace.as_secs()).unwrap_or(i32::MAX);
    let options = StopContainerOptionsBuilder::new().t(grace).build();
    // The client's own bound allows for the grace.
    let asking = docker.stop_container(id, Some(options));
    asking.await.map_err(|error| runtime.failed("stop", error))
}

/// Looks until it is seen ended, and still the one that was meant.
async fn settle(
    runtime: &Runtime,
    docker: &Docker,
    target: &RecordName,
    live_id: &str,
    id: &str,
) -> Effect {
    let mut last = String::new();
    let mut looks = Looks::within(runtime.bounds().settle);
    while looks.wait().await {
        match look(runtime, docker, id).await {
            Ok(seen) if seen.container.bears(target, live_id) != Bears::This => {
                let text = format!("container {id} bears other labels than before");
                return effect(Outcome::MaybeApplied, Cause::OtherIncarnation, text);
            }
            Ok(seen) if seen.container.at_rest() && !seen.restarts => return applied(),
            Ok(seen) => last = format!("it is {:?}", seen.container.state),
            Err(trouble) if trouble.kind == Kind::Missing => {
                let text = format!("container {id} has disappeared while it was stopped");
                return effect(Outcome::MaybeApplied, Cause::NotFound, text);
            }
            Err(trouble) => last = trouble.detail,
        }
    }
    let text = format!("container {id} was told to end and was not seen ended: {last}");
    effect(Outcome::MaybeApplied, Cause::NotSettled, text)
}

/// Trouble before anything was asked to change.
fn untouched(trouble: &Trouble) -> Effect {
    let cause = match trouble.kind {
        Kind::Missing => Cause::NotFound,
        Kind::Forbidden => Cause::Denied,
        _ => Cause::GatewayFailed,
    };
    effect(Outcome::NotApplied, cause, format!("{}; the container was not stopped", trouble.detail))
}

/// Trouble with a request that changes something.
fn perhaps(trouble: &Trouble) -> Effect {
    if trouble.kind.nothing_done() {
        return untouched(trouble);
    }
    effect(Outcome::MaybeApplied, Cause::GatewayFailed, trouble.detail.clone())
}
