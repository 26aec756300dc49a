//! What the evidence says, and which path follows. One function each, shared by every call that asks.
//!
//! | live view on the owner gateway | verdict | path |
//! |---|---|---|
//! | Present, another id than recorded | foreign | refused, as a stale recovery would be |
//! | Present, Ready | live | rebuild if asked; otherwise nothing to do |
//! | Present, Stopped, or Error that a start mends here | revivable | revive |
//! | Present, Error or Completed that no start mends | failed | rebuild |
//! | Present, Provisioning, Starting, Stopping, Deleting, Unknown | hold | refused for now |
//! | Absent, seen for the settle window | lost | stale recovery |
//! | Absent, seen for less | hold | refused for now |
//! | Unknown, or seen too long ago | unknown | refused |
//!
//! A refused path still has a table: the guards of the path that was meant explain why, all at once.

use serde::{Deserialize, Serialize};

use crate::{
    Evidence, FactName, Limits,
    evidence::{Live, Present, Record, RecordState},
};

/// A definition that a recovery runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SagaKind {
    /// Recreate a sandbox that is proven absent.
    StaleRecovery,
    /// Start it again.
    Revive,
    /// Make a present one anew.
    Rebuild,
    /// Take it away for good.
    Destroy,
    /// Read its workspace into the repository.
    Snapshot,
    /// Write a snapshot into it.
    Restore,
    /// Make another one from its record and a snapshot.
    Copy,
    /// Take snapshots away that no rule keeps.
    Prune,
}

/// What a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Request {
    /// Whatever the evidence calls for.
    Auto,
    /// Only a start.
    Revive,
    /// Make it anew.
    Rebuild,
    /// Take it away.
    Destroy,
    /// Take a snapshot.
    Snapshot,
    /// Put a snapshot back.
    Restore,
    /// Make another one from a snapshot.
    Copy,
    /// Take snapshots away.
    Prune,
}

/// What the evidence says, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Present and Ready under the recorded id.
    Live,
    /// A start brings it back.
    Revivable,
    /// Proven absent, and the record can recreate it as far as looking tells.
    Lost,
    /// On its way to something else.
    Hold,
    /// Failed in a way that no start mends.
    Failed,
    /// The name is another incarnation's.
    Foreign,
    /// Not determined.
    Unknown,
    /// Destroyed on purpose.
    Destroyed,
    /// A recovery is at work.
    Recovering,
}

/// What to do about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// Evaluate this saga's table; if it allows, run it.
    Run(SagaKind),
    /// The sandbox is live, and nothing else was asked for.
    Nothing,
}

/// What the evidence says. Facts older than the limits allow are unknown here too: an old look at a live sandbox does
/// not make it live.
pub fn verdict(limits: &Limits, evidence: &Evidence) -> Verdict {
    let now = evidence.now;
    let Ok(record) = evidence.record.fresh(FactName::Record, now, limits) else {
        return Verdict::Unknown;
    };
    match record.state {
        RecordState::Destroyed => return Verdict::Destroyed,
        RecordState::Recovering | RecordState::Destroying => return Verdict::Recovering,
        RecordState::Active => {}
    }
    let (Ok(gateway), Ok(live)) = (
        evidence.gateway.fresh(FactName::OwnerGateway, now, limits),
        evidence.live.fresh(FactName::LiveView, now, limits),
    ) else {
        return Verdict::Unknown;
    };
    if record.identity.differs_from(&gateway.identity).is_some() {
        return Verdict::Unknown;
    }
    match live {
        Live::Present(present) => of_present(record, present),
        Live::Absent { since } => {
            let settled = since.age(now) >= limits.absence_settle
                && gateway.healthy_since.age(now) >= limits.gateway_settle;
            if settled { Verdict::Lost } else { Verdict::Hold }
        }
    }
}

fn of_present(record: &Record, present: &Present) -> Verdict {
    use crate::evidence::Phase;

    if record.live_id.as_ref() != Some(&present.live_id) {
        return Verdict::Foreign;
    }
    match present.phase {
        Phase::Ready => Verdict::Live,
        Phase::Stopped | Phase::Error | Phase::Completed if present.startable => Verdict::Revivable,
        Phase::Stopped | Phase::Error | Phase::Completed => Verdict::Failed,
        Phase::Provisioning
        | Phase::Deleting
        | Phase::Unknown
        | Phase::Stopping
        | Phase::Starting => Verdict::Hold,
    }
}

/// The path that a request takes, given the verdict.
pub const fn choose(request: Request, verdict: Verdict) -> Path {
    match (request, verdict) {
        (Request::Destroy, _) => Path::Run(SagaKind::Destroy),
        (Request::Snapshot, _) => Path::Run(SagaKind::Snapshot),
        (Request::Restore, _) => Path::Run(SagaKind::Restore),
        (Request::Copy, _) => Path::Run(SagaKind::Copy),
        (Request::Prune, _) => Path::Run(SagaKind::Prune),
        (Request::Auto, Verdict::Live) => Path::Nothing,
        (Request::Revive, _) | (Request::Auto, Verdict::Revivable) => Path::Run(SagaKind::Revive),
        (Request::Rebuild, Verdict::Live | Verdict::Revivable | Verdict::Failed)
        | (Request::Auto, Verdict::Failed) => Path::Run(SagaKind::Rebuild),
        (
            Request::Auto | Request::Rebuild,
            Verdict::Lost
            | Verdict::Hold
            | Verdict::Foreign
            | Verdict::Unknown
            | Verdict::Destroyed
            | Verdict::Recovering,
        ) => Path::Run(SagaKind::StaleRecovery),
    }
}

impl SagaKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::StaleRecovery,
        Self::Revive,
        Self::Rebuild,
        Self::Destroy,
        Self::Snapshot,
        Self::Restore,
        Self::Copy,
        Self::Prune,
    ];

    /// The version of its definition that this build runs: its guards, events and transitions. A journal names the one that
    /// wrote it; which others go on with it says [`resumption`](Self::resumption).
    pub const fn version(self) -> u32 {
        match self {
            // Since they save and put back workspaces.
            Self::StaleRecovery | Self::Rebuild => 2,
            Self::Revive
            | Self::Destroy
            | Self::Snapshot
            | Self::Restore
            | Self::Copy
            | Self::Prune => 1,
        }
    }

    /// Its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StaleRecovery => "stale_recovery",
            Self::Revive => "revive",
            Self::Rebuild => "rebuild",
            Self::Destroy => "destroy",
            Self::Snapshot => "snapshot",
            Self::Restore => "restore",
            Self::Copy => "copy",
            Self::Prune => "prune",
        }
    }

    /// As people say it.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::StaleRecovery => "recovery",
            Self::Revive => "revival",
            Self::Rebuild => "rebuild",
            Self::Destroy => "destroy",
            Self::Snapshot => "snapshot",
            Self::Restore => "restore",
            Self::Copy => "copy",
            Self::Prune => "prune",
        }
    }
}
