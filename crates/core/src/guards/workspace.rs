//! Guards about the workspace: what holds it, and what can be read out of it or written into it.

use super::sandbox::{live, record, same_incarnation};
use crate::{
    Check, Denial, Evidence, Limits,
    evidence::{Channel, Doomed, Live, Phase, Posture, RestoreMode, Snapshot},
    fact::FactName,
    id::SandboxPath,
    path::SagaKind,
    plan::Inputs,
};

/// Without it "there is no snapshot" would be said of a repository that could not be asked.
pub(super) const SNAPSHOTS_ARE_KNOWN: Check<Evidence> = Check {
    id: "snapshots_are_known",
    claim: "the repository of the gateway's adapter says which snapshots it holds",
    facts: &[FactName::Snapshot],
    reasons: &[],
    decide: |limits, evidence| snapshot(limits, evidence).map(|_| ()),
};

/// What a workspace would be brought back from goes only if the caller says so, and what a recovery rests on does not go at all.
pub(super) const NAMED_SNAPSHOTS_CAN_GO: Check<Evidence> = Check {
    id: "named_snapshots_can_go",
    claim: "each snapshot to delete by name, if any, is this sandbox's and not in use, and not the last one unless that is allowed",
    facts: &[FactName::Record, FactName::Snapshot],
    reasons: &["LAST_SNAPSHOT", "SNAPSHOT_IN_USE", "SNAPSHOT_NOT_FOUND", "SNAPSHOT_OF_ANOTHER"],
    decide: |limits, evidence| {
        let (record, newest) = (record(limits, evidence)?, snapshot(limits, evidence)?);
        if evidence.asked.delete.is_empty() {
            return Ok(());
        }
        let doomed = evidence.doomed.fresh(FactName::Snapshot, evidence.now, limits)?;
        for name in &evidence.asked.delete {
            let found = doomed.iter().find(|found| found.snapshot.name == *name);
            let Some(Doomed { snapshot, newest: last, in_use }) = found else {
                return Err(Denial::SnapshotNotFound { name: Some(name.clone()) });
            };
            if snapshot.of != evidence.target {
                return Err(of_another(snapshot));
            }
            if *in_use {
                return Err(Denial::SnapshotInUse { name: name.clone() });
            }
            let last = *last || newest.is_some_and(|newest| newest.name == *name);
            if (last || record.names(name)) && !evidence.asked.allow_last {
                return Err(Denial::LastSnapshot { name: name.clone() });
            }
        }
        Ok(())
    },
};

/// A container that the gateway has lost may still run the agent. Two of it must not.
pub(super) const COMPUTE_IS_KNOWN: Check<Evidence> = Check {
    id: "compute_is_known",
    claim: "the container runtime, where one is given, says what it holds of the sandbox",
    facts: &[FactName::Compute],
    reasons: &[],
    decide: |limits, evidence| {
        evidence.compute.fresh(FactName::Compute, evidence.now, limits).map(|_| ())
    },
};

/// By exact name, complete, of this sandbox, and with every root: or there is none, and none was asked for.
pub(super) const CHOSEN_SNAPSHOT_FITS: Check<Evidence> = Check {
    id: "chosen_snapshot_fits",
    claim: "the snapshot to put back, if any, is complete, of this sandbox, and covers every declared root",
    facts: &[FactName::Record, FactName::Snapshot],
    reasons: &[
        "SNAPSHOT_INCOMPLETE",
        "SNAPSHOT_LACKS_ROOT",
        "SNAPSHOT_NOT_FOUND",
        "SNAPSHOT_OF_ANOTHER",
    ],
    decide: |limits, evidence| match (snapshot(limits, evidence)?, &evidence.asked.snapshot) {
        (None, None) => record(limits, evidence).map(|_| ()),
        (None, Some(name)) => Err(Denial::SnapshotNotFound { name: Some(name.clone()) }),
        (Some(found), Some(name)) if found.name != *name => {
            Err(Denial::SnapshotNotFound { name: Some(name.clone()) })
        }
        (Some(found), _) => fits(limits, evidence, found),
    },
};

/// For a restore there must be something to restore.
pub(super) const SNAPSHOT_IS_THERE: Check<Evidence> = Check {
    id: "snapshot_is_there",
    claim: "there is a complete snapshot to put back",
    facts: &[FactName::Snapshot],
    reasons: &["SNAPSHOT_NOT_FOUND"],
    decide: |limits, evidence| match snapshot(limits, evidence)? {
        Some(_) => Ok(()),
        None => Err(Denial::SnapshotNotFound { name: evidence.asked.snapshot.clone() }),
    },
};

