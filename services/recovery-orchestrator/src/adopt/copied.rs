//! A record for a sandbox that a recovery made from another one's: captured as every record is, with what the owner of the
//! first one wants taken over.

use salvor_core::{Why, id::LiveId, name::RecordName};
use salvor_proto::{Error, error::Code, recovery::v1 as pb, registry::v1 as registry};

use super::{capture, record};
use crate::collect::World;

/// What came of it.
pub(crate) enum Registered {
    /// A record speaks of that incarnation.
    Done,
    /// A record of that name speaks of something else.
    Taken,
    /// The gateway does not show enough of it now.
    NotSeen(Why),
}

/// Makes a record for `live`, which bears `name`, with agents, rules, config files, probe and posture of `source`. The same
/// `request_id` makes it once.
///
/// # Errors
/// The registry cannot be asked.
pub(crate) async fn register(
    world: &World,
    name: &RecordName,
    live: &LiveId,
    source: registry::Sandbox,
    request_id: String,
) -> Result<Registered, Error> {
    if let Some(recorded) = recorded(world, name, live).await? {
        return Ok(recorded);
    }
    let (_, adapter) = world.adapter(name).await?;
    let adapter = match adapter {
        Ok(adapter) => adapter,
        Err((why, _)) => return Ok(Registered::NotSeen(why)),
    };
    let captured = match capture(&adapter, name).await {
        Ok(captured) if captured.present.live_id == live.as_str() => captured,
        Ok(_) => return Ok(Registered::Taken),
        Err(error) => {
            tracing::warn!(sandbox = %name, %error, "a copy could not be captured yet");
            return Ok(Registered::NotSeen(Why::Inconsistent));
        }
    };
    let wanted = pb::AdoptSandboxRequest {
        agents: source.agents,
        readiness_probe: source.readiness_probe,
        automatic_recovery: source.automatic_recovery,
        snapshot_rules: source.snapshot_rules,
        config_files: source.config_files,
        ..pb::AdoptSandboxRequest::default()
    };
    let record = registry::Sandbox { posture: source.posture, ..record(name, captured, &wanted) };
    let create = registry::CreateSandboxRequest {
        sandbox: Some(record),
        request_id,
        ..registry::CreateSandboxRequest::default()
    };
    match world.registry.create(create).await {
        Ok(_) => Ok(Registered::Done),
        // Made before a crash, or by somebody who adopted it: what it speaks of counts.
        Err(error)
            if error.code() == Code::AlreadyExists || error.reason() == "REQUEST_ID_REUSED" =>
        {
            Ok(recorded(world, name, live).await?.unwrap_or(Registered::Taken))
        }
        Err(error) => Err(error),
    }
}

/// What a record of that name says, if there is one that is not a tombstone.
async fn recorded(
    world: &World,
    name: &RecordName,
    live: &LiveId,
) -> Result<Option<Registered>, Error> {
    Ok(world.recorded_as(name).await?.map(|recorded| match recorded {
        recorded if recorded == *live => Registered::Done,
        _ => Registered::Taken,
    }))
}
