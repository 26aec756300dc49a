//! Taking the present incarnation into an existing record, because its sandbox was replaced on purpose.

use std::time::Duration;

use salvor_core::name::RecordName;
use salvor_proto::{
    Error,
    error::Code,
    registry::v1::{self as registry, posture},
};

use crate::{engine::Engine, words::NextStep};

/// How long a rebind may hold the record.
const REBIND_LEASE: Duration = Duration::from_secs(30);

const SNAPSHOT_STATUS: &str = "snapshot_status";

impl Engine {
    /// Takes what was captured into an existing record; what the request does not name stays as it was.
    ///
    /// # Errors
    /// There is no such record, a recovery holds it, it is a tombstone, or it is not the version of `etag` any more. Nothing was
    /// stored then.
    pub(super) async fn rebind(
        &self,
        name: &RecordName,
        mut record: registry::Sandbox,
        etag: String,
        validate_only: bool,
    ) -> Result<registry::Sandbox, Error> {
        let registry = &self.world().registry;
        record.etag = etag;
        if validate_only {
            let mut fields = onto(&mut record, registry.sandbox(name).await?, name)?;
            // Only a lease's holder may write it, and a check takes no lease.
            fields.retain(|field| *field != SNAPSHOT_STATUS);
            return registry.check_update(record, &fields).await;
        }
        let holder = format!("adopt/{}", uuid::Uuid::now_v7().simple());
        let lease = registry.acquire(name, &holder, REBIND_LEASE).await?;
        let rebound = async {
            let fields = onto(&mut record, registry.sandbox(name).await?, name)?;
            registry.update(record, &fields, Some(lease.fence)).await
        };
        let rebound = rebound.await;
        if let Err(error) = registry.release(name, lease).await {
            tracing::warn!(sandbox = %name, %error, "a lease was not given back; it runs out");
        }
        rebound
    }
}

/// The fields to write so that `before` becomes what was captured.
fn onto(
    record: &mut registry::Sandbox,
    before: registry::Sandbox,
    name: &RecordName,
) -> Result<Vec<&'static str>, Error> {
    if before.state() != registry::sandbox::State::Active {
        return Err(not_active(&before, name));
    }
    let mut fields = vec!["live_id", "gateway_identity", "spec", "policy", "labels", "annotations"];
    if !record.agents.is_empty() {
        fields.push("agents");
    }
    if record.snapshot_rules.is_some() {
        fields.push("snapshot_rules");
    }
    if !record.config_files.is_empty() {
        fields.push("config_files");
    }
    if record.readiness_probe.is_some() {
        fields.push("readiness_probe");
    }
    if record.automatic_recovery() != registry::AutomaticRecovery::Unspecified {
        fields.push("automatic_recovery");
    }
    if record.posture.is_none() && record.live_id != before.live_id {
        record.posture = before.posture.and_then(unproven);
    }
    if record.posture.is_some() {
        fields.push("posture");
    }
    if record.live_id != before.live_id && before.snapshot_status.is_some() {
        // Another incarnation's snapshots are not this one's.
        record.snapshot_status = None;
        fields.push(SNAPSHOT_STATUS);
    }
    Ok(fields)
}

/// The same obligation: its proof was of another incarnation.
fn unproven(mut obligation: registry::Posture) -> Option<registry::Posture> {
    if obligation.mode() != posture::Mode::Locked {
        return None;
    }
    obligation.set_proof(posture::Proof::Pending);
    obligation.pending =
        vec!["the sandbox was replaced, and has not been looked at since".to_owned()];
    obligation.proof_time = None;
    Some(obligation)
}

fn not_active(before: &registry::Sandbox, name: &RecordName) -> Error {
    let state = before.state().as_str_name().trim_start_matches("STATE_");
    let next_step = if before.state() == registry::sandbox::State::Destroyed {
        NextStep::Adopt
    } else {
        NextStep::ListOpen
    };
    let message = format!("the record of {name} is {state}; nothing was recorded");
    Error::new(Code::Refused, "RECORD_NOT_ACTIVE", message)
        .next_step(next_step.of(&name.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_of_another_incarnation_are_not_this_ones() {
        let name: RecordName = "gateways/g/workspaces/w/sandboxes/s".parse().unwrap();
        let before = registry::Sandbox {
            state: registry::sandbox::State::Active.into(),
            live_id: "one".to_owned(),
            snapshot_status: Some(registry::SnapshotStatus::default()),
            ..registry::Sandbox::default()
        };
        for (live_id, cleared) in [("one", false), ("two", true)] {
            let live_id = live_id.to_owned();
            let mut record = registry::Sandbox { live_id, ..registry::Sandbox::default() };
            let fields = onto(&mut record, before.clone(), &name).unwrap();
            assert_eq!(fields.contains(&SNAPSHOT_STATUS), cleared, "{}", record.live_id);
            assert_eq!(record.snapshot_status, None);
        }
    }
}