/// For a copy likewise; a drill may take its own.
pub(super) const SNAPSHOT_IS_THERE_OR_TAKEN: Check<Evidence> = Check {
    id: "snapshot_is_there_or_taken",
    claim: "there is a complete snapshot to fill the copy from, or one is taken first",
    facts: &[FactName::Record, FactName::LiveView, FactName::Snapshot],
    reasons: &["SNAPSHOT_NOT_FOUND"],
    decide: |limits, evidence| {
        record(limits, evidence)?;
        live(limits, evidence)?;
        let found = snapshot(limits, evidence)?.is_some();
        let taken = Inputs::of(SagaKind::Copy, evidence).capture.is_some();
        if found || taken {
            return Ok(());
        }
        Err(Denial::SnapshotNotFound { name: evidence.asked.snapshot.clone() })
    },
};

/// No delete without a verified, complete snapshot of every root, or the acceptance of this very plan's losses.
pub(super) const WORKSPACE_CAN_BE_SAVED: Check<Evidence> = Check {
    id: "workspace_can_be_saved",
    claim: "the workspace can be read now, or a complete snapshot holds it, or the caller accepted this plan's losses",
    facts: &[FactName::Record, FactName::LiveView, FactName::Snapshot, FactName::Compute],
    reasons: &["NO_COMPLETE_SNAPSHOT", "SANDBOX_ABSENT"],
    decide: |limits, evidence| {
        record(limits, evidence)?;
        let present = match live(limits, evidence)? {
            Live::Present(present) => present,
            Live::Absent { .. } => return Err(Denial::SandboxAbsent),
        };
        snapshot(limits, evidence)?;
        evidence.compute.fresh(FactName::Compute, evidence.now, limits)?;
        let inputs = Inputs::of(SagaKind::Rebuild, evidence);
        let accepted = || {
            let digest = inputs.digest(SagaKind::Rebuild, &evidence.target);
            evidence.accepted_loss.as_ref() == Some(&digest)
        };
        if !inputs.loses_workspace() || accepted() {
            return Ok(());
        }
        Err(Denial::NoCompleteSnapshot { phase: present.phase })
    },
};

/// A snapshot of weeks ago stands for a stopped sandbox only if nothing newer can be had.
pub(super) const START_COMES_FIRST: Check<Evidence> = Check {
    id: "start_comes_first",
    claim: "the workspace is read before the delete, or no start could make it readable, or one was tried, or the caller accepted this plan's losses",
    facts: &[FactName::Record, FactName::LiveView, FactName::Snapshot, FactName::Compute],
    reasons: &["START_FIRST"],
    decide: |limits, evidence| {
        let recorded = record(limits, evidence)?.live_id.as_ref();
        let live = live(limits, evidence)?;
        // Whoever accepts a plan's losses accepts them with this snapshot.
        snapshot(limits, evidence)?;
        evidence.compute.fresh(FactName::Compute, evidence.now, limits)?;
        let inputs = Inputs::of(SagaKind::Rebuild, evidence);
        let accepted = || {
            let digest = inputs.digest(SagaKind::Rebuild, &evidence.target);
            evidence.accepted_loss.as_ref() == Some(&digest)
        };
        match live {
            // Of anything else other guards speak.
            Live::Present(present)
                if present.startable
                    && recorded == Some(&present.live_id)
                    && !present.phase.in_motion()
                    && inputs.capture.is_none()
                    && !evidence.asked.start_tried
                    && !accepted() =>
            {
                Err(Denial::StartFirst { phase: present.phase })
            }
            Live::Present(_) | Live::Absent { .. } => Ok(()),
        }
    },
};

/// For a snapshot: over the gateway while the sandbox is live, from its container otherwise.
pub(super) const SANDBOX_CAN_BE_READ: Check<Evidence> = Check {
    id: "sandbox_can_be_read",
    claim: "the recorded incarnation is live, or its container is there",
    facts: &[FactName::Record, FactName::LiveView, FactName::Compute],
    reasons: &[
        "CONTAINER_NOT_FOUND",
        "FOREIGN_SANDBOX",
        "NOT_REACHABLE",
        "RECORD_INCOMPLETE",
        "SANDBOX_ABSENT",
    ],
    decide: |limits, evidence| {
        let (live, record) = (live(limits, evidence)?, record(limits, evidence)?);
        if let Live::Present(present) = live {
            same_incarnation(record, present)?;
        }
        let channel = Inputs::of(SagaKind::Snapshot, evidence).capture;
        // What is read through the gateway is read whatever the runtime says.
        if channel == Some(Channel::Exec) {
            return Ok(());
        }
        evidence.compute.fresh(FactName::Compute, evidence.now, limits)?;
        match (channel, live) {
            (Some(_), _) => Ok(()),
            (None, Live::Present(_)) if evidence.asked.channel == Some(Channel::Runtime) => {
                Err(Denial::ContainerNotFound)
            }
            (None, Live::Present(present)) => Err(Denial::NotReachable { phase: present.phase }),
            (None, Live::Absent { .. }) => Err(Denial::SandboxAbsent),
        }
    },
};

