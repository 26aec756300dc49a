//! Making and taking away a sandbox: the steps that every saga which does so shares. `on` is the sandbox: the recovery's own
//! target, or the copy that its plan names.

use salvor_core::{
    EffectKind,
    evidence::{Live, Phase, Present},
    id::LiveId,
    name::RecordName,
    saga::{Cause, Effect, Failed, Part},
};
use salvor_proto::Error;
use tokio::time::sleep;

use super::{
    record,
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

/// Whose is the name? An absence counts once it was seen for the settle window after the doubt.
pub(super) async fn resolve_create(run: &Run, on: &RecordName) -> Result<Looked<Bearer>, Error> {
    let settle = run.world.config.limits.absence_settle;
    let timeout = settle + run.world.config.undetermined_timeout;
    look_until(run, on, timeout, |live, looked_for| match live {
        Live::Present(present) => Look::Found(whose(run, present)),
        Live::Absent { .. } if looked_for >= settle => Look::Found(Bearer::Nobody),
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

/// Waits until what was created is live, or is known never to be.
pub(super) async fn await_ready(
    run: &Run,
    on: &RecordName,
    live: &LiveId,
) -> Result<Looked<Readied>, Error> {
    let settle = run.world.config.limits.absence_settle;
    let now = || run.world.now();
    look_until(run, on, run.world.config.ready_timeout, |seen, _| match seen {
        Live::Present(present) if present.live_id != *live => {
            Look::Found(Readied::Stranger(present.live_id.clone()))
        }
        Live::Present(present) if present.phase == Phase::Ready => {
            let (spec, providers) = watch::compare(run, &present.spec);
            Look::Found(Readied::Ready { spec, providers })
        }
        Live::Present(present) => watch::failed(present)
            .map_or(Look::Again, |failed| Look::Found(Readied::Failed(failed))),
        Live::Absent { since } if since.age(now()) >= settle => Look::Found(Readied::Gone),
        Live::Absent { .. } => Look::Again,
    })
    .await
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

/// The id is what counts: another incarnation under the name means that this one is gone.
pub(super) async fn resolve_delete(
    run: &Run,
    on: &RecordName,
    live: &LiveId,
) -> Result<Looked<Taken>, Error> {
    let settle = run.world.config.limits.absence_settle;
    let timeout = settle + run.world.config.undetermined_timeout;
    look_until(run, on, timeout, |seen, looked_for| match seen {
        Live::Present(present) if present.live_id != *live => Look::Found(Taken::Gone),
        Live::Present(present) if present.phase == Phase::Deleting => Look::Again,
        Live::Present(_) if looked_for >= settle => Look::Found(Taken::StillThere),
        Live::Absent { .. } if looked_for >= settle => Look::Found(Taken::Gone),
        Live::Present(_) | Live::Absent { .. } => Look::Again,
    })
    .await
}
