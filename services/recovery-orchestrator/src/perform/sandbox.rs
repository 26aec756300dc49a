//! Making and taking away a sandbox: the steps that every saga which does so shares. `on` is the sandbox: the recovery's own
//! target, or the copy that its plan names.

use std::time::Duration;

use salvor_core::{
    EffectKind,
    evidence::{Live, Phase, Present},
    id::{InstanceId, LiveId, SnapshotName},
    name::RecordName,
    saga::{Cause, Effect, Failed, Part},
};
use salvor_proto::Error;
use tokio::time::{Instant, sleep};

use super::{
    proofs, record,
    watch::{self, Look, Looked, look_until},
};
use crate::runner::{self, Run};

/// What a doubtful create came to.
pub(super) enum Bearer {
    /// What bears the name is this recovery's.
    Ours(LiveId),
    /// The recorded incarnation bears it again.
    Recorded,
    /// Somebody else's does.
    Stranger(LiveId),
    /// Nothing does.
    Nobody,
}

/// What became of something that was created.
pub(super) enum Readied {
    /// It is live.
    Ready {
        /// Its spec, against the record.
        spec: Part,
        /// Its providers, against the record.
        providers: Part,
    },
    /// It failed.
    Failed(Failed),
    /// It is gone.
    Gone,
    /// Somebody else's has the name.
    Stranger(LiveId),
}

/// What a doubtful delete came to.
pub(super) enum Taken {
    /// That id is gone.
    Gone,
    /// It is not.
    StillThere,
}

/// Creates from the recorded material, stamped.
pub(super) async fn create(
    run: &Run,
    on: &RecordName,
    attempt: u32,
) -> Result<Effect<LiveId>, Error> {
    if attempt > 1 {
        sleep(super::pause(attempt)).await;
    }
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Effect::NotApplied(Cause::AdapterFailed));
    };
    let material = match record::material(run).await {
        Ok(material) => material,
        // Whoever holds the lease now creates: this is no attempt that failed.
        Err(error) if runner::lost(&error) => return Err(error),
        Err(error) => {
            tracing::warn!(recovery = %run.name(), %error, "the registry gave no material");
            return Ok(Effect::NotApplied(Cause::MaterialUnavailable));
        }
    };
    let inputs = &run.header.plan.inputs;
    let spec = inputs.spec.as_ref().map(|spec| spec.sha256.as_str());
    let policy = inputs.policy.as_ref().map(|policy| policy.sha256.as_str());
    if material.spec.as_ref().map(|spec| spec.sha256.as_str()) != spec
        || material.policy.as_ref().map(|policy| policy.sha256.as_str()) != policy
    {
        return Ok(Effect::NotApplied(Cause::Invalid));
    }
    let permit = run.permit(on, EffectKind::Create)?;
    let (labels, annotations) = (inputs.labels.clone(), inputs.annotations.clone());
    let request_id = run.request_id("create", attempt);
    Ok(adapter.create(permit, material, labels, annotations, request_id).await)
}

/// Whose is the name? An absence counts once it was seen all through the settle window after the doubt: a gateway that was away
/// meanwhile may not have all of its rows yet.
pub(super) async fn resolve_create(run: &Run, on: &RecordName) -> Result<Looked<Bearer>, Error> {
    let settle = run.world.config.limits.absence_settle;
    let timeout = settle + run.world.config.undetermined_timeout;
    let now = || run.world.now();
    look_until(run, on, timeout, |live, looked_for| match live {
        Live::Present(present) => Look::Found(whose(run, present)),
        Live::Absent { since } if looked_for.min(since.age(now())) >= settle => {
            Look::Found(Bearer::Nobody)
        }
        Live::Absent { .. } => Look::Again,
    })
    .await
}

fn whose(run: &Run, present: &Present) -> Bearer {
    let ours = present
        .stamp
        .as_ref()
        .is_some_and(|stamp| stamp.recovery == *run.name() && stamp.plan == run.header.plan.digest);
    if ours {
        return Bearer::Ours(present.live_id.clone());
    }
    if run.header.plan.inputs.live_id.as_ref() == Some(&present.live_id) {
        return Bearer::Recorded;
    }
    Bearer::Stranger(present.live_id.clone())
}

