//! Proving that a live sandbox is what its record promises. Each proof looks first, mends what differs, and looks again.

use std::time::Duration;

use salvor_core::{
    EffectKind, Why,
    evidence::Posture,
    id::{LiveId, PolicyHash, SandboxPath},
    name::RecordName,
    saga::{
        Effect, Outcome, Part, Pending,
        proofs::{Proof, Proofs},
    },
};
use salvor_proto::{Error, gateway::v1 as gateway, registry::v1 as pb, time::duration};
use tokio::time::{Instant, sleep};

use super::{record, watch};
use crate::{ports::Adapter, runner::Run};

/// The supervisor polls its policy every 10 s (openshell.md §11); a margin on that.
const POLICY_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two looks at the policy, or two tries of a probe.
const PAUSE: Duration = Duration::from_millis(200);

/// Proves one thing of `live`; `proofs` holds what has been proven before. `None`: the service is stopping, and what it cut
/// short is no finding; whoever goes on looks again.
pub(super) async fn prove(
    run: &Run,
    proof: Proof,
    (on, live): (&RecordName, &LiveId),
    proofs: &Proofs,
) -> Result<Option<Part>, Error> {
    let part = match (watch::adapter(run).await?, proof) {
        (Err(why), _) => Part::Unproven(why),
        (Ok(adapter), Proof::Policy) => policy(run, &adapter, (on, live)).await?,
        (Ok(adapter), Proof::Posture) => posture(run, &adapter, (on, live), proofs).await?,
        (Ok(adapter), Proof::Readiness) => readiness(run, &adapter, (on, live)).await?,
    };
    let cut_short = run.stopping.is_cancelled() && part.severity() != Outcome::Succeeded;
    Ok((!cut_short).then_some(part))
}

async fn policy(
    run: &Run,
    adapter: &Adapter,
    (on, live): (&RecordName, &LiveId),
) -> Result<Part, Error> {
    let Some(recorded) = run.header.plan.inputs.policy.as_ref().map(|policy| &policy.hash) else {
        return Ok(Part::NotApplicable);
    };
    let before = in_force(run, adapter, (on, live), recorded).await;
    if before != Ok(false) {
        return Ok(as_part(before));
    }
    let material = record::material(run).await?;
    let Some(policy) = material.policy else {
        return Ok(Part::Pending(vec![Pending::PolicyDiffers]));
    };
    let permit = run.permit(on, EffectKind::ApplyPolicy)?;
    if let Effect::NotApplied(_) = adapter.apply_policy(permit, live, policy).await {
        return Ok(Part::Pending(vec![Pending::PolicyDiffers]));
    }
    Ok(as_part(in_force(run, adapter, (on, live), recorded).await))
}

fn as_part(in_force: Result<bool, Why>) -> Part {
    match in_force {
        Ok(true) => Part::Proven,
        Ok(false) => Part::Pending(vec![Pending::PolicyDiffers]),
        Err(why) => Part::Unproven(why),
    }
}

/// Whether the recorded policy is in force, once the gateway says that what it has is loaded.
async fn in_force(
    run: &Run,
    adapter: &Adapter,
    (on, live): (&RecordName, &LiveId),
    recorded: &PolicyHash,
) -> Result<bool, Why> {
    let begun = Instant::now();
    loop {
        let seen = adapter.policy(on, live).await;
        let over = begun.elapsed() >= POLICY_TIMEOUT || run.stopping.is_cancelled();
        match seen {
            Ok((hash, true)) => return Ok(hash == *recorded),
            Ok((hash, false)) if over && hash == *recorded => return Err(Why::DeadlineExceeded),
            Ok((hash, false)) if hash != *recorded => return Ok(false),
            Err(why) if over => return Err(why),
            Ok(_) | Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn posture(
    run: &Run,
    adapter: &Adapter,
    (on, live): (&RecordName, &LiveId),
    proofs: &Proofs,
) -> Result<Part, Error> {
    let Posture::Locked { sealed } = &run.header.plan.inputs.posture else {
        return Ok(Part::NotApplicable);
    };
    let posture = pb::Posture {
        mode: pb::posture::Mode::Locked.into(),
        sealed_paths: sealed
            .iter()
            .map(|(path, sha256)| pb::SealedPath {
                path: path.to_string(),
                sha256: sha256.to_string(),
            })
            .collect(),
        ..pb::Posture::default()
    };
    let permit = run.permit(on, EffectKind::ApplyPosture)?;
    // Whatever it came to, the look that follows tells.
    let _ = adapter.apply_posture(permit, live, posture.clone()).await;
    let mut owed = match adapter.verify_posture(on, live, posture).await {
        Ok(paths) => paths.iter().filter_map(owed).collect::<Vec<_>>(),
        Err(why) => return Ok(Part::Unproven(why)),
    };
    // Locked means that the recorded policy is in force, too.
    match &proofs.policy {
        Some(Part::Pending(items)) => owed.extend(items.iter().cloned()),
        Some(Part::Unproven(why)) if owed.is_empty() => return Ok(Part::Unproven(*why)),
        _ => {}
    }
    Ok(if owed.is_empty() { Part::Proven } else { Part::Pending(owed) })
}

fn owed(path: &gateway::SealedPathView) -> Option<Pending> {
    use gateway::sealed_path_view::State;
    let name = SandboxPath(path.path.clone());
    match path.state() {
        State::Sealed => None,
        State::Writable => Some(Pending::Writable(name)),
        State::Changed | State::Unspecified => Some(Pending::Changed(name)),
        State::Missing => Some(Pending::Missing(name)),
        State::NotRegular => Some(Pending::NotRegular(name)),
    }
}

/// Tries the readiness probe until it passes or its time is over; what it says in the end is proven later. False: the service
/// is stopping.
pub(super) async fn started(run: &Run, at: (&RecordName, &LiveId)) -> Result<bool, Error> {
    if let Ok(adapter) = watch::adapter(run).await? {
        let part = readiness(run, &adapter, at).await?;
        tracing::debug!(recovery = %run.name(), readiness = part.word(), "it has started");
    }
    Ok(!run.stopping.is_cancelled())
}

async fn readiness(
    run: &Run,
    adapter: &Adapter,
    (on, live): (&RecordName, &LiveId),
) -> Result<Part, Error> {
    let Some(probe) = &run.header.plan.inputs.readiness else {
        return Ok(Part::NotApplicable);
    };
    let probe = pb::ReadinessProbe {
        command: probe.command.clone(),
        timeout: Some(duration(probe.timeout)),
    };
    let begun = Instant::now();
    loop {
        let over =
            begun.elapsed() >= run.world.config.readiness_timeout || run.stopping.is_cancelled();
        match adapter.readiness(on, live, probe.clone()).await {
            Ok(0) => return Ok(Part::Proven),
            Ok(code) if over => return Ok(Part::Pending(vec![Pending::NotReady(code)])),
            Err(why) if over => return Ok(Part::Unproven(why)),
            Ok(_) | Err(_) => sleep(PAUSE).await,
        }
    }
}