/// For a restore into it.
pub(super) const SANDBOX_IS_LIVE: Check<Evidence> = Check {
    id: "sandbox_is_live",
    claim: "the sandbox is READY: files can be written into it, and read back",
    facts: &[FactName::LiveView],
    reasons: &["NOT_REACHABLE", "PHASE_IN_MOTION", "SANDBOX_ABSENT"],
    decide: |limits, evidence| match live(limits, evidence)? {
        Live::Present(present) if present.phase == Phase::Ready => Ok(()),
        Live::Present(present) if present.phase.in_motion() => {
            Err(Denial::PhaseInMotion { phase: present.phase })
        }
        Live::Present(present) => Err(Denial::NotReachable { phase: present.phase }),
        Live::Absent { .. } => Err(Denial::SandboxAbsent),
    },
};

/// A lock is broken by another content of a sealed file, and mended by the sealed one: writing that is no way around it.
pub(super) const POSTURE_ALLOWS_WRITING: Check<Evidence> = Check {
    id: "posture_allows_writing",
    claim: "the record does not hold the sandbox locked, or the snapshot holds every sealed file that it would write as sealed",
    facts: &[FactName::Record, FactName::Snapshot],
    reasons: &["POSTURE_LOCKED"],
    decide: |limits, evidence| {
        let (record, found) = (record(limits, evidence)?, snapshot(limits, evidence)?);
        // Without a snapshot nothing is written: another row says so.
        let (Posture::Locked { sealed }, Some(found)) = (&record.posture, found) else {
            return Ok(());
        };
        let mut touched = found.touches(sealed.keys(), &evidence.asked.paths);
        match touched.find(|path| !found.as_sealed.contains(path)) {
            Some(path) => Err(Denial::PostureLocked { path: path.clone() }),
            None => Ok(()),
        }
    },
};

/// A merge of nothing would be done at once, and read as a restore that was proven.
pub(super) const CONFIG_TO_MERGE_IS_DECLARED: Check<Evidence> = Check {
    id: "config_to_merge_is_declared",
    claim: "the record declares a config file to merge, if nothing but a merge was asked for",
    facts: &[FactName::Record],
    reasons: &["NOTHING_TO_MERGE"],
    decide: |limits, evidence| {
        let (record, asked) = (record(limits, evidence)?, &evidence.asked);
        let merged = |file: &SandboxPath| {
            asked.paths.is_empty() || asked.paths.iter().any(|path| file.is_in(path))
        };
        if asked.mode == RestoreMode::MergeConfig && !record.config_files.iter().any(merged) {
            return Err(Denial::NothingToMerge);
        }
        Ok(())
    },
};

/// A copy replaces nothing.
pub(super) const COPY_NAME_IS_FREE: Check<Evidence> = Check {
    id: "copy_name_is_free",
    claim: "nothing bears the name of the copy, on the owner gateway or in the registry",
    facts: &[FactName::CopyName],
    reasons: &["COPY_EXISTS"],
    decide: |limits, evidence| match evidence.copy.fresh(
        FactName::CopyName,
        evidence.now,
        limits,
    )? {
        Some(live) => Err(Denial::CopyExists { live: live.clone() }),
        None => Ok(()),
    },
};

fn fits(limits: &Limits, evidence: &Evidence, found: &Snapshot) -> Result<(), Denial> {
    let record = record(limits, evidence)?;
    if !found.complete {
        return Err(Denial::SnapshotIncomplete { name: found.name.clone() });
    }
    let own = match &evidence.asked.from {
        Some(from) => found.of == *from,
        None => evidence.asked.other_sandbox || found.is_of(&evidence.target, record),
    };
    if !own {
        return Err(of_another(found));
    }
    if evidence.asked.other_sandbox {
        return Ok(());
    }
    match found.lacks(record) {
        Some(root) => Err(Denial::SnapshotLacksRoot { name: found.name.clone(), root }),
        None => Ok(()),
    }
}

fn of_another(found: &Snapshot) -> Denial {
    Denial::SnapshotOfAnother {
        name: found.name.clone(),
        of: found.of.clone(),
        live: found.live_id.clone(),
    }
}

fn snapshot<'e>(limits: &Limits, evidence: &'e Evidence) -> Result<Option<&'e Snapshot>, Denial> {
    evidence.snapshot.fresh(FactName::Snapshot, evidence.now, limits).map(Option::as_ref)
}
