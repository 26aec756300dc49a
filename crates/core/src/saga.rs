//! Sagas: events, a fold, and what comes next.
//!
//! A recovery's state is the fold of its journal and is kept nowhere else. An effect is journaled twice: its intent before,
//! its outcome after. A fold that ends with an intent is *doubtful*: what comes next is to look, never to do it again.

pub mod capture;
pub mod copy;
pub mod destroy;
pub mod entry;
pub mod proofs;
pub mod prune;
pub mod rebuild;
pub mod refill;
pub mod restore;
pub mod revive;
pub mod snapshot;
pub mod stale;
pub mod version;
mod words;

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use self::{
    capture::{NotSaved, Saved},
    refill::RefillEvent,
};
use crate::{
    SagaKind,
    fact::Why,
    id::{ComputeId, LiveId, SandboxPath, SnapshotName},
    time::Timestamp,
};

/// One definition of a recovery.
pub trait Saga {
    /// What is true now.
    type State: Clone + PartialEq + fmt::Debug + Send + Sync;
    /// What happened, in the past tense; the journal's rows.
    type Event: Clone
        + PartialEq
        + fmt::Debug
        + Serialize
        + DeserializeOwned
        + Narrate
        + Send
        + Sync;
    /// What to do.
    type Step: Copy + PartialEq + Eq + fmt::Debug + Send + Sync;

    /// Which one.
    const KIND: SagaKind;

    /// Before the first event.
    fn initial() -> Self::State;

    /// The fold. It validates what is written and replays what was written; there is no second rule.
    fn apply(state: Self::State, event: &Self::Event) -> Result<Self::State, IllegalEvent>;

    /// What comes next.
    fn next(state: &Self::State) -> Next<Self::Step>;

    /// The event to journal before performing a step; `None` for a step without an effect.
    fn intent(state: &Self::State, step: Self::Step) -> Option<Self::Event>;

    /// The step's stable name.
    fn name(step: Self::Step) -> &'static str;

    /// The state's stable name.
    fn phase(state: &Self::State) -> &'static str;

    /// The event to journal when another process goes on from here; `None` where nothing has become void by that.
    fn taken_up(_: &Self::State) -> Option<Self::Event> {
        None
    }

    /// The complete snapshot that an event speaks of having taken, if it does.
    fn taken(_: &Self::Event) -> Option<&Saved> {
        None
    }

    /// What an event says of putting the workspace back, if it does.
    fn refill(_: &Self::Event) -> Option<&RefillEvent> {
        None
    }

    /// The event that parks the recovery where it is.
    fn parked(why: ParkReason) -> Self::Event;

    /// The event that resumes a parked one.
    fn resumed() -> Self::Event;

    /// The event by which somebody asks to go back. `apply` refuses it past the point of no return.
    fn cancelled() -> Self::Event;
}

/// What comes next.
#[expect(clippy::large_enum_variant, reason = "one at a time, read at once")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<S> {
    /// Go on.
    Do(S),
    /// Go back.
    Compensate(S),
    /// Wait for a person or a condition.
    Park(ParkReason),
    /// Nothing more will change.
    Finished(Ending),
}

/// An event that cannot happen in a state: the journal is not one of this saga's, or a writer is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {event} cannot happen in state {state}")]
pub struct IllegalEvent {
    /// Debug form of the state.
    pub state: String,
    /// Debug form of the event.
    pub event: String,
}

/// What a port says of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<T> {
    /// It is done.
    Applied(T),
    /// It is certain that nothing was changed.
    NotApplied(Cause),
    /// Not known: look before going on.
    MaybeApplied(Cause),
}