/// Waits until what was created is live and has settled, or is known never to be. It has settled once it was ready for a while
/// with the same main process, and its readiness probe passes if it has one: an agent that still starts may write over what is
/// put back. A probe that does not pass holds nothing up for good: it may need what is not there yet.
pub(super) async fn await_ready(
    run: &Run,
    on: &RecordName,
    live: &LiveId,
) -> Result<Looked<Readied>, Error> {
    let config = &run.world.config;
    let settle = config.limits.absence_settle;
    let now = || run.world.now();
    let mut held = Held::default();
    let timeout = config.ready_timeout + config.ready_settle;
    let looked = look_until(run, on, timeout, |seen, looked_for| match seen {
        Live::Present(present) if present.live_id != *live => {
            Look::Found(Readied::Stranger(present.live_id.clone()))
        }
        Live::Present(present) if present.phase == Phase::Ready => {
            if held.by(present) < config.ready_settle {
                return Look::Again;
            }
            let (spec, providers) = watch::compare(run, &present.spec);
            Look::Found(Readied::Ready { spec, providers })
        }
        Live::Present(present) => {
            held = Held::default();
            watch::failed(present)
                .map_or(Look::Again, |failed| Look::Found(Readied::Failed(failed)))
        }
        Live::Absent { since } if looked_for.min(since.age(now())) >= settle => {
            Look::Found(Readied::Gone)
        }
        Live::Absent { .. } => Look::Again,
    })
    .await?;
    if matches!(looked, Looked::Found(Readied::Ready { .. }))
        && !proofs::started(run, (on, live)).await?
    {
        return Ok(Looked::Interrupted);
    }
    Ok(looked)
}

/// Since when which main process was seen to be ready.
#[derive(Default)]
struct Held(Option<(Option<InstanceId>, Instant)>);

impl Held {
    /// For how long it has been this one's.
    fn by(&mut self, present: &Present) -> Duration {
        match &self.0 {
            Some((instance, since)) if *instance == present.instance => since.elapsed(),
            _ => {
                self.0 = Some((present.instance.clone(), Instant::now()));
                Duration::ZERO
            }
        }
    }
}

/// Deletes one incarnation. `step` and `attempt` name the request.
pub(super) async fn delete(
    run: &Run,
    on: &RecordName,
    live: &LiveId,
    step: &str,
    attempt: u32,
) -> Result<Effect<()>, Error> {
    if attempt > 1 {
        sleep(super::pause(attempt)).await;
    }
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Effect::NotApplied(Cause::AdapterFailed));
    };
    let permit = run.permit(on, EffectKind::Delete)?;
    let request_id = run.request_id(step, attempt);
    Ok(adapter.delete(permit, live, request_id).await)
}

/// Deletes the recorded incarnation if its workspace is what `since` holds: compared once more right before, by whoever deletes.
pub(super) async fn delete_unchanged(
    run: &Run,
    live: &LiveId,
    since: &SnapshotName,
    attempt: u32,
) -> Result<Effect<()>, Error> {
    if attempt > 1 {
        sleep(super::pause(attempt)).await;
    }
    let Ok(adapter) = watch::adapter(run).await? else {
        return Ok(Effect::NotApplied(Cause::AdapterFailed));
    };
    let permit = run.permit(run.target(), EffectKind::Delete)?;
    let request_id = run.request_id("delete", attempt);
    Ok(adapter.delete_unchanged(permit, live, since, request_id, &run.progress).await)
}

/// The id is what counts: another incarnation under the name means that this one is gone.
pub(super) async fn resolve_delete(
    run: &Run,
    on: &RecordName,
    live: &LiveId,
) -> Result<Looked<Taken>, Error> {
    let settle = run.world.config.limits.absence_settle;
    let timeout = settle + run.world.config.undetermined_timeout;
    let now = || run.world.now();
    look_until(run, on, timeout, |seen, looked_for| match seen {
        Live::Present(present) if present.live_id != *live => Look::Found(Taken::Gone),
        Live::Present(present) if present.phase == Phase::Deleting => Look::Again,
        Live::Present(_) if looked_for >= settle => Look::Found(Taken::StillThere),
        Live::Absent { since } if looked_for.min(since.age(now())) >= settle => {
            Look::Found(Taken::Gone)
        }
        Live::Present(_) | Live::Absent { .. } => Look::Again,
    })
    .await
}
