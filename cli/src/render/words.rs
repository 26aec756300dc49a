//! Enums as words, each with its tone.

use salvor_proto::gateway::v1::{Channel, Phase, UnknownReason, snapshot};
use salvor_proto::recovery::v1::workspace_source::Kind;
use salvor_proto::recovery::v1::{Saga, Verdict, part::Outcome, recovery::State};
use salvor_proto::registry::v1::{Dialect, posture, sandbox};

use super::Tone;

/// A verdict.
pub(crate) fn verdict(verdict: Verdict) -> (Tone, &'static str) {
    let tone = match verdict {
        Verdict::Live => Tone::Good,
        Verdict::Hold | Verdict::Unknown | Verdict::Recovering | Verdict::Revivable => Tone::Warn,
        Verdict::Lost | Verdict::Failed | Verdict::Foreign | Verdict::Unrecoverable => Tone::Bad,
        Verdict::Destroyed | Verdict::Unspecified => Tone::Dim,
    };
    (tone, after(verdict.as_str_name(), "VERDICT_"))
}

/// What a record is going through.
pub(crate) fn record_state(state: sandbox::State) -> (Tone, &'static str) {
    let tone = match state {
        sandbox::State::Active => Tone::Plain,
        sandbox::State::Recovering | sandbox::State::Destroying => Tone::Warn,
        sandbox::State::Destroyed | sandbox::State::Unspecified => Tone::Dim,
    };
    (tone, after(state.as_str_name(), "STATE_"))
}

/// What a recovery is doing.
pub(crate) fn recovery_state(state: State) -> (Tone, &'static str) {
    let tone = match state {
        State::Succeeded => Tone::Good,
        State::Running | State::Unspecified => Tone::Plain,
        State::Parked | State::Degraded | State::Unproven | State::RolledBack | State::Retired => {
            Tone::Warn
        }
        State::Refused | State::Stranded => Tone::Bad,
    };
    (tone, after(state.as_str_name(), "STATE_"))
}

/// How a part of a result went; `None` for parts that do not apply.
pub(crate) fn outcome(outcome: Outcome) -> Option<(Tone, &'static str)> {
    match outcome {
        Outcome::Unspecified => None,
        Outcome::Proven => Some((Tone::Good, "proven")),
        Outcome::Kept => Some((Tone::Good, "kept")),
        Outcome::Pending => Some((Tone::Warn, "pending")),
        Outcome::Unproven => Some((Tone::Warn, "unproven")),
        Outcome::Lost => Some((Tone::Bad, "lost")),
    }
}

/// The path, in the words of the plan.
pub(crate) fn saga(saga: Saga) -> &'static str {
    match saga {
        Saga::Unspecified => "nothing to do",
        Saga::StaleRecovery => "stale_recovery",
        Saga::Revive => "revive",
        Saga::Rebuild => "rebuild",
        Saga::Snapshot => "snapshot",
        Saga::Restore => "restore",
        Saga::Copy => "copy",
        Saga::Prune => "prune",
        Saga::Destroy => "destroy",
    }
}

/// A sandbox's phase.
pub(crate) fn phase(phase: Phase) -> (Tone, &'static str) {
    let tone = match phase {
        Phase::Ready => Tone::Good,
        Phase::Error => Tone::Bad,
        Phase::Unspecified
        | Phase::Provisioning
        | Phase::Deleting
        | Phase::Unknown
        | Phase::Stopping
        | Phase::Stopped
        | Phase::Starting
        | Phase::Completed => Tone::Warn,
    };
    (tone, after(phase.as_str_name(), "PHASE_"))
}

/// Why something is not known.
pub(crate) fn unknown(reason: UnknownReason) -> &'static str {
    after(reason.as_str_name(), "UNKNOWN_REASON_")
}

/// Whether a snapshot may be selected.
pub(crate) fn snapshot_state(state: snapshot::State) -> (Tone, &'static str) {
    let tone = match state {
        snapshot::State::Complete => Tone::Good,
        snapshot::State::Incomplete => Tone::Warn,
        snapshot::State::Unspecified => Tone::Dim,
    };
    (tone, after(state.as_str_name(), "STATE_"))
}

/// How bytes were read.
pub(crate) fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Unspecified => "-",
        Channel::Exec => "exec",
        Channel::Runtime => "runtime",
    }
}

/// Where a workspace's content will come from; `None` where that does not apply.
pub(crate) fn source(kind: Kind) -> Option<(Tone, &'static str)> {
    match kind {
        Kind::Unspecified => None,
        Kind::Exec => Some((Tone::Plain, "a snapshot to be taken over the gateway's exec")),
        Kind::Runtime => Some((Tone::Plain, "a snapshot to be taken from the container itself")),
        Kind::Snapshot => Some((Tone::Plain, "a snapshot that was taken before")),
        Kind::None => Some((Tone::Bad, "nowhere: it would come back without its files")),
    }
}

/// Which wire.
pub(crate) fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Unspecified => "unknown",
        Dialect::V00 => "0.0",
        Dialect::V01 => "0.1",
    }
}

/// Locked or not, and whether that was proven.
pub(crate) fn posture(posture: Option<&salvor_proto::registry::v1::Posture>) -> (Tone, String) {
    let Some(posture) = posture else { return (Tone::Dim, "-".to_owned()) };
    let mode = match posture.mode() {
        posture::Mode::Unspecified => return (Tone::Dim, "-".to_owned()),
        posture::Mode::Locked => "locked",
        posture::Mode::Unlocked => "unlocked",
    };
    match posture.proof() {
        posture::Proof::Pending => (Tone::Warn, format!("{mode}, pending")),
        posture::Proof::Unspecified | posture::Proof::Proven => (Tone::Plain, mode.to_owned()),
    }
}

fn after(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}