/// Why an effect was not, or is not known to be, applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// The name is taken.
    AlreadyExists,
    /// There is no such sandbox.
    NotFound,
    /// Another incarnation has the name.
    OtherIncarnation,
    /// The gateway refuses what the request says.
    Invalid,
    /// The gateway refuses it in the present phase.
    WrongPhase,
    /// The gateway does not allow it to the adapter.
    Denied,
    /// It is not the pinned gateway, or speaks another dialect.
    WrongGateway,
    /// The gateway could not be reached or failed.
    GatewayFailed,
    /// A command inside the sandbox failed.
    CommandFailed,
    /// Accepted, and not seen to take effect in time.
    NotSettled,
    /// The adapter could not be reached, or went away.
    AdapterFailed,
    /// The recorded material could not be had from the registry.
    MaterialUnavailable,
    /// The snapshot is not there, not complete, not intact, or another sandbox's.
    SnapshotUnusable,
    /// The snapshot repository could not be reached, or was busy.
    RepositoryFailed,
    /// The snapshot is in use, or the last one.
    SnapshotInUse,
    /// The gateway's adapter has no snapshot repository that it can use.
    RepositoryMissing,
    /// The snapshot repository has no space left.
    RepositoryFull,
    /// The adapter's password does not open the snapshot repository, or it has none.
    PasswordWrong,
    /// Something in the snapshot repository is gone, or not what was written.
    RepositoryDamaged,
    /// Not one entry of the roots could be read.
    NothingRead,
    /// What the sandbox's own tools said of its files cannot be used.
    ListingUnusable,
    /// The record's snapshot rules are not those of the plan any more.
    RulesChanged,
    /// The nonce of a drill could not be written.
    NonceNotWritten,
    /// The container runtime shows no container of it.
    ContainerMissing,
    /// The snapshot names an entry that is not below its roots.
    LeavesRoot,
    /// There are more entries than can be compared at once.
    TooManyEntries,
    /// The adapter is at work on as much as it does at once.
    AdapterBusy,
    /// The adapter may change nothing on the gateway at present.
    NotServing,
    /// A newer holder has the record's lease.
    Fenced,
    /// The workspace is not any more as the snapshot has it that was to stand for it.
    WorkspaceChanged,
}

/// Why a recovery waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ParkReason {
    /// What an effect came to cannot be found out now.
    Undetermined(Why),
    /// The sandbox did not become ready in time.
    NotReadyInTime,
    /// The registry cannot be used for the next step: it is away, or refuses it.
    RegistryUnavailable,
    /// The effect keeps failing without a change.
    KeepsFailing(Cause),
    /// The name is taken on the gateway by a sandbox that is not this recovery's.
    NameTaken,
}

/// How a recovery ended.
#[expect(clippy::large_enum_variant, reason = "one at a time, at the end of a recovery")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Done: part by part.
    Done(Parts),
    /// Undone: the record is as it was.
    RolledBack(Setback),
}

/// Why a recovery went back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Setback {
    /// The gateway refused the effect.
    Refused(Cause),
    /// What was made never became ready, and was taken away again.
    NeverReady(Failed),
    /// A sandbox that is not this recovery's has the name.
    Stranger(LiveId),
    /// The recorded sandbox is there again.
    Returned,
    /// Its workspace could not be saved, so nothing was done to it.
    NotSaved(NotSaved),
    /// The record changed between the plan and the recovery.
    RecordChanged,
    /// Somebody asked for it before the point of no return.
    Cancelled,
}

/// How a sandbox failed, as its gateway says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The gateway's reason.
    pub reason: String,
    /// The main process's exit code.
    pub exit_code: Option<i32>,
}

/// One part of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// As recorded, read back.
    Proven,
    /// Never changed by the recovery.
    Kept,
    /// Put back from a snapshot, and compared as far as the request's mode and paths go.
    Restored {
        /// Which.
        snapshot: SnapshotName,
        /// When it began to be read: what was written later is not in it.
        begun: Timestamp,
    },
    /// Put back from a snapshot but for these items, each named; the snapshot holds them still.
    Partly {
        /// Which.
        snapshot: SnapshotName,
        /// When it began to be read.
        begun: Timestamp,
        /// What is owed.
        owed: Vec<Pending>,
    },
    /// Does not apply to this recovery or this record.
    NotApplicable,
    /// Gone, and it was promised to nobody.
    Gone,
    /// Gone, although the record declares it worth keeping.
    Lost,
    /// Owed, item by item.
    Pending(Vec<Pending>),
    /// Could not be determined.
    Unproven(Why),
}

