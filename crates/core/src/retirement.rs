//! Giving a recovery up: what was looked at for it, why it could be, and what it may have left behind.
//!
//! A recovery that can be gone on with is given up only where it is *void*: what it was to do cannot be any more, whoever goes
//! on. That is concluded from what is known and never from what is not.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Denial, Fact, FactName, Limits, Timestamp,
    evidence::{Gateway, GatewayIdentity, IdentityPart, Live, RecordState},
    id::{Etag, LiveId, RecordUid, RecoveryName, SnapshotName},
    name::RecordName,
    path::SagaKind,
    plan::Plan,
    saga::ParkReason,
};

/// A recovery given up, as its journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retirement {
    /// Stable, upper snake case: what this version could not go on with, or why there was nothing to go on for.
    pub reason: String,
    /// The same, for people.
    pub message: String,
    /// What was seen right before.
    pub look: Look,
    /// What it had asked for without its journal saying what came of it.
    pub doubts: Vec<Doubt>,
    /// Snapshots that its journal names.
    pub snapshots: Vec<SnapshotName>,
    /// The revision of the journal that was given up.
    pub revision: String,
    /// The caller's id for the request, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The release of salvor that wrote this.
    pub by: String,
}

/// What is looked at before a recovery is given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// When.
    pub now: Timestamp,
    /// The record; known as absent where the registry has none of the name.
    pub record: Fact<Option<SeenRecord>>,
    /// The owner gateway. `NotRegistered` where the registry has none of the name: then nobody can be asked.
    pub gateway: Fact<Gateway>,
    /// Its statement of the sandbox.
    pub live: Fact<Live>,
    /// Its statement of the sandbox that the recovery was to make besides, if it was to make one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<(RecordName, Fact<Live>)>,
}

/// Of a record, what tells it from another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenRecord {
    /// Its own for ever.
    pub uid: Option<RecordUid>,
    /// Its version.
    pub etag: Etag,
    /// What it is going through.
    pub state: RecordState,
    /// The incarnation that it speaks of.
    pub live_id: Option<LiveId>,
    /// What its owner gateway was.
    pub identity: GatewayIdentity,
}

/// An effect whose outcome is not in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// Of which step, by its stable name.
    pub step: String,
    /// The number of the row that asks for it.
    pub seq: i64,
}

/// Why there is nothing to go on for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Void {
    /// The registry has no record of the name.
    RecordGone,
    /// It was destroyed.
    RecordDestroyed,
    /// It is another one of the same name.
    RecordReplaced,
    /// No gateway of the name is registered.
    GatewayUnregistered,
    /// What the gateway, or the record, is pinned to is not what the plan was made for.
    GatewayReplaced(IdentityPart),
    /// It waits for a name that somebody else's sandbox has.
    NameTaken(LiveId),
}

// === impl Look ===

impl Look {
    /// Everything that has to be known before a recovery is given up. Where no such gateway is registered there is nobody to
    /// ask, which is known.
    ///
    /// # Errors
    /// The first fact that is unknown, or was seen too long ago.
    pub fn is_known(&self, limits: &Limits) -> Result<(), Denial> {
        self.record.fresh(FactName::Record, self.now, limits)?;
        if self.is_unregistered() {
            return Ok(());
        }
        self.gateway.fresh(FactName::OwnerGateway, self.now, limits)?;
        self.live.fresh(FactName::LiveView, self.now, limits)?;
        if let Some((_, copy)) = &self.copy {
            copy.fresh(FactName::CopyName, self.now, limits)?;
        }
        Ok(())
    }

    /// Whether the registry knows no gateway of the name.
    pub const fn is_unregistered(&self) -> bool {
        matches!(&self.gateway, Fact::Unknown { why: crate::Why::NotRegistered, .. })
    }

    /// Whether there is a sandbox that `recovery` made, as its stamp says.
    pub fn shows_work_of(&self, recovery: &RecoveryName) -> bool {
        let copy = self.copy.as_ref().map(|(_, live)| live);
        let stamps = [Some(&self.live), copy].into_iter().flatten().filter_map(|live| match live {
            Fact::Known { value: Live::Present(present), .. } => present.stamp.as_ref(),
            _ => None,
        });
        stamps.into_iter().any(|stamp| stamp.recovery == *recovery)
    }
}

// === impl Void ===

impl Void {
    /// What makes a recovery void, if anything does. `recorded`: the record's own id when the plan was made, where the journal
    /// has it. `waits`: what it waits for.
    pub fn of(
        (recovery, plan): (&RecoveryName, &Plan),
        recorded: Option<&RecordUid>,
        waits: ParkReason,
        look: &Look,
    ) -> Option<Self> {
        let Fact::Known { value: record, .. } = &look.record else { return None };
        let Some(record) = record else { return Some(Self::RecordGone) };
        // The tombstone is what a destroy wants.
        if record.state == RecordState::Destroyed && plan.saga != SagaKind::Destroy {
            return Some(Self::RecordDestroyed);
        }
        if recorded.is_some() && record.uid.is_some() && recorded != record.uid.as_ref() {
            return Some(Self::RecordReplaced);
        }
        if look.is_unregistered() {
            return Some(Self::GatewayUnregistered);
        }
        let identity = &plan.inputs.identity;
        if let Some(part) = identity.differs_from(&record.identity) {
            return Some(Self::GatewayReplaced(part));
        }
        if let Fact::Known { value: gateway, .. } = &look.gateway
            && let Some(part) = identity.differs_from(&gateway.identity)
        {
            return Some(Self::GatewayReplaced(part));
        }
        let Fact::Known { value: Live::Present(present), .. } = &look.live else { return None };
        let own = present.stamp.as_ref().is_some_and(|stamp| stamp.recovery == *recovery);
        let taken = waits == ParkReason::NameTaken
            && !own
            && plan.inputs.live_id.as_ref() != Some(&present.live_id);
        taken.then(|| Self::NameTaken(present.live_id.clone()))
    }

    /// Stable, upper snake case.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::RecordGone => "RECORD_GONE",
            Self::RecordDestroyed => "RECORD_DESTROYED",
            Self::RecordReplaced => "RECORD_REPLACED",
            Self::GatewayUnregistered => "GATEWAY_UNREGISTERED",
            Self::GatewayReplaced(_) => "GATEWAY_REPLACED",
            Self::NameTaken(_) => "NAME_TAKEN",
        }
    }
}

impl fmt::Display for Void {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RecordGone => f.write_str("its record is not there any more"),
            Self::RecordDestroyed => f.write_str("its record was destroyed"),
            Self::RecordReplaced => f.write_str("another record has the name now"),
            Self::GatewayUnregistered => f.write_str("its gateway is not registered any more"),
            Self::GatewayReplaced(part) => {
                write!(
                    f,
                    "its gateway is another one now: the {} is not the planned one",
                    part.in_words()
                )
            }
            Self::NameTaken(live) => {
                write!(
                    f,
                    "the name is held by {live}, which is neither the recorded sandbox nor its own"
                )
            }
        }
    }
}