/// One thing that is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pending {
    /// The sealed file differs from its digest.
    Changed(SandboxPath),
    /// The sealed file does not exist.
    Missing(SandboxPath),
    /// The sealed file can be written.
    Writable(SandboxPath),
    /// It is no regular file.
    NotRegular(SandboxPath),
    /// The policy in force is not the recorded one.
    PolicyDiffers,
    /// The image, variables or command that it runs with are not the recorded ones.
    SpecDiffers,
    /// The attached providers are not the recorded ones.
    ProvidersDiffer,
    /// The readiness probe ended with this code.
    NotReady(i32),
    /// A file is not as the snapshot has it.
    NotRestored {
        /// Where.
        path: SandboxPath,
        /// The adapter's word for it, upper snake case.
        reason: String,
    },
    /// What containers hold that the gateway has lost could not be read. They are left where they are.
    NotSalvaged {
        /// Which.
        containers: Vec<ComputeId>,
        /// Why.
        why: NotSaved,
        /// What was put back instead, if anything was.
        instead: Option<SnapshotName>,
    },
    /// More files are not as the snapshot has them.
    MoreNotRestored {
        /// How many.
        count: u64,
    },
}

/// A result, part by part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// The incarnation that is live now; `None` after a destroy.
    pub live_id: Option<LiveId>,
    /// The workspace's files.
    pub data: Part,
    /// The spec, and the readiness probe.
    pub config: Part,
    /// The policy.
    pub policy: Part,
    /// The providers.
    pub providers: Part,
    /// The lock.
    pub posture: Part,
}

/// The whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// All of it done and proven.
    Succeeded,
    /// Done; something is owed or lost.
    Degraded,
    /// Done as far as can be told.
    Unproven,
}

/// How a journal row reads in a list of steps.
pub trait Narrate {
    /// The step it belongs to; `None` for bookkeeping.
    fn step(&self) -> Option<&'static str>;
    /// What came of it, one word; `intended` for an intent.
    fn outcome(&self) -> &'static str;
    /// More, for people. No secrets.
    fn detail(&self) -> String;
}

// === impl Parts ===

impl Parts {
    /// The worst of the parts.
    pub fn outcome(&self) -> Outcome {
        let parts = [&self.data, &self.config, &self.policy, &self.providers, &self.posture];
        parts.into_iter().map(Part::severity).max().unwrap_or(Outcome::Succeeded)
    }
}

impl Part {
    /// What the whole would be if this were its worst part.
    pub const fn severity(&self) -> Outcome {
        match self {
            Self::Proven
            | Self::Kept
            | Self::Restored { .. }
            | Self::NotApplicable
            | Self::Gone => Outcome::Succeeded,
            Self::Lost | Self::Partly { .. } | Self::Pending(_) => Outcome::Degraded,
            Self::Unproven(_) => Outcome::Unproven,
        }
    }
}

/// Whether what a saga asks of an adapter after this event is another request than before it, although it is the same step and
/// attempt. An adapter answers a request that it knows with what came of it then; after a wait, or once the sandbox is seen
/// to be alive still or to be written to, that is of another time (scenario T16).
pub fn renews(event: &impl Narrate) -> bool {
    matches!(event.outcome(), "outdated" | "resumed" | "still_there" | "changed")
}

/// Folds a whole journal.
pub fn fold<'e, S: Saga>(
    events: impl IntoIterator<Item = &'e S::Event>,
) -> Result<S::State, IllegalEvent>
where
    S::Event: 'e,
{
    let mut state = S::initial();
    for event in events {
        state = S::apply(state, event)?;
    }
    Ok(state)
}

/// For `apply`: every pair that is not in a table.
pub(crate) fn illegal<S, T: fmt::Debug>(
    state: &impl fmt::Debug,
    event: &T,
) -> Result<S, IllegalEvent> {
    Err(IllegalEvent { state: format!("{state:?}"), event: format!("{event:?}") })
}
